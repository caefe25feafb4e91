package objectives

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"ghostlight/buffer"
	"ghostlight/fleet/events"
	"ghostlight/fleet/ledger"
	"ghostlight/fleet/registry"
	"ghostlight/fleet/status"
	"ghostlight/slo"
)

// find is an objective by its name, or [status.ErrUnknown].
func (v *Views) find(ctx context.Context, name string) (ledger.Definition, error) {
	defs, err := v.opt.Ledger.Objectives(ctx)
	if err != nil {
		return ledger.Definition{}, fmt.Errorf("objective view: %w", err)
	}
	i := slices.IndexFunc(defs, func(d ledger.Definition) bool { return d.Name == name })
	if i < 0 {
		return ledger.Definition{}, fmt.Errorf("objective %q: %w", name, status.ErrUnknown)
	}
	return defs[i], nil
}

// Objective judges one objective: over its own window, and over the time asked for or
// the last hour; together, at each venue, in each region, and over each show.
func (v *Views) Objective(ctx context.Context, name string, q Query) (Detail, error) {
	f, err := v.frame(ctx, q)
	if err != nil {
		return Detail{}, err
	}
	def, err := v.find(ctx, name)
	if err != nil {
		return Detail{}, err
	}
	d := Detail{NowMS: f.now.UnixMilli(), Scope: f.scope, Objective: status.Describe(def)}
	from, to := q.From, q.To
	if from.IsZero() || to.IsZero() {
		from, to = status.Hour(f.now)
		d.SLI, err = status.JudgeHour(ctx, v.opt.Ledger, def, f.sel, f.now)
	} else {
		d.SLI, err = status.JudgeSelection(ctx, v.opt.Ledger, def, f.sel, from, to)
	}
	if err == nil {
		d.Own, err = v.own(ctx, f, def, f.sel)
	}
	if err == nil {
		d.Venues, err = v.byVenue(ctx, f, def, from, to)
	}
	if err == nil {
		d.Regions, err = v.byRegion(ctx, f, def)
	}
	if err == nil {
		d.Events, err = v.byEvent(ctx, f, def)
	}
	if err == nil {
		d.Chart, err = v.eventsChart(ctx, f, def, from, to)
	}
	d.Headline = headline(d, def)
	return d, err
}

// maxCells bounds the minutes a strip shows.
const maxCells = 24 * 60

func (v *Views) byVenue(ctx context.Context, f frame, def ledger.Definition, from, to time.Time) ([]Place, error) {
	states, regions := v.states(), regionsOf(def)
	out := []Place{}
	for _, venue := range status.Venues(def) {
		at := buffer.Source{Region: regions[venue], Venue: venue}
		if !f.counts(ledger.Definition{Nodes: []ledger.Participant{{Source: at}}}) {
			continue
		}
		sel := ledger.Selection{Regions: f.sel.Regions, Venues: []string{venue}}
		p := Place{Region: at.Region, VenueObjective: status.VenueObjective{Venue: venue, State: states[venue], Cells: []status.Cell{}}}
		var err error
		if p.SLI, err = status.JudgeSelection(ctx, v.opt.Ledger, def, sel, from, to); err != nil {
			return nil, err
		}
		if p.Own, err = v.own(ctx, f, def, sel); err != nil {
			return nil, err
		}
		if to.Sub(from) <= maxCells*time.Minute {
			if p.Cells, err = status.Cells(ctx, v.opt.Ledger, def, []string{venue}, from, to); err != nil {
				return nil, err
			}
		}
		out = append(out, p)
	}
	return out, nil
}

// regionsOf tells in which region a venue is; the first where two share a name.
func regionsOf(def ledger.Definition) map[string]string {
	out := map[string]string{}
	for _, p := range slices.Backward(def.Nodes) {
		out[p.Venue] = p.Region
	}
	return out
}

// states tells which venues are heard.
func (v *Views) states() map[string]status.State {
	out := map[string]status.State{}
	for _, n := range v.opt.Nodes.Nodes() {
		switch {
		case n.Presence == registry.Dark:
			out[n.Venue] = status.Dark
		case out[n.Venue] == "":
			out[n.Venue] = status.Never
			if n.Live {
				out[n.Venue] = status.Healthy
			}
		}
	}
	return out
}

// byRegion judges each region; a fleet of one region needs no second line for it.
func (v *Views) byRegion(ctx context.Context, f frame, def ledger.Definition) ([]Place, error) {
	out := []Place{}
	regions := []string{}
	for _, p := range def.Nodes {
		regions = append(regions, p.Region)
	}
	slices.Sort(regions)
	if regions = slices.Compact(regions); len(regions) < 2 || f.Venue != "" || f.Region != "" {
		return out, nil
	}
	for _, region := range regions {
		sel := ledger.Selection{Regions: []string{region}, Venues: f.sel.Venues}
		own, err := v.own(ctx, f, def, sel)
		if err != nil {
			return nil, err
		}
		hour, err := status.JudgeHour(ctx, v.opt.Ledger, def, sel, f.now)
		if err != nil {
			return nil, err
		}
		out = append(out, Place{Region: region, VenueObjective: status.VenueObjective{SLI: hour, Cells: []status.Cell{}}, Own: own})
	}
	return out, nil
}

// byEvent judges an objective that is promised for each show over the latest of them.
func (v *Views) byEvent(ctx context.Context, f frame, def ledger.Definition) ([]EventVerdict, error) {
	out := []EventVerdict{}
	if !def.PerEvent {
		return out, nil
	}
	list, err := v.opt.Calendar.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, e := range list {
		g := f
		g.event = &e
		if e.Phase(f.now) == events.Planned || len(out) == choices || (f.Venue != "" && !slices.Contains(e.Venues, f.Venue)) {
			continue
		}
		sel := ledger.Selection{Regions: f.sel.Regions, Venues: e.Venues}
		if f.Venue != "" {
			sel.Venues = []string{f.Venue}
		}
		own, err := v.own(ctx, g, def, sel)
		if err != nil {
			return nil, err
		}
		out = append(out, EventVerdict{Event: status.ToEvent(e, f.now), SLI: own.SLI})
	}
	return out, nil
}

// eventsChart shows good and bad events by minute; a minute of which nothing is
// known is missing, not zero.
func (v *Views) eventsChart(ctx context.Context, f frame, def ledger.Definition, from, to time.Time) (status.Chart, error) {
	unit := def.Budgeting.Unit()
	c := status.Chart{
		ID: "events", Title: upper(unit) + " a minute", Unit: def.Indicator.String(), FromMS: from.UnixMilli(), ToMS: to.UnixMilli(),
		StepMS: time.Minute.Milliseconds(), Lines: []status.Line{{Name: "good", Points: []status.Point{}}, {Name: "bad", Points: []status.Point{}}}, Ranges: []status.Range{},
	}
	if to.Sub(from) > ledger.MaxMinutes*time.Minute {
		return c, nil
	}
	scale := 1.0
	if def.Budgeting == slo.RatioTimeslices {
		scale, c.Title = 1e6, upper(slo.Timeslices.Unit())+" a minute"
	}
	minutes, err := v.opt.Ledger.Minutes(ctx, def.Name, f.sel, from, to)
	if err != nil {
		return c, fmt.Errorf("minutes of objective %s: %w", def.Name, err)
	}
	for _, m := range minutes {
		at := slo.MinuteStart(m.Minute).UnixMilli()
		good, bad := status.Value(float64(m.Good)/scale), status.Value(float64(m.Total-m.Good)/scale)
		if m.Measured == 0 {
			good, bad = status.Value(math.NaN()), status.Value(math.NaN())
		}
		c.Lines[0].Points = append(c.Lines[0].Points, status.Point{MS: at, V: good})
		c.Lines[1].Points = append(c.Lines[1].Points, status.Point{MS: at, V: bad})
		if m.Pending > 0 {
			c.Ranges = extend(c.Ranges, at, "dark", "some venues not heard yet")
		} else if m.Gap > 0 {
			c.Ranges = extend(c.Ranges, at, "gap", "some venues not watched")
		}
	}
	return c, nil
}

// extend adds one minute to the last range when it continues it.
func extend(ranges []status.Range, at int64, kind, label string) []status.Range {
	end := at + time.Minute.Milliseconds()
	if n := len(ranges); n > 0 && ranges[n-1].Kind == kind && ranges[n-1].ToMS == at {
		ranges[n-1].ToMS = end
		return ranges
	}
	return append(ranges, status.Range{FromMS: at, ToMS: end, Kind: kind, Label: label})
}

// headline says whether the promise is kept over its own window.
func headline(d Detail, def ledger.Definition) status.Headline {
	s := d.Own.SLI
	over := "over " + Span(def.Window)
	if d.Scope.Event != "" {
		over = "over the event"
	}
	h := status.Headline{Tone: s.Tone()}
	switch {
	case slo.Verdict(s.Verdict) == slo.Met, slo.Verdict(s.Verdict) == slo.Missed:
		h.Says = fmt.Sprintf("%s is %s %s", d.DisplayName, s.Verdict, over)
		h.Detail = upper(s.Standing()) + ". " + s.Minutes.Says() + "."
	case !s.Known:
		h.Says = fmt.Sprintf("%s: nothing was counted %s", d.DisplayName, over)
		h.Detail = s.Minutes.Says() + "."
	default:
		h.Says = fmt.Sprintf("%s is undetermined %s", d.DisplayName, over)
		h.Detail = s.Minutes.Says() + "; the pending minutes could decide it either way."
		if def.Capacity == 0 && !def.Budgeting.Sliced() {
			h.Detail = s.Minutes.Says() + ". Without a declared capacity an incomplete window stays undetermined."
		}
	}
	if c := d.Own.Changed(); c != "" {
		h.Detail = "As known at the time asked for: " + c + ". " + h.Detail
	}
	return h
}

func upper(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// Span is a window in words, such as "the last 28 days" or "this month".
func Span(w slo.Window) string {
	word, ok := map[slo.Unit]string{
		slo.Minute: "minute", slo.Hour: "hour", slo.Day: "day", slo.Week: "week", slo.Month: "month", slo.Quarter: "quarter", slo.Year: "year",
	}[w.Unit]
	switch {
	case !ok:
		return w.String()
	case w.Rolling && w.Count == 1:
		return "the last " + word
	case w.Rolling:
		return fmt.Sprintf("the last %d %ss", w.Count, word)
	case w.Count == 1:
		return "this " + word
	}
	return fmt.Sprintf("these %d %ss", w.Count, word)
}
