package crowd

import (
	"math"
	"sync"
	"time"
)

// Totals is what a crowd saw. Amounts are integer minor units of the venue's
// currency.
type Totals struct {
	Arrived    int64 `json:"arrived"`
	TurnedAway int64 `json:"turned_away"` // found the venue full
	CheckIns   int64 `json:"check_ins"`
	Orders     int64 `json:"orders"`
	Sales      int64 `json:"sales"` // payments the venue confirmed as captured
	SalesMinor int64 `json:"sales_minor"`
	Declined   int64 `json:"declined"` // by the card issuer
	Refused    int64 `json:"refused"`  // requests the venue answered with another 4xx
	Refunds    int64 `json:"refunds"`
	Verified   int64 `json:"verified"` // receipts found valid
	Forged     int64 `json:"forged"`   // receipts the venue gave and then called invalid
	Relayed    int64 `json:"relayed"`  // relay messages seen to come back

	GaveUp       int64 `json:"gave_up"`      // left because a step kept failing
	Failures     int64 `json:"failures"`     // attempts that ended in a lost answer or a 5xx
	Recovered    int64 `json:"recovered"`    // payments that were determined only by repeating them
	Undetermined int64 `json:"undetermined"` // payments and refunds abandoned without an answer

	Payment Latency `json:"payment"` // answered payment attempts
	Request Latency `json:"request"` // all answered requests
}

// Latency is a distribution of answer times, exact to 5 %.
type Latency struct {
	Count int64         `json:"count"`
	P50   time.Duration `json:"p50_ns"`
	P99   time.Duration `json:"p99_ns"`
}

// tally counts for one venue while attendees run.
type tally struct {
	mu sync.Mutex // guards everything below
	snapshot
}

// snapshot is the plain numbers of a tally.
type snapshot struct {
	arrived, turnedAway, checkIns, orders      int64
	sales, salesMinor, declined, refused       int64
	refunds, verified, forged, relayed, gaveUp int64
	failures, recovered, undetermined          int64
	paymentTimes, requestTimes                 histogram
}

func (t *tally) count(field *int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	*field++
}

func (t *tally) answered(payment bool, d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.requestTimes.observe(d)
	if payment {
		t.paymentTimes.observe(d)
	}
}

func (t *tally) sold(minor int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sales++
	t.salesMinor += minor
}

func (t *tally) copy() snapshot {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.snapshot
}

func (s *snapshot) fields() []*int64 {
	return []*int64{
		&s.arrived, &s.turnedAway, &s.checkIns, &s.orders, &s.sales, &s.salesMinor, &s.declined, &s.refused,
		&s.refunds, &s.verified, &s.forged, &s.relayed, &s.gaveUp, &s.failures, &s.recovered, &s.undetermined,
	}
}

func (s *snapshot) add(o snapshot) {
	from := o.fields()
	for i, f := range s.fields() {
		*f += *from[i]
	}
	s.paymentTimes.add(&o.paymentTimes)
	s.requestTimes.add(&o.requestTimes)
}

func (s *snapshot) totals() Totals {
	return Totals{
		Arrived: s.arrived, TurnedAway: s.turnedAway, CheckIns: s.checkIns, Orders: s.orders,
		Sales: s.sales, SalesMinor: s.salesMinor, Declined: s.declined, Refused: s.refused,
		Refunds: s.refunds, Verified: s.verified, Forged: s.forged, Relayed: s.relayed,
		GaveUp: s.gaveUp, Failures: s.failures, Recovered: s.recovered, Undetermined: s.undetermined,
		Payment: s.paymentTimes.latency(), Request: s.requestTimes.latency(),
	}
}

// histogram has logarithmic buckets, each 5 % wider than the one before it,
// from 100 microseconds on; the last takes everything longer.
type histogram [256]int64

const (
	histogramBase   = 100 * time.Microsecond
	histogramGrowth = 1.05
)

func (h *histogram) observe(d time.Duration) {
	i := 0
	if d > histogramBase {
		i = int(math.Ceil(math.Log(float64(d)/float64(histogramBase)) / math.Log(histogramGrowth)))
	}
	h[min(i, len(h)-1)]++
}

func (h *histogram) add(o *histogram) {
	for i, n := range o {
		h[i] += n
	}
}

// latency reports each quantile as the upper bound of its bucket.
func (h *histogram) latency() Latency {
	var l Latency
	for _, n := range h {
		l.Count += n
	}
	l.P50, l.P99 = h.quantile(l.Count, 0.50), h.quantile(l.Count, 0.99)
	return l
}

func (h *histogram) quantile(count int64, q float64) time.Duration {
	if count == 0 {
		return 0
	}
	rank := int64(math.Ceil(q * float64(count)))
	var seen int64
	for i, n := range h {
		if seen += n; seen >= rank {
			return time.Duration(float64(histogramBase) * math.Pow(histogramGrowth, float64(i)))
		}
	}
	return 0
}
