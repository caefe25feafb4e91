package objectives

import (
	"context"
	"fmt"
	"math"
	"time"

	"ghostlight/fleet/burn"
	"ghostlight/fleet/ledger"
	"ghostlight/fleet/status"
	"ghostlight/slo"
)

const (
	mostPoints    = 96 // of a history
	mostRevisions = 200
	mostPages     = 200
	historyBack   = 7 * 24 * time.Hour
	auditBack     = 30 * 24 * time.Hour
	leastHistory  = time.Hour
)

// History is how the budget of one objective went.
func (v *Views) History(ctx context.Context, name string, q Query) (History, error) {
	f, err := v.frame(ctx, q)
	if err != nil {
		return History{}, err
	}
	def, err := v.find(ctx, name)
	if err != nil {
		return History{}, err
	}
	from, to, step := f.span(def)
	h := History{
		NowMS: f.now.UnixMilli(), Objective: name, Scope: f.scope, FromMS: from.UnixMilli(), ToMS: to.UnixMilli(), StepMS: step.Milliseconds(),
		Points: []Point{},
	}
	if h.Points, err = v.points(ctx, f, def, from, to, step, f.Known); err != nil {
		return h, err
	}
	if !f.Known.IsZero() {
		if h.Now, err = v.points(ctx, f, def, from, to, step, time.Time{}); err != nil {
			return h, err
		}
		for i := range min(len(h.Points), len(h.Now)) {
			if a, b := h.Points[i], h.Now[i]; a.BudgetLeft != b.BudgetLeft && !(unknown(a) && unknown(b)) || a.Verdict != b.Verdict {
				h.Differs++
			}
		}
	}
	h.Chart = h.chart(def)
	return h, nil
}

func unknown(p Point) bool { return math.IsNaN(float64(p.BudgetLeft)) }

// span is the time a history covers and the distance of its points: what was asked
// for, or the last week as far as anybody counted: in whole minutes, and in whole hours
// if it is longer than a day, for which running sums are kept.
func (f frame) span(def ledger.Definition) (from, to time.Time, step time.Duration) {
	from, to = f.From, f.To
	if from.IsZero() || to.IsZero() {
		at := f.now
		if !f.Known.IsZero() && f.Known.Before(at) {
			at = f.Known // nobody knew anything of later then
		}
		to = slo.MinuteStart(slo.MinuteOf(at.Add(-status.Settle)))
		from = to.Add(-historyBack)
		first := int64(math.MaxInt64)
		for _, p := range def.Nodes {
			first = min(first, p.Since)
		}
		if known := slo.MinuteStart(first); len(def.Nodes) > 0 && known.After(from) {
			from = known
		}
		if to.Sub(from) < leastHistory {
			from = to.Add(-leastHistory)
		}
	}
	whole := time.Minute
	if to.Sub(from) > 24*time.Hour {
		whole = time.Hour
	}
	return from.Truncate(whole), to.Truncate(time.Minute), (to.Sub(from) / mostPoints).Truncate(whole) + whole
}

func (v *Views) points(ctx context.Context, f frame, def ledger.Definition, from, to time.Time, step time.Duration, known time.Time) ([]Point, error) {
	found, err := v.opt.Ledger.History(ctx, def.Name, f.sel, from, to, step, known)
	if err != nil {
		return nil, fmt.Errorf("history of %s: %w", def.Name, err)
	}
	out := []Point{}
	for _, p := range found {
		st := p.Status
		point := Point{
			AtMS: p.AtMS, BudgetLeft: status.Value(math.NaN()), SLI: status.Value(math.NaN()), Lower: st.Lower, Upper: st.Upper,
			Verdict: string(st.Verdict), Final: st.Final, Restated: st.Restated, Pending: st.Coverage.Pending,
		}
		if st.Known {
			point.BudgetLeft, point.SLI = status.Value(st.BudgetLeft), status.Value(st.SLI)
		}
		out = append(out, point)
	}
	return out, nil
}

// chart draws the budget left; where another time was asked for, as known then and
// as known now.
func (h History) chart(def ledger.Definition) status.Chart {
	full, floor, spent := 1.0, 0.0, 0.0
	c := status.Chart{
		ID: "budget", Title: "Error budget left", Unit: "of " + Span(def.Window) + " at each moment", FromMS: h.FromMS, ToMS: h.ToMS,
		StepMS: h.StepMS, Percent: true, Max: &full, Limit: &spent, LimitLabel: "spent", Lines: []status.Line{}, Ranges: []status.Range{},
	}
	add := func(name string, points []Point) {
		line := status.Line{Name: name, Points: []status.Point{}}
		for _, p := range points {
			line.Points = append(line.Points, status.Point{MS: p.AtMS, V: p.BudgetLeft})
			if !unknown(p) {
				floor = min(floor, float64(p.BudgetLeft))
			}
		}
		c.Lines = append(c.Lines, line)
	}
	if h.Now == nil {
		add("budget left", h.Points)
	} else {
		add("as known now", h.Now)
		add("as known then", h.Points)
	}
	// What is overspent many times over rides along the lower edge: the figures say
	// how far, and the rest stays readable.
	floor = max(-1, floor)
	c.Min = &floor
	return c
}

// Revisions lists which minutes changed after they had settled.
func (v *Views) Revisions(ctx context.Context, name string, q Query) (Revisions, error) {
	f, err := v.frame(ctx, q)
	if err != nil {
		return Revisions{}, err
	}
	if _, err := v.find(ctx, name); err != nil {
		return Revisions{}, err
	}
	from, to := q.From, q.To
	if from.IsZero() {
		from = f.now.Add(-historyBack)
	}
	if to.IsZero() {
		to = f.now
	}
	out := Revisions{NowMS: f.now.UnixMilli(), List: []Revision{}}
	found, err := v.opt.Ledger.Revisions(ctx, ledger.RevisionFilter{Objective: name, Selection: f.sel, From: from, To: to, Limit: mostRevisions + 1})
	if err != nil {
		return out, fmt.Errorf("revisions of %s: %w", name, err)
	}
	out.More = len(found) > mostRevisions
	for _, r := range found[:min(len(found), mostRevisions)] {
		out.List = append(out.List, Revision{
			Region: r.Region, Venue: r.Venue, Node: r.Node, MinuteMS: slo.MinuteStart(r.Minute).UnixMilli(), ArrivedMS: r.ArrivedMS,
			LateMS: max(0, r.ArrivedMS-slo.MinuteStart(r.Minute+1).UnixMilli()), Cause: string(r.Cause), Was: told(r.Was), Is: told(&r.Is),
		})
	}
	return out, nil
}

func told(b *slo.Bucket) *Told {
	if b == nil {
		return nil
	}
	t := &Told{Good: b.Good, Total: b.Total, State: "measured"}
	switch b.State {
	case slo.Gap:
		t.State = "gap"
	case slo.Excluded:
		t.State = "excluded"
	}
	return t
}

// Audit says of the pages of an objective whether they were right.
func (v *Views) Audit(ctx context.Context, name string, q Query) (Audit, error) {
	f, err := v.frame(ctx, q)
	if err == nil {
		_, err = v.find(ctx, name)
	}
	if err != nil || v.opt.Auditor == nil {
		return ToAudit(nil, f.now), err
	}
	from := q.From
	if from.IsZero() {
		from = f.now.Add(-auditBack)
	}
	found, err := v.opt.Auditor.Audit(ctx, burn.AuditFilter{Regions: f.sel.Regions, Venues: f.sel.Venues, Objective: name, From: from, To: q.To, Limit: mostPages})
	if err != nil {
		return Audit{}, fmt.Errorf("audit of %s: %w", name, err)
	}
	return ToAudit(found, f.now), nil
}

// ToAudit is an audit as the views show it.
func ToAudit(found []burn.Audited, now time.Time) Audit {
	out := Audit{NowMS: now.UnixMilli(), List: []Audited{}}
	for _, a := range found {
		out.add(Audited{
			AlertID: a.AlertID, Incident: a.IncidentID, Scope: a.Scope, Region: a.Region, Venue: a.Venue, Node: a.Node, Event: a.Event,
			Objective: a.Objective, Rule: a.Rule, FiredMS: a.FiredMS, ResolvedMS: a.ResolvedMS, Mark: string(a.Mark), Why: a.Why, AtMS: a.AtMS,
		})
	}
	return out
}

func (a *Audit) add(p Audited) {
	switch burn.Mark(p.Mark) {
	case burn.Right:
		a.Right++
	case burn.Wrong:
		a.Wrong++
	case burn.Missed:
		a.Missed++
	default:
		a.Open++
	}
	a.List = append(a.List, p)
}
