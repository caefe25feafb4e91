package ingest

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/forward"
	"ghostlight/buffer/queue"
	"ghostlight/buffer/wire"
)

// TestANodesBufferArrives has a node's own buffer and sender at the other end: what
// was produced is what is accepted, by either way.
func TestANodesBufferArrives(t *testing.T) {
	r := newRig(t, t.TempDir(), nil)
	q, err := queue.Open(t.Context(), queue.Options{Dir: t.TempDir(), DiskBudget: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	f, err := forward.New(forward.Options{
		URL: r.url, Token: sohoToken, Queue: q, Info: func() wire.Heartbeat { return wire.Heartbeat{Session: q.Session(), Version: "v"} },
	})
	if err != nil {
		t.Fatal(err)
	}
	v := newVenue(3, time.UnixMilli(1_790_000_000_000))
	want := map[buffer.Lane]Accepted{}
	add := func(lane buffer.Lane, b delta.Batch) {
		t.Helper()
		if err := q.Append(t.Context(), queue.Commit{Entries: []queue.Entry{{Lane: lane, Batch: b}}}); err != nil {
			t.Fatal(err)
		}
		a := want[lane]
		want[lane] = Accepted{a.Blocks + 1, a.Samples + int64(b.Samples()), a.Records + int64(len(b.Records))}
	}
	for range 40 { // before there is a way
		add(buffer.Detail, v.scrape())
		add(buffer.Revenue, delta.Batch{Records: []delta.Record{note("a", "x")}})
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	for range 10 {
		add(buffer.Detail, v.scrape())
	}
	for deadline := time.Now().Add(time.Minute); !cmp.Equal(want, r.Accepted()[soho]) && time.Now().Before(deadline); {
		time.Sleep(5 * time.Millisecond)
	}
	if diff := cmp.Diff(want, r.Accepted()[soho]); diff != "" {
		t.Errorf("accepted (-produced +accepted):\n%s", diff)
	}
	if got := r.metric("ghostlight_fleet_streams"); got != 1 {
		t.Errorf("%v streams are open, want 1", got)
	}
	r.settle()
	if got, want := r.series.count(), int(want[buffer.Detail].Samples); got != want {
		t.Errorf("%d samples are stored, want %d", got, want)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := q.Close(); err != nil {
		t.Error(err)
	}
}
