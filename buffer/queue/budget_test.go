package queue_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/queue"
)

// record is an entry of n bytes that do not compress, such as a batch of logs.
func record(lane buffer.Lane, name string, n int) queue.Entry {
	e := entry(lane, name, 1)
	body := make([]byte, n)
	random := rand.New(rand.NewPCG(uint64(n), 5))
	for i := range body {
		body[i] = byte(random.Uint32())
	}
	e.Batch.Records = []delta.Record{{Kind: "test", Key: name, Body: body}}
	return e
}

func budgeted(t *testing.T, dir string) *queue.Queue {
	t.Helper()
	return openWith(t, queue.Options{Dir: dir, DiskBudget: 1 << 20, Now: newClock().now})
}

func TestBudgetDropsFromTheRightAndNeverRevenue(t *testing.T) {
	dir := t.TempDir()
	q := budgeted(t, dir)
	lanes := buffer.Lanes()
	lost := func(lane buffer.Lane) int64 { return q.Stats()[lane].Lost[queue.LostBudget] }
	appended := 0
	round := func() {
		for _, lane := range lanes {
			add(t, q, record(lane, fmt.Sprintf("m_%s_%d", lane, appended), 6000))
			if lost(buffer.Health) > 0 {
				break // what comes next finds room again
			}
		}
		appended++
	}
	// Logs go first: the others stay whole until no log is left.
	for lost(buffer.Logs) == 0 {
		round()
	}
	for _, lane := range lanes[:4] {
		if n := lost(lane); n != 0 {
			t.Errorf("lane %s lost %d samples while there were logs to drop", lane, n)
		}
	}
	for lost(buffer.Health) == 0 && appended < 1000 {
		round()
	}
	stats := q.Stats()
	for _, lane := range []buffer.Lane{buffer.Logs, buffer.Traces, buffer.Detail} {
		if stats[lane].Waiting != 0 {
			t.Errorf("lane %s still has %d samples while health was dropped", lane, stats[lane].Waiting)
		}
	}
	if s := stats[buffer.Revenue]; s.Blocks != int64(appended) || s.LostTotal() != 0 {
		t.Errorf("revenue was touched: %+v after %d blocks", s, appended)
	}
	balanced(t, q, nil)
	// What is left of health is the newest.
	newest := fmt.Sprintf("m_health_%d", appended-1)
	for _, b := range next(t, q, 1<<20) {
		if b.Lane == buffer.Health {
			if got := name(t, b); got != newest {
				t.Errorf("newest block of health is %s, want %s", got, newest)
			}
			break
		}
	}
	info, err := os.Stat(filepath.Join(dir, "telemetry.db"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > 1<<20+64<<10 {
		t.Errorf("file has %d bytes on a budget of %d", info.Size(), 1<<20)
	}
}

func TestBudgetSparesWhatTheFleetMayHold(t *testing.T) {
	q := budgeted(t, t.TempDir())
	for i := range 3 {
		add(t, q, record(buffer.Logs, fmt.Sprintf("sent_%d", i), 6000))
	}
	sent := next(t, q, 3)
	q.Release(sent[0]) // its answer was lost: the fleet may hold it
	for i := range 400 {
		add(t, q, record(buffer.Logs, fmt.Sprintf("m_%d", i), 6000))
	}
	if q.Stats()[buffer.Logs].Lost[queue.LostBudget] == 0 {
		t.Fatal("nothing was dropped: the budget does not work")
	}
	for _, b := range sent {
		ack(t, q, b)
	}
	balanced(t, q, map[buffer.Lane]int64{buffer.Logs: 3})
}

func TestSpaceOfDrainedBlocksIsGivenBack(t *testing.T) {
	dir := t.TempDir()
	q := open(t, dir, newClock())
	for i := range 60 {
		add(t, q, record(buffer.Detail, fmt.Sprint("m", i), 100_000))
	}
	for _, b := range next(t, q, 100) {
		ack(t, q, b)
	}
	for i := range 20 { // each commit gives a little back
		add(t, q, record(buffer.Detail, fmt.Sprint("n", i), 10))
	}
	q.Close()
	info, err := os.Stat(filepath.Join(dir, "telemetry.db"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > 3<<20 {
		t.Errorf("file still has %d bytes after 6 MB were acknowledged", info.Size())
	}
}

// However the queue is used, every lane's counts add up, every block is handed
// out to one at a time, and nothing that was appended is forgotten silently.
func TestCountsAddUpWhateverHappens(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := newBooks(t, rt, queue.Options{DiskBudget: 256 << 10, Now: newClock().now})
		var out []queue.Stored
		// take does something to one of those handed out, if there are any.
		take := func(do func(queue.Stored)) (taken bool) {
			if len(out) == 0 {
				return false
			}
			i := rapid.IntRange(0, len(out)-1).Draw(rt, "which")
			s := out[i]
			out = append(out[:i], out[i+1:]...)
			do(s)
			return true
		}
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			switch rapid.IntRange(0, 6).Draw(rt, "step") {
			case 0, 1, 2:
				lane, n := rapid.SampledFrom(buffer.Lanes()).Draw(rt, "lane"), rapid.IntRange(1, 20).Draw(rt, "samples")
				e := record(lane, "m", rapid.SampledFrom([]int{10, 5000, 40_000}).Draw(rt, "bytes"))
				e.Batch.Series[0].Samples = make([]delta.Sample, n)
				b.append(e)
			case 3:
				out = append(out, b.next(rapid.IntRange(1, 6).Draw(rt, "max"))...)
			case 4:
				take(b.ack)
			case 5:
				take(b.q.Release)
			case 6:
				if !take(func(s queue.Stored) { b.must(b.q.Reject(t.Context(), s, "refused")) }) {
					b.reopen()
				}
			}
			seen := map[string]bool{}
			for _, s := range out {
				k := fmt.Sprint(s.Session, s.Lane, s.Seq)
				if seen[k] {
					rt.Fatalf("block %s was handed out twice", k)
				}
				seen[k] = true
			}
			b.check()
		}
		b.must(b.q.Close())
	})
}
