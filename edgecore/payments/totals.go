package payments

import "maps"

// Money counts movements and sums their amounts in minor units.
type Money struct {
	Count       int64
	AmountMinor int64
}

// PaymentKey names one series of payments.
type PaymentKey struct{ Method, Result string }

// OutcomeKey names one series of outcomes.
type OutcomeKey struct {
	Kind Kind
	Good bool
}

// Totals are sums over committed outcomes. Everything but Synthetic leaves the
// synthetic partition out.
type Totals struct {
	Checkins  map[string]int64 // by result: ok, rejected
	Orders    map[string]int64 // by result: created, rejected
	Payments  map[PaymentKey]int64
	Sales     map[string]Money // captured payments by currency
	Refunds   map[string]Money // by currency
	Outcomes  map[OutcomeKey]int64
	Synthetic map[string]int64 // synthetic payments by result
}

func newTotals() Totals {
	return Totals{
		Checkins: map[string]int64{}, Orders: map[string]int64{}, Payments: map[PaymentKey]int64{}, Sales: map[string]Money{},
		Refunds: map[string]Money{}, Outcomes: map[OutcomeKey]int64{}, Synthetic: map[string]int64{},
	}
}

// The results that counters are labelled with.
const (
	ResultOK       = "ok"
	ResultCreated  = "created"
	ResultRejected = "rejected"
	ResultCaptured = "captured"
	ResultDeclined = "declined"
	ResultFailed   = "failed"
)

// paymentResult is what became of the payment that o reports.
func paymentResult(o Outcome) string {
	switch {
	case !o.Good:
		return ResultFailed
	case o.Reason == "":
		return ResultCaptured
	}
	return ResultDeclined
}

// add counts n outcomes alike, with amount in sum. It is the one place where
// outcomes become numbers, at start as after each commit.
func (t *Totals) add(o Outcome, n, amount int64) {
	if o.Synthetic {
		if o.Kind == KindPayment {
			t.Synthetic[paymentResult(o)] += n
		}
		return
	}
	t.Outcomes[OutcomeKey{o.Kind, o.Good}] += n
	switch o.Kind {
	case KindPayment:
		result := paymentResult(o)
		t.Payments[PaymentKey{o.Method, result}] += n
		if result == ResultCaptured {
			t.Sales[o.Currency] = t.Sales[o.Currency].plus(n, amount)
		}
	case KindRefund:
		if o.Good && o.Reason == "" {
			t.Refunds[o.Currency] = t.Refunds[o.Currency].plus(n, amount)
		}
	case KindCheckin:
		countResult(t.Checkins, o, ResultOK, n)
	case KindOrder:
		countResult(t.Orders, o, ResultCreated, n)
	}
}

func (m Money) plus(n, amount int64) Money {
	return Money{Count: m.Count + n, AmountMinor: m.AmountMinor + amount}
}

// countResult counts a check-in or an order; a failure of ours is neither done
// nor rejected, and shows among the outcomes alone.
func countResult(by map[string]int64, o Outcome, done string, n int64) {
	switch {
	case !o.Good:
	case o.Reason == "":
		by[done] += n
	default:
		by[ResultRejected] += n
	}
}

func (t *Totals) clone() Totals {
	return Totals{
		Checkins: maps.Clone(t.Checkins), Orders: maps.Clone(t.Orders), Payments: maps.Clone(t.Payments), Sales: maps.Clone(t.Sales),
		Refunds: maps.Clone(t.Refunds), Outcomes: maps.Clone(t.Outcomes), Synthetic: maps.Clone(t.Synthetic),
	}
}

// sum adds up all currencies.
func sum(by map[string]Money) (total Money) {
	for _, m := range by {
		total = total.plus(m.Count, m.AmountMinor)
	}
	return total
}
