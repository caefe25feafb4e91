package queue_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/queue"
	"ghostlight/buffer/wire"
)

// settle lets what is in the buffer grow old and merges it.
func settle(t *testing.T, q *queue.Queue, c *clock) int {
	t.Helper()
	c.add(time.Minute)
	n, err := q.Tidy(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// content is everything that waits, by lane, whatever blocks it is in.
func content(t *testing.T, q *queue.Queue) map[buffer.Lane]delta.Batch {
	t.Helper()
	batches := map[buffer.Lane][]delta.Batch{}
	blocks := next(t, q, 1<<20)
	for i := len(blocks) - 1; i >= 0; i-- { // oldest first
		batches[blocks[i].Lane] = append(batches[blocks[i].Lane], blocks[i].Batch)
	}
	out := map[buffer.Lane]delta.Batch{}
	for lane, b := range batches {
		out[lane] = delta.Merge(b...)
	}
	return out
}

// produced is what entries hold, by lane.
func produced(commits [][]queue.Entry) map[buffer.Lane]delta.Batch {
	batches := map[buffer.Lane][]delta.Batch{}
	for _, c := range commits {
		for _, e := range c {
			batches[e.Lane] = append(batches[e.Lane], e.Batch)
		}
	}
	out := map[buffer.Lane]delta.Batch{}
	for lane, b := range batches {
		out[lane] = delta.Merge(b...)
	}
	return out
}

func sameContent(t *testing.T, want, got map[buffer.Lane]delta.Batch) {
	t.Helper()
	bySeries := cmpopts.SortSlices(func(a, b delta.Series) bool { return fmt.Sprint(a.Labels) < fmt.Sprint(b.Labels) })
	if d := cmp.Diff(want, got, bySeries, cmpopts.EquateEmpty(), cmpopts.EquateNaNs()); d != "" {
		t.Errorf("content (-want +got):\n%.2000s", d)
	}
}

func TestMergingKeepsEverySampleInFewerBytes(t *testing.T) {
	dir, c := t.TempDir(), newClock()
	q, n := open(t, dir, c), madeUp(300, 60)
	var commits [][]queue.Entry
	for range 150 {
		c.add(15 * time.Second)
		commits = append(commits, n.scrape())
		add(t, q, commits[len(commits)-1]...)
	}
	before := q.Stats()
	merged := settle(t, q, c)
	after := q.Stats()
	for lane, s := range before {
		a := after[lane]
		if a.Produced != s.Produced || a.Waiting != s.Waiting || a.LostTotal() != 0 || a.Bytes > s.Bytes {
			t.Errorf("lane %s: %+v, was %+v", lane, a, s)
		}
		merged -= int(s.Blocks - a.Blocks)
	}
	if merged != 0 || after[buffer.Detail].Bytes > before[buffer.Detail].Bytes*3/4 || after[buffer.Detail].Blocks > before[buffer.Detail].Blocks/8 {
		t.Errorf("%d blocks more were said to be merged than are gone; detail has %d of %d bytes, %d of %d blocks", merged,
			after[buffer.Detail].Bytes, before[buffer.Detail].Bytes, after[buffer.Detail].Blocks, before[buffer.Detail].Blocks)
	}
	if n := settle(t, q, c); n != 0 {
		t.Errorf("%d blocks were merged again", n)
	}
	q.Close()
	q = open(t, dir, c)
	sameContent(t, produced(commits), content(t, q))
}

func TestOnlyNeighboursThatWereNeverSentAreMerged(t *testing.T) {
	c := newClock()
	q := open(t, t.TempDir(), c)
	for i := range 20 {
		add(t, q, entry(buffer.Detail, fmt.Sprint("m", i), 1))
	}
	sent := next(t, q, 10)
	for _, s := range sent[:5] {
		q.Release(s) // their answers were lost
	}
	ack(t, q, sent[9]) // of 11; what is left of it has no neighbours across
	add(t, q, entry(buffer.Detail, "fresh", 1))
	if n, err := q.Tidy(t.Context()); n != 0 || err != nil {
		t.Errorf("%d fresh blocks were merged: %v", n, err)
	}
	if n := settle(t, q, c); n != 9 { // 1 to 10 become one
		t.Errorf("%d blocks were merged, want 9", n)
	}
	got := map[buffer.Seq]buffer.Seq{}
	for _, s := range next(t, q, 100) {
		got[s.Seq] = s.First
	}
	want := map[buffer.Seq]buffer.Seq{10: 1, 16: 16, 17: 17, 18: 18, 19: 19, 20: 20, 21: 21}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("first by last sequence (-want +got):\n%s", d)
	}
}

func TestMergedBlockIsAcknowledgedAsAWhole(t *testing.T) {
	c := newClock()
	q := open(t, t.TempDir(), c)
	for i := range 12 {
		add(t, q, entry(buffer.Detail, fmt.Sprint("m", i), 1))
		if i == 9 {
			settle(t, q, c)
		}
	}
	for _, tc := range []struct {
		first, last buffer.Seq
		blocks      int64
	}{{3, 9, 3}, {2, 10, 3}, {2, 11, 2}, {1, 10, 1}} {
		err := q.Ack(t.Context(), wire.Ack{Session: q.Session(), Lane: buffer.Detail, Ranges: []wire.Range{{First: tc.first, Last: tc.last}}})
		if got := q.Stats()[buffer.Detail].Blocks; err != nil || got != tc.blocks {
			t.Errorf("%d blocks after %d to %d were acknowledged, want %d (%v)", got, tc.first, tc.last, tc.blocks, err)
		}
	}
	balanced(t, q, map[buffer.Lane]int64{buffer.Detail: 11})
}

func TestMergedBlockCanBeRejected(t *testing.T) {
	c := newClock()
	q := open(t, t.TempDir(), c)
	for i := range 8 {
		add(t, q, entry(buffer.Detail, fmt.Sprint("m", i), 2))
	}
	settle(t, q, c)
	b := next(t, q, 9)
	if len(b) != 1 || b[0].First != 1 || b[0].Seq != 8 {
		t.Fatalf("%d blocks, want one of 1 to 8", len(b))
	}
	if err := q.Reject(t.Context(), b[0], "refused"); err != nil || !q.Drained() || q.Stats()[buffer.Detail].Lost["refused"] != 16 {
		t.Errorf("rejected block: %v, %+v", err, q.Stats()[buffer.Detail])
	}
}

// What may have been sent stays as it is after a restart too; what a commit has
// written down as never sent does not have to.
func TestRestartKnowsWhatWasNeverSent(t *testing.T) {
	for _, tc := range []struct {
		name   string
		after  int // commits after the sender gave everything back
		merged int
	}{
		{"handed out and no commit since", 0, 0},
		{"a commit after nothing was out any more", 1, 19 - 2 - 1}, // two were sent; 18 in a row are neighbours of none
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir, c := t.TempDir(), newClock()
			q := open(t, dir, c)
			for i := range 19 {
				add(t, q, entry(buffer.Detail, fmt.Sprint("m", i), 1))
			}
			for _, s := range next(t, q, 2) {
				q.Release(s)
			}
			for i := range tc.after {
				add(t, q, entry(buffer.Detail, fmt.Sprint("n", i), 1))
			}
			q = open(t, thaw(t, dir), c) // as kill -9 would leave it
			if n := settle(t, q, c); n != tc.merged {
				t.Errorf("%d blocks were merged, want %d", n, tc.merged)
			}
		})
	}
}

// Free pages still hold the parts of a merged block: a salvage must not bring them
// back beside it.
func TestSalvageDoesNotUndoMerging(t *testing.T) {
	dir, c := t.TempDir(), newClock()
	q := open(t, dir, c)
	var commits [][]queue.Entry
	for i := range 24 {
		e := big(buffer.Detail, fmt.Sprint("m", i), 300)
		commits = append(commits, []queue.Entry{e})
		add(t, q, e)
	}
	if settle(t, q, c) == 0 {
		t.Fatal("nothing was merged")
	}
	want := q.Stats()[buffer.Detail]
	q.Close()
	path := filepath.Join(dir, "telemetry.db")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	clear(data[:4096])
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	q = open(t, dir, c)
	if d := cmp.Diff(want, q.Stats()[buffer.Detail]); d != "" {
		t.Errorf("stats after the salvage (-want +got):\n%s", d)
	}
	sameContent(t, produced(commits), content(t, q))
}
