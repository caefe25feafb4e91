// Package objectives composes the ledger into the views that pages and the JSON API
// show of objectives: each over its own window and over the last hour, at one venue,
// a region, the fleet or a show; how its budget went, as known now or as it was known
// at an earlier time; which minutes changed afterwards and why; and whether the pages
// it sent were right.
//
// It guarantees that every share says of how many minutes it knows, that a verdict
// has three states and says whether it is final, and that nothing is computed here
// that the ledger knows.
package objectives

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"ghostlight/fleet/burn"
	"ghostlight/fleet/events"
	"ghostlight/fleet/ledger"
	"ghostlight/fleet/status"
	"ghostlight/internal/webui"
	"ghostlight/slo"
)

// Ledger judges objectives at any time, as known at any time; [ledger.Ledger] does.
type Ledger interface {
	status.Ledger
	History(ctx context.Context, name string, sel ledger.Selection, from, to time.Time, step time.Duration, known time.Time) ([]ledger.Point, error)
	Revisions(ctx context.Context, f ledger.RevisionFilter) ([]ledger.Revision, error)
}

// Auditor says of pages whether they were right; the fleet's burn alerts do.
type Auditor interface {
	Audit(ctx context.Context, f burn.AuditFilter) ([]burn.Audited, error)
}

// Options of [New]. All but Auditor and Now are needed.
type Options struct {
	Nodes    status.Nodes
	Ledger   Ledger
	Calendar status.Calendar
	Auditor  Auditor          // nil: no page is known
	Now      func() time.Time // nil: time.Now
}

// Views composes the views. Its methods may be called concurrently.
type Views struct{ opt Options }

// New makes the views over the fleet's books.
func New(o Options) (*Views, error) {
	if o.Nodes == nil || o.Ledger == nil || o.Calendar == nil {
		return nil, errors.New("status of objectives: Nodes, Ledger and Calendar are all needed")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Views{opt: o}, nil
}

// Query says what to judge. What is empty is all.
type Query struct {
	Region, Venue, Event string
	Known                time.Time // as it was known then; zero: as known now
	From, To             time.Time // of the hour, or of a history; zero: the latest
}

// frame is a query as the ledger is asked.
type frame struct {
	Query
	now   time.Time
	sel   ledger.Selection
	event *events.Event
	scope Scope
}

// frame finds what a query names; [status.ErrUnknown] where there is none.
func (v *Views) frame(ctx context.Context, q Query) (frame, error) {
	f := frame{Query: q, now: v.opt.Now(), scope: Scope{Region: q.Region, Venue: q.Venue, Event: q.Event}}
	if !q.Known.IsZero() {
		f.scope.KnownMS = q.Known.UnixMilli()
	}
	if q.Region != "" {
		if !slices.Contains(v.regions(), q.Region) {
			return f, fmt.Errorf("region %q: %w", q.Region, status.ErrUnknown)
		}
		f.sel.Regions = []string{q.Region}
	}
	if q.Event != "" {
		e, err := v.opt.Calendar.Get(ctx, q.Event)
		if errors.Is(err, events.ErrUnknown) {
			return f, fmt.Errorf("event %q: %w", q.Event, status.ErrUnknown)
		}
		if err != nil {
			return f, err
		}
		f.event, f.sel.Venues = &e, e.Venues
	}
	if q.Venue != "" {
		if !slices.Contains(v.venues(), q.Venue) || (f.event != nil && !slices.Contains(f.event.Venues, q.Venue)) {
			return f, fmt.Errorf("venue %q: %w", q.Venue, status.ErrUnknown)
		}
		f.sel.Venues = []string{q.Venue}
	}
	return f, nil
}

func (v *Views) venues() []string {
	return v.places(func(p ledger.Participant) string { return p.Venue })
}

func (v *Views) regions() []string {
	return v.places(func(p ledger.Participant) string { return p.Region })
}

// places lists what the fleet's nodes have for one part of their names, sorted.
func (v *Views) places(part func(ledger.Participant) string) []string {
	out := []string{}
	for _, n := range v.opt.Nodes.Nodes() {
		out = append(out, part(ledger.Participant{Source: n.Source}))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// counts reports whether anybody selected answers for an objective.
func (f frame) counts(def ledger.Definition) bool {
	return slices.ContainsFunc(def.Nodes, func(p ledger.Participant) bool {
		return (len(f.sel.Regions) == 0 || slices.Contains(f.sel.Regions, p.Region)) && (len(f.sel.Venues) == 0 || slices.Contains(f.sel.Venues, p.Venue))
	})
}

// window is what an objective is judged over: its own, which ended at the time asked
// about, or that of the show.
func (f frame) window(def ledger.Definition) (from, to time.Time, ends int64) {
	at := f.now
	if !f.Known.IsZero() && f.Known.Before(at) {
		at = f.Known
	}
	if f.event != nil {
		from, to = f.event.Window(at)
		settled := slo.MinuteStart(slo.MinuteOf(at.Add(-status.Settle)))
		if to.After(settled) {
			to = settled
		}
		return from.Truncate(time.Minute), to, 0
	}
	from, to = status.OwnWindow(def, at)
	if _, end := def.Window.Minutes(at); !def.Window.Rolling {
		ends = slo.MinuteStart(end).UnixMilli()
	}
	return from, to, ends
}

// own judges an objective over its own window, and how fast its budget burns.
func (v *Views) own(ctx context.Context, f frame, def ledger.Definition, sel ledger.Selection) (Own, error) {
	from, to, ends := f.window(def)
	var o Own
	st, err := v.opt.Ledger.Status(ctx, def.Name, sel, from, to)
	if err != nil {
		return o, fmt.Errorf("judge objective %s: %w", def.Name, err)
	}
	if f.event != nil && f.event.Phase(f.now) == events.Over {
		if st, err = status.Restate(ctx, v.opt.Ledger, def.Name, sel, from, to, st); err != nil {
			return o, err
		}
	}
	o.SLI, o.EndsMS = status.ToSLI(def, st, from, to), ends
	if !f.Known.IsZero() {
		then, err := v.opt.Ledger.StatusAsOf(ctx, def.Name, sel, from, to, f.Known)
		if err != nil {
			return o, fmt.Errorf("judge objective %s as known then: %w", def.Name, err)
		}
		sli := status.ToSLI(def, then, from, to)
		o.Then = &sli
	}
	o.Burn, err = v.burn(ctx, f, def, sel)
	return o, err
}

// burn is the burn rate over the last hour.
func (v *Views) burn(ctx context.Context, f frame, def ledger.Definition, sel ledger.Selection) (Burn, error) {
	b := Burn{Rate: status.Value(math.NaN()), Seconds: int64(time.Hour / time.Second), Tone: "unknown"}
	for _, t := range def.BurnTiers() {
		if t.Urgency == slo.Page && (b.PagesAt == 0 || t.Long == time.Hour) {
			b.PagesAt = t.Rate
		}
	}
	from, to := status.Hour(f.now)
	st, err := v.opt.Ledger.Status(ctx, def.Name, sel, from, to)
	if err != nil {
		return b, fmt.Errorf("burn rate of %s: %w", def.Name, err)
	}
	if !st.Known {
		return b, nil
	}
	rate, err := slo.BurnRate(def.Target, st.Counts)
	if err != nil {
		return b, fmt.Errorf("burn rate of %s: %w", def.Name, err)
	}
	b.Rate, b.Tone = status.Value(rate), "ok"
	switch {
	case b.PagesAt > 0 && rate >= b.PagesAt:
		b.Tone = "bad"
	case rate > 1:
		b.Tone = "warn"
	}
	return b, nil
}

func round2(v float64) float64 { return math.Round(100*v) / 100 }

// List judges every objective that the scope counts.
func (v *Views) List(ctx context.Context, q Query) (List, error) {
	f, err := v.frame(ctx, q)
	if err != nil {
		return List{}, err
	}
	out := List{NowMS: f.now.UnixMilli(), Scope: f.scope, Says: f.says(), List: []Row{}, Regions: v.regions(), Venues: v.venues(), Events: []status.Event{}}
	defs, err := v.opt.Ledger.Objectives(ctx)
	if err != nil {
		return out, fmt.Errorf("objectives view: %w", err)
	}
	for _, def := range defs {
		if !f.counts(def) {
			continue
		}
		row := Row{Objective: status.Describe(def), Over: Span(def.Window)}
		if row.SLI, err = status.JudgeHour(ctx, v.opt.Ledger, def, f.sel, f.now); err != nil {
			return out, fmt.Errorf("objectives view: %w", err)
		}
		if row.Own, err = v.own(ctx, f, def, f.sel); err != nil {
			return out, fmt.Errorf("objectives view: %w", err)
		}
		out.List = append(out.List, row)
	}
	list, err := v.opt.Calendar.List(ctx)
	if err != nil {
		return out, fmt.Errorf("objectives view: %w", err)
	}
	for _, e := range list {
		if len(out.Events) < choices && e.Phase(f.now) != events.Planned {
			out.Events = append(out.Events, status.ToEvent(e, f.now))
		}
	}
	out.Headline = listHeadline(out.List)
	return out, nil
}

// choices is how many shows a page offers.
const choices = 8

func (f frame) says() string {
	where := "all venues together"
	switch {
	case f.Venue != "":
		where = f.Venue
	case f.Region != "":
		where = "region " + f.Region
	case f.event != nil:
		where = strings.Join(f.event.Venues, ", ")
	}
	if f.event != nil {
		return where + ", during " + f.event.Name
	}
	return where + ", each over its own window"
}

// listHeadline says which promises are kept.
func listHeadline(rows []Row) status.Headline {
	var missed, open, burning []string
	for _, r := range rows {
		switch slo.Verdict(r.Own.Verdict) {
		case slo.Missed:
			missed = append(missed, r.DisplayName)
		case slo.Undetermined:
			open = append(open, r.DisplayName)
		}
		if r.Own.Burn.Tone == "bad" {
			burning = append(burning, r.DisplayName)
		}
	}
	met := len(rows) - len(missed) - len(open)
	h := status.Headline{Tone: "ok", Says: "All " + webui.Plural(len(rows), "objective is", "objectives are") + " met"}
	switch {
	case len(rows) == 0:
		return status.Headline{Tone: "unknown", Says: "No objective is known yet", Detail: "An agent sends those of its agent.yaml when it starts."}
	case len(missed) > 0:
		h = status.Headline{Tone: "bad", Says: fmt.Sprintf("%d of %s missed: %s", len(missed), webui.Plural(len(rows), "objective", "objectives"), few(missed))}
	case len(rows) == 1 && len(open) == 1:
		h = status.Headline{Tone: "unknown", Says: open[0] + " is undetermined", Detail: upper(rows[0].Own.Standing()) + "."}
	case len(open) > 0:
		h = status.Headline{Tone: "unknown", Says: fmt.Sprintf("%d of %d objectives are met, %d undetermined", met, len(rows), len(open))}
	}
	if len(burning) > 0 {
		h.Detail = "Burning fast enough to wake somebody: " + few(burning) + "."
		if h.Tone != "bad" {
			h.Tone = "warn"
		}
	}
	if len(missed) > 0 && len(open) > 0 {
		h.Detail = strings.TrimSpace(h.Detail + " Undetermined: " + few(open) + ".")
	}
	return h
}

// few names at most three.
func few(names []string) string {
	if len(names) > 3 {
		return strings.Join(names[:3], ", ") + fmt.Sprintf(" and %d more", len(names)-3)
	}
	return strings.Join(names, ", ")
}
