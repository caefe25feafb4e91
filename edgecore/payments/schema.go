package payments

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"
)

// schemaVersion is kept in the database's user_version.
const schemaVersion = 1

// schema is version 1 of the ledger. Rows are only ever added, except for
// answers, which expire, and the marks in meta.
const schema = `
CREATE TABLE meta(key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE checkins(
	id TEXT PRIMARY KEY, ticket_id TEXT NOT NULL UNIQUE, synthetic INTEGER NOT NULL, time_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE orders(
	id TEXT PRIMARY KEY, checkin_id TEXT NOT NULL REFERENCES checkins(id), synthetic INTEGER NOT NULL,
	items TEXT NOT NULL, total_minor INTEGER NOT NULL, currency TEXT NOT NULL, time_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE payments(
	id TEXT PRIMARY KEY, order_id TEXT NOT NULL REFERENCES orders(id), synthetic INTEGER NOT NULL, method TEXT NOT NULL,
	status TEXT NOT NULL, amount_minor INTEGER NOT NULL, currency TEXT NOT NULL, receipt TEXT NOT NULL, time_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE UNIQUE INDEX paid_once ON payments(order_id) WHERE status = 'captured';
CREATE TABLE refunds(
	id TEXT PRIMARY KEY, payment_id TEXT NOT NULL UNIQUE REFERENCES payments(id), amount_minor INTEGER NOT NULL,
	currency TEXT NOT NULL, time_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE outcomes(
	seq INTEGER PRIMARY KEY AUTOINCREMENT, time_ms INTEGER NOT NULL, kind TEXT NOT NULL, good INTEGER NOT NULL, reason TEXT NOT NULL,
	amount_minor INTEGER NOT NULL, currency TEXT NOT NULL, method TEXT NOT NULL, synthetic INTEGER NOT NULL, subject TEXT NOT NULL);
CREATE TABLE settlements(
	seq INTEGER PRIMARY KEY AUTOINCREMENT, type TEXT NOT NULL, payment_id TEXT NOT NULL, amount_minor INTEGER NOT NULL,
	currency TEXT NOT NULL, time_ms INTEGER NOT NULL);
CREATE TABLE answers(
	operation TEXT NOT NULL, synthetic INTEGER NOT NULL, key TEXT NOT NULL, digest BLOB NOT NULL, status INTEGER NOT NULL,
	body BLOB NOT NULL, time_ms INTEGER NOT NULL, PRIMARY KEY(operation, synthetic, key)) WITHOUT ROWID;
CREATE INDEX answers_by_time ON answers(time_ms);`

// Keys of the meta table.
const (
	metaLedger  = "ledger_id"       // UUID, drawn when the ledger is made
	metaKey     = "signing_key"     // seed of the Ed25519 key of tickets and receipts
	metaSettled = "settled_through" // highest settlement the hub has accepted
	metaProbe   = "probe_ms"        // time of the last proof that the ledger can be written
)

// ensureSchema makes the ledger if the database is empty, in one transaction, and
// refuses one that a newer edgecore has written.
func ensureSchema(ctx context.Context, db *sql.DB) (err error) {
	var version int
	if err := db.QueryRowContext(ctx, `PRAGMA user_version`).Scan(&version); err != nil {
		return err
	}
	switch version {
	case schemaVersion:
		return nil
	case 0:
	default:
		return fmt.Errorf("the ledger has format %d and this build reads %d; install the edgecore that wrote it", version, schemaVersion)
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			tx.Rollback() //nolint:errcheck // the cause is what matters
		}
	}()
	if _, err := tx.ExecContext(ctx, schema); err != nil {
		return err
	}
	seed := make([]byte, ed25519.SeedSize)
	if _, err := rand.Read(seed); err != nil {
		return err
	}
	for key, value := range map[string]any{metaLedger: uuid.NewString(), metaKey: seed, metaSettled: 0, metaProbe: 0} {
		if _, err := tx.ExecContext(ctx, `INSERT INTO meta VALUES (?, ?)`, key, value); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf(`PRAGMA user_version = %d`, schemaVersion)); err != nil {
		return err
	}
	return tx.Commit()
}

// loadMeta reads what the ledger knows of itself.
func (l *Ledger) loadMeta(ctx context.Context) error {
	var seed []byte
	if err := l.meta(ctx, metaLedger, &l.id); err != nil {
		return err
	}
	if err := l.meta(ctx, metaKey, &seed); err != nil {
		return err
	}
	if len(seed) != ed25519.SeedSize {
		return errors.New("the ledger's signing key is damaged")
	}
	l.signer = newSigner(ed25519.NewKeyFromSeed(seed), l.node, l.now)
	return l.meta(ctx, metaSettled, &l.settled)
}

func (l *Ledger) meta(ctx context.Context, key string, into any) error {
	if err := l.read.QueryRowContext(ctx, `SELECT value FROM meta WHERE key = ?`, key).Scan(into); err != nil {
		return fmt.Errorf("read %s: %w", key, err)
	}
	return nil
}

// loadTotals sums up the outcomes and finds the heads of both sequences.
func (l *Ledger) loadTotals(ctx context.Context) error {
	rows, err := l.read.QueryContext(ctx, `SELECT kind, good, reason, method, currency, synthetic, count(*), sum(amount_minor)
		FROM outcomes GROUP BY 1, 2, 3, 4, 5, 6`)
	if err != nil {
		return fmt.Errorf("sum up outcomes: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var o Outcome
		var n, amount int64
		if err := rows.Scan(&o.Kind, &o.Good, &o.Reason, &o.Method, &o.Currency, &o.Synthetic, &n, &amount); err != nil {
			return fmt.Errorf("sum up outcomes: %w", err)
		}
		l.totals.add(o, n, amount)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("sum up outcomes: %w", err)
	}
	if err := l.read.QueryRowContext(ctx, `SELECT coalesce((SELECT max(seq) FROM outcomes), 0), coalesce((SELECT max(seq) FROM settlements), 0)`).
		Scan(&l.head, &l.settleHead); err != nil {
		return fmt.Errorf("find the ledger's head: %w", err)
	}
	l.oldest, err = l.oldestPending(ctx, l.settled)
	return err
}
