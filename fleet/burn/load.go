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
	l := &loading{hour: hour, now: slo.MinuteOf(r.o.Now()), of: map[string]map[buffer.Source][]*watch{}, hours: map[*watch]*slo.Sum{}, minutes: map[*watch]*[60]slo.Sum{}}
	began := false
	err = r.o.Ledger.Load(ctx, ledger.Reading{
		From: hour, To: hour + 1,
		Objectives: func(name string) bool { return len(of[name]) > 0 },
		Whole: func(name string) bool {
			return !slices.ContainsFunc(of[name], func(w *watch) bool { return !l.whole(w) })
		},
		Begin: func() {
			r.mu.Lock() // until Load has returned
			began = true
			for name, list := range of {
				for _, w := range list {
					w.from = hour * 60
				}
				l.of[name] = byPlace(slices.Values(list))
			}
		},
		Each: func(ch ledger.Change) {
			for _, at := range holding(ch.Source) {
				for _, w := range l.of[ch.Of.Name][at] {
					l.add(w, &ch)
				}
			}
		},
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

// loading adds up an hour before windows are told: minutes for scopes of many venues,
// and the hour as a whole where windows hold it as such.
type loading struct {
	hour    int64
	now     int64
	of      map[string]map[buffer.Source][]*watch // who loads, by objective and place
	hours   map[*watch]*slo.Sum
	minutes map[*watch]*[60]slo.Sum
}

// wholeAfter is how old an hour must be, in minutes, that windows which count events
// hold it as a whole.
const wholeAfter = 26 * 60

// whole reports whether a watch takes the hour as a whole.
func (l *loading) whole(w *watch) bool { return w.whole && l.hour*60 < l.now-wholeAfter }

func (l *loading) add(w *watch, ch *ledger.Change) {
	switch {
	case l.whole(w):
		sum := l.hours[w]
		if sum == nil {
			sum = new(slo.Sum)
			l.hours[w] = sum
		}
		sum.Add(&ch.Is)
	case w.place.Venue == "":
		sums := l.minutes[w]
		if sums == nil {
			sums = new([60]slo.Sum)
			l.minutes[w] = sums
		}
		sums[ch.Minute-l.hour*60].Add(&ch.Is)
	default:
		w.take(ch)
	}
}

func (l *loading) flush() {
	for w, sum := range l.hours {
		w.take(&ledger.Change{Minute: l.hour * 60, Is: *sum})
	}
	for w, sums := range l.minutes {
		for i, sum := range sums {
			w.take(&ledger.Change{Minute: l.hour*60 + int64(i), Is: sum})
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
