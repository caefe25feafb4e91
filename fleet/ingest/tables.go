package ingest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

var journalTables = []string{
	// What is accepted and not yet known to be in the stores for good: records of
	// blocks, with the hash of their names, and sealed blocks, which have none.
	`CREATE TABLE IF NOT EXISTS blocks (id INTEGER PRIMARY KEY AUTOINCREMENT, source TEXT NOT NULL, names INTEGER, body BLOB NOT NULL)`,
	// Up to which id all blocks are in the stores for good.
	`CREATE TABLE IF NOT EXISTS trimmed (only INTEGER PRIMARY KEY CHECK (only = 1), id INTEGER NOT NULL)`,
	// Names of series, each list once for the blocks that have it.
	`CREATE TABLE IF NOT EXISTS names (id INTEGER PRIMARY KEY, source TEXT NOT NULL, hash INTEGER NOT NULL, body BLOB NOT NULL, UNIQUE (source, hash))`,
	// What is accepted, as runs of sequences; samples and records are those of
	// the run.
	`CREATE TABLE IF NOT EXISTS ranges (source TEXT NOT NULL, session INTEGER NOT NULL, lane INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
		samples INTEGER NOT NULL, records INTEGER NOT NULL, PRIMARY KEY (source, session, lane, first)) WITHOUT ROWID`,
	// What was accepted through doors whose senders do not number their requests.
	`CREATE TABLE IF NOT EXISTS door_totals (source TEXT NOT NULL, door TEXT NOT NULL, lane INTEGER NOT NULL, blocks INTEGER NOT NULL, samples INTEGER NOT NULL,
		records INTEGER NOT NULL, PRIMARY KEY (source, door, lane)) WITHOUT ROWID`,
	// Contents of recent blocks, to tell a repeat from another block of that name.
	// A block stands for the sequences from first to seq; NULL is seq.
	`CREATE TABLE IF NOT EXISTS digests (source TEXT NOT NULL, session INTEGER NOT NULL, lane INTEGER NOT NULL, seq INTEGER NOT NULL, block INTEGER NOT NULL,
		digest BLOB NOT NULL, first INTEGER, PRIMARY KEY (source, session, lane, seq)) WITHOUT ROWID`,
	`CREATE INDEX IF NOT EXISTS digests_by_age ON digests (source, lane, block)`,
	// Sealed blocks of rows that are too new for now.
	`CREATE TABLE IF NOT EXISTS parked (block INTEGER PRIMARY KEY, source TEXT NOT NULL, due_ms INTEGER NOT NULL, samples INTEGER NOT NULL, body BLOB NOT NULL)`,
	`CREATE INDEX IF NOT EXISTS parked_by_due ON parked (due_ms)`,
	`CREATE INDEX IF NOT EXISTS parked_sizes ON parked (source, length(body), block)`,
	// Sealed blocks of records that their store did not take, to be tried again.
	`CREATE TABLE IF NOT EXISTS stuck (block INTEGER PRIMARY KEY, source TEXT NOT NULL, due_ms INTEGER NOT NULL, records INTEGER NOT NULL, detail TEXT NOT NULL, body BLOB NOT NULL)`,
	// Sealed blocks of what can never be stored; the oldest bodies are given up,
	// dead_totals keep counting them.
	`CREATE TABLE IF NOT EXISTS dead (block INTEGER NOT NULL, reason TEXT NOT NULL, source TEXT NOT NULL, at_ms INTEGER NOT NULL, samples INTEGER NOT NULL,
		records INTEGER NOT NULL, detail TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (block, reason))`,
	`CREATE TABLE IF NOT EXISTS dead_totals (source TEXT NOT NULL, reason TEXT NOT NULL, samples INTEGER NOT NULL, records INTEGER NOT NULL,
		PRIMARY KEY (source, reason)) WITHOUT ROWID`,
	// When the file was found damaged, how many blocks were kept and how many not.
	`CREATE TABLE IF NOT EXISTS damage (at_ms INTEGER NOT NULL, kept INTEGER NOT NULL, lost INTEGER NOT NULL)`,
}

// journalColumns are those that tables of earlier versions lack. Their blocks are
// sealed, and their digests of another length than today's.
var journalColumns = []struct{ table, column, kind string }{
	{"blocks", "names", "INTEGER"},
	{"digests", "first", "INTEGER"},
}

// migrate makes the tables of a journal, or brings those of an earlier version up
// to date, all or none.
func migrate(ctx context.Context, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := migrateTx(ctx, tx); err != nil {
		return errors.Join(fmt.Errorf("create tables: %w", err), ignoreDone(tx.Rollback()))
	}
	return tx.Commit()
}

func migrateTx(ctx context.Context, tx *sql.Tx) error {
	for _, stmt := range journalTables {
		if _, err := tx.ExecContext(ctx, stmt); err != nil {
			return err
		}
	}
	for _, c := range journalColumns {
		var there bool
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM pragma_table_info(?) WHERE name = ?`, c.table, c.column).Scan(&there); err != nil {
			return err
		}
		if there {
			continue
		}
		if _, err := tx.ExecContext(ctx, fmt.Sprintf(`ALTER TABLE %s ADD COLUMN %s %s`, c.table, c.column, c.kind)); err != nil {
			return err
		}
	}
	return nil
}
