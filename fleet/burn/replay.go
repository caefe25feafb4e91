package burn

import (
	"context"
	"fmt"
	"slices"
	"time"

	"ghostlight/buffer/wire"
	"ghostlight/fleet/ledger"
	"ghostlight/slo"
)

// coverMinutes is how far a page may be from the minutes in which its rule held and
// still be the page of it: a node steps every few seconds, a review every minute.
const coverMinutes = 2

// warmMinutes is how long before its stretch a replay starts, so that what held
// before is not taken for something new.
const warmMinutes = 60

// replayed is what the rules that page would have done over what is known now.
type replayed struct {
	stretch
	place   place
	now     time.Time
	target  float64
	tiers   []slo.Tier
	holds   map[ruleOf][]bool   // by minute of the stretch, one more at either end
	pending []int               // minutes of nodes nothing is known of, in the longest window, the same
	said    map[string][]string // what the windows held, the same; and of shows by their ids
	fired   []fired
}

// ruleOf is a rule, of a show or of the objective's own window.
type ruleOf struct{ event, rule string }

// fired is an alert of the replay.
type fired struct {
	ruleOf
	alert    slo.Alert
	from, to int64 // minutes in which it fired
}

// replay runs the rules over what the ledger holds.
func (r *Room) replay(ctx context.Context, at place, s stretch, now time.Time) (*replayed, error) {
	out := &replayed{stretch: s, place: at, now: now, holds: map[ruleOf][]bool{}, said: map[string][]string{}}
	if s.from >= s.to {
		return out, nil
	}
	def, err := r.definition(ctx, at.objective)
	if err != nil {
		return nil, err
	}
	shows := r.showsOf(at, def.Objective, s)
	start := s.from - warmMinutes
	for _, show := range shows {
		start = min(start, slo.MinuteOf(startOf(show)))
	}
	first := start - pageMinutes(def.Objective) - 60
	_, spans, sums, err := r.o.Ledger.Sums(ctx, at.objective, selection(at.Source), slo.MinuteStart(first), slo.MinuteStart(s.to+1))
	if err != nil {
		return nil, err
	}
	for i := range spans {
		spans[i].To = forever
	}
	return out, out.run(def.Objective, spans, sums, shows, start)
}

func (r *Room) definition(ctx context.Context, name string) (ledger.Definition, error) {
	defs, err := r.o.Ledger.Objectives(ctx)
	if err != nil {
		return ledger.Definition{}, err
	}
	for _, def := range defs {
		if def.Name == name {
			return def, nil
		}
	}
	return ledger.Definition{}, fmt.Errorf("%w: %s", ledger.ErrUnknown, name)
}

// run steps from start to behind the stretch.
func (p *replayed) run(o slo.Objective, spans []slo.Span, sums []ledger.Sum, shows []wire.Show, start int64) error {
	scope := scopeOf(p.place.Source)
	p.tiers, p.target = pageTiers(o), o.Target
	o.Alerts = p.tiers
	burn, err := slo.NewBurnWatch(scope, o, spans, time.Duration((pageMinutes(o)+59)/60)*time.Hour)
	if err != nil {
		return err
	}
	if len(p.tiers) == 0 { // those of the window are tickets: nobody is woken
		burn.Watch = slo.NewWatch(scope, o.Name, nil)
	}
	watches := make([]*show, len(shows))
	for i, s := range shows {
		if watches[i], err = newShow(scope, o, spans, s); err != nil {
			return err
		}
	}
	final := o.FinalMinute(p.now)
	for m := start; m < p.to+1; m++ {
		for len(sums) > 0 && sums[0].Minute <= m {
			burn.Track.Replace(sums[0].Minute, slo.Sum{}, sums[0].Sum)
			for _, w := range watches {
				w.replace(sums[0].Minute, slo.Sum{}, sums[0].Sum)
			}
			sums = sums[1:]
		}
		at := slo.MinuteStart(m + 1).Add(-time.Second)
		p.step(burn, watches, m, at)
		if m >= p.from-1 {
			p.look(burn, m < final)
		}
	}
	return nil
}

// step moves all watches on by a minute.
func (p *replayed) step(burn *slo.BurnWatch, shows []*show, m int64, at time.Time) {
	burn.Track.Advance(m + 1)
	holds := func(tier int) bool { return len(p.tiers) > 0 && burn.Holds(tier) }
	for _, a := range burn.Watch.Step(at, holds) {
		p.note("", a, m)
	}
	if m >= p.from-1 {
		for i, t := range p.tiers {
			p.hold(ruleOf{"", t.Rule().Key}, m, holds(i))
		}
	}
	for _, s := range shows {
		for _, a := range s.step(at) {
			p.note(s.ID, a, m)
		}
		if m >= p.from-1 {
			firing := false
			for _, a := range s.watch.Watch.Active() {
				firing = firing || a.Phase == slo.Firing
			}
			p.hold(ruleOf{s.ID, slo.EventRule().Key}, m, firing)
			p.said[s.ID] = append(p.said[s.ID], fmt.Sprintf("; of the show's %d events so far %d failed, and %d more were expected", s.counts.Total, s.counts.Bad(), s.forecast(at)))
		}
	}
}

func (p *replayed) hold(of ruleOf, m int64, holds bool) {
	if p.holds[of] == nil {
		p.holds[of] = make([]bool, p.to-p.from+2)
	}
	p.holds[of][m-p.from+1] = holds
}

// note notes an alert that fired or resolved.
func (p *replayed) note(event string, a slo.Alert, m int64) {
	if a.Phase == slo.Firing {
		p.fired = append(p.fired, fired{ruleOf{event, a.Rule}, a, m, forever})
		return
	}
	for i := range p.fired {
		if p.fired[i].alert.ID == a.ID {
			p.fired[i].to, p.fired[i].alert = m, a
		}
	}
}

// look notes what the windows hold at the minute stepped to.
func (p *replayed) look(burn *slo.BurnWatch, final bool) {
	st := burn.Track.Status(burn.More())
	if final {
		st.Coverage.Pending = 0
	}
	p.pending = append(p.pending, st.Coverage.Pending)
	said := ""
	for i, t := range p.tiers {
		long, short := burn.Track.Counts(2*i), burn.Track.Counts(2*i+1)
		rate := func(c slo.Counts) float64 { return c.ErrorRatio() / (1 - p.target) }
		said += fmt.Sprintf("; over %v %d of %d failed, over %v %d of %d: burn rates %.3g and %.3g, the rule asks for more than %.3g",
			t.Long, long.Bad(), long.Total, t.Short, short.Bad(), short.Total, rate(long), rate(short), t.Rate)
	}
	p.said[""] = append(p.said[""], said)
}

// mark says what a page that fired in a minute was, and why.
func (p *replayed) mark(page Page, minute int64) (Mark, string) {
	at := int(minute - p.from + 1)
	if at < 1 || at >= len(p.pending) {
		return Open, notReviewed
	}
	around := stretch{int64(at - 1), int64(min(at+2, len(p.pending)))}
	for i := around.from; i < around.to; i++ {
		if p.pending[i] > 0 {
			return Open, fmt.Sprintf("of %d minutes in its window nothing is known yet", p.pending[i])
		}
	}
	for of, holds := range p.holds {
		if !page.matches(of) {
			continue
		}
		for i := around.from; i < around.to; i++ {
			if holds[i] {
				return Right, "with all data in, " + of.rule + " held" + p.said[of.event][i]
			}
		}
	}
	said := p.said[page.Event]
	if said == nil {
		return Wrong, "the calendar has no such show there and then"
	}
	return Wrong, "with all data in, its rule did not hold" + said[at]
}

// matches reports whether a page may be of a rule. One that names neither rule nor
// show may be of any.
func (p Page) matches(of ruleOf) bool {
	if p.Rule == "" && p.Event == "" {
		return true
	}
	return p.Event == of.event && (p.Rule == "" || p.Rule == of.rule)
}

// covers reports whether somebody was paged, by whatever rule of the same promise,
// about when an alert fired in the minutes given. The incident of a node is one page,
// whether it is of a show or of the objective's own window.
func (a Audited) covers(event string, from, to int64) bool {
	first, last := slo.MinuteOf(time.UnixMilli(a.FiredMS)), int64(forever)
	if a.ResolvedMS > 0 {
		last = slo.MinuteOf(time.UnixMilli(a.ResolvedMS))
	}
	return a.Mark != Missed && (a.Event == event || a.IncidentID != "") && first <= to+coverMinutes && last >= from-coverMinutes
}

// missed lists the alerts of the stretch that nobody was paged of, and reports whether
// it is too early to say of others. A page of another rule of the same promise will do:
// somebody was paged.
func (p *replayed) missed(pages []Audited) (out []Page, waits bool) {
	for _, f := range p.fired {
		if f.from < p.from || f.from >= p.to {
			continue
		}
		covered := slices.ContainsFunc(pages, func(page Audited) bool { return page.covers(f.event, f.from, f.to) })
		switch {
		case covered:
		case p.pending[f.from-p.from+1] > 0:
			waits = true
		default:
			page := Page{Source: p.place.Source, AlertID: f.alert.ID, Event: f.event, Objective: p.place.objective, Rule: f.rule, FiredMS: f.alert.Fired.UnixMilli()}
			if f.alert.Phase == slo.Resolved {
				page.ResolvedMS = f.alert.Resolved.UnixMilli()
			}
			out = append(out, page)
		}
	}
	return out, waits
}
