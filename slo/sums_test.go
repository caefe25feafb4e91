package slo_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ghostlight/slo"
)

// TestSumsSayWhatBucketsSay: judging sums of minutes, and each minute on its own, comes
// to what judging the buckets comes to; and a track that is told late who is expected
// to what one comes to that knew it at once.
func TestSumsSayWhatBucketsSay(t *testing.T) {
	const from, to = 29_700_000, 29_700_180
	rapid.Check(t, func(t *rapid.T) {
		o := drawObjective(t)
		spans := []slo.Span{{Node: "a", From: from, To: to}, {Node: "b", From: from + rapid.Int64Range(0, 180).Draw(t, "joins"), To: to}}
		closed := from + rapid.Int64Range(0, 180).Draw(t, "closed")
		buckets := []told{}
		sums := map[int64]slo.Sum{}
		for _, sp := range spans {
			for _, m := range rapid.SliceOfDistinct(rapid.Int64Range(sp.From, to), rapid.ID[int64]).Draw(t, sp.Node) {
				if m == to {
					continue
				}
				total := rapid.Int64Range(0, 30).Draw(t, "total")
				b := bucket(m, rapid.Int64Range(0, total).Draw(t, "good"), total, state(rapid.SampledFrom([]slo.State{slo.Measured, slo.Gap}).Draw(t, "state")))
				b.Open = rapid.Bool().Draw(t, "open")
				buckets = append(buckets, told{sp.Node, b})
				sums[m] = sums[m].Plus(o.Sum(b))
			}
		}
		want := slo.EvaluateClosed(o, spans, closed, seq(buckets))
		got := slo.EvaluateSums(o, spans, closed, func(yield func(int64, slo.Sum) bool) {
			for m, s := range sums {
				if !yield(m, s) {
					return
				}
			}
		})
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("sums (-buckets +sums):\n%s", diff)
		}
		var all slo.Sum
		for _, s := range slo.SumMinutes(o, spans, closed, from, to, func(m int64) slo.Sum { return sums[m] }) {
			all.Add(&s)
		}
		// Slices leave out minutes at either end; events do not.
		if !o.Budgeting.Sliced() {
			if diff := cmp.Diff(want.Coverage, all.Coverage); diff != "" || all.Counts != want.Counts {
				t.Fatalf("minutes hold %+v, want %+v (-judged +added up):\n%s", all.Counts, want.Counts, diff)
			}
		}
		expectLate(t, o, spans, sums, to)
	})
}

func expectLate(t *rapid.T, o slo.Objective, spans []slo.Span, sums map[int64]slo.Sum, now int64) {
	knew, late := mustTrack(t, o, spans), mustTrack(t, o, spans[:1])
	for _, track := range []*slo.Track{knew, late} {
		for m, s := range sums {
			track.Replace(m, slo.Sum{}, s)
		}
		track.Advance(now)
	}
	late.Expect(spans)
	if diff := cmp.Diff(knew.Status(0), late.Status(0)); diff != "" {
		t.Fatalf("told late who is expected (-knew +told):\n%s", diff)
	}
}

func mustTrack(t *rapid.T, o slo.Objective, spans []slo.Span) *slo.Track {
	track, err := slo.NewTrack(o, spans, 2*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return track
}
