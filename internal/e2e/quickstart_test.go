package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestQuickStart does what the README's second path tells a reader to do, by
// running the README's own lines, against a plain HTTP service.
func TestQuickStart(t *testing.T) {
	commands := readmeBlock(t, "quickstart")
	dir := t.TempDir()
	buildPrograms(t, filepath.Join(dir, "bin"))
	startService(t, "127.0.0.1:8080")

	// The reader's shell: the lines as printed, the two daemons in its background.
	shell := exec.Command("bash", "-euc", commands+"\nwait\n")
	shell.Dir = dir
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var told bytes.Buffer
	shell.Stdout, shell.Stderr = &told, &told
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- shell.Wait() }()
	t.Cleanup(func() {
		syscall.Kill(-shell.Process.Pid, syscall.SIGTERM)
		select {
		case <-exited:
		case <-time.After(20 * time.Second):
			syscall.Kill(-shell.Process.Pid, syscall.SIGKILL)
			t.Error("the quick start's programs did not stop when asked")
		}
		if t.Failed() {
			t.Logf("the shell told:\n%s", told.String())
		}
	})

	const fleet = "http://127.0.0.1:7600"
	eventually(t, "the service's metrics at the fleet", 60*time.Second, func() error {
		return series(fleet, `till_sales_total{job="service",venue="main"}`)
	})
	eventually(t, "a metric sent by OTLP at the fleet", 60*time.Second, func() error {
		if err := sendOTLP("http://127.0.0.1:4318/v1/metrics"); err != nil {
			return err
		}
		return series(fleet, `door_opened_total{venue="main"}`)
	})
	eventually(t, "a passing journey", 60*time.Second, func() error {
		return series(fleet, `ghostlight_journey_success{journey="visit"} == 1`)
	})
	eventually(t, "the objective with its page", 90*time.Second, func() error {
		return shows(fleet+"/objectives/visits", "Visits that work", "100 %", "min known")
	})
	for page, want := range map[string][]string{
		fleet + "/":              {"main", "live"},
		fleet + "/venues/main":   {"visit"},
		"http://127.0.0.1:7500/": {"visit", "Visits that work"},
	} {
		if err := shows(page, want...); err != nil {
			t.Error(err)
		}
	}
}

// readmeBlock is the shell block that follows the comment <!-- name --> in the
// README.
func readmeBlock(t *testing.T, name string) string {
	t.Helper()
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)<!-- " + name + " -->\\s*```sh\n(.*?)```").FindSubmatch(readme)
	if m == nil {
		t.Fatalf("README.md has no shell block after <!-- %s -->", name)
	}
	return string(m[1])
}

// buildPrograms puts what the quick start runs where its lines look for it.
func buildPrograms(t *testing.T, bin string) {
	t.Helper()
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-o", bin, "ghostlight/cmd/ghostlight", "ghostlight/cmd/ghostlight-agent", "ghostlight/cmd/ghostlight-fleet")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
}

// startService is the reader's own service: anything that speaks HTTP.
func startService(t *testing.T, addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatalf("the README's example service: %v", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "welcome") })
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "# HELP till_sales_total Sales.\n# TYPE till_sales_total counter\ntill_sales_total 3\n")
	})
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: time.Second}
	go srv.Serve(ln)
	t.Cleanup(func() { srv.Close() })
}

// sendOTLP sends one counter as an OpenTelemetry SDK would, as OTLP over HTTP.
func sendOTLP(target string) error {
	now := time.Now()
	body := fmt.Sprintf(`{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"door"}}]},
		"scopeMetrics":[{"metrics":[{"name":"door.opened","sum":{"aggregationTemporality":2,"isMonotonic":true,
		"dataPoints":[{"asInt":"7","startTimeUnixNano":"%d","timeUnixNano":"%d"}]}}]}]}]}`, now.Add(-time.Minute).UnixNano(), now.UnixNano())
	resp, err := http.Post(target, "application/json", strings.NewReader(body))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("%s: %s: %s", target, resp.Status, text)
	}
	return nil
}

// series reports an error unless the expression selects something at the fleet.
func series(fleet, expr string) error {
	var a struct {
		Data struct {
			Result []json.RawMessage `json:"result"`
		} `json:"data"`
	}
	err := getJSON(fleet+"/api/v1/query?"+url.Values{"query": {expr}}.Encode(), &a)
	if err == nil && len(a.Data.Result) == 0 {
		err = fmt.Errorf("%s selects nothing", expr)
	}
	return err
}

// shows reports an error unless the page contains every wanted text.
func shows(page string, want ...string) error {
	body, err := get(page)
	if err != nil {
		return err
	}
	for _, w := range want {
		if !strings.Contains(body, w) {
			return fmt.Errorf("%s does not show %q", page, w)
		}
	}
	return nil
}

// eventually polls until ok, for what a real process does in its own time.
func eventually(t *testing.T, what string, patience time.Duration, ok func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v: %v", what, patience, err)
		}
		time.Sleep(250 * time.Millisecond)
	}
}

// get fetches a URL that must answer 200.
func get(target string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", target, resp.Status, body)
	}
	return string(body), err
}

func getJSON(target string, out any) error {
	body, err := get(target)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(body), out)
}
