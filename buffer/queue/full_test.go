package queue

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/wire"
)

func entryOf(lane buffer.Lane, n int) Entry {
	s := delta.Series{Labels: []delta.Label{{Name: "__name__", Value: "m"}}, Samples: make([]delta.Sample, n)}
	body := make([]byte, 3000)
	for i := range body {
		body[i] = byte(i * i * 31 >> 3)
	}
	return Entry{Lane: lane, Batch: delta.Batch{Series: []delta.Series{s}, Records: []delta.Record{{Kind: "k", Body: body}}}}
}

// limit makes f behave as if the disk had no room beyond a number of pages.
func limit(t *testing.T, f *file, pages int) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.db.ExecContext(t.Context(), fmt.Sprintf("PRAGMA max_page_count = %d", pages)); err != nil {
		t.Fatal(err)
	}
}

func size(t *testing.T, f *file) int {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	pages, _, _, err := f.pages(t.Context(), f.db)
	if err != nil {
		t.Fatal(err)
	}
	return int(pages)
}

func TestFullDiskRefusesCountsAndRecovers(t *testing.T) {
	now := time.Date(2026, 6, 1, 20, 0, 0, 0, time.UTC)
	q, err := Open(t.Context(), Options{Dir: t.TempDir(), DiskBudget: 1 << 20, RevenueReserve: 3<<20 + 5, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	add := func(lane buffer.Lane) error {
		return q.Append(t.Context(), Commit{Entries: []Entry{entryOf(lane, 2)}, State: map[string][]byte{"cursor": []byte(now.String())}})
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(add(buffer.Revenue))
	before := q.Stats()[buffer.Revenue]

	limit(t, q.revenue, size(t, q.revenue))
	for err == nil {
		err = add(buffer.Revenue) // a free page or two may be left
	}
	if !errors.Is(err, ErrFull) {
		t.Fatalf("append on a full disk: %v", err)
	}
	if q.reserve.size() != q.reserve.floor() {
		t.Errorf("%d bytes of the reserve are left, want %d for what leaves", q.reserve.size(), q.reserve.floor())
	}
	full := q.Stats()[buffer.Revenue]
	if full.Refused != 2 || full.LostTotal() != 0 || full.Waiting < before.Waiting {
		t.Errorf("stats on a full disk: %+v", full)
	}
	// The other lanes leave what room there is to revenue.
	err = q.Append(t.Context(), Commit{Entries: []Entry{entryOf(buffer.Detail, 5)}})
	if !errors.Is(err, ErrFull) || q.Stats()[buffer.Detail].Refused != 5 {
		t.Errorf("append of detail while the reserve is spent: %v, %+v", err, q.Stats()[buffer.Detail])
	}

	limit(t, q.revenue, 1<<30)
	now = now.Add(refillEvery)
	must(add(buffer.Revenue))
	must(add(buffer.Detail))
	after := q.Stats()
	if s := after[buffer.Revenue]; s.Waiting != full.Waiting+2 || s.Refused != 2 {
		t.Errorf("revenue after recovery: %+v", s)
	}
	if q.reserve.size() != 3<<20+5 {
		t.Errorf("reserve was refilled to %d bytes", q.reserve.size())
	}
}

// What is turned away for want of room for revenue takes the other entries of its
// commit with it: all are counted.
func TestEveryEntryOfARefusedCommitIsCounted(t *testing.T) {
	q, err := Open(t.Context(), Options{Dir: t.TempDir(), DiskBudget: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	limit(t, q.revenue, size(t, q.revenue))
	for range 50 {
		if err = q.Append(t.Context(), Commit{Entries: []Entry{entryOf(buffer.Revenue, 1), entryOf(buffer.Detail, 5), entryOf(buffer.Health, 3)}}); err != nil {
			break
		}
	}
	if !errors.Is(err, ErrFull) {
		t.Fatalf("append on a full disk: %v", err)
	}
	stats := q.Stats()
	for lane, want := range map[buffer.Lane]int64{buffer.Revenue: 1, buffer.Detail: 5, buffer.Health: 3} {
		if got := stats[lane].Refused; got != want {
			t.Errorf("%d samples of %s are counted as refused, want %d", got, lane, want)
		}
	}
}

func TestPartialCommitSaysSo(t *testing.T) {
	q, err := Open(t.Context(), Options{Dir: t.TempDir(), DiskBudget: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	limit(t, q.telemetry, size(t, q.telemetry))
	var partial *PartialError
	for i := 0; i < 50 && err == nil; i++ {
		err = q.Append(t.Context(), Commit{Entries: []Entry{entryOf(buffer.Revenue, 1), entryOf(buffer.Detail, 1)}})
	}
	if !errors.As(err, &partial) || !errors.Is(err, ErrFull) {
		t.Fatalf("append with a full telemetry file: %v", err)
	}
	stats := q.Stats()
	if r, d := stats[buffer.Revenue], stats[buffer.Detail]; r.Waiting != d.Waiting+1 || d.Refused != 1 {
		t.Errorf("revenue %+v, detail %+v", r, d)
	}
	// Blocks can still leave, and make room.
	blocks, err := q.Next(t.Context(), 50, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range blocks {
		if err := q.Ack(t.Context(), wire.Ack{Session: b.Session, Lane: b.Lane, Ranges: []wire.Range{{First: b.First, Last: b.Seq}}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := q.Append(t.Context(), Commit{Entries: []Entry{entryOf(buffer.Detail, 1)}}); err != nil {
		t.Errorf("append after room was made: %v", err)
	}
}

func TestImpatientCallerLeavesNothingBehind(t *testing.T) {
	q, err := Open(t.Context(), Options{Dir: t.TempDir(), DiskBudget: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	<-q.writer // a commit is under way
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() { failed <- q.Append(ctx, Commit{Entries: []Entry{entryOf(buffer.Revenue, 1)}}) }()
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("append: %v", err)
	}
	q.writer <- struct{}{}
	if !q.Drained() || len(q.pending) != 0 {
		t.Error("the withdrawn commit is still there")
	}
}
