package sales

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"ghostlight/buffer"
)

// Totals are the real (not synthetic) outcomes of some nodes in some time.
type Totals struct {
	Sales          int64            `json:"sales"`           // captured payments
	AmountMinor    map[string]int64 `json:"amount_minor"`    // of the sales, by currency
	Checkins       int64            `json:"checkins"`        // good check-ins
	Orders         int64            `json:"orders"`          // good orders
	Refunds        int64            `json:"refunds"`         // good refunds
	RefundMinor    map[string]int64 `json:"refund_minor"`    // of the refunds, by currency
	Declined       int64            `json:"declined"`        // payments the card issuer declined
	FailedPayments int64            `json:"failed_payments"` // payments that we failed
	FailedOther    int64            `json:"failed_other"`    // check-ins, orders and refunds that we failed
}

// Conversion is sales per check-in, and false where nobody checked in.
func (t Totals) Conversion() (float64, bool) {
	if t.Checkins == 0 {
		return 0, false
	}
	return float64(t.Sales) / float64(t.Checkins), true
}

// Add adds o to t.
func (t *Totals) Add(o Totals) {
	t.Sales += o.Sales
	t.Checkins += o.Checkins
	t.Orders += o.Orders
	t.Refunds += o.Refunds
	t.Declined += o.Declined
	t.FailedPayments += o.FailedPayments
	t.FailedOther += o.FailedOther
	t.AmountMinor = addAll(t.AmountMinor, o.AmountMinor)
	t.RefundMinor = addAll(t.RefundMinor, o.RefundMinor)
}

func addAll(dst, src map[string]int64) map[string]int64 {
	if dst == nil {
		dst = make(map[string]int64, len(src))
	}
	for currency, minor := range src {
		dst[currency] += minor
	}
	return dst
}

// A Filter selects outcomes by place and time. An empty venue or node means all.
type Filter struct {
	Venues []string
	Node   buffer.Source // zero: all nodes
	From   time.Time     // included; zero: from the beginning
	To     time.Time     // excluded; zero: to the end
}

// A Minute is what happened in one minute.
type Minute struct {
	Minute int64 `json:"minute"` // minutes since the Unix epoch
	Totals
}

// Totals sums outcomes by venue. A venue without outcomes is absent.
func (b *Book) Totals(ctx context.Context, f Filter) (map[string]Totals, error) {
	out := map[string]Totals{}
	err := b.sum(ctx, f, `venue`, func(key string, _ int64, t Totals) {
		sum := out[key]
		sum.Add(t)
		out[key] = sum
	})
	return out, err
}

// Nodes sums outcomes by node. A node without outcomes is absent.
func (b *Book) Nodes(ctx context.Context, f Filter) (map[buffer.Source]Totals, error) {
	out := map[buffer.Source]Totals{}
	err := b.sum(ctx, f, `region || '/' || venue || '/' || node`, func(key string, _ int64, t Totals) {
		parts := strings.SplitN(key, "/", 3)
		src := buffer.Source{Region: parts[0], Venue: parts[1], Node: parts[2]}
		sum := out[src]
		sum.Add(t)
		out[src] = sum
	})
	return out, err
}

// Minutes sums outcomes by minute of the edge's clock, in order. A minute without
// outcomes is absent.
func (b *Book) Minutes(ctx context.Context, f Filter) ([]Minute, error) {
	sums := map[int64]Totals{}
	err := b.sum(ctx, f, `''`, func(_ string, minute int64, t Totals) {
		sum := sums[minute]
		sum.Add(t)
		sums[minute] = sum
	}, `time_ms / 60000`)
	if err != nil {
		return nil, err
	}
	out := make([]Minute, 0, len(sums))
	for minute, t := range sums {
		out = append(out, Minute{Minute: minute, Totals: t})
	}
	slices.SortFunc(out, func(a, b Minute) int { return int(a.Minute - b.Minute) })
	return out, nil
}

// sum reads totals grouped by key, currency and bucket, and yields one part at a
// time: the parts of a key must be added up.
func (b *Book) sum(ctx context.Context, f Filter, key string, yield func(key string, bucket int64, t Totals), bucket ...string) error {
	by := "0"
	if len(bucket) > 0 {
		by = bucket[0]
	}
	where, args := f.where()
	rows, err := b.store.Read().QueryContext(ctx, `SELECT `+key+`, `+by+`, currency,
		sum(kind = 'payment' AND good AND amount > 0 AND reason <> 'declined'),
		sum(CASE WHEN kind = 'payment' AND good AND amount > 0 AND reason <> 'declined' THEN amount ELSE 0 END),
		sum(kind = 'checkin' AND good), sum(kind = 'order' AND good),
		sum(kind = 'refund' AND good), sum(CASE WHEN kind = 'refund' AND good THEN abs(amount) ELSE 0 END),
		sum(kind = 'payment' AND good AND reason = 'declined'), sum(kind = 'payment' AND NOT good), sum(kind <> 'payment' AND NOT good)
		FROM outcomes JOIN sources ON sources.id = outcomes.source WHERE `+where+` GROUP BY 1, 2, 3`, args...)
	if err != nil {
		return fmt.Errorf("read sales: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var k, currency string
		var at, amount, refunded int64
		var t Totals
		err := rows.Scan(&k, &at, &currency, &t.Sales, &amount, &t.Checkins, &t.Orders, &t.Refunds, &refunded, &t.Declined, &t.FailedPayments, &t.FailedOther)
		if err != nil {
			return fmt.Errorf("read sales: %w", err)
		}
		t.AmountMinor, t.RefundMinor = map[string]int64{}, map[string]int64{}
		if amount != 0 {
			t.AmountMinor[currency] = amount
		}
		if refunded != 0 {
			t.RefundMinor[currency] = refunded
		}
		yield(k, at, t)
	}
	return rows.Err()
}

func (f Filter) where() (string, []any) {
	clauses, args := []string{"NOT synthetic"}, []any{}
	if len(f.Venues) > 0 {
		clauses = append(clauses, "venue IN (?"+strings.Repeat(", ?", len(f.Venues)-1)+")")
		for _, v := range f.Venues {
			args = append(args, v)
		}
	}
	if f.Node != (buffer.Source{}) {
		clauses = append(clauses, "region = ? AND venue = ? AND node = ?")
		args = append(args, f.Node.Region, f.Node.Venue, f.Node.Node)
	}
	if !f.From.IsZero() {
		clauses, args = append(clauses, "time_ms >= ?"), append(args, f.From.UnixMilli())
	}
	if !f.To.IsZero() {
		clauses, args = append(clauses, "time_ms < ?"), append(args, f.To.UnixMilli())
	}
	return strings.Join(clauses, " AND "), args
}
