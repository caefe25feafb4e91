package burn

import (
	"context"
	"slices"

	"ghostlight/buffer"
	"ghostlight/fleet/ledger"
	"ghostlight/slo"
)

// Load loads one more hour of history into the windows that lack it, the latest
// first, and reports whether any lacks more. Who needs the same hour is served at
// once, so that a start reads each hour of the ledger once.
func (r *Room) Load(ctx context.Context) (more bool, err error) {
	hour, of := r.lacking()
	if len(of) == 0 {
		return false, nil
	}
	l := &loading{hour: hour, of: map[string]map[buffer.Source][]*watch{}, wide: map[*watch]*wide{}}
	now := slo.MinuteOf(r.o.Now())
	began := false
	err = r.o.Ledger.Load(ctx, ledger.Reading{
		From: hour, To: hour + 1,
		Objectives: func(name string) bool { return len(of[name]) > 0 },
		Whole: func(name string) bool {
			return hour*60 < now-wholeAfter && !slices.ContainsFunc(of[name], func(w *watch) bool { return !w.whole })
		},
		Begin: func() {
			r.mu.Lock() // until Load has returned
			began = true
			for name, list := range of {
				for _, w := range list {
					w.from, w.moved = hour*60, true
				}
				l.of[name] = byPlace(slices.Values(list))
			}
		},
		Each: l.add,
	})
	if began {
		l.flush()
		r.mu.Unlock()
	}
	if err != nil {
		r.unload(of)
		return false, err
	}
	return true, nil
}

// wholeAfter is how old an hour must be, in minutes, that windows which count events
// hold it as a whole.
const wholeAfter = 26 * 60

// loading tells windows of an hour: those of a venue as it is read, those of many venues
// when it is added up.
type loading struct {
	hour int64
	of   map[string]map[buffer.Source][]*watch // who loads, by objective and place
	wide map[*watch]*wide
}

func (l *loading) add(h ledger.Hour) {
	of := l.of[h.Of.Name]
	for _, at := range holding(h.Source) {
		for _, w := range of[at] {
			if at.Venue != "" {
				w.fill(h.Hour, h.Whole, h.Is)
				continue
			}
			sums := l.wide[w]
			if sums == nil {
				sums = &wide{whole: h.Whole}
				l.wide[w] = sums
			}
			sums.add(&h)
		}
	}
}

func (l *loading) flush() {
	for w, sums := range l.wide {
		w.fill(l.hour, sums.whole, &sums.minutes)
	}
}

// wide is an hour of many venues.
type wide struct {
	whole   bool
	minutes [60]slo.Sum
}

func (s *wide) add(h *ledger.Hour) {
	if s.whole {
		s.minutes[0].Add(&h.Is[0])
		return
	}
	for i := range h.Is {
		if h.Is[i].Told() > 0 {
			s.minutes[i].Add(&h.Is[i])
		}
	}
}

// lacking returns the latest hour that any watch lacks, and who lacks it. Watches that
// lack several go back hour by hour.
func (r *Room) lacking() (hour int64, of map[string][]*watch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := slo.MinuteOf(r.o.Now())
	hour = -1
	for name, p := range r.promises {
		for _, w := range p.watches {
			before := (w.from - 1) / 60
			if w.from <= max(0, w.needs(now, w.longest)) || before < hour {
				continue
			}
			if before > hour {
				hour, of = before, map[string][]*watch{}
			}
			of[name] = append(of[name], w)
		}
	}
	return hour, of
}

// unload makes watches anew that were loaded in part: nobody knows how far.
func (r *Room) unload(of map[string][]*watch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.o.Now()
	for name, list := range of {
		p := r.promises[name]
		if p == nil {
			continue
		}
		stored := p.marshal()
		for _, w := range list {
			if p.watches[w.scope] != w {
				continue
			}
			fresh, err := w.again(p, now)
			if err == nil {
				err = fresh.restore(stored[w.scope])
			}
			if err != nil {
				r.o.Log.Warn("objective cannot be watched", "objective", name, "scope", w.scope, "error", err)
				delete(p.watches, w.scope)
				continue
			}
			p.watches[w.scope] = fresh
		}
		p.regroup(r.late)
	}
}
