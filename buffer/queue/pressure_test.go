package queue_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/queue"
)

// noisy is a scrape of n series in one lane whose values have nothing in common,
// half of them counters.
func noisy(lane buffer.Lane, at time.Time, n int) queue.Entry {
	e := queue.Entry{Lane: lane}
	random := rand.New(rand.NewPCG(uint64(at.UnixMilli()), uint64(lane)))
	for i := range n {
		s := delta.Series{
			Labels:  []delta.Label{{Name: "__name__", Value: fmt.Sprintf("m_%s_%d", lane, i)}},
			Meta:    delta.Meta{Type: delta.Gauge},
			Samples: []delta.Sample{{Time: at.UnixMilli(), Value: random.Float64()}},
		}
		if i%2 == 0 {
			s.Meta.Type = delta.Counter
			s.Samples[0].Value += float64(at.Unix())
		}
		e.Batch.Series = append(e.Batch.Series, s)
	}
	return e
}

// A node whose disk budget is far too small gives up what is least missed first:
// the order is that of the design, and revenue is whole at the end.
func TestPressureDegradesFromTheRight(t *testing.T) {
	dir, c := t.TempDir(), newClock()
	q := openWith(t, queue.Options{Dir: dir, DiskBudget: queue.MinDiskBudget, Now: c.now})
	type loss struct {
		lane   buffer.Lane
		reason string
	}
	order := []loss{
		{buffer.Logs, queue.LostSampled},
		{buffer.Logs, queue.LostBudget},
		{buffer.Traces, queue.LostBudget},
		{buffer.Detail, queue.LostThinned},
		{buffer.Detail, queue.LostBudget},
		{buffer.Health, queue.LostThinned},
		{buffer.Health, queue.LostBudget},
	}
	begun := map[loss]int{}
	for i := 0; begun[order[len(order)-1]] == 0; i++ {
		if i == 20_000 {
			t.Fatalf("health was never dropped: %+v", q.Stats())
		}
		c.add(15 * time.Second)
		commit := []queue.Entry{noisy(buffer.Health, c.now(), 100), noisy(buffer.Revenue, c.now(), 2)}
		if i < 100 { // then detail ends, so that health comes to its turn
			commit = append(commit, noisy(buffer.Detail, c.now(), 100), logs(4000))
			traces := logs(2000)
			traces.Lane = buffer.Traces
			commit = append(commit, traces)
		}
		add(t, q, commit...)
		for lane, s := range q.Stats() {
			for _, lost := range []map[string]int64{s.Lost, s.Records.Lost} {
				for reason, n := range lost {
					if k := (loss{lane, reason}); n > 0 && begun[k] == 0 {
						begun[k] = i + 1
					}
				}
			}
		}
	}
	for i, l := range order {
		if begun[l] == 0 || i > 0 && begun[l] < begun[order[i-1]] {
			t.Errorf("%s of %s began at commit %d, what comes before it at %d", l.reason, l.lane, begun[l], begun[order[max(i-1, 0)]])
		}
	}
	if len(begun) != len(order) {
		t.Errorf("losses %v, want only %v", begun, order)
	}
	balanced(t, q, nil)
	if s := q.Stats()[buffer.Revenue]; s.Waiting != s.Produced {
		t.Errorf("revenue lost something: %+v", s)
	}
	for _, s := range next(t, q, 1<<20) {
		ack(t, q, s)
	}
	q.Close()
	info, err := os.Stat(filepath.Join(dir, "telemetry.db"))
	if err != nil || info.Size() > queue.MinDiskBudget+64<<10 {
		t.Errorf("file has %d bytes on a budget of %d (%v)", info.Size(), queue.MinDiskBudget, err)
	}
}

// What thinning leaves is in the buffer with its own times and values, the last of
// each minute among it; what was sent is left alone.
func TestThinnedDetailKeepsItsLastValues(t *testing.T) {
	c := newClock()
	q := openWith(t, queue.Options{Dir: t.TempDir(), DiskBudget: queue.MinDiskBudget, Now: c.now})
	made := map[string]map[int64]float64{}
	last := map[string]map[int64]int64{} // latest time by minute
	scrape := func() {
		c.add(15 * time.Second)
		e := noisy(buffer.Detail, c.now(), 60)
		for _, s := range e.Batch.Series {
			n := s.Labels[0].Value
			if made[n] == nil {
				made[n], last[n] = map[int64]float64{}, map[int64]int64{}
			}
			made[n][s.Samples[0].Time] = s.Samples[0].Value
			last[n][s.Samples[0].Time/60_000] = s.Samples[0].Time
		}
		add(t, q, e)
	}
	for range 40 {
		scrape()
	}
	sent := next(t, q, 3)
	for _, s := range sent {
		q.Release(s)
	}
	for i := 0; q.Stats()[buffer.Detail].Lost[queue.LostThinned] == 0; i++ {
		if scrape(); i > 5000 {
			t.Fatal("nothing was thinned")
		}
	}
	if n := q.Stats()[buffer.Detail].Lost[queue.LostBudget]; n != 0 {
		t.Fatalf("%d samples were dropped where thinning was enough", n)
	}
	left := map[string]map[int64]bool{}
	for _, b := range next(t, q, 1<<20) {
		for _, s := range sent {
			if b.Seq == s.Seq && b.First != s.Seq {
				t.Errorf("block %d was sent and is now %d to %d", s.Seq, b.First, b.Seq)
			}
		}
		for _, s := range b.Batch.Series {
			n := s.Labels[0].Value
			for _, one := range s.Samples {
				if v, ok := made[n][one.Time]; !ok || v != one.Value {
					t.Errorf("%s has %v at %d, which was never made", n, one.Value, one.Time)
				}
				if left[n] == nil {
					left[n] = map[int64]bool{}
				}
				left[n][one.Time] = true
			}
		}
	}
	for n, minutes := range last {
		for _, at := range minutes {
			if !left[n][at] {
				t.Errorf("%s has lost %d, the last of its minute", n, at)
			}
		}
	}
}

// Whatever the pressure, every lane adds up in samples and in records, through
// merges, thinning and restarts.
func TestCountsAddUpUnderPressure(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := newClock()
		b := newBooks(t, rt, queue.Options{DiskBudget: queue.MinDiskBudget, Now: c.now})
		for range rapid.IntRange(3, 40).Draw(rt, "steps") {
			switch rapid.IntRange(0, 7).Draw(rt, "step") {
			default:
				for range rapid.IntRange(1, 12).Draw(rt, "commits") {
					c.add(15 * time.Second)
					e := noisy(rapid.SampledFrom(buffer.Lanes()).Draw(rt, "lane"), c.now(), rapid.SampledFrom([]int{1, 50, 400}).Draw(rt, "series"))
					if rapid.Bool().Draw(rt, "records") {
						e.Batch.Records = logs(rapid.IntRange(4, 20_000).Draw(rt, "bytes")).Batch.Records
					}
					b.append(e)
				}
			case 0:
				c.add(time.Minute)
				_, err := b.q.Tidy(t.Context())
				b.must(err)
			case 1, 2:
				for _, s := range b.next(rapid.IntRange(1, 9).Draw(rt, "max")) {
					if rapid.Bool().Draw(rt, "lost answer") {
						b.q.Release(s)
					} else {
						b.ack(s)
					}
				}
			case 3:
				b.reopen()
			}
			b.check()
		}
		b.checkWaiting()
		b.must(b.q.Close())
	})
}
