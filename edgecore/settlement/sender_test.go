package settlement

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

// till is a ledger in memory.
type till struct {
	mu      sync.Mutex
	head    int64
	settled int64
	changed chan struct{}
}

func (l *till) Pending(_ context.Context, limit int) (string, []Entry, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []Entry
	for seq := l.settled + 1; seq <= l.head && len(out) < limit; seq++ {
		out = append(out, Entry{Seq: seq, Type: Sale, PaymentID: "p", AmountMinor: 1, Currency: "EUR"})
	}
	return "ledger", out, nil
}

func (l *till) Settled(_ context.Context, seq int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.settled = seq
	return nil
}

func (l *till) Changed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed
}

func (l *till) sell(n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.head += n
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *till) pending() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.head - l.settled
}

// hub is a hub in memory, as a transport.
type hub struct {
	mu      sync.Mutex
	away    bool
	status  int
	held    map[int64]bool
	through int64
	posts   int
	lose    bool // take the request, then break the connection before the answer
}

func (h *hub) RoundTrip(r *http.Request) (*http.Response, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.posts++
	if h.away {
		return nil, errors.New("connection refused")
	}
	if h.status != 0 {
		return answer(h.status, `{"error":"no"}`), nil
	}
	var req Request
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		return nil, err
	}
	if err := req.Validate(); err != nil {
		return answer(http.StatusBadRequest, err.Error()), nil
	}
	for _, e := range req.Entries {
		h.held[e.Seq] = true
	}
	for h.held[h.through+1] {
		h.through++
	}
	if h.lose {
		return nil, errors.New("connection reset")
	}
	raw, err := json.Marshal(Reply{AcceptedThrough: h.through})
	if err != nil {
		return nil, err
	}
	return answer(http.StatusOK, string(raw)), nil
}

func answer(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Status: http.StatusText(status), Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
}

func (h *hub) set(edit func(*hub)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	edit(h)
}

// during runs a sender in a bubble of virtual time around body.
func during(t *testing.T, log io.Writer, body func(t *testing.T, l *till, h *hub, s *Sender)) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	synctest.Test(t, func(t *testing.T) {
		l := &till{changed: make(chan struct{})}
		h := &hub{held: map[int64]bool{}}
		s, err := NewSender(Options{URL: "http://hub", Node: "n", Ledger: l, Client: &http.Client{Transport: h}, Log: slog.New(slog.NewTextHandler(log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		body(t, l, h, s)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// pass lets virtual time go by.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestBacklogDrainsAfterAnOutage(t *testing.T) {
	var log bytes.Buffer
	during(t, &log, func(t *testing.T, l *till, h *hub, s *Sender) {
		pass(time.Second)
		if !s.Reachable() {
			t.Error("an idle sender does not know that the hub answers")
		}
		h.set(func(h *hub) { h.away = true })
		for range 60 {
			l.sell(20)
			pass(time.Second)
		}
		if s.Reachable() || l.pending() != 1200 {
			t.Errorf("reachable %v, pending %d", s.Reachable(), l.pending())
		}
		h.set(func(h *hub) { h.away = false })
		pass(maxBackoff + time.Second)
		if !s.Reachable() || l.pending() != 0 || len(h.held) != 1200 {
			t.Errorf("reachable %v, pending %d, held %d", s.Reachable(), l.pending(), len(h.held))
		}
	})
	if n := strings.Count(log.String(), "\n"); n != 2 {
		t.Errorf("an outage of a minute is worth two lines, not %d:\n%s", n, log.String())
	}
}

func TestLostAnswersAreHarmless(t *testing.T) {
	during(t, io.Discard, func(t *testing.T, l *till, h *hub, _ *Sender) {
		h.set(func(h *hub) { h.lose = true })
		l.sell(7)
		pass(10 * time.Second)
		if l.pending() != 7 || h.through != 7 {
			t.Errorf("pending %d, held through %d", l.pending(), h.through)
		}
		h.set(func(h *hub) { h.lose = false })
		pass(10 * time.Second)
		if l.pending() != 0 || len(h.held) != 7 {
			t.Errorf("pending %d, held %d", l.pending(), len(h.held))
		}
	})
}

func TestForgetfulHubIsSentEverythingAgain(t *testing.T) {
	during(t, io.Discard, func(t *testing.T, l *till, h *hub, _ *Sender) {
		l.sell(9)
		pass(2 * time.Second)
		h.set(func(h *hub) { h.held, h.through = map[int64]bool{1: true, 2: true}, 2 })
		pass(2*probeEvery + time.Second)
		if h.through != 9 || l.pending() != 0 {
			t.Errorf("held through %d, pending %d", h.through, l.pending())
		}
	})
}

func TestRefusalKeepsEverythingPending(t *testing.T) {
	during(t, io.Discard, func(t *testing.T, l *till, h *hub, s *Sender) {
		h.set(func(h *hub) { h.status = http.StatusConflict })
		l.sell(1)
		pass(time.Minute)
		if l.pending() != 1 || !s.Reachable() {
			t.Errorf("pending %d, reachable %v", l.pending(), s.Reachable())
		}
		if h.posts > 20 {
			t.Errorf("%d attempts in a minute", h.posts)
		}
	})
}

func TestSalesShareRequests(t *testing.T) {
	during(t, io.Discard, func(t *testing.T, l *till, h *hub, _ *Sender) {
		pass(time.Second)
		before := h.posts
		for range 100 {
			l.sell(1)
			pass(20 * time.Millisecond)
		}
		pass(time.Second)
		if sent := h.posts - before; l.pending() != 0 || sent > 6 {
			t.Errorf("100 sales in 2 s took %d requests, pending %d", sent, l.pending())
		}
	})
}

func FuzzRequest(f *testing.F) {
	f.Add([]byte(`{"node":"a","ledger":"l","entries":[{"seq":1,"type":"sale","payment_id":"p","amount_minor":1,"currency":"EUR","time_ms":1}]}`))
	f.Add([]byte(`{"entries":[{"seq":-1}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var r Request
		if json.Unmarshal(raw, &r) != nil || r.Validate() != nil {
			return
		}
		var total int64
		for _, e := range r.Entries {
			if total += e.AmountMinor; e.AmountMinor <= 0 || total <= 0 {
				t.Fatalf("valid entries sum up to %d", total)
			}
		}
	})
}
