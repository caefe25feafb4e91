//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// shop is what scrapers scrape: at /<venue> the metrics of one, which count its
// scrapes.
type shop struct {
	*httptest.Server
	closed atomic.Bool // the series of the shift has ended
	mu     sync.Mutex
	ticks  map[string]int // guarded by mu; by venue
}

func openShop(t *testing.T) *shop {
	s := &shop{ticks: map[string]int{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// ServeHTTP implements http.Handler.
func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	venue := strings.TrimPrefix(r.URL.Path, "/")
	s.mu.Lock()
	s.ticks[venue]++
	n := s.ticks[venue]
	s.mu.Unlock()
	name := "door_" + strings.ReplaceAll(venue, "-", "_")
	fmt.Fprintf(w, "# HELP %[1]s_ticks_total Of the test: ticks.\n# TYPE %[1]s_ticks_total counter\n%[1]s_ticks_total{venue=\"elsewhere\"} %[2]d\n", name, n)
	fmt.Fprintf(w, "# HELP %[1]s_open Of the test: open.\n# TYPE %[1]s_open gauge\n%[1]s_open 21.5\n", name)
	fmt.Fprintf(w, "# HELP %[1]s_wait_seconds Of the test: wait.\n# TYPE %[1]s_wait_seconds histogram\n", name)
	fmt.Fprintf(w, "%[1]s_wait_seconds_bucket{le=\"0.5\"} %[2]d\n%[1]s_wait_seconds_bucket{le=\"+Inf\"} %[3]d\n", name, n, 2*n)
	fmt.Fprintf(w, "%[1]s_wait_seconds_sum %[2]g\n%[1]s_wait_seconds_count %[3]d\n", name, 1.5*float64(n), 2*n)
	if !s.closed.Load() {
		fmt.Fprintf(w, "# TYPE %[1]s_shift gauge\n%[1]s_shift 1\n", name)
	}
}

func (s *shop) scraped(venue string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ticks[venue]
}

// labels are those that a scrape of the shop has.
func (s *shop) labels() map[string]string {
	return map[string]string{"job": "shop", "instance": s.Listener.Addr().String()}
}

// scrape is the part of a configuration that Prometheus and vmagent share.
func (s *shop) scrape(venue string) string {
	return fmt.Sprintf(`
global: {scrape_interval: 500ms, scrape_timeout: 500ms}
scrape_configs:
  - job_name: shop
    metrics_path: /%s
    static_configs: [{targets: [%q]}]
`, venue, s.Listener.Addr())
}

// process is a sender that is a program.
type process struct {
	cmd *exec.Cmd
	log string
}

func (p *process) launch(t *testing.T, dir, program string, args ...string) {
	t.Helper()
	p.log = filepath.Join(dir, "log")
	p.cmd = launch(t, p.log, program, args...)
}

// end stops the program; a second time it does nothing.
func (p *process) end(t *testing.T, who string) {
	if p.cmd == nil {
		return
	}
	if err := end(p.cmd, syscall.SIGTERM); err != nil {
		t.Errorf("%s did not stop well: %v", who, err)
	}
	p.cmd = nil
	if t.Failed() {
		tell(t, who, p.log)
	}
}

func writeFile(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// agentMode is Prometheus as an agent, which sends by remote write 1.0.
type agentMode struct {
	*shop
	process
}

func (a *agentMode) venue() string     { return "prometheus" }
func (a *agentMode) sent() int         { return a.scraped(a.venue()) }
func (a *agentMode) owed() int         { return a.sent() - 1 } // its end may cut a scrape off
func (a *agentMode) stop(t *testing.T) { a.end(t, a.venue()) }

func (a *agentMode) start(t *testing.T, c *centre) {
	dir := t.TempDir()
	config := writeFile(t, filepath.Join(dir, "prometheus.yml"), a.scrape(a.venue())+fmt.Sprintf(`
remote_write:
  - url: %s/api/v1/write
    authorization: {credentials: %s}
    queue_config: {batch_send_deadline: 500ms, min_backoff: 100ms, max_backoff: 500ms}
    metadata_config: {send_interval: 2s}
`, c.url, token(a)))
	a.launch(t, dir, "prometheus", "--enable-feature=agent", "--config.file="+config, "--storage.agent.path="+filepath.Join(dir, "data"), "--web.listen-address="+freeAddr(t))
}

// vmagent sends by remote write 1.0, compressed by zstd unless it is told otherwise,
// by flag or by who refuses it.
type vmagent struct {
	*shop
	process
	as, flag string
}

func (v *vmagent) venue() string     { return v.as }
func (v *vmagent) sent() int         { return v.scraped(v.as) }
func (v *vmagent) owed() int         { return v.sent() - 1 } // its end may cut a scrape off
func (v *vmagent) stop(t *testing.T) { v.end(t, v.as) }

func (v *vmagent) start(t *testing.T, c *centre) {
	dir := t.TempDir()
	args := []string{
		"-promscrape.config=" + writeFile(t, filepath.Join(dir, "scrape.yml"), v.scrape(v.as)), "-httpListenAddr=" + freeAddr(t),
		"-remoteWrite.url=" + c.url + "/api/v1/write", "-remoteWrite.bearerToken=" + token(v), "-remoteWrite.tmpDataPath=" + filepath.Join(dir, "data"),
		"-remoteWrite.retryMinInterval=100ms", "-remoteWrite.retryMaxInterval=500ms",
	}
	if v.flag != "" {
		args = append(args, v.flag)
	}
	v.launch(t, dir, peer(t, "vmagent"), args...)
}

// neverSteppedBack: it was let in with the protocol that it began with.
func (v *vmagent) neverSteppedBack(t *testing.T) {
	told, err := os.ReadFile(v.log)
	if err != nil || len(told) == 0 {
		t.Fatalf("vmagent told nothing: %v", err)
	}
	if strings.Contains(string(told), "Downgrading protocol") || strings.Contains(string(told), "Re-packing the block") {
		t.Errorf("the fleet refused its protocol:\n%s", told)
	}
}

// peer is the absolute path of a program of others that the Makefile builds.
func peer(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", "bin", "peers", name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%s is not built: run make bin/peers/%s", name, name)
	}
	return path
}
