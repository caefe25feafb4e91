package incidents

import (
	"slices"
	"time"

	"ghostlight/collector/journeys"
	"ghostlight/slo"
	"ghostlight/slo/incident"
)

// watch moves the alerts of one promise on and returns those that fired. The caller
// holds mu.
func (r *Room) watch(p *promise, now time.Time) []slo.Alert {
	var fired []slo.Alert
	for _, a := range p.step(now) {
		if a.Phase == slo.Firing {
			fired = append(fired, a)
			r.log.Warn("alert fires", "id", a.ID, "objective", a.Objective, "rule", a.Rule, "urgency", string(a.Urgency))
			continue
		}
		r.log.Info("alert is over", "id", a.ID, "objective", a.Objective, "rule", a.Rule)
	}
	r.keep(p)
	return fired
}

// burns takes the alerts that fired into incidents, the quickest to see an end first.
// The caller holds mu.
func (r *Room) burns(now time.Time, fired []slo.Alert) {
	type burn struct {
		slo.Alert
		p  *promise
		by trigger
	}
	var all []burn
	for _, a := range fired {
		for _, p := range r.promises {
			if p.o.Name == a.Objective {
				all = append(all, burn{a, p, p.trigger(a)})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b burn) int { return int(a.by.After - b.by.After) })
	for _, b := range all {
		r.burn(now, b.p, b.Alert, b.by)
	}
}

// burn takes one alert into the incident of its objective.
func (r *Room) burn(now time.Time, p *promise, a slo.Alert, by trigger) {
	s := r.scope(incident.Objective, p.o.Name)
	last, at := r.last(s), slo.MinuteOf(now)
	if last != nil && last.open() {
		r.told(last, last.set(last.rate(a.Urgency, now, &by)))
		if last.By == nil || by.After <= last.By.After {
			last.By = &by
			r.touch(last, false)
		}
		return
	}
	floor := at - by.bound
	if last != nil {
		floor = max(floor, floorDiv(last.endedMS(), 60_000))
	}
	first, ok := p.stretch(at, floor, by.gap, by.Share)
	switch {
	case ok:
	case last != nil && !p.o.Budgeting.Sliced():
		// The same trouble, in a window that saw it later: nothing failed since.
		r.told(last, last.set(last.rate(a.Urgency, now, &by)))
		return
	default:
		first = slo.MinuteOf(a.Start)
	}
	r.fail(s, last, slo.MinuteStart(first), now, a.Urgency, &by)
}

// journeys opens an incident for each journey that fails again and again. The caller
// holds mu.
func (r *Room) journeys(now time.Time, seen sight) {
	for _, v := range seen.views {
		failed := v.Past // a heal may be quicker than a look
		if v.Failures > 0 {
			failed = journeys.Stretch{Failures: v.Failures, SinceMS: v.SinceMS, End: v.End, Last: v.Last}
		}
		s := r.scope(incident.Journey, v.Journey.Name)
		last := r.last(s)
		if failed.Failures < r.o.Failures || last != nil && (last.open() || last.Spell >= failed.SinceMS) {
			continue
		}
		detected := failed.End
		if detected.After(now) {
			detected = now
		}
		if e := r.fail(s, last, time.UnixMilli(failed.SinceMS), detected, slo.Page, nil); e != nil {
			r.told(e, e.set(link(e.incident, failed.Last)))
		}
	}
}

// stages moves the open incidents on. The caller holds mu.
func (r *Room) stages(now time.Time, seen sight) {
	blocked, since := false, int64(0)
	for _, e := range r.entries {
		if !e.open() {
			continue
		}
		r.settle(e, now, seen)
		// A ticket may go on for days; only what wakes somebody keeps others open.
		if e.page() {
			blocked = blocked || !e.Mitigated || e.ClearMS == 0
			since = max(since, e.ClearMS)
		}
	}
	for _, e := range r.entries {
		if e.open() && !blocked && e.Mitigated && e.ClearMS != 0 {
			at := max(e.ClearMS, since)
			r.told(e, e.set(e.mark(incident.Parity, at, 0)))
			r.log.Info("incident is over", "id", e.incident.ID(), "name", e.incident.Scope.Name, "parity", time.UnixMilli(at).UTC().Format(time.RFC3339))
		}
	}
}

// settle notes since when sales are possible again and nothing is left behind, and
// marks an incident mitigated once its alert agrees that it is over. The caller holds
// mu.
func (r *Room) settle(e *entry, now time.Time, seen sight) {
	was, ms := e.place, now.UnixMilli()
	bad := r.badUntil(e, now)
	switch selling := both(seen.passing, seen.up); {
	case selling == no || bad > ms:
		e.SellMS, e.ClearMS = 0, 0
	case selling == yes && e.SellMS == 0:
		e.SellMS = ms
	case e.SellMS != 0 && bad > e.SellMS: // told late
		e.SellMS = bad
	}
	switch seen.reconciled(e.SellMS) {
	case no:
		e.ClearMS = 0
	case yes:
		if e.ClearMS < e.SellMS || e.ClearMS == 0 {
			e.ClearMS = ms
		}
	}
	over := e.SellMS != 0 && r.over(e, seen)
	if over && !e.Mitigated {
		r.told(e, e.set(e.mitigate(e.SellMS)))
	}
	e.Mitigated = over
	if e.place != was {
		r.touch(e, false)
	}
}

// badUntil is when the last bad minute of the incident's objective ends, 0 without
// one.
func (r *Room) badUntil(e *entry, now time.Time) int64 {
	if e.By == nil {
		return 0
	}
	for _, p := range r.promises {
		if p.o.Name == e.incident.Scope.Name {
			return p.lastBad(slo.MinuteOf(now), floorDiv(e.Spell, 60_000), e.By.Share)
		}
	}
	return 0
}

// over reports whether what failed does so no longer: the journey passes, or the
// quickest of the alerts has resolved. What is watched no more is over.
func (r *Room) over(e *entry, seen sight) bool {
	if e.By == nil {
		i := slices.IndexFunc(seen.views, func(v journeys.View) bool { return v.Journey.Name == e.incident.Scope.Name })
		return i < 0 || seen.views[i].Runs > 0 && seen.views[i].Last.Pass
	}
	for _, p := range r.promises {
		if slices.ContainsFunc(p.firing(), func(a slo.Alert) bool { return a.ID == e.By.ID }) {
			return false
		}
	}
	return true
}
