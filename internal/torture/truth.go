package torture

import (
	"math"
	"time"

	"ghostlight/slo"
)

// A thing is what an objective counts: a kind of outcome, or the journey.
type thing string

const (
	payment thing = "payment"
	order   thing = "order"
	checkin thing = "checkin"
	visit   thing = "visit"
)

// An account is one thing on one node.
type account struct {
	node  int
	thing thing
}

// A truth is what happened: events per node and minute, by the node's clock.
type truth struct {
	events map[account]map[int64]slo.Counts
	// again holds the minutes with events that came after the node's clock had
	// once passed the minute's end, and when it had.
	again map[account]map[int64]int64
	// since is the first minute that each node told of, by objective.
	since []map[string]int64
}

func newTruth() *truth {
	return &truth{events: map[account]map[int64]slo.Counts{}, again: map[account]map[int64]int64{}}
}

// answers notes that a node told of a minute.
func (t *truth) answers(node int, objective string, minute int64) {
	if was, ok := t.since[node][objective]; !ok || minute < was {
		t.since[node][objective] = minute
	}
}

// begin is when a window begins: when the first of its nodes began to answer.
func (t *truth) begin(s sheet, nodes []int, from int64) int64 {
	first := int64(math.MaxInt64)
	for _, n := range nodes {
		if m, ok := t.since[n][s.name]; ok {
			first = min(first, m)
		}
	}
	return max(from, first)
}

// add notes one event.
func (t *truth) add(a account, minute int64, good bool) {
	if t.events[a] == nil {
		t.events[a], t.again[a] = map[int64]slo.Counts{}, map[int64]int64{}
	}
	c := t.events[a][minute]
	c.Total++
	if good {
		c.Good++
	}
	t.events[a][minute] = c
}

// came notes that a minute came again; its end was first passed at a time.
func (t *truth) came(a account, minute, passed int64) {
	if was, ok := t.again[a][minute]; !ok || passed < was {
		t.again[a][minute] = passed
	}
}

// A sheet is what the oracle knows of one objective.
type sheet struct {
	name     string
	thing    thing
	target   float64
	method   slo.Method
	slice    int64   // minutes
	enough   float64 // share that makes a slice good
	silence  bool    // a slice without events is good
	zone     *time.Location
	all      bool // even what is not wanted counts
	unwanted func(local time.Time) bool
}

// sheets say what objectives.yaml promises, in the oracle's own words.
func sheets(zone *time.Location) []sheet {
	clock := func(t time.Time) int { return t.Hour()*60 + t.Minute() }
	never := func(time.Time) bool { return false }
	out := []sheet{
		{name: "payments", thing: payment, target: 0.97, method: slo.Occurrences, unwanted: never},
		{name: "orders", thing: order, target: 0.95, method: slo.Timeslices, slice: 5, enough: 0.9, silence: true, unwanted: never},
		{name: "doors", thing: checkin, target: 0.95, method: slo.RatioTimeslices, slice: 10, unwanted: func(t time.Time) bool {
			return clock(t) >= 2*60 && clock(t) < 9*60
		}},
		{name: "payments-unplanned", thing: payment, target: 0.97, method: slo.Occurrences, unwanted: func(t time.Time) bool {
			c := clock(t)
			return c >= 3*60+10 && c < 3*60+50 || c >= 18*60 && c < 18*60+15
		}},
		{name: "visit", thing: visit, target: 0.9, method: slo.Occurrences, unwanted: never},
	}
	for i := range out {
		out[i].zone = zone
	}
	return out
}

func (s sheet) counts(minute int64) bool {
	return s.all || !s.unwanted(time.Unix(minute*60, 0).In(s.zone))
}

// sum adds up a window of some nodes, in the unit of the method.
func (t *truth) sum(s sheet, nodes []int, from, to int64) slo.Counts {
	if s.method == slo.Occurrences {
		return t.raw(s, nodes, from, to)
	}
	var out slo.Counts
	from = t.begin(s, nodes, from)
	first := from + (s.slice-from%s.slice)%s.slice
	for m := first; m+s.slice <= to; m += s.slice {
		c := t.raw(s, nodes, m, m+s.slice)
		switch {
		case c.Total == 0 && s.silence:
			out = out.Add(slo.Counts{Good: 1, Total: 1})
		case c.Total == 0:
		case s.method == slo.RatioTimeslices:
			out = out.Add(slo.Counts{Good: (c.Good*1_000_000 + c.Total/2) / c.Total, Total: 1_000_000})
		case float64(c.Good)/float64(c.Total) >= s.enough:
			out = out.Add(slo.Counts{Good: 1, Total: 1})
		default:
			out = out.Add(slo.Counts{Total: 1})
		}
	}
	return out
}

// raw adds up the events of a window.
func (t *truth) raw(s sheet, nodes []int, from, to int64) (out slo.Counts) {
	for _, n := range nodes {
		events := t.events[account{n, s.thing}]
		for m := from; m < to; m++ {
			if c, ok := events[m]; ok && s.counts(m) {
				out = out.Add(c)
			}
		}
	}
	return out
}

// cameAgain reports whether a window holds a minute that came again though its end
// was passed, as seen at a time.
func (t *truth) cameAgain(s sheet, nodes []int, from, to, seen int64) bool {
	for _, n := range nodes {
		for m, passed := range t.again[account{n, s.thing}] {
			if from <= m && m < to && passed <= seen && s.counts(m) {
				return true
			}
		}
	}
	return false
}
