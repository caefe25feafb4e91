package status

import (
	"context"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"ghostlight/fleet/registry"
	"ghostlight/fleet/sales"
)

// chartStep is the distance of points read from the metric store.
const chartStep = 15 * time.Second

// metricChart is a chart whose lines come from range queries.
type metricChart struct {
	id, title, unit string
	percent         bool
	max             float64 // 0: from the data
	limit           float64 // 0: none
	limitLabel      string
	lines           []metricLine
}

// metricLine is one query; %v stands for the venue as a PromQL string.
type metricLine struct{ name, query string }

func venueCharts() []metricChart {
	return []metricChart{
		{id: "score", title: "Health score", unit: "of 100", max: 100, limit: 60, limitLabel: "degraded below 60", lines: []metricLine{
			{"score", `min(ghostlight_health_score{venue=%v})`},
		}},
		{id: "latency", title: "Slow requests", unit: "95th percentile, seconds", lines: []metricLine{
			{"p95", `histogram_quantile(0.95, sum(rate(edgecore_http_request_duration_seconds_bucket{venue=%v}[1m])) by (le))`},
		}},
		{id: "settlement", title: "Waiting for settlement", unit: "entries", lines: []metricLine{
			{"pending", `sum(edgecore_settlement_pending{venue=%v})`},
		}},
		{id: "machine", title: "Machine", unit: "share in use", percent: true, max: 1, lines: []metricLine{
			{"processor", `1 - avg(rate(system_cpu_time_seconds_total{venue=%v,state="idle"}[1m]))`},
			{"memory", `sum(system_memory_usage_bytes{venue=%v,state="used"}) / sum(system_memory_usage_bytes{venue=%v})`},
		}},
	}
}

// charts are the plots of a venue over the last hour; one without any data is
// left out.
func (v *Views) charts(ctx context.Context, s shared, venue string, runs []registry.Run, dark []Range) ([]Chart, error) {
	from, to := s.now.Add(-fit(firstSeen(s.nodes[venue]), s.now, hourWindow)), s.now
	minutes, err := v.opt.Sales.Minutes(ctx, sales.Filter{Venues: []string{venue}, From: from})
	if err != nil {
		return nil, err
	}
	out := []Chart{}
	if len(minutes) > 0 || sellsByObjective(s.defs, venue) {
		out = append(out, SalesChart("sales", minutes, dark, nil, firstSeen(s.nodes[venue]), from, to))
	}
	if c, ok := journeyChart(runs, dark, from, to); ok {
		out = append(out, c)
	}
	for _, mc := range venueCharts() {
		c, any, err := v.metricChart(ctx, mc, venue, from, to)
		if err != nil {
			return nil, err
		}
		if any {
			c.Ranges = append(c.Ranges, dark...)
			out = append(out, c)
		}
	}
	return out, nil
}

// SalesChart is sales by minute in columns. A minute without sales is a measured
// zero where the venue was heard, and missing where it was dark, in a further
// unknown range, or not yet known: a chart never draws silence as zero.
func SalesChart(id string, minutes []sales.Minute, dark, unknown []Range, known, from, to time.Time) Chart {
	sold := map[int64]int64{}
	for _, m := range minutes {
		sold[m.Minute] = m.Sales
	}
	c := Chart{
		ID: id, Title: "Sales a minute", Unit: "captured payments", FromMS: from.UnixMilli(), ToMS: to.UnixMilli(),
		StepMS: time.Minute.Milliseconds(), Columns: true, Ranges: append(append([]Range{}, dark...), unknown...),
	}
	line := Line{Name: "sales", Points: []Point{}}
	for m := from.Unix() / 60; m*60 < to.Unix(); m++ {
		start := time.Unix(m*60, 0)
		n, any := sold[m]
		value := Value(n)
		if !any && (known.IsZero() || start.Add(time.Minute).Before(known) || touches(c.Ranges, start, start.Add(time.Minute))) {
			value = Value(math.NaN())
		}
		line.Points = append(line.Points, Point{MS: start.UnixMilli(), V: value})
	}
	c.Lines = []Line{line}
	return c
}

// journeyChart shows how long each journey took; runs that failed are shaded.
func journeyChart(runs []registry.Run, dark []Range, from, to time.Time) (Chart, bool) {
	if len(runs) == 0 {
		return Chart{}, false
	}
	c := Chart{ID: "journeys", Title: "Journeys", Unit: "seconds for a whole run", FromMS: from.UnixMilli(), ToMS: to.UnixMilli(), Ranges: append([]Range{}, dark...)}
	index := map[string]int{}
	failing := map[string]int64{}
	var longest int64
	last := map[string]int64{}
	for _, r := range slices.Backward(runs) { // the oldest first
		key := r.Node + "/" + r.Journey
		i, ok := index[key]
		if !ok {
			i = len(c.Lines)
			index[key] = i
			c.Lines = append(c.Lines, Line{Name: r.Journey})
		}
		value := Value(r.DurationMS / 1000)
		if !r.Pass {
			value = Value(math.NaN())
		}
		c.Lines[i].Points = append(c.Lines[i].Points, Point{MS: r.StartMS, V: value})
		c.Ranges, failing[key] = failingRange(c.Ranges, failing[key], r)
		if last[key] > 0 {
			longest = max(longest, r.StartMS-last[key])
		}
		last[key] = r.StartMS
	}
	for _, since := range failing {
		if since > 0 {
			c.Ranges = append(c.Ranges, Range{FromMS: since, ToMS: to.UnixMilli(), Kind: "bad", Label: "journey fails"})
		}
	}
	c.StepMS = max(15_000, min(longest, 120_000))
	return c, true
}

// failingRange notes a run: the first failure opens a range, the next pass ends it.
func failingRange(ranges []Range, since int64, r registry.Run) ([]Range, int64) {
	switch {
	case !r.Pass && since == 0:
		return ranges, r.StartMS
	case r.Pass && since > 0:
		return append(ranges, Range{FromMS: since, ToMS: r.StartMS, Kind: "bad", Label: "journey fails"}), 0
	}
	return ranges, since
}

func (v *Views) metricChart(ctx context.Context, mc metricChart, venue string, from, to time.Time) (Chart, bool, error) {
	c := Chart{
		ID: mc.id, Title: mc.title, Unit: mc.unit, FromMS: from.UnixMilli(), ToMS: to.UnixMilli(), StepMS: chartStep.Milliseconds(), Ranges: []Range{},
		Percent: mc.percent, LimitLabel: mc.limitLabel,
	}
	if mc.max > 0 {
		c.Max = &mc.max
	}
	if mc.limit > 0 {
		c.Limit = &mc.limit
	}
	any := false
	for _, l := range mc.lines {
		found, err := v.opt.Metrics(ctx, substitute(l.query, venue), from, to, chartStep)
		if err != nil {
			return c, false, err
		}
		line := Line{Name: l.name, Points: []Point{}}
		for _, s := range found {
			for i, at := range s.Times {
				line.Points = append(line.Points, Point{MS: at.UnixMilli(), V: Value(s.Values[i])})
				any = any || !math.IsNaN(s.Values[i])
			}
		}
		c.Lines = append(c.Lines, line)
	}
	return c, any, nil
}

// substitute puts the venue in place of each %v, quoted as PromQL quotes.
func substitute(query, venue string) string {
	return strings.ReplaceAll(query, "%v", strconv.Quote(venue))
}
