// Package events is the fleet's calendar: the shows that venues hold, planned
// through the API or imported from iCalendar files, or started and ended by hand;
// and when each venue is expected to be on, by its shows and opening hours.
//
// An event is durable before a method returns it, and every method is repeatable:
// what has ended stays ended, a file imported twice changes nothing. What is over
// is history that no import changes. The calendar judges nothing: reports read its
// windows, and so does whoever must know whether a silent node should be on.
package events

import (
	"errors"
	"time"
)

var (
	// ErrUnknown means that no event has this id.
	ErrUnknown = errors.New("event is unknown")
	// ErrInvalid means that an event cannot be as asked; its message says what is
	// allowed.
	ErrInvalid = errors.New("event is not valid")
)

// What is taken where an event does not say: doors open with the start, and the
// venue's nodes are expected on from OnBefore the doors until OffAfter the end.
const (
	OnBefore = 60 * time.Minute
	OffAfter = 30 * time.Minute
)

// Limits of an event and of the calendar.
const (
	MaxName    = 200                 // bytes
	MaxLength  = 30 * 24 * time.Hour // from start to end
	MaxMargin  = 7 * 24 * time.Hour  // from on to start, and from end to off
	MaxPlanned = 20_000              // events not over, of the whole fleet
	MaxEvents  = 500_000             // events ever
	earliestMS = 946_684_800_000     // the year 2000
	latestMS   = 4_102_444_800_000   // the year 2100
)

// An Origin is how an event came to be.
type Origin string

// The origins.
const (
	Hand Origin = "hand" // started on the spot
	API  Origin = "api"  // planned
	ICS  Origin = "ics"  // imported
)

// A Phase is where an event stands.
type Phase string

// The phases, in order; one that is called off has none of the others.
const (
	Planned   Phase = "planned"
	Ongoing   Phase = "ongoing"
	Over      Phase = "over"
	Cancelled Phase = "cancelled"
)

// An Event is one show. Times are Unix milliseconds.
type Event struct {
	ID      string   `json:"id"`
	Name    string   `json:"name"`
	Venues  []string `json:"venues"` // sorted, at least one
	StartMS int64    `json:"start_ms"`
	EndMS   int64    `json:"end_ms"`   // 0: the end is open
	DoorsMS int64    `json:"doors_ms"` // not after the start
	OnMS    int64    `json:"on_ms"`    // the venues' nodes are expected on from here,
	OffMS   int64    `json:"off_ms"`   // to here; 0 while the end is open

	Origin       Origin `json:"origin"`
	Source       string `json:"source,omitempty"`        // name of the calendar it was imported from
	UID          string `json:"uid,omitempty"`           // of its entry there
	RecurrenceMS int64  `json:"recurrence_ms,omitempty"` // which occurrence of an entry that comes again: its start by the rule
	Sequence     int64  `json:"sequence,omitempty"`      // revision of the entry
	CancelledMS  int64  `json:"cancelled_ms,omitempty"`  // when it was called off; 0: it was not

	// Entry is a hash of the imported entry as it was last read; empty of others.
	Entry string `json:"-"`
}

// Phase is where the event stands at a time.
func (e Event) Phase(now time.Time) Phase {
	ms := now.UnixMilli()
	switch {
	case e.CancelledMS > 0:
		return Cancelled
	case ms < e.StartMS:
		return Planned
	case e.EndMS == 0 || ms < e.EndMS:
		return Ongoing
	}
	return Over
}

// Open reports whether the event goes on: it has begun and has not ended.
func (e Event) Open(now time.Time) bool { return e.Phase(now) == Ongoing }

// Window is the part of the event that has passed, [from, to): from its start to
// its end, or to now while it goes on. It is empty before the start, and of an
// event that was called off.
func (e Event) Window(now time.Time) (from, to time.Time) {
	from = time.UnixMilli(e.StartMS)
	switch e.Phase(now) {
	case Ongoing:
		return from, now
	case Over:
		return from, time.UnixMilli(e.EndMS)
	}
	return from, from
}

// expected is when the venue's nodes are to be on, [on, off); off is far away while
// the end is open.
func (e Event) expected() (onMS, offMS int64) {
	if e.OffMS == 0 {
		return e.OnMS, latestMS
	}
	return e.OnMS, e.OffMS
}
