package ledger

import (
	"cmp"
	"database/sql"
	"errors"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ghostlight/buffer"
	"ghostlight/fleet/store"
	"ghostlight/slo"
)

// An oracle remembers each transaction that became durable.
type oracle struct {
	o    slo.Objective
	told []toldAt
}

type toldAt struct {
	ms      int64
	source  buffer.Source
	buckets []slo.Bucket
}

// asOf replays what had arrived by a time.
func (o oracle) asOf(ms int64) map[buffer.Source]map[int64]slo.Bucket {
	out := map[buffer.Source]map[int64]slo.Bucket{soho: {}, camden: {}}
	for _, told := range o.told {
		if told.ms > ms {
			continue
		}
		for _, b := range told.buckets {
			if old, ok := out[told.source][b.Minute]; !ok || b.Supersedes(old) {
				out[told.source][b.Minute] = b
			}
		}
	}
	return out
}

// evaluate judges the three hours by what was known.
func (o oracle) evaluate(known map[buffer.Source]map[int64]slo.Bucket, closed int64) slo.Status {
	first := slo.MinuteOf(begin)
	spans := []slo.Span{{Node: "soho", From: first, To: first + 180}, {Node: "camden", From: first, To: first + 180}}
	return slo.EvaluateClosed(o.o, spans, closed, func(yield func(string, slo.Bucket) bool) {
		for src, minutes := range known {
			for _, b := range minutes {
				if !yield(src.Venue, b) {
					return
				}
			}
		}
	})
}

// TestKnowledgeTime: whatever comes in whatever order, however late and with restarts
// between any two commits, at any knowledge time the ledger says what a replay of the
// arrivals up to then says.
func TestKnowledgeTime(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := &clock{}
		c.set(begin.Add(time.Minute))
		l, st := openAt(t, c)
		o := oracle{o: define(t, "checkout")}
		must(rt, apply(t, l, st, definition(soho, o.o, begin), definition(camden, o.o, begin)))
		for range rapid.IntRange(1, 15).Draw(rt, "transactions") {
			step(rt, t, &l, st, c, &o)
		}
		now := c.now()
		for range 5 {
			known := begin.Add(time.Duration(rapid.Int64Range(0, now.Sub(begin).Milliseconds()).Draw(rt, "known")) * time.Millisecond)
			got, err := l.StatusAsOf(t.Context(), o.o.Name, Selection{}, begin, begin.Add(3*time.Hour), known)
			must(rt, err)
			checkKnowledge(rt, o, known.UnixMilli(), got)
		}
		got, err := l.Status(t.Context(), o.o.Name, Selection{}, begin, begin.Add(3*time.Hour))
		must(rt, err)
		if diff := gocmp.Diff(o.evaluate(o.asOf(now.UnixMilli()), o.o.FinalMinute(now)), got); diff != "" {
			rt.Fatalf("as known now (-oracle +ledger):\n%s", diff)
		}
	})
}

// checkKnowledge expects the oracle's status, of which minutes that had not settled
// may be pending instead.
func checkKnowledge(rt *rapid.T, o oracle, ms int64, got slo.Status) {
	rt.Helper()
	closed := o.o.FinalMinute(time.UnixMilli(ms))
	want := o.evaluate(o.asOf(ms), closed)
	if gocmp.Equal(want, got) {
		return
	}
	if diff := gocmp.Diff(o.evaluate(o.settledOnly(ms), closed), got); diff != "" {
		rt.Fatalf("as known at %v (-oracle +ledger):\n%s", time.UnixMilli(ms), diff)
	}
}

// settledOnly is asOf without what was still to change while its minute settled.
func (o oracle) settledOnly(ms int64) map[buffer.Source]map[int64]slo.Bucket {
	known := o.asOf(ms)
	for src, minutes := range known {
		for m, b := range minutes {
			if ms < settledMS(m) && o.asOf(settledMS(m))[src][m] != b {
				delete(minutes, m)
			}
		}
	}
	return known
}

// step lets time pass and something happen.
func step(rt *rapid.T, t *testing.T, l **Ledger, st *store.Store, c *clock, o *oracle) {
	c.set(c.now().Add(time.Duration(rapid.SampledFrom([]int64{0, 1, 700, 10_000, 61_000, 700_000, 4_000_000}).Draw(rt, "passes")) * time.Millisecond))
	now := slo.MinuteOf(c.now())
	first := slo.MinuteOf(begin)
	var records []sent
	told := toldAt{ms: c.now().UnixMilli(), source: rapid.SampledFrom([]buffer.Source{soho, camden}).Draw(rt, "source")}
	for range rapid.IntRange(0, 6).Draw(rt, "buckets") {
		b := drawBucket(rt, o.o, first)
		if rapid.Bool().Draw(rt, "recent") {
			b.Minute = max(first, now-rapid.Int64Range(0, 3).Draw(rt, "ago"))
		}
		b.Minute = min(b.Minute, now, first+179)
		told.buckets = append(told.buckets, b)
		records = append(records, bucket(rt, told.source, b))
	}
	switch rapid.SampledFrom([]string{"commit", "commit", "commit", "rolled back", "restart", "tick", "dies behind"}).Draw(rt, "what") {
	case "rolled back":
		err := st.Write(t.Context(), func(tx *sql.Tx) error {
			for _, r := range records {
				must(rt, (*l).Apply(t.Context(), tx, r.source, r.record))
			}
			return errDied
		})
		if !errors.Is(err, errDied) {
			rt.Fatal(err)
		}
		return
	case "restart":
		*l = reopen(t, st, c)
	case "tick":
		must(rt, (*l).Tick(t.Context()))
	case "dies behind":
		// Durable, but the process never learned.
		must(rt, apply(t, *l, st, records...))
		o.told = append(o.told, told)
		*l = reopen(t, st, c)
		return
	}
	must(rt, apply(t, *l, st, records...))
	o.told = append(o.told, told)
}

var errDied = errors.New("died")

func must(t fataler, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func measured(o slo.Objective, minute int64, revision uint32, good, total int64) slo.Bucket {
	return slo.Bucket{Objective: o.Name, Hash: o.Hash, Minute: minute, Revision: revision, Good: good, Total: total, Observed: 60, Passing: true, State: slo.Measured}
}

// TestCommitThatMayHaveHappened: after a commit that reported an error and happened
// all the same, memory follows with the next transaction.
func TestCommitThatMayHaveHappened(t *testing.T) {
	c := &clock{}
	c.set(begin.Add(10 * time.Minute))
	l, st := openAt(t, c)
	o := define(t, "checkout")
	must(t, apply(t, l, st, definition(soho, o, begin)))
	other := reopen(t, st, c) // stands for what the disk holds and memory does not know
	must(t, apply(t, other, st, bucket(t, soho, measured(o, slo.MinuteOf(begin), 1, 3, 4))))
	l.unsure = true
	must(t, apply(t, l, st, bucket(t, soho, measured(o, slo.MinuteOf(begin)+1, 1, 5, 5))))
	got, err := l.Status(t.Context(), "checkout", Selection{}, begin, begin.Add(2*time.Minute))
	if err != nil || got.Good != 8 || got.Total != 9 || got.Coverage.Pending != 0 {
		t.Errorf("status %+v (%v)", got, err)
	}
}

func TestRevisionsSayWhy(t *testing.T) {
	c := &clock{}
	c.set(begin)
	l, st := openAt(t, c)
	o := define(t, "checkout")
	must(t, apply(t, l, st, definition(soho, o, begin)))
	m := slo.MinuteOf(begin)
	gap := measured(o, m, 3, 0, 0)
	gap.State = slo.Gap
	for _, tt := range []struct {
		after  time.Duration // of the minute's start
		bucket slo.Bucket
	}{
		{30 * time.Second, measured(o, m, 1, 1, 1)},   // while it goes on
		{70 * time.Second, measured(o, m, 2, 2, 2)},   // while it settles
		{10 * time.Minute, measured(o, m+5, 1, 9, 9)}, // a little late
		{20 * time.Minute, measured(o, m+2, 1, 4, 4)}, // after a silence
		{2 * time.Hour, gap},                          // taken back
		{26 * time.Hour, measured(o, m, 4, 3, 3)},     // told again
		{26 * time.Hour, measured(o, m, 4, 3, 3)},     // a repeat
		{27 * time.Hour, measured(o, m, 1, 1, 1)},     // an old revision
		{28 * time.Hour, slo.Bucket{Objective: o.Name, Hash: 1, Minute: m, Revision: 5, Good: 1, Total: 1, State: slo.Measured}}, // another indicator
	} {
		c.set(begin.Add(tt.after))
		must(t, l.Tick(t.Context()))
		must(t, apply(t, l, st, bucket(t, soho, tt.bucket)))
	}
	c.set(begin.Add(30 * time.Hour))
	must(t, l.Tick(t.Context()))
	type line struct {
		Minute   int64
		After    time.Duration
		Cause    Cause
		Was, Is  int64 // totals
		Revision uint32
	}
	want := []line{
		{0, 28 * time.Hour, Redefined, 3, 1, 5},
		{0, 26 * time.Hour, Revised, 0, 3, 4},
		{0, 2 * time.Hour, Attested, 2, 0, 3},
		{2, 20 * time.Minute, Reconnected, -1, 4, 1},
		{5, 10 * time.Minute, Late, -1, 9, 1},
	}
	for _, life := range []*Ledger{l, reopen(t, st, c)} {
		got, err := life.Revisions(t.Context(), RevisionFilter{Objective: "checkout", From: begin, To: begin.Add(time.Hour)})
		must(t, err)
		var lines []line
		for _, r := range got {
			at := line{r.Minute - m, time.UnixMilli(r.ArrivedMS).Sub(begin), r.Cause, -1, r.Is.Total, r.Is.Revision}
			if r.Was != nil {
				at.Was = r.Was.Total
			}
			lines = append(lines, at)
		}
		slices.SortStableFunc(lines, func(a, b line) int { return cmp.Compare(b.After, a.After) })
		if diff := gocmp.Diff(want, lines); diff != "" {
			t.Errorf("revisions (-want +got):\n%s", diff)
		}
	}
	if n, err := l.Revisions(t.Context(), RevisionFilter{Objective: "checkout", From: begin, To: begin.Add(time.Hour), Limit: 2}); err != nil || len(n) != 2 {
		t.Errorf("%d revisions (%v), want 2", len(n), err)
	}
}
