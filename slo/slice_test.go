package slo_test

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ghostlight/slo"
)

// fortnight is the service of OpenSLO's worked example of the three budgeting
// methods: 24,000 requests a day over two weeks, 99 % of them good, until an
// attack leaves 1 % of them good for some minutes; the target is 95 %. A minute
// has 1,700 events here, which is 102 times as many, so that both shares are whole.
func fortnight(method slo.Method, attacked int64) slo.Status {
	o := checkout(0)
	o.Target, o.Budgeting = 0.95, method
	o.Slice = slo.Slice{Minutes: 1, Target: 0.95}
	o.Window = slo.Window{Count: 2, Unit: slo.Week, Rolling: true}
	return slo.Evaluate(o, []string{"a"}, 0, 14*1440, func(yield func(string, slo.Bucket) bool) {
		for m := range int64(14 * 1440) {
			good := int64(1683)
			if m < attacked {
				good = 17
			}
			if !yield("a", bucket(m, good, 1700)) {
				return
			}
		}
	})
}

// Source: OpenSLO, examples/budgeting-method.
func TestBudgetingMethodsWorkedExample(t *testing.T) {
	for _, c := range []struct {
		method slo.Method
		lasts  time.Duration // the longest attack that leaves it met
		says   time.Duration // what the example says, and how precisely
		about  time.Duration
	}{
		{slo.Timeslices, 1008 * time.Minute, 16*time.Hour + 48*time.Minute, 0},
		{slo.RatioTimeslices, 822 * time.Minute, 13*time.Hour + 45*time.Minute, 3 * time.Minute},
		{slo.Occurrences, 822 * time.Minute, 13*time.Hour + 45*time.Minute, 3 * time.Minute}, // where each minute has as many
	} {
		n := int64(c.lasts / time.Minute)
		if got := fortnight(c.method, n); got.Verdict != slo.Met || !got.Final {
			t.Errorf("%s after %v: %+v, want it met", c.method, c.lasts, got)
		}
		if got := fortnight(c.method, n+1); got.Verdict != slo.Missed {
			t.Errorf("%s a minute later: %s, want it missed", c.method, got.Verdict)
		}
		if d := (c.lasts - c.says).Abs(); d > c.about {
			t.Errorf("%s lasts %v, published are %v", c.method, c.lasts, c.says)
		}
	}
	if got := fortnight(slo.Timeslices, 0); got.Total != 20_160 {
		t.Errorf("two weeks are %d slices, published are 20,160", got.Total)
	}
}

// In the same example 336,000 requests leave a budget of about 16,632 failures.
func TestOccurrencesWorkedExample(t *testing.T) {
	o := checkout(0)
	o.Target = 0.95
	judge := func(bad int64) slo.Verdict {
		return slo.Evaluate(o, []string{"a"}, 0, 1, seq([]told{{"a", bucket(0, 336_000-bad, 336_000)}})).Verdict
	}
	if judge(16_632) != slo.Met || judge(16_800) != slo.Met || judge(16_801) != slo.Missed {
		t.Error("the budget of 336,000 events at 95 % is not 16,800")
	}
}

// What one slice of five minutes counts.
func TestSlices(t *testing.T) {
	for _, c := range []struct {
		name     string
		method   slo.Method
		missing  slo.Missing
		capacity int64
		buckets  []slo.Bucket // of minutes 0 to 4; others are pending
		counts   slo.Counts
		upper    float64
	}{
		{
			name: "good", method: slo.Timeslices, counts: slo.Counts{Good: 1, Total: 1}, upper: 1,
			buckets: []slo.Bucket{bucket(0, 5, 5), bucket(1, 4, 5), bucket(2, 0, 0), bucket(3, 0, 0), bucket(4, 0, 0)},
		},
		{
			name: "bad", method: slo.Timeslices, counts: slo.Counts{Good: 0, Total: 1},
			buckets: []slo.Bucket{bucket(0, 5, 5), bucket(1, 3, 5), bucket(2, 0, 0), bucket(3, 0, 0), bucket(4, 0, 0)},
		},
		{
			name: "its share", method: slo.RatioTimeslices, counts: slo.Counts{Good: 666_667, Total: 1_000_000}, upper: 0.666667,
			buckets: []slo.Bucket{bucket(0, 2, 3), bucket(1, 0, 0), bucket(2, 0, 0), bucket(3, 0, 0), bucket(4, 0, 0)},
		},
		{
			name: "pending is neither", method: slo.Timeslices, upper: 1,
			buckets: []slo.Bucket{bucket(0, 9, 9), bucket(1, 0, 0), bucket(2, 0, 0), bucket(3, 0, 0)},
		},
		{
			name: "pending, but it cannot be saved", method: slo.Timeslices, capacity: 9, counts: slo.Counts{Total: 1},
			buckets: []slo.Bucket{bucket(0, 3, 9), bucket(1, 0, 0), bucket(2, 0, 0), bucket(3, 0, 0)},
		},
		{
			name: "pending, but it cannot be spoilt", method: slo.Timeslices, capacity: 1, counts: slo.Counts{Good: 1, Total: 1}, upper: 1,
			buckets: []slo.Bucket{bucket(0, 9, 9), bucket(1, 0, 0), bucket(2, 0, 0), bucket(3, 0, 0)},
		},
		{
			name: "open", method: slo.Timeslices, upper: 1,
			buckets: []slo.Bucket{bucket(0, 9, 9), bucket(1, 0, 0), bucket(2, 0, 0), bucket(3, 0, 0), bucket(4, 0, 0, open)},
		},
		{
			name: "no events are no slice", method: slo.Timeslices, upper: 1,
			buckets: []slo.Bucket{bucket(0, 0, 0), bucket(1, 0, 0), bucket(2, 0, 0), bucket(3, 0, 0), bucket(4, 0, 0)},
		},
		{
			name: "no events and nobody vouches", method: slo.Timeslices, missing: slo.MissingBad, counts: slo.Counts{Total: 1},
			buckets: []slo.Bucket{bucket(0, 0, 0, passing), bucket(1, 0, 0), bucket(2, 0, 0, passing), bucket(3, 0, 0, passing), bucket(4, 0, 0, passing)},
		},
		{
			name: "no events, but the journey passed", method: slo.Timeslices, missing: slo.MissingBad, upper: 1,
			buckets: []slo.Bucket{bucket(0, 0, 0, passing), bucket(1, 0, 0, passing), bucket(2, 0, 0, passing), bucket(3, 0, 0, passing), bucket(4, 0, 0, passing)},
		},
		{
			name: "no events are good", method: slo.RatioTimeslices, missing: slo.MissingGood, counts: slo.Counts{Good: 1_000_000, Total: 1_000_000}, upper: 1,
			buckets: []slo.Bucket{bucket(0, 0, 0, state(slo.Gap)), bucket(1, 0, 0), bucket(2, 0, 0), bucket(3, 0, 0), bucket(4, 0, 0)},
		},
		{
			name: "excluded is no slice", method: slo.Timeslices, missing: slo.MissingGood, upper: 1,
			buckets: []slo.Bucket{bucket(0, 0, 0, state(slo.Excluded)), bucket(1, 0, 0, state(slo.Excluded)), bucket(2, 0, 0, state(slo.Excluded)), bucket(3, 0, 0, state(slo.Excluded)), bucket(4, 0, 0, state(slo.Excluded))},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := checkout(c.capacity)
			o.Budgeting, o.Missing, o.Slice = c.method, c.missing, slo.Slice{Minutes: 5, Target: 0.9}
			var all []told
			for _, b := range c.buckets {
				all = append(all, told{"a", b})
			}
			got := slo.Evaluate(o, []string{"a"}, 0, 5, seq(all))
			if got.Counts != c.counts || got.Upper != c.upper {
				t.Errorf("got %+v up to %v, want %+v up to %v", got.Counts, got.Upper, c.counts, c.upper)
			}
		})
	}
}

// Past its deadline what is pending is given up, and what comes later restates.
func TestEvaluateClosed(t *testing.T) {
	o := checkout(100)
	spans := []slo.Span{{Node: "a", From: 0, To: 3}, {Node: "b", From: 0, To: 3}}
	soFar := []told{{"a", bucket(0, 99, 100)}, {"a", bucket(1, 50, 50, open)}, {"a", bucket(2, 10, 10)}, {"b", bucket(2, 10, 10)}}
	waiting := slo.EvaluateSpans(o, spans, seq(soFar))
	if waiting.Final || waiting.Coverage.Pending != 2 || waiting.Verdict != slo.Undetermined {
		t.Errorf("before the deadline: %+v", waiting)
	}
	closed := slo.EvaluateClosed(o, spans, 2, seq(soFar))
	want := slo.Status{
		Counts: slo.Counts{Good: 169, Total: 170}, Known: true, SLI: 169. / 170, Lower: 169. / 170, Upper: 169. / 170,
		Coverage: slo.Coverage{Measured: 4, Gap: 2}, Verdict: slo.Met, Final: true, BudgetLeft: 7. / 17,
	}
	near := cmp.Comparer(func(a, b float64) bool { return a == b || math.Abs(a-b) < 1e-9 })
	if diff := cmp.Diff(want, closed, near); diff != "" {
		t.Errorf("after it (-want +got):\n%s", diff)
	}
	late := slo.EvaluateClosed(o, spans, 2, seq(append(soFar, told{"b", bucket(0, 0, 50)})))
	if late := late.After(closed); late.Verdict != slo.Missed || !late.Restated {
		t.Errorf("with what came late: %+v, want it missed and restated", late)
	}
	if again := late.After(late.After(closed)); !again.Restated {
		t.Error("once restated it stays so")
	}
	if waiting.After(waiting).Restated || closed.After(waiting).Restated {
		t.Error("what was not final is not restated")
	}
}

func TestFinalMinute(t *testing.T) {
	const hour = 999_960
	short := checkout(0)
	short.FinalAfter = 36 * time.Hour
	for _, minute := range []int64{hour, hour + 1, hour + 59} {
		now := slo.MinuteStart(minute)
		if got := checkout(0).FinalMinute(now); got != hour-45*1440 {
			t.Errorf("by default %d at %d", got, minute)
		}
		if got := short.FinalMinute(now); got != hour-36*60 {
			t.Errorf("after 36 h %d at %d", got, minute)
		}
	}
}
