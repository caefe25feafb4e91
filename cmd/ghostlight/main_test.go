package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"

	"ghostlight/buffer"
	agentconfig "ghostlight/collector/config"
	"ghostlight/collector/page"
	fleetconfig "ghostlight/fleet/config"
	"ghostlight/synthetics"
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

// A key signs every request, and then a journey may change things; the agent's
// file lends its key, name and variables.
func TestJourneyRunIsSynthetic(t *testing.T) {
	var claims []string
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		claims = append(claims, r.Header.Get(synthetics.ClaimHeader))
	}))
	defer srv.Close()
	const key = "0123456789abcdef0123456789abcdef"
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	journey := write("buy.yaml", `name: buy
needs: [base, item]
steps:
  - name: pay
    request: {url: "${base}/pay/${item}", json: {amount: 1}}
`)
	agent := write("agent.yaml", `node: {region: home, venue: corner, name: till-1}
data_dir: data
fleet: {url: "http://127.0.0.1:9", token: long-enough-token}
page: {listen: "127.0.0.1:0"}
edgecore: {url: "`+srv.URL+`", admin_url: "`+srv.URL+`", admin_token: long-enough-token, synthetic_key: "`+key+`"}
`)
	for _, tc := range []struct {
		name   string
		args   []string
		issuer string // empty: no claim
	}{
		{"key", []string{"--base", srv.URL, "--synthetic-key", key}, cliIssuer},
		{"agent", []string{"--agent", agent}, "home/corner/till-1"},
		{"really", []string{"--base", srv.URL, "--real"}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			claims = nil
			out, err := run(t, append([]string{"journey", "run", journey, "--var", "item=beer;2"}, tc.args...)...)
			if err != nil || len(claims) != 1 {
				t.Fatalf("%v, %d requests:\n%s", err, len(claims), out)
			}
			var got jwt.RegisteredClaims
			if tc.issuer == "" {
				if claims[0] != "" {
					t.Errorf("a real run carried the claim %q", claims[0])
				}
				return
			}
			if _, err := jwt.ParseWithClaims(claims[0], &got, func(*jwt.Token) (any, error) { return []byte(key), nil }); err != nil || got.Issuer != tc.issuer || got.Subject != "buy" {
				t.Errorf("claim %+v: %v", got, err)
			}
		})
	}
}

// status prints what a node says of itself.
func TestNodeStatus(t *testing.T) {
	const now = 1_795_000_000_000
	status := page.Status{
		Source: buffer.Source{Region: "london", Venue: "soho", Node: "soho-1"}, Version: "0.1.0", NowMS: now, StartMS: now - 3_600_000,
		Uplink: page.Uplink{SinceMS: now - 65_000, LastError: "connection refused"},
		Lanes:  map[buffer.Lane]page.Lane{buffer.Revenue: {Produced: 12, Acked: 8, Waiting: 4}},
		Health: page.Health{Known: true, Value: 50, State: "degraded", Contributors: []page.Contributor{{Text: "journey buy fails (-50)"}}},
		Journeys: []page.Journey{
			{Name: "buy", LastMS: now - 4000, FailedStep: "pay", Failures: 3, Error: "no answer"},
			{Name: "look", LastMS: now - 2000, Pass: true, DurationMS: 31},
			{Name: "rest"},
		},
		Objectives: []page.Objective{{Name: "sales", Target: 0.999, Good: 9, Total: 10, Known: true, SLI: 0.9, Measured: 50, Gap: 1, Pending: 9}, {Name: "visits", Target: 0.99}},
		Heals:      page.Heals{Enabled: true, ChainOK: true, Recent: []page.Audit{{AtMS: now - 30_000, Action: "unit_restart", Reason: "journey buy failed.", Result: "succeeded"}}},
		Targets:    []page.Target{{Job: "edgecore", URL: "http://127.0.0.1:1/metrics", LastMS: now - 1000, Error: "connection refused"}},
		Edgecore:   &page.Edgecore{Up: true, LastMS: now, Cursor: 5, Head: 7},
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/status" {
			http.NotFound(w, r)
			return
		}
		if err := json.NewEncoder(w).Encode(status); err != nil {
			t.Error(err)
		}
	}))
	defer srv.Close()
	const want = `london/soho/soho-1, agent 0.1.0, up 1 h
health     50 of 100, degraded
           journey buy fails (-50)
uplink     DOWN for 1 min 5 s: connection refused
journey    FAIL  buy, 4 s ago, at step pay, 3 failures in a row: no answer
journey    pass  look, 2 s ago, in 31 ms
journey    rest has not run yet
objective  sales: 9 of 10 good, 90.00 % (target 99.9 %); 50 min watched, 1 not, 9 unknown
objective  visits: nothing counted in the last hour (target 99 %)
edgecore   up, outcome 5 of 7 read
scrape     DOWN  edgecore: http://127.0.0.1:1/metrics: connection refused
healing    on
           30 s ago  unit restart succeeded (journey buy failed)
buffer         produced    at centre      waiting     given up
  revenue            12            8            4            0
  health              0            0            0            0
  detail              0            0            0            0
  traces              0            0            0            0
  logs                0            0            0            0
`
	for _, address := range []string{srv.URL, srv.URL + "/", strings.TrimPrefix(srv.URL, "http://"), srv.URL + "/api/status"} {
		got, err := run(t, "node", "status", address)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", address, d)
		}
	}
	raw, err := run(t, "node", "status", srv.URL, "--json")
	if err != nil || !strings.HasPrefix(raw, `{"source":{"region":"london"`) {
		t.Errorf("%v: %s", err, raw)
	}
	if _, err := run(t, "node", "status", srv.URL+"/elsewhere"); err == nil || !strings.Contains(err.Error(), "is this the address of a node's page?") {
		t.Errorf("another address: %v", err)
	}
}
