package queue_test

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/queue"
	"ghostlight/buffer/wire"
)

// A clock is set by hand.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 6, 1, 20, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

// A hasty clock is a second later whenever it is read, so that blocks are soon old
// enough to be merged and thinned.
func (c *clock) hasty() time.Time {
	c.add(time.Second)
	return c.now()
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func open(t *testing.T, dir string, c *clock) *queue.Queue {
	t.Helper()
	return openWith(t, queue.Options{Dir: dir, DiskBudget: 64 << 20, RevenueReserve: 1 << 20, Now: c.now})
}

func openWith(t *testing.T, o queue.Options) *queue.Queue {
	t.Helper()
	o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	q, err := queue.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	return q
}

// entry is a block of n samples whose metric is called name.
func entry(lane buffer.Lane, name string, n int) queue.Entry {
	s := delta.Series{Labels: []delta.Label{{Name: "__name__", Value: name}}}
	for i := range n {
		s.Samples = append(s.Samples, delta.Sample{Time: int64(i), Value: float64(i)})
	}
	return queue.Entry{Lane: lane, Batch: delta.Batch{Series: []delta.Series{s}}}
}

func add(t *testing.T, q *queue.Queue, entries ...queue.Entry) {
	t.Helper()
	if err := q.Append(t.Context(), queue.Commit{Entries: entries}); err != nil {
		t.Fatal(err)
	}
}

// name is what entry called the block's metric.
func name(t *testing.T, s queue.Stored) string {
	t.Helper()
	if n := names(t, []queue.Stored{s}); len(n) == 1 {
		return n[0]
	}
	t.Fatalf("block %d of lane %s is merged", s.Seq, s.Lane)
	return ""
}

var codec = sync.OnceValues(func() (*delta.Codec, error) { return delta.NewCodec(delta.DefaultLimits()) })

// metricsOf names a block's metrics and makes sure that it can be sent as it was
// handed out.
func metricsOf(s queue.Stored) ([]string, error) {
	codec, err := codec()
	if err != nil {
		return nil, err
	}
	sealed, err := s.Seal(codec)
	if err != nil {
		return nil, err
	}
	h, payload, err := buffer.Open(sealed)
	if err != nil {
		return nil, err
	}
	if h.Kind != buffer.SelfContained || h.Lane != s.Lane || h.Session != s.Session || h.Seq != s.Seq || h.Start() != s.First {
		return nil, fmt.Errorf("block %+v was handed out as %s %d %d to %d", h, s.Lane, s.Session, s.First, s.Seq)
	}
	b, err := codec.Decode(payload)
	if err != nil {
		return nil, err
	}
	if d := cmp.Diff(s.Batch, b, cmpopts.EquateEmpty(), cmpopts.EquateNaNs()); d != "" {
		return nil, fmt.Errorf("sealed block differs (-handed out +sealed):\n%s", d)
	}
	var out []string
	for _, one := range b.Series {
		out = append(out, one.Labels[0].Value)
	}
	return out, nil
}

func next(t *testing.T, q *queue.Queue, max int) []queue.Stored {
	t.Helper()
	blocks, err := q.Next(t.Context(), max, nil)
	if err != nil {
		t.Fatal(err)
	}
	return blocks
}

// names are those of all metrics of all blocks.
func names(t *testing.T, blocks []queue.Stored) []string {
	t.Helper()
	out := []string{}
	for _, b := range blocks {
		n, err := metricsOf(b)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, n...)
	}
	return out
}

func ack(t *testing.T, q *queue.Queue, s queue.Stored) {
	t.Helper()
	err := q.Ack(t.Context(), wire.Ack{Session: s.Session, Lane: s.Lane, Ranges: []wire.Range{{First: s.First, Last: s.Seq}}})
	if err != nil {
		t.Fatal(err)
	}
}

// balanced holds every lane to what the wire promises of its counts.
func balanced(t *testing.T, q *queue.Queue, acked map[buffer.Lane]int64) {
	t.Helper()
	for lane, s := range q.Stats() {
		if s.Produced != acked[lane]+s.LostTotal()+s.Waiting {
			t.Errorf("lane %s: produced %d, acknowledged %d, lost %v, waiting %d", lane, s.Produced, acked[lane], s.Lost, s.Waiting)
		}
	}
}

func TestFreshIsSentBeforeBacklogAndNewestFirst(t *testing.T) {
	c := newClock()
	q := open(t, t.TempDir(), c)
	for i := range 2 {
		for _, lane := range buffer.Lanes() {
			add(t, q, entry(lane, fmt.Sprintf("old_%s_%d", lane, i), 1))
		}
	}
	c.add(time.Minute)
	for _, lane := range buffer.Lanes() {
		add(t, q, entry(lane, fmt.Sprintf("new_%s", lane), 1))
	}
	want := []string{
		"new_revenue", "new_health", "old_revenue_1", "old_revenue_0", "new_detail", "old_health_1", "old_health_0",
	}
	got := names(t, next(t, q, len(want))) // the eighth would be the share of what strict order starves
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("order of sending (-want +got):\n%s", d)
	}
	if rest := next(t, q, 100); len(rest) != 8 {
		t.Errorf("%d blocks after the first seven, want 8", len(rest))
	}
	if rest := next(t, q, 100); len(rest) != 0 {
		t.Errorf("blocks in flight were handed out again: %v", names(t, rest))
	}
}

func TestNoLaneStarves(t *testing.T) {
	c := newClock()
	q := open(t, t.TempDir(), c)
	for _, lane := range []buffer.Lane{buffer.Detail, buffer.Traces, buffer.Logs} {
		add(t, q, entry(lane, lane.String(), 1))
	}
	seen := map[buffer.Lane]bool{}
	for i := range 40 {
		add(t, q, entry(buffer.Revenue, fmt.Sprintf("r%d", i), 1))
		for _, s := range next(t, q, 1) {
			seen[s.Lane] = true
		}
	}
	if len(seen) != 4 {
		t.Errorf("only lanes %v were sent while revenue kept coming", seen)
	}
}

func TestReleasedBlockComesBack(t *testing.T) {
	q := open(t, t.TempDir(), newClock())
	add(t, q, entry(buffer.Revenue, "a", 3))
	first := next(t, q, 4)
	q.Release(first[0])
	if d := cmp.Diff(first, next(t, q, 4)); d != "" {
		t.Errorf("released block differs (-first +second):\n%s", d)
	}
	ack(t, q, first[0])
	if !q.Drained() || len(next(t, q, 4)) != 0 {
		t.Error("acknowledged block is still there")
	}
	ack(t, q, first[0]) // repeats change nothing
	balanced(t, q, map[buffer.Lane]int64{buffer.Revenue: 3})
}

func TestReopenKeepsBlocksCountersAndState(t *testing.T) {
	dir, c := t.TempDir(), newClock()
	q := open(t, dir, c)
	err := q.Append(t.Context(), queue.Commit{
		Entries: []queue.Entry{entry(buffer.Revenue, "r", 2), entry(buffer.Health, "h", 5)},
		State:   map[string][]byte{"cursor/a": []byte("7"), "cursor/b": {}, "other": []byte("x")},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Append(t.Context(), queue.Commit{State: map[string][]byte{"other": nil}}); err != nil {
		t.Fatal(err)
	}
	before, session := q.Stats(), q.Session()
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	if err := q.Append(t.Context(), queue.Commit{Entries: []queue.Entry{entry(buffer.Revenue, "late", 1)}}); !errors.Is(err, queue.ErrClosed) {
		t.Errorf("append to a closed queue: %v", err)
	}

	q = open(t, dir, c)
	if d := cmp.Diff(before, q.Stats()); d != "" {
		t.Errorf("counters changed by closing and opening (-before +after):\n%s", d)
	}
	if q.Session() == session || q.Restarts() != 1 {
		t.Errorf("session %d after %d, restarts %d", q.Session(), session, q.Restarts())
	}
	state, err := q.State(t.Context(), "cursor/")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string][]byte{"cursor/a": []byte("7"), "cursor/b": {}}, state); d != "" {
		t.Errorf("state (-want +got):\n%s", d)
	}
	add(t, q, entry(buffer.Revenue, "r2", 1))
	blocks := next(t, q, 9)
	if d := cmp.Diff([]string{"r2", "r", "h"}, names(t, blocks)); d != "" {
		t.Errorf("blocks of two sessions (-want +got):\n%s", d)
	}
	for _, b := range blocks {
		ack(t, q, b)
	}
	balanced(t, q, map[buffer.Lane]int64{buffer.Revenue: 3, buffer.Health: 5})
}

func TestAckRangesTouchOnlyTheirSessionAndLane(t *testing.T) {
	dir, c := t.TempDir(), newClock()
	q := open(t, dir, c)
	old := q.Session()
	var many []queue.Entry
	for i := range 1200 { // more than one batch of deletes
		many = append(many, entry(buffer.Detail, fmt.Sprintf("old%d", i), 1))
	}
	add(t, q, many...)
	q.Close()
	q = open(t, dir, c)
	add(t, q, entry(buffer.Detail, "new", 1), entry(buffer.Health, "health", 1))
	for _, a := range []wire.Ack{
		{Session: old, Lane: buffer.Detail, Ranges: []wire.Range{{First: 1, Last: 600}, {First: 602, Last: 1 << 63}, {First: 9, Last: 3}}},
		{Session: old + 1, Lane: buffer.Detail, Ranges: []wire.Range{{First: 0, Last: 1 << 63}}},
		{Session: old, Lane: buffer.Health, Ranges: []wire.Range{{First: 0, Last: 1 << 63}}},
	} {
		if err := q.Ack(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff([]string{"health", "new", "old600"}, names(t, next(t, q, 9))); d != "" {
		t.Errorf("blocks left (-want +got):\n%s", d)
	}
	balanced(t, q, map[buffer.Lane]int64{buffer.Detail: 1199})
}

func TestRejectIsADeclaredLoss(t *testing.T) {
	q := open(t, t.TempDir(), newClock())
	add(t, q, entry(buffer.Detail, "a", 4))
	b := next(t, q, 1)[0]
	if err := q.Reject(t.Context(), b, ""); err == nil {
		t.Error("a loss without a reason was accepted")
	}
	for range 2 {
		if err := q.Reject(t.Context(), b, "refused"); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff(wire.LaneStats{Produced: 4, Lost: map[string]int64{"refused": 4}}, q.Stats()[buffer.Detail]); d != "" {
		t.Errorf("stats (-want +got):\n%s", d)
	}
}

func TestConcurrentAppendsGetSequencesWithoutGaps(t *testing.T) {
	q := open(t, t.TempDir(), newClock())
	const callers, each = 16, 20
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for j := range each {
				if err := q.Append(t.Context(), queue.Commit{Entries: []queue.Entry{
					entry(buffer.Revenue, fmt.Sprintf("r%d_%d", i, j), 1), entry(buffer.Detail, fmt.Sprintf("d%d_%d", i, j), 2),
				}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	seen, seqs := map[string]bool{}, map[buffer.Lane]map[buffer.Seq]bool{buffer.Revenue: {}, buffer.Detail: {}}
	for _, b := range next(t, q, 10_000) {
		seen[name(t, b)] = true
		seqs[b.Lane][b.Seq] = true
	}
	if len(seen) != 2*callers*each {
		t.Errorf("%d distinct blocks, want %d", len(seen), 2*callers*each)
	}
	for lane, s := range seqs {
		for i := range buffer.Seq(callers * each) {
			if !s[i+1] {
				t.Fatalf("lane %s has no sequence %d", lane, i+1)
			}
		}
	}
	select {
	case <-q.Changed():
	default:
		t.Error("no signal after blocks were added")
	}
}

func TestBadEntriesAreRefusedBeforeAnythingIsStored(t *testing.T) {
	q := open(t, t.TempDir(), newClock())
	long := entry(buffer.Detail, string(make([]byte, delta.DefaultLimits().LabelBytes)), 1)
	for _, tc := range []struct {
		name  string
		entry queue.Entry
		want  error
	}{
		{"too large", long, queue.ErrTooLarge},
		{"too large without the dictionary", record(buffer.Detail, "big", buffer.MaxBlockBytes-100), queue.ErrTooLarge},
		{"no name", queue.Entry{Lane: buffer.Detail, Batch: delta.Batch{Series: []delta.Series{{Samples: []delta.Sample{{}}}}}}, delta.ErrInvalid},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := q.Append(t.Context(), queue.Commit{Entries: []queue.Entry{entry(buffer.Revenue, "r", 1), tc.entry}})
			if !errors.Is(err, tc.want) {
				t.Errorf("error %v, want %v", err, tc.want)
			}
		})
	}
	if !q.Drained() {
		t.Error("something was stored")
	}
	add(t, q, queue.Entry{Lane: buffer.Detail}) // empty: left out
	if !q.Drained() {
		t.Error("an empty entry became a block")
	}
}

func TestOpenRefusesBadOptions(t *testing.T) {
	for _, o := range []queue.Options{
		{DiskBudget: 1 << 20},
		{Dir: t.TempDir(), DiskBudget: 1},
		{Dir: t.TempDir(), DiskBudget: 1 << 20, RevenueReserve: -1},
	} {
		if q, err := queue.Open(t.Context(), o); err == nil {
			q.Close()
			t.Errorf("%+v was accepted", o)
		}
	}
}
