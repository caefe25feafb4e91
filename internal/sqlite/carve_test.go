package sqlite

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What lies in the pages of a database, its log included, is what SELECT finds.
func TestCarveFindsAllRows(t *testing.T) {
	for _, closed := range []bool{true, false} { // in the file, or in the log
		path := filepath.Join(t.TempDir(), "x.db")
		db, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, stmt := range []string{
			`CREATE TABLE rows (id INTEGER PRIMARY KEY, text TEXT, n INTEGER, x REAL, body BLOB)`,
			`CREATE TABLE keys (text TEXT, n INTEGER, body BLOB, PRIMARY KEY (text, n)) WITHOUT ROWID`,
		} {
			if _, err := db.Exec(stmt); err != nil {
				t.Fatal(err)
			}
		}
		rng := rand.New(rand.NewPCG(1, 2))
		want := map[string]bool{}
		for id := range int64(200) {
			n := int64(rng.Uint64()) >> rng.IntN(64)
			body := make([]byte, rng.IntN(20_000)>>rng.IntN(14))
			for i := range body {
				body[i] = byte(rng.Uint32())
			}
			x := rng.NormFloat64()
			text := strings.Repeat("ä", rng.IntN(30))
			if _, err := db.Exec(`INSERT INTO rows VALUES (?, ?, ?, ?, ?)`, id+1, text, n, x, body); err != nil {
				t.Fatal(err)
			}
			if _, err := db.Exec(`INSERT INTO keys VALUES (?, ?, ?)`, fmt.Sprint(id), n, body); err != nil {
				t.Fatal(err)
			}
			want[fmt.Sprintf("rows %d %q %d %x", id+1, text, n, body)] = true
			want[fmt.Sprintf("keys %q %d %x", fmt.Sprint(id), n, body)] = true
		}
		if closed {
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		} else {
			defer db.Close()
		}
		got := map[string]bool{}
		err = Carve(path, 1<<20, func(rowid int64, row []Value) error {
			switch {
			case len(row) == 5 && rowid > 0 && row[0].Kind == Null && row[3].Kind == Float:
				got[fmt.Sprintf("rows %d %q %d %x", rowid, row[1].Bytes, row[2].Int, row[4].Bytes)] = true
			case len(row) == 3 && rowid == 0 && row[0].Kind == Text && row[2].Kind == Blob:
				got[fmt.Sprintf("keys %q %d %x", row[0].Bytes, row[1].Int, row[2].Bytes)] = true
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for row := range want {
			if !got[row] {
				t.Errorf("closed %v: not found: %.80s", closed, row)
			}
		}
	}
}

func TestCarveOfWhatIsNotThere(t *testing.T) {
	add := func(int64, []Value) error { t.Error("a row was found"); return nil }
	path := filepath.Join(t.TempDir(), "x.db")
	if err := Carve(path, 1<<20, add); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(path, bytes.Repeat([]byte("no database "), 5000), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Carve(path, 1<<20, add); err != nil {
		t.Error(err)
	}
}

// FuzzCarve reads anything as the second page of a database.
func FuzzCarve(f *testing.F) {
	page := make([]byte, 512)
	page[0], page[4] = leafTablePage, 1
	page[8], page[9] = 1, 0
	copy(page[256:], []byte{5, 7, 3, 1, 17, 42, 'a', 'b'})
	f.Add(page)
	page = bytes.Clone(page)
	page[0] = leafIndexPage
	f.Add(page)
	f.Fuzz(func(t *testing.T, page []byte) {
		first := make([]byte, 512)
		first[16] = 2 // 512 bytes a page
		file := append(first, page...)
		rows := 0
		err := newCarver(bytes.NewReader(file), int64(len(file)), nil, 1<<16).run(func(int64, []Value) error { rows++; return nil })
		if err != nil || rows > len(file) {
			t.Errorf("%d rows in %d bytes (%v)", rows, len(file), err)
		}
	})
}

// content is the only row of a database.
func content(t *testing.T, path string) string {
	t.Helper()
	db, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var s string
	if err := db.QueryRow(`SELECT s FROM t`).Scan(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

func make1(path, s string) error {
	db, err := Open(path)
	if err != nil {
		return err
	}
	_, err = db.Exec(`CREATE TABLE t (s TEXT)`)
	if err == nil {
		_, err = db.Exec(`INSERT INTO t VALUES (?)`, s)
	}
	return errors.Join(err, db.Close())
}

// Wherever a replacing is cut short, one of the two databases is there at the next
// opening, whole, and nothing is lost before its successor is complete.
func TestReplace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	if err := make1(path, "old"); err != nil {
		t.Fatal(err)
	}
	trouble := errors.New("no room")
	if err := Replace(path, func(string) error { return trouble }); !errors.Is(err, trouble) {
		t.Errorf("replacing that failed: %v", err)
	}
	if got := content(t, path); got != "old" {
		t.Errorf("after it failed there is %q", got)
	}
	if err := Replace(path, func(next string) error { return make1(next, "new") }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"new", "old"}, []string{content(t, path), content(t, Damaged(path))}); diff != "" {
		t.Errorf("replaced and put aside (-want +got):\n%s", diff)
	}
	for _, tt := range []struct {
		name string
		do   func(path string) error
		want string
	}{
		{"amid building", func(path string) error { return make1(path+rebuildingSuffix, "half") }, "old"},
		{"when complete", func(path string) error { return make1(path+rebuiltSuffix, "new") }, "new"},
		{"when the old one is gone", func(path string) error {
			return errors.Join(make1(path+rebuiltSuffix, "new"), os.Rename(path, Damaged(path)))
		}, "new"},
	} {
		path := filepath.Join(t.TempDir(), "x.db")
		if err := errors.Join(make1(path, "old"), tt.do(path), FinishReplacing(path)); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if got := content(t, path); got != tt.want {
			t.Errorf("cut short %s there is %q, want %q", tt.name, got, tt.want)
		}
		if _, err := os.Stat(path + rebuildingSuffix); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("cut short %s: what was being built is still there (%v)", tt.name, err)
		}
	}
}
