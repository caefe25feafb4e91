package witness

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"ghostlight/buffer"
	"ghostlight/buffer/wire"
	"ghostlight/fleet/events"
	"ghostlight/fleet/incident"
	"ghostlight/fleet/ledger"
	"ghostlight/fleet/registry"
	"ghostlight/fleet/store"
	"ghostlight/slo"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var soho = buffer.Source{Region: "uk", Venue: "soho", Node: "soho-1"}

// A bench is a witness over a real registry; the ledger, the calendar and the
// incidents are the test's.
type bench struct {
	t    *testing.T
	dir  string
	defs []ledger.Definition

	store    *store.Store
	registry *registry.Registry
	cancel   context.CancelFunc
	done     chan error

	mu      sync.Mutex
	windows []events.Window
	buckets map[int64][]slo.Bucket // by minute since the begin, each revision
	outages []slo.Outage
	changes int64
	fails   error // of the next puts
	begun   time.Time
}

func newBench(t *testing.T, i slo.Indicator) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir(), buckets: map[int64][]slo.Bucket{}, begun: time.Now()}
	def := ledger.Definition{Objective: slo.Objective{Name: "ours", Target: 0.9, Indicator: i, Hash: 7}}
	def.Nodes = []ledger.Participant{{Source: soho, Since: slo.MinuteOf(b.begun)}}
	other := ledger.Definition{Objective: slo.Objective{Name: "theirs", Indicator: slo.Indicator{Outcome: &slo.OutcomeIndicator{Kind: "payment"}}}, Nodes: def.Nodes}
	b.defs = []ledger.Definition{def, other}
	b.until(24 * time.Hour)
	b.start()
	t.Cleanup(func() { b.stop() })
	return b
}

// until says for how long after the begin the node is expected on.
func (b *bench) until(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.windows = []events.Window{{From: b.begun, To: b.begun.Add(d)}}
}

// breaks makes puts fail, or work again with nil.
func (b *bench) breaks(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fails = err
}

func (b *bench) start() {
	b.t.Helper()
	ctx := context.Background()
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	var err error
	if b.store, err = store.Open(ctx, b.dir); err != nil {
		b.t.Fatal(err)
	}
	b.registry, err = registry.New(ctx, registry.Options{Store: b.store, Members: []registry.Member{{Source: soho}}, DarkAfter: 15 * time.Second, Log: quiet})
	if err != nil {
		b.t.Fatal(err)
	}
	w, err := New(ctx, Options{Store: b.store, Ledger: b, Nodes: b.registry, Calendar: b, Incidents: b, DarkAfter: 15 * time.Second, Log: quiet})
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, b.cancel = context.WithCancel(ctx)
	b.done = make(chan error, 2)
	for _, run := range []func(context.Context) error{b.registry.Run, w.Run} {
		go func() { b.done <- run(ctx) }()
	}
	synctest.Wait()
}

func (b *bench) stop() {
	b.t.Helper()
	b.cancel()
	if err := errors.Join(<-b.done, <-b.done, b.store.Close()); err != nil {
		b.t.Error(err)
	}
}

// pass lets time pass; while it is heard the node says every second how much waits.
func (b *bench) pass(d time.Duration, heard bool, waiting int64) {
	b.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); {
		if heard {
			b.beat(waiting, false)
		}
		time.Sleep(time.Second)
		synctest.Wait()
	}
}

func (b *bench) beat(waiting int64, goodbye bool) {
	b.t.Helper()
	hb := wire.Heartbeat{SentMS: time.Now().UnixMilli(), Goodbye: goodbye, Lanes: map[buffer.Lane]wire.LaneStats{buffer.Revenue: {Records: wire.RecordStats{Waiting: waiting}}}}
	if _, err := b.registry.Heartbeat(soho, hb); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) ExpectedWindows(_ string, from, to time.Time) []events.Window {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []events.Window
	for _, w := range b.windows {
		if w.From.Before(to) && w.To.After(from) {
			out = append(out, w)
		}
	}
	return out
}

func (b *bench) Objectives(context.Context) ([]ledger.Definition, error) { return b.defs, nil }

// Put keeps what a transaction puts, which the tests let fail only as a whole.
func (b *bench) Put(_ context.Context, _ *sql.Tx, src buffer.Source, bucket slo.Bucket) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fails != nil {
		return b.fails
	}
	if err := bucket.Validate(); err != nil || src != soho || bucket.Objective != "ours" || bucket.Hash != 7 {
		return errors.Join(err, errors.New("no bucket of ours"))
	}
	m := bucket.Minute - slo.MinuteOf(b.begun)
	b.buckets[m] = append(b.buckets[m], bucket)
	return nil
}

func (b *bench) Touched(_ context.Context, after int64, open bool) (out []incident.Place, next int64, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, o := range b.outages {
		if b.changes > after || (open && o.Parity.IsZero()) {
			out = append(out, incident.Place{Source: soho, Minute: slo.MinuteOf(o.Failed)})
		}
	}
	return out, b.changes, nil
}

func (b *bench) Outages(_ context.Context, _ buffer.Source, from, to time.Time) (out []slo.Outage, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, o := range b.outages {
		if !o.Failed.Before(from) && o.Failed.Before(to) {
			if o.Parity.IsZero() {
				o.SeenTil = time.Now()
			}
			out = append(out, o)
		}
	}
	return out, nil
}

func (b *bench) set(list ...slo.Outage) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.outages, b.changes = list, b.changes+1
}

// told is, by minute, what its last revision says.
func (b *bench) told() (out []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for m := int64(0); b.buckets[m] != nil; m++ {
		list := b.buckets[m]
		best := slices.MaxFunc(list, func(x, y slo.Bucket) int { return int(x.Revision) - int(y.Revision) })
		word := map[slo.State]string{slo.Gap: "gap", slo.Excluded: "excluded", slo.Measured: "none"}[best.State]
		switch {
		case best.Total > 1:
			word = "several"
		case best.Total == 1 && best.Good == 1:
			word = "good"
		case best.Total == 1:
			word = "bad"
		}
		if len(list) > 1 {
			word += ", revised"
		}
		out = append(out, word)
	}
	return out
}

func TestContact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, slo.Indicator{Contact: &slo.ContactIndicator{}})
		b.until(17 * time.Minute)
		b.pass(2*time.Minute, false, 0) // 0, 1: never heard yet
		b.pass(2*time.Minute, true, 0)  // 2, 3
		b.pass(150*time.Second, false, 0)
		b.pass(90*time.Second, true, 0) // 4 and 5 are dark, 6 is heard in part
		b.stop()
		time.Sleep(2 * time.Minute) // 8 and 9 are the centre's own
		b.start()
		b.pass(time.Minute, true, 0) // 10
		b.beat(0, true)
		b.pass(3*time.Minute, false, 0) // 11 to 13: packed up
		b.pass(2*time.Minute, true, 0)
		b.breaks(errors.New("the disk is full"))
		b.pass(2*time.Minute, true, 0)
		b.breaks(nil)
		b.pass(2*time.Minute, true, 0) // from 17 on it need not be there
		want := []string{
			"gap", "gap", "good", "good", "bad", "bad", "good", "good", "gap", "gap", "good", "excluded", "excluded", "excluded", "good", "good", "good", "excluded", "excluded",
		}
		if diff := cmp.Diff(want, b.told()); diff != "" {
			t.Errorf("by minute (-want +got):\n%s", diff)
		}
	})
}

func TestContactCatchesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, slo.Indicator{Contact: &slo.ContactIndicator{}})
		b.pass(2*time.Minute, true, 0)
		b.stop()
		time.Sleep(30 * 24 * time.Hour)
		b.until(31 * 24 * time.Hour)
		b.start()
		b.pass(3*time.Minute, true, 0)
		told := b.told()
		if n := len(told); n != 30*24*60+2+2 {
			t.Errorf("%d minutes are counted", n)
		}
		if told[0] != "good" || told[10] != "gap" || told[len(told)-1] != "good" || slices.Contains(told, "good, revised") {
			t.Errorf("%q, %q, %q", told[0], told[10], told[len(told)-1])
		}
	})
}

func TestRecovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, slo.Indicator{Recovery: &slo.RecoveryIndicator{Seconds: 300}})
		at := func(minutes float64) time.Time { return b.begun.Add(time.Duration(minutes * float64(time.Minute))) }
		one, two, three := slo.Outage{Failed: at(0.5)}, slo.Outage{Failed: at(2.5)}, slo.Outage{Failed: at(5.5)}
		b.pass(90*time.Second, true, 0)
		b.set(one)
		b.pass(90*time.Second, true, 0)
		b.set(one, two)
		b.pass(time.Minute, true, 0)
		if diff := cmp.Diff([]string{"none", "none", "none"}, b.told()); diff != "" {
			t.Errorf("while both are young (-want +got):\n%s", diff)
		}
		two.Parity = at(4)
		b.set(one, two)
		b.pass(time.Minute, true, 0)
		if diff := cmp.Diff([]string{"none", "none", "good, revised", "none"}, b.told()); diff != "" {
			t.Errorf("once one is over (-want +got):\n%s", diff)
		}
		b.pass(2*time.Minute, true, 0) // the first is late, and its node has more to tell from now on
		b.pass(5*time.Minute, true, 9)
		if diff := cmp.Diff([]string{"bad, revised", "none", "good, revised", "none", "none", "none"}, b.told()); diff != "" {
			t.Errorf("with a backlog (-want +got):\n%s", diff)
		}
		b.stop()
		three.Parity = at(6)
		one.Parity = at(3) // told late: it was in time
		b.set(one, two, three, slo.Outage{Failed: at(8.5), Parity: at(9)}, slo.Outage{Failed: at(8.6), Parity: at(9)})
		b.start()
		b.pass(2*time.Minute, true, 0)
		want := []string{"good, revised", "none", "good, revised", "none", "none", "good, revised", "none", "none", "several", "none", "none", "none", "none"}
		if diff := cmp.Diff(want, b.told()); diff != "" {
			t.Errorf("once it has landed (-want +got):\n%s", diff)
		}
	})
}
