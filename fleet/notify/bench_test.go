package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"ghostlight/fleet/store"
	"ghostlight/slo"
	"ghostlight/slo/incident"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A bench is a notifier over a state that outlives it, inside one synctest bubble.
type bench struct {
	t        *testing.T
	dir      string
	routes   []Route
	giveUp   time.Duration
	store    *store.Store
	notifier *Notifier
	cancel   context.CancelFunc
	done     chan error
	begun    time.Time
}

func newBench(t *testing.T, routes ...Route) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir(), routes: routes, begun: time.Now()}
	b.start()
	return b
}

func (b *bench) start() {
	b.t.Helper()
	var err error
	if b.store, err = store.Open(context.Background(), b.dir); err != nil {
		b.t.Fatal(err)
	}
	b.notifier, err = New(context.Background(), Options{
		Store: b.store, Routes: b.routes, GiveUp: b.giveUp, Rand: func() float64 { return 0.5 }, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.t.Fatal(err)
	}
	var ctx context.Context
	ctx, b.cancel = context.WithCancel(context.Background())
	b.done = make(chan error, 1)
	go func() { b.done <- b.notifier.Run(ctx) }()
}

func (b *bench) stop() {
	b.t.Helper()
	b.cancel()
	if err := <-b.done; err != nil {
		b.t.Errorf("run: %v", err)
	}
	if err := b.store.Close(); err != nil {
		b.t.Error(err)
	}
}

func (b *bench) restart() {
	b.t.Helper()
	b.stop()
	b.start()
}

func (b *bench) notify(n Notification) {
	b.t.Helper()
	if err := b.notifier.Notify(context.Background(), n); err != nil {
		b.t.Fatal(err)
	}
	synctest.Wait()
}

// pass lets time pass and everything settle.
func (b *bench) pass(d time.Duration) {
	time.Sleep(d) // virtual: no time passes outside the bubble
	synctest.Wait()
}

// fails is a notification of an incident that began now.
func fails(key string) Notification {
	return Notification{
		Key: key, Status: Firing, Urgency: slo.Page, Since: time.Now().UTC(),
		Scope: incident.Scope{Region: "north", Venue: "soho", Node: "edge-1", Cause: incident.Objective, Name: "checkout-success"},
	}
}

// over is the notification that it is over now.
func over(n Notification) Notification {
	n.Status, n.Until = Resolved, time.Now().UTC()
	return n
}

// A pager is a receiver that can be down, hang or reject, and keeps what it took.
type pager struct {
	mu      sync.Mutex
	down    bool
	hangs   bool
	lost    bool            // takes messages, but its answer does not arrive
	rejects map[string]bool // keys
	tries   int
	begun   time.Time
	got     []string // "key phase" in order
	when    []time.Duration
	sizes   []int // pages of each message
	last    Message
}

func newPager() *pager { return &pager{begun: time.Now(), rejects: map[string]bool{}} }

func (p *pager) Send(ctx context.Context, m Message) error {
	p.mu.Lock()
	hangs := p.hangs
	p.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tries++
	if p.down {
		return errors.New("connection refused")
	}
	for _, one := range m.Pages {
		if p.rejects[one.Key] {
			return fmt.Errorf("%w: no such pager", ErrRejected)
		}
	}
	for _, one := range m.Pages {
		p.got = append(p.got, one.Key+" "+string(one.Phase))
		p.when = append(p.when, time.Since(p.begun))
	}
	p.sizes = append(p.sizes, len(m.Pages))
	p.last = m
	if p.lost {
		return errors.New("connection reset")
	}
	return nil
}

func (p *pager) set(change func(*pager)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
}

// message is the last that it took.
func (p *pager) message() Message {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

func (p *pager) taken() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.got)
}

// running is a notifier on the real clock that stops with the test.
func running(t *testing.T, o Options) *Notifier {
	t.Helper()
	var err error
	if o.Store, err = store.Open(t.Context(), t.TempDir()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.Store.Close() })
	o.Log = slog.New(slog.DiscardHandler)
	n, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return n
}
