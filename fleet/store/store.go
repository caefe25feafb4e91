// Package store is the fleet's durable state: one SQLite file that the rooms
// registry, sales, ledger and events keep their tables in. A commit that has
// returned survives the death of the process and the loss of power; a set of facts
// from one batch of blocks is committed whole or not at all.
//
// It never holds samples: those live in the time series database, and what was
// accepted but not yet stored there lives in ingest's journal.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"ghostlight/buffer"
	"ghostlight/internal/sqlite"
)

// ErrMalformed means that a fact can never be stored as it is: repeating will not
// help. Rooms wrap it with what is wrong.
var ErrMalformed = errors.New("record is malformed")

// File is the name of the database in its folder.
const File = "state.db"

// A Store is the open database. Its methods may be called concurrently.
type Store struct {
	write *sql.DB // one connection: writers queue
	read  *sql.DB

	mu      sync.RWMutex
	ids     map[buffer.Source]int64 // guarded by mu; only committed rows
	sources map[int64]buffer.Source // guarded by mu; the inverse of ids
	parts   map[*sql.Tx][]part      // guarded by mu; of the transactions under way
}

// part is what a room does with a transaction besides what its calls say.
type part struct {
	seal func(context.Context) error
	done func(error)
}

// Open opens the state in dir and makes it if need be.
func Open(ctx context.Context, dir string) (*Store, error) {
	path := filepath.Join(dir, File)
	w, err := sqlite.Open(path)
	if err != nil {
		return nil, err
	}
	r, err := sqlite.ReadPool(path)
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	s := &Store{write: w, read: r, ids: map[buffer.Source]int64{}, sources: map[int64]buffer.Source{}, parts: map[*sql.Tx][]part{}}
	if err := s.load(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), s.Close())
	}
	return s, nil
}

func (s *Store) load(ctx context.Context) error {
	err := s.Migrate(ctx, `CREATE TABLE IF NOT EXISTS sources (
		id INTEGER PRIMARY KEY, region TEXT NOT NULL, venue TEXT NOT NULL, node TEXT NOT NULL, UNIQUE (region, venue, node))`)
	if err != nil {
		return err
	}
	rows, err := s.read.QueryContext(ctx, `SELECT id, region, venue, node FROM sources`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		var src buffer.Source
		if err := rows.Scan(&id, &src.Region, &src.Venue, &src.Node); err != nil {
			return err
		}
		s.ids[src], s.sources[id] = id, src
	}
	return rows.Err()
}

// Close closes the database; commits that have returned stay.
func (s *Store) Close() error { return errors.Join(s.read.Close(), s.write.Close()) }

// Migrate runs statements that create a room's tables, all or none. They must be
// harmless when repeated.
func (s *Store) Migrate(ctx context.Context, statements ...string) error {
	return s.Write(ctx, func(tx *sql.Tx) error {
		for _, stmt := range statements {
			if _, err := tx.ExecContext(ctx, stmt); err != nil {
				return fmt.Errorf("create tables: %w", err)
			}
		}
		return nil
	})
}

// Write runs fn in one transaction that is durable when Write returns nil. After
// an error nothing of it is stored, unless the commit itself failed: then it may
// or may not be, so fn must be repeatable.
func (s *Store) Write(ctx context.Context, fn func(*sql.Tx) error) error {
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	err = fn(tx)
	parts := s.leave(tx)
	for _, p := range parts {
		if err == nil {
			err = p.seal(ctx)
		}
	}
	if err != nil {
		err = errors.Join(err, ignoreDone(tx.Rollback()))
	} else {
		err = tx.Commit()
	}
	for _, p := range parts {
		p.done(err)
	}
	return err
}

// Join lets a room write what it gathers in a transaction of [Store.Write] at once:
// seal runs behind the function given there, still in tx, and an error of it undoes
// all. Done runs when tx has ended: with nil what it held is durable, with an error
// it may or may not be. Done must not write.
func (s *Store) Join(tx *sql.Tx, seal func(context.Context) error, done func(error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.parts[tx] = append(s.parts[tx], part{seal, done})
}

// leave ends the joining of tx.
func (s *Store) leave(tx *sql.Tx) []part {
	s.mu.Lock()
	defer s.mu.Unlock()
	parts := s.parts[tx]
	delete(s.parts, tx)
	return parts
}

func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// Read is the pool for queries; it sees every commit that has returned.
func (s *Store) Read() *sql.DB { return s.read }

// Register gives src its row and returns its number; a repeat returns the same.
func (s *Store) Register(ctx context.Context, src buffer.Source) (int64, error) {
	if id, ok := s.ID(src); ok {
		return id, nil
	}
	var id int64
	err := s.Write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT OR IGNORE INTO sources (region, venue, node) VALUES (?, ?, ?)`, src.Region, src.Venue, src.Node)
		if err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, `SELECT id FROM sources WHERE region = ? AND venue = ? AND node = ?`, src.Region, src.Venue, src.Node).Scan(&id)
	})
	if err != nil {
		return 0, fmt.Errorf("register %s: %w", src, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ids[src], s.sources[id] = id, src
	return id, nil
}

// ID is the number of a registered source.
func (s *Store) ID(src buffer.Source) (int64, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	id, ok := s.ids[src]
	return id, ok
}

// Source is the inverse of [Store.ID].
func (s *Store) Source(id int64) (buffer.Source, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	src, ok := s.sources[id]
	return src, ok
}
