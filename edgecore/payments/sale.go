package payments

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/uuid"

	"ghostlight/edgecore/catalog"
	"ghostlight/edgecore/settlement"
)

// newID draws an id that sorts by time, which keeps the ledger's indexes compact.
func newID() (string, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return "", fmt.Errorf("draw id: %w", err)
	}
	return id.String(), nil
}

// checkIn uses up a ticket.
func (l *Ledger) checkIn(ctx context.Context, q request, ticket string) (answer, error) {
	ticketID, valid := l.signer.checkTicket(ticket, q.synthetic)
	return l.once(ctx, q, q.outcome(), func(t *txn) (answer, error) {
		o := q.outcome()
		if !valid {
			o.Reason = ReasonInvalidTicket
			return rejected(t, o, http.StatusUnauthorized, "The ticket is not valid here.")
		}
		var earlier string
		used, err := t.row(`SELECT id FROM checkins WHERE ticket_id = ?`, []any{ticketID}, []any{&earlier})
		if err != nil {
			return answer{}, err
		}
		if used {
			o.Reason, o.Subject = ReasonAlreadyUsed, ticketID
			return rejected(t, o, http.StatusConflict, "The ticket has been used already.")
		}
		if o.Subject, err = newID(); err != nil {
			return answer{}, err
		}
		if err := t.exec(`INSERT INTO checkins VALUES (?, ?, ?, ?)`, o.Subject, ticketID, q.synthetic, q.timeMS); err != nil {
			return answer{}, err
		}
		if err := t.outcome(o); err != nil {
			return answer{}, err
		}
		return respond(http.StatusCreated, map[string]string{"checkin_id": o.Subject})
	})
}

// rejected reports an outcome in which we did our part and the guest was refused.
func rejected(t *txn, o Outcome, status int, sentence string, args ...any) (answer, error) {
	if err := t.outcome(o); err != nil {
		return answer{}, err
	}
	return refuse(status, sentence, args...)
}

// A line is one position of an order.
type line struct {
	SKU      string `json:"sku"`
	Quantity int64  `json:"quantity"`
}

// A priced order is ready to be placed; unknown names the first item that is not
// for sale.
type priced struct {
	total    int64
	currency string
	unknown  string
}

// price sums up lines at the catalogue's prices. The bounds on lines, quantity
// and price keep the sum far from overflow.
func price(c catalog.Catalog, lines []line) priced {
	var p priced
	for _, ln := range lines {
		it, ok := c.Find(ln.SKU)
		if !ok || (p.currency != "" && p.currency != it.Currency) {
			return priced{unknown: ln.SKU}
		}
		p.currency = it.Currency
		p.total += it.PriceMinor * ln.Quantity
	}
	return p
}

// placeOrder records what a guest who checked in wants to buy.
func (l *Ledger) placeOrder(ctx context.Context, q request, checkin string, lines []line, p priced) (answer, error) {
	items, err := json.Marshal(lines)
	if err != nil {
		return answer{}, fmt.Errorf("encode order: %w", err)
	}
	return l.once(ctx, q, q.outcome(), func(t *txn) (answer, error) {
		o := q.outcome()
		var synthetic bool
		known, err := t.row(`SELECT synthetic FROM checkins WHERE id = ?`, []any{checkin}, []any{&synthetic})
		switch {
		case err != nil:
			return answer{}, err
		case !known || synthetic != q.synthetic:
			o.Reason = ReasonUnknownCheckin
			return rejected(t, o, http.StatusNotFound, "There is no check-in %s.", checkin)
		case p.unknown != "":
			o.Reason = ReasonUnknownItem
			return rejected(t, o, http.StatusBadRequest, "The item %s is not for sale together with the others.", p.unknown)
		}
		if o.Subject, err = newID(); err != nil {
			return answer{}, err
		}
		if err := t.exec(`INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?)`, o.Subject, checkin, q.synthetic, string(items), p.total, p.currency, q.timeMS); err != nil {
			return answer{}, err
		}
		o.Currency = p.currency
		if err := t.outcome(o); err != nil {
			return answer{}, err
		}
		return respond(http.StatusCreated, map[string]any{"order_id": o.Subject, "total_minor": p.total, "currency": p.currency})
	})
}

// A payment is one attempt to pay an order.
type payment struct {
	id, order, method, status, currency, receipt string
	amount                                       int64
	synthetic                                    bool
	timeMS                                       int64
}

// pay takes the money for an order, or records that the issuer declined. An order
// is paid once; whoever tries again with another key is refused.
func (l *Ledger) pay(ctx context.Context, q request, order, method string, approved bool) (answer, error) {
	failure := q.outcome()
	failure.Method = method
	return l.once(ctx, q, failure, func(t *txn) (answer, error) {
		p := payment{order: order, method: method, status: ResultDeclined, synthetic: q.synthetic, timeMS: q.timeMS}
		known, err := t.row(`SELECT total_minor, currency FROM orders WHERE id = ? AND synthetic = ?`, []any{order, q.synthetic}, []any{&p.amount, &p.currency})
		if err != nil {
			return answer{}, err
		}
		if !known {
			return refuse(http.StatusNotFound, "There is no order %s.", order)
		}
		var paidBy string
		paid, err := t.row(`SELECT id FROM payments WHERE order_id = ? AND status = 'captured'`, []any{order}, []any{&paidBy})
		if err != nil {
			return answer{}, err
		}
		if paid {
			return refuse(http.StatusConflict, "The order %s is paid already, by payment %s.", order, paidBy)
		}
		if p.id, err = newID(); err != nil {
			return answer{}, err
		}
		if approved {
			p.status = ResultCaptured
			if p.receipt, err = l.signer.receipt(p); err != nil {
				return answer{}, err
			}
		}
		return record(t, q, p)
	})
}

// record writes a payment with everything that must commit with it.
func record(t *txn, q request, p payment) (answer, error) {
	if err := t.exec(`INSERT INTO payments VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		p.id, p.order, p.synthetic, p.method, p.status, p.amount, p.currency, p.receipt, p.timeMS); err != nil {
		return answer{}, err
	}
	o := q.outcome()
	o.Method, o.Currency, o.Subject = p.method, p.currency, p.id
	if p.status == ResultDeclined {
		o.Reason = ReasonDeclined
		if err := t.outcome(o); err != nil {
			return answer{}, err
		}
		return respond(http.StatusPaymentRequired, map[string]string{"status": ResultDeclined, "payment_id": p.id, "error": "The issuer declined the payment."})
	}
	o.AmountMinor = p.amount
	if err := t.outcome(o); err != nil {
		return answer{}, err
	}
	if !p.synthetic {
		if err := t.settle(settlement.Entry{Type: settlement.Sale, PaymentID: p.id, AmountMinor: p.amount, Currency: p.currency, TimeMS: p.timeMS}); err != nil {
			return answer{}, err
		}
	}
	return respond(http.StatusCreated, p)
}

// MarshalJSON is how the API shows a payment.
func (p payment) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		PaymentID   string `json:"payment_id"`
		Status      string `json:"status"`
		OrderID     string `json:"order_id"`
		Method      string `json:"method"`
		AmountMinor int64  `json:"amount_minor"`
		Currency    string `json:"currency"`
		Receipt     string `json:"receipt,omitempty"`
	}{p.id, p.status, p.order, p.method, p.amount, p.currency, p.receipt})
}

// refund gives back the whole of a captured payment, once.
func (l *Ledger) refund(ctx context.Context, q request, paymentID string) (answer, error) {
	return l.once(ctx, q, q.outcome(), func(t *txn) (answer, error) {
		var p payment
		known, err := t.row(`SELECT method, status, amount_minor, currency FROM payments WHERE id = ? AND synthetic = ?`,
			[]any{paymentID, q.synthetic}, []any{&p.method, &p.status, &p.amount, &p.currency})
		switch {
		case err != nil:
			return answer{}, err
		case !known:
			return refuse(http.StatusNotFound, "There is no payment %s.", paymentID)
		case p.status != ResultCaptured:
			return refuse(http.StatusConflict, "The payment %s was declined; there is nothing to refund.", paymentID)
		}
		var earlier string
		refunded, err := t.row(`SELECT id FROM refunds WHERE payment_id = ?`, []any{paymentID}, []any{&earlier})
		if err != nil {
			return answer{}, err
		}
		if refunded {
			return refuse(http.StatusConflict, "The payment %s is refunded already, by refund %s.", paymentID, earlier)
		}
		return giveBack(t, q, paymentID, p)
	})
}

func giveBack(t *txn, q request, paymentID string, p payment) (answer, error) {
	o := q.outcome()
	o.AmountMinor, o.Currency, o.Method = p.amount, p.currency, p.method
	var err error
	if o.Subject, err = newID(); err != nil {
		return answer{}, err
	}
	if err := t.exec(`INSERT INTO refunds VALUES (?, ?, ?, ?, ?)`, o.Subject, paymentID, p.amount, p.currency, q.timeMS); err != nil {
		return answer{}, err
	}
	if err := t.outcome(o); err != nil {
		return answer{}, err
	}
	if !q.synthetic {
		if err := t.settle(settlement.Entry{Type: settlement.Refund, PaymentID: paymentID, AmountMinor: p.amount, Currency: p.currency, TimeMS: q.timeMS}); err != nil {
			return answer{}, err
		}
	}
	return respond(http.StatusCreated, map[string]any{"refund_id": o.Subject, "payment_id": paymentID, "amount_minor": p.amount, "currency": p.currency})
}

// payment reads one payment of a partition; false means that there is none.
func (l *Ledger) payment(ctx context.Context, id string, synthetic bool) (payment, bool, error) {
	p := payment{id: id, synthetic: synthetic}
	err := l.read.QueryRowContext(ctx, `SELECT order_id, method, status, amount_minor, currency, receipt, time_ms FROM payments WHERE id = ? AND synthetic = ?`, id, synthetic).
		Scan(&p.order, &p.method, &p.status, &p.amount, &p.currency, &p.receipt, &p.timeMS)
	if errors.Is(err, sql.ErrNoRows) {
		return payment{}, false, nil
	}
	if err != nil {
		return payment{}, false, fmt.Errorf("read payment %s: %w", id, err)
	}
	return p, true, nil
}
