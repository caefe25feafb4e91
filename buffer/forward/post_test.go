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
	"ghostlight/buffer/forward"
	"ghostlight/buffer/queue"
	"ghostlight/buffer/wire"
)

// overLoopback runs a forwarder with its own ways of sending against a server
// until done says so, and returns its status then.
func overLoopback(t *testing.T, server *httptest.Server, done func(*pile, forward.Status) bool) (*pile, forward.Status) {
	t.Helper()
	t.Cleanup(server.Close)
	q := newPile()
	q.add(queue.Entry{Lane: buffer.Revenue, Batch: metric("m")})
	f, err := forward.New(forward.Options{URL: server.URL, Token: token, Queue: q, Goodbye: true, Info: func() wire.Heartbeat { return wire.Heartbeat{Session: q.session} }})
	if err != nil {
		t.Fatal(err)
	}
	status := runUntil(t, f, func() bool { return done(q, f.Status()) })
	return q, status
}

// runUntil runs a forwarder until done says so, and returns its status then.
func runUntil(t testing.TB, f *forward.Forwarder, done func() bool) forward.Status {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- f.Run(ctx) }()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
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
	return status
}

func TestAFleetOfHTTP1GetsRequests(t *testing.T) {
	fleet := newFleet()
	_, status := overLoopback(t, httptest.NewServer(fleet), func(q *pile, _ forward.Status) bool { return q.drained() })
	if !status.Up || status.Mode != forward.ModePost {
		t.Errorf("status %+v", status)
	}
	if fleet.tally().samples != 2 || len(fleet.told()) < 2 {
		t.Errorf("fleet got %d samples and %d heartbeats", fleet.tally().samples, len(fleet.told()))
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
			q, status := overLoopback(t, httptest.NewServer(portal), func(_ *pile, s forward.Status) bool { return s.LastError != "" })
			if status.Up {
				t.Errorf("status %+v", status)
			}
			if s := q.Stats()[buffer.Revenue]; s.Waiting != 2 || s.LostTotal() != 0 {
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
				b := onlyPosts(t)
				b.opts.Client = &http.Client{Transport: slowLink{RoundTripper: b.net, pause: tc.pause}}
				b.queue.add(queue.Entry{Lane: buffer.Revenue, Batch: noise("big", 64<<10)})
				b.start()
				defer func() { b.stop() }()
				time.Sleep(5 * time.Minute)
				if got := b.queue.drained(); got != tc.drained {
					t.Errorf("drained %v, want %v: %+v", got, tc.drained, b.fwd.Status())
				}
			})
		})
	}
}
