package incidents

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	book "ghostlight/fleet/incident"
	"ghostlight/fleet/status"
	"ghostlight/internal/webui"
	"ghostlight/slo"
	"ghostlight/slo/incident"
)

// MTTR is the view of how long operations take to be restored, over the incidents
// of a query.
func (v *Views) MTTR(ctx context.Context, q Query) (MTTR, error) {
	now := v.opt.Now()
	if q.From.IsZero() {
		q.From = now.Add(-back)
	}
	out := MTTR{NowMS: now.UnixMilli(), FromMS: q.From.UnixMilli(), Venues: []Restore{}, Promises: []status.SLI{}, Open: []status.Incident{}}
	f := book.Filter{From: q.From}
	if q.Venue != "" {
		f.Venues = []string{q.Venue}
	}
	m, err := v.opt.Book.MTTR(ctx, f)
	if err != nil {
		return out, fmt.Errorf("mttr view: %w", err)
	}
	out.All, out.Curve = ToRestore(m.Summary), curve(m.Curve)
	for _, venue := range m.Venues {
		r := ToRestore(venue.Summary)
		r.Venue = venue.Venue
		out.Venues = append(out.Venues, r)
	}
	slices.SortStableFunc(out.Venues, func(a, b Restore) int { return cmp.Compare(b.Mean.MS, a.Mean.MS) })
	if out.Promises, err = v.promises(ctx, q.Venue, now); err != nil {
		return out, fmt.Errorf("mttr view: %w", err)
	}
	list, err := v.List(ctx, Query{Venue: q.Venue, Open: true})
	if err != nil {
		return out, err
	}
	out.Open = list.Open
	out.Headline = mttrHeadline(out)
	return out, nil
}

// promises judges the objectives that promise recovery, each over its own window.
func (v *Views) promises(ctx context.Context, venue string, now time.Time) ([]status.SLI, error) {
	defs, err := v.opt.Ledger.Objectives(ctx)
	if err != nil {
		return nil, err
	}
	var venues []string
	if venue != "" {
		venues = []string{venue}
	}
	out := []status.SLI{}
	for _, def := range defs {
		if def.Indicator.Recovery == nil {
			continue
		}
		from, to := status.OwnWindow(def, now)
		sli, err := status.Judge(ctx, v.opt.Ledger, def, venues, from, to)
		if err != nil {
			return nil, err
		}
		out = append(out, sli)
	}
	return out, nil
}

// ToRestore is a summary as the views show it.
func ToRestore(s incident.Summary) Restore {
	return Restore{N: s.N, Open: s.Open, Mean: estimate(s.Mean), HorizonMS: s.Horizon.Milliseconds(), Median: estimate(s.Median), P90: estimate(s.P90)}
}

func estimate(e incident.Estimate) Estimate {
	return Estimate{
		MS: e.Value.Milliseconds(), Reached: e.Reached, LowMS: e.Low.Milliseconds(), HighMS: e.High.Milliseconds(), Bounded: e.Bounded,
		Says: e.Show(round), Interval: e.ShowInterval(round),
	}
}

// round writes a time in whole seconds: a mean in milliseconds would claim to know
// more than it does.
func round(d time.Duration) string { return webui.Span(d.Round(time.Second)) }

func curve(c incident.Curve) Curve {
	out := Curve{N: c.N, Ended: c.Ended, LongestMS: c.Longest.Milliseconds(), Steps: []Step{}}
	for _, s := range c.Steps {
		out.Steps = append(out.Steps, Step{AfterMS: s.At.Milliseconds(), AtRisk: s.AtRisk, Ended: s.Ended, Open: s.Open, Low: s.Low, High: s.High})
	}
	return out
}

func mttrHeadline(m MTTR) status.Headline {
	if m.All.N == 0 {
		return status.Headline{Tone: "none", Says: "No incident has been recorded in this time"}
	}
	h := status.Headline{Tone: "none", Says: fmt.Sprintf("Half of the incidents are over after %s, 9 in 10 after %s", m.All.Median.Says, m.All.P90.Says)}
	switch {
	case m.All.Open == m.All.N:
		h.Says = "None of " + webui.Plural(m.All.N, "incident", "incidents") + " is over yet"
	case m.All.N == 1:
		h.Says = "The one incident was over after " + m.All.Median.Says
	}
	h.Detail = fmt.Sprintf("From %s, all of them over.", webui.Plural(m.All.N, "incident", "incidents"))
	if m.All.Open > 0 {
		h.Detail = fmt.Sprintf("From %s, of which %d not over: they count as lasting longer than they have.", webui.Plural(m.All.N, "incident", "incidents"), m.All.Open)
	}
	for _, p := range m.Promises {
		h.Tone = p.Tone()
		if p.Verdict == string(slo.Missed) {
			break
		}
	}
	return h
}
