package slo_test

import (
	"encoding/json"
	"iter"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ghostlight/slo"
)

func checkout(capacity int64) slo.Objective {
	ind := slo.Indicator{Outcome: &slo.OutcomeIndicator{Kind: "payment"}}
	return slo.Objective{
		Name: "checkout", Target: 0.99, Indicator: ind, Budgeting: slo.Occurrences, Capacity: capacity,
		Window: slo.Window{Count: 28, Unit: slo.Day, Rolling: true}, Hash: slo.IndicatorHash("checkout", ind),
	}
}

type told struct {
	node string
	b    slo.Bucket
}

func seq(all []told) iter.Seq2[string, slo.Bucket] {
	return func(yield func(string, slo.Bucket) bool) {
		for _, x := range all {
			if !yield(x.node, x.b) {
				return
			}
		}
	}
}

// bucket is a closed, fully watched, measured minute of checkout.
func bucket(minute, good, total int64, change ...func(*slo.Bucket)) slo.Bucket {
	b := slo.Bucket{
		Objective: "checkout", Hash: checkout(0).Hash, Minute: minute, Epoch: 1, Revision: 1,
		Good: good, Total: total, Observed: 60, State: slo.Measured,
	}
	for _, f := range change {
		f(&b)
	}
	return b
}

func revision(n uint32) func(*slo.Bucket) { return func(b *slo.Bucket) { b.Revision = n } }
func state(s slo.State) func(*slo.Bucket) { return func(b *slo.Bucket) { b.State = s } }
func open(b *slo.Bucket)                  { b.Open = true }
func passing(b *slo.Bucket)               { b.Passing = true }
func failing(b *slo.Bucket)               { b.Failing = true }
func observed(s uint8) func(*slo.Bucket)  { return func(b *slo.Bucket) { b.Observed = s } }

func TestEvaluate(t *testing.T) {
	for _, c := range []struct {
		name     string
		capacity int64
		buckets  []told
		to       int64 // from minute 0, nodes a and b
		want     slo.Status
	}{
		{
			name: "nothing is known", to: 2,
			want: slo.Status{Coverage: slo.Coverage{Pending: 4}, Upper: 1, Verdict: slo.Undetermined},
		},
		{
			name: "complete and met, exactly on target", to: 1,
			buckets: []told{{"a", bucket(0, 98, 99)}, {"b", bucket(0, 1, 1)}},
			want: slo.Status{
				Counts: slo.Counts{Good: 99, Total: 100}, Coverage: slo.Coverage{Measured: 2}, Known: true,
				SLI: 0.99, Lower: 0.99, Upper: 0.99, Verdict: slo.Met, Final: true,
			},
		},
		{
			name: "complete and missed", to: 1,
			buckets: []told{{"a", bucket(0, 49, 50)}, {"b", bucket(0, 49, 50)}},
			want: slo.Status{
				Counts: slo.Counts{Good: 98, Total: 100}, Coverage: slo.Coverage{Measured: 2}, Known: true,
				SLI: 0.98, Lower: 0.98, Upper: 0.98, Verdict: slo.Missed, Final: true, BudgetLeft: -1,
			},
		},
		{
			name: "a dark node without capacity leaves it undetermined", to: 1,
			buckets: []told{{"a", bucket(0, 100, 100)}},
			want: slo.Status{
				Counts: slo.Counts{Good: 100, Total: 100}, Coverage: slo.Coverage{Measured: 1, Pending: 1}, Known: true,
				SLI: 1, Upper: 1, Verdict: slo.Undetermined, BudgetLeft: 1,
			},
		},
		{
			name: "with capacity the pending minute bounds it: met already", to: 1, capacity: 1,
			buckets: []told{{"a", bucket(0, 100, 100)}},
			want: slo.Status{
				Counts: slo.Counts{Good: 100, Total: 100}, Coverage: slo.Coverage{Measured: 1, Pending: 1}, Known: true,
				SLI: 1, Lower: 100. / 101, Upper: 1, Verdict: slo.Met, BudgetLeft: 1, CapacityExceeded: 1,
			},
		},
		{
			name: "with capacity: missed whatever comes", to: 1, capacity: 100,
			buckets: []told{{"a", bucket(0, 90, 100)}},
			want: slo.Status{
				Counts: slo.Counts{Good: 90, Total: 100}, Coverage: slo.Coverage{Measured: 1, Pending: 1}, Known: true,
				SLI: 0.9, Lower: 0.45, Upper: 0.95, Verdict: slo.Missed, BudgetLeft: -9,
			},
		},
		{
			name: "an open minute has the rest of its capacity pending", to: 1, capacity: 100,
			buckets: []told{{"a", bucket(0, 60, 60, open)}, {"b", bucket(0, 100, 100)}},
			want: slo.Status{
				Counts: slo.Counts{Good: 160, Total: 160}, Coverage: slo.Coverage{Measured: 2, Open: 1}, Known: true,
				SLI: 1, Lower: 0.8, Upper: 1, Verdict: slo.Undetermined, BudgetLeft: 1,
			},
		},
		{
			name: "gaps and exclusions are no news to wait for", to: 2,
			buckets: []told{
				{"a", bucket(0, 10, 10)},
				{"a", bucket(1, 0, 0, state(slo.Gap))},
				{"b", bucket(0, 0, 0, state(slo.Excluded))},
				{"b", bucket(1, 0, 0, passing)},
			},
			want: slo.Status{
				Counts: slo.Counts{Good: 10, Total: 10}, Coverage: slo.Coverage{Measured: 2, Gap: 1, Excluded: 1, Quiet: 1}, Known: true,
				SLI: 1, Lower: 1, Upper: 1, Verdict: slo.Met, Final: true, BudgetLeft: 1,
			},
		},
		{
			name: "quiet, blind and failing are three facts, and none is a verdict", to: 2,
			buckets: []told{
				{"a", bucket(0, 0, 0, passing)},
				{"a", bucket(1, 0, 0, passing, failing)},
				{"b", bucket(0, 0, 0, passing, observed(59))},
				{"b", bucket(1, 0, 0)},
			},
			want: slo.Status{
				Coverage: slo.Coverage{Measured: 4, Quiet: 1, Failing: 1, Blind: 2}, Upper: 1, Verdict: slo.Undetermined, Final: true,
			},
		},
		{
			name: "the highest revision counts; strangers do not", to: 1,
			buckets: []told{
				{"a", bucket(0, 5, 9, revision(3))},
				{"a", bucket(0, 9, 9, revision(2))},
				{"b", bucket(0, 0, 0, state(slo.Gap))},
				{"c", bucket(0, 1, 1)},
				{"a", bucket(7, 1, 1)},
				{"a", bucket(-1, 1, 1)},
				{"a", bucket(0, 1, 1, revision(9), func(b *slo.Bucket) { b.Hash++ })},
				{"a", bucket(0, 1, 1, revision(9), func(b *slo.Bucket) { b.Objective = "other" })},
				{"a", bucket(0, 2, 1, revision(9))}, // impossible
			},
			want: slo.Status{
				Counts: slo.Counts{Good: 5, Total: 9}, Coverage: slo.Coverage{Measured: 1, Gap: 1}, Known: true,
				SLI: 5. / 9, Lower: 5. / 9, Upper: 5. / 9, Verdict: slo.Missed, Final: true, BudgetLeft: 1 - (4./9)/0.01,
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := slo.Evaluate(checkout(c.capacity), []string{"a", "b"}, 0, c.to, seq(c.buckets))
			near := cmp.Comparer(func(a, b float64) bool { return a == b || math.Abs(a-b) < 1e-9 })
			if diff := cmp.Diff(c.want, got, near); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if _, err := json.Marshal(got); err != nil {
				t.Errorf("status has no JSON: %v", err)
			}
		})
	}
}

func TestEvaluateSpansOwesNothingBeforeJoining(t *testing.T) {
	spans := []slo.Span{{Node: "a", From: 0, To: 3}, {Node: "b", From: 2, To: 3}, {Node: "c", From: 5, To: 3}}
	got := slo.EvaluateSpans(checkout(0), spans, seq([]told{
		{"a", bucket(0, 1, 1)}, {"a", bucket(1, 1, 1)}, {"a", bucket(2, 1, 1)}, {"b", bucket(1, 0, 5)}, {"b", bucket(2, 1, 1)},
	}))
	if got.Total != 4 || got.Coverage.Pending != 0 || !got.Final || got.Verdict != slo.Met {
		t.Errorf("got %+v, want 4 good of 4, final and met", got)
	}
}

func drawBucket(t *rapid.T) slo.Bucket {
	total := rapid.Int64Range(0, 20).Draw(t, "total")
	b := bucket(
		rapid.Int64Range(0, 9).Draw(t, "minute"), rapid.Int64Range(0, total).Draw(t, "good"), total,
		revision(rapid.Uint32Range(1, 3).Draw(t, "revision")),
		state(rapid.SampledFrom([]slo.State{slo.Measured, slo.Measured, slo.Measured, slo.Gap, slo.Excluded}).Draw(t, "state")),
		observed(rapid.Uint8Range(0, 60).Draw(t, "observed")),
	)
	b.Failing, b.Passing, b.Open = rapid.Bool().Draw(t, "failing"), rapid.Bool().Draw(t, "passing"), rapid.Bool().Draw(t, "open")
	return b
}

func drawTold(t *rapid.T) told {
	return told{rapid.SampledFrom([]string{"a", "b", "stranger"}).Draw(t, "node"), drawBucket(t)}
}

// Whatever order buckets come in, and however often, the result is the same.
func TestEvaluateIsASetFunction(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := drawObjective(t)
		buckets := rapid.SliceOfN(rapid.Custom(drawTold), 0, 40).Draw(t, "buckets")
		want := slo.Evaluate(o, []string{"a", "b"}, 0, 10, seq(buckets))
		replayed := append(slices.Clone(buckets), buckets[:rapid.IntRange(0, len(buckets)).Draw(t, "repeats")]...)
		replayed = rapid.Permutation(replayed).Draw(t, "order")
		got := slo.Evaluate(o, []string{"a", "b"}, 0, 10, seq(replayed))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("order or repeats change the result (-first +replayed):\n%s", diff)
		}
	})
}

// When what is pending comes in later, within capacity, the final SLI is within
// the bounds told before, and a verdict told before stays true.
func TestBoundsHoldTheFinalValue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		capacity := rapid.Int64Range(1, 20).Draw(t, "capacity")
		o := drawObjective(t)
		o.Capacity, o.Exclusions, o.Hours = capacity, nil, ""
		o.Target = rapid.Float64Range(0.01, 0.99).Draw(t, "target")
		var before, after []told
		for m := range int64(10) {
			total := rapid.Int64Range(0, capacity).Draw(t, "total")
			good := rapid.Int64Range(0, total).Draw(t, "good")
			after = append(after, told{"a", bucket(m, good, total, revision(2))})
			switch rapid.SampledFrom([]string{"pending", "open", "told"}).Draw(t, "what") {
			case "open": // some of the minute's events, as they were then
				g := rapid.Int64Range(0, good).Draw(t, "good so far")
				bad := rapid.Int64Range(0, total-good).Draw(t, "bad so far")
				before = append(before, told{"a", bucket(m, g, g+bad, open)})
			case "told":
				before = append(before, told{"a", bucket(m, good, total)})
			}
		}
		then := slo.Evaluate(o, []string{"a"}, 0, 10, seq(before))
		final := slo.Evaluate(o, []string{"a"}, 0, 10, seq(append(before, after...)))
		if holds := final.Coverage != (slo.Coverage{}); final.Final != holds { // a whole slice, that is
			t.Fatalf("every minute was told, but final is %v: %+v", final.Final, final)
		}
		if !final.Known {
			return
		}
		if final.SLI < then.Lower || final.SLI > then.Upper {
			t.Fatalf("final SLI %v is outside the bounds %v to %v", final.SLI, then.Lower, then.Upper)
		}
		if then.Verdict != slo.Undetermined && then.Verdict != final.Verdict {
			t.Fatalf("the verdict was %s and became %s", then.Verdict, final.Verdict)
		}
	})
}

// Where nobody is expected, nothing is final: whoever turns up may tell of before.
func TestNothingExpectedIsNotFinal(t *testing.T) {
	if st := slo.Evaluate(checkout(0), nil, 0, 10, seq(nil)); st.Final || st.Verdict != slo.Undetermined {
		t.Errorf("judged %+v", st)
	}
	if st := slo.Evaluate(checkout(0), []string{"a"}, 0, 1, seq([]told{{"a", bucket(0, 0, 0)}})); !st.Final {
		t.Errorf("a minute without events that was told is not final: %+v", st)
	}
}

func TestWindowMinutes(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	at := func(s string) time.Time {
		v, err := time.ParseInLocation(time.DateTime, s, berlin)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	calendar := func(n int, u slo.Unit, start string) slo.Window {
		return slo.Window{Count: n, Unit: u, Start: at(start), Zone: berlin}
	}
	for _, c := range []struct {
		name           string
		w              slo.Window
		now, from, end string
	}{
		{"rolling hour", slo.Window{Count: 1, Unit: slo.Hour, Rolling: true}, "2026-11-22 10:30:30", "2026-11-22 09:30:00", "2026-11-22 10:30:00"},
		{"day over the spring change, 23 h", calendar(1, slo.Day, "2026-01-01 06:00:00"), "2026-03-29 05:00:00", "2026-03-28 06:00:00", "2026-03-29 06:00:00"},
		{"day over the autumn change, 25 h", calendar(1, slo.Day, "2026-01-01 00:00:00"), "2026-10-25 23:59:59", "2026-10-25 00:00:00", "2026-10-26 00:00:00"},
		{"two weeks, before its start", calendar(2, slo.Week, "2026-01-05 00:00:00"), "2026-01-04 23:59:00", "2025-12-22 00:00:00", "2026-01-05 00:00:00"},
		{"month from the 31st", calendar(1, slo.Month, "2026-01-31 00:00:00"), "2026-03-01 00:00:00", "2026-02-28 00:00:00", "2026-03-31 00:00:00"},
		{"quarter, first instant", calendar(1, slo.Quarter, "2026-01-01 00:00:00"), "2026-10-01 00:00:00", "2026-10-01 00:00:00", "2027-01-01 00:00:00"},
		{"leap year", calendar(1, slo.Year, "2024-02-29 00:00:00"), "2026-02-28 12:00:00", "2026-02-28 00:00:00", "2027-02-28 00:00:00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := c.w.Validate(); err != nil {
				t.Fatal(err)
			}
			from, to := c.w.Minutes(at(c.now))
			if want := slo.MinuteOf(at(c.from)); from != want {
				t.Errorf("from %v, want %v", slo.MinuteStart(from), c.from)
			}
			if want := slo.MinuteOf(at(c.end)); to != want {
				t.Errorf("to %v, want %v", slo.MinuteStart(to), c.end)
			}
		})
	}
}

// Calendar windows follow each other without gap or overlap.
func TestCalendarWindowsTile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		zone := time.FixedZone("", rapid.IntRange(-12, 14).Draw(t, "zone")*3600)
		w := slo.Window{
			Count: rapid.IntRange(1, 3).Draw(t, "count"), Zone: zone,
			Unit:  rapid.SampledFrom([]slo.Unit{slo.Hour, slo.Day, slo.Week, slo.Month, slo.Quarter}).Draw(t, "unit"),
			Start: time.Unix(rapid.Int64Range(0, 2e9).Draw(t, "start")/60*60, 0),
		}
		now := time.Unix(rapid.Int64Range(0, 2e9).Draw(t, "now"), 0)
		from, to := w.Minutes(now)
		if m := slo.MinuteOf(now); m < from || m >= to {
			t.Fatalf("window %v to %v does not hold %v", slo.MinuteStart(from), slo.MinuteStart(to), now)
		}
		if next, _ := w.Minutes(slo.MinuteStart(to)); next != to {
			t.Fatalf("the next window starts at %v, not %v", slo.MinuteStart(next), slo.MinuteStart(to))
		}
		if _, prev := w.Minutes(slo.MinuteStart(from - 1)); prev != from {
			t.Fatalf("the window before ends at %v, not %v", slo.MinuteStart(prev), slo.MinuteStart(from))
		}
	})
}

func TestMinuteOfFloors(t *testing.T) {
	for s, want := range map[int64]int64{0: 0, 59: 0, 60: 1, -1: -1, -60: -1, -61: -2} {
		if got := slo.MinuteOf(time.Unix(s, 0)); got != want {
			t.Errorf("MinuteOf(%d s) = %d, want %d", s, got, want)
		}
	}
}
