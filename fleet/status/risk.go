package status

import (
	"fmt"
	"time"

	"ghostlight/fleet/sales"
	"ghostlight/internal/webui"
)

// riskBasis is how many minutes before the trouble the usual rate rests on.
const riskBasis = 30

// leastBasis is the shortest time an estimate may rest on.
const leastBasis = 30 * time.Second

// EstimateRisk says what a failing or dark venue costs: the mean of the minutes
// before since, less what is sold since. minutes reach back at least riskBasis
// before since; from is the first of them that the venue was known.
func EstimateRisk(state State, since, now, known time.Time, minutes []sales.Minute) *AtRisk {
	if state != Failing && state != Dark {
		return nil
	}
	if since.IsZero() {
		since = now
	}
	// Whole minutes, so that a part of a minute is no rate; but the first minute
	// of a young venue counts from when it was first known.
	start := since.Add(-riskBasis * time.Minute).Truncate(time.Minute).Add(time.Minute)
	if known.After(start) {
		start = known
	}
	first, turn, end := start.Unix()/60, since.Unix()/60, now.Unix()/60+1
	var before, after sales.Totals
	for _, m := range minutes {
		switch {
		case m.Minute >= first && m.Minute < turn:
			before.Add(m.Totals)
		case m.Minute >= turn && m.Minute < end:
			after.Add(m.Totals)
		}
	}
	r := &AtRisk{Losing: state == Failing, SinceMS: since.UnixMilli(), FailedPayments: after.FailedPayments}
	span := time.Unix(turn*60, 0).Sub(start)
	r.Currency = largest(before.AmountMinor)
	if span < leastBasis || r.Currency == "" {
		r.Basis = "too little was sold before to estimate from"
		if state == Dark {
			r.Basis = "whether it sells is not known, and too little was sold before to estimate from"
		}
		return r
	}
	r.Known = true
	usual := int64(float64(before.AmountMinor[r.Currency]) / span.Minutes())
	r.PerMinuteMinor = usual
	r.Basis = fmt.Sprintf("estimated from the %s before", webui.Span(span.Round(time.Second)))
	if state == Dark {
		r.Basis = fmt.Sprintf("as in the %s before; whether it sells now is not known", webui.Span(span.Round(time.Second)))
		return r
	}
	lasted := max(1, end-turn)
	r.PerMinuteMinor = max(0, usual-after.AmountMinor[r.Currency]/lasted)
	r.SoFarMinor = r.PerMinuteMinor * lasted
	if r.PerMinuteMinor == 0 {
		return nil // sales go on as usual
	}
	return r
}

// largest names the currency most was sold in.
func largest(amounts map[string]int64) string {
	best := ""
	for c, a := range amounts {
		if a > 0 && (best == "" || a > amounts[best] || (a == amounts[best] && c < best)) {
			best = c
		}
	}
	return best
}
