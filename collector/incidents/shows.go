package incidents

import (
	"slices"
	"time"

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

// A show is one show of the calendar, as one objective is watched in it.
type show struct {
	wire.Show
	watch  *slo.EventWatch
	counts slo.Counts // in it so far
	kept   kept
}

func startOf(s wire.Show) time.Time { return time.UnixMilli(s.StartMS) }

func endOf(s wire.Show) time.Time {
	if s.EndMS == 0 {
		return startOf(s).Add(openEnd)
	}
	return time.UnixMilli(s.EndMS)
}

// build makes the watch of the show from what the promise knows. Alerts go on.
func (s *show) build(p *promise) error {
	watch, err := slo.NewEventWatch(showScope(p.scope, s.ID), p.o, p.spans(p.since), startOf(s.Show), endOf(s.Show))
	if err != nil {
		return err
	}
	if s.watch != nil {
		watch.Watch = s.watch.Watch
	}
	s.watch, s.counts = watch, slo.Counts{}
	if !p.o.Budgeting.Sliced() {
		for at, held := range p.hours {
			s.replace(p, at*60, slo.Sum{}, held.Sum)
		}
	}
	for m, held := range p.minutes {
		s.replace(p, m, slo.Sum{}, held.sum(p.o))
	}
	return nil
}

// replace changes a minute, or an hour that is held as a whole, of the show.
func (s *show) replace(p *promise, m int64, was, is slo.Sum) {
	if !s.watch.Replace(m, was, is) {
		return
	}
	if (len(p.o.Exclusions) > 0 || p.o.Hours != "") && len(p.o.Excluded(m, m+1)) > 0 {
		return
	}
	s.counts = s.counts.Add(is.Counts).Add(slo.Counts{Good: -was.Good, Total: -was.Total})
}

// forecast is how many events are still expected: as many a minute as so far, until
// the planned end. Of a show with an open end none are: its budget is that of what it
// has seen.
func (s *show) forecast(now time.Time) int64 {
	if s.EndMS == 0 {
		return 0
	}
	gone, left := now.Sub(startOf(s.Show)), endOf(s.Show).Sub(now)
	if left <= 0 {
		return 0
	}
	return int64(float64(s.counts.Total) / max(1, gone.Minutes()) * left.Minutes())
}

// showScope is the scope of the alerts of one show.
func showScope(scope, id string) string { return scope + "#" + id }

// Calendar takes the calendar of the node's venue. It is stored with the next step.
// A show that cannot be watched is said once and passed over.
func (r *Room) Calendar(c wire.Calendar) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calendar = wire.Calendar{Shows: slices.Clone(c.Shows)}
	r.dirty.calendar = true
}

// syncShows watches the shows that go on or ended not long ago, and no others.
// Times are the fleet's, read on this node's clock. The caller holds mu.
func (r *Room) syncShows(now time.Time) {
	var current []wire.Show
	for _, s := range r.calendar.Shows {
		if startOf(s).After(now) || now.After(endOf(s).Add(afterShow)) {
			continue
		}
		if slo.MinuteOf(startOf(s)) >= slo.MinuteOf(endOf(s)) || s.ID == "" {
			r.misfit(s.ID, "it has no id, or does not end after it starts; correct it in the calendar")
			continue
		}
		current = append(current, s)
	}
	for _, p := range r.promises {
		if p.o.PerEvent && p.ready {
			r.syncPromise(p, current)
		}
	}
}

// syncPromise makes the shows of one promise those given. The caller holds mu.
func (r *Room) syncPromise(p *promise, current []wire.Show) {
	p.shows = slices.DeleteFunc(p.shows, func(s *show) bool {
		gone := !slices.ContainsFunc(current, func(c wire.Show) bool { return c.ID == s.ID })
		if gone && s.kept.last != nil {
			r.dirty.gone[s.kept.key] = true
		}
		return gone
	})
	for _, c := range current {
		i := slices.IndexFunc(p.shows, func(s *show) bool { return s.ID == c.ID })
		if i >= 0 && p.shows[i].Show == c {
			continue
		}
		s := &show{Show: c, kept: kept{key: watchKey(p.o.Name) + "#" + c.ID}}
		if i >= 0 {
			s.watch, s.kept = p.shows[i].watch, p.shows[i].kept
		}
		if err := s.build(p); err != nil {
			r.misfit(c.ID, err.Error())
			continue
		}
		if i >= 0 {
			p.shows[i] = s
			continue
		}
		r.resume(&s.kept, s.watch.Watch)
		p.shows = append(p.shows, s)
	}
}

// misfit says once that a show cannot be watched. The caller holds mu.
func (r *Room) misfit(id, why string) {
	if !r.misfits[id] {
		r.misfits[id] = true
		r.log.Warn("a show is not watched", "show", id, "why", why)
	}
}
