package agent

import (
	"time"

	"ghostlight/collector/incidents"
	"ghostlight/collector/page"
	"ghostlight/slo"
	"ghostlight/slo/incident"
)

// pageMinutes is how far back the page shows objectives minute by minute.
const pageMinutes = 60

// showWindow is what the rate of a show's alert is over.
func showWindow() time.Duration {
	looks := slo.EventTiers()
	return looks[len(looks)-1].Long
}

// objectives shows each objective as this node alone sees it.
func (n *node) objectives(v incidents.View) []page.Objective {
	to := slo.MinuteOf(time.Now()) + 1
	promises := map[string]incidents.Promise{}
	for _, p := range v.Promises {
		promises[p.Name] = p
	}
	out := []page.Objective{}
	for i, o := range n.book.Objectives() {
		obj := n.lastHour(i, o, to-pageMinutes, to)
		obj.Central, obj.Sales, obj.Window = o.Indicator.Central(), sales(o), o.Window.String()
		if p, ok := promises[o.Name]; ok {
			obj.Burn, obj.Budget, obj.Show = p.Burn, budget(p), showBudget(p)
		}
		out = append(out, obj)
	}
	return out
}

// lastHour judges the minutes from to before to.
func (n *node) lastHour(i int, o slo.Objective, from, to int64) page.Objective {
	obj := page.Objective{
		Name: o.Name, DisplayName: title(o), Target: o.Target, Source: o.Indicator.String(),
		FromMS: from * 60_000, ToMS: to * 60_000, Minutes: []page.Minute{},
	}
	buckets, err := n.book.Buckets(i, from, to)
	if err != nil {
		buckets = nil // the counts of that hour cannot be read: shown as pending
	}
	each := func(yield func(string, slo.Bucket) bool) {
		for _, b := range buckets {
			if !yield(n.cfg.Node.Name, b) {
				return
			}
		}
	}
	st := slo.Evaluate(o, []string{n.cfg.Node.Name}, from, to, each)
	obj.Good, obj.Total, obj.Known, obj.SLI = st.Good, st.Total, st.Known, st.SLI
	obj.Measured, obj.Gap, obj.Pending = st.Coverage.Measured, st.Coverage.Gap, st.Coverage.Pending
	for _, b := range buckets {
		obj.Minutes = append(obj.Minutes, page.Minute{StartMS: b.Minute * 60_000, Good: b.Good, Total: b.Total, State: stateOf(b)})
	}
	return obj
}

// title is the objective's name for people.
func title(o slo.Objective) string {
	if o.DisplayName != "" {
		return o.DisplayName
	}
	return o.Name
}

// sales reports whether an objective counts what visitors buy, or a journey that
// buys.
func sales(o slo.Objective) bool { return o.Indicator.Outcome != nil || o.Indicator.Journey != nil }

func budget(p incidents.Promise) *page.Budget {
	if !p.OwnKnown {
		return nil
	}
	st := p.Status
	return &page.Budget{
		FromMS: p.Own.From * 60_000, ToMS: p.Own.To * 60_000, Good: st.Good, Total: st.Total, Known: st.Known, SLI: st.SLI,
		Left: st.BudgetLeft, Verdict: string(st.Verdict), Pending: st.Coverage.Pending,
	}
}

func showBudget(p incidents.Promise) *page.ShowBudget {
	s := p.Show
	if s == nil {
		return nil
	}
	return &page.ShowBudget{ID: s.Show.ID, Name: s.Show.Name, Good: s.Good, Total: s.Total, Allowed: s.Allowed, Forecast: s.Forecast}
}

// alerts lists what fires.
func (n *node) alerts(v incidents.View) []page.Alert {
	names := map[string]string{}
	for _, s := range v.Shows {
		names[s.ID] = s.Name
	}
	out := []page.Alert{}
	for _, a := range v.Alerts {
		o := n.objective(a.Objective)
		window := a.Long
		if a.Show != "" {
			window = showWindow()
		}
		out = append(out, page.Alert{
			ID: a.ID, Objective: a.Objective, Title: title(o), Rule: a.Rule, Urgency: string(a.Urgency), FiredMS: a.Fired.UnixMilli(),
			Show: names[a.Show], WindowMS: window.Milliseconds(), Burn: a.Burn, Allowed: a.Allowed,
			LastsMS: slo.Exhaustion(o.Window.Period(), a.Burn).Milliseconds(), Incident: a.Incident, Over: a.Over,
		})
	}
	return out
}

// objective is one objective by its name; only that where it is no more.
func (n *node) objective(name string) slo.Objective {
	for _, o := range n.book.Objectives() {
		if o.Name == name {
			return o
		}
	}
	return slo.Objective{Name: name}
}

// incidentStatus lists the incidents that go on and the last that ended.
func (n *node) incidentStatus(v incidents.View) []page.Incident {
	out := []page.Incident{}
	for _, i := range v.Incidents {
		lasted, _ := i.Lasted(time.Now())
		is := page.Incident{
			ID: i.ID(), Cause: string(i.Scope.Cause), Name: i.Scope.Name, Title: i.Scope.Name, Urgency: string(i.Urgency()),
			Sales: true, Runs: true, Open: i.Open(), Lasted: lasted.Milliseconds(), Spells: []page.Spell{}, Tried: []page.Try{}, Links: []page.Evidence{},
		}
		if i.Scope.Cause == incident.Objective {
			o := n.objective(i.Scope.Name)
			is.Title, is.Sales, is.Runs = title(o), sales(o), o.Indicator.Journey != nil
		}
		for _, s := range i.Spells() {
			is.Spells = append(is.Spells, page.Spell{FailedMS: s.FailedMS, DetectedMS: s.DetectedMS, MitigatedMS: s.MitigatedMS, ParityMS: s.ParityMS})
		}
		for _, h := range i.Tried() {
			is.Tried = append(is.Tried, page.Try{AtMS: h.AtMS, Title: h.Title, Result: h.Result})
		}
		for _, l := range i.Links {
			is.Links = append(is.Links, page.Evidence{AtMS: l.Fact.AtMS, Text: l.Fact.Text, TraceID: l.Fact.TraceID})
		}
		out = append(out, is)
	}
	return out
}

func shows(v incidents.View) []page.Show {
	out := []page.Show{}
	for _, s := range v.Shows {
		show := page.Show{ID: s.ID, Name: s.Name, DoorsMS: s.DoorsMS, StartMS: s.StartMS, EndMS: s.EndMS}
		if show.DoorsMS == 0 {
			show.DoorsMS = s.StartMS
		}
		out = append(out, show)
	}
	return out
}
