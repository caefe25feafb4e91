package incidents_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ghostlight/slo"
	"ghostlight/slo/incident"
)

// Whatever happens, an objective's own window is what its buckets say: sales that
// come late, restarts, a clock that leaps, and a book that has forgotten what is
// older than two days, as books of counters do.
func TestOwnWindowIsWhatTheBucketsSay(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		w.o.Window.Count = rapid.SampledFrom([]int{1, 3, 28}).Draw(rt, "days")
		w.start()
		all := map[int64]slo.Bucket{}
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			switch rapid.SampledFrom([]string{"sell", "sell", "late", "wait", "night", "astray", "restart"}).Draw(rt, "op") {
			case "sell":
				w.sell(rapid.Int64Range(0, 5).Draw(rt, "good"), rapid.Int64Range(0, 2).Draw(rt, "bad"))
			case "late":
				m := slo.MinuteOf(w.now) - rapid.Int64Range(0, 47*60).Draw(rt, "minutes ago")
				w.put(m, 1, 1)
			case "wait":
				w.now = w.now.Add(time.Duration(rapid.IntRange(1, 7200).Draw(rt, "seconds")) * time.Second)
			case "night":
				w.now = w.now.Add(time.Duration(rapid.IntRange(1, 60).Draw(rt, "hours")) * time.Hour)
			case "astray": // the clock is set wrong, and right again before anything is forgotten for it
				away := time.Duration(rapid.IntRange(-60*60, 23*60).Draw(rt, "minutes off")) * time.Minute
				w.now = w.now.Add(away)
				w.sell(1, 1)
				w.step()
				w.now = w.now.Add(time.Minute - away)
			case "restart":
				w.start()
			}
			w.step()
			for m, b := range w.buckets {
				all[m] = b
				if slo.MinuteOf(w.now)-m > 48*60 {
					delete(w.buckets, m)
				}
			}
		}
		w.step()
		got := w.room.View().Promises[0]
		first := slo.MinuteOf(w.now)
		for m := range all {
			first = min(first, m)
		}
		spans := []slo.Span{{Node: "soho-1", From: max(first, got.Own.From), To: got.Own.To}}
		want := slo.EvaluateSpans(w.o, spans, func(yield func(string, slo.Bucket) bool) {
			for m, b := range all {
				if m >= got.Own.From && m < got.Own.To && !yield("soho-1", b) {
					return
				}
			}
		})
		if diff := cmp.Diff(want.Counts, got.Status.Counts); diff != "" {
			rt.Fatalf("counts (-buckets +window):\n%s", diff)
		}
		if diff := cmp.Diff(want.Coverage.Measured, got.Status.Coverage.Measured); diff != "" {
			rt.Fatalf("minutes measured (-buckets +window):\n%s", diff)
		}
	})
}

// However an evening goes, nothing fires twice: of the spells that the centre is told
// each has one beginning, stages follow each other, and a restart adds none.
func TestStagesFollowEachOther(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w, calm := newWorld(t), newWorld(t)
		for n := range rapid.IntRange(1, 5).Draw(rt, "turns") {
			down := rapid.Bool().Draw(rt, fmt.Sprintf("down %d", n))
			d := time.Duration(rapid.IntRange(1, 240).Draw(rt, "seconds")) * time.Second
			for _, each := range []*world{w, calm} {
				each.down = down
				each.run(d)
			}
			w.start()
		}
		for _, i := range w.heard() {
			var ended int64
			for _, s := range i.Spells() {
				times := []int64{ended, s.FailedMS, s.DetectedMS}
				if s.MitigatedMS != 0 {
					times = append(times, s.MitigatedMS)
				}
				if s.ParityMS != 0 {
					times = append(times, s.ParityMS)
				}
				if ended = s.ParityMS; s.DetectedMS > s.MitigatedMS && s.MitigatedMS != 0 {
					times = slices.Delete(times, 2, 3) // it was over before the alert could see it
				}
				if !slices.IsSorted(times) {
					rt.Errorf("%s: stages at %v", i.Scope.Name, times)
				}
			}
		}
		same := func(list []incident.Incident) []string {
			var out []string
			for _, i := range list {
				out = append(out, i.ID())
			}
			return out
		}
		if diff := cmp.Diff(same(calm.heard()), same(w.heard())); diff != "" {
			rt.Errorf("restarts change incidents (-without +with):\n%s", diff)
		}
	})
}
