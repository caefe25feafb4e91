package torture

import (
	"fmt"
	"time"

	"ghostlight/buffer/wire"
)

// A billing is one show of a venue: as it was announced and, if its end was open, as
// it was once somebody ended it.
type billing struct {
	announced wire.Show
	endedAt   int64 // true time at which its end was set; 0: it was known from the first
	endMS     int64
}

// at is the show as the calendar has it at a time.
func (b billing) at(now int64) wire.Show {
	s := b.announced
	if b.endedAt == 0 || now >= b.endedAt {
		s.EndMS = b.endMS
	}
	return s
}

// drawShows draws the shows of a venue, at most two at a time and three in all. One in
// three has an open end until somebody sets it.
func (f *feed) drawShows(number int) (out []billing) {
	rng := f.rng(streamShows, number)
	for i := range rng.IntN(4) {
		start := f.start + rng.Int64N(f.end-f.start)
		start -= start % 60_000
		length := time.Duration(45+rng.IntN(200)) * time.Minute
		b := billing{announced: wire.Show{ID: fmt.Sprintf("show-%d", i), Name: "Hamlet", StartMS: start, OnMS: start - 3_600_000}, endMS: start + length.Milliseconds()}
		if rng.IntN(3) == 0 {
			b.endedAt = b.endMS - rng.Int64N(length.Milliseconds()/2)
		}
		out = append(out, b)
	}
	return out
}

// Shows is the calendar of a venue, as the centre has it.
func (f *feed) Shows(venue string, _ time.Time) wire.Calendar {
	var c wire.Calendar
	for _, b := range f.shows[venue] {
		s := b.at(f.now)
		if f.bug == bugShows {
			s.StartMS += 3_600_000
			if s.EndMS != 0 {
				s.EndMS += 3_600_000
			}
		}
		c.Shows = append(c.Shows, s)
	}
	return c
}

// tellShows tells a node its calendar, now and then, as long as it can be reached.
func (n *node) tellShows() {
	if n.agent == nil || n.is(Offline) || n.f.now < n.shown {
		return
	}
	n.shown = n.f.now + int64(showEvery/time.Millisecond)
	var c wire.Calendar
	for _, b := range n.f.shows[n.source.Venue] {
		c.Shows = append(c.Shows, b.at(n.f.now))
	}
	n.agent.room.Calendar(c)
}

// showEvery is how often a node hears its calendar.
const showEvery = 5 * time.Minute
