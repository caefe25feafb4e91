package sli

import (
	"time"

	"ghostlight/slo"
)

// lapse is how long after a reading a source still counts as watched, and how far
// apart two readings may be for what happened between them to count as of the
// second's minute.
const lapse = 90 * time.Second

// forgetTarget is how long a target that is not heard of any more is missed.
const forgetTarget = time.Hour

// A seriesReader is a source that counts from samples.
type seriesReader interface {
	// take counts the samples that one target had at one moment. A reason says that
	// they cannot be true and that nothing was counted.
	take(t *slo.Tally, target string, at int64, points []point) (reason string, err error)
	// failed says that a target could not be read.
	failed(target string, at int64)
}

// targets remembers which scrapes an objective is read from, and whether the last
// of each was good.
type targets struct {
	book *Book
	of   map[string]*target
}

type target struct {
	at    int64 // the last good reading, Unix milliseconds
	tried int64 // the last attempt
	ok    bool  // it was good
	fresh bool  // it is not stored yet
}

func newTargets(b *Book) targets { return targets{book: b, of: map[string]*target{}} }

// good notes a reading.
func (t *targets) good(name string, at int64) {
	t.of[name] = &target{at: at, tried: at, ok: true, fresh: true}
}

// failed notes an attempt without a reading; of a target that never was read nobody
// knows whether it matters.
func (t *targets) failed(name string, at int64) {
	if known := t.of[name]; known != nil {
		known.tried, known.ok = at, false
	}
}

// look says whether every target was read lately. Until one was, or it becomes clear
// that none will be, time does not pass: what the first reading tells of the time
// before must not come after its minutes were declared gaps.
func (t *targets) look(now time.Time) (slo.Look, bool) {
	l := slo.Look{SourceSeen: len(t.of) > 0, Journey: t.book.o.Evidence("")}
	ms := now.UnixMilli()
	for name, one := range t.of {
		if ms-one.tried > forgetTarget.Milliseconds() {
			delete(t.of, name)
			continue
		}
		if !one.ok || ms-one.at > lapse.Milliseconds() {
			l.SourceSeen = false
		}
	}
	return l, len(t.of) > 0 || t.book.elapsed(now) > lapse
}

// stored says that the readings so far are stored.
func (t *targets) stored() {
	for _, one := range t.of {
		one.fresh = false
	}
}

// unread says that the readings since were not stored: they are no readings.
func (t *targets) unread() {
	for _, one := range t.of {
		one.ok = one.ok && !one.fresh
		one.fresh = false
	}
}
