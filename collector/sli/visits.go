package sli

import (
	"crypto/sha256"
	"time"

	"ghostlight/slo"
)

const (
	// readSlack is how far behind the clock outcomes are taken to be complete: edgecore
	// commits an outcome up to 10 s after the event, and holds an answer back for as
	// long at most.
	readSlack = 30 * time.Second
	// mostGuests bounds the guests that one objective waits for.
	mostGuests = 20_000
)

const tooManyGuests = "too_many_guests"

// visits finds out which check-ins bought in time. It remembers the guests of whom
// that is not known yet.
type visits struct {
	book      *Book
	objective slo.Objective
	indicator slo.VelocityIndicator
	v         *slo.Velocity // nil: the stored guests could not be read
	dropped   int64         // of v, counted as refused
	last      time.Time     // of the outcome read last, if that is not later than the clock
	saved     time.Time     // last, as of the last commit
}

// velocity counts the check-ins themselves.
type velocity struct{ visits }

func newVelocity(b *Book, o slo.Objective) (source, error) {
	s := &velocity{visits{book: b, objective: o, indicator: *o.Indicator.Velocity}}
	return s, s.restore()
}

// restore takes up the guests that are stored.
func (s *visits) restore() (err error) {
	s.v, err = slo.NewVelocity(s.indicator, mostGuests, func(key string) ([]byte, error) {
		return s.book.o.Load(stateKey(s.objective, "guests/"+key))
	})
	if err == nil {
		s.dropped = s.v.Dropped()
	}
	return err
}

func (s *visits) look(time.Time) (slo.Look, bool) {
	return s.book.lookAtLedger(), true
}

func (s *visits) state(bool) map[string][]byte {
	out := map[string][]byte{}
	for key, value := range s.v.State() {
		out[stateKey(s.objective, "guests/"+key)] = value
	}
	return out
}

func (s *visits) stored() {
	s.v.Commit()
	s.saved = s.last
	for ; s.dropped < s.v.Dropped(); s.dropped++ {
		s.book.refuse(s.objective.Name, tooManyGuests)
	}
}

func (s *visits) rollback() error {
	s.last = s.saved
	if s.v != nil && s.v.State() == nil {
		return nil // nothing was read since
	}
	return s.restore()
}

func (s *visits) clockSet(time.Time) { s.last, s.saved = time.Time{}, time.Time{} }

// follow notes who checked in and who bought, and hands on each check-in of which
// that makes it known.
func (s *visits) follow(outcomes []Outcome, now time.Time, visit func(slo.Visit) error) error {
	if s.v == nil {
		if err := s.restore(); err != nil {
			return err
		}
	}
	for _, o := range outcomes {
		if !o.At.After(now) {
			s.last = o.At
		}
		var known bool
		var got slo.Visit
		switch {
		case o.Checkin == "":
		case o.Kind == "checkin":
			got, known = s.v.CheckIn(guestOf(o.Checkin), o.At)
		case o.Kind == "payment" && o.Paid:
			got, known = s.v.Bought(guestOf(o.Checkin), o.At)
		}
		if known {
			if err := visit(got); err != nil {
				return err
			}
		}
	}
	return nil
}

// until is the time before which every outcome has been read.
func (s *visits) until(now time.Time) time.Time {
	if ago, ok := s.book.o.OutcomesSeen(); ok {
		return now.Add(-ago - readSlack)
	}
	return s.last.Add(-readSlack)
}

// guestOf shortens the id of a check-in: a venue has tens of thousands in a night.
func guestOf(checkin string) string {
	sum := sha256.Sum256([]byte(checkin))
	return string(sum[:8])
}

func (s *velocity) read(t *slo.Tally, outcomes []Outcome, now time.Time) error {
	return s.follow(outcomes, now, func(v slo.Visit) error { return t.Observe(v.At, v.Good) })
}

func (s *velocity) ripen(t *slo.Tally, now time.Time) error {
	if s.v == nil {
		if err := s.restore(); err != nil {
			return err
		}
	}
	for _, v := range s.v.Pass(s.until(now)) {
		if err := t.Observe(v.At, v.Good); err != nil {
			return err
		}
	}
	return nil
}
