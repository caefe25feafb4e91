package hub

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"ghostlight/edgecore/settlement"
	"ghostlight/internal/sqlite"
)

// ErrConflict means that an entry is held already with another content: two
// ledgers claim to be the same one.
var ErrConflict = errors.New("the entry is held with another content")

const schema = `
CREATE TABLE IF NOT EXISTS settlements(
	node TEXT NOT NULL, ledger TEXT NOT NULL, seq INTEGER NOT NULL,
	type TEXT NOT NULL, payment_id TEXT NOT NULL, amount_minor INTEGER NOT NULL, currency TEXT NOT NULL, time_ms INTEGER NOT NULL,
	digest BLOB NOT NULL, received_ms INTEGER NOT NULL,
	PRIMARY KEY(node, ledger, seq)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS streams(
	node TEXT NOT NULL, ledger TEXT NOT NULL, through INTEGER NOT NULL, PRIMARY KEY(node, ledger)) WITHOUT ROWID;
PRAGMA user_version = 1;`

// Money counts movements of one kind and currency.
type Money struct {
	Count       int64
	AmountMinor int64
}

// An account is what totals are kept by.
type account struct{ node, kind, currency string }

// A Store is the hub's receiving ledger.
type Store struct {
	db  *sql.DB
	now func() time.Time

	mu     sync.Mutex
	totals map[account]Money // of everything committed; guarded by mu
}

// OpenStore opens the ledger at path and sums it up.
func OpenStore(ctx context.Context, path string, now func() time.Time) (*Store, error) {
	db, err := sqlite.Open(path)
	if err != nil {
		return nil, err
	}
	s := &Store{db: db, now: now, totals: map[account]Money{}}
	if err := s.load(ctx); err != nil {
		db.Close()
		return nil, fmt.Errorf("open hub ledger %s: %w", path, err)
	}
	return s, nil
}

func (s *Store) load(ctx context.Context) error {
	if _, err := s.db.ExecContext(ctx, schema); err != nil {
		return err
	}
	rows, err := s.db.QueryContext(ctx, `SELECT node, type, currency, count(*), sum(amount_minor) FROM settlements GROUP BY 1, 2, 3`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var a account
		var m Money
		if err := rows.Scan(&a.node, &a.kind, &a.currency, &m.Count, &m.AmountMinor); err != nil {
			return err
		}
		s.totals[a] = m
	}
	return rows.Err()
}

// Close releases the database.
func (s *Store) Close() error { return s.db.Close() }

// Accept commits what is new of r and returns up to where the ledger is held
// without a gap. [ErrConflict] means that nothing of r was taken.
func (s *Store) Accept(ctx context.Context, r settlement.Request) (through int64, err error) {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return 0, fmt.Errorf("accept settlements: %w", err)
	}
	defer tx.Rollback() //nolint:errcheck // an error after a commit says nothing
	if through, err = streamThrough(ctx, tx, r); err != nil {
		return 0, fmt.Errorf("accept settlements: %w", err)
	}
	fresh := map[account]Money{}
	for _, e := range r.Entries {
		isNew, err := s.insert(ctx, tx, r, e)
		if err != nil {
			return 0, fmt.Errorf("accept settlement %s/%s/%d: %w", r.Node, r.Ledger, e.Seq, err)
		}
		if isNew {
			a := account{r.Node, e.Type, e.Currency}
			fresh[a] = Money{fresh[a].Count + 1, fresh[a].AmountMinor + e.AmountMinor}
		}
	}
	if len(fresh) == 0 {
		return through, nil
	}
	if through, err = advance(ctx, tx, r, through); err != nil {
		return 0, fmt.Errorf("accept settlements: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return 0, fmt.Errorf("accept settlements: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for a, m := range fresh {
		s.totals[a] = Money{s.totals[a].Count + m.Count, s.totals[a].AmountMinor + m.AmountMinor}
	}
	return through, nil
}

func streamThrough(ctx context.Context, tx *sql.Tx, r settlement.Request) (through int64, err error) {
	err = tx.QueryRowContext(ctx, `SELECT through FROM streams WHERE node = ? AND ledger = ?`, r.Node, r.Ledger).Scan(&through)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return through, err
}

// insert adds one entry; false means that it was held, with the same content.
func (s *Store) insert(ctx context.Context, tx *sql.Tx, r settlement.Request, e settlement.Entry) (bool, error) {
	canonical, err := json.Marshal(e)
	if err != nil {
		return false, err
	}
	digest := sha256.Sum256(canonical)
	res, err := tx.ExecContext(ctx, `INSERT OR IGNORE INTO settlements VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, r.Node, r.Ledger, e.Seq,
		e.Type, e.PaymentID, e.AmountMinor, e.Currency, e.TimeMS, digest[:], s.now().UnixMilli())
	if err != nil {
		return false, err
	}
	if n, err := res.RowsAffected(); err != nil || n == 1 {
		return n == 1, err
	}
	var held []byte
	if err := tx.QueryRowContext(ctx, `SELECT digest FROM settlements WHERE node = ? AND ledger = ? AND seq = ?`,
		r.Node, r.Ledger, e.Seq).Scan(&held); err != nil {
		return false, err
	}
	if [sha256.Size]byte(held) != digest {
		return false, ErrConflict
	}
	return false, nil
}

// advance moves the stream's mark over all entries that follow without a gap.
func advance(ctx context.Context, tx *sql.Tx, r settlement.Request, through int64) (int64, error) {
	rows, err := tx.QueryContext(ctx, `SELECT seq FROM settlements WHERE node = ? AND ledger = ? AND seq > ? ORDER BY seq`, r.Node, r.Ledger, through)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var seq int64
		if err := rows.Scan(&seq); err != nil {
			return 0, err
		}
		if seq != through+1 {
			break
		}
		through = seq
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return 0, err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO streams VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET through = excluded.through`, r.Node, r.Ledger, through)
	return through, err
}

// snapshot copies the totals.
func (s *Store) snapshot() map[account]Money {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.totals)
}
