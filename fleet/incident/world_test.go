package incident

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"ghostlight/buffer"
	"ghostlight/buffer/wire"
	"ghostlight/fleet/events"
	"ghostlight/fleet/ledger"
	"ghostlight/fleet/notify"
	"ghostlight/fleet/registry"
	"ghostlight/fleet/sales"
	"ghostlight/fleet/store"
	"ghostlight/slo"
	"ghostlight/slo/incident"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const darkAfter = 15 * time.Second

// A world is a book over a registry and a notifier that are real, inside one synctest
// bubble; the calendar, the ledger and the sales are what the test says.
type world struct {
	t        *testing.T
	dir      string
	nodes    []buffer.Source
	carriers map[buffer.Source]string

	windows map[string][]events.Window // by venue; a venue that has none is always on
	facts   facts
	pager   *pager
	wrap    func(Pager) Pager // the notifier; nil: as it is
	recent  time.Duration     // 0: as usual

	store    *store.Store
	registry *registry.Registry
	notifier *notify.Notifier
	book     *Book
	cancel   context.CancelFunc
	done     chan error
}

func newWorld(t *testing.T, nodes ...buffer.Source) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), nodes: nodes, windows: map[string][]events.Window{}, pager: &pager{begun: time.Now()}}
	w.start()
	t.Cleanup(func() { w.stop() })
	return w
}

func (w *world) start() {
	w.t.Helper()
	ctx := context.Background()
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	var err error
	must := func() {
		if err != nil {
			w.t.Fatal(err)
		}
	}
	w.store, err = store.Open(ctx, w.dir)
	must()
	var members []registry.Member
	for _, src := range w.nodes {
		members = append(members, registry.Member{Source: src})
	}
	w.registry, err = registry.New(ctx, registry.Options{Store: w.store, Members: members, DarkAfter: darkAfter, Log: quiet})
	must()
	w.notifier, err = notify.New(ctx, notify.Options{Store: w.store, Routes: []notify.Route{{Name: "phone", Receiver: w.pager}}, Log: quiet})
	must()
	var told Pager = w.notifier
	if w.wrap != nil {
		told = w.wrap(told)
	}
	w.book, err = New(ctx, Options{
		Store: w.store, Nodes: w.registry, Calendar: w, Ledger: &w.facts, Sales: &w.facts, DarkAfter: darkAfter, Pager: told,
		Carrier: func(src buffer.Source) string { return w.carriers[src] }, PublicURL: "https://centre.test", Recent: w.recent, Log: quiet,
	})
	must()
	ctx, w.cancel = context.WithCancel(ctx)
	w.done = make(chan error, 3)
	for _, run := range []func(context.Context) error{w.registry.Run, w.notifier.Run, w.book.Run} {
		go func() { w.done <- run(ctx) }()
	}
	synctest.Wait()
}

func (w *world) stop() {
	w.t.Helper()
	w.cancel()
	err := errors.Join(<-w.done, <-w.done, <-w.done, w.store.Close())
	if err != nil {
		w.t.Error(err)
	}
}

// ExpectedWindows implements [Calendar].
func (w *world) ExpectedWindows(venue string, from, to time.Time) []events.Window {
	if w.windows[venue] == nil {
		return []events.Window{{From: from, To: to}}
	}
	var out []events.Window
	for _, win := range w.windows[venue] {
		if win.From.Before(to) && win.To.After(from) {
			if win.From.Before(from) {
				win.From = from
			}
			if win.To.After(to) {
				win.To = to
			}
			out = append(out, win)
		}
	}
	return out
}

// pass lets time pass while the given nodes say that nothing waits.
func (w *world) pass(d time.Duration, live ...buffer.Source) {
	w.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); {
		for _, src := range live {
			w.beat(src, 0, false)
		}
		time.Sleep(min(time.Second, time.Until(end)))
		synctest.Wait()
	}
}

func (w *world) beat(src buffer.Source, waiting int64, goodbye bool) {
	w.t.Helper()
	hb := wire.Heartbeat{SentMS: time.Now().UnixMilli(), Goodbye: goodbye, Lanes: map[buffer.Lane]wire.LaneStats{
		buffer.Revenue: {Records: wire.RecordStats{Waiting: waiting}},
	}}
	if _, err := w.registry.Heartbeat(src, hb); err != nil {
		w.t.Fatal(err)
	}
	synctest.Wait()
}

// list is what people see.
func (w *world) list(f Filter) []Item {
	w.t.Helper()
	out, err := w.book.List(context.Background(), f)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func (w *world) get(id string) Detail {
	w.t.Helper()
	out, err := w.book.Get(context.Background(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

// one is the only incident there is.
func (w *world) one() Item {
	w.t.Helper()
	list := w.list(Filter{})
	if len(list) != 1 {
		w.t.Fatalf("%d incidents, want 1: %+v", len(list), list)
	}
	return list[0]
}

// facts are a ledger of one objective, and the sales.
type facts struct {
	mu      sync.Mutex
	defs    []ledger.Definition
	pending int
	status  slo.Counts
	failing int
	totals  sales.Totals
}

func (f *facts) set(fn func(*facts)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fn(f)
}

func (f *facts) Objectives(context.Context) ([]ledger.Definition, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.defs, nil
}

func (f *facts) Status(context.Context, string, ledger.Selection, time.Time, time.Time) (slo.Status, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	st := slo.Status{Counts: f.status, Known: f.status.Total > 0, Coverage: slo.Coverage{Pending: f.pending, Failing: f.failing}}
	if st.Known {
		st.SLI = float64(st.Good) / float64(st.Total)
	}
	return st, nil
}

func (f *facts) Nodes(_ context.Context, by sales.Filter) (map[buffer.Source]sales.Totals, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return map[buffer.Source]sales.Totals{by.Node: f.totals}, nil
}

// A pager is a receiver that keeps what it took.
type pager struct {
	begun time.Time

	mu   sync.Mutex
	got  []string // "<phase> <summary>", without how long it took
	keys []string // of the pages that fired, in order
	last notify.Page
}

func (p *pager) Send(_ context.Context, m notify.Message) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, one := range m.Pages {
		summary, _, _ := strings.Cut(one.Summary(), " after ")
		p.got = append(p.got, string(one.Phase)+" "+summary)
		if one.Phase == notify.Fire {
			p.keys = append(p.keys, one.Key)
		}
		p.last = one
	}
	return nil
}

func (p *pager) taken() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.got)
}

func (p *pager) fired() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.keys)
}

func node(region, venue, name string) buffer.Source {
	return buffer.Source{Region: region, Venue: venue, Node: name}
}

var (
	soho    = node("uk", "soho", "soho-1")
	camden  = node("uk", "camden", "camden-1")
	darkOf  = func(src buffer.Source) incident.Scope { return scope(src, incident.Darkness, "") }
	selling = func(nodes ...buffer.Source) []ledger.Definition {
		d := ledger.Definition{Objective: slo.Objective{
			Name: "checkout-success", Target: 0.99, Indicator: slo.Indicator{Outcome: &slo.OutcomeIndicator{Kind: "payment"}},
		}}
		for _, n := range nodes {
			d.Nodes = append(d.Nodes, ledger.Participant{Source: n})
		}
		return []ledger.Definition{d}
	}
)

func scope(src buffer.Source, cause incident.Cause, name string) incident.Scope {
	return incident.Scope{Region: src.Region, Venue: src.Venue, Node: src.Node, Cause: cause, Name: name}
}
