package ledger

import (
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/fleet/store"
	"ghostlight/slo"
	"ghostlight/slo/openslo"
)

var (
	soho   = buffer.Source{Region: "uk", Venue: "soho", Node: "soho-1"}
	camden = buffer.Source{Region: "uk", Venue: "camden", Node: "camden-1"}
)

const document = `{"apiVersion":"openslo/v1","kind":"SLO","metadata":{"name":%q},"spec":{"service":"checkout",
"indicator":{"metadata":{"name":"payments"},"spec":{"ratioMetric":{
"good":{"metricSource":{"type":"ghostlight","spec":{"count":"good","outcomes":"payment"}}},
"total":{"metricSource":{"type":"ghostlight","spec":{"count":"total","outcomes":"payment"}}}}}},
"timeWindow":[{"duration":"28d","isRolling":true}],"budgetingMethod":"Occurrences","objectives":[{"target":0.99}]}}`

func define(t *testing.T, name string) slo.Objective {
	t.Helper()
	objectives, err := openslo.Decode(name, fmt.Appendf(nil, document, name))
	if err != nil {
		t.Fatal(err)
	}
	return objectives[0]
}

// begin is the first minute of most tests, and the centre's clock unless it is moved.
var begin = time.Unix(29_000_040*60, 0)

// A clock is the centre's; it moves when it is told to.
type clock struct{ ms atomic.Int64 }

func (c *clock) now() time.Time   { return time.UnixMilli(c.ms.Load()) }
func (c *clock) set(at time.Time) { c.ms.Store(at.UnixMilli()) }

func open(t *testing.T) (*Ledger, *store.Store) {
	t.Helper()
	c := &clock{}
	c.set(begin.Add(4 * time.Hour))
	l, st := openAt(t, c)
	return l, st
}

func openAt(t *testing.T, c *clock) (*Ledger, *store.Store) {
	t.Helper()
	st, err := store.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	for _, src := range []buffer.Source{soho, camden} {
		if _, err := st.Register(t.Context(), src); err != nil {
			t.Fatal(err)
		}
	}
	return reopen(t, st, c), st
}

// reopen is a new life of the process: what was not durable is gone.
func reopen(t *testing.T, st *store.Store, c *clock) *Ledger {
	t.Helper()
	l, err := New(t.Context(), st, Clock(c.now))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type sent struct {
	source buffer.Source
	record delta.Record
}

func definition(src buffer.Source, o slo.Objective, at time.Time) sent {
	return sent{src, delta.Record{Kind: KindObjective, Key: o.Name, Time: at.UnixMilli(), Body: o.Document}}
}

type fataler interface {
	Helper()
	Fatal(args ...any)
}

func bucket(t fataler, src buffer.Source, b slo.Bucket) sent {
	t.Helper()
	body, err := b.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return sent{src, delta.Record{Kind: KindBucket, Key: b.Key(), Time: b.Minute * 60_000, Body: body}}
}

func apply(t *testing.T, l *Ledger, st *store.Store, records ...sent) error {
	t.Helper()
	return st.Write(t.Context(), func(tx *sql.Tx) error {
		for _, r := range records {
			if err := l.Apply(t.Context(), tx, r.source, r.record); err != nil {
				return err
			}
		}
		return nil
	})
}

// drawBucket makes any bucket of the objective within three hours.
func drawBucket(t *rapid.T, o slo.Objective, first int64) slo.Bucket {
	total := rapid.Int64Range(0, 1<<40).Draw(t, "total")
	return slo.Bucket{
		Objective: o.Name, Hash: rapid.SampledFrom([]uint64{o.Hash, o.Hash, 1, 1<<64 - 1}).Draw(t, "hash"),
		Minute: first + rapid.Int64Range(0, 179).Draw(t, "minute"), Epoch: rapid.Uint32().Draw(t, "epoch"),
		Revision: rapid.Uint32Range(1, 9).Draw(t, "revision"), Total: total, Good: rapid.Int64Range(0, total).Draw(t, "good"),
		Observed: rapid.Uint8Range(0, 60).Draw(t, "observed"), Open: rapid.Bool().Draw(t, "open"),
		Failing: rapid.Bool().Draw(t, "failing"), Passing: rapid.Bool().Draw(t, "passing"),
		State: rapid.SampledFrom([]slo.State{slo.Measured, slo.Gap, slo.Excluded}).Draw(t, "state"),
	}
}

// TestHighestRevisionWins: whatever the order and however often buckets arrive,
// the ledger comes to what the last revisions say.
func TestHighestRevisionWins(t *testing.T) {
	l, st := open(t)
	first := slo.MinuteOf(begin)
	number := 0
	rapid.Check(t, func(rt *rapid.T) {
		number++
		o := define(t, fmt.Sprintf("objective-%d", number))
		buckets := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) slo.Bucket { return drawBucket(rt, o, first) }), 1, 40).Draw(rt, "buckets")
		type place struct {
			source buffer.Source
			minute int64
		}
		newest := map[place]slo.Bucket{}
		records := []sent{definition(soho, o, begin), definition(camden, o, begin)}
		for i, b := range buckets {
			src := []buffer.Source{soho, camden}[i%2]
			records = append(records, bucket(rt, src, b), bucket(rt, src, b))
			at := place{src, b.Minute}
			if old, ok := newest[at]; !ok || b.Supersedes(old) {
				newest[at] = b
			}
		}
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		rng.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
		for group := range slices.Chunk(records, rapid.IntRange(1, 30).Draw(rt, "group")) {
			if err := apply(t, l, st, group...); err != nil {
				rt.Fatal(err)
			}
		}
		end := begin.Add(3 * time.Hour)
		got, err := l.Status(t.Context(), o.Name, Selection{}, begin, end)
		if err != nil {
			rt.Fatal(err)
		}
		want := slo.Evaluate(o, []string{soho.String(), camden.String()}, first, first+180, func(yield func(string, slo.Bucket) bool) {
			for at, b := range newest {
				if !yield(at.source.String(), b) {
					return
				}
			}
		})
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatalf("status (-want +got):\n%s", diff)
		}
		checkMinutes(rt, t, l, o, want)
	})
}

// checkMinutes expects the minutes to add up to the status.
func checkMinutes(rt *rapid.T, t *testing.T, l *Ledger, o slo.Objective, want slo.Status) {
	minutes, err := l.Minutes(t.Context(), o.Name, Selection{}, begin, begin.Add(3*time.Hour))
	if err != nil || len(minutes) != 180 {
		rt.Fatalf("%d minutes (%v)", len(minutes), err)
	}
	var counts slo.Counts
	var pending, gap, measured int
	for i, m := range minutes {
		if m.Minute != minutes[0].Minute+int64(i) {
			rt.Fatalf("minute %d follows %d", m.Minute, minutes[0].Minute)
		}
		counts = counts.Add(m.Counts)
		pending, gap, measured = pending+m.Pending, gap+m.Gap, measured+m.Measured
	}
	if counts != want.Counts || pending != want.Coverage.Pending || gap != want.Coverage.Gap || measured != want.Coverage.Measured {
		rt.Fatalf("minutes add up to %+v, %d pending, %d gap, %d measured; the status is %+v", counts, pending, gap, measured, want)
	}
}

func TestANodeOwesNothingBeforeItsFirstDay(t *testing.T) {
	l, st := open(t)
	o := define(t, "checkout")
	late := begin.Add(50 * time.Minute)
	if err := apply(t, l, st, definition(soho, o, begin), definition(camden, o, late)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		sel  Selection
		want int
	}{
		{Selection{}, 70},
		{Selection{Venues: []string{"soho"}}, 60},
		{Selection{Node: camden}, 10},
		{Selection{Venues: []string{"nowhere"}}, 0},
	} {
		got, err := l.Status(t.Context(), "checkout", tt.sel, begin, begin.Add(time.Hour))
		if err != nil || got.Coverage.Pending != tt.want {
			t.Errorf("%+v: %d minutes are pending (%v), want %d", tt.sel, got.Coverage.Pending, err, tt.want)
		}
	}
	// A bucket from before its definition moves the start.
	early := slo.Bucket{Objective: "checkout", Hash: o.Hash, Minute: slo.MinuteOf(begin) + 30, Revision: 1, Good: 1, Total: 1, State: slo.Measured}
	if err := apply(t, l, st, bucket(t, camden, early)); err != nil {
		t.Fatal(err)
	}
	got, err := l.Status(t.Context(), "checkout", Selection{Node: camden}, begin, begin.Add(time.Hour))
	if err != nil || got.Coverage.Pending != 29 || got.Good != 1 {
		t.Errorf("%+v (%v)", got, err)
	}
}

func TestBucketsMayComeBeforeTheDefinition(t *testing.T) {
	l, st := open(t)
	o := define(t, "checkout")
	b := slo.Bucket{Objective: "checkout", Hash: o.Hash, Minute: slo.MinuteOf(begin), Revision: 1, Good: 3, Total: 4, State: slo.Measured}
	if err := apply(t, l, st, bucket(t, soho, b)); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Objective(t.Context(), "checkout"); !errors.Is(err, ErrUnknown) {
		t.Errorf("an objective without definition: %v", err)
	}
	at := begin
	if err := apply(t, l, st, definition(soho, o, at.Add(time.Hour)), definition(soho, o, at)); err != nil {
		t.Fatal(err)
	}
	status, err := l.Status(t.Context(), "checkout", Selection{}, at.Add(time.Second), at.Add(2*time.Second))
	if err != nil || status.Good != 3 || status.Total != 4 || !status.Final {
		t.Errorf("status %+v (%v)", status, err)
	}
	defs, err := l.Objectives(t.Context())
	if err != nil || len(defs) != 1 || defs[0].DefinedMS != at.Add(time.Hour).UnixMilli() || defs[0].Target != 0.99 || len(defs[0].Nodes) != 1 {
		t.Errorf("definitions %+v (%v)", defs, err)
	}
}

func TestMalformedRecords(t *testing.T) {
	l, st := open(t)
	for name, rec := range map[string]delta.Record{
		"bucket":    {Kind: KindBucket, Body: []byte{1}},
		"objective": {Kind: KindObjective, Body: []byte(`{"kind":"SLO"}`)},
		"kind":      {Kind: "other"},
		"name":      bucket(t, soho, slo.Bucket{Objective: "Not A Name", Minute: 1, Revision: 1, State: slo.Measured}).record,
		"minute":    bucket(t, soho, slo.Bucket{Objective: "x", Minute: 1 << 50, Revision: 1, State: slo.Measured}).record,
	} {
		if err := apply(t, l, st, sent{soho, rec}); !errors.Is(err, store.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if defs, err := l.Objectives(t.Context()); err != nil || len(defs) != 0 {
		t.Errorf("definitions %v (%v)", defs, err)
	}
}
