package ingest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/fleet/tsdb"
)

// series is the one time series database that a process can open, for benchmarks.
var series = struct {
	once sync.Once
	dir  string
	db   *tsdb.DB
}{}

func openSeries(b *testing.B) *tsdb.DB {
	b.Helper()
	series.once.Do(func() {
		var err error
		if series.dir, err = os.MkdirTemp("", "ingest-bench-"); err == nil {
			series.db, err = tsdb.Open(tsdb.Options{Dir: series.dir, Retention: 365 * 24 * time.Hour, MemoryBytes: 64 << 20})
		}
		if err != nil {
			b.Fatal(err)
		}
	})
	return series.db
}

func closeSeries() {
	if series.db != nil {
		series.db.Close()
		os.RemoveAll(series.dir)
	}
}

// A venue makes scrapes of a node: events that come now and then, bytes, settings
// that never change, levels of some decimals, and histograms with full-precision
// sums.
type venue struct {
	rng    *rand.Rand
	at     int64
	labels [][]delta.Label
	next   []func() float64
}

func newVenue(seed uint64, start time.Time) *venue {
	v := &venue{rng: rand.New(rand.NewPCG(seed, 7)), at: start.UnixMilli()}
	for i := range 200 {
		rate, n := math.Exp(v.rng.NormFloat64()*2-1), float64(v.rng.IntN(1_000_000))
		v.add(func() float64 { n += math.Floor(rate * v.rng.ExpFloat64()); return n }, "venue_events_total", "kind", i)
	}
	for i := range 80 {
		n := float64(v.rng.IntN(1 << 40))
		v.add(func() float64 { n += 512 * math.Floor(math.Abs(v.rng.NormFloat64())*4000); return n }, "venue_bytes_total", "device", i)
	}
	for i := range 582 {
		n := float64(v.rng.IntN(3) * v.rng.IntN(100_000))
		v.add(func() float64 { return n }, fmt.Sprint("venue_setting_", i/10), "part", i%10)
	}
	for i := range 160 {
		x, p := v.rng.Float64()*100, math.Pow10(i%4)
		v.add(func() float64 { x += v.rng.NormFloat64() / 2; return math.Round(x*p) / p }, "venue_level", "lamp", i)
	}
	for i := range 15 {
		counts, sum := [13]float64{}, 0.0
		observe := func() float64 {
			for range v.rng.IntN(4) {
				x := v.rng.ExpFloat64() / 10
				sum += x
				for le := range counts {
					if x <= math.Ldexp(1, le-9) || le == len(counts)-1 {
						counts[le]++
					}
				}
			}
			return counts[0]
		}
		v.add(observe, fmt.Sprint("venue_journey_", i, "_seconds_bucket"), "le", 0)
		for le := 1; le < len(counts); le++ {
			v.add(func() float64 { return counts[le] }, fmt.Sprint("venue_journey_", i, "_seconds_bucket"), "le", le)
		}
		v.add(func() float64 { return sum }, fmt.Sprint("venue_journey_", i, "_seconds_sum"), "route", i)
	}
	return v
}

func (v *venue) add(next func() float64, name, label string, value int) {
	labels := []delta.Label{
		{Name: "__name__", Value: name}, {Name: "instance", Value: "van-3:9464"}, {Name: "job", Value: "venue"}, {Name: "site", Value: "soho"}, {Name: label, Value: fmt.Sprint(value)},
	}
	slices.SortFunc(labels, func(a, b delta.Label) int { return strings.Compare(a.Name, b.Name) })
	v.labels = append(v.labels, labels)
	v.next = append(v.next, next)
}

// scrape is the next one, 15 s and some jitter later.
func (v *venue) scrape() delta.Batch {
	v.at += 15_000 + int64(v.rng.NormFloat64()*4)
	b := delta.Batch{Series: make([]delta.Series, len(v.next))}
	for i := range v.next {
		b.Series[i] = delta.Series{Labels: v.labels[i], Samples: []delta.Sample{{Time: v.at, Value: v.next[i]()}}}
	}
	return b
}

// cpu is the processor time that this process has taken.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkAccept compares the processor time of everything that happens to frames
// of a stream, from decoding through the journal to the database, with that of
// inserting the same samples.
func BenchmarkAccept(b *testing.B) {
	const scrapes = 400
	db := openSeries(b)
	r := newRig(b, b.TempDir(), func(o *Options) { o.Series = db })
	v := newVenue(1, time.Now().Add(-3*time.Hour))
	batches, frames, encoder := make([]delta.Batch, scrapes), make([][]byte, scrapes), newEncoder(b)
	samples, bytes := 0, 0
	for n := range batches {
		batches[n] = v.scrape()
		var err error
		if frames[n], err = encoder.Encode(nil, delta.Stamp{Lane: buffer.Detail, Session: session, Seq: buffer.Seq(n + 1)}, batches[n]); err != nil {
			b.Fatal(err)
		}
		samples, bytes = samples+batches[n].Samples(), bytes+len(frames[n])
	}
	var direct, ours time.Duration
	node := 0
	for b.Loop() {
		node++
		start := cpu(b)
		insert(b, db, buffer.Source{Region: "uk", Venue: "direct", Node: fmt.Sprint(node)}, batches)
		middle := cpu(b)
		r.acceptAll(b, buffer.Source{Region: "uk", Venue: "stream", Node: fmt.Sprint(node)}, frames)
		direct, ours = direct+middle-start, ours+cpu(b)-middle
	}
	all := float64(samples) * float64(b.N)
	b.ReportMetric(float64(direct.Nanoseconds())/all, "direct-ns/sample")
	b.ReportMetric(float64(ours.Nanoseconds())/all, "stream-ns/sample")
	b.ReportMetric(float64(direct)/float64(ours), "ratio")
	b.ReportMetric(float64(bytes)/float64(samples), "B/sample")
}

func insert(b *testing.B, db *tsdb.DB, src buffer.Source, batches []delta.Batch) {
	b.Helper()
	names := delta.NamesHash(batches[0].Series)
	for _, batch := range batches {
		if _, err := db.Insert(b.Context(), src, names, batch); err != nil {
			b.Fatal(err)
		}
	}
	if err := db.Flush(); err != nil {
		b.Fatal(err)
	}
}

// acceptAll does with frames what a stream does, until they are in the database.
func (r *rig) acceptAll(b *testing.B, src buffer.Source, frames [][]byte) {
	b.Helper()
	s := &stream{i: r.Ingest, source: src, ctx: b.Context()}
	outcomes := make(chan outcome, streamBlocks)
	go func() {
		for _, frame := range frames {
			p, err := s.post(frame)
			if err != nil {
				b.Error(err)
				return
			}
			p.outcome = outcomes
			if err := r.enqueue(b.Context(), p); err != nil {
				b.Error(err)
				return
			}
		}
	}()
	for range frames {
		o := <-outcomes
		r.batches.Release(o.size)
		if o.err != nil || o.duplicate {
			b.Fatalf("%+v", o)
		}
	}
	r.settle()
	if err := series.db.Flush(); err != nil {
		b.Fatal(err)
	}
}
