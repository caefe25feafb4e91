package queue

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ghostlight/buffer"
	"ghostlight/internal/sqlite"
)

// FuzzCarve reads arbitrary bytes as a database and its log: nothing of them may
// panic, and only what is intact may be kept.
func FuzzCarve(f *testing.F) {
	db, wal := storedSix(f)
	into := &file{path: filepath.Join(f.TempDir(), "into.db"), lanes: buffer.Lanes(), now: time.Now, log: slog.New(slog.DiscardHandler)}
	if err := into.connect(f.Context()); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { into.close() })
	if _, err := into.db.Exec("PRAGMA synchronous = OFF"); err != nil { // nothing here must last
		f.Fatal(err)
	}
	carved := func(t testing.TB, db, wal []byte) (blocks int) {
		path := filepath.Join(t.TempDir(), "found.db")
		for suffix, data := range map[string][]byte{"": db, "-wal": wal} {
			if err := os.WriteFile(path+suffix, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s := &salvage{ctx: t.Context(), into: into.db, counts: map[buffer.Lane]counts{}}
		if err := sqlite.Carve(path, longestRow, s.carved); err != nil {
			t.Fatal(err)
		}
		if err := s.flush(); err != nil {
			t.Fatal(err)
		}
		rows, err := into.db.Query("SELECT data FROM blocks")
		if err != nil {
			t.Fatal(err)
		}
		for ; rows.Next(); blocks++ {
			var data []byte
			if err := rows.Scan(&data); err != nil {
				t.Fatal(err)
			}
			if _, _, err := buffer.Open(data); err != nil {
				t.Errorf("what was kept is no block: %v", err)
			}
		}
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
		for _, stmt := range []string{"DELETE FROM blocks", "DELETE FROM pages"} {
			if _, err := into.db.Exec(stmt); err != nil {
				t.Fatal(err)
			}
		}
		return blocks
	}
	if inFile, inLog := carved(f, db, nil), carved(f, nil, wal); inFile != 6 || inLog != 6 {
		f.Fatalf("carved %d blocks of the file and %d of its log, want 6 of each", inFile, inLog)
	}
	f.Add(db, wal)
	f.Add(db, []byte{})
	f.Add(db[:len(db)/2], wal[:len(wal)/2])
	f.Fuzz(func(t *testing.T, db, wal []byte) { carved(t, db, wal) })
}

// storedSix is a file with six blocks, and the log in which they were before it was
// closed.
func storedSix(tb testing.TB) (db, wal []byte) {
	tb.Helper()
	dir := tb.TempDir()
	q, err := Open(tb.Context(), Options{Dir: dir, DiskBudget: 1 << 20})
	if err != nil {
		tb.Fatal(err)
	}
	for range 3 {
		if err := q.Append(tb.Context(), Commit{Entries: []Entry{entryOf(buffer.Revenue, 900), entryOf(buffer.Revenue, 1)}}); err != nil {
			tb.Fatal(err)
		}
	}
	if wal, err = os.ReadFile(filepath.Join(dir, "revenue.db-wal")); err != nil {
		tb.Fatal(err)
	}
	if err := q.Close(); err != nil {
		tb.Fatal(err)
	}
	if db, err = os.ReadFile(filepath.Join(dir, "revenue.db")); err != nil {
		tb.Fatal(err)
	}
	return db, wal
}
