package sqlite_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"ghostlight/internal/sqlite"
)

func TestOpenIsDurableAndOneWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a folder with ? and #", "x.db")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	db, err := sqlite.Open(path, sqlite.CacheKiB(512))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "auto_vacuum": "2", "cache_size": "-512", "foreign_keys": "1"} {
		var got string
		if err := db.QueryRow("PRAGMA " + pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s = %q (%v), want %q", pragma, got, err, want)
		}
	}
	if n := db.Stats().MaxOpenConnections; n != 1 {
		t.Errorf("%d writer connections, want 1", n)
	}
	if _, err := db.Exec("CREATE TABLE t (x)"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("database is not where it was asked for: %v", err)
	}
	pool, err := sqlite.ReadPool(path)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if _, err := pool.Exec("INSERT INTO t VALUES (1)"); err == nil {
		t.Error("the read pool wrote")
	}
}

func TestFullAndCorruptAreRecognised(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	db, err := sqlite.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("CREATE TABLE t (x); PRAGMA max_page_count=8"); err != nil {
		t.Fatal(err)
	}
	_, err = db.Exec("INSERT INTO t VALUES (zeroblob(1000000))")
	if !sqlite.IsFull(fmt.Errorf("append: %w", err)) {
		t.Errorf("IsFull(%v) = false", err)
	}
	if sqlite.IsFull(errors.New("other")) || !sqlite.IsFull(syscall.ENOSPC) {
		t.Error("IsFull confuses causes")
	}

	broken := filepath.Join(t.TempDir(), "broken.db")
	if err := os.WriteFile(broken, make([]byte, 8192), 0o600); err != nil {
		t.Fatal(err)
	}
	copy := append([]byte("SQLite format 3\x00"), make([]byte, 8192)...)
	for i := 16; i < len(copy); i++ {
		copy[i] = 0xA5
	}
	if err := os.WriteFile(broken, copy, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = sqlite.Open(broken)
	if !sqlite.IsCorrupt(err) {
		t.Errorf("IsCorrupt(%v) = false", err)
	}
}
