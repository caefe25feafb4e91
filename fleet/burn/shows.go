package burn

import (
	"fmt"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/wire"
	"ghostlight/slo"
)

const (
	// openEnd stands for the end of a show that has none yet.
	openEnd = 366 * 24 * time.Hour
	// afterShow is how long a show is watched after its end: until its longest look
	// is past it and its alert has resolved.
	afterShow = 75 * time.Minute
)

// A show is one show at a venue, as one objective is watched in it.
type show struct {
	wire.Show
	o      slo.Objective
	watch  *slo.EventWatch
	counts slo.Counts // in it so far
}

func startOf(s wire.Show) time.Time { return time.UnixMilli(s.StartMS) }

func endOf(s wire.Show) time.Time {
	if s.EndMS == 0 {
		return startOf(s).Add(openEnd)
	}
	return time.UnixMilli(s.EndMS)
}

// watched reports whether the show goes on or ended not long ago.
func watched(s wire.Show, now time.Time) bool {
	return s.ID != "" && !startOf(s).After(now) && !now.After(endOf(s).Add(afterShow)) && slo.MinuteOf(startOf(s)) < slo.MinuteOf(endOf(s))
}

func newShow(scope string, o slo.Objective, spans []slo.Span, s wire.Show) (*show, error) {
	w, err := slo.NewEventWatch(showScope(scope, s.ID), o, spans, startOf(s), endOf(s))
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", showScope(scope, s.ID), err)
	}
	return &show{Show: s, o: o, watch: w}, nil
}

// showScope is the scope of the alerts of one show.
func showScope(scope, id string) string { return scope + "#" + id }

func (s *show) replace(minute int64, was, is slo.Sum) {
	if !s.watch.Replace(minute, was, is) {
		return
	}
	if (len(s.o.Exclusions) > 0 || s.o.Hours != "") && len(s.o.Excluded(minute, minute+1)) > 0 {
		return
	}
	s.counts = s.counts.Add(is.Counts).Add(slo.Counts{Good: -was.Good, Total: -was.Total})
}

func (s *show) step(now time.Time) []slo.Alert { return s.watch.Step(now, s.forecast(now)) }

// forecast is how many events are still expected, as a node has it: as many a minute
// as so far, until the planned end; none of a show with an open end.
func (s *show) forecast(now time.Time) int64 {
	left := endOf(s.Show).Sub(now)
	if s.EndMS == 0 || left <= 0 {
		return 0
	}
	gone := now.Sub(startOf(s.Show))
	return int64(float64(s.counts.Total) / max(1, gone.Minutes()) * left.Minutes())
}

// syncShows watches the shows that go on at venues with many nodes, and no others.
// r.mu is held.
func (r *Room) syncShows(now time.Time) {
	if r.o.Shows == nil {
		return
	}
	held := map[string][]wire.Show{}
	shows := func(venue string) []wire.Show {
		list, ok := held[venue]
		if !ok {
			for _, s := range r.o.Shows.Shows(venue, now).Shows {
				if watched(s, now) {
					list = append(list, s)
				}
			}
			held[venue] = list
		}
		return list
	}
	for _, p := range r.promises {
		if !p.def.PerEvent {
			continue
		}
		current, changed := map[string]bool{}, false
		for at := range p.places {
			if at.Venue == "" {
				continue
			}
			for _, s := range shows(at.Venue) {
				scope := showScope(scopeOf(at), s.ID)
				current[scope] = true
				fresh, err := p.syncShow(at, scope, s, now)
				changed = changed || fresh
				if err != nil {
					r.o.Log.Warn("show cannot be watched", "objective", p.def.Name, "scope", scope, "error", err)
				}
			}
		}
		for scope, w := range p.watches {
			if w.show != nil && !current[scope] {
				delete(p.watches, scope)
				changed = true
			}
		}
		if changed {
			p.regroup(r.late)
		}
	}
}

// syncShow watches one show, and reports whether its watch is new. One whose times
// changed is loaded anew; its alerts go on.
func (p *promise) syncShow(at buffer.Source, scope string, s wire.Show, now time.Time) (bool, error) {
	old := p.watches[scope]
	if old != nil && old.show.Show == s {
		return false, nil
	}
	w, err := p.newShow(at, s, now)
	if err != nil {
		return false, err
	}
	if old != nil {
		w.show.watch.Watch, w.kept = old.show.watch.Watch, old.kept
	} else if err := w.restore(p.waiting[scope]); err != nil {
		return false, err
	}
	delete(p.waiting, scope)
	p.watches[scope] = w
	return true, nil
}

// newShow watches a show at a place.
func (p *promise) newShow(at buffer.Source, s wire.Show, now time.Time) (*watch, error) {
	sh, err := newShow(scopeOf(at), p.def.Objective, p.places[at], s)
	if err != nil {
		return nil, err
	}
	w := &watch{place: at, scope: showScope(scopeOf(at), s.ID), objective: p.def.Name, show: sh, from: notLoaded(now)}
	w.expect(p.places[at])
	return w, nil
}
