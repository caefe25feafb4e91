package ledger_test

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/fleet/burn"
	"ghostlight/fleet/events"
	"ghostlight/fleet/ledger"
	"ghostlight/fleet/registry"
	views "ghostlight/fleet/status/objectives"
	"ghostlight/fleet/store"
	"ghostlight/slo"
	"ghostlight/slo/openslo"
)

// What the benchmarks are made of. GHOSTLIGHT_LEDGER_NODES and _DAYS make them as
// large as the product's goals ask: 10000 and 90. One core does everything.
const (
	groupBlocks = 64 // blocks a transaction, as ingest has it
	objectives  = 12
	loadHours   = 76 // as far back as any rule looks; the rest is loaded in quiet times
)

func setting(b testing.TB, name string, usual int) int {
	b.Helper()
	text := os.Getenv("GHOSTLIGHT_LEDGER_" + name)
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		b.Fatalf("GHOSTLIGHT_LEDGER_%s=%s is no number", name, text)
	}
	return n
}

// A fleet is a centre with nodes in venues of three or four, and a history.
type fleet struct {
	b       testing.TB
	dir     string
	ms      atomic.Int64
	store   *store.Store
	ledger  *ledger.Ledger
	room    *burn.Room
	sources []buffer.Source
	ids     []int64
	defs    []slo.Objective
	rng     *rand.Rand
	minute  int64 // the next to come
}

func (f *fleet) now() time.Time { return time.UnixMilli(f.ms.Load()) }

func newFleet(b testing.TB, nodes int) *fleet {
	b.Helper()
	f := &fleet{b: b, dir: b.TempDir(), rng: rand.New(rand.NewPCG(4, 2)), minute: slo.MinuteOf(time.Date(2025, 6, 1, 20, 0, 0, 0, time.UTC))}
	f.ms.Store(f.minute * 60_000)
	var err error
	f.store, err = store.Open(b.Context(), f.dir)
	f.must(err)
	b.Cleanup(func() { f.store.Close() })
	for i := range nodes {
		f.sources = append(f.sources, buffer.Source{Region: fmt.Sprintf("region-%02d", i/500), Venue: fmt.Sprintf("venue-%04d", i*3/10), Node: fmt.Sprintf("node-%d", i)})
	}
	f.must(f.store.Write(b.Context(), func(tx *sql.Tx) error {
		for _, s := range f.sources {
			if _, err := tx.Exec(`INSERT INTO sources (region, venue, node) VALUES (?, ?, ?)`, s.Region, s.Venue, s.Node); err != nil {
				return err
			}
		}
		return nil
	}))
	for _, s := range f.sources {
		id, err := f.store.Register(b.Context(), s)
		f.must(err)
		f.ids = append(f.ids, id)
	}
	f.open()
	return f
}

func (f *fleet) must(err error) {
	f.b.Helper()
	if err != nil {
		f.b.Fatal(err)
	}
}

func (f *fleet) open() {
	f.b.Helper()
	var err error
	f.ledger, err = ledger.New(f.b.Context(), f.store, ledger.Clock(f.now))
	f.must(err)
}

// watch opens the burn alerts and loads their windows.
func (f *fleet) watch() {
	f.b.Helper()
	var err error
	f.room, err = burn.New(f.b.Context(), burn.Options{Store: f.store, Ledger: f.ledger, Now: f.now})
	f.must(err)
	for more, hours := true, 0; more && hours < loadHours; hours++ {
		more, err = f.room.Load(f.b.Context())
		f.must(err)
	}
	f.must(f.room.Step(f.b.Context()))
}

const benchDocument = `{"apiVersion":"openslo/v1","kind":"SLO","metadata":{"name":"objective-%d"},"spec":{"service":"checkout",
"indicator":{"metadata":{"name":"payments"},"spec":{"ratioMetric":{
"good":{"metricSource":{"type":"ghostlight","spec":{"count":"good","outcomes":"payment"}}},
"total":{"metricSource":{"type":"ghostlight","spec":{"count":"total","outcomes":"payment"}}}}}},
"timeWindow":[{"duration":"28d","isRolling":true}],"budgetingMethod":"Occurrences","objectives":[{"target":0.99}]}}`

// promise has every node answer for twelve objectives since some days ago.
func (f *fleet) promise(days int) {
	f.b.Helper()
	since := f.now().Add(-time.Duration(days) * 24 * time.Hour)
	for i := range objectives {
		name := fmt.Sprintf("objective-%d", i)
		decoded, err := openslo.Decode(name, fmt.Appendf(nil, benchDocument, i))
		f.must(err)
		f.defs = append(f.defs, decoded[0])
		f.must(f.store.Write(f.b.Context(), func(tx *sql.Tx) error {
			for _, s := range f.sources {
				rec := delta.Record{Kind: ledger.KindObjective, Key: name, Time: since.UnixMilli(), Body: decoded[0].Document}
				if err := f.ledger.Apply(f.b.Context(), tx, s, rec); err != nil {
					return err
				}
			}
			return nil
		}))
	}
}

// draw is one bucket of a venue in business.
func (f *fleet) draw(objective int, minute int64) slo.Bucket {
	d := &f.defs[objective%objectives]
	total := f.rng.Int64N(30)
	good := total
	if total > 0 && f.rng.IntN(30) == 0 {
		good--
	}
	return slo.Bucket{
		Objective: d.Name, Hash: d.Hash, Minute: minute, Epoch: 1, Revision: uint32(6 + f.rng.IntN(2)), Good: good, Total: total, Observed: 60, Passing: true, State: slo.Measured,
	}
}

func (f *fleet) fill(days int) {
	f.b.Helper()
	hour := f.minute / 60
	f.must(f.ledger.FillHours(f.b.Context(), hour-int64(days)*24, hour, f.ids, 3, func(o int, m int64) slo.Bucket { return f.draw(o-1, m) }))
}

// blocks are the records of one minute, or more, of some nodes, a block each.
func (f *fleet) blocks(sources []buffer.Source, from, minutes int64) [][]delta.Record {
	f.b.Helper()
	out := make([][]delta.Record, len(sources))
	for i := range out {
		for m := from; m < from+minutes; m++ {
			for o := range objectives {
				b := f.draw(o, m)
				body, err := b.AppendBinary(nil)
				f.must(err)
				out[i] = append(out[i], delta.Record{Kind: ledger.KindBucket, Time: m * 60_000, Body: body})
			}
		}
	}
	return out
}

// accept applies blocks as ingest does, a group in a transaction.
func (f *fleet) accept(sources []buffer.Source, blocks [][]delta.Record) {
	f.b.Helper()
	for from := 0; from < len(blocks); from += groupBlocks {
		f.must(f.store.Write(f.b.Context(), func(tx *sql.Tx) error {
			for i := from; i < min(from+groupBlocks, len(blocks)); i++ {
				for _, rec := range blocks[i] {
					if err := f.ledger.Apply(f.b.Context(), tx, sources[i], rec); err != nil {
						return err
					}
				}
			}
			return nil
		}))
	}
}

// live is one minute of all nodes, accepted and evaluated.
func (f *fleet) live() time.Duration {
	f.b.Helper()
	blocks := f.blocks(f.sources, f.minute, 1)
	f.minute++
	f.ms.Store(f.minute*60_000 + 2000)
	return f.cpu(func() {
		f.accept(f.sources, blocks)
		f.must(f.room.Step(f.b.Context()))
	})
}

// cpu is the time that all of the process computes while fn runs: what one core that
// is ours alone takes for it. The disk's time is not in it.
func (f *fleet) cpu(fn func()) time.Duration {
	f.b.Helper()
	used := func() time.Duration {
		var u syscall.Rusage
		f.must(syscall.Getrusage(syscall.RUSAGE_SELF, &u))
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	start := used()
	fn()
	return used() - start
}

// resident is the memory of the process that is its own, in MiB.
func resident(b testing.TB) float64 {
	b.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kib, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 64)
			if err != nil {
				b.Fatal(err)
			}
			return kib / 1024
		}
	}
	b.Fatal("no RssAnon in /proc/self/status")
	return 0
}

func (f *fleet) diskBytes() (n int64) {
	files, err := filepath.Glob(filepath.Join(f.dir, "*"))
	f.must(err)
	for _, file := range files {
		info, err := os.Stat(file)
		f.must(err)
		n += info.Size()
	}
	return n
}

// oneCore has everything on one core and a memory limit like the centre's.
func oneCore(b *testing.B) {
	cores, limit := runtime.GOMAXPROCS(1), debug.SetMemoryLimit(760<<20)
	b.Cleanup(func() {
		runtime.GOMAXPROCS(cores)
		debug.SetMemoryLimit(limit)
	})
}

// BenchmarkMinute accepts and evaluates a minute of the whole fleet, with a history
// of one day and of many.
func BenchmarkMinute(b *testing.B) {
	oneCore(b)
	nodes := setting(b, "NODES", 300)
	for _, days := range []int{1, setting(b, "DAYS", 3)} {
		b.Run(fmt.Sprintf("nodes=%d/days=%d", nodes, days), func(b *testing.B) {
			f := newFleet(b, nodes)
			f.promise(days)
			f.fill(days)
			loading := f.cpu(f.watch)
			f.live() // the first of an hour makes its chunks
			var sum, most time.Duration
			b.ResetTimer()
			for range b.N {
				took := f.live()
				sum, most = sum+took, max(most, took)
			}
			b.ReportMetric(sum.Seconds()/float64(b.N), "s/minute")
			b.ReportMetric(most.Seconds(), "worst-s/minute")
			b.ReportMetric(float64(sum.Nanoseconds())/float64(b.N*nodes*objectives), "ns/bucket")
			b.ReportMetric(resident(b), "MiB")
			b.ReportMetric(float64(f.diskBytes())/(1<<30), "disk-GiB")
			b.ReportMetric(float64(f.diskBytes())/float64(days*24*60*nodes*objectives), "disk-B/bucket")
			b.ReportMetric(loading.Seconds(), "load-s")
		})
	}
}

// BenchmarkLate has 3 % of the nodes come back after a day while the others go on:
// how long the evaluation of live minutes takes meanwhile.
func BenchmarkLate(b *testing.B) {
	oneCore(b)
	nodes := setting(b, "NODES", 300)
	back := max(1, nodes*3/100)
	for range b.N {
		f := newFleet(b, nodes)
		f.promise(2)
		f.fill(2)
		f.must(f.forget(b.Context(), f.ids[:back], 24))
		f.watch()
		f.live()
		first := f.minute - 24*60
		var late, worst time.Duration
		for hour := range int64(24) {
			// Each node's backlog of an hour is a block; live blocks come between groups.
			blocks := f.blocks(f.sources[:back], first+hour*60, 60)
			took := f.cpu(func() { f.accept(f.sources[:back], blocks) })
			late += took
			worst = max(worst, took+f.live())
		}
		b.ReportMetric(late.Seconds(), "late-s")
		b.ReportMetric(float64(late.Nanoseconds())/float64(back*24*60*objectives), "ns/late-bucket")
		b.ReportMetric(late.Seconds()+f.live().Seconds(), "all-before-live-s")
		b.ReportMetric(worst.Seconds(), "worst-live-s")
		b.ReportMetric(resident(b), "MiB")
	}
}

// forget removes the last hours of some nodes: they were dark.
func (f *fleet) forget(ctx context.Context, ids []int64, hours int64) error {
	return f.store.Write(ctx, func(tx *sql.Tx) error {
		for _, id := range ids {
			for h := f.minute/60 - hours; h < f.minute/60; h++ {
				if _, err := tx.ExecContext(ctx, `DELETE FROM node_hours WHERE hour = ? AND source = ?`, h, id); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// BenchmarkStatus asks for four weeks of one objective: of a venue, of the fleet, and
// of every watched scope at once from the running windows.
func BenchmarkStatus(b *testing.B) {
	oneCore(b)
	nodes, days := setting(b, "NODES", 60), min(28, setting(b, "DAYS", 3))
	f := newFleet(b, nodes)
	f.promise(days)
	f.fill(days)
	f.watch()
	ask := func(sel ledger.Selection) func(b *testing.B) {
		return func(b *testing.B) {
			for range b.N {
				st, err := f.ledger.Status(b.Context(), "objective-3", sel, f.now().Add(-time.Duration(days)*24*time.Hour), f.now())
				if err != nil || st.Total == 0 {
					b.Fatalf("%+v (%v)", st, err)
				}
			}
		}
	}
	b.Run("venue", ask(ledger.Selection{Venues: []string{"venue-0001"}}))
	b.Run("fleet", ask(ledger.Selection{}))
	for more := true; more; {
		var err error
		more, err = f.room.Load(b.Context())
		f.must(err)
	}
	b.Run("current", func(b *testing.B) {
		for range b.N {
			if len(f.room.Current(b.Context())) == 0 {
				b.Fatal("nothing stands")
			}
		}
	})
}

// Nodes makes the fleet its own registry.
func (f *fleet) Nodes() []registry.View {
	out := make([]registry.View, 0, len(f.sources))
	for _, s := range f.sources {
		out = append(out, registry.View{Source: s})
	}
	return out
}

// quiet is a calendar without shows.
type quiet struct{}

func (quiet) List(context.Context) ([]events.Event, error) { return nil, nil }
func (quiet) Get(context.Context, string) (events.Event, error) {
	return events.Event{}, events.ErrUnknown
}

// BenchmarkViews makes the views of all objectives and of one, of the whole fleet and of
// a region, as the ledger reads them and as the running sums have them.
func BenchmarkViews(b *testing.B) {
	oneCore(b)
	nodes, days := setting(b, "NODES", 60), setting(b, "DAYS", 3)
	f := newFleet(b, nodes)
	f.promise(days)
	f.fill(days)
	f.watch()
	f.live()
	for more := true; more; {
		var err error
		more, err = f.room.Load(b.Context())
		f.must(err)
	}
	for _, by := range []struct {
		name string
		book views.Ledger
	}{{"sums", burn.Standings{Ledger: f.ledger, Room: f.room}}, {"ledger", f.ledger}} {
		v, err := views.New(views.Options{Nodes: f, Ledger: by.book, Calendar: quiet{}, Now: f.now})
		f.must(err)
		for _, q := range []views.Query{{}, {Region: "region-00"}} {
			where := cmp.Or(q.Region, "fleet")
			b.Run(where+"/list/"+by.name, func(b *testing.B) {
				for range b.N {
					l, err := v.List(b.Context(), q)
					if err != nil || len(l.List) != objectives || l.List[0].Own.Total == 0 {
						b.Fatalf("%d objectives (%v)", len(l.List), err)
					}
				}
			})
			b.Run(where+"/detail/"+by.name, func(b *testing.B) {
				for range b.N {
					d, err := v.Objective(b.Context(), "objective-3", q)
					if err != nil || len(d.Venues) == 0 || d.Own.Total == 0 {
						b.Fatalf("%d venues (%v)", len(d.Venues), err)
					}
				}
			})
			b.Run(where+"/history/"+by.name, func(b *testing.B) {
				for range b.N {
					h, err := v.History(b.Context(), "objective-3", q)
					if err != nil || len(h.Points) == 0 {
						b.Fatalf("%d points (%v)", len(h.Points), err)
					}
				}
			})
		}
	}
}
