package peer

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"ghostlight/slo"
)

// Every is how often rules are evaluated.
const Every = time.Minute

// An Evaluator evaluates rules over time that has passed, records what they say, and
// remembers when alerts fired.
type Evaluator struct {
	server *Server
	groups []Group
	done   int64           // evaluated up to it, Unix milliseconds
	alive  map[string]bool // recorded series that had a value last
	fired  map[string][]Firing
}

// A Firing is one alert from its first evaluation to its last, Unix milliseconds.
type Firing struct{ From, To int64 }

// NewEvaluator evaluates rules from a time on.
func NewEvaluator(s *Server, groups []Group, from int64) *Evaluator {
	return &Evaluator{server: s, groups: groups, done: from, alive: map[string]bool{}, fired: map[string][]Firing{}}
}

// Until evaluates all rules at each minute up to a time, on what the server holds
// now. Call it before anything is written that is older than what was written last:
// what came later was not known then.
func (e *Evaluator) Until(ctx context.Context, to int64) error {
	every := Every.Milliseconds()
	from := e.done - e.done%every + every
	if to -= to % every; to < from {
		return nil
	}
	e.done = to
	for _, g := range e.groups {
		for _, r := range g.Rules {
			points, err := e.server.Range(ctx, r.Expr, from, to, Every)
			if err != nil {
				return fmt.Errorf("evaluate %s: %w", g.Name, err)
			}
			if r.Alert != "" {
				e.note(r, points)
				continue
			}
			if err := e.record(ctx, r, points, from, to); err != nil {
				return fmt.Errorf("record %s: %w", g.Name, err)
			}
		}
	}
	return nil
}

// record writes what a rule said, and that it said nothing where it ceased to. What
// Prometheus refuses of it would have been refused then.
func (e *Evaluator) record(ctx context.Context, r Rule, points []Point, from, to int64) error {
	pairs := []string{"__name__", r.Record}
	for _, k := range slices.Sorted(maps.Keys(r.Labels)) {
		pairs = append(pairs, k, r.Labels[k])
	}
	labels, key := Of(pairs...), r.Record+r.Labels["sloth_id"]
	values := map[int64]float64{}
	for _, p := range points {
		values[p.MS] = p.Value
	}
	var out []Sample
	for t := from; t <= to; t += Every.Milliseconds() {
		v, ok := values[t]
		switch {
		case ok:
			out = append(out, Sample{labels, Point{t, v}})
		case e.alive[key]:
			out = append(out, Sample{labels, Point{t, Stale()}})
		}
		e.alive[key] = ok
	}
	_, err := e.server.Write(ctx, out)
	return err
}

// note remembers when an alert fired.
func (e *Evaluator) note(r Rule, points []Point) {
	key := AlertKey(r.Labels["sloth_id"], slo.Urgency(r.Labels["sloth_severity"]))
	list := e.fired[key]
	for _, p := range points {
		if n := len(list); n > 0 && p.MS-list[n-1].To <= Every.Milliseconds() {
			list[n-1].To = p.MS
		} else {
			list = append(list, Firing{p.MS, p.MS})
		}
	}
	e.fired[key] = list
}

// AlertKey names the alert of one objective and urgency.
func AlertKey(id string, u slo.Urgency) string { return id + "/" + string(u) }

// Fired is when an objective's alert of an urgency fired.
func (e *Evaluator) Fired(id string, u slo.Urgency) []Firing { return e.fired[AlertKey(id, u)] }
