package queue_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ghostlight/buffer"
	"ghostlight/buffer/queue"
	"ghostlight/buffer/wire"
)

// thaw copies a frozen folder.
func thaw(t *testing.T, from string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A folder that version 1 left behind is read and continued in place: two blocks
// of its revenue were acknowledged, one rejected.
func TestFolderOfVersion1IsContinued(t *testing.T) {
	dir := thaw(t, filepath.Join("testdata", "v1"))
	want := map[buffer.Lane]wire.LaneStats{
		buffer.Revenue: {Produced: 12, Lost: map[string]int64{"refused": 3}, Waiting: 3, Blocks: 1, Bytes: 103},
		buffer.Health:  {Produced: 8, Waiting: 8, Blocks: 4, Bytes: 400},
		buffer.Detail:  {Produced: 2805, Waiting: 2805, Blocks: 5, Bytes: 20252},
		buffer.Traces:  {},
		buffer.Logs:    {Produced: 4, Waiting: 4, Blocks: 4, Bytes: 2464, Records: wire.RecordStats{Produced: 4, Waiting: 4}},
	}
	c := newClock()
	q := open(t, dir, c)
	if d := cmp.Diff(want, q.Stats()); d != "" {
		t.Errorf("stats after the upgrade (-want +got):\n%s", d)
	}
	if q.Restarts() != 2 {
		t.Errorf("%d restarts, want 2", q.Restarts())
	}
	state, err := q.State(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string][]byte{"cursor": {3}}, state); d != "" {
		t.Errorf("state (-want +got):\n%s", d)
	}
	add(t, q, entry(buffer.Detail, "third_session", 5), entry(buffer.Revenue, "revenue_new", 1))
	// Any of the old blocks may have been sent: none is merged.
	c.add(1e12)
	if n, err := q.Tidy(t.Context()); n != 0 || err != nil {
		t.Errorf("%d blocks of version 1 were merged: %v", n, err)
	}
	q.Close()
	q = open(t, dir, c)
	blocks := next(t, q, 100)
	got := names(t, blocks)
	slices.Sort(got)
	if d := cmp.Diff([]string{
		"detail_0", "detail_1", "detail_2", "detail_3", "health_0", "health_1", "health_2", "health_3", "logs_0", "logs_1", "logs_2", "logs_3",
		"revenue_0", "revenue_new", "second_session", "third_session",
	}, got); d != "" {
		t.Errorf("blocks (-want +got):\n%s", d)
	}
	acked := map[buffer.Lane]int64{buffer.Revenue: 6} // before the upgrade
	for _, b := range blocks {
		acked[b.Lane] += int64(b.Batch.Samples())
		ack(t, q, b)
	}
	balanced(t, q, acked)
}

func TestDamagedFolderOfVersion1IsSalvaged(t *testing.T) {
	dir := thaw(t, filepath.Join("testdata", "v1"))
	path := filepath.Join(dir, "telemetry.db")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	clear(data[:100])
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	q := open(t, dir, newClock())
	if n := len(next(t, q, 100)); n != 14 || q.Quarantined() != 1 {
		t.Errorf("%d of 14 blocks found, %d files quarantined", n, q.Quarantined())
	}
	for lane, s := range q.Stats() {
		if s.Lost[queue.LostCorrupt] != 0 {
			t.Errorf("lane %s lost %v", lane, s.Lost)
		}
	}
}
