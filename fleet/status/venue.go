package status

import (
	"context"
	"fmt"
	"slices"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/wire"
	"ghostlight/fleet/registry"
	"ghostlight/slo"
)

// Venue is the view of one venue.
func (v *Views) Venue(ctx context.Context, name string) (VenueDetail, error) {
	now := v.opt.Now()
	s, err := v.gather(ctx, now)
	if err != nil {
		return VenueDetail{}, fmt.Errorf("venue view: %w", err)
	}
	if len(s.nodes[name]) == 0 {
		return VenueDetail{}, fmt.Errorf("venue %q: %w", name, ErrUnknown)
	}
	d, err := v.venue(ctx, s, name)
	if err != nil {
		return VenueDetail{}, fmt.Errorf("venue %s: %w", name, err)
	}
	return d, nil
}

func (v *Views) venue(ctx context.Context, s shared, name string) (VenueDetail, error) {
	row, err := v.row(ctx, s, name)
	if err != nil {
		return VenueDetail{}, err
	}
	d := VenueDetail{NowMS: s.now.UnixMilli(), Venue: row, Objectives: []Objective{}}
	open, err := v.troubles(ctx, s, []Venue{row})
	if err != nil {
		return d, err
	}
	if d.Incidents = incidentsOf(open, name); len(d.Incidents) > 0 {
		d.Incident = d.Incidents[0].ID
	}
	d.Headline = oneVenue(d.Venue, d.Incidents, d.NowMS)
	nodes, err := v.allNodes(ctx, s.now)
	if err != nil {
		return d, err
	}
	d.NodeList = slices.DeleteFunc(nodes, func(n Node) bool { return n.Venue != name })
	runs, err := v.opt.History.Runs(ctx, registry.Filter{Venues: []string{name}, From: s.now.Add(-hourWindow), Limit: 3000})
	if err != nil {
		return d, err
	}
	d.Journeys = withRuns(d.Journeys, runs)
	dark, err := v.opt.History.Dark(ctx, registry.Filter{Venues: []string{name}, From: s.now.Add(-dayWindow)})
	if err != nil {
		return d, err
	}
	d.Episodes = episodes(dark)
	if d.Charts, err = v.charts(ctx, s, name, runs, darkRanges(dark, name, s.now.Add(-hourWindow), s.now)); err != nil {
		return d, err
	}
	if err := v.objectivesOf(ctx, s, &d); err != nil {
		return d, err
	}
	heals, err := v.opt.History.Heals(ctx, registry.Filter{Venues: []string{name}, Limit: 100})
	if err != nil {
		return d, err
	}
	d.Heals = Settled(heals, name, 50)
	d.Events, err = v.recentEvents(ctx, name, 5)
	return d, err
}

func (v *Views) objectivesOf(ctx context.Context, s shared, d *VenueDetail) error {
	for _, def := range s.defs {
		if !counts(def, d.Name) {
			continue
		}
		sli, err := v.judgeHour(ctx, def, []string{d.Name}, s.now)
		if err != nil {
			return err
		}
		cells, err := Cells(ctx, v.opt.Ledger, def, []string{d.Name}, s.from, slo.MinuteStart(slo.MinuteOf(s.now)+1))
		if err != nil {
			return err
		}
		o := Describe(def)
		o.SLI, o.Cells = sli, cells
		d.Objectives = append(d.Objectives, o)
	}
	return nil
}

// episodes are dark times, the latest first.
func episodes(dark []registry.Darkness) []Range {
	out := []Range{}
	for _, e := range dark {
		out = append(out, Range{FromMS: ms(e.Start), ToMS: ms(e.End), Kind: "dark", Label: e.Node})
	}
	slices.SortFunc(out, func(a, b Range) int { return int(b.FromMS - a.FromMS) })
	return out
}

// shownRuns is how many past runs a journey shows.
const shownRuns = 40

// withRuns adds the past runs, oldest first, to each journey.
func withRuns(js []Journey, runs []registry.Run) []Journey {
	out := slices.Clone(js)
	for i := range out {
		for _, r := range runs { // the latest first
			if r.Node == out[i].Node && r.Journey == out[i].Name && len(out[i].Runs) < shownRuns {
				out[i].Runs = append(out[i].Runs, toRun(r))
			}
		}
		slices.Reverse(out[i].Runs)
	}
	return out
}

func toRun(r registry.Run) Run {
	run := Run{AtMS: r.StartMS, Pass: r.Pass, DurationMS: r.DurationMS, FailedStep: r.FailedStep}
	if !r.Pass {
		run.TraceID = r.TraceID
	}
	return run
}

// Nodes is the view of all nodes by region, venue and name.
func (v *Views) Nodes(ctx context.Context) ([]Node, error) {
	out, err := v.allNodes(ctx, v.opt.Now())
	if err != nil {
		return nil, fmt.Errorf("nodes view: %w", err)
	}
	return out, nil
}

func (v *Views) allNodes(ctx context.Context, now time.Time) ([]Node, error) {
	accepted, err := v.opt.Accepted(ctx)
	if err != nil {
		return nil, err
	}
	dark, err := v.opt.History.Dark(ctx, registry.Filter{})
	if err != nil {
		return nil, err
	}
	total := map[buffer.Source]time.Duration{}
	for _, d := range dark {
		total[d.Source] += d.Duration
	}
	heals, err := v.opt.History.Heals(ctx, registry.Filter{Limit: 100_000})
	if err != nil {
		return nil, err
	}
	healed := map[buffer.Source]int{}
	for _, h := range heals {
		if h.Result == "succeeded" {
			healed[h.Source]++
		}
	}
	var overflow map[buffer.Source]map[string]int64
	if v.opt.Overflow != nil {
		overflow = v.opt.Overflow()
	}
	out := []Node{}
	for _, view := range v.opt.Nodes.Nodes() {
		n := toNode(view, now)
		n.Overflow = overflow[view.Source]
		n.DarkSecondsTotal = total[view.Source].Seconds()
		n.Heals = healed[view.Source]
		for lane, samples := range accepted[view.Source] {
			n.Samples[lane.String()] = samples
		}
		out = append(out, n)
	}
	return out, nil
}

// tellWay says what is odd about a node's way to the centre.
func (n *Node) tellWay(r registry.View) {
	if r.ClockWrong {
		n.ClockOff = r.ClockOffset.Abs().Milliseconds()
	}
	if b := r.Heartbeat.Bandwidth; b != nil {
		n.DayBudget = b.DayBudget
		for _, lane := range buffer.Lanes() {
			if what := b.Withheld[lane]; what != "" {
				n.Withheld = append(n.Withheld, Withheld{Lane: lane.String(), BacklogOnly: what == wire.WithheldBacklog})
			}
		}
	}
}

func toNode(r registry.View, now time.Time) Node {
	n := Node{
		Region: r.Region, Venue: r.Venue, Node: r.Node, Presence: string(r.Presence), Live: r.Live,
		FirstSeenMS: ms(r.FirstSeen), LastSeenMS: ms(r.LastSeen), DarkSinceMS: ms(r.DarkSince),
		Version: r.Heartbeat.Version, PageURL: webAddress(r.Heartbeat.PageURL), Contact: r.Contact,
		ClockOffsetMS: float64(r.ClockOffset) / float64(time.Millisecond), Restarts: r.Heartbeat.Restarts,
		Conflicts: r.Conflicts, Malformed: r.Malformed, ScoreState: "unknown",
		Contributors: []Contributor{}, UnknownSignals: []string{}, Caps: []string{},
		Produced: map[string]int64{}, Samples: map[string]int64{}, Lost: map[string]int64{}, LostBy: map[string]int64{}, Waiting: map[string]int64{},
	}
	for _, lane := range buffer.Lanes() {
		st := r.Heartbeat.Lanes[lane]
		n.Produced[lane.String()], n.Lost[lane.String()], n.Waiting[lane.String()] = st.Produced, st.LostTotal(), st.Waiting
		n.Samples[lane.String()] = 0
		for reason, lost := range st.Lost {
			n.LostBy[reason] += lost
		}
	}
	n.tellWay(r)
	if r.Score != nil {
		n.ScoreState, n.ScoreAtMS = r.Score.State, r.Score.AtMS
		if r.Score.Known {
			value := r.Score.Value
			n.Score = &value
		}
		for _, c := range r.Score.Contributors {
			n.Contributors = append(n.Contributors, Contributor{Signal: c.Signal, Text: bare(c.Text), Value: Value(c.Value), Penalty: c.Penalty})
		}
		n.UnknownSignals = append(n.UnknownSignals, r.Score.Unknown...)
		n.Caps = append(n.Caps, r.Score.Caps...)
	}
	for _, j := range journeys([]registry.View{r}, now) {
		n.Journeys++
		if j.Pass {
			n.JourneysPassing++
		}
	}
	return n
}
