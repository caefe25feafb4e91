package payments

import (
	"database/sql"
	"errors"
	"fmt"

	"ghostlight/edgecore/settlement"
)

// A txn is the transaction a change is applied in, with what memory must learn
// of it once it is committed.
type txn struct {
	w            *writer
	outcomes     []Outcome
	settleHead   int64
	firstPending int64 // time of the first settlement added, Unix ms
	settled      *mark
}

// A mark is how far the hub has accepted settlements.
type mark struct {
	through int64
	oldest  int64 // time of the oldest pending one, Unix ms; 0 if none is
}

func (t *txn) exec(query string, args ...any) error {
	_, err := t.insert(query, args...)
	return err
}

// insert returns the row id of what it added.
func (t *txn) insert(query string, args ...any) (int64, error) {
	stmt, err := t.w.prepare(query)
	if err != nil {
		return 0, err
	}
	res, err := stmt.Exec(args...)
	if err != nil {
		return 0, fmt.Errorf("write ledger: %w", err)
	}
	return res.LastInsertId()
}

// row reads one row; false means that there is none.
func (t *txn) row(query string, args, into []any) (bool, error) {
	stmt, err := t.w.prepare(query)
	if err != nil {
		return false, err
	}
	err = stmt.QueryRow(args...).Scan(into...)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("read ledger: %w", err)
	}
	return true, nil
}

// outcome adds a revenue fact.
func (t *txn) outcome(o Outcome) (err error) {
	o.Seq, err = t.insert(`INSERT INTO outcomes(time_ms, kind, good, reason, amount_minor, currency, method, synthetic, subject)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`, o.TimeMS, string(o.Kind), o.Good, o.Reason, o.AmountMinor, o.Currency, o.Method, o.Synthetic, o.Subject)
	if err != nil {
		return err
	}
	t.outcomes = append(t.outcomes, o)
	return nil
}

// settle adds an entry to the settlement queue.
func (t *txn) settle(e settlement.Entry) (err error) {
	t.settleHead, err = t.insert(`INSERT INTO settlements(type, payment_id, amount_minor, currency, time_ms) VALUES (?, ?, ?, ?, ?)`,
		e.Type, e.PaymentID, e.AmountMinor, e.Currency, e.TimeMS)
	if err == nil && t.firstPending == 0 {
		t.firstPending = e.TimeMS
	}
	return err
}
