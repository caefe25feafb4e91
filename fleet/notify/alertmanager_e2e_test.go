//go:build e2e

package notify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A real is Debian's Alertmanager, on loopback, with a webhook for its only receiver.
type real struct {
	t    *testing.T
	dir  string
	addr string
	cmd  *exec.Cmd
	out  *bytes.Buffer
	told chan webhookAlert
}

func newReal(t *testing.T) *real {
	t.Helper()
	r := &real{t: t, dir: t.TempDir(), told: make(chan webhookAlert, 100)}
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		var m webhookMessage
		if err := json.NewDecoder(req.Body).Decode(&m); err != nil || m.Version != "4" {
			t.Errorf("Alertmanager's webhook sent version %q (%v)", m.Version, err)
		}
		for _, a := range m.Alerts {
			r.told <- a
		}
	}))
	t.Cleanup(hook.Close)
	config := fmt.Sprintf(`
route: {receiver: hook, group_by: [incident], group_wait: 200ms, group_interval: 1s, repeat_interval: 1h}
receivers: [{name: hook, webhook_configs: [{url: %q, send_resolved: true}]}]
`, hook.URL)
	if err := os.WriteFile(filepath.Join(r.dir, "config.yml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.addr = l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.stop)
	return r
}

// start runs Alertmanager and waits until it is ready. A missing program fails.
func (r *real) start() {
	r.t.Helper()
	r.out = new(bytes.Buffer)
	r.cmd = exec.Command("prometheus-alertmanager", "--config.file="+filepath.Join(r.dir, "config.yml"), "--storage.path="+filepath.Join(r.dir, "data"),
		"--web.listen-address="+r.addr, "--cluster.listen-address=")
	r.cmd.Stdout, r.cmd.Stderr = r.out, r.out
	if err := r.cmd.Start(); err != nil {
		r.t.Fatalf("start Alertmanager (Debian: apt-get install prometheus-alertmanager): %v", err)
	}
	deadline, tick := time.After(30*time.Second), time.NewTicker(50*time.Millisecond)
	defer tick.Stop()
	for {
		resp, err := http.Get("http://" + r.addr + "/-/ready")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-tick.C:
		case <-deadline:
			r.t.Fatalf("Alertmanager is not ready: %v\n%s", err, r.out)
		}
	}
}

func (r *real) stop() {
	if r.cmd == nil {
		return
	}
	r.cmd.Process.Signal(syscall.SIGTERM) //nolint:errcheck // Wait tells
	r.cmd.Wait()                          //nolint:errcheck // killed by a signal
	r.cmd = nil
	http.DefaultClient.CloseIdleConnections()
}

// next waits for what Alertmanager tells its receiver.
func (r *real) next(what string, within time.Duration) webhookAlert {
	r.t.Helper()
	select {
	case a := <-r.told:
		return a
	case <-time.After(within):
		r.t.Fatalf("Alertmanager did not tell of: %s\n%s", what, r.out)
		return webhookAlert{}
	}
}

// nothing holds that Alertmanager tells nothing for a time.
func (r *real) nothing(why string, d time.Duration) {
	r.t.Helper()
	select {
	case a := <-r.told:
		r.t.Errorf("%s: Alertmanager told that %s is %s", why, a.Labels["incident"], a.Status)
	case <-time.After(d):
	}
}

func TestDebiansAlertmanager(t *testing.T) {
	am := newReal(t)
	am.start()
	const valid = 4 * time.Second // so that it would end within the test unless told again
	receiver, err := NewAlertmanager("http://"+am.addr, valid, nil)
	if err != nil {
		t.Fatal(err)
	}
	route := AlertmanagerRoute("alertmanager", receiver)
	route.Hold = 2 * time.Second
	n := running(t, Options{Routes: []Route{route}})
	notify := func(nt Notification) {
		t.Helper()
		if err := n.Notify(t.Context(), nt); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(what string, a webhookAlert, key string, status Status, since, until time.Time) {
		t.Helper()
		if a.Labels["incident"] != key || a.Status != string(status) || !a.StartsAt.Equal(since) || (status == Resolved && !a.EndsAt.Equal(until)) {
			t.Errorf("%s: Alertmanager told %+v", what, a)
		}
	}

	begun := time.Now()
	page := fails("inc-1")
	page.Since = page.Since.Add(-time.Minute).Truncate(time.Millisecond)
	notify(page)
	expect("sent", am.next("a page", 30*time.Second), "inc-1", Firing, page.Since, time.Time{})
	t.Logf("from Notify to Alertmanager's receiver, its group_wait of 200 ms included: %s", time.Since(begun).Round(time.Millisecond))

	// What arrives resolved is dropped over there, which is why it never goes this way.
	gone := over(fails("inc-gone"))
	if err := receiver.Send(t.Context(), Message{At: time.Now(), Pages: []Page{{Notification: gone, Phase: Resolve}}}); err != nil {
		t.Fatal(err)
	}
	notify(over(fails("inc-late")))
	am.nothing("told again before it ends, and nothing of what is over", 3*valid)

	page = over(page)
	page.Until = page.Until.Truncate(time.Millisecond)
	notify(page)
	expect("resolved", am.next("that it is over", 30*time.Second), "inc-1", Resolved, page.Since, page.Until)

	// Down while something fails and ends.
	am.stop()
	short := fails("inc-short")
	short.Since = short.Since.Truncate(time.Millisecond)
	notify(short)
	short = over(short)
	short.Until = short.Until.Truncate(time.Millisecond)
	notify(short)
	am.start()
	expect("told when it is back", am.next("a page of what is over", 90*time.Second), "inc-short", Firing, short.Since, time.Time{})
	expect("and that it is over", am.next("that it is over", 30*time.Second), "inc-short", Resolved, short.Since, short.Until)
}
