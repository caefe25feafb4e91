package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ghostlight/buffer"
	"ghostlight/collector/page"
	"ghostlight/internal/crashtest"
	"ghostlight/internal/daemon"
)

// asAgent makes the test binary be the agent, so that a test can kill the real
// program.
const asAgent = "GHOSTLIGHT_TEST_AS_AGENT"

func TestMain(m *testing.M) {
	if os.Getenv(asAgent) == "1" {
		os.Exit(daemon.Main(name, func(ctx context.Context) error { return run(ctx, os.Args[1:], os.Stdout) }))
	}
	os.Exit(m.Run())
}

// process is a running agent.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	page string
	out  *logs
	done chan error
}

// logs is a process's standard error.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) { l.mu.Lock(); defer l.mu.Unlock(); return l.b.Write(p) }

func (l *logs) String() string { l.mu.Lock(); defer l.mu.Unlock(); return l.b.String() }

func command(args ...string) *exec.Cmd {
	binary := os.Getenv("GHOSTLIGHT_AGENT") // a built agent, to measure instead of this test
	if binary == "" {
		binary = os.Args[0]
	}
	cmd := exec.Command(binary, args...)
	cmd.Env = append(os.Environ(), asAgent+"=1")
	return cmd
}

func start(t *testing.T, file, pageAddr string) *process {
	t.Helper()
	p := &process{t: t, cmd: command("--config", file), page: "http://" + pageAddr, out: &logs{}, done: make(chan error, 1)}
	p.cmd.Stderr = p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.done <- p.cmd.Wait() }()
	t.Cleanup(func() {
		p.cmd.Process.Kill() //nolint:errcheck // it may be gone
		if t.Failed() {
			t.Logf("agent said:\n%s", p.out)
		}
	})
	p.await("the page answers", func() bool {
		resp, err := http.Get(p.page + "/healthz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return p
}

// await polls a real process until ok, for at most 20 seconds.
func (p *process) await(what string, ok func() bool) {
	p.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			p.t.Fatalf("waited in vain until %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (p *process) stop() {
	p.t.Helper()
	p.cmd.Process.Signal(syscall.SIGTERM) //nolint:errcheck // it may be gone
	select {
	case err := <-p.done:
		if err != nil {
			p.t.Errorf("agent ended with %v", err)
		}
	case <-time.After(15 * time.Second):
		p.t.Error("agent did not stop within 15 s")
	}
}

func (p *process) kill() {
	p.cmd.Process.Kill() //nolint:errcheck // it may be gone
	<-p.done
}

func (p *process) status() page.Status {
	p.t.Helper()
	resp, err := http.Get(p.page + "/api/status")
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	var s page.Status
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil {
		p.t.Fatal(err)
	}
	return s
}

func (p *process) flush() page.Flushed {
	p.t.Helper()
	req, err := http.NewRequest(http.MethodPost, p.page+"/api/flush?timeout=20s&hold=20s", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+fleetToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	var f page.Flushed
	if err := json.Unmarshal(body, &f); err != nil || resp.StatusCode != http.StatusOK {
		p.t.Fatalf("flush answered %s: %s", resp.Status, body)
	}
	return f
}

const agentYAML = `
node: {region: london, venue: soho, name: soho-1}
data_dir: data
fleet: {url: "%s", token: fleet-token}
page: {listen: "%s"}
scrape:
  interval: 1s
  targets:
    - {job: edgecore, url: "%s/metrics"}
host: {enabled: true, interval: 1s}
otlp: {grpc: "%s", http: "%s"}
edgecore: {url: "%s", admin_url: "%s", admin_token: admin-token, synthetic_key: 0123456789abcdef0123456789abcdef}
journeys:
  - name: front-door
    schedule: "@every 1s"
    steps:
      - name: knock
        request: {url: "${base}/healthz"}
    needs: [base]
objectives:
  - apiVersion: openslo/v1
    kind: SLO
    metadata: {name: checkout}
    spec:
      service: checkout
      indicator:
        metadata: {name: payments}
        spec:
          ratioMetric:
            counter: true
            good: {metricSource: {type: ghostlight, spec: {outcomes: payment, count: good}}}
            total: {metricSource: {type: ghostlight, spec: {outcomes: payment, count: total}}}
      timeWindow: [{duration: 28d, isRolling: true}]
      budgetingMethod: Occurrences
      objectives: [{target: 0.99}]
heal:
  supervisor: {socket: "%s"}
  restart: {unit: edgecore-soho, cool_down: 2s}
  cache_repair: {cool_down: 2s}
`

func TestAgentWatchesHealsAndLosesNothing(t *testing.T) {
	f, e := newFleet(t), newEdge(t, 600)
	dir, pageAddr, otlpHTTP := t.TempDir(), crashtest.FreeAddr(t), crashtest.FreeAddr(t)
	file := filepath.Join(dir, "agent.yaml")
	text := fmt.Sprintf(agentYAML, f.url, pageAddr, e.url, crashtest.FreeAddr(t), otlpHTTP, e.url, e.url, newSupervisor(t, e))
	text = strings.Replace(text, "data_dir: data", "data_dir: "+filepath.Join(dir, "data"), 1)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, file, pageAddr)
	e.sell(10, true)
	e.sell(1, false)

	p.await("samples, host metrics, journeys and outcomes arrive", func() bool {
		up, ok := f.value("up", "job=edgecore")
		_, host := f.value("system_memory_usage_bytes", "job=host", "state=used")
		_, journey := f.value("ghostlight_journey_success", "journey=front-door")
		_, total := f.total("checkout")
		return ok && up == 1 && host && journey && total == 11 && f.count("journey.run") > 0 && f.count("health.score") > 0 &&
			f.count("slo.objective") == 1 && f.count("otlp.traces") > 0
	})
	if good, total := f.total("checkout"); good != 10 || total != 11 {
		t.Errorf("checkout is %d of %d, want 10 of 11", good, total)
	}
	sendOTLP(t, otlpHTTP)
	p.await("a metric sent over OTLP arrives", func() bool {
		v, ok := f.value("shop_orders_total", "job=shop")
		return ok && v == 7
	})

	t.Run("corrupt cache objects are repaired", func(t *testing.T) {
		e.set(func() { e.corrupt = 3 })
		p.await("the repair is proved", func() bool { return f.audits()["cache_repair succeeded"] == 1 })
	})
	t.Run("a hung edgecore is restarted", func(t *testing.T) {
		e.set(func() { e.hung = true })
		p.await("the restart is proved", func() bool { return f.audits()["unit_restart succeeded"] == 1 })
		if s := p.status(); !s.Heals.ChainOK || len(s.Heals.Recent) != 4 {
			t.Errorf("the page shows %d records, chain %v; want 4 that hold", len(s.Heals.Recent), s.Heals.ChainOK)
		}
	})

	// Nothing is lost while the fleet is down and the agent dies.
	f.setDown(true)
	p.await("the page says so", func() bool { return !p.status().Uplink.Up })
	e.sell(5, true)
	p.await("outcomes are in the buffer", func() bool { return p.status().Edgecore.Cursor == 16 })
	heals := len(p.status().Heals.Recent)
	fired, failed := known(p.status())
	if len(fired) == 0 || len(failed) < 2 {
		t.Errorf("%d alerts fire and %d incidents are known; want some of the sale that failed and of the journey", len(fired), len(failed))
	}
	p.kill()
	e.sell(4, true)
	p = start(t, file, pageAddr)
	p.await("it goes on where it was", func() bool { s := p.status(); return s.Edgecore.Cursor == 20 && len(s.Heals.Recent) == heals })
	stillFired, stillFailed := known(p.status())
	for _, id := range append(stillFired, stillFailed...) {
		if !slices.Contains(fired, id) && !slices.Contains(failed, id) {
			t.Errorf("%s began when the agent started again", id)
		}
	}
	f.setDown(false)
	p.await("the uplink is back", func() bool { return p.status().Uplink.Up })

	res := p.flush()
	if !res.Drained || len(res.Errors) > 0 {
		t.Errorf("flush: drained %v, errors %q", res.Drained, res.Errors)
	}
	f.mu.Lock()
	for _, lane := range buffer.Lanes() {
		if res.Produced[lane] != f.samples[lane]+res.Lost[lane] {
			t.Errorf("lane %s: produced %d, central %d, lost %d", lane, res.Produced[lane], f.samples[lane], res.Lost[lane])
		}
	}
	for seq := int64(1); seq <= 20; seq++ {
		if f.seqs[seq] != 1 {
			t.Errorf("outcome %d arrived %d times", seq, f.seqs[seq])
		}
	}
	f.mu.Unlock()
	if good, total := f.total("checkout"); good != 19 || total != 20 {
		t.Errorf("checkout is %d of %d, want 19 of 20", good, total)
	}
	if n := f.count("slo.incident"); n < len(failed) {
		t.Errorf("%d records of %d incidents arrived", n, len(failed))
	}
	if v, _ := f.value("edgecore_payments_total", "job=edgecore"); v != 20 {
		t.Errorf("last revenue counter is %v, want 20", v)
	}
	t.Logf("peak resident: %s", peak(p.cmd.Process.Pid))
	p.stop()
	for _, line := range []string{"level=ERROR", "panic", "subject"} {
		if strings.Contains(p.out.String(), line) {
			t.Errorf("the log has %q:\n%s", line, p.out)
		}
	}
}

// What keeps the agent from starting is one sentence and exit status 1.
func TestRefusesToStart(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	locked := t.TempDir()
	release, err := daemon.Lock(locked)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	base := "node: {region: a, venue: b, name: c}\nfleet: {url: \"http://127.0.0.1:1\", token: t}\nhost: {enabled: false}\n"
	closed := "otlp: {grpc: \"\", http: \"\"}\n"
	for name, tc := range map[string]struct{ text, want string }{
		"page port taken": {base + closed + "data_dir: " + t.TempDir() + "\npage: {listen: \"" + taken.Addr().String() + "\"}\n", "is taken by another process"},
		"OTLP port taken": {base + "otlp: {grpc: \"\", http: \"" + taken.Addr().String() + "\"}\ndata_dir: " + t.TempDir() + "\npage: {listen: \"127.0.0.1:0\"}\n", "is taken by another process"},
		"folder in use":   {base + closed + "data_dir: " + locked + "\npage: {listen: \"127.0.0.1:0\"}\n", "is in use by another process"},
		"no such folder":  {base + closed + "data_dir: /proc/nothing\npage: {listen: \"127.0.0.1:0\"}\n", "/proc/nothing"},
		"unknown field":   {base + closed + "data_dri: x\n", `agent.yaml:5:1: field "data_dri" is unknown`},
		"collector's own": {base + closed + "data_dir: x\nextra: {receivers: {otlp/lan: {protocols: {http: {endpont: x}}}}}\n", `agent.yaml:6:51: field "extra.receivers.otlp/lan.protocols.http.endpont" is unknown to the collector`},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "agent.yaml")
			if err := os.WriteFile(file, []byte(tc.text), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := command("--config", file).CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 1 {
				t.Errorf("ended with %v, want exit status 1", err)
			}
			if text := strings.TrimSpace(string(out)); !strings.Contains(text, tc.want) || strings.Contains(text, "\n") {
				t.Errorf("said %q, want one line with %q", text, tc.want)
			}
		})
	}
}

func TestCommandLine(t *testing.T) {
	good := filepath.Join(t.TempDir(), "agent.yaml")
	text := "node: {region: a, venue: b, name: c}\ndata_dir: d\nfleet: {url: \"http://f\", token: t}\n"
	if err := os.WriteFile(good, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		args []string
		out  string
		err  string
	}{
		{[]string{"--version"}, "ghostlight-agent dev", ""},
		{[]string{"--help"}, "usage:", ""},
		{[]string{"validate", good}, "ok\n", ""},
		{[]string{"validate"}, "", "name one configuration file"},
		{[]string{"validate", good + ".gone"}, "", "no such file"},
		{[]string{}, "", "name the configuration"},
		{[]string{"--confg", "x"}, "", "confg"},
	} {
		var out bytes.Buffer
		err := run(t.Context(), tc.args, &out)
		if !strings.Contains(out.String(), tc.out) || (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
			t.Errorf("%q: said %q, error %v", tc.args, out.String(), err)
		}
	}
}

// known lists the keys of what fires and of the incidents.
func known(s page.Status) (fired, failed []string) {
	for _, a := range s.Alerts {
		fired = append(fired, a.ID)
	}
	for _, i := range s.Incidents {
		failed = append(failed, i.ID)
	}
	return fired, failed
}

func sendOTLP(t *testing.T, addr string) {
	t.Helper()
	body := fmt.Sprintf(`{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},
		"scopeMetrics":[{"metrics":[{"name":"shop.orders","unit":"1","sum":{"aggregationTemporality":2,"isMonotonic":true,
		"dataPoints":[{"timeUnixNano":"%d","asInt":"7"}]}}]}]}]}`, time.Now().UnixNano())
	resp, err := http.Post("http://"+addr+"/v1/metrics", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("OTLP answered %s", resp.Status)
	}
}

// peak is the process's greatest resident memory so far.
func peak(pid int) string {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return err.Error()
	}
	for line := range strings.SplitSeq(string(raw), "\n") {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			return strings.TrimSpace(rest)
		}
	}
	return "unknown"
}
