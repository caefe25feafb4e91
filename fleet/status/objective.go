package status

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"ghostlight/fleet/ledger"
	"ghostlight/fleet/registry"
	"ghostlight/slo"
)

// describe is what the definition says.
func describe(def ledger.Definition) Objective {
	return Objective{
		Description: def.Description, Owner: def.Owner, Source: def.Indicator.String(), Window: def.Window.String(), Capacity: def.Capacity,
	}
}

// Objectives judges every objective over the last hour.
func (v *Views) Objectives(ctx context.Context) (Objectives, error) {
	now := v.opt.Now()
	out := Objectives{NowMS: now.UnixMilli(), List: []Objective{}}
	defs, err := v.opt.Ledger.Objectives(ctx)
	if err != nil {
		return out, fmt.Errorf("objectives view: %w", err)
	}
	for _, def := range defs {
		o := describe(def)
		if o.SLI, err = v.judgeHour(ctx, def, nil, now); err != nil {
			return out, fmt.Errorf("objectives view: %w", err)
		}
		out.List = append(out.List, o)
	}
	return out, nil
}

// maxCells bounds the minutes a strip shows.
const maxCells = 24 * 60

// Objective judges one objective over [from, to), or the last hour for zero
// times, at each venue and at all together.
func (v *Views) Objective(ctx context.Context, name string, from, to time.Time) (ObjectiveDetail, error) {
	now := v.opt.Now()
	if from.IsZero() || to.IsZero() {
		from, to = hour(now)
	}
	defs, err := v.opt.Ledger.Objectives(ctx)
	if err != nil {
		return ObjectiveDetail{}, fmt.Errorf("objective view: %w", err)
	}
	i := slices.IndexFunc(defs, func(d ledger.Definition) bool { return d.Name == name })
	if i < 0 {
		return ObjectiveDetail{}, fmt.Errorf("objective %q: %w", name, ErrUnknown)
	}
	def := defs[i]
	d := ObjectiveDetail{NowMS: now.UnixMilli(), Objective: describe(def)}
	if d.SLI, err = Judge(ctx, v.opt.Ledger, def, nil, from, to); err != nil {
		return d, err
	}
	if d.Venues, err = v.byVenue(ctx, def, from, to, now); err != nil {
		return d, err
	}
	if d.Chart, err = v.eventsChart(ctx, def, from, to); err != nil {
		return d, err
	}
	d.Headline = objectiveHeadline(d.SLI, def.Capacity)
	return d, nil
}

func (v *Views) byVenue(ctx context.Context, def ledger.Definition, from, to, now time.Time) ([]VenueObjective, error) {
	states := map[string]State{}
	for _, n := range v.opt.Nodes.Nodes() {
		switch {
		case n.Presence == registry.Dark:
			states[n.Venue] = Dark
		case states[n.Venue] == "":
			states[n.Venue] = Never
			if n.Live {
				states[n.Venue] = Healthy
			}
		}
	}
	out := []VenueObjective{}
	for _, venue := range Venues(def) {
		o := VenueObjective{Venue: venue, State: states[venue], Cells: []Cell{}}
		var err error
		if o.SLI, err = Judge(ctx, v.opt.Ledger, def, []string{venue}, from, to); err != nil {
			return nil, err
		}
		if to.Sub(from) <= maxCells*time.Minute {
			if o.Cells, err = Cells(ctx, v.opt.Ledger, def, []string{venue}, from, to); err != nil {
				return nil, err
			}
		}
		out = append(out, o)
	}
	return out, nil
}

// Venues lists the venues that count an objective, sorted.
func Venues(def ledger.Definition) []string {
	var out []string
	for _, p := range def.Nodes {
		out = append(out, p.Venue)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// eventsChart shows good and bad events by minute; a minute of which nothing is
// known is missing, not zero.
func (v *Views) eventsChart(ctx context.Context, def ledger.Definition, from, to time.Time) (Chart, error) {
	c := Chart{
		ID: "events", Title: "Events a minute", Unit: def.Indicator.String(), FromMS: from.UnixMilli(), ToMS: to.UnixMilli(),
		StepMS: time.Minute.Milliseconds(), Lines: []Line{{Name: "good"}, {Name: "bad"}}, Ranges: []Range{},
	}
	if to.Sub(from) > ledger.MaxMinutes*time.Minute {
		return c, nil
	}
	minutes, err := v.opt.Ledger.Minutes(ctx, def.Name, ledger.Selection{}, from, to)
	if err != nil {
		return c, fmt.Errorf("minutes of objective %s: %w", def.Name, err)
	}
	for _, m := range minutes {
		at := slo.MinuteStart(m.Minute).UnixMilli()
		good, bad := Value(m.Good), Value(m.Total-m.Good)
		if m.Measured == 0 {
			good, bad = Value(math.NaN()), Value(math.NaN())
		}
		c.Lines[0].Points = append(c.Lines[0].Points, Point{MS: at, V: good})
		c.Lines[1].Points = append(c.Lines[1].Points, Point{MS: at, V: bad})
		if m.Pending > 0 {
			c.Ranges = extend(c.Ranges, at, "dark", "some venues not heard yet")
		} else if m.Gap > 0 {
			c.Ranges = extend(c.Ranges, at, "gap", "some venues not watched")
		}
	}
	return c, nil
}

// extend adds one minute to the last range when it continues it.
func extend(ranges []Range, at int64, kind, label string) []Range {
	end := at + time.Minute.Milliseconds()
	if n := len(ranges); n > 0 && ranges[n-1].Kind == kind && ranges[n-1].ToMS == at {
		ranges[n-1].ToMS = end
		return ranges
	}
	return append(ranges, Range{FromMS: at, ToMS: end, Kind: kind, Label: label})
}

func objectiveHeadline(s SLI, capacity int64) Headline {
	switch {
	case s.Verdict == "met" && s.Final:
		return Headline{Tone: "ok", Says: s.DisplayName + " is met", Detail: "Nothing is pending: " + s.Minutes.Says() + "."}
	case s.Verdict == "met":
		return Headline{Tone: "ok", Says: s.DisplayName + " is met, whatever is still to come", Detail: s.Minutes.Says() + "; the rest cannot change the verdict."}
	case s.Verdict == "missed" && s.Final:
		return Headline{Tone: "bad", Says: s.DisplayName + " is missed", Detail: "Nothing is pending: " + s.Minutes.Says() + "."}
	case s.Verdict == "missed":
		return Headline{Tone: "bad", Says: s.DisplayName + " is missed, whatever is still to come", Detail: s.Minutes.Says() + "; the rest cannot change the verdict."}
	case !s.Known:
		return Headline{Tone: "unknown", Says: s.DisplayName + ": nothing was counted in this window", Detail: s.Minutes.Says() + "."}
	}
	detail := fmt.Sprintf("%s; the pending minutes could decide it either way.", s.Minutes.Says())
	if capacity == 0 {
		detail = s.Minutes.Says() + ". Without a declared capacity an incomplete window stays undetermined."
	}
	return Headline{Tone: "unknown", Says: s.DisplayName + " is undetermined", Detail: detail}
}
