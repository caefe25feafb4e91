package slo

import (
	"math/bits"
	"time"
)

// MinBaseline is how many sales a baseline needs before anything is measured
// against it.
const MinBaseline = 30

// Baseline measures check-ins against what the venue itself used to sell: of now,
// Total check-ins and Good that bought, so many count as good as the share that
// bought is of the share that bought before, and never more than all. A venue that
// always sold to one in three is as good as one that sold to all. It reports false
// while before holds fewer than [MinBaseline] sales: nothing is known then, and
// nothing may be counted.
func Baseline(now, before Counts) (Counts, bool) {
	if before.Good < MinBaseline || before.Good > before.Total || now.Good < 0 || now.Good > now.Total {
		return Counts{}, false
	}
	// (good/total of now) / (good/total of before) * total of now
	high, low := bits.Mul64(uint64(now.Good), uint64(before.Total))
	if high >= uint64(before.Good) {
		return Counts{now.Total, now.Total}, true
	}
	good, _ := bits.Div64(high, low, uint64(before.Good))
	return Counts{Good: int64(min(good, uint64(now.Total))), Total: now.Total}, true
}

// An Outage is one incident as an objective sees it.
type Outage struct {
	Failed  time.Time
	Parity  time.Time // zero while it is not reached
	SeenTil time.Time // the last moment at which it was known to be open: a dark node's last contact
}

// Recovery counts the outages of which it is known whether they were over within a
// time: at parity by then is good, open for longer already bad, and an open one
// that is younger does not count yet. An outage is counted where it failed.
func Recovery(i RecoveryIndicator, outages []Outage) Counts {
	var c Counts
	for _, o := range outages {
		within := seconds(i.Seconds)
		switch {
		case !o.Parity.IsZero() && o.Parity.Sub(o.Failed) <= within:
			c.Good++
			c.Total++
		case !o.Parity.IsZero(), o.SeenTil.Sub(o.Failed) > within:
			c.Total++
		}
	}
	return c
}

// Contact is the bucket of a minute in which a node should have been on.
func Contact(heard bool) Counts {
	if heard {
		return Counts{1, 1}
	}
	return Counts{0, 1}
}
