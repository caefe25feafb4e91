package queue

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/wire"
)

// many is an entry of so many series that nobody else has.
func many(lane buffer.Lane, prefix string, n int) Entry {
	e := Entry{Lane: lane}
	for i := range n {
		e.Batch.Series = append(e.Batch.Series, delta.Series{
			Labels:  []delta.Label{{Name: "__name__", Value: fmt.Sprintf("%s_%d", prefix, i)}},
			Samples: []delta.Sample{{Time: 1, Value: float64(i)}},
		})
	}
	return e
}

func openQueue(t *testing.T, dir string, now func() time.Time) *Queue {
	t.Helper()
	q, err := Open(t.Context(), Options{Dir: dir, DiskBudget: 64 << 20, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	return q
}

func appendAll(t *testing.T, q *Queue, entries ...Entry) {
	t.Helper()
	if err := q.Append(t.Context(), Commit{Entries: entries}); err != nil {
		t.Fatal(err)
	}
}

// storedPages returns the keys of a file's pages.
func storedPages(t *testing.T, f *file) (ids []pageID) {
	t.Helper()
	pages, err := f.allPages()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pages {
		ids = append(ids, p.id)
	}
	return ids
}

// waiting counts the blocks and samples that can still be read.
func waiting(t *testing.T, q *Queue) (blocks, samples int) {
	t.Helper()
	list, err := q.Next(t.Context(), 1<<20, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range list {
		samples += s.Batch.Samples()
		q.Release(s)
	}
	return len(list), samples
}

func TestDictionaryGoesOnAfterARestartInBothFiles(t *testing.T) {
	dir := t.TempDir()
	q := openQueue(t, dir, nil)
	appendAll(t, q, many(buffer.Detail, "d", 50)) // revenue.db is not written to
	appendAll(t, q, many(buffer.Detail, "d", 50), many(buffer.Detail, "more", 10))
	q.Close()
	q = openQueue(t, dir, nil)
	if r, d := storedPages(t, q.revenue), storedPages(t, q.telemetry); len(r) != 2 || len(d) != 2 {
		t.Errorf("%d pages in revenue.db and %d in telemetry.db, want 2 in each", len(r), len(d))
	}
	appendAll(t, q, many(buffer.Detail, "d", 50), many(buffer.Revenue, "more", 10))
	if n := len(storedPages(t, q.telemetry)); n != 2 {
		t.Errorf("%d pages after known series came again, want 2", n)
	}
	if blocks, samples := waiting(t, q); blocks != 5 || samples != 170 {
		t.Errorf("%d blocks of %d samples, want 5 of 170", blocks, samples)
	}
}

// Whichever file is destroyed, the other's blocks are whole, and the dictionary's
// pages are in both again.
func TestADestroyedFileCostsTheOtherNothing(t *testing.T) {
	for _, victim := range []string{"revenue.db", "telemetry.db"} {
		t.Run(victim, func(t *testing.T) {
			dir := t.TempDir()
			q := openQueue(t, dir, nil)
			for i := range 5 {
				appendAll(t, q, many(buffer.Detail, fmt.Sprint("d", i), 20), many(buffer.Revenue, fmt.Sprint("r", i), 20))
			}
			q.Close()
			if err := os.WriteFile(filepath.Join(dir, victim), []byte("not a database"), 0o600); err != nil {
				t.Fatal(err)
			}
			q = openQueue(t, dir, nil)
			if blocks, samples := waiting(t, q); blocks != 5 || samples != 100 {
				t.Errorf("%d blocks of %d samples are left, want 5 of 100", blocks, samples)
			}
			appendAll(t, q, many(buffer.Detail, "new", 5), many(buffer.Revenue, "new", 5))
			r, d := storedPages(t, q.revenue), storedPages(t, q.telemetry)
			if len(r) < 6 || fmt.Sprint(r) != fmt.Sprint(d) {
				t.Errorf("pages %v in revenue.db, %v in telemetry.db", r, d)
			}
			if r[0].dict() == r[len(r)-1].dict() {
				t.Error("the dictionary went on though a page of it may be gone")
			}
			q.Close()
			q = openQueue(t, dir, nil)
			if blocks, samples := waiting(t, q); blocks != 7 || samples != 110 {
				t.Errorf("%d blocks of %d samples after another restart, want 7 of 110", blocks, samples)
			}
		})
	}
}

// A page that is damaged in one file is taken from the other, and repaired.
func TestADamagedPageIsTakenFromTheOtherFile(t *testing.T) {
	dir := t.TempDir()
	q := openQueue(t, dir, nil)
	appendAll(t, q, many(buffer.Detail, "d", 20), many(buffer.Revenue, "r", 20))
	if _, err := q.telemetry.db.ExecContext(t.Context(), "UPDATE pages SET data = zeroblob(length(data)) WHERE id = (SELECT min(id) FROM pages)"); err != nil {
		t.Fatal(err)
	}
	q.Close()
	q = openQueue(t, dir, nil)
	if blocks, samples := waiting(t, q); blocks != 2 || samples != 40 {
		t.Errorf("%d blocks of %d samples, want 2 of 40", blocks, samples)
	}
	appendAll(t, q, many(buffer.Detail, "d", 20))
	if n := len(storedPages(t, q.telemetry)); n != 2 {
		t.Errorf("%d intact pages, want 2", n)
	}
}

// A block whose page is gone from both files is a declared loss; the others of its
// dictionary are not.
func TestABlockWithoutItsPageIsLost(t *testing.T) {
	dir := t.TempDir()
	q := openQueue(t, dir, nil)
	appendAll(t, q, many(buffer.Detail, "a", 20))
	appendAll(t, q, many(buffer.Detail, "b", 30))
	q.Close()
	q = openQueue(t, dir, nil)
	for _, f := range []*file{q.revenue, q.telemetry} {
		if _, err := f.db.ExecContext(t.Context(), "DELETE FROM pages WHERE id = (SELECT max(id) FROM pages)"); err != nil {
			t.Fatal(err)
		}
	}
	q.Close()
	q = openQueue(t, dir, nil)
	if blocks, samples := waiting(t, q); blocks != 1 || samples != 20 {
		t.Errorf("%d blocks of %d samples, want 1 of 20", blocks, samples)
	}
	if s := q.Stats()[buffer.Detail]; s.Lost[LostCorrupt] != 30 || s.Waiting != 20 {
		t.Errorf("stats %+v, want 30 lost", s)
	}
}

// A dictionary of series that are gone is replaced, and dropped with its last
// block.
func TestAWornDictionaryIsReplacedAndDropped(t *testing.T) {
	now := time.Date(2026, 6, 1, 20, 0, 0, 0, time.UTC)
	dir := t.TempDir()
	q := openQueue(t, dir, func() time.Time { return now })
	for i := range 12 {
		appendAll(t, q, many(buffer.Detail, fmt.Sprint("d", i), wornLeast/10))
	}
	dicts := func() map[uint64]bool {
		out := map[uint64]bool{}
		for _, id := range storedPages(t, q.telemetry) {
			out[id.dict()] = true
		}
		return out
	}
	if n := len(dicts()); n != 2 {
		t.Fatalf("%d dictionaries, want 2", n)
	}
	q.Close()
	q = openQueue(t, dir, func() time.Time { return now })
	if blocks, samples := waiting(t, q); blocks != 12 || samples != 12*(wornLeast/10) {
		t.Errorf("%d blocks of %d samples", blocks, samples)
	}
	tidy := func() {
		t.Helper()
		now = now.Add(sweepEvery)
		if _, err := q.Tidy(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if tidy(); len(dicts()) != 2 {
		t.Error("a dictionary was dropped that blocks need")
	}
	newest, err := q.Next(t.Context(), 1, nil)
	if err != nil || newest[0].Seq != 12 {
		t.Fatalf("newest block: %v, %v", newest, err)
	}
	q.Release(newest[0])
	err = q.Ack(t.Context(), wire.Ack{Session: newest[0].Session, Lane: buffer.Detail, Ranges: []wire.Range{{First: 1, Last: 11}}})
	if err != nil {
		t.Fatal(err)
	}
	if tidy(); len(dicts()) != 1 {
		t.Errorf("%d dictionaries are left, want 1", len(dicts()))
	}
	if blocks, samples := waiting(t, q); blocks != 1 || samples != wornLeast/10 {
		t.Errorf("%d blocks of %d samples are left", blocks, samples)
	}
}

// A dictionary that has no room for the series of a batch is followed by one that
// has.
func TestAFullDictionaryIsReplaced(t *testing.T) {
	dir, n := t.TempDir(), delta.DefaultLimits().Series*2/5
	q := openQueue(t, dir, nil)
	for _, prefix := range []string{"a", "b", "c"} {
		appendAll(t, q, many(buffer.Detail, prefix, n))
	}
	q.Close()
	q = openQueue(t, dir, nil)
	if blocks, samples := waiting(t, q); blocks != 3 || samples != 3*n {
		t.Errorf("%d blocks of %d samples, want 3 of %d", blocks, samples, 3*n)
	}
	if ids := storedPages(t, q.revenue); len(ids) != 3 || ids[2].dict() != ids[0].dict()+1 || ids[1].dict() != ids[0].dict() {
		t.Errorf("pages %v, want the third in a dictionary of its own", ids)
	}
}

// A file rebuilt while the queue is open gets back what pages it lost.
func TestPagesSurviveARebuildWhileOpen(t *testing.T) {
	dir := t.TempDir()
	q := openQueue(t, dir, nil)
	appendAll(t, q, many(buffer.Detail, "d", 20), many(buffer.Revenue, "r", 20))
	appendAll(t, q, many(buffer.Detail, "owed", 20)) // revenue.db does not have this one yet
	q.telemetry.mu.Lock()
	if _, err := q.telemetry.db.ExecContext(t.Context(), "DELETE FROM pages"); err != nil {
		t.Fatal(err)
	}
	err := q.telemetry.rebuild(t.Context(), errDamaged)
	q.telemetry.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	appendAll(t, q, many(buffer.Detail, "d", 20), many(buffer.Revenue, "r", 20))
	q.Close()
	q = openQueue(t, dir, nil)
	if r, d := storedPages(t, q.revenue), storedPages(t, q.telemetry); len(r) != 3 || len(d) != 3 {
		t.Errorf("%d pages in revenue.db, %d in telemetry.db, want 3", len(r), len(d))
	}
	if blocks, samples := waiting(t, q); blocks != 5 || samples != 100 {
		t.Errorf("%d blocks of %d samples, want 5 of 100", blocks, samples)
	}
}

func TestPageOfRefusesEveryDamage(t *testing.T) {
	codec, err := delta.NewCodec(delta.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	_, p, err := delta.NewDict(codec, 77).Encode(nil, many(buffer.Detail, "m", 9).Batch)
	if err != nil {
		t.Fatal(err)
	}
	if id, ok := pageOf(p.Data); !ok || id != makePageID(77, 0) || id.dict() != 77 {
		t.Errorf("page is read as %d %v", id, ok)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range p.Data {
		bad := append([]byte(nil), p.Data...)
		bad[i] ^= byte(1 + random.IntN(255))
		if _, ok := pageOf(bad); ok {
			t.Errorf("byte %d was changed and the page is taken", i)
		}
		if _, ok := pageOf(p.Data[:i]); ok {
			t.Errorf("the first %d bytes are taken for the page", i)
		}
	}
}
