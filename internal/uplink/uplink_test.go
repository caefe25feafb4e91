package uplink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// backend remembers the bodies it was sent, in order of arrival, and echoes.
type backend struct {
	*httptest.Server
	mu     sync.Mutex // guards bodies
	bodies []string
}

func newBackend(t *testing.T) *backend {
	b := &backend{}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		b.mu.Lock()
		b.bodies = append(b.bodies, string(body))
		n := len(b.bodies)
		b.mu.Unlock()
		w.Header().Set("Nth", fmt.Sprint(n))
		w.Write(body)
	}))
	t.Cleanup(b.Close)
	return b
}

func (b *backend) seen() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.bodies...)
}

// start runs an uplink with one route to addr and returns its URL.
func start(t *testing.T, addr string) (*Uplink, string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u, err := New(Options{Routes: []Route{{Name: "fleet", Listener: ln, Backend: addr}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- u.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return u, "http://" + ln.Addr().String()
}

func client(t *testing.T, timeout time.Duration) *http.Client {
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: timeout}
}

func post(c *http.Client, url, body string) (string, *http.Response, error) {
	resp, err := c.Post(url, "text/plain", strings.NewReader(body))
	if err != nil {
		return "", nil, err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	return string(got), resp, err
}

func set(t *testing.T, u *Uplink, f Fault) func() {
	t.Helper()
	clear, err := u.Set(f)
	if err != nil {
		t.Fatal(err)
	}
	return clear
}

func TestTransparentWithoutFault(t *testing.T) {
	b := newBackend(t)
	u, url := start(t, b.Listener.Addr().String())
	c := client(t, 5*time.Second)
	for _, size := range []int{0, 1, 100_000, 3 << 20} {
		want := strings.Repeat("x", size)
		if got, _, err := post(c, url, want); err != nil || got != want {
			t.Fatalf("echo of %d bytes: got %d bytes, error %v", size, len(got), err)
		}
	}
	n := u.Counts()["fleet"]
	if n.Requests != 4 || n.Connections != 1 || n.Refused+n.Broken+n.Swallowed != 0 {
		t.Errorf("counts %+v", n)
	}
}

func TestDeadBackendBreaksTheConnection(t *testing.T) {
	b := newBackend(t)
	addr := b.Listener.Addr().String()
	b.Close()
	u, url := start(t, addr)
	if _, resp, err := post(client(t, 5*time.Second), url, "x"); err == nil {
		t.Fatalf("got an invented answer %s", resp.Status)
	}
	if n := u.Counts()["fleet"].BackendFailed; n < 1 {
		t.Errorf("backend failures counted: %d", n)
	}
}

func TestCutBreaksAndRefusesThenHeals(t *testing.T) {
	b := newBackend(t)
	u, url := start(t, b.Listener.Addr().String())
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok")
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Fatalf("before the cut: %v", err)
	}
	clear := set(t, u, Fault{Kind: Cut})
	conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.Copy(io.Discard, conn); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("established connection: %v, want a reset", err)
	}
	if _, _, err := post(client(t, 5*time.Second), url, "x"); err == nil {
		t.Error("new connection during the cut got an answer")
	}
	clear()
	clear()
	if got, _, err := post(client(t, 5*time.Second), url, "back"); err != nil || got != "back" {
		t.Errorf("after the cut: %q, %v", got, err)
	}
	if n := u.Counts()["fleet"]; n.Broken != 1 || n.Refused < 1 {
		t.Errorf("counts %+v", n)
	}
}

func TestTimedFaultGoesByItself(t *testing.T) {
	b := newBackend(t)
	u, url := start(t, b.Listener.Addr().String())
	set(t, u, Fault{Kind: Cut, For: 50 * time.Millisecond})
	if _, _, err := post(client(t, 5*time.Second), url, "x"); err == nil {
		t.Fatal("cut line answered")
	}
	eventually(t, func() bool { _, _, err := post(client(t, 5*time.Second), url, "x"); return err == nil })
}

func TestDelayAndThrottle(t *testing.T) {
	b := newBackend(t)
	u, url := start(t, b.Listener.Addr().String())
	for _, tc := range []struct {
		name    string
		fault   Fault
		size    int
		atLeast time.Duration
		counted func(Counts) int64
	}{
		{"delay both ways", Fault{Kind: Delay, Delay: 60 * time.Millisecond}, 10, 120 * time.Millisecond, func(c Counts) int64 { return c.Delayed }},
		{"throttle", Fault{Kind: Throttle, BytesPerSecond: 20_000}, 4000, 350 * time.Millisecond, func(c Counts) int64 { return c.Throttled }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			clear := set(t, u, tc.fault)
			defer clear()
			body, begin := strings.Repeat("x", tc.size), time.Now()
			if got, _, err := post(client(t, 10*time.Second), url, body); err != nil || got != body {
				t.Fatalf("got %d bytes, error %v", len(got), err)
			}
			if took := time.Since(begin); took < tc.atLeast {
				t.Errorf("took %v, want at least %v", took, tc.atLeast)
			}
			if n := tc.counted(u.Counts()["fleet"]); n == 0 {
				t.Error("not counted")
			}
		})
	}
}

func TestHalfOpenSwallowsWithoutReset(t *testing.T) {
	b := newBackend(t)
	u, url := start(t, b.Listener.Addr().String())
	clear := set(t, u, Fault{Kind: HalfOpen})
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	eventually(t, func() bool { return u.Counts()["fleet"].Swallowed > 0 })
	conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	var timeout net.Error
	if _, err := conn.Read(make([]byte, 1)); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Fatalf("during half-open: %v, want silence", err)
	}
	clear()
	conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after half-open: %v, want a reset", err)
	}
	if len(b.seen()) != 0 {
		t.Error("backend saw a swallowed request")
	}
}

func TestDuplicate(t *testing.T) {
	b := newBackend(t)
	u, url := start(t, b.Listener.Addr().String())
	set(t, u, Fault{Kind: Duplicate, Every: 2})
	c := client(t, 5*time.Second)
	for _, body := range []string{"one", "two", "three"} {
		got, resp, err := post(c, url, body)
		if err != nil || got != body {
			t.Fatalf("%s: %q, %v", body, got, err)
		}
		if body == "two" && resp.Header.Get("Nth") != "3" {
			t.Errorf("client saw answer %s, want that of the second copy", resp.Header.Get("Nth"))
		}
	}
	if got := strings.Join(b.seen(), " "); got != "one two two three" {
		t.Errorf("backend saw %q", got)
	}
}

func TestReorderLetsALaterRequestPass(t *testing.T) {
	b := newBackend(t)
	u, url := start(t, b.Listener.Addr().String())
	set(t, u, Fault{Kind: Reorder, Every: 1, Hold: 10 * time.Second})
	c := client(t, 15*time.Second)
	first := make(chan error, 1)
	go func() { _, _, err := post(c, url, "first"); first <- err }()
	held := u.routes["fleet"].proxy
	eventually(t, func() bool { held.gate.mu.Lock(); defer held.gate.mu.Unlock(); return held.gate.waiting != nil })
	if _, _, err := post(c, url, "second"); err != nil {
		t.Fatal(err)
	}
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(b.seen(), " "); got != "second first" {
		t.Errorf("backend saw %q", got)
	}
	if n := u.Counts()["fleet"]; n.Reordered != 1 || n.Held != 0 {
		t.Errorf("counts %+v", n)
	}
}

func TestFaultsAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newFaults()
		var clears []func()
		var live []Fault
		for range rapid.IntRange(0, 12).Draw(t, "steps") {
			if len(live) > 0 && rapid.Bool().Draw(t, "clear") {
				i := rapid.IntRange(0, len(live)-1).Draw(t, "which")
				clears[i]()
				clears = append(clears[:i], clears[i+1:]...)
				live = append(live[:i], live[i+1:]...)
				continue
			}
			f := Fault{
				Kind:           rapid.SampledFrom([]Kind{Cut, Delay, Throttle, HalfOpen}).Draw(t, "kind"),
				Delay:          time.Duration(rapid.IntRange(1, 1000).Draw(t, "delay")),
				BytesPerSecond: rapid.Int64Range(1, 1000).Draw(t, "rate"),
			}
			clears, live = append(clears, s.set(f)), append(live, f)
		}
		var want line
		for _, f := range live {
			switch f.Kind {
			case Cut:
				want.cut = true
			case HalfOpen:
				want.swallow = true
			case Delay:
				want.delay += f.Delay
			case Throttle:
				if want.rate == 0 {
					want.rate = f.BytesPerSecond
				}
				want.rate = min(want.rate, f.BytesPerSecond)
			}
		}
		if got, _ := s.line(); got != want {
			t.Fatalf("line %+v, want %+v", got, want)
		}
	})
}

func TestRefusesWhatCannotBe(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	u, err := New(Options{Routes: []Route{{Name: "hub", Listener: ln, Backend: "127.0.0.1:1"}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		fault Fault
		want  string
	}{
		{Fault{Kind: "melt"}, `fault "melt" is unknown; allowed: cut, delay`},
		{Fault{Kind: Delay}, "delay of 0s is out of range"},
		{Fault{Kind: Throttle}, "at least 1"},
		{Fault{Kind: Reorder}, "reorder holds 0s"},
		{Fault{Kind: Duplicate, Every: -1}, "every -1-th request is out of range"},
		{Fault{Kind: Cut, For: -1}, "must not be negative"},
		{Fault{Kind: Cut, Routes: []string{"fleet"}}, `route "fleet" is unknown; allowed: [hub]`},
	} {
		if _, err := u.Set(tc.fault); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("Set(%+v): %v, want %q", tc.fault, err, tc.want)
		}
	}
	for _, o := range []Options{{}, {Routes: []Route{{Name: "a", Listener: ln, Backend: "nohost"}}}, {Routes: []Route{{Name: "a", Backend: "x:1"}}}} {
		if _, err := New(o); err == nil {
			t.Errorf("New(%+v) accepted", o)
		}
	}
}

// FuzzBytesArrive proves that whatever an intact line carries arrives whole.
func FuzzBytesArrive(f *testing.F) {
	f.Add([]byte("hello"), uint16(3))
	f.Add(bytes.Repeat([]byte{0}, 40_000), uint16(50_000))
	f.Fuzz(func(t *testing.T, data []byte, rate uint16) {
		near, far := net.Pipe()
		src, in := net.Pipe()
		r := &route{faults: newFaults(), counts: &counters{}}
		r.faults.set(Fault{Kind: Throttle, BytesPerSecond: 1_000_000 + int64(rate)*1000})
		c := &carried{route: r, lost: make(chan struct{})}
		go func() { in.Write(data); in.Close() }()
		go func() { c.pump(t.Context(), src, near, &r.counts.bytesUp); near.Close() }()
		got, err := io.ReadAll(far)
		if err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%d bytes in, %d out, error %v", len(data), len(got), err)
		}
	})
}

// eventually polls until ok, for at most ten seconds.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatal("did not happen within 10 s")
		}
		time.Sleep(5 * time.Millisecond)
	}
}
