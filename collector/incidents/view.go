package incidents

import (
	"cmp"
	"slices"
	"time"

	"ghostlight/buffer/wire"
	"ghostlight/collector/self"
	"ghostlight/slo"
	"ghostlight/slo/incident"
)

// A View is what the room knows at one moment.
type View struct {
	Alerts    []Alert             // that fire, pages first, then the longest first
	Incidents []incident.Incident // open ones first, then the latest first
	Promises  []Promise           // of the objectives that the node counts, in the book's order
	Shows     []wire.Show         // of the calendar, by start
}

// An Alert is one alert that fires.
type Alert struct {
	slo.Alert
	Show     string        // id, if it is one show's budget
	Long     time.Duration // the window that the rate is over; 0 for a show's
	Burn     float64       // times the sustainable rate, over Long or the show's last hour
	Allowed  float64       // rate from which it fires; 0 for a show's
	Incident string        // id of the objective's last incident
	// Over says that this incident has ended: the alert looks back on it, and resolves
	// by itself.
	Over bool
}

// A Promise is one objective as this node alone sees it.
type Promise struct {
	Name string
	// Own is the objective's own window, in minutes since the Unix epoch; OwnKnown is
	// false where the node does not keep it.
	Own      slo.Minutes
	Status   slo.Status
	OwnKnown bool
	Burn     float64 // times the sustainable rate, over the shortest window of its alerts
	Show     *ShowBudget
}

// A ShowBudget is how much of its own budget a show has used. The budget grows with
// what it sells.
type ShowBudget struct {
	Show wire.Show
	slo.Counts
	Allowed  float64 // bad events, of those seen and those forecast
	Forecast int64   // events still expected, as many a minute as so far; 0 with an open end
}

// View looks at everything.
func (r *Room) View() View {
	r.mu.Lock()
	defer r.mu.Unlock()
	v := View{Shows: slices.Clone(r.calendar.Shows)}
	for _, p := range r.promises {
		if !p.ready {
			v.Promises = append(v.Promises, Promise{Name: p.o.Name})
			continue
		}
		v.Promises = append(v.Promises, p.view(r.at))
		for _, a := range p.firing() {
			v.Alerts = append(v.Alerts, r.alert(p, a))
		}
	}
	slices.SortStableFunc(v.Alerts, func(a, b Alert) int {
		return cmp.Or(cmp.Compare(a.Urgency, b.Urgency), a.Fired.Compare(b.Fired))
	})
	for _, e := range r.entries {
		v.Incidents = append(v.Incidents, e.incident)
	}
	slices.SortStableFunc(v.Incidents, func(a, b incident.Incident) int {
		if a.Open() != b.Open() {
			if a.Open() {
				return -1
			}
			return 1
		}
		return cmp.Compare(b.StartMS, a.StartMS)
	})
	return v
}

// alert is an alert with how fast the budget burns. The caller holds mu.
func (r *Room) alert(p *promise, a slo.Alert) Alert {
	out := Alert{Alert: a}
	if e := r.last(r.scope(incident.Objective, p.o.Name)); e != nil {
		out.Incident, out.Over = e.incident.ID(), !e.open()
	}
	for i, rule := range p.burn.Watch.Rules() {
		if rule.Key == a.Rule && a.Scope == p.scope {
			t := p.burn.Tiers()[i]
			out.Long, out.Allowed, out.Burn = t.Long, t.Rate, p.rate(p.burn.Track.Counts(2*i))
			return out
		}
	}
	for _, s := range p.shows {
		if showScope(p.scope, s.ID) == a.Scope {
			out.Show = s.ID
			out.Burn = p.rate(s.watch.Track.Counts(2 * (len(slo.EventTiers()) - 1)))
		}
	}
	return out
}

func (p *promise) rate(c slo.Counts) float64 { return c.ErrorRatio() / (1 - p.o.Target) }

func (p *promise) view(now time.Time) Promise {
	v := Promise{Name: p.o.Name, OwnKnown: p.own}
	if p.own {
		v.Own, v.Status = p.burn.Track.Window(p.burn.More()), p.burn.Track.Status(p.burn.More())
	}
	shortest := -1
	for i, t := range p.burn.Tiers() {
		if shortest < 0 || t.Short < p.burn.Tiers()[shortest].Short {
			shortest = i
		}
	}
	if shortest >= 0 {
		v.Burn = p.rate(p.burn.Track.Counts(2*shortest + 1))
	}
	for _, s := range p.shows {
		if now.Before(endOf(s.Show)) { // of several at a time the one that began last
			forecast := s.forecast(now)
			v.Show = &ShowBudget{Show: s.Show, Counts: s.counts, Forecast: forecast, Allowed: slo.EventBudget(p.o.Target, s.counts.Total, forecast)}
		}
	}
	return v
}

// Gather adds how many alerts fire and how many incidents go on.
func (r *Room) Gather(g *self.Gatherer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	firing := map[slo.Urgency]int{slo.Page: 0, slo.Ticket: 0}
	for _, p := range r.promises {
		for _, a := range p.firing() {
			firing[a.Urgency]++
		}
	}
	for urgency, n := range self.Sorted(firing) {
		g.Gauge("ghostlight_alerts_firing", "Burn alerts of this node that fire, by whom they wake.", float64(n), "urgency", string(urgency))
	}
	open := 0
	for _, e := range r.entries {
		if e.open() {
			open++
		}
	}
	g.Gauge("ghostlight_incidents_open", "Incidents of this node that are not at parity.", float64(open))
}
