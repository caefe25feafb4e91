package torture

import (
	"fmt"
	"math"
	"slices"
	"time"

	"ghostlight/buffer/wire"
	"ghostlight/fleet/burn"
	"ghostlight/slo"
)

// An oracle says when the rules that page held, by all that happened, minute by
// minute. Its arithmetic is its own.
type oracle struct {
	f     *feed
	lines map[string]line   // by objective and nodes
	shows map[string][]bool // whether a show's alert fires, by minute since its start
}

// A line is what happened up to each minute.
type line struct {
	from int64
	sums []slo.Counts // before minute from+i
}

// line adds up one objective of some nodes, those that count events.
func (o *oracle) line(objective int, nodes []int) line {
	key := fmt.Sprint(objective, nodes)
	if l, ok := o.lines[key]; ok {
		return l
	}
	s := o.f.sheets[objective]
	first, last := int64(math.MaxInt64), int64(0)
	for _, n := range nodes {
		for m := range o.f.truth.events[account{n, s.thing}] {
			first, last = min(first, m), max(last, m)
		}
	}
	l := line{from: first, sums: []slo.Counts{{}}}
	for m := first; m <= last; m++ {
		l.sums = append(l.sums, l.sums[len(l.sums)-1].Add(o.f.truth.raw(s, nodes, m, m+1)))
	}
	o.lines[key] = l
	return l
}

// in is what happened in [from, to).
func (l line) in(from, to int64) slo.Counts {
	until := func(m int64) slo.Counts { return l.sums[min(max(0, m-l.from), int64(len(l.sums)-1))] }
	a, b := until(from), until(to)
	return slo.Counts{Good: b.Good - a.Good, Total: b.Total - a.Total}
}

// window is what an objective counts in [from, to).
func (o *oracle) window(objective int, nodes []int, from, to int64) slo.Counts {
	if s := o.f.sheets[objective]; s.method != slo.Occurrences {
		return o.f.truth.sum(s, nodes, from, to)
	}
	return o.line(objective, nodes).in(from, to)
}

// burns reports whether more fails of c than a rate allows.
func (o *oracle) burns(objective int, c slo.Counts, rate float64) bool {
	return c.Total > 0 && float64(c.Total-c.Good)/float64(c.Total)/(1-o.f.sheets[objective].target) > rate
}

// holds reports whether a tier holds at the end of a minute.
func (o *oracle) holds(objective int, nodes []int, t slo.Tier, minute int64) bool {
	end := minute + 1
	return o.burns(objective, o.window(objective, nodes, end-int64(t.Long/time.Minute), end), t.Rate) &&
		o.burns(objective, o.window(objective, nodes, end-int64(t.Short/time.Minute), end), t.Rate)
}

// stretches are the minutes of [from, to) in which a tier holds.
func (o *oracle) stretches(objective int, nodes []int, t slo.Tier, from, to int64) (out []span) {
	held := true // what held before is not of these minutes
	for m := from; m < to; m++ {
		holds := o.holds(objective, nodes, t, m)
		switch n := len(out); {
		case holds && !held:
			out = append(out, span{m, m})
		case holds && n > 0:
			out[n-1].to = m
		}
		held = holds
	}
	return out
}

// heldAbout reports whether the rule of a page held in the minute given or next to it.
// It is not sure where it depends on when the page was audited: of a show whose end was
// set only then.
func (o *oracle) heldAbout(objective int, p burn.Page, minute int64) (held, sure bool) {
	nodes := o.f.nodesOf(p.Source)
	if p.Event != "" {
		return o.showAbout(objective, nodes, p, minute)
	}
	for _, t := range o.f.objectives[objective].BurnTiers() {
		if t.Rule().Key != p.Rule {
			continue
		}
		for m := minute - 1; m <= minute+1; m++ {
			held = held || o.holds(objective, nodes, t, m)
		}
		return held, true
	}
	return false, true
}

// showAbout does the same for a page of a show.
func (o *oracle) showAbout(objective int, nodes []int, p burn.Page, minute int64) (held, sure bool) {
	i := slices.IndexFunc(o.f.shows[p.Venue], func(b billing) bool { return b.announced.ID == p.Event })
	if i < 0 {
		return false, true
	}
	b := o.f.shows[p.Venue][i]
	held = o.fires(objective, nodes, b.at(o.f.now), minute)
	return held, b.endedAt == 0 || held == o.fires(objective, nodes, b.announced, minute)
}

// fires reports whether the alert of a show fires in a minute or next to it.
func (o *oracle) fires(objective int, nodes []int, s wire.Show, minute int64) bool {
	key := fmt.Sprint(objective, nodes, s)
	start := s.StartMS / 60_000
	if o.shows[key] == nil {
		o.shows[key] = o.show(objective, nodes, s)
	}
	for m := max(start, minute-1); m <= minute+1; m++ {
		if at := m - start; at < int64(len(o.shows[key])) && o.shows[key][at] {
			return true
		}
	}
	return false
}

// showQuiet is for how many minutes a show's alert goes on when its condition ends, and
// showLooks are how far back it looks and again, in minutes, and the share of the
// budget.
const showQuiet = 10

var showLooks = []struct {
	long, short int64
	share       float64
}{{1, 1, 0.10}, {5, 5, 0.25}, {15, 5, 0.40}, {60, 5, 0.40}}

// show says of each minute from the start of a show, and of an hour and more behind its
// end, whether its alert fires.
func (o *oracle) show(objective int, nodes []int, s wire.Show) []bool {
	start, end := s.StartMS/60_000, s.EndMS/60_000
	if s.EndMS == 0 {
		end = o.f.now / 60_000
	}
	budget := 1 - o.f.sheets[objective].target
	l := o.line(objective, nodes)
	within := func(from, to int64) slo.Counts { return l.in(max(from, start), max(start, min(to, end))) }
	var out []bool
	firing, last := false, int64(0)
	for m := start; m < end+75; m++ {
		seen := within(start, m+1)
		expected := 0.0
		if now := (m+1)*60_000 - 1000; s.EndMS > now {
			gone := math.Max(1, float64(now-s.StartMS)/60_000)
			expected = math.Trunc(float64(seen.Total) / gone * float64(s.EndMS-now) / 60_000)
		}
		holds := false
		for _, k := range showLooks {
			long, short := within(m+1-k.long, m+1), within(m+1-k.short, m+1)
			bad := long.Total - long.Good
			holds = holds || bad >= 4 && float64(bad) >= k.share*budget*(float64(seen.Total)+expected) &&
				surely(float64(bad), float64(long.Total)) > budget && short.Total > 0 && float64(short.Total-short.Good)/float64(short.Total) > budget
		}
		if holds {
			firing, last = true, m
		} else if firing && m-last > showQuiet {
			firing = false
		}
		out = append(out, firing)
	}
	return out
}

// surely is the share that bad of n are at least, 3.9 standard deviations below what
// they seem: where a normal distribution around that share has them. It solves
// (bad/n - p)^2 = z^2 p (1-p) / n.
func surely(bad, n float64) float64 {
	if n == 0 {
		return 0
	}
	const z2 = 3.9 * 3.9
	a, b, c := n+z2, -(2*bad + z2), bad*bad/n
	return (-b - math.Sqrt(math.Max(0, b*b-4*a*c))) / (2 * a)
}
