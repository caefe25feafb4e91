package forward_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/forward"
	"ghostlight/buffer/queue"
	"ghostlight/buffer/wire"
)

// overLoopback runs a forwarder of its own client against a server until done
// says so, and returns its status then.
func overLoopback(t *testing.T, h http.Handler, done func(*queue.Queue, forward.Status) bool) (*queue.Queue, forward.Status) {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	q, err := queue.Open(t.Context(), queue.Options{Dir: t.TempDir(), DiskBudget: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	s := delta.Series{Labels: []delta.Label{{Name: "__name__", Value: "m"}}, Samples: make([]delta.Sample, 3)}
	if err := q.Append(t.Context(), queue.Commit{Entries: []queue.Entry{{Lane: buffer.Revenue, Batch: delta.Batch{Series: []delta.Series{s}}}}}); err != nil {
		t.Fatal(err)
	}
	f, err := forward.New(forward.Options{URL: server.URL, Token: token, Queue: q, Info: func() wire.Heartbeat { return wire.Heartbeat{Session: q.Session()} }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- f.Run(ctx) }()
	for deadline := time.Now().Add(20 * time.Second); !done(q, f.Status()); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("gave up waiting: %+v", f.Status())
			break
		}
	}
	status := f.Status()
	cancel()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	return q, status
}

func TestBlocksAndHeartbeatsOverARealConnection(t *testing.T) {
	fleet := newFleet()
	_, status := overLoopback(t, fleet, func(q *queue.Queue, _ forward.Status) bool { return q.Drained() })
	if !status.Up || status.LastError != "" {
		t.Errorf("status %+v", status)
	}
	if fleet.samples != 3 || len(fleet.beats) == 0 {
		t.Errorf("fleet got %d samples and %d heartbeats", fleet.samples, len(fleet.beats))
	}
}

func TestACaptivePortalIsNotTheFleet(t *testing.T) {
	for name, portal := range map[string]http.HandlerFunc{
		"page":     func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>Welcome</html>") },
		"redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/login", http.StatusFound) },
		"refusal": func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "<html>pay first</html>", http.StatusBadRequest)
		},
		"JSON": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"ok":true}`) },
	} {
		t.Run(name, func(t *testing.T) {
			q, status := overLoopback(t, portal, func(_ *queue.Queue, s forward.Status) bool { return s.LastError != "" })
			if status.Up {
				t.Errorf("status %+v", status)
			}
			if s := q.Stats()[buffer.Revenue]; s.Waiting != 3 || s.LostTotal() != 0 {
				t.Errorf("revenue %+v: something left the buffer", s)
			}
		})
	}
}

// A slowLink takes a request's body a little at a time.
type slowLink struct {
	http.RoundTripper
	pause time.Duration
}

func (s slowLink) RoundTrip(r *http.Request) (*http.Response, error) {
	var body strings.Builder
	buf := make([]byte, 64<<10)
	for {
		n, err := r.Body.Read(buf)
		body.Write(buf[:n])
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		select {
		case <-time.After(s.pause):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	again := r.Clone(r.Context())
	again.Body = io.NopCloser(strings.NewReader(body.String()))
	return s.RoundTripper.RoundTrip(again)
}

func TestASlowLinkThatMovesIsNotGivenUp(t *testing.T) {
	for _, tc := range []struct {
		name    string
		pause   time.Duration // for each 8 KiB of a block of about 64 KiB
		drained bool
	}{
		{"slow", 9 * time.Second, true},
		{"too slow", 11 * time.Second, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				b.useClient(&http.Client{Transport: slowLink{RoundTripper: b.net, pause: tc.pause}})
				body := make([]byte, 64<<10)
				for i := range body {
					body[i] = byte(i * i >> 3 * 31)
				}
				for i := range body { // does not compress
					body[i] ^= byte(uint32(i) * 2654435761 >> 13)
				}
				b.addRecord(buffer.Revenue, body)
				b.start()
				defer func() { b.stop() }()
				time.Sleep(5 * time.Minute)
				if got := b.queue.Drained(); got != tc.drained {
					t.Errorf("drained %v, want %v: %+v", got, tc.drained, b.fwd.Status())
				}
			})
		})
	}
}
