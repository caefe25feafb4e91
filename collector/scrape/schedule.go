package scrape

import (
	"hash/fnv"
	"time"
)

const (
	// spread is the time over which the targets of one node are read: close enough
	// to travel together, not all at once on a small machine.
	spread = 100 * time.Millisecond
	// maxAlign is the most that a timestamp is moved onto its schedule. Even spacing
	// makes timestamps cost nothing to store.
	maxAlign = 20 * time.Millisecond
)

// A Schedule is when something of a node is read: once in every interval, at the
// same moment across restarts. Schedules of one node whose intervals are multiples
// of each other fall together, those of different nodes do not.
type Schedule struct {
	interval time.Duration
	next     time.Time
}

// NewSchedule begins after now. seed tells nodes apart.
func NewSchedule(seed string, interval time.Duration, now time.Time) Schedule {
	return newSchedule(seed, 0, interval, now)
}

// After is a schedule of what is read once the node's targets are.
func After(seed string, interval time.Duration, now time.Time) Schedule {
	return newSchedule(seed, spread, interval, now)
}

// newSchedule begins late after the node's moment.
func newSchedule(seed string, late, interval time.Duration, now time.Time) Schedule {
	at := (int64(hash(seed)%uint64(interval)) + int64(late)) % int64(interval)
	wait := at - now.UnixNano()%int64(interval)
	if wait < 0 {
		wait += int64(interval)
	}
	return Schedule{interval: interval, next: now.Add(time.Duration(wait))}
}

func hash(text string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(text)) //nolint:errcheck // a hash takes everything
	return h.Sum64()
}

// Wait is how long it is until the next moment.
func (s *Schedule) Wait(now time.Time) time.Duration { return s.next.Sub(now) }

// Stamp is the timestamp, in Unix milliseconds, of what is read for the moment that
// has come: the moment itself where the clock is within 1 % of the interval of it.
func (s *Schedule) Stamp(now time.Time) int64 {
	tolerance := min(s.interval/100, maxAlign).Milliseconds()
	if d := now.UnixMilli() - s.next.UnixMilli(); d >= -tolerance && d <= tolerance {
		return s.next.UnixMilli()
	}
	return now.UnixMilli()
}

// Advance goes on to the first moment after now; those missed are left out.
func (s *Schedule) Advance(now time.Time) {
	for !s.next.After(now) {
		s.next = s.next.Add(s.interval)
	}
}

// Come reports whether the moment has come, and goes on to the next one.
func (s *Schedule) Come(now time.Time) bool {
	if now.Before(s.next) {
		return false
	}
	s.Advance(now)
	return true
}
