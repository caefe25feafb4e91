// Package sqlite opens SQLite databases the way every durable part of Ghostlight
// needs them: write-ahead log, an fsync for each commit, one writer. What a commit
// has returned survives the death of the process and the loss of power.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"runtime"
	"strconv"
	"syscall"

	"github.com/mattn/go-sqlite3"
)

// An Option changes how a database is opened.
type Option func(*settings)

type settings struct {
	cacheKiB int
	maxConns int
	query    url.Values
}

// CacheKiB bounds the page cache of each connection; the default is 2 MiB.
func CacheKiB(n int) Option { return func(s *settings) { s.cacheKiB = n } }

// Open opens the database at path for writing, and makes it if need be. The
// handle has one connection: statements queue for it rather than fail as busy.
func Open(path string, opts ...Option) (*sql.DB, error) {
	s := settings{cacheKiB: 2048, maxConns: 1, query: url.Values{
		"_journal_mode": {"WAL"},
		"_synchronous":  {"FULL"},
		"_busy_timeout": {"5000"},
		"_txlock":       {"immediate"},
		"_auto_vacuum":  {"incremental"},
		"_foreign_keys": {"on"},
		// A writer repeats a handful of statements for ever.
		"_stmt_cache_size": {"32"},
	}}
	return open(path, s, opts)
}

// ReadPool opens the database at path a second time for queries, with as many
// connections as there are cores. It refuses to write.
func ReadPool(path string, opts ...Option) (*sql.DB, error) {
	s := settings{cacheKiB: 2048, maxConns: max(2, runtime.NumCPU()), query: url.Values{
		"_busy_timeout": {"5000"},
		"_query_only":   {"on"},
	}}
	return open(path, s, opts)
}

// journalLimit is what a write-ahead log is cut back to after a checkpoint, so
// that one burst does not hold disk space for good.
const journalLimit = 16 << 20

func open(path string, s settings, opts []Option) (*sql.DB, error) {
	for _, opt := range opts {
		opt(&s)
	}
	s.query.Set("_cache_size", strconv.Itoa(-s.cacheKiB))
	dsn := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: s.query.Encode()}
	db, err := sql.Open("sqlite3", dsn.String())
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	db.SetMaxOpenConns(s.maxConns)
	db.SetMaxIdleConns(s.maxConns)
	if _, err := db.ExecContext(context.Background(), "PRAGMA journal_size_limit="+strconv.Itoa(journalLimit)); err != nil {
		db.Close()
		return nil, fmt.Errorf("open %s: %w", path, explain(err))
	}
	return db, nil
}

// IsFull reports whether err means that there is no room: disk, quota or file
// size limit.
func IsFull(err error) bool {
	var se sqlite3.Error
	if errors.As(err, &se) {
		if se.Code == sqlite3.ErrFull {
			return true
		}
		err = se.SystemErrno
	}
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// IsCorrupt reports whether err means that the file is damaged, cut short or no
// database.
func IsCorrupt(err error) bool {
	var se sqlite3.Error
	return errors.As(err, &se) && (se.Code == sqlite3.ErrCorrupt || se.Code == sqlite3.ErrNotADB || se.ExtendedCode == sqlite3.ErrIoErrShortRead)
}

// IsForeign reports whether err means that the database has not the tables and
// columns that a statement names: it is another program's, or its schema is
// damaged.
func IsForeign(err error) bool {
	var se sqlite3.Error
	return errors.As(err, &se) && se.Code == sqlite3.ErrError
}

// Corrupt is an error that [IsCorrupt] reports, for damage that a check found.
func Corrupt(found string) error {
	return fmt.Errorf("%w: %s", sqlite3.Error{Code: sqlite3.ErrCorrupt}, found)
}

// explain puts the one cause that a person can act on in front.
func explain(err error) error {
	if IsFull(err) {
		return fmt.Errorf("the disk is full; free some space and start again: %w", err)
	}
	return err
}
