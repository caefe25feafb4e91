package sli

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/value"

	"ghostlight/buffer/delta"
	"ghostlight/buffer/queue"
	"ghostlight/collector/self"
	"ghostlight/slo"
)

func (k *kit) must(values map[string]float64) {
	if err := k.scrape(values); err != nil {
		k.t.Fatal(err)
	}
}

// Counters, a histogram's among them, count what they grow by in the minute of the
// reading; a gauge counts its samples.
func TestSeriesAreCounted(t *testing.T) {
	k := newKit(t, latency, errorRate, charge)
	up := map[string]float64{"up": 1}
	read := func(fast, all, hits, errs, ratio float64) {
		k.must(map[string]float64{
			"up": up["up"], "pay_seconds_bucket le 1.0": fast, "pay_seconds_bucket le +Inf": all, "pay_seconds_count": all,
			"hits_total result hit": hits, "hits_total result error": errs, "charge_ratio": ratio, "other_total": all,
		})
		k.pass(15 * time.Second)
	}
	read(5, 9, 100, 3, 0.5)
	read(7, 12, 140, 3, 0.3)
	read(8, 12, 140, 5, 0.2) // a fast one more than all: the target is in between
	read(8, 14, 141, 5, math.NaN())
	read(2, 2, 1, 1, 0.1) // the target began again
	k.pass(time.Minute)
	k.want(t, "latency", 5, 7)
	k.want(t, "errors", 42, 45)
	k.want(t, "charge", 2, 4)
	// From the refused reading to the next nobody could see.
	if b := k.minute("latency", slo.MinuteStart(28_000_000)); b.Observed != 45 || b.State != slo.Measured {
		t.Errorf("the first minute is %+v", b)
	}
	g := self.NewGatherer(1, "n")
	k.book.Gather(g)
	refused := map[string]float64{}
	for _, s := range g.Batch().Series {
		refused[labelOf(s.Labels, "reason")] = s.Samples[0].Value
	}
	if diff := cmp.Diff(map[string]float64{partExceeds: 1, notANumber: 1}, refused); diff != "" {
		t.Errorf("refused readings (-want +got):\n%s", diff)
	}
}

// What cannot be true is refused, and what comes after it is counted from before.
func TestRefusedReadingsLoseNothing(t *testing.T) {
	for reason, bad := range map[string]float64{negative: -1, notANumber: math.Inf(1)} {
		k := newKit(t, errorRate)
		k.must(map[string]float64{"hits_total result hit": 10, "hits_total result error": 1})
		k.must(map[string]float64{"hits_total result hit": 15, "hits_total result error": bad})
		k.now = k.now.Add(15 * time.Second)
		k.must(map[string]float64{"hits_total result hit": 17, "hits_total result error": 2})
		k.pass(2 * time.Minute)
		k.want(t, "errors", 7, 8)
		if k.book.refused[reason] != 1 {
			t.Errorf("%s: refused %v", reason, k.book.refused)
		}
	}
	k := newKit(t, errorRate)
	k.must(map[string]float64{"hits_total result hit": 10})
	k.must(map[string]float64{"hits_total result hit": math.MaxFloat64})
	k.must(map[string]float64{"hits_total result hit": 4})
	k.pass(2 * time.Minute)
	k.want(t, "errors", 4, 4)
	if k.book.refused[tooMuch] != 1 {
		t.Errorf("more events than a minute holds: refused %v", k.book.refused)
	}
}

func TestSeriesAreBounded(t *testing.T) {
	k := newKit(t, errorRate)
	many := map[string]float64{}
	for i := range mostSeries + 1 {
		many["hits_total result r"+string(rune('a'+i%26))+string(rune('a'+i/26%26))+string(rune('a'+i/676))] = 1
	}
	k.must(many)
	if k.book.refused[tooWide] != 1 {
		t.Errorf("%d series: refused %v", len(many), k.book.refused)
	}
}

// While a target cannot be read its minutes are not observed, and become gaps unless
// it turns out that it went on.
func TestFailedScrape(t *testing.T) {
	for _, c := range []struct {
		name     string
		after    float64
		total    int64
		observed uint8
		state    slo.State
	}{
		{"went on", 150, 50, 0, slo.Measured},
		{"began again", 4, 4, 0, slo.Gap},
		{"nothing happened", 100, 0, 0, slo.Gap},
	} {
		k := newKit(t, errorRate)
		round := func(values map[string]float64) {
			k.must(values)
			k.pass(15 * time.Second)
		}
		for range 4 {
			round(map[string]float64{"up": 1, "hits_total result hit": 100})
		}
		failed := k.now
		for range 20 {
			// A scrape that fails hides every series.
			round(map[string]float64{"up": 0, "hits_total result hit": math.Float64frombits(value.StaleNaN)})
		}
		if b := k.minute("errors", failed.Add(2*time.Minute)); b.State != slo.Gap {
			t.Errorf("%s: while the target is down its minute is %+v", c.name, b)
		}
		back := k.now
		round(map[string]float64{"up": 1, "hits_total result hit": c.after})
		k.pass(time.Minute)
		k.want(t, "errors", c.total, c.total)
		if b := k.minute("errors", failed.Add(2*time.Minute)); b.State != c.state || b.Observed != c.observed {
			t.Errorf("%s: a minute without readings is %+v", c.name, b)
		}
		if b := k.minute("errors", back); c.state == slo.Gap && b.Total != c.total {
			t.Errorf("%s: the minute of the reading is %+v, want all %d events", c.name, b, c.total)
		}
	}
}

// What a counter grew by while the agent was away is spread over that time, whole,
// with no second of it observed; no minute is first told as a gap.
func TestAwayAgentSpreadsWhatItMissed(t *testing.T) {
	for _, away := range []time.Duration{10 * time.Minute, 50 * time.Hour} {
		k := newKit(t, errorRate)
		k.must(map[string]float64{"hits_total result hit": 1000, "hits_total result error": 7})
		k.pass(90 * time.Second)
		left := k.now
		k.now = k.now.Add(away)
		k.boot()
		k.pass(5 * time.Second)
		if b := k.minute("errors", left.Add(away/2)); b.State != 0 {
			t.Errorf("away %v: told before anything was read: %+v", away, b)
		}
		k.must(map[string]float64{"hits_total result hit": 1600, "hits_total result error": 407})
		k.pass(2 * time.Minute)
		k.want(t, "errors", 600, 1000)
		most := int64(0)
		for _, b := range k.m.buckets {
			between := b.Minute > slo.MinuteOf(left) && b.Minute < slo.MinuteOf(left.Add(away))
			if most = max(most, b.Total); between && (b.Observed > 0 || b.State == slo.Measured && b.Total == 0) {
				t.Errorf("away %v: %+v", away, b)
			}
		}
		if fair := int64(1000/min(away.Minutes(), spanMinutes)) + 1; most > fair {
			t.Errorf("away %v: a minute holds %d of the events, more than its share of %d", away, most, fair)
		}
	}
}

// A target that was out of reach for days, while the agent told its minutes as gaps:
// what it did meanwhile is counted into minutes that can still be told anew.
func TestTargetBackAfterDays(t *testing.T) {
	k := newKit(t, errorRate, charge)
	k.must(map[string]float64{"hits_total result hit": 10, "charge_ratio": 1})
	k.pass(100 * time.Hour)
	left := k.now.Add(-100 * time.Hour)
	old := one("edge", "charge_ratio", 1, left.Add(time.Hour))
	if err := k.book.Series(t.Context(), []delta.Series{old}, func(c queue.Commit) error { return k.m.Commit(t.Context(), c) }); err != nil {
		t.Fatal(err)
	}
	k.must(map[string]float64{"hits_total result hit": 100_010, "charge_ratio": 1})
	k.pass(time.Minute)
	k.want(t, "errors", 100_000, 100_000)
	k.want(t, "charge", 2, 2)
	if k.book.refused[tooOld] != 1 {
		t.Errorf("a sample of a minute that is forgotten: refused %v", k.book.refused)
	}
}

// A batch that is sent again late tells nothing new; a counter did not begin again.
func TestLateBatchIsNoReset(t *testing.T) {
	k := newKit(t, errorRate)
	late := []delta.Series{one("pushed", "hits_total result hit", 100, k.now)}
	for _, v := range []float64{90, 110} {
		k.now = k.now.Add(time.Second)
		if err := k.scrapeOf("pushed", map[string]float64{"hits_total result hit": v}); err != nil {
			t.Fatal(err)
		}
	}
	if err := k.book.Series(t.Context(), late, func(c queue.Commit) error { return k.m.Commit(t.Context(), c) }); err != nil {
		t.Fatal(err)
	}
	k.now = k.now.Add(time.Second)
	if err := k.scrapeOf("pushed", map[string]float64{"hits_total result hit": 111}); err != nil {
		t.Fatal(err)
	}
	k.pass(2 * time.Minute)
	k.want(t, "errors", 21, 21)
}

// A flush does not blind the book to what it reads.
func TestSettleKeepsWatching(t *testing.T) {
	k := newKit(t, errorRate, charge)
	for range 5 {
		k.must(map[string]float64{"hits_total result hit": 10, "charge_ratio": 1})
		if !k.alive(k.book.Settle(t.Context())) {
			t.Fatal("nothing was stored")
		}
		k.pass(20 * time.Second)
	}
	for _, name := range []string{"errors", "charge"} {
		if b := k.minute(name, slo.MinuteStart(28_000_000)); b.Observed != 60 {
			t.Errorf("%s: the first minute is %+v", name, b)
		}
	}
}

// A scrape is one: what a stored block holds and what is counted never part.
func TestScrapeAndCountAreOneCommit(t *testing.T) {
	k := newKit(t, errorRate, charge)
	k.must(map[string]float64{"hits_total result hit": 10, "charge_ratio": 1})
	k.m.fail = queue.ErrFull
	if k.alive(k.scrape(map[string]float64{"hits_total result hit": 20, "charge_ratio": 1})) {
		t.Fatal("a full buffer stored a scrape")
	}
	k.m.fail = nil
	k.pass(15 * time.Second)
	k.must(map[string]float64{"hits_total result hit": 25, "charge_ratio": 0})
	k.pass(2 * time.Minute)
	k.want(t, "errors", 15, 15)
	k.want(t, "charge", 1, 2)
	for _, name := range []string{"errors", "charge"} {
		if b := k.minute(name, slo.MinuteStart(28_000_000)); b.Observed != 45 {
			t.Errorf("%s: a scrape that was not stored saw something: %+v", name, b)
		}
	}
}

// A batch that concerns no objective is stored with nothing beside it, even while
// the book is busy with a commit that does not end.
func TestForeignBatchesWaitForNobody(t *testing.T) {
	k := newKit(t, errorRate)
	var got queue.Commit
	err := k.book.Series(t.Context(), []delta.Series{one("edge", "unheard_total", 5, k.now)}, func(c queue.Commit) error {
		if !k.book.mu.TryLock() {
			t.Error("the book is locked while a foreign batch is stored")
			return nil
		}
		k.book.mu.Unlock()
		got = c
		return nil
	})
	if err != nil || len(got.Entries)+len(got.State) > 0 {
		t.Errorf("%v, %+v", err, got)
	}
}

// A clock that is set does not make the time between two readings longer than it was.
func TestClockSetBetweenReadings(t *testing.T) {
	k := newKit(t, errorRate)
	k.must(map[string]float64{"hits_total result hit": 10})
	k.setClock(48 * time.Hour)
	k.must(map[string]float64{"hits_total result hit": 30})
	at := k.now
	k.pass(10 * time.Second)
	if b := k.minute("errors", at); b.Total != 20 {
		t.Errorf("the minute of the reading is %+v, want all 20 events", b)
	}
	k.setClock(-24 * time.Hour)
	k.must(map[string]float64{"hits_total result hit": 35})
	k.pass(2 * time.Minute)
	k.want(t, "errors", 25, 25)
}

// A series that is not exposed any more is forgotten in time, one that pauses is not.
func TestGoneSeriesAreForgotten(t *testing.T) {
	k := newKit(t, errorRate)
	both := map[string]float64{"hits_total result hit": 10, "hits_total result gone": 50}
	k.must(both)
	for range 30 {
		k.now = k.now.Add(time.Hour)
		k.must(map[string]float64{"hits_total result hit": 10})
	}
	c, ok := k.book.meters[0].source.(*counter)
	if !ok || len(c.at) != 1 {
		t.Fatalf("%d series are remembered, want 1", len(c.at))
	}
	k.boot()
	k.now = k.now.Add(60 * 24 * time.Hour) // both were away with the agent
	k.must(map[string]float64{"hits_total result hit": 10})
	if err := k.scrapeOf("second", map[string]float64{"hits_total result hit": 1}); err != nil {
		t.Fatal(err)
	}
	k.boot()
	k.now = k.now.Add(60 * 24 * time.Hour)
	k.must(map[string]float64{"hits_total result hit": 10})
	if err := k.scrapeOf("second", map[string]float64{"hits_total result hit": 4}); err != nil {
		t.Fatal(err)
	}
	k.pass(2 * time.Minute)
	k.want(t, "errors", 3, 3)
}

func TestSelectorsLookAtASeriesOnce(t *testing.T) {
	x := newIndex()
	looked := 0
	x.names["hits_total"] = []asked{{part: inTotal, meter: &meter{}, takes: func(string, func(string) string) bool {
		looked++
		return true
	}}}
	labels := one("edge", "hits_total result hit", 0, time.Unix(0, 0)).Labels
	for range 3 {
		if v := x.verdict(slices.Clone(labels)); v == nil || len(v.takers) != 1 {
			t.Fatalf("verdict %+v", v)
		}
	}
	if looked != 1 {
		t.Errorf("the selector looked %d times", looked)
	}
}
