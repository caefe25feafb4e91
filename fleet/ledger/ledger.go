// Package ledger keeps the service level objectives of the fleet: their
// definitions, and for each node the good and total of every minute. It has set
// semantics: of several buckets for one minute the highest revision wins, so
// repeats, replays and any order of arrival come to the same.
//
// A minute nobody has told of is pending. The ledger never fills it in.
package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/fleet/store"
	"ghostlight/slo"
	"ghostlight/slo/openslo"
)

// The kinds of record that the ledger takes.
const (
	KindObjective = "slo.objective"
	KindBucket    = "slo.bucket"
)

// ErrUnknown means that no node has sent an objective of this name.
var ErrUnknown = errors.New("objective is unknown")

// Ledger is the book of objectives. Its methods may be called concurrently.
type Ledger struct {
	store *store.Store
}

// New opens the ledger in st.
func New(ctx context.Context, st *store.Store) (*Ledger, error) {
	err := st.Migrate(ctx,
		// document is empty until the definition has arrived: buckets may be earlier.
		`CREATE TABLE IF NOT EXISTS objectives (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, document BLOB NOT NULL, defined_ms INTEGER NOT NULL)`,
		`CREATE TABLE IF NOT EXISTS objective_nodes (source INTEGER NOT NULL REFERENCES sources (id), objective INTEGER NOT NULL REFERENCES objectives (id),
			since INTEGER NOT NULL, PRIMARY KEY (source, objective)) WITHOUT ROWID`,
		`CREATE TABLE IF NOT EXISTS bucket_hours (objective INTEGER NOT NULL REFERENCES objectives (id), source INTEGER NOT NULL REFERENCES sources (id),
			hour INTEGER NOT NULL, minutes BLOB NOT NULL, PRIMARY KEY (objective, source, hour)) WITHOUT ROWID`)
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	return &Ledger{store: st}, nil
}

// Kinds lists the record kinds that Apply takes.
func (l *Ledger) Kinds() []string { return []string{KindObjective, KindBucket} }

// Apply stores what one record of src says as part of tx; a repeat changes
// nothing. An error that wraps [store.ErrMalformed] means that the record can
// never be stored; nothing of it is.
func (l *Ledger) Apply(ctx context.Context, tx *sql.Tx, src buffer.Source, rec delta.Record) error {
	id, ok := l.store.ID(src)
	if !ok {
		return fmt.Errorf("store %s of %s: node is not registered", rec.Kind, src)
	}
	switch rec.Kind {
	case KindObjective:
		return applyObjective(ctx, tx, id, rec)
	case KindBucket:
		b, err := slo.DecodeBucket(rec.Body)
		if err != nil {
			return fmt.Errorf("%w: %w", store.ErrMalformed, err)
		}
		if b.Minute < 0 || b.Minute > maxMinute || !slo.ValidName(b.Objective) {
			return fmt.Errorf("%w: bucket of %q in minute %d", store.ErrMalformed, b.Objective, b.Minute)
		}
		return applyBucket(ctx, tx, id, b)
	}
	return fmt.Errorf("%w: kind %q is not the ledger's", store.ErrMalformed, rec.Kind)
}

// maxMinute is the last minute of the year 9999.
const maxMinute = 253402300799 / 60

func applyObjective(ctx context.Context, tx *sql.Tx, source int64, rec delta.Record) error {
	objectives, err := openslo.Decode(rec.Key, rec.Body)
	if err != nil {
		return fmt.Errorf("%w: objective: %w", store.ErrMalformed, err)
	}
	for _, o := range objectives {
		id, err := objectiveID(ctx, tx, o.Name)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE objectives SET document = ?, defined_ms = ? WHERE id = ? AND defined_ms <= ?`, o.Document, rec.Time, id, rec.Time)
		if err != nil {
			return fmt.Errorf("store objective %s: %w", o.Name, err)
		}
		if err := assign(ctx, tx, source, id, slo.MinuteOf(time.UnixMilli(rec.Time))); err != nil {
			return err
		}
	}
	return nil
}

// assign notes that a node answers for an objective, from the given minute at the
// latest.
func assign(ctx context.Context, tx *sql.Tx, source, objective, minute int64) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO objective_nodes VALUES (?, ?, ?)
		ON CONFLICT DO UPDATE SET since = excluded.since WHERE excluded.since < since`, source, objective, minute)
	if err != nil {
		return fmt.Errorf("assign objective: %w", err)
	}
	return nil
}

func objectiveID(ctx context.Context, tx *sql.Tx, name string) (id int64, err error) {
	err = tx.QueryRowContext(ctx, `SELECT id FROM objectives WHERE name = ?`, name).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		err = tx.QueryRowContext(ctx, `INSERT INTO objectives (name, document, defined_ms) VALUES (?, x'', 0) RETURNING id`, name).Scan(&id)
	}
	if err != nil {
		return 0, fmt.Errorf("look up objective %s: %w", name, err)
	}
	return id, nil
}

func applyBucket(ctx context.Context, tx *sql.Tx, source int64, b slo.Bucket) error {
	objective, err := objectiveID(ctx, tx, b.Objective)
	if err != nil {
		return err
	}
	var packed []byte
	err = tx.QueryRowContext(ctx, `SELECT minutes FROM bucket_hours WHERE objective = ? AND source = ? AND hour = ?`, objective, source, b.Minute/60).Scan(&packed)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("read bucket %s: %w", b.Key(), err)
	}
	h := newHour(b.Minute / 60)
	if len(packed) > 0 {
		if h, err = unpackHour(b.Minute/60, packed); err != nil {
			return fmt.Errorf("read bucket %s: %w", b.Key(), err)
		}
	}
	if !h.put(b) {
		return nil
	}
	if err := assign(ctx, tx, source, objective, b.Minute); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT OR REPLACE INTO bucket_hours VALUES (?, ?, ?, ?)`, objective, source, b.Minute/60, h.pack())
	if err != nil {
		return fmt.Errorf("store bucket %s: %w", b.Key(), err)
	}
	return nil
}
