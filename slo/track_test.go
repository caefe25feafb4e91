package slo_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ghostlight/slo"
)

// drawObjective draws an objective of any method, with and without capacity,
// exclusions and hours.
func drawObjective(t *rapid.T) slo.Objective {
	o := checkout(rapid.SampledFrom([]int64{0, 5, 20}).Draw(t, "capacity"))
	o.Budgeting = rapid.SampledFrom([]slo.Method{slo.Occurrences, slo.Timeslices, slo.RatioTimeslices}).Draw(t, "method")
	if o.Budgeting.Sliced() {
		o.Slice = slo.Slice{Minutes: rapid.SampledFrom([]int64{1, 5, 7, 60}).Draw(t, "slice"), Target: 0.9}
		o.Missing = rapid.SampledFrom([]slo.Missing{slo.MissingIgnored, slo.MissingGood, slo.MissingBad}).Draw(t, "missing")
	}
	if rapid.Bool().Draw(t, "exclusions") {
		o.Exclusions = []slo.Exclusion{{Length: 95 * time.Minute, Rule: "DTSTART:20260101T061000Z RRULE:FREQ=DAILY"}}
	}
	if rapid.Bool().Draw(t, "hours") {
		o.Hours = "Mo-Su 05:30-02:00; Europe/London"
	}
	return o
}

// held is what a ledger holds: the newest bucket of each node and minute.
type held map[string]map[int64]slo.Bucket

// put takes b and tells the track what changed.
func (h held) put(o slo.Objective, track *slo.Track, node string, b slo.Bucket) {
	if h[node] == nil {
		h[node] = map[int64]slo.Bucket{}
	}
	old, ok := h[node][b.Minute]
	var was slo.Sum
	if ok {
		if !b.Supersedes(old) {
			return
		}
		was = o.Sum(old)
	}
	if track.Replace(b.Minute, was, o.Sum(b)) {
		h[node][b.Minute] = b
	}
}

func (h held) all() []told {
	var out []told
	for node, minutes := range h {
		for _, b := range minutes {
			out = append(out, told{node, b})
		}
	}
	return out
}

// Whatever events come in whatever order, a track says what judging from scratch says.
func TestTrackEqualsEvaluate(t *testing.T) {
	start := slo.MinuteOf(time.Date(2026, 3, 28, 22, 0, 0, 0, time.UTC)) // the night the clocks change
	rapid.Check(t, func(rt *rapid.T) {
		o := drawObjective(rt)
		o.Budgeting, o.Missing = slo.Occurrences, slo.MissingIgnored
		spans := []slo.Span{
			{Node: "a", From: start - 2*1440, To: start + 30*1440},
			{Node: "b", From: start + rapid.Int64Range(-3000, 3000).Draw(rt, "joined"), To: start + 30*1440},
		}
		windows := []time.Duration{5 * time.Minute, time.Hour, 7 * time.Hour, day, 2 * day, 3 * day}
		track, err := slo.NewTrack(o, spans, windows...)
		if err != nil {
			rt.Fatal(err)
		}
		track.Advance(start)
		ledger, now := held{}, start
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			for range rapid.IntRange(0, 6).Draw(rt, "buckets") {
				b := drawBucket(rt)
				b.Minute = now + rapid.SampledFrom([]int64{0, 0, -1, -3, -60, -61, -600, -1500, -3000, -4400}).Draw(rt, "age") + rapid.Int64Range(-7, 0).Draw(rt, "more")
				if sp := rapid.SampledFrom(spans).Draw(rt, "node"); b.Minute >= sp.From {
					ledger.put(o, track, sp.Node, b)
				}
			}
			now += rapid.SampledFrom([]int64{0, 1, 1, 2, 59, 60, 61, 700, 1441, 2000}).Draw(rt, "pass")
			track.Advance(now)
		}
		for i, w := range windows {
			at := track.Window(i)
			if got := time.Duration(at.To-at.From) * time.Minute; got != w || at.To > now || now-at.To >= 60 {
				rt.Fatalf("window %v is %v to %v at %v", w, at.From, at.To, now)
			}
			var cut []slo.Span
			for _, s := range spans {
				cut = append(cut, slo.Span{Node: s.Node, From: max(s.From, at.From), To: max(min(s.To, at.To), max(s.From, at.From))})
			}
			want := slo.EvaluateSpans(o, cut, seq(ledger.all()))
			if diff := cmp.Diff(want, track.Status(i)); diff != "" {
				rt.Fatalf("window %v at %d (-from scratch +track):\n%s", w, now, diff)
			}
		}
	})
}

// The same for slices, of which only whole ones count: both nodes are there from one
// minute on, so that the edges of the window, or that minute, are those of its spans.
func TestTrackEqualsEvaluateInSlices(t *testing.T) {
	start := slo.MinuteOf(time.Date(2026, 10, 24, 22, 0, 0, 0, time.UTC))
	rapid.Check(t, func(rt *rapid.T) {
		o := drawObjective(rt)
		if !o.Budgeting.Sliced() {
			rt.Skip()
		}
		windows := []time.Duration{5 * time.Minute, time.Hour, 7 * time.Hour, 2 * day}
		spans := func(from, to int64) []slo.Span {
			return []slo.Span{{Node: "a", From: from, To: to}, {Node: "b", From: from, To: to}}
		}
		since := start - rapid.SampledFrom([]int64{9000, 100, 3, 0}).Draw(rt, "since")
		track, err := slo.NewTrack(o, spans(since, start+90_000), windows...)
		if err != nil {
			rt.Fatal(err)
		}
		track.Advance(start)
		ledger, now := held{}, start
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			for range rapid.IntRange(0, 8).Draw(rt, "buckets") {
				b := drawBucket(rt)
				b.Minute = now - rapid.SampledFrom([]int64{0, 0, 1, 3, 60, 61, 600, 1500, 2500}).Draw(rt, "age") - rapid.Int64Range(0, 7).Draw(rt, "more")
				b.Minute = max(b.Minute, since)
				ledger.put(o, track, rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "node"), b)
			}
			now += rapid.SampledFrom([]int64{0, 1, 1, 2, 59, 60, 61, 700, 1441}).Draw(rt, "pass")
			track.Advance(now)
		}
		for i := range windows {
			at := track.Window(i)
			want := slo.EvaluateSpans(o, spans(max(at.From, since), max(at.To, since)), seq(ledger.all()))
			if diff := cmp.Diff(want, track.Status(i)); diff != "" {
				rt.Fatalf("window %v at %d (-from scratch +track):\n%s", windows[i], now, diff)
			}
		}
	})
}

func TestTrackParksTheFutureAndTheForgotten(t *testing.T) {
	o := checkout(0)
	track, err := slo.NewTrack(o, nil, day)
	if err != nil {
		t.Fatal(err)
	}
	track.Advance(100_000)
	for minute, want := range map[int64]bool{
		100_000: true, 100_000 + 1439: true, 100_000 + 1440: false, 100_000 - 1440: true, 100_000 - 1600: false,
	} {
		if got := track.Replace(minute, slo.Sum{}, o.Sum(bucket(minute, 1, 2))); got != want {
			t.Errorf("minute %d taken: %v, want %v", minute, got, want)
		}
	}
	if got := track.Counts(0); got != (slo.Counts{Good: 1, Total: 2}) {
		t.Errorf("got %+v, want the one minute of the window", got)
	}
	track.Advance(100_001)
	if got := track.Counts(0); got != (slo.Counts{Good: 1, Total: 2}) {
		t.Errorf("got %+v, want the minute that came in for the one that left", got)
	}
}

func TestNewTrackRefuses(t *testing.T) {
	bad := checkout(0)
	bad.Target = 0
	if _, err := slo.NewTrack(bad, nil, day); err == nil {
		t.Error("an objective that promises nothing is taken")
	}
	for _, windows := range [][]time.Duration{nil, {0}, {90 * time.Second}, {400 * day}, {-day}} {
		if _, err := slo.NewTrack(checkout(0), nil, windows...); err == nil {
			t.Errorf("windows %v are taken", windows)
		}
	}
}

// What a bucket costs does not depend on how much history the windows span.
func BenchmarkTrack(b *testing.B) {
	for _, days := range []int{1, 28, 90} {
		b.Run(fmt.Sprintf("%dd", days), func(b *testing.B) {
			o := checkout(600)
			watch, err := slo.NewBurnWatch("soho", o, []slo.Span{{Node: "soho", From: 0, To: 1 << 40}}, time.Duration(days)*day)
			if err != nil {
				b.Fatal(err)
			}
			minute := int64(20_000_000)
			watch.Step(slo.MinuteStart(minute))
			for m := minute - int64(days)*1440; m < minute; m++ {
				watch.Track.Replace(m, slo.Sum{}, o.Sum(bucket(m, 3, 3)))
			}
			b.ReportAllocs()
			for b.Loop() {
				minute++
				watch.Track.Replace(minute, slo.Sum{}, o.Sum(bucket(minute, 3, 3)))
				watch.Step(slo.MinuteStart(minute))
			}
		})
	}
}

// A track that is told minutes before it knows what time it is plans the windows around
// them, not all time since 1970: the work is as much as once it was advanced.
func TestATrackWithoutTimePlansNoMore(t *testing.T) {
	o := checkout(0)
	o.Hours = "Mo-Su 10:00-23:00; Europe/London"
	o.Exclusions = []slo.Exclusion{{Length: time.Hour, Rule: "DTSTART:20260101T030000Z RRULE:FREQ=DAILY"}}
	now := slo.MinuteOf(time.Date(2026, 3, 28, 22, 0, 0, 0, time.UTC))
	work := func(advance bool) float64 {
		return testing.AllocsPerRun(1, func() {
			track, err := slo.NewTrack(o, nil, time.Hour, 28*day)
			if err != nil {
				t.Fatal(err)
			}
			if advance {
				track.Advance(now)
			}
			for m := now - 60; m < now; m++ {
				track.Replace(m, slo.Sum{}, slo.Sum{})
			}
		})
	}
	if before, after := work(false), work(true); before > 2*after {
		t.Errorf("%.0f allocations before the first advance, %.0f after it", before, after)
	}
}
