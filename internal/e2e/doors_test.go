//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/wire"
	"ghostlight/synthetics"
)

// TestDoors lets the programs and libraries that others send with send for real:
// each as a venue of its own, each the same things, numbered from 1. The fleet is
// killed while they do. In the end it must hold every number, once.
func TestDoors(t *testing.T) {
	if _, err := exec.LookPath("prometheus"); err != nil {
		t.Fatal("prometheus is not installed: run make deps")
	}
	shop := openShop(t)
	senders := []sender{
		&agentMode{shop: shop},
		&vmagent{shop: shop, flag: "-remoteWrite.forcePromProto", as: "vmagent-snappy"},
		&vmagent{shop: shop, as: "vmagent-zstd"},
		&collector{shop: shop, protocol: "grpc", compression: "gzip"},
		&collector{shop: shop, protocol: "grpc", compression: "zstd"},
		&collector{shop: shop, protocol: "http", compression: "gzip"},
		&collector{shop: shop, protocol: "http", compression: "zstd"},
		&write2{shop: shop},
	}
	c := newCentre(t, senders)
	c.start(t)
	for _, s := range senders {
		s.start(t, c)
	}
	t.Cleanup(func() {
		for _, s := range senders {
			s.stop(t)
		}
	})
	arrived := func(when string, before map[string]int, more int) {
		for _, s := range senders {
			eventually(t, s.venue()+" "+when, 30*time.Second, func() error {
				n, err := arrivedOf(c, s)
				if err == nil && n < before[s.venue()]+more {
					err = fmt.Errorf("it sent %d, the fleet has all to %d", s.sent(), n)
				}
				return err
			})
		}
	}
	for _, s := range senders {
		if _, ok := s.(*collector); ok {
			c.claim(t, s)
		}
	}
	arrived("at the fleet", map[string]int{}, 3)
	for _, s := range senders {
		if err := present(c, family(s)+"_shift", true); err != nil {
			t.Error(err)
		}
	}

	c.kill(t)
	atKill := sent(senders)
	shop.closed.Store(true)
	eventually(t, "the senders go on without the fleet", 30*time.Second, func() error {
		for _, s := range senders {
			if s.sent() < atKill[s.venue()]+4 {
				return fmt.Errorf("%s sent %d, and %d before", s.venue(), s.sent(), atKill[s.venue()])
			}
		}
		return nil
	})
	inTheDark := sent(senders)
	c.start(t)
	arrived("after the kill", inTheDark, 3)

	for _, s := range senders {
		s.stop(t)
	}
	for _, s := range senders {
		t.Run(s.venue(), func(t *testing.T) { holdsAll(t, c, s) })
	}
}

// A sender sends as the only node of its venue.
type sender interface {
	venue() string
	start(t *testing.T, c *centre)
	sent() int // the highest number that it was given to send
	stop(t *testing.T)
	owed() int                 // once it stopped: the number that must have arrived at least
	labels() map[string]string // of its series, besides the node's identity
}

// family is what the names of a sender's metrics begin with.
func family(s sender) string { return "door_" + strings.ReplaceAll(s.venue(), "-", "_") }

func token(s sender) string { return "token-of-" + s.venue() }

func sent(senders []sender) map[string]int {
	out := map[string]int{}
	for _, s := range senders {
		out[s.venue()] = s.sent()
	}
	return out
}

// arrivedOf is the number up to which the fleet holds all that a sender sent.
func arrivedOf(c *centre, s sender) (int, error) {
	held, err := c.export(family(s) + "_ticks_total")
	n := 0
	for n < len(held) && held[n] == float64(n+1) {
		n++
	}
	if o, ok := s.(*collector); ok && err == nil {
		var spans, lines map[string]int
		spans, lines, err = o.evidence(c)
		for i := range n {
			if spans[tick(i+1)] == 0 || lines[tick(i+1)] == 0 {
				return i, err
			}
		}
	}
	return n, err
}

// holdsAll checks all that the fleet holds of a sender.
func holdsAll(t *testing.T, c *centre, s sender) {
	name, n := family(s), 0
	eventually(t, "all that was sent", 10*time.Second, func() error {
		held, err := c.export(name + "_ticks_total")
		if n = len(held); err == nil && (n < s.owed() || n > s.sent()) {
			err = fmt.Errorf("%d arrived, it sent %d and owes %d", n, s.sent(), s.owed())
		}
		return err
	})
	for metric, step := range map[string]float64{
		"_ticks_total": 1, `_wait_seconds_bucket{le="0.5"}`: 1, `_wait_seconds_bucket{le="+Inf"}`: 2, "_wait_seconds_count": 2, "_wait_seconds_sum": 1.5,
	} {
		holds(t, c, name+metric, n, func(i int) float64 { return step * float64(i) })
	}
	holds(t, c, name+"_open", n, func(int) float64 { return 21.5 })

	// The series ended while the fleet was down: that it did is known, too.
	if err := present(c, name+"_open", true); err != nil {
		t.Error(err)
	}
	eventually(t, "the series that ended", 10*time.Second, func() error { return present(c, name+"_shift", false) })
	if held, err := c.export(name + "_shift"); len(held) == 0 {
		t.Errorf("of the series that ended nothing is kept (%v)", err)
	}

	want := map[string]string{"__name__": name + "_ticks_total", "region": "uk", "venue": s.venue(), "node": "till", "exported_venue": "elsewhere"}
	for k, v := range s.labels() {
		want[k] = v
	}
	if d := cmp.Diff([]map[string]string{want}, c.series(t, name+"_ticks_total")); d != "" {
		t.Errorf("labels (-want +got):\n%s", d)
	}
	for suffix, kind := range map[string]string{"_ticks_total": "counter", "_open": "gauge", "_wait_seconds": "histogram"} {
		if err := c.describes(name+suffix, kind, "Of the test: "+suffix[1:5]); err != nil {
			t.Error(err)
		}
	}
	if o, ok := s.(*collector); ok {
		o.keptOnce(t, c, n)
	}
	if v, ok := s.(*vmagent); ok {
		v.neverSteppedBack(t)
	}
}

// holds checks that a series has the values of 1 to n, in order: the database may hide
// rows for some milliseconds while it moves them.
func holds(t *testing.T, c *centre, series string, n int, value func(i int) float64) {
	t.Helper()
	var want []float64
	for i := range n {
		want = append(want, value(i+1))
	}
	eventually(t, series+" complete", 10*time.Second, func() error {
		held, err := c.export(series)
		if d := cmp.Diff(want, held); err == nil && d != "" {
			err = fmt.Errorf("(-want +got):\n%s", d)
		}
		return err
	})
}

// centre is a fleet in a process of its own, at the same address each time.
type centre struct {
	config, log string
	url, grpc   string
	cmd         *exec.Cmd
}

func newCentre(t *testing.T, senders []sender) *centre {
	t.Helper()
	dir := t.TempDir()
	c := &centre{config: filepath.Join(dir, "fleet.yaml"), log: filepath.Join(dir, "fleet.log"), grpc: freeAddr(t)}
	listen := freeAddr(t)
	c.url = "http://" + listen
	text := fmt.Sprintf("listen: %s\notlp: {grpc: %q}\ndata_dir: %s\nnodes:\n", listen, c.grpc, filepath.Join(dir, "data"))
	for _, s := range senders {
		text += fmt.Sprintf("  - {region: uk, venue: %s, name: till, token: %s}\n", s.venue(), token(s))
	}
	if err := os.WriteFile(c.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if c.cmd == nil {
			return
		}
		if err := end(c.cmd, syscall.SIGTERM); err != nil {
			t.Errorf("the fleet did not stop well: %v", err)
		}
		if t.Failed() {
			tell(t, "the fleet", c.log)
		}
	})
	return c
}

// freeAddr is an address that nobody listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func (c *centre) start(t *testing.T) {
	t.Helper()
	c.cmd = launch(t, c.log, binary(t, "ghostlight-fleet"), "--config", c.config)
	eventually(t, "the fleet answers", 30*time.Second, func() error {
		_, err := get(c.url + "/healthz")
		return err
	})
}

func (c *centre) kill(t *testing.T) {
	t.Helper()
	end(c.cmd, syscall.SIGKILL) //nolint:errcheck // that it was killed
	c.cmd = nil
}

// launch starts a program that adds what it tells to a file.
func launch(t *testing.T, log, program string, args ...string) *exec.Cmd {
	t.Helper()
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = f, f
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// end signals a process and waits for it.
func end(cmd *exec.Cmd, sig syscall.Signal) error {
	force := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
	defer force.Stop()
	if err := cmd.Process.Signal(sig); err != nil {
		return err
	}
	return cmd.Wait()
}

// tell logs what a process told.
func tell(t *testing.T, who, log string) {
	told, err := os.ReadFile(log)
	t.Logf("%s told (%v):\n%s", who, err, told[max(0, len(told)-8<<10):])
}

// export is every value that the store holds of one series, by time. What ends a
// series is no value.
func (c *centre) export(match string) ([]float64, error) {
	text, err := get(c.url + "/api/v1/export?" + url.Values{"match[]": {match}}.Encode())
	if err != nil {
		return nil, err
	}
	var out []float64
	for line := range strings.Lines(text) {
		var one struct{ Values []*float64 }
		if err := json.Unmarshal([]byte(line), &one); err != nil || out != nil {
			return nil, fmt.Errorf("export of %s: not one series (%v):\n%s", match, err, text)
		}
		for _, v := range one.Values {
			if v != nil {
				out = append(out, *v)
			}
		}
	}
	return out, nil
}

func (c *centre) series(t *testing.T, match string) []map[string]string {
	t.Helper()
	var a struct{ Data []map[string]string }
	if err := getJSON(c.url+"/api/v1/series?"+url.Values{"match[]": {match}}.Encode(), &a); err != nil {
		t.Fatal(err)
	}
	return a.Data
}

// present reports an error unless an instant query finds the series, or does not.
func present(c *centre, expr string, want bool) error {
	var a struct {
		Data struct{ Result []json.RawMessage }
	}
	if err := getJSON(c.url+"/api/v1/query?"+url.Values{"query": {expr}, "nocache": {"1"}}.Encode(), &a); err != nil {
		return err
	}
	if (len(a.Data.Result) > 0) != want {
		return fmt.Errorf("%s finds %s, want something: %v", expr, a.Data.Result, want)
	}
	return nil
}

// describes reports an error unless the fleet knows a metric's type and help.
func (c *centre) describes(metric, kind, help string) error {
	var a struct {
		Data map[string][]struct{ Type, Help string }
	}
	if err := getJSON(c.url+"/api/v1/metadata?metric="+metric, &a); err != nil {
		return err
	}
	if m := a.Data[metric]; len(m) != 1 || m[0].Type != kind || !strings.HasPrefix(m[0].Help, help) {
		return fmt.Errorf("metadata of %s: %+v, want %s, %s", metric, m, kind, help)
	}
	return nil
}

// traceID is the one trace of all that a venue's collector sends.
func traceID(s sender) (id [16]byte) {
	copy(id[:], s.venue()+"................")
	return id
}

// claim reports a failed journey with the sender's trace, so that the fleet keeps
// spans and lines of it.
func (c *centre) claim(t *testing.T, s sender) {
	t.Helper()
	now := time.Now().UnixMilli()
	body, err := json.Marshal(synthetics.Result{Journey: "door", StartMS: now, FailedStep: "open", Error: "It is locked.", TraceID: fmt.Sprintf("%x", traceID(s))})
	if err != nil {
		t.Fatal(err)
	}
	payload, err := delta.Encode(nil, delta.Batch{Records: []delta.Record{{Kind: "journey.run", Key: "door/1", Time: now, Body: body}}})
	if err != nil {
		t.Fatal(err)
	}
	block := buffer.Seal(buffer.Header{Kind: buffer.SelfContained, Lane: buffer.Revenue, Session: 1, Seq: 1, MinTime: now, MaxTime: now, Records: 1}, payload)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.url+wire.BlocksPath, bytes.NewReader(block))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token(s))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("the failed journey is answered %s", res.Status)
	}
}
