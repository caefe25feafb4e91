// Package statustest is a small imaginary fleet for tests of views, pages and
// reports: books held in memory that answer as the real ones do.
package statustest

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"ghostlight/buffer"
	"ghostlight/fleet/burn"
	"ghostlight/fleet/events"
	"ghostlight/fleet/evidence"
	"ghostlight/fleet/ledger"
	"ghostlight/fleet/notify"
	"ghostlight/fleet/registry"
	"ghostlight/fleet/sales"
	"ghostlight/fleet/status"
	"ghostlight/fleet/status/incidents"
	"ghostlight/fleet/status/objectives"
	"ghostlight/slo"
	"ghostlight/slo/incident"
)

// Fleet is everything the centre would hold. The zero value is an empty fleet.
type Fleet struct {
	Clock    time.Time
	Views    []registry.View
	RunList  []registry.Run  // any order
	HealList []registry.Heal // any order
	Darks    []registry.Darkness
	Sold     map[string]map[int64]sales.Totals // by venue and minute
	Defs     []ledger.Definition
	Buckets  map[string]map[string][]slo.Bucket // by objective and node
	Shows    []events.Event
	Series   map[string]func(at time.Time) (float64, bool) // by a part of the query and the venue: "part|venue"
	Samples  map[buffer.Source]map[buffer.Lane]int64
	Traces   []evidence.Trace
	Troubles []incident.Incident       // as the book holds them: not folded, not gathered
	Told     map[string][]notify.Entry // by incident
	Audits   []burn.Audited
	Err      error // what every book answers, if set

	late map[lateKey]time.Time // see Revise
}

// Now is the fleet's clock.
func (f *Fleet) Now() time.Time { return f.Clock }

// Options are the books as status asks for them.
func (f *Fleet) Options() status.Options {
	return status.Options{
		Nodes: f, History: f, Sales: salesBook{f}, Ledger: ledgerBook{f}, Calendar: f,
		Metrics: f.Metrics, Accepted: f.Accepted, Evidence: traceBook{f}, Incidents: incidentBook{f}, Now: f.Now, Hold: time.Nanosecond,
	}
}

// Objectives are the books as the views of objectives ask for them.
func (f *Fleet) Objectives() objectives.Options {
	return objectives.Options{Nodes: f, Ledger: ledgerBook{f}, Calendar: f, Auditor: f, Now: f.Now}
}

// Incidents are the books as the views of incidents ask for them.
func (f *Fleet) Incidents(costs incidents.Costs) incidents.Options {
	return incidents.Options{Book: incidentBook{f}, Nodes: f, Ledger: ledgerBook{f}, Costs: costs, Now: f.Now}
}

// Audit implements [objectives.Auditor].
func (f *Fleet) Audit(_ context.Context, q burn.AuditFilter) ([]burn.Audited, error) {
	var out []burn.Audited
	for _, a := range f.Audits {
		if (q.Objective == "" || a.Objective == q.Objective) && picks(q.Venues, buffer.Source{}, a.Source) && within(a.FiredMS, q.From, q.To) {
			out = append(out, a)
		}
	}
	return out, f.Err
}

// traceBook implements [status.Evidence].
type traceBook struct{ f *Fleet }

func (b traceBook) Get(_ context.Context, traceID, venue string) (evidence.Trace, error) {
	for _, t := range b.f.Traces {
		if t.TraceID == traceID && (venue == "" || t.Venue == venue) {
			return t, b.f.Err
		}
	}
	if b.f.Err != nil {
		return evidence.Trace{}, b.f.Err
	}
	return evidence.Trace{}, evidence.ErrUnknown
}

func (b traceBook) List(_ context.Context, q evidence.Filter) ([]evidence.Listed, error) {
	var out []evidence.Listed
	for _, t := range b.f.Traces {
		if q.Venue == "" || t.Venue == q.Venue {
			out = append(out, evidence.Listed{Source: t.Source, Claim: t.Claim, Spans: int64(len(t.Spans)), Lines: int64(len(t.Lines))})
		}
	}
	return out, b.f.Err
}

// Nodes implements [status.Nodes].
func (f *Fleet) Nodes() []registry.View { return slices.Clone(f.Views) }

func picks(venues []string, node, src buffer.Source) bool {
	return (len(venues) == 0 || slices.Contains(venues, src.Venue)) && (node == (buffer.Source{}) || node == src)
}

func within(atMS int64, from, to time.Time) bool {
	return (from.IsZero() || atMS >= from.UnixMilli()) && (to.IsZero() || atMS < to.UnixMilli())
}

// Runs implements [status.History].
func (f *Fleet) Runs(_ context.Context, q registry.Filter) ([]registry.Run, error) {
	var out []registry.Run
	for _, r := range f.RunList {
		if picks(q.Venues, q.Node, r.Source) && within(r.StartMS, q.From, q.To) {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b registry.Run) int { return int(b.StartMS - a.StartMS) })
	if q.Limit > 0 && len(out) > q.Limit {
		out = out[:q.Limit]
	}
	return out, f.Err
}

// Heals implements [status.History].
func (f *Fleet) Heals(_ context.Context, q registry.Filter) ([]registry.Heal, error) {
	var out []registry.Heal
	for _, h := range f.HealList {
		if picks(q.Venues, q.Node, h.Source) && within(h.AtMS, q.From, q.To) {
			out = append(out, h)
		}
	}
	slices.SortFunc(out, func(a, b registry.Heal) int { return int(b.AtMS - a.AtMS) })
	return out, f.Err
}

// Dark implements [status.History].
func (f *Fleet) Dark(_ context.Context, q registry.Filter) ([]registry.Darkness, error) {
	var out []registry.Darkness
	for _, d := range f.Darks {
		end := d.End
		if end.IsZero() {
			end = f.Clock
		}
		if picks(q.Venues, q.Node, d.Source) && (q.From.IsZero() || end.After(q.From)) && (q.To.IsZero() || d.Start.Before(q.To)) {
			d.Duration = end.Sub(d.Start)
			out = append(out, d)
		}
	}
	return out, f.Err
}

// List implements [status.Calendar].
func (f *Fleet) List(context.Context) ([]events.Event, error) {
	out := slices.Clone(f.Shows)
	slices.SortStableFunc(out, func(a, b events.Event) int { return cmp.Compare(b.StartMS, a.StartMS) })
	return out, f.Err
}

// Get implements [status.Calendar].
func (f *Fleet) Get(_ context.Context, id string) (events.Event, error) {
	for _, e := range f.Shows {
		if e.ID == id {
			return e, f.Err
		}
	}
	return events.Event{}, events.ErrUnknown
}

// Metrics implements [status.Metrics].
func (f *Fleet) Metrics(_ context.Context, query string, from, to time.Time, step time.Duration) ([]status.Series, error) {
	for key, value := range f.Series {
		part, venue, _ := strings.Cut(key, "|")
		if !strings.Contains(query, part) || !strings.Contains(query, `"`+venue+`"`) {
			continue
		}
		var s status.Series
		for at := from.Truncate(step); !at.After(to); at = at.Add(step) {
			if v, ok := value(at); ok {
				s.Times, s.Values = append(s.Times, at), append(s.Values, v)
			}
		}
		return []status.Series{s}, f.Err
	}
	return nil, f.Err
}

// Accepted implements [status.Accepted].
func (f *Fleet) Accepted(context.Context) (map[buffer.Source]map[buffer.Lane]int64, error) {
	return f.Samples, f.Err
}

// salesBook answers as [sales.Book] does; its Minutes differs from the ledger's.
type salesBook struct{ f *Fleet }

func (s salesBook) Totals(_ context.Context, q sales.Filter) (map[string]sales.Totals, error) {
	out := map[string]sales.Totals{}
	for venue, minutes := range s.f.Sold {
		if !s.selects(q, venue) {
			continue
		}
		for m, t := range minutes {
			if within(m*60_000, q.From, q.To) {
				sum := out[venue]
				sum.Add(t)
				out[venue] = sum
			}
		}
	}
	return out, s.f.Err
}

func (s salesBook) Minutes(_ context.Context, q sales.Filter) ([]sales.Minute, error) {
	sums := map[int64]sales.Totals{}
	for venue, minutes := range s.f.Sold {
		if !s.selects(q, venue) {
			continue
		}
		for m, t := range minutes {
			if within(m*60_000, q.From, q.To) {
				sum := sums[m]
				sum.Add(t)
				sums[m] = sum
			}
		}
	}
	var out []sales.Minute
	for m, t := range sums {
		out = append(out, sales.Minute{Minute: m, Totals: t})
	}
	slices.SortFunc(out, func(a, b sales.Minute) int { return int(a.Minute - b.Minute) })
	return out, s.f.Err
}

func (s salesBook) selects(q sales.Filter, venue string) bool {
	return (len(q.Venues) == 0 || slices.Contains(q.Venues, venue)) && (q.Node == (buffer.Source{}) || q.Node.Venue == venue)
}
