package slo

import (
	"math/bits"
	"time"
)

// MinBaseline is how many sales a baseline needs before anything is measured
// against it.
const MinBaseline = 30

// BaselineTime is how long after their check-in guests may buy and be counted by a
// [BaselineIndicator]: long enough for an interval, short enough that a show is
// judged while it goes on.
const BaselineTime = time.Hour

// A Baseline measures check-ins, minute after minute, against what the venue itself
// used to sell: as many count as good as the share that bought is of the share that
// bought before, and never more than all. A venue that always sold to one in three
// is as good as one that sold to all.
//
// A minute is too small to hold such a share: with one check-in it is good or bad,
// never a third. So what a sale is worth beyond the check-ins of its minute counts
// for those that follow, up to [spareSales] sales: enough to even out chance, too
// little to hide for long that nobody buys any more.
type Baseline struct {
	spare int64 // in millionths of a check-in
}

// spareSales bounds what is left over. Where the venue sells as it used to, chance
// alone makes less than one check-in in 2*spareSales bad.
const spareSales = 20

const million = 1_000_000

// NewBaseline continues from what [Baseline.Spare] said, 0 at first.
func NewBaseline(spare int64) *Baseline { return &Baseline{spare: max(0, spare)} }

// Spare is what the sales so far are still worth, in millionths of a check-in.
func (b *Baseline) Spare() int64 { return b.spare }

// Measure takes the next minute, now: Total check-ins and Good that bought. It
// reports false while before holds fewer than [MinBaseline] sales: nothing is known
// then, and nothing may be counted.
func (b *Baseline) Measure(now, before Counts) (Counts, bool) {
	if before.Good < MinBaseline || before.Good > before.Total || now.Good < 0 || now.Good > now.Total || now.Total > MaxCount {
		return Counts{}, false
	}
	worth := b.spare + worthOf(now.Good, before)
	good := min(worth/million, now.Total)
	b.spare = min(worth-good*million, worthOf(spareSales, before))
	return Counts{Good: good, Total: now.Total}, true
}

// worthOf is how many check-ins so many sales stand for, in millionths, and no more
// than any minute could use.
func worthOf(sales int64, before Counts) int64 {
	high, low := bits.Mul64(uint64(sales)*million, uint64(before.Total))
	if high >= uint64(before.Good) {
		return MaxCount * million
	}
	worth, _ := bits.Div64(high, low, uint64(before.Good))
	return int64(min(worth, MaxCount*million))
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
