package burn

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"maps"
	"time"

	"ghostlight/buffer"
	"ghostlight/fleet/ledger"
	"ghostlight/slo"
)

// forever is the end of what is expected of a node that goes on.
const forever = 1 << 40

// A promise is one objective and its watches.
type promise struct {
	def     ledger.Definition
	of      *slo.Objective
	watches map[string]*watch            // by scope
	at      map[buffer.Source][]*watch   // the same by place
	members map[buffer.Source]*member    // the nodes that changes came of
	places  map[buffer.Source][]slo.Span // who is expected, by scope of many nodes
	atlas   atlas
	back    int64             // how far back rules that page look, minutes
	late    bool              // something changed late since it was collected
	born    bool              // all places are stored as once watched
	waiting map[string][]byte // stored alerts of shows that are not watched yet, by scope
}

// counts reports whether changes summed up by of are those of the promise.
func (p *promise) counts(of *slo.Objective) bool {
	if p.of == of {
		return true
	}
	if !bytes.Equal(p.of.Document, of.Document) {
		return false
	}
	p.of = of
	return true
}

// own reports whether the objective's own window is one of a track's: a rolling one, of
// whole hours if it is longer than a day.
func (p *promise) own() bool {
	d := p.def.Window.Period()
	return p.def.Window.Rolling && (d <= 24*time.Hour || d%time.Hour == 0)
}

const (
	historyKept = 170 * time.Hour      // a week, of the budget of a region or the fleet: how far back it can be told
	keptMost    = 367 * 24 * time.Hour // what a track can hold
)

// windows are kept in a place beside those of the rules, the objective's own first.
func (p *promise) windows(at buffer.Source) (out []time.Duration) {
	period := p.def.Window.Period()
	keep := period
	if !p.def.Window.Rolling {
		keep += period / 10 // the longest months, and summer's end
	}
	if at.Venue == "" {
		keep += historyKept
	}
	if p.own() {
		out = append(out, period)
	}
	if keep > period {
		out = append(out, min(keptMost, (keep+time.Hour-1).Truncate(time.Hour)))
	}
	return out
}

// A member is a node: the watches of the scopes that hold it, and what changed late
// of it.
type member struct {
	watches []*watch
	late    stretch
}

func (p *promise) member(src buffer.Source) *member {
	if m := p.members[src]; m != nil {
		return m
	}
	m := &member{}
	for _, at := range holding(src) {
		m.watches = append(m.watches, p.at[at]...)
	}
	p.members[src] = m
	return m
}

// holding are the places that hold a node.
func holding(src buffer.Source) [3]buffer.Source {
	return [3]buffer.Source{{Region: src.Region, Venue: src.Venue}, {Region: src.Region}, {}}
}

// byPlace sorts watches by their places.
func byPlace(watches iter.Seq[*watch]) map[buffer.Source][]*watch {
	out := map[buffer.Source][]*watch{}
	for w := range watches {
		out[w.place] = append(out[w.place], w)
	}
	return out
}

// regroup has members find their watches anew, after watches came or went.
func (p *promise) regroup(late map[place]stretch) {
	p.collect(late)
	clear(p.members)
	p.at = byPlace(maps.Values(p.watches))
}

// collect moves what changed late to late.
func (p *promise) collect(late map[place]stretch) {
	if !p.late {
		return
	}
	p.late = false
	note := func(at buffer.Source, s *stretch) {
		if *s != (stretch{}) {
			to := place{at, p.def.Name}
			late[to] = late[to].join(*s)
			*s = stretch{}
		}
	}
	for src, m := range p.members {
		note(src, &m.late)
	}
	for _, w := range p.watches {
		note(w.place, &w.late)
	}
}

// scopes are the places with many nodes: a venue with more than one, a region with
// more than one venue, the fleet with more than one region. Where only the centre
// can count, no node watches: every venue is a scope then.
func scopes(def ledger.Definition) map[buffer.Source][]slo.Span {
	central := def.Indicator.Central()
	venues, regions := map[buffer.Source]int{}, map[string]int{}
	for _, n := range def.Nodes {
		at := buffer.Source{Region: n.Region, Venue: n.Venue}
		if venues[at]++; venues[at] == 1 {
			regions[n.Region]++
		}
	}
	out := map[buffer.Source][]slo.Span{}
	for _, n := range def.Nodes {
		span := slo.Span{Node: n.Node, From: n.Since, To: forever}
		if at := (buffer.Source{Region: n.Region, Venue: n.Venue}); central || venues[at] > 1 {
			out[at] = append(out[at], span)
		}
		if regions[n.Region] > 1 {
			at := buffer.Source{Region: n.Region}
			out[at] = append(out[at], span)
		}
		if len(regions) > 1 {
			out[buffer.Source{}] = append(out[buffer.Source{}], span)
		}
	}
	return out
}

// scopeOf is a scope as text.
func scopeOf(at buffer.Source) string {
	switch {
	case at.Region == "":
		return Fleet
	case at.Venue == "":
		return at.Region
	case at.Node == "":
		return at.Region + "/" + at.Venue
	}
	return at.String()
}

// refresh follows definitions, nodes that joined, and the calendar.
func (r *Room) refresh(ctx context.Context, now time.Time) error {
	defs, err := r.o.Ledger.Objectives(ctx)
	if err != nil {
		return err
	}
	stored, err := r.states(ctx, defs)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, def := range defs {
		if err := r.follow(def, stored[def.Name], now); err != nil {
			r.o.Log.Warn("objective cannot be watched", "objective", def.Name, "error", err)
		}
	}
	r.syncShows(now)
	return nil
}

// known reports whether the objective is watched as it is defined.
func (r *Room) known(def ledger.Definition) bool {
	p := r.promises[def.Name]
	return p != nil && bytes.Equal(p.def.Document, def.Document)
}

// follow makes the watches of an objective what its definition asks for. Alerts go on
// where their rules do. r.mu is held.
func (r *Room) follow(def ledger.Definition, stored map[string][]byte, now time.Time) error {
	p := r.promises[def.Name]
	if !r.known(def) {
		old := p
		p = &promise{of: &def.Objective, watches: map[string]*watch{}, members: map[buffer.Source]*member{}, back: pageMinutes(def.Objective)}
		r.promises[def.Name] = p
		if old != nil {
			stored = old.marshal()
			old.collect(r.late)
		}
		p.waiting = stored
	} else if sameNodes(p.def.Nodes, def.Nodes) {
		return nil
	}
	p.def, p.places, p.atlas, p.born = def, scopes(def), newAtlas(def.Nodes), false
	defer p.regroup(r.late)
	for at, spans := range p.places {
		scope := scopeOf(at)
		if w := p.watches[scope]; w != nil {
			w.expect(spans)
			continue
		}
		w, err := p.newWatch(at, spans, now)
		if err != nil {
			return err
		}
		if err := w.restore(stored[scope]); err != nil {
			return err
		}
		p.watches[scope] = w
	}
	for _, w := range p.watches {
		if w.show != nil {
			w.expect(p.places[w.place])
		}
	}
	return nil
}

// marshal is the state of all watches, by scope.
func (p *promise) marshal() map[string][]byte {
	out := map[string][]byte{}
	for scope, w := range p.watches {
		if len(w.alerts().Active()) > 0 {
			out[scope], _ = w.alerts().MarshalJSON() // plain numbers and texts cannot fail
		}
	}
	return out
}

// sameNodes reports whether two lists of nodes are one: the ledger makes a new one
// when anything of it changed.
func sameNodes(a, b []ledger.Participant) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// rewind makes everything anew after the clock was set back, or far ahead.
func (r *Room) rewind(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.promises {
		stored := p.marshal()
		for scope, w := range p.watches {
			fresh, err := w.again(p, now)
			if err == nil {
				err = fresh.restore(stored[scope])
			}
			if err != nil {
				r.o.Log.Warn("objective cannot be watched", "objective", p.def.Name, "scope", scope, "error", err)
				continue
			}
			fresh.alerts().Rewind(now)
			p.watches[scope] = fresh
		}
		p.regroup(r.late)
	}
	r.at = now
}

// newWatch watches the burn alerts of a place.
func (p *promise) newWatch(at buffer.Source, spans []slo.Span, now time.Time) (*watch, error) {
	more := p.windows(at)
	burn, err := slo.NewBurnWatch(scopeOf(at), p.def.Objective, spans, more...)
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", scopeOf(at), err)
	}
	w := &watch{place: at, scope: scopeOf(at), objective: p.def.Name, burn: burn, from: notLoaded(now), slice: p.def.Slice.Minutes}
	w.whole = !p.def.Budgeting.Sliced() && len(p.def.Exclusions) == 0 && p.def.Hours == ""
	for _, t := range burn.Tiers() {
		w.rules = max(w.rules, int64(t.Long/time.Minute))
	}
	w.longest = w.rules
	for _, d := range more {
		w.longest = max(w.longest, int64(d/time.Minute))
	}
	w.expect(spans)
	// What is loaded is then held in no more detail than time asks for.
	burn.Track.Advance(slo.MinuteOf(now) + 1)
	return w, nil
}
