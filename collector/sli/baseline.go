package sli

import (
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"ghostlight/slo"
)

// keepDays is how many days of sales are kept beyond those that the baseline looks
// back on, for check-ins that are read late.
const keepDays = 60

const minutesOfDay = 24 * 60

// baseline counts check-ins measured against what the venue sold on the days before,
// in UTC. A minute is measured once it is known of all its check-ins whether they
// bought, and against what was known then: it is not measured anew when an outcome of
// an earlier day is read late.
type baseline struct {
	visits
	days    int64
	waiting map[int64]slo.Counts // check-ins that are known and not measured yet, by minute
	sold    map[int64]slo.Counts // check-ins that were measured, by day since the Unix epoch
	usual   *slo.Baseline

	dirty bool
	saved []byte // what is stored, nil for nothing
	next  []byte // what state returned last
}

func newBaseline(b *Book, o slo.Objective) (source, error) {
	s := &baseline{
		visits: visits{book: b, objective: o, indicator: slo.VelocityIndicator{Seconds: int64(slo.BaselineTime / time.Second)}},
		days:   int64(o.Indicator.Baseline.Days),
	}
	var err error
	if s.saved, err = b.o.Load(s.key()); err != nil {
		return nil, err
	}
	if err := s.decode(s.saved); err != nil {
		return nil, err
	}
	return s, s.restore()
}

func (s *baseline) key() string { return stateKey(s.objective, "baseline") }

func (s *baseline) read(_ *slo.Tally, outcomes []Outcome, now time.Time) error {
	return s.follow(outcomes, now, s.wait)
}

// wait keeps a check-in that is known until its minute is measured.
func (s *baseline) wait(v slo.Visit) error {
	n := slo.Counts{Total: 1}
	if v.Good {
		n.Good = 1
	}
	m := slo.MinuteOf(v.At)
	s.waiting[m] = s.waiting[m].Add(n)
	s.dirty = true
	return nil
}

func (s *baseline) ripen(t *slo.Tally, now time.Time) error {
	if s.v == nil {
		if err := s.restore(); err != nil {
			return err
		}
	}
	until := s.until(now)
	for _, v := range s.v.Pass(until) {
		if err := s.wait(v); err != nil {
			return err
		}
	}
	known := slo.MinuteOf(until.Add(-slo.BaselineTime)) // of minutes before, everything is known
	for _, m := range slices.Sorted(maps.Keys(s.waiting)) {
		if m >= known {
			break
		}
		if err := s.measure(t, m); err != nil {
			return err
		}
	}
	return nil
}

// measure counts a minute, and what it sold for the days that follow.
func (s *baseline) measure(t *slo.Tally, m int64) error {
	day := m / minutesOfDay
	var before slo.Counts
	for d := day - s.days; d < day; d++ {
		before = before.Add(s.sold[d])
	}
	if n, known := s.usual.Measure(s.waiting[m], before); known {
		if err := t.Add(m, n); err != nil {
			return err
		}
	}
	s.sold[day] = s.sold[day].Add(s.waiting[m])
	if len(s.sold) > int(s.days)+keepDays {
		delete(s.sold, slices.Min(slices.Collect(maps.Keys(s.sold))))
	}
	delete(s.waiting, m)
	s.dirty = true
	return nil
}

func (s *baseline) state(told bool) map[string][]byte {
	out := s.visits.state(told)
	if s.next = nil; s.dirty {
		s.next = s.encode()
		out[s.key()] = s.next
	}
	return out
}

func (s *baseline) stored() {
	s.visits.stored()
	if s.next != nil {
		s.saved, s.next, s.dirty = s.next, nil, false
	}
}

func (s *baseline) rollback() error {
	s.next = nil
	if err := s.decode(s.saved); err != nil {
		return err
	}
	return s.visits.rollback()
}

const baselineVersion = 1

// encode: version, a varint of what sales are left over, then the minutes that wait
// and the days, each as their number and for each varints of time (less the one
// before), total and bad.
func (s *baseline) encode() []byte {
	b := binary.AppendVarint([]byte{baselineVersion}, s.usual.Spare())
	for _, counts := range []map[int64]slo.Counts{s.waiting, s.sold} {
		b = binary.AppendVarint(b, int64(len(counts)))
		var last int64
		for _, at := range slices.Sorted(maps.Keys(counts)) {
			for _, v := range []int64{at - last, counts[at].Total, counts[at].Bad()} {
				b = binary.AppendVarint(b, v)
			}
			last = at
		}
	}
	return b
}

// decode makes s what was stored; nil is nothing.
func (s *baseline) decode(raw []byte) error {
	s.waiting, s.sold, s.usual, s.dirty = map[int64]slo.Counts{}, map[int64]slo.Counts{}, slo.NewBaseline(0), false
	if raw == nil {
		return nil
	}
	if len(raw) == 0 || raw[0] != baselineVersion {
		return errState
	}
	bad := false
	next := func() int64 {
		v, n := binary.Varint(raw)
		if n <= 0 {
			bad, raw = true, nil
			return 0
		}
		raw = raw[n:]
		return v
	}
	raw = raw[1:]
	s.usual = slo.NewBaseline(next())
	for _, counts := range []map[int64]slo.Counts{s.waiting, s.sold} {
		var at int64
		for n := next(); n > 0 && !bad; n-- {
			at += next()
			total, failed := next(), next()
			counts[at] = slo.Counts{Good: total - failed, Total: total}
		}
	}
	if bad || len(raw) > 0 {
		return errState
	}
	return nil
}
