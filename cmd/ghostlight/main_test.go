package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/rogpeppe/go-internal/testscript"

	agentconfig "ghostlight/collector/config"
	fleetconfig "ghostlight/fleet/config"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"ghostlight": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script", UpdateScripts: os.Getenv("UPDATE_SCRIPTS") != ""})
}

// run parses and runs one command line in this process.
func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out strings.Builder
	parser, err := kong.New(&cli{}, options(&out, io.Discard)...)
	if err != nil {
		t.Fatal(err)
	}
	line, err := parser.Parse(args)
	if err != nil {
		t.Fatal(err)
	}
	line.BindTo(t.Context(), (*context.Context)(nil))
	err = line.Run()
	return out.String(), err
}

// The two files that init writes are what the two programs read, and fit each
// other.
func TestInitWritesWhatTheProgramsRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "shop")
	if _, err := run(t, "init", dir, "--service", "http://127.0.0.1:8099/", "--venue", "corner", "--node", "till-1", "--fleet-listen", "127.0.0.1:7699"); err != nil {
		t.Fatal(err)
	}
	fleet, err := fleetconfig.Load(filepath.Join(dir, "fleet.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	agent, err := agentconfig.Load(filepath.Join(dir, "agent.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if len(fleet.Nodes) != 1 || fleet.Nodes[0].Source() != agent.Node.Source() || fleet.Nodes[0].Token != agent.Fleet.Token {
		t.Errorf("fleet knows %+v, the agent is %+v with token %q", fleet.Nodes, agent.Node, agent.Fleet.Token)
	}
	if agent.Fleet.URL != "http://"+fleet.Listen || fleet.DataDir == agent.DataDir || fleet.APIToken == "" || fleet.APIToken == agent.Fleet.Token {
		t.Errorf("fleet %+v, agent %+v", fleet, agent)
	}
	if len(agent.Scrape.Targets) != 1 || agent.Scrape.Targets[0].URL != "http://127.0.0.1:8099/metrics" {
		t.Errorf("targets %+v", agent.Scrape.Targets)
	}
	journeys, objectives := agent.AllJourneys(), agent.AllObjectives()
	if len(journeys) != 1 || len(journeys[0].Steps) != 2 || len(objectives) != 1 || objectives[0].Indicator.Journey == nil || objectives[0].Indicator.Journey.Name != journeys[0].Name {
		t.Errorf("journeys %+v, objectives %+v", journeys, objectives)
	}
	if agent.OTLP.GRPC == "" || agent.OTLP.HTTP == "" {
		t.Errorf("OTLP doors %+v", agent.OTLP)
	}
}

func TestJourneyRun(t *testing.T) {
	broken := false
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if broken && r.URL.Path == "/metrics" {
			w.WriteHeader(http.StatusTeapot)
		}
	}))
	defer srv.Close()
	file := filepath.Join(t.TempDir(), "journey.yaml")
	const journey = `name: visit
schedule: "@every 15s"
timeout: 5s
needs: [base]
steps:
  - name: front-page
    request: {url: "${base}/"}
    assert: ["status == 200"]
  - name: metrics
    request: {url: "${base}/metrics"}
    assert: ["status == 200"]
`
	if err := os.WriteFile(file, []byte(journey), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := run(t, "journey", "run", file, "--base", srv.URL+"/")
	if err != nil || strings.Count(out, "pass  ") != 3 || !strings.Contains(out, "front-page") {
		t.Errorf("passing journey: %v\n%s", err, out)
	}
	broken = true
	out, err = run(t, "journey", "run", file, "--base", srv.URL, "--json")
	if err == nil || !strings.Contains(err.Error(), `journey visit failed at step "metrics"`) || !strings.Contains(out, `"failed_step":"metrics"`) {
		t.Errorf("failing journey: %v\n%s", err, out)
	}
}
