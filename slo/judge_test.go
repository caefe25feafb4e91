package slo_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ghostlight/slo"
)

// Whatever stretch a track says it can judge, it judges as from scratch; it can judge
// whole hours of all its windows, and minutes of the last day.
func TestTrackJudgesAnyStretch(t *testing.T) {
	start := slo.MinuteOf(time.Date(2026, 3, 28, 22, 0, 0, 0, time.UTC))
	rapid.Check(t, func(rt *rapid.T) {
		o := drawObjective(rt)
		spans := []slo.Span{
			{Node: "a", From: start - rapid.Int64Range(0, 9000).Draw(rt, "since"), To: start + 30*1440},
			{Node: "b", From: start + rapid.Int64Range(-3000, 3000).Draw(rt, "joined"), To: start + 30*1440},
		}
		track, err := slo.NewTrack(o, spans, time.Hour, 5*day)
		if err != nil {
			rt.Fatal(err)
		}
		track.Advance(start)
		ledger, now := held{}, start
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			for range rapid.IntRange(0, 6).Draw(rt, "buckets") {
				b := drawBucket(rt)
				b.Minute = now - rapid.SampledFrom([]int64{0, 0, 1, 3, 60, 61, 600, 1500, 3000, 4400, 6000}).Draw(rt, "age") - rapid.Int64Range(0, 7).Draw(rt, "more")
				if sp := rapid.SampledFrom(spans).Draw(rt, "node"); b.Minute >= sp.From {
					ledger.put(o, track, sp.Node, b)
				}
			}
			now += rapid.SampledFrom([]int64{0, 1, 1, 2, 59, 60, 61, 700, 1441, 2000}).Draw(rt, "pass")
			track.Advance(now)
		}
		to := now - rapid.Int64Range(0, 120).Draw(rt, "ended")
		from := to - rapid.SampledFrom([]int64{1, 60, 61, 1000, 1300, 3000, 7000}).Draw(rt, "long")
		if rapid.Bool().Draw(rt, "whole hours") {
			from -= from % 60
		}
		closed := rapid.SampledFrom([]int64{from - 1, from, to - to%60 - 60, to, to - 5}).Draw(rt, "closed")
		var cut []slo.Span
		for _, s := range spans {
			cut = append(cut, slo.Span{Node: s.Node, From: max(s.From, from), To: max(to, s.From)})
		}
		want := slo.EvaluateClosed(o, cut, closed, seq(ledger.all()))
		got, ok := track.Judge(from, to, closed)
		if diff := cmp.Diff(want, got); ok && diff != "" {
			rt.Fatalf("%d to %d at %d, closed %d (-from scratch +track):\n%s", from, to, now, closed, diff)
		}
		recent := from >= now-1440
		if hourly := from%60 == 0 && from >= now-5*1440 && to >= now-1440 && (closed <= from || closed%60 == 0 || closed >= now-1440); !ok && (recent || hourly) {
			rt.Fatalf("%d to %d at %d is not held, closed %d", from, to, now, closed)
		}
		minutes, ok := track.Minutes(from, to, closed)
		if !ok {
			if recent {
				rt.Fatalf("minutes %d to %d at %d are not held", from, to, now)
			}
			return
		}
		whole := slo.SumMinutes(o, cut, closed, from, to, func(m int64) (s slo.Sum) {
			for _, of := range ledger {
				if b, ok := of[m]; ok {
					s = s.Plus(o.Sum(b))
				}
			}
			return s
		})
		if diff := cmp.Diff(whole, minutes); diff != "" {
			rt.Fatalf("minutes %d to %d at %d (-from scratch +track):\n%s", from, to, now, diff)
		}
	})
}

// Filling an hour, in parts too and at any time, comes to what replacing its minutes
// comes to.
func TestTrackFills(t *testing.T) {
	start := slo.MinuteOf(time.Date(2026, 3, 28, 22, 0, 0, 0, time.UTC))
	rapid.Check(t, func(rt *rapid.T) {
		o := drawObjective(rt)
		spans := []slo.Span{{Node: "a", From: start - 20_000, To: start + 30*1440}, {Node: "b", From: start - 700, To: start + 30*1440}}
		windows := []time.Duration{5 * time.Minute, 7 * time.Hour, day, 5 * day}
		var tracks [2]*slo.Track
		for i := range tracks {
			var err error
			if tracks[i], err = slo.NewTrack(o, spans, windows...); err != nil {
				rt.Fatal(err)
			}
		}
		replaced, filled := tracks[0], tracks[1]
		now := start
		advance := func(by int64) {
			now += by
			replaced.Advance(now)
			filled.Advance(now)
		}
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			if rapid.Bool().Draw(rt, "time passes") {
				advance(rapid.SampledFrom([]int64{1, 59, 60, 1500}).Draw(rt, "pass"))
			}
			hour := now/60 - rapid.SampledFrom([]int64{-30, -24, 0, 0, 1, 5, 24, 25, 26, 60, 119, 120, 121}).Draw(rt, "age")
			var is [60]slo.Sum
			for _, m := range rapid.SliceOfNDistinct(rapid.IntRange(0, 59), 0, 20, rapid.ID[int]).Draw(rt, "minutes") {
				is[m] = o.Sum(drawBucket(rt))
				replaced.Replace(hour*60+int64(m), slo.Sum{}, is[m])
			}
			filled.Fill(hour, &is)
		}
		for _, by := range []int64{1, 60, 700, 1439} {
			advance(by)
			for i, w := range windows {
				if diff := cmp.Diff(replaced.Status(i), filled.Status(i)); diff != "" {
					rt.Fatalf("window %v at %d (-replaced +filled):\n%s", w, now, diff)
				}
			}
			was, ok1 := replaced.Minutes(now-1000, now, now-5000)
			is, ok2 := filled.Minutes(now-1000, now, now-5000)
			if diff := cmp.Diff(was, is); diff != "" || !ok1 || !ok2 {
				rt.Fatalf("minutes at %d, held %t and %t (-replaced +filled):\n%s", now, ok1, ok2, diff)
			}
		}
	})
}
