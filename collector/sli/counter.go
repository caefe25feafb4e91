package sli

import (
	"errors"
	"math"
	"time"

	"ghostlight/slo"
)

// Why a reading is refused.
const (
	notANumber  = "not_a_number"
	negative    = "negative"
	partExceeds = "part_exceeds_total" // more good, or more bad, than there are
	tooMuch     = "too_many_events"
	tooWide     = "too_many_series"
	tooOld      = "too_old"
)

// mostSeries bounds the series of one objective, whose readings are stored together.
const mostSeries = 1000

// forgetSeries is how long a series that is not exposed any more is waited for.
const forgetSeries = 24 * time.Hour

// counter counts what counters grew by. It remembers the last reading of each series
// as of the last commit; a reading that was not stored is taken back.
//
// What grew while nobody read, because the agent was down or the target was out of
// reach, is counted once it is read and spread evenly over that time: the sum is
// known, its minutes are not, and are told with no second observed. After a reset
// only what grew since is known; it is spread over no more than the time since the
// target was last tried.
type counter struct {
	targets
	bad   bool // the part counts what is bad
	total *slo.Growth
	part  *slo.Growth
	at    map[string]int64 // last reading of each series, Unix milliseconds
	began int64            // first reading of this process, and by this clock
	since int64            // before it, times are those of another clock; 0 for none

	key   string
	dirty bool   // readings changed since saved
	saved []byte // what is stored, nil for nothing
	next  []byte // what state returned last
}

func newCounter(b *Book, m *meter, o slo.Objective) (source, error) {
	i := o.Indicator.Counter
	c := &counter{targets: newTargets(b), bad: len(i.Bad) > 0, key: stateKey(o, "counter")}
	for p, selectors := range map[part][]slo.Selector{inTotal: i.Total, inPart: append(i.Good, i.Bad...)} {
		for _, s := range selectors {
			if err := b.index.add(m, p, s); err != nil {
				return nil, err
			}
		}
	}
	var err error
	if c.saved, err = b.o.Load(c.key); err != nil {
		return nil, err
	}
	return c, c.decode(c.saved)
}

func (c *counter) ripen(*slo.Tally, time.Time) error { return nil }

func (c *counter) state(told bool) map[string][]byte {
	if c.next = nil; !c.dirty && !(told && len(c.at) > 0) {
		return nil
	}
	c.next = c.encode()
	return map[string][]byte{c.key: c.next}
}

func (c *counter) stored() {
	c.targets.stored()
	if c.next != nil {
		c.saved, c.next, c.dirty = c.next, nil, false
	}
}

func (c *counter) rollback() error {
	c.unread()
	c.next = nil
	return c.decode(c.saved)
}

// clockSet makes spans begin anew: how long ago the last reading was is not known.
func (c *counter) clockSet(now time.Time) {
	c.since, c.began = now.UnixMilli(), 0
	clear(c.of)
}

func (c *counter) take(t *slo.Tally, target string, at int64, points []point) (string, error) {
	if known := c.of[target]; known != nil && at < known.at {
		return "", nil // sent again late; what it tells is told
	}
	if minuteOf(at) < t.Oldest() {
		return tooOld, nil
	}
	n, reason := c.grow(points)
	if reason != "" {
		c.failed(target, at)
		return reason, nil
	}
	if c.began == 0 {
		c.began = at
	}
	from, reset := c.span(target, at, points)
	c.total, c.part = n.total, n.part
	for _, p := range points {
		c.dirty = c.dirty || reset || n.Total > 0 || c.at[p.key] == 0
		c.at[p.key] = at
	}
	c.forget(at)
	c.good(target, at)
	switch n.Total {
	case 0:
		return "", nil
	case slo.MaxCount:
		return tooMuch, nil // however many there were, nobody can have seen so many
	}
	err := spread(t, max(from, minuteTime(t.Oldest())), at, n.Counts)
	if errors.Is(err, slo.ErrCounts) {
		return tooMuch, nil
	}
	return "", err
}

// growth is what one reading adds, and the readings that the next starts from.
type growth struct {
	slo.Counts
	total, part *slo.Growth
}

// grow looks at what a reading adds, or why it cannot be true. Good and total stay
// together: a reading is taken whole or not at all.
func (c *counter) grow(points []point) (n growth, reason string) {
	total, part := map[string]float64{}, map[string]float64{}
	for _, p := range points {
		switch {
		case math.IsNaN(p.value) || math.IsInf(p.value, 0):
			return n, notANumber
		case p.value < 0:
			return n, negative
		}
		if p.part&inTotal != 0 {
			total[p.key] = p.value
		}
		if p.part&inPart != 0 {
			part[p.key] = p.value
		}
	}
	if added := c.added(points); added > 0 && len(c.at)+added > mostSeries {
		return n, tooWide
	}
	n.total, n.part = slo.NewGrowth(c.total.State()), slo.NewGrowth(c.part.State())
	n.Total, n.Good = n.total.Read(total), n.part.Read(part)
	if n.Good > n.Total {
		// Perhaps the target counts one a moment before the other: then the next
		// reading, from where this one started, is whole.
		return n, partExceeds
	}
	if c.bad {
		n.Good = n.Total - n.Good
	}
	return n, ""
}

func (c *counter) added(points []point) (n int) {
	for _, p := range points {
		if _, known := c.at[p.key]; !known {
			n++
		}
	}
	return n
}

// span is when what a reading adds began to happen, and whether the target began
// again from zero.
func (c *counter) span(target string, at int64, points []point) (from int64, reset bool) {
	from = c.since
	total, _ := c.total.State()
	part, _ := c.part.State()
	for _, p := range points {
		from = max(from, c.at[p.key])
		reset = reset || p.value < max(total[p.key], part[p.key])
	}
	if known := c.of[target]; reset && known != nil {
		from = max(from, known.tried)
	}
	if from == 0 || from > at {
		from = at
	}
	return from, reset
}

// forget drops the series that were not read for long, though others were.
func (c *counter) forget(at int64) {
	for key, last := range c.at {
		if at-max(last, c.began) > forgetSeries.Milliseconds() {
			c.total.Read(nil, key)
			c.part.Read(nil, key)
			delete(c.at, key)
			c.dirty = true
		}
	}
}
