package queue

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"ghostlight/buffer"
)

// FuzzCarve reads arbitrary bytes as a database: nothing of them may panic, and
// only what is a block may come out as one.
func FuzzCarve(f *testing.F) {
	dir := f.TempDir()
	q, err := Open(f.Context(), Options{Dir: dir, DiskBudget: 1 << 20})
	if err != nil {
		f.Fatal(err)
	}
	for range 3 {
		if err := q.Append(f.Context(), Commit{Entries: []Entry{entryOf(buffer.Revenue, 900), entryOf(buffer.Revenue, 1)}}); err != nil {
			f.Fatal(err)
		}
	}
	wal, err := os.ReadFile(filepath.Join(dir, "revenue.db-wal"))
	if err != nil {
		f.Fatal(err)
	}
	if err := q.Close(); err != nil {
		f.Fatal(err)
	}
	db, err := os.ReadFile(filepath.Join(dir, "revenue.db"))
	if err != nil {
		f.Fatal(err)
	}
	found := 0
	count := func(id key, r record) error {
		if _, data, ok := r.block(); ok {
			if h, _, err := buffer.Open(data); err == nil && h.Seq == id.seq() {
				found++
			}
		}
		return nil
	}
	for _, c := range []*carver{newCarver(bytes.NewReader(db), int64(len(db)), nil), newCarver(bytes.NewReader(nil), 0, bytes.NewReader(wal))} {
		found = 0
		if err := c.run(count); err != nil || found != 6 {
			f.Fatalf("carved %d of 6 blocks: %v", found, err)
		}
	}
	f.Add(db, wal)
	f.Add(db, []byte{})
	f.Add(db[:len(db)/2], wal[:len(wal)/2])
	f.Fuzz(func(t *testing.T, db, wal []byte) {
		err := newCarver(bytes.NewReader(db), int64(len(db)), bytes.NewReader(wal)).run(func(_ key, r record) error {
			if _, data, ok := r.block(); ok {
				_, _, _ = buffer.Open(data)
			}
			if data, ok := r.page(); ok {
				_, _ = pageOf(data)
			}
			if text, ok := r.counts(); ok {
				_, _ = parseCounts(text)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}
