package ingest

import (
	"context"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/wire"
)

// showsEvery is how often it is looked whether the passing of time changed what
// nodes are told of shows.
const showsEvery = 10 * time.Minute

// showing is what one stream's node knows of the calendar.
type showing struct {
	wanted  bool   // the node was greeted, and asked for it
	held    string // digest of what it was told last, or said that it holds
	next    []byte // message to be written; nil: none
	writing bool   // a goroutine writes
	over    bool   // nothing more is to be written
}

// tellShows tells nodes of shows as they change, until ctx ends. One goroutine does
// for all streams: it makes each venue's calendar once and wakes only those streams
// whose node holds another one.
func (i *Ingest) tellShows(ctx context.Context) {
	if i.o.Calendar == nil {
		return
	}
	tick := time.NewTicker(i.o.showsEvery)
	defer tick.Stop()
	for {
		changed := i.o.Calendar.Changed() // before it is read: no change is missed
		for venue, open := range i.streams.byVenue() {
			calendar := i.o.Calendar.Shows(venue, i.o.Now())
			digest := calendar.Digest()
			for _, s := range open {
				s.tellShows(calendar, digest)
			}
		}
		select {
		case <-changed:
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// byVenue are the streams that are open.
func (t *streams) byVenue() map[string][]*stream {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := map[string][]*stream{}
	for src, list := range t.open {
		out[src.Venue] = append(out[src.Venue], list...)
	}
	return out
}

// wantShows notes which calendar the node holds, "" if it wants none, and tells it
// the present one. What changes from now on reaches it by [Ingest.tellShows].
func (s *stream) wantShows(held string) {
	if held == "" || s.i.o.Calendar == nil {
		return
	}
	s.mu.Lock()
	s.shows.wanted, s.shows.held = true, held
	s.mu.Unlock()
	calendar := s.i.o.Calendar.Shows(s.source.Venue, s.i.o.Now())
	s.tellShows(calendar, calendar.Digest())
}

// tellShows tells the node of a calendar unless it holds it. It does not wait for
// the node: one that does not read keeps nobody waiting, and when it reads is told
// the latest only.
func (s *stream) tellShows(c wire.Calendar, digest string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := &s.shows
	if !w.wanted || w.over || w.held == digest {
		return
	}
	w.held, w.next = digest, wire.AppendCalendar(nil, c)
	if !w.writing {
		w.writing = true
		s.acks.Go(s.writeShows)
	}
}

// writeShows writes what is to be told, until that is nothing.
func (s *stream) writeShows() {
	for {
		s.mu.Lock()
		message := s.shows.next
		s.shows.next, s.shows.writing = nil, message != nil
		s.mu.Unlock()
		if message == nil {
			return
		}
		s.i.metrics.calendars.Inc()
		if s.write(message) != nil {
			s.end()
		}
	}
}

// close makes sure that no goroutine begins to write from now on.
func (s *stream) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shows.over = true
}

// showsFor is the calendar that a heartbeat is answered with: nil if its node has no
// use for it or holds it.
func (i *Ingest) showsFor(src buffer.Source, hb wire.Heartbeat) *wire.Calendar {
	if hb.Calendar == "" || i.o.Calendar == nil {
		return nil
	}
	c := i.o.Calendar.Shows(src.Venue, i.o.Now())
	if hb.Calendar == c.Digest() {
		return nil
	}
	i.metrics.calendars.Inc()
	return &c
}
