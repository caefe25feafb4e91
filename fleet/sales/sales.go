// Package sales keeps the revenue facts of the fleet: the outcomes that venue
// nodes committed with each check-in, order, payment and refund. An outcome is
// inserted once by (node, ledger, sequence), so that repeats and replays change
// nothing, and sums are exact integers in minor units of a currency.
//
// Synthetic outcomes are kept apart and never counted as sales. A payment that the
// card issuer declined is no sale and no failure of ours.
package sales

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/fleet/store"
)

// Kind is the kind of record that carries outcomes.
const Kind = "edge.outcomes"

// MaxOutcomes bounds the outcomes of one record.
const MaxOutcomes = 100_000

// A Page is the body of a record: outcomes of one edge ledger.
type Page struct {
	Ledger   string    `json:"ledger"`
	Outcomes []Outcome `json:"outcomes"`
}

// An Outcome is one fact of an edge ledger.
type Outcome struct {
	Seq         int64  `json:"seq"` // position in the ledger, from 1
	TimeMS      int64  `json:"time_ms"`
	Kind        string `json:"kind"` // checkin, order, payment or refund
	Good        bool   `json:"good"`
	Reason      string `json:"reason"`
	AmountMinor int64  `json:"amount_minor"`
	Currency    string `json:"currency"`
	Method      string `json:"method"`
	Synthetic   bool   `json:"synthetic"`
}

// A Book holds the outcomes of all nodes. Its methods may be called concurrently.
type Book struct {
	store *store.Store
}

// New opens the book in st.
func New(ctx context.Context, st *store.Store) (*Book, error) {
	err := st.Migrate(ctx, `CREATE TABLE IF NOT EXISTS outcomes (
		source INTEGER NOT NULL REFERENCES sources (id), ledger TEXT NOT NULL, seq INTEGER NOT NULL,
		time_ms INTEGER NOT NULL, kind TEXT NOT NULL, good INTEGER NOT NULL, reason TEXT NOT NULL,
		amount INTEGER NOT NULL, currency TEXT NOT NULL, method TEXT NOT NULL, synthetic INTEGER NOT NULL,
		PRIMARY KEY (source, ledger, seq)) WITHOUT ROWID`,
		`CREATE INDEX IF NOT EXISTS outcomes_by_time ON outcomes (source, time_ms)`)
	if err != nil {
		return nil, fmt.Errorf("open sales: %w", err)
	}
	return &Book{store: st}, nil
}

// Kinds lists the record kinds that Apply takes.
func (b *Book) Kinds() []string { return []string{Kind} }

// Apply stores the outcomes of one record of src as part of tx. Outcomes that are
// held already are skipped. [store.ErrMalformed] means that the record can never be
// stored; nothing of it is.
func (b *Book) Apply(ctx context.Context, tx *sql.Tx, src buffer.Source, rec delta.Record) error {
	page, err := decode(rec.Body)
	if err != nil {
		return err
	}
	id, ok := b.store.ID(src)
	if !ok {
		return fmt.Errorf("store outcomes of %s: node is not registered", src)
	}
	stmt, err := tx.PrepareContext(ctx, `INSERT OR IGNORE INTO outcomes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
	if err != nil {
		return fmt.Errorf("store outcomes of %s: %w", src, err)
	}
	defer stmt.Close()
	for _, o := range page.Outcomes {
		_, err := stmt.ExecContext(ctx, id, page.Ledger, o.Seq, o.TimeMS, o.Kind, o.Good, o.Reason, o.AmountMinor, o.Currency, o.Method, o.Synthetic)
		if err != nil {
			return fmt.Errorf("store outcome %d of %s: %w", o.Seq, src, err)
		}
	}
	return nil
}

func decode(body []byte) (Page, error) {
	var page Page
	if err := json.Unmarshal(body, &page); err != nil {
		return Page{}, fmt.Errorf("%w: outcomes: %w", store.ErrMalformed, err)
	}
	if page.Ledger == "" || len(page.Ledger) > 200 {
		return Page{}, fmt.Errorf("%w: the ledger of outcomes must have a name of at most 200 bytes", store.ErrMalformed)
	}
	if len(page.Outcomes) > MaxOutcomes {
		return Page{}, fmt.Errorf("%w: %d outcomes, at most %d are allowed", store.ErrMalformed, len(page.Outcomes), MaxOutcomes)
	}
	for _, o := range page.Outcomes {
		if o.Seq <= 0 || o.Kind == "" {
			return Page{}, fmt.Errorf("%w: outcome %d of kind %q", store.ErrMalformed, o.Seq, o.Kind)
		}
	}
	return page, nil
}
