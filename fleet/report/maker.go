package report

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"ghostlight/fleet/burn"
	"ghostlight/fleet/events"
	book "ghostlight/fleet/incident"
	"ghostlight/fleet/ledger"
	"ghostlight/fleet/registry"
	"ghostlight/fleet/sales"
	"ghostlight/fleet/status"
)

// Incidents is the book of incidents; [book.Book] does.
type Incidents interface {
	List(ctx context.Context, f book.Filter) ([]book.Item, error)
	MTTR(ctx context.Context, f book.Filter) (book.MTTR, error)
}

// Auditor says of pages whether they were right; the fleet's burn alerts do.
type Auditor interface {
	Audit(ctx context.Context, f burn.AuditFilter) ([]burn.Audited, error)
}

// Options of [New]. All but Incidents, Auditor and Now are needed.
type Options struct {
	Nodes     status.Nodes
	History   status.History
	Sales     status.Sales
	Ledger    status.Ledger
	Calendar  status.Calendar
	Incidents Incidents        // nil: none are known
	Auditor   Auditor          // nil: no page is known
	Now       func() time.Time // nil: time.Now
}

// A Maker makes reports. Its methods may be called concurrently.
type Maker struct{ opt Options }

// New makes a maker over the fleet's books.
func New(o Options) (*Maker, error) {
	if o.Nodes == nil || o.History == nil || o.Sales == nil || o.Ledger == nil || o.Calendar == nil {
		return nil, errors.New("report: Nodes, History, Sales, Ledger and Calendar are all needed")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Maker{opt: o}, nil
}

// maxRuns bounds the journey runs one report reads.
const maxRuns = 200_000

// facts is what the books hold of one event.
type facts struct {
	event    events.Event
	now      time.Time
	from, to time.Time
	nodes    []registry.View // of the event's venues
	totals   map[string]sales.Totals
	minutes  []sales.Minute
	runs     []registry.Run // oldest first
	heals    []registry.Heal
	dark     []registry.Darkness
	defs     []ledger.Definition // that a venue of the event counts

	incidents []book.Item // that touch the event
	mttr      book.MTTR   // of those that failed within it
	pages     []burn.Audited
}

// Report makes the report of one event as known now; [status.ErrUnknown] when
// there is none of that id.
func (m *Maker) Report(ctx context.Context, id string) (Report, error) {
	e, err := m.opt.Calendar.Get(ctx, id)
	switch {
	case errors.Is(err, events.ErrUnknown):
		return Report{}, fmt.Errorf("event %q: %w", id, status.ErrUnknown)
	case err != nil:
		return Report{}, fmt.Errorf("report of %s: %w", id, err)
	}
	f, err := m.gather(ctx, e)
	if err != nil {
		return Report{}, fmt.Errorf("report of %s: %w", id, err)
	}
	r, err := m.compose(ctx, f)
	if err != nil {
		return Report{}, fmt.Errorf("report of %s: %w", id, err)
	}
	return r, nil
}

func (m *Maker) gather(ctx context.Context, e events.Event) (f facts, err error) {
	f = facts{event: e, now: m.opt.Now()}
	f.from, f.to = e.Window(f.now)
	for _, n := range m.opt.Nodes.Nodes() {
		if slices.Contains(e.Venues, n.Venue) {
			f.nodes = append(f.nodes, n)
		}
	}
	window := sales.Filter{Venues: e.Venues, From: f.from, To: f.to}
	if f.totals, err = m.opt.Sales.Totals(ctx, window); err != nil {
		return f, err
	}
	if f.minutes, err = m.opt.Sales.Minutes(ctx, window); err != nil {
		return f, err
	}
	past := registry.Filter{Venues: e.Venues, From: f.from, To: f.to, Limit: maxRuns}
	if f.runs, err = m.opt.History.Runs(ctx, past); err != nil {
		return f, err
	}
	slices.Reverse(f.runs)
	if f.heals, err = m.opt.History.Heals(ctx, past); err != nil {
		return f, err
	}
	if f.dark, err = m.opt.History.Dark(ctx, past); err != nil {
		return f, err
	}
	defs, err := m.opt.Ledger.Objectives(ctx)
	for _, d := range defs {
		if slices.ContainsFunc(d.Nodes, func(p ledger.Participant) bool { return slices.Contains(e.Venues, p.Venue) }) {
			f.defs = append(f.defs, d)
		}
	}
	if err != nil {
		return f, err
	}
	return f, m.troubles(ctx, &f)
}

// troubles reads the incidents and pages of the event.
func (m *Maker) troubles(ctx context.Context, f *facts) (err error) {
	if m.opt.Incidents != nil {
		touching := book.Filter{Venues: f.event.Venues, From: f.from, To: f.to}
		if f.incidents, err = m.opt.Incidents.List(ctx, touching); err != nil {
			return err
		}
		if f.mttr, err = m.opt.Incidents.MTTR(ctx, touching); err != nil {
			return err
		}
	}
	if m.opt.Auditor == nil {
		return nil
	}
	f.pages, err = m.opt.Auditor.Audit(ctx, burn.AuditFilter{Venues: f.event.Venues, From: f.from, To: f.to})
	return err
}

func (m *Maker) compose(ctx context.Context, f facts) (Report, error) {
	r := Report{
		Event: status.ToEvent(f.event, f.now), GeneratedMS: f.now.UnixMilli(), FromMS: f.from.UnixMilli(), ToMS: f.to.UnixMilli(),
		Ongoing: f.event.Open(f.now), Awaiting: []string{}, Venues: []Venue{}, Objectives: []Objective{}, Advice: []Advice{},
	}
	r.Totals = status.Sum(slices.Collect(maps.Values(f.totals))...)
	r.Sales = r.Totals.Sales
	r.Conversion = conversion(r.Totals)
	var err error
	if r.Dark, err = m.darkTimes(ctx, f); err != nil {
		return r, err
	}
	if r.Objectives, err = m.objectives(ctx, f); err != nil {
		return r, err
	}
	outages := findOutages(f.runs)
	r.Journeys = countJourneys(f, outages)
	r.Heals = answer(f, outages)
	r.Venues = byVenue(f, r, outages)
	r.Incidents, r.Restored, r.Pages = f.troubles(), restored(f), audited(f)
	r.Lanes = lanesOf(f, r, outages)
	r.Timeline = timeline(f, r, outages)
	r.PerMinute = perMinute(f, r)
	r.await(f)
	r.Advice = advise(f, r)
	r.Headline = verdict(r, outages)
	return r, nil
}

func conversion(t sales.Totals) *float64 {
	ratio, ok := t.Conversion()
	if !ok {
		return nil
	}
	return &ratio
}

// objectives judges each objective over the event, widened to whole minutes. The
// minute that goes on is left out until its first buckets can have come.
func (m *Maker) objectives(ctx context.Context, f facts) ([]Objective, error) {
	from, to := f.from.Truncate(time.Minute), f.to
	if settled := f.now.Add(-20 * time.Second).Truncate(time.Minute).Add(time.Minute); f.event.Open(f.now) && to.After(settled) {
		to = settled
	}
	if !to.After(from) {
		return []Objective{}, nil
	}
	out := []Objective{}
	for _, def := range f.defs {
		judge := status.Judge
		if !f.event.Open(f.now) {
			judge = restated
		}
		sli, err := judge(ctx, m.opt.Ledger, def, f.event.Venues, from, to)
		if err != nil {
			return nil, err
		}
		o := Objective{SLI: sli, Venues: []status.VenueObjective{}}
		for _, venue := range status.Venues(def) {
			if !slices.Contains(f.event.Venues, venue) {
				continue
			}
			vo := status.VenueObjective{Venue: venue, Cells: []status.Cell{}}
			if vo.SLI, err = status.Judge(ctx, m.opt.Ledger, def, []string{venue}, from, to); err != nil {
				return nil, err
			}
			if to.Sub(from) <= 24*time.Hour {
				if vo.Cells, err = status.Cells(ctx, m.opt.Ledger, def, []string{venue}, from, to); err != nil {
					return nil, err
				}
			}
			o.Venues = append(o.Venues, vo)
		}
		out = append(out, o)
	}
	return out, nil
}

// restated judges an objective over an event that is over, and says whether late
// data changed what was final then.
func restated(ctx context.Context, l status.Ledger, def ledger.Definition, venues []string, from, to time.Time) (status.SLI, error) {
	sel := ledger.Selection{Venues: venues}
	st, err := l.Status(ctx, def.Name, sel, from, to)
	if err == nil {
		st, err = status.Restate(ctx, l, def.Name, sel, from, to, st)
	}
	return status.ToSLI(def, st, from, to), err
}

// darkTimes are the dark episodes that touch the event, and what was made at the
// edge meanwhile and has landed since.
func (m *Maker) darkTimes(ctx context.Context, f facts) ([]Dark, error) {
	out := []Dark{}
	for _, d := range f.dark {
		start, end := d.Start, d.End
		if start.Before(f.from) {
			start = f.from
		}
		if end.IsZero() || end.After(f.to) {
			end = f.to
		}
		x := Dark{Venue: d.Venue, Node: d.Node, FromMS: d.Start.UnixMilli(), AmountMinor: map[string]int64{}}
		if !d.End.IsZero() {
			x.ToMS = d.End.UnixMilli()
		}
		landed, err := m.opt.Sales.Totals(ctx, sales.Filter{Node: d.Source, From: start, To: end})
		if err != nil {
			return nil, err
		}
		for _, t := range landed {
			x.Sales, x.Checkins, x.AmountMinor = t.Sales, t.Checkins, t.AmountMinor
		}
		for _, run := range f.runs {
			if run.Source != d.Source || run.StartMS < start.UnixMilli() || run.StartMS >= end.UnixMilli() {
				continue
			}
			x.JourneyRuns++
			if !run.Pass {
				x.JourneysFail++
			}
		}
		if def, ok := status.Primary(f.defs); ok {
			st, err := m.opt.Ledger.Status(ctx, def.Name, ledger.Selection{Node: d.Source}, start, end)
			if err != nil {
				return nil, err
			}
			x.Pending, x.Gap = st.Coverage.Pending, st.Coverage.Gap
		}
		out = append(out, x)
	}
	return out, nil
}

// perMinute is the sales chart of all venues, dark times shaded and named.
func perMinute(f facts, r Report) status.Chart {
	var dark []status.Range
	for _, d := range r.Dark {
		to := d.ToMS
		if to == 0 {
			to = r.ToMS
		}
		dark = append(dark, status.Range{FromMS: max(d.FromMS, r.FromMS), ToMS: min(to, r.ToMS), Kind: "dark", Label: d.Venue + " dark"})
	}
	c := status.SalesChart("sales", f.minutes, dark, nil, f.from, f.from, f.to)
	c.Unit = "captured payments of all venues, by the time they were made"
	return c
}
