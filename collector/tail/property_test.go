package tail

import (
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"pgregory.net/rapid"
)

// clock is time passed in, for tests that need no goroutine.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func (t *Tail) beat(c *clock, d time.Duration) {
	c.at = c.at.Add(d)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.decideDue(c.at)
	t.unfoldDue(c.at)
}

func genSpec(t *rapid.T) spec {
	return spec{
		trace:  rapid.Uint64Range(1, 20).Draw(t, "trace") * (everything / 21),
		name:   rapid.SampledFrom([]string{"GET /v1/catalog", "POST /v1/orders", "GET /v1/relay"}).Draw(t, "name"),
		took:   time.Duration(rapid.Int64Range(0, int64(1100*time.Millisecond)).Draw(t, "took")),
		failed: rapid.IntRange(0, 9).Draw(t, "failed") == 0,
	}
}

// However the spans of some traces are ordered and batched, the same traces are
// kept, whole, with the same threshold.
func TestDecisionDoesNotDependOnOrderOrBatching(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		specs := rapid.SliceOfN(rapid.Custom(genSpec), 1, 60).Draw(rt, "spans")
		chance := rapid.Float64Range(-1, 1).Draw(rt, "budget left")
		cut := rapid.SliceOfN(rapid.IntRange(1, 7), 60, 60).Draw(rt, "batches")
		order := rapid.Permutation(specs).Draw(rt, "order")
		deliver := func(specs []spec, sizes []int) (*disk, Stats) {
			d, c := newDisk(), &clock{at: time.Unix(5000, 0)}
			o := options(d)
			o.Now = c.now
			tl := newTail(t, o)
			tl.pace.tokens = chance * 2000
			for len(specs) > 0 {
				n := min(len(specs), sizes[0])
				tl.Traces(batch(specs[:n]...))
				specs, sizes = specs[n:], sizes[1:]
			}
			tl.beat(c, 5*time.Second)
			if err := tl.Flush(t.Context()); err != nil {
				rt.Fatal(err)
			}
			for _, names := range d.spans {
				slices.Sort(names)
			}
			return d, tl.Stats()
		}
		one := make([]int, len(specs))
		for i := range one {
			one[i] = len(specs)
		}
		a, sa := deliver(specs, one)
		b, sb := deliver(order, cut)
		if diff := cmp.Diff(a.spans, b.spans); diff != "" {
			rt.Fatalf("other traces are kept: %s", diff)
		}
		// A span that comes once its trace is known to be kept does not raise the
		// reason any more; the totals are the same.
		if diff := cmp.Diff([]int64{sum(sa.Traces.Kept), sum(sa.Traces.Dropped)}, []int64{sum(sb.Traces.Kept), sum(sb.Traces.Dropped)}); diff != "" {
			rt.Fatal(diff)
		}
		if diff := cmp.Diff(a.states, b.states); diff != "" {
			rt.Fatalf("other thresholds: %s", diff)
		}
	})
}

func sum(m map[Reason]int64) int64 {
	var n int64
	for _, v := range m {
		n += v
	}
	return n
}

// Whatever happens, in whatever order: received = kept + dropped + held.
func TestCountsAddUp(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d, c := newDisk(), &clock{at: time.Unix(5000, 0)}
		o := options(d)
		o.Now, o.Memory = c.now, 64<<10
		tl := newTail(t, o)
		var spans, lines int64
		check := func() {
			s := tl.Stats()
			if got := sum(s.Traces.Kept) + sum(s.Traces.Dropped) + s.Traces.Held; got != s.Traces.Received {
				rt.Fatalf("traces: %d received, %d accounted for: %+v", s.Traces.Received, got, s.Traces)
			}
			if got := s.Spans.Stored + sum(s.Spans.Dropped) + s.Spans.Waiting; got != s.Spans.Received || s.Spans.Received != spans {
				rt.Fatalf("spans: %d sent, %d received, %d accounted for: %+v", spans, s.Spans.Received, got, s.Spans)
			}
			if got := s.Lines.Stored + sum(s.Lines.Dropped) + s.Lines.Waiting; got != s.Lines.Received || s.Lines.Received != lines {
				rt.Fatalf("lines: %d sent, %d received, %d accounted for: %+v", lines, s.Lines.Received, got, s.Lines)
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"spans": func(rt *rapid.T) {
				specs := rapid.SliceOfN(rapid.Custom(genSpec), 1, 40).Draw(rt, "spans")
				spans += int64(len(specs))
				tl.Traces(batch(specs...))
			},
			"no id": func(*rapid.T) {
				td := ptrace.NewTraces()
				td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty().SetName("lost")
				spans++
				tl.Traces(td)
			},
			"lines": func(rt *rapid.T) {
				n := rapid.IntRange(1, 30).Draw(rt, "lines")
				lines += int64(n)
				for range n {
					tl.Logs(logs(line{
						body:  rapid.SampledFrom([]string{"sold 1", "sold 22", "cache miss abc", "door opens"}).Draw(rt, "body"),
						level: plog.SeverityNumber(rapid.IntRange(0, 24).Draw(rt, "level")),
					}))
				}
			},
			"expect": func(rt *rapid.T) { tl.Expect(id(rapid.Uint64Range(1, 20).Draw(rt, "trace") * (everything / 21))) },
			"time":   func(rt *rapid.T) { tl.beat(c, time.Duration(rapid.IntRange(0, 20).Draw(rt, "s"))*time.Second) },
			"store":  func(*rapid.T) { tl.store(t.Context()) }, //nolint:errcheck // refused at times, by the action below
			"refuse": func(rt *rapid.T) {
				d.refuse = nil
				if rapid.Bool().Draw(rt, "refuses") {
					d.refuse = errFull
				}
			},
			"": func(*rapid.T) { check() },
		})
	})
}

// A flood of traces and lines never takes more than the memory it was given, and
// what is dropped for that is counted.
func TestFloodStaysWithinItsMemory(t *testing.T) {
	d, c := newDisk(), &clock{at: time.Unix(5000, 0)}
	d.refuse = errFull
	o := options(d)
	o.Now, o.Memory = c.now, 2<<20
	tl := newTail(t, o)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range 60_000 {
		tl.Traces(batch(spec{trace: rnd.Uint64() % everything, failed: i%10 == 0, attr: "exception.message"}))
		tl.Logs(logs(line{body: "order " + words(rnd), level: plog.SeverityNumberError}))
		if i%5000 == 0 {
			tl.beat(c, time.Second)
		}
		if b := tl.Stats().Bytes; b > o.Memory {
			t.Fatalf("%d bytes are held, %d are allowed", b, o.Memory)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 4<<20 {
		t.Errorf("the heap grew by %d KiB, 4096 are allowed", grown>>10)
	} else {
		t.Logf("the heap grew by %d KiB with %d KiB held", grown>>10, tl.Stats().Bytes>>10)
	}
	s := tl.Stats()
	if s.Early == 0 || s.Traces.Dropped[Memory]+s.Traces.Dropped[BufferFull] == 0 || s.Lines.Dropped[BufferFull] == 0 {
		t.Errorf("nothing was dropped for want of memory: %+v", s)
	}
	runtime.KeepAlive(tl)
}

func words(r *rand.Rand) string {
	b := make([]byte, 12)
	for i := range b {
		b[i] = byte('g' + r.IntN(20))
	}
	return string(b)
}

// Within the budget nothing is lost; far beyond it about the budget is kept, and
// the thresholds written down tell how many there were.
func TestBudgetIsKeptAndCountsCanBeRescaled(t *testing.T) {
	for _, tc := range []struct {
		name      string
		perSecond int
	}{{"calm", 1}, {"busy", 40}, {"flood", 400}} {
		t.Run(tc.name, func(t *testing.T) {
			d, c := newDisk(), &clock{at: time.Unix(5000, 0)}
			o := options(d)
			o.Now = c.now
			tl := newTail(t, o)
			rnd := rand.New(rand.NewPCG(7, uint64(tc.perSecond)))
			const seconds = 1200
			for range seconds {
				for range tc.perSecond {
					tl.Traces(batch(spec{trace: rnd.Uint64() % everything}))
				}
				tl.beat(c, time.Second)
				if err := tl.store(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if err := tl.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			sent, kept := float64(seconds*tc.perSecond), float64(len(d.spans))
			if tc.name == "calm" && kept != sent {
				t.Errorf("%v of %v are kept, want all", kept, sent)
			}
			size := 0
			for _, n := range d.sizes {
				size += n
			}
			if perMinute := float64(size) / (seconds / 60); perMinute > 1.15*float64(o.Traces.Budget) {
				t.Errorf("%.0f bytes a minute are kept, %d are allowed", perMinute, o.Traces.Budget)
			} else if tc.name != "calm" && perMinute < 0.5*float64(o.Traces.Budget) {
				t.Errorf("only %.0f bytes a minute are kept, %d are allowed", perMinute, o.Traces.Budget)
			}
			var estimate float64
			for _, state := range d.states {
				estimate += 1 / (1 - float64(upstreamThreshold(state))/everything)
			}
			if math.Abs(estimate-sent) > 0.1*sent {
				t.Errorf("the thresholds tell of %.0f traces, %.0f were sent", estimate, sent)
			}
		})
	}
}
