package status

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"net/url"
	"slices"
	"time"

	"ghostlight/fleet/ledger"
	"ghostlight/fleet/registry"
	"ghostlight/fleet/sales"
)

// Fleet is the view of all venues. One view serves all who ask within
// Options.Hold, so that many readers cost what one does.
func (v *Views) Fleet(ctx context.Context) (Fleet, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := v.opt.Now()
	if !v.at.IsZero() && now.Sub(v.at) < v.opt.Hold && !now.Before(v.at) {
		return v.held, nil
	}
	f, err := v.fleet(ctx, now)
	if err != nil {
		return Fleet{}, fmt.Errorf("fleet view: %w", err)
	}
	v.held, v.at = f, now
	return f, nil
}

// shared is what all venues' rows are made from, read once.
type shared struct {
	now      time.Time
	from, to time.Time // the last hour
	known    time.Time // since when the first node is known
	nodes    map[string][]registry.View
	totals   map[string]sales.Totals
	heals    []registry.Heal
	dark     []registry.Darkness
	defs     []ledger.Definition
}

func (v *Views) gather(ctx context.Context, now time.Time) (s shared, err error) {
	s = shared{now: now, nodes: map[string][]registry.View{}}
	s.from, s.to = Hour(now)
	all := v.opt.Nodes.Nodes()
	for _, n := range all {
		s.nodes[n.Venue] = append(s.nodes[n.Venue], n)
	}
	s.known = firstSeen(all)
	if s.totals, err = v.opt.Sales.Totals(ctx, sales.Filter{From: now.Add(-hourWindow)}); err != nil {
		return s, err
	}
	if s.heals, err = v.opt.History.Heals(ctx, registry.Filter{From: now.Add(-hourWindow), Limit: 5000}); err != nil {
		return s, err
	}
	if s.dark, err = v.opt.History.Dark(ctx, registry.Filter{From: now.Add(-rateWindow)}); err != nil {
		return s, err
	}
	s.defs, err = v.opt.Ledger.Objectives(ctx)
	return s, err
}

func (v *Views) fleet(ctx context.Context, now time.Time) (Fleet, error) {
	s, err := v.gather(ctx, now)
	if err != nil {
		return Fleet{}, err
	}
	f := Fleet{NowMS: now.UnixMilli(), Venues: []Venue{}, Alarms: []Venue{}, Incidents: []Incident{}, Events: []Event{}, Hour: Sold{FromMS: now.Add(-hourWindow).UnixMilli(), ToMS: now.UnixMilli(), Totals: Sum()}}
	for name := range s.nodes {
		row, err := v.row(ctx, s, name)
		if err != nil {
			return Fleet{}, fmt.Errorf("venue %s: %w", name, err)
		}
		f.Venues = append(f.Venues, row)
		f.Hour.Add(row.Hour.Totals)
		f.count(row)
	}
	slices.SortFunc(f.Venues, urgentFirst)
	if f.Incidents, err = v.troubles(ctx, s, f.Venues); err != nil {
		return Fleet{}, err
	}
	for i := range f.Venues {
		if in := incidentsOf(f.Incidents, f.Venues[i].Name); len(in) > 0 {
			f.Venues[i].Incident = in[0].ID
		}
	}
	for _, row := range f.Venues {
		if urgency[row.State] <= urgency[Degraded] {
			f.Alarms = append(f.Alarms, row)
		}
	}
	f.Rate = sumRates(f.Venues)
	if def, ok := Primary(s.defs); ok {
		sli, err := v.judgeHour(ctx, def, nil, now)
		if err != nil {
			return Fleet{}, err
		}
		f.Checkout = &sli
	}
	f.Heals = Settled(s.heals, "", 20)
	f.Healed = countHeals(s.heals, "")
	if f.Events, err = v.openEvents(ctx, ""); err != nil {
		return Fleet{}, err
	}
	f.Headline = fleetHeadline(f)
	return f, nil
}

// urgentFirst orders by state, then by money, then by name.
func urgentFirst(a, b Venue) int {
	money := func(v Venue) int64 {
		if v.AtRisk == nil {
			return 0
		}
		return v.AtRisk.PerMinuteMinor
	}
	return cmp.Or(urgency[a.State]-urgency[b.State], cmp.Compare(money(b), money(a)), cmp.Compare(a.Name, b.Name))
}

func (f *Fleet) count(row Venue) {
	f.Counts.Venues++
	if row.Live {
		f.Counts.Live++
	}
	for state, n := range map[State]*int{
		Failing: &f.Counts.Failing, Dark: &f.Counts.Dark, Blind: &f.Counts.Blind, Degraded: &f.Counts.Degraded,
		Quiet: &f.Counts.Quiet, Healthy: &f.Counts.Healthy, Away: &f.Counts.Away, Never: &f.Counts.Never,
	} {
		if row.State == state {
			*n++
		}
	}
}

// row makes one venue's row.
func (v *Views) row(ctx context.Context, s shared, name string) (Venue, error) {
	nodes := s.nodes[name]
	minutes, err := v.opt.Sales.Minutes(ctx, sales.Filter{Venues: []string{name}, From: s.now.Add(-rateWindow - time.Minute)})
	if err != nil {
		return Venue{}, err
	}
	totals := s.totals[name]
	row := Venue{
		Region: nodes[0].Region, Name: name, Nodes: len(nodes), Journeys: journeys(nodes, s.now),
		Hour: Sold{FromMS: s.now.Add(-hourWindow).UnixMilli(), ToMS: s.now.UnixMilli(), Totals: Sum(totals)},
	}
	row.presence(nodes)
	row.healing(s.heals)
	e := evidence{now: s.now, nodes: nodes, journeys: row.Journeys, minutes: minutes, sells: totals.Sales > 0 || sellsByObjective(s.defs, name)}
	j := assess(e)
	row.State, row.Why = j.state, j.why
	since, err := v.since(ctx, j, name, s.now)
	if err != nil {
		return Venue{}, err
	}
	row.SinceMS = ms(since)
	row.Dark = darkRanges(s.dark, name, s.now.Add(-rateWindow), s.now)
	// All rows have one time axis: that of the venue known longest.
	row.Rate = rate(minutes, row.unseen(s.now), firstSeen(nodes), s.known, s.now)
	if row.AtRisk, err = v.risk(ctx, row, since, s.now, nodes); err != nil {
		return Venue{}, err
	}
	if def, ok := Primary(s.defs); ok && counts(def, name) {
		sli, err := v.judgeHour(ctx, def, []string{name}, s.now)
		if err != nil {
			return Venue{}, err
		}
		row.Checkout = &sli
	}
	return row, nil
}

// risk estimates what the venue's state costs; a trouble older than the minutes
// at hand is read from further back.
func (v *Views) risk(ctx context.Context, row Venue, since, now time.Time, nodes []registry.View) (*AtRisk, error) {
	if row.State != Failing && row.State != Dark {
		return nil, nil
	}
	if since.IsZero() {
		since = now
	}
	minutes, err := v.opt.Sales.Minutes(ctx, sales.Filter{Venues: []string{row.Name}, From: since.Add(-(riskBasis + 1) * time.Minute)})
	if err != nil {
		return nil, err
	}
	return EstimateRisk(row.State, since, now, firstSeen(nodes), minutes), nil
}

func (row *Venue) presence(nodes []registry.View) {
	for _, n := range nodes {
		row.Live = row.Live || n.Live
		row.LastSeenMS = max(row.LastSeenMS, ms(n.LastSeen))
		row.DarkSinceMS = max(row.DarkSinceMS, ms(n.DarkSince))
		if row.Contact == "" {
			row.Contact = n.Contact
		}
		if row.PageURL == "" {
			row.PageURL = webAddress(n.Heartbeat.PageURL)
		}
		for _, lane := range n.Heartbeat.Lanes {
			row.Waiting += lane.Waiting
		}
		if n.Score != nil && n.Score.Known && (row.Score == nil || n.Score.Value < *row.Score) {
			value := n.Score.Value
			row.Score, row.ScoreAtMS = &value, n.Score.AtMS
		}
	}
	if row.Live {
		row.DarkSinceMS = 0
	}
}

// webAddress is what a node says its page is at, if that is a web address: a
// node's word never becomes another kind of link.
func webAddress(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return ""
	}
	return s
}

func (row *Venue) healing(all []registry.Heal) {
	for _, h := range all {
		if h.Venue != row.Name || h.Result == "started" {
			continue
		}
		row.Heals++
		if row.LastHeal == nil {
			last := toHeal(h)
			row.LastHeal = &last
		}
	}
}

// since finds the beginning of a state that the evidence did not tell: of a
// failing venue, the first failed run after the last that passed.
func (v *Views) since(ctx context.Context, j judgement, venue string, now time.Time) (time.Time, error) {
	if !j.since.IsZero() || j.state != Failing {
		return j.since, nil
	}
	runs, err := v.opt.History.Runs(ctx, registry.Filter{Venues: []string{venue}, From: now.Add(-dayWindow), Limit: 2000})
	if err != nil {
		return time.Time{}, err
	}
	type place struct{ node, journey string }
	since, done := map[place]int64{}, map[place]bool{}
	for _, r := range runs { // the latest first
		p := place{r.Node, r.Journey}
		switch {
		case done[p]:
		case r.Pass:
			done[p] = true
		default:
			since[p] = r.StartMS
		}
	}
	var earliest int64
	for _, at := range since {
		if earliest == 0 || at < earliest {
			earliest = at
		}
	}
	if earliest == 0 {
		return time.Time{}, nil
	}
	return time.UnixMilli(earliest), nil
}

func sellsByObjective(defs []ledger.Definition, venue string) bool {
	return slices.ContainsFunc(defs, func(d ledger.Definition) bool { return d.Indicator.Outcome != nil && counts(d, venue) })
}

func firstSeen(nodes []registry.View) time.Time {
	var first time.Time
	for _, n := range nodes {
		if !n.FirstSeen.IsZero() && (first.IsZero() || n.FirstSeen.Before(first)) {
			first = n.FirstSeen
		}
	}
	return first
}

// journeys are the last runs of all nodes of a venue.
func journeys(nodes []registry.View, now time.Time) []Journey {
	out := []Journey{}
	for _, n := range nodes {
		for _, r := range n.Journeys {
			j := Journey{
				Name: r.Journey, Node: n.Node, AtMS: r.StartMS, Pass: r.Pass, DurationMS: r.DurationMS, FailedStep: r.FailedStep, Error: r.Error,
				Steps: []Step{}, Stale: !n.Live || now.Sub(time.UnixMilli(r.StartMS)) > staleAfter,
			}
			for _, st := range r.Steps {
				j.Steps = append(j.Steps, Step{Name: st.Name, Pass: st.Pass, DurationMS: st.DurationMS, Status: st.Status, Error: st.Error})
			}
			out = append(out, j)
		}
	}
	return out
}

// darkRanges are the dark episodes of a venue within [from, to).
func darkRanges(all []registry.Darkness, venue string, from, to time.Time) []Range {
	out := []Range{}
	for _, d := range all {
		if d.Venue != venue {
			continue
		}
		end := d.End
		if end.IsZero() || end.After(to) {
			end = to
		}
		start := d.Start
		if start.Before(from) {
			start = from
		}
		if end.After(start) {
			out = append(out, Range{FromMS: start.UnixMilli(), ToMS: end.UnixMilli(), Kind: "dark", Label: "dark"})
		}
	}
	return out
}

// unseen are the times of the last half hour in which silence means nothing: the
// dark ones, all since a goodbye, and all of a blind venue.
func (row *Venue) unseen(now time.Time) []Range {
	out := slices.Clone(row.Dark)
	switch row.State {
	case Away:
		out = append(out, Range{FromMS: row.LastSeenMS, ToMS: now.UnixMilli()})
	case Blind:
		out = append(out, Range{FromMS: now.Add(-rateWindow - time.Minute).UnixMilli(), ToMS: now.UnixMilli()})
	}
	return out
}

// rate is the sales a minute over the last half hour. A minute without sales is
// zero where the venue was heard, and not known where it was dark or not yet
// there: darkness is no evidence of silence.
func rate(minutes []sales.Minute, dark []Range, known, axis, now time.Time) Rate {
	sold := map[int64]int64{}
	for _, m := range minutes {
		sold[m.Minute] = m.Sales
	}
	r := Rate{Points: []Point{}}
	last := now.Unix() / 60 // still open
	var sum int64
	for m := last - int64(fit(axis, now, rateWindow)/time.Minute); m < last; m++ {
		start := time.Unix(m*60, 0)
		n, any := sold[m]
		if !any && (known.IsZero() || start.Before(known.Add(-time.Minute)) || touches(dark, start, start.Add(time.Minute))) {
			r.Points = append(r.Points, Point{MS: start.UnixMilli(), V: Value(math.NaN())})
			continue
		}
		r.Points = append(r.Points, Point{MS: start.UnixMilli(), V: Value(n)})
		if m >= last-rateMean {
			sum, r.Minutes = sum+n, r.Minutes+1
		}
	}
	if r.Minutes > 0 {
		r.PerMinute = float64(sum) / float64(r.Minutes)
	}
	return r
}

// fit is the shortest round window that reaches back to known, at most longest: a
// fleet that is minutes old is not shown as a sliver of an hour.
func fit(known, now time.Time, longest time.Duration) time.Duration {
	for _, w := range []time.Duration{10 * time.Minute, 20 * time.Minute, 30 * time.Minute} {
		if w < longest && !known.IsZero() && now.Sub(known) < w-time.Minute {
			return w
		}
	}
	return longest
}

func touches(ranges []Range, from, to time.Time) bool {
	return slices.ContainsFunc(ranges, func(r Range) bool { return r.FromMS < to.UnixMilli() && r.ToMS > from.UnixMilli() })
}

// sumRates adds up the venues that are heard.
func sumRates(venues []Venue) Rate {
	sum := Rate{Points: []Point{}}
	for _, v := range venues {
		if v.State == Dark {
			sum.Unseen++
			continue
		}
		if v.Rate.Minutes > 0 {
			sum.PerMinute += v.Rate.PerMinute
			sum.Minutes = max(sum.Minutes, v.Rate.Minutes)
		}
	}
	return sum
}
