package payments

import (
	"context"
	"fmt"
)

// Kind is what sort of fact an outcome reports.
type Kind string

// The kinds of outcome.
const (
	KindCheckin Kind = "checkin"
	KindOrder   Kind = "order"
	KindPayment Kind = "payment"
	KindRefund  Kind = "refund"
)

// Reasons of outcomes that are not plain success. A good outcome with a reason is
// one where we did our part: the issuer declined, the guest brought a used ticket.
const (
	ReasonDeclined       = "declined"
	ReasonInvalidTicket  = "invalid_ticket"
	ReasonAlreadyUsed    = "already_used"
	ReasonUnknownCheckin = "unknown_checkin"
	ReasonUnknownItem    = "unknown_item"
	ReasonLedger         = "ledger_unavailable"
	ReasonDiskFull       = "disk_full"
	ReasonTimeout        = "timeout"
	ReasonOverloaded     = "overloaded"
	ReasonCatalog        = "catalog_unavailable"
)

// An Outcome is one revenue fact. It is committed with the fact itself; only a
// failure to commit is reported later, when the ledger can be written again.
type Outcome struct {
	Seq         int64  `json:"seq"`     // in order of commit, from 1, without gaps
	TimeMS      int64  `json:"time_ms"` // of the event, not of the commit; Unix milliseconds
	Kind        Kind   `json:"kind"`
	Good        bool   `json:"good"` // false only when we failed
	Reason      string `json:"reason"`
	AmountMinor int64  `json:"amount_minor"` // money that moved, minor units; 0 if none did
	Currency    string `json:"currency"`
	Method      string `json:"method"` // of payments and their refunds: card, cash
	Synthetic   bool   `json:"synthetic"`
	Subject     string `json:"subject"` // id of the check-in, order, payment or refund
	Checkin     string `json:"checkin"` // id, drawn at random, of the check-in it belongs to; empty if there is none
}

// Page is a run of outcomes after a cursor.
type Page struct {
	Ledger   string    `json:"ledger"` // identity of the ledger, made with it
	Outcomes []Outcome `json:"outcomes"`
	Head     int64     `json:"head"` // the highest sequence committed
}

// checkinOf finds the check-in of an outcome by what the ledger holds of its
// subject. It is looked up, not stored: a ledger made before outcomes told of it
// tells of it too.
const checkinOf = `coalesce(CASE kind
	WHEN 'checkin' THEN (SELECT id FROM checkins WHERE id = subject)
	WHEN 'order' THEN (SELECT checkin_id FROM orders WHERE id = subject)
	WHEN 'payment' THEN (SELECT orders.checkin_id FROM payments JOIN orders ON orders.id = payments.order_id WHERE payments.id = subject)
	WHEN 'refund' THEN (SELECT orders.checkin_id FROM refunds JOIN payments ON payments.id = refunds.payment_id
		JOIN orders ON orders.id = payments.order_id WHERE refunds.id = subject)
	END, '')`

// Outcomes returns up to limit outcomes after the sequence given, in order.
func (l *Ledger) Outcomes(ctx context.Context, after int64, limit int) (Page, error) {
	page := Page{Ledger: l.id, Outcomes: []Outcome{}}
	rows, err := l.read.QueryContext(ctx, `SELECT seq, time_ms, kind, good, reason, amount_minor, currency, method, synthetic, subject, `+checkinOf+`
		FROM outcomes WHERE seq > ? ORDER BY seq LIMIT ?`, after, limit)
	if err != nil {
		return page, fmt.Errorf("read outcomes after %d: %w", after, err)
	}
	defer rows.Close()
	for rows.Next() {
		var o Outcome
		if err := rows.Scan(&o.Seq, &o.TimeMS, &o.Kind, &o.Good, &o.Reason, &o.AmountMinor, &o.Currency, &o.Method, &o.Synthetic, &o.Subject, &o.Checkin); err != nil {
			return page, fmt.Errorf("read outcomes after %d: %w", after, err)
		}
		page.Outcomes = append(page.Outcomes, o)
	}
	if err := rows.Err(); err != nil {
		return page, fmt.Errorf("read outcomes after %d: %w", after, err)
	}
	page.Head = l.Head()
	if n := len(page.Outcomes); n > 0 {
		page.Head = max(page.Head, page.Outcomes[n-1].Seq)
	}
	return page, nil
}
