package burn

import (
	"bytes"
	"context"
	"time"

	"ghostlight/buffer"
	"ghostlight/fleet/ledger"
	"ghostlight/slo"
)

// Standings is the ledger for those who show it: what the running sums of a watch hold
// they answer, at once and as the ledger would, and the ledger answers the rest. To
// read four weeks of ten thousand nodes takes it a minute.
//
// A watch answers once it is loaded, as long as it is the objective and the nodes that
// the ledger has now; see [slo.Track.Judge] for what it holds.
type Standings struct {
	*ledger.Ledger
	Room *Room
}

// Status is [ledger.Ledger.Status].
func (s Standings) Status(ctx context.Context, name string, sel ledger.Selection, from, to time.Time) (slo.Status, error) {
	if st, ok := s.status(ctx, name, sel, from, to); ok {
		return st, nil
	}
	return s.Ledger.Status(ctx, name, sel, from, to)
}

// Minutes is [ledger.Ledger.Minutes].
func (s Standings) Minutes(ctx context.Context, name string, sel ledger.Selection, from, to time.Time) ([]ledger.Minute, error) {
	if list, ok := s.minutes(ctx, name, sel, from, to); ok {
		return list, nil
	}
	return s.Ledger.Minutes(ctx, name, sel, from, to)
}

// History is [ledger.Ledger.History]; what was known at an earlier time the ledger tells.
func (s Standings) History(ctx context.Context, name string, sel ledger.Selection, from, to time.Time, step time.Duration, known time.Time) ([]ledger.Point, error) {
	if known.IsZero() && step >= time.Minute && to.Sub(from)/step < ledger.MaxPoints {
		if list, ok := s.history(ctx, name, sel, from, to, step); ok {
			return list, nil
		}
	}
	return s.Ledger.History(ctx, name, sel, from, to, step, known)
}

func (s Standings) status(ctx context.Context, name string, sel ledger.Selection, from, to time.Time) (st slo.Status, ok bool) {
	first, end := slo.WholeMinutes(from, to)
	s.ask(ctx, name, sel, func(w *watch, def ledger.Definition, closed int64) {
		if w.known() <= first {
			st, ok = w.track().Judge(first, end, closed)
		}
	})
	return st, ok
}

func (s Standings) minutes(ctx context.Context, name string, sel ledger.Selection, from, to time.Time) (out []ledger.Minute, ok bool) {
	first, end := slo.WholeMinutes(from, to)
	if end-first > ledger.MaxMinutes {
		return nil, false
	}
	s.ask(ctx, name, sel, func(w *watch, def ledger.Definition, closed int64) {
		if w.known() > first {
			return
		}
		var sums []slo.Sum
		sums, ok = w.track().Minutes(first, end, closed)
		out = make([]ledger.Minute, 0, len(sums))
		for i, sum := range sums {
			out = append(out, ledger.Minute{Minute: first + int64(i), Counts: sum.Counts, Coverage: sum.Coverage})
		}
	})
	return out, ok
}

func (s Standings) history(ctx context.Context, name string, sel ledger.Selection, from, to time.Time, step time.Duration) (out []ledger.Point, ok bool) {
	s.ask(ctx, name, sel, func(w *watch, def ledger.Definition, closed int64) {
		for at := from; !at.After(to); at = at.Add(step) {
			first, end := def.Window.Hourly(at)
			var st slo.Status
			if st, ok = w.track().Judge(first, min(end, slo.MinuteOf(at)), closed); !ok || w.known() > first {
				ok = false
				return
			}
			out = append(out, ledger.Point{AtMS: at.UnixMilli(), Status: st})
		}
	})
	return out, ok
}

// ask asks the watch whose nodes are those selected, if there is one. Minutes before
// closed are past their deadline.
func (s Standings) ask(ctx context.Context, name string, sel ledger.Selection, ask func(w *watch, def ledger.Definition, closed int64)) {
	def, err := s.Objective(ctx, name)
	if err != nil {
		return
	}
	r := s.Room
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.promises[name]
	if p == nil || !bytes.Equal(p.def.Document, def.Document) || !sameNodes(p.def.Nodes, def.Nodes) {
		return
	}
	at, ok := p.atlas.place(sel)
	if !ok {
		return
	}
	if w := p.watches[scopeOf(at)]; w != nil {
		ask(w, def, def.FinalMinute(r.o.Now()))
	}
}

// An atlas says where the nodes of an objective are.
type atlas struct {
	venues  map[string][]string // by region
	regions map[string][]string // by venue: several where venues of two regions share a name
}

// newAtlas is made of nodes in the order of their places.
func newAtlas(nodes []ledger.Participant) atlas {
	a := atlas{venues: map[string][]string{}, regions: map[string][]string{}}
	for i, n := range nodes {
		if i > 0 && n.Region == nodes[i-1].Region && n.Venue == nodes[i-1].Venue {
			continue
		}
		a.venues[n.Region] = append(a.venues[n.Region], n.Venue)
		a.regions[n.Venue] = append(a.regions[n.Venue], n.Region)
	}
	return a
}

// place is the smallest scope whose nodes are those selected: the fleet of one region
// is that region, and the region of one venue that venue.
func (a atlas) place(sel ledger.Selection) (at buffer.Source, ok bool) {
	if sel.Node != (buffer.Source{}) || len(sel.Regions) > 1 || len(sel.Venues) > 1 {
		return at, false
	}
	if len(sel.Regions) == 1 {
		at.Region = sel.Regions[0]
	}
	if len(sel.Venues) == 1 {
		at.Venue = sel.Venues[0]
	}
	switch {
	case at.Region != "":
	case at.Venue != "":
		regions := a.regions[at.Venue]
		if len(regions) != 1 {
			return at, false
		}
		at.Region = regions[0]
	case len(a.venues) == 1:
		for region := range a.venues {
			at.Region = region
		}
	}
	if venues := a.venues[at.Region]; at.Region != "" && at.Venue == "" && len(venues) == 1 {
		at.Venue = venues[0]
	}
	return at, true
}
