package payments

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// descriptions of what a [Ledger] collects.
type descriptions struct {
	checkins, orders, payments, amount, refunds, refundAmount, outcomes, synthetic *prometheus.Desc
	pending, oldest, writable, waiting, dropped                                    *prometheus.Desc
}

func describe() descriptions {
	d := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("edgecore_"+name, help, labels, nil)
	}
	return descriptions{
		checkins:     d("checkins_total", "Check-ins, from the ledger.", "result"),
		orders:       d("orders_total", "Orders, from the ledger.", "result"),
		payments:     d("payments_total", "Payments, from the ledger.", "method", "result"),
		amount:       d("payment_amount_minor_total", "Money captured in minor units, refunds not deducted, from the ledger.", "currency"),
		refunds:      d("refunds_total", "Refunds, from the ledger."),
		refundAmount: d("refund_amount_minor_total", "Money refunded in minor units, from the ledger.", "currency"),
		outcomes:     d("outcomes_total", "Revenue outcomes committed; good is false only when edgecore failed.", "kind", "good"),
		synthetic:    d("synthetic_payments_total", "Payments of the synthetic partition, which count nowhere else.", "result"),
		pending:      d("settlement_pending", "Sales and refunds the hub has not accepted."),
		oldest:       d("settlement_oldest_seconds", "Age of the oldest sale or refund the hub has not accepted."),
		writable:     d("ledger_writable", "1 if the last commit to the ledger worked."),
		waiting:      d("outcomes_waiting", "Failed outcomes that wait for the ledger to be writable."),
		dropped:      d("outcomes_dropped_total", "Failed outcomes given up because too many waited; since start."),
	}
}

// A Collector exposes a ledger's totals. Series that are known beforehand start
// at zero, so that a first sale is an increase.
type Collector struct {
	ledger   *Ledger
	currency string
	d        descriptions
}

// NewCollector returns the metrics of l, at a venue that sells in currency.
func NewCollector(l *Ledger, currency string) *Collector {
	return &Collector{ledger: l, currency: currency, d: describe()}
}

// Describe implements [prometheus.Collector].
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		c.d.checkins, c.d.orders, c.d.payments, c.d.amount, c.d.refunds, c.d.refundAmount, c.d.outcomes, c.d.synthetic,
		c.d.pending, c.d.oldest, c.d.writable, c.d.waiting, c.d.dropped,
	} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, v int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge := func(d *prometheus.Desc, v float64) { ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v) }
	s := c.ledger.Summary()
	t := c.ledger.Totals()
	t.fill(c.currency)
	for result, n := range t.Checkins {
		counter(c.d.checkins, n, result)
	}
	for result, n := range t.Orders {
		counter(c.d.orders, n, result)
	}
	for k, n := range t.Payments {
		counter(c.d.payments, n, k.Method, k.Result)
	}
	for currency, m := range t.Sales {
		counter(c.d.amount, m.AmountMinor, currency)
	}
	for currency, m := range t.Refunds {
		counter(c.d.refundAmount, m.AmountMinor, currency)
	}
	for k, n := range t.Outcomes {
		counter(c.d.outcomes, n, string(k.Kind), strconv.FormatBool(k.Good))
	}
	for result, n := range t.Synthetic {
		counter(c.d.synthetic, n, result)
	}
	counter(c.d.refunds, sum(t.Refunds).Count)
	counter(c.d.dropped, s.FailuresDropped)
	gauge(c.d.pending, float64(s.Pending))
	gauge(c.d.oldest, s.OldestPendingSeconds)
	gauge(c.d.waiting, float64(s.FailuresWaiting))
	writable := 0.0
	if s.Writable {
		writable = 1
	}
	gauge(c.d.writable, writable)
}

// fill adds the series that are known beforehand.
func (t *Totals) fill(currency string) {
	for _, result := range []string{ResultOK, ResultRejected} {
		t.Checkins[result] += 0
	}
	for _, result := range []string{ResultCreated, ResultRejected} {
		t.Orders[result] += 0
	}
	for _, result := range []string{ResultCaptured, ResultDeclined, ResultFailed} {
		t.Synthetic[result] += 0
		for _, method := range methods() {
			t.Payments[PaymentKey{method, result}] += 0
		}
	}
	for _, kind := range []Kind{KindCheckin, KindOrder, KindPayment, KindRefund} {
		for _, good := range []bool{true, false} {
			t.Outcomes[OutcomeKey{kind, good}] += 0
		}
	}
	t.Sales[currency] = t.Sales[currency].plus(0, 0)
	t.Refunds[currency] = t.Refunds[currency].plus(0, 0)
}
