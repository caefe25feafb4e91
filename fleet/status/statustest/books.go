// Package statustest is a small imaginary fleet for tests of views, pages and
// reports: books held in memory that answer as the real ones do.
package statustest

import (
	"context"
	"slices"
	"strings"
	"time"

	"ghostlight/buffer"
	"ghostlight/fleet/events"
	"ghostlight/fleet/evidence"
	"ghostlight/fleet/ledger"
	"ghostlight/fleet/registry"
	"ghostlight/fleet/sales"
	"ghostlight/fleet/status"
	"ghostlight/slo"
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
	Err      error // what every book answers, if set
}

// Now is the fleet's clock.
func (f *Fleet) Now() time.Time { return f.Clock }

// Options are the books as status asks for them.
func (f *Fleet) Options() status.Options {
	return status.Options{
		Nodes: f, History: f, Sales: salesBook{f}, Ledger: ledgerBook{f}, Calendar: f,
		Metrics: f.Metrics, Accepted: f.Accepted, Evidence: traceBook{f}, Now: f.Now, Hold: time.Nanosecond,
	}
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
func (f *Fleet) List(context.Context) ([]events.Event, error) { return slices.Clone(f.Shows), f.Err }

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

// ledgerBook answers as [ledger.Ledger] does.
type ledgerBook struct{ f *Fleet }

func (l ledgerBook) Objectives(context.Context) ([]ledger.Definition, error) {
	return slices.Clone(l.f.Defs), l.f.Err
}

func (l ledgerBook) find(name string) (ledger.Definition, error) {
	for _, d := range l.f.Defs {
		if d.Name == name {
			return d, l.f.Err
		}
	}
	return ledger.Definition{}, ledger.ErrUnknown
}

func (l ledgerBook) evaluate(def ledger.Definition, sel ledger.Selection, first, end int64) slo.Status {
	var spans []slo.Span
	for _, p := range def.Nodes {
		if picks(sel.Venues, sel.Node, p.Source) && p.Since < end {
			spans = append(spans, slo.Span{Node: p.String(), From: max(first, p.Since), To: end})
		}
	}
	return slo.EvaluateSpans(def.Objective, spans, func(yield func(string, slo.Bucket) bool) {
		for node, buckets := range l.f.Buckets[def.Name] {
			for _, b := range buckets {
				if !yield(node, b) {
					return
				}
			}
		}
	})
}

func (l ledgerBook) Status(_ context.Context, name string, sel ledger.Selection, from, to time.Time) (slo.Status, error) {
	def, err := l.find(name)
	if err != nil {
		return slo.Status{}, err
	}
	return l.evaluate(def, sel, slo.MinuteOf(from), slo.MinuteOf(to.Add(time.Minute-1))), nil
}

func (l ledgerBook) Minutes(_ context.Context, name string, sel ledger.Selection, from, to time.Time) ([]ledger.Minute, error) {
	def, err := l.find(name)
	if err != nil {
		return nil, err
	}
	var out []ledger.Minute
	for m := slo.MinuteOf(from); m < slo.MinuteOf(to.Add(time.Minute-1)); m++ {
		st := l.evaluate(def, sel, m, m+1)
		out = append(out, ledger.Minute{Minute: m, Counts: st.Counts, Coverage: st.Coverage})
	}
	return out, nil
}
