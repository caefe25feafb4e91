package torture

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"ghostlight/buffer"
	"ghostlight/slo"
)

// A row is an outcome in edgecore's ledger.
type row struct {
	at   int64 // by the node's clock, Unix milliseconds
	kind thing
	good bool
}

// A node is a machine at a venue: edgecore's ledger, a disk, a clock, and an agent
// that comes and goes.
type node struct {
	f      *feed
	number int
	source buffer.Source
	plan   plan
	rng    *rand.Rand

	rows     []row
	grown    map[thing]slo.Counts // of the ledger, as edgecore's counters show it
	disk     *disk
	agent    *agent  // nil: not running
	counters reading // that are on disk
	away     int64   // the agent does not start before
	presence presence
	passed   map[int64]int64
	latest   int64 // how far the clock has ever been, Unix milliseconds
	shown    int64 // the calendar is not told before
}

func newNode(f *feed, number int, source buffer.Source) *node {
	n := &node{
		f: f, number: number, source: source, rng: f.rng(streamNode, number), grown: map[thing]slo.Counts{},
		disk: &disk{state: map[string][]byte{}}, passed: map[int64]int64{}, presence: presence{shown: map[int64]bool{}},
	}
	n.plan = draw(f.rng(streamPlan, number), f.start, f.end, f.has)
	n.latest = n.wall()
	n.logPlan()
	return n
}

// logPlan tells what will happen to the node.
func (n *node) logPlan() {
	tell := func(what string, s span) {
		n.f.logf("%s: %s from %s to %s", n.source, what, n.f.clock(s.from), n.f.clock(s.to))
	}
	for _, t := range n.plan.troubles {
		tell(fmt.Sprintf("%.0f %% fails", 100*t.share), t.span)
	}
	for _, s := range n.plan.quiet {
		tell("quiet", s)
	}
	for _, f := range Faults() {
		for _, s := range n.plan.during[f] {
			tell(string(f), s)
		}
	}
	for _, s := range n.plan.clock {
		n.f.logf("%s: from %s its clock is off by %d ms", n.source, n.f.clock(max(s.at, n.f.start)), s.offset)
	}
}

// wall is what the node's clock shows.
func (n *node) wall() int64 {
	if n.f.healed {
		return n.f.now
	}
	return n.f.now + n.plan.offset(n.f.now)
}

// is reports whether a fault is on.
func (n *node) is(f Fault) bool { return !n.f.healed && n.plan.during[f].hold(n.f.now) }

// step lives through the time since the last.
func (n *node) step(last int64) error {
	if n.f.still {
		return nil
	}
	if !n.f.ended() && !n.is(Edgecore) && !n.is(Power) {
		n.sell(last)
	}
	n.tellTime()
	if err := n.operate(); err != nil {
		return fmt.Errorf("%s: %w", n.source, err)
	}
	n.look()
	return nil
}

// tellTime notes which minutes the clock has passed.
func (n *node) tellTime() {
	for m := n.latest / 60_000; m < n.wall()/60_000; m++ {
		n.passed[m] = n.f.now
	}
	n.latest = max(n.latest, n.wall())
}

// happen notes an event, which came at a true time, by the stamp that the node's
// clock gave it.
func (n *node) happen(what thing, at, stamp int64, good bool) {
	a, m := account{n.number, what}, stamp/60_000
	n.f.truth.add(a, m, good)
	if n.f.seen != nil {
		n.f.seen.events[a] = append(n.f.seen.events[a], event{at, good})
	}
	if (m+1)*60_000 <= n.latest {
		n.f.truth.came(a, m, n.passed[m])
	}
}

// sell makes what guests did since the last step.
func (n *node) sell(last int64) {
	span := n.f.now - last
	rate := n.plan.rate(n.f.now) * float64(span) / 60_000
	shift := n.wall() - n.f.now
	for _, k := range []struct {
		kind thing
		per  float64
	}{{checkin, 1.2}, {order, 0.8}, {payment, 1}} {
		var at []int64
		for range poisson(n.rng, rate*k.per) {
			at = append(at, last+1+n.rng.Int64N(span))
		}
		slices.Sort(at)
		for _, t := range at {
			good := n.rng.Float64() >= n.plan.failing(t)
			n.rows = append(n.rows, row{t + shift, k.kind, good})
			n.happen(k.kind, t, t+shift, good)
			c := n.grown[k.kind]
			if c.Total++; good {
				c.Good++
			}
			n.grown[k.kind] = c
		}
	}
}

// poisson draws how many events come where mean are expected. Source: D. E. Knuth,
// The Art of Computer Programming, volume 2, 3.4.1.
func poisson(rng *rand.Rand, mean float64) int {
	limit, n := math.Exp(-mean), 0
	for p := rng.Float64(); p > limit; p *= rng.Float64() {
		n++
	}
	return n
}

// operate lets the agent die and starts it again.
func (n *node) operate() error {
	off := n.is(Absence) || n.is(Power)
	switch {
	case n.agent != nil && (off || n.agent.disk.dead):
		if n.away = n.f.now; !off {
			n.away += 1000 + int64(n.rng.ExpFloat64()*40_000)
		}
		n.f.logf("%s: the agent is gone", n.source)
		n.agent = nil
	case n.agent == nil && !off && (n.f.healed || n.f.now >= n.away):
		a, err := startAgent(n)
		if err != nil {
			return err
		}
		n.agent = a
	}
	return nil
}

// look is what the agent does in a step.
func (n *node) look() {
	a := n.agent
	if a == nil {
		return
	}
	a.disk.full, a.disk.partly = n.is(Full), n.is(Full) || n.is(Slow)
	if len(n.plan.deaths) > 0 && n.f.now >= n.plan.deaths[0] && !n.f.healed {
		n.plan.deaths = n.plan.deaths[1:]
		a.disk.dying = diesBefore + n.rng.IntN(2)
	}
	n.tellShows()
	a.read()
	a.scrape()
	a.journey()
	a.tick()
	a.watch()
	if a.disk.dead {
		n.f.died(a.disk.dying)
		n.f.logf("%s: the agent dies in a commit, durable: %v", n.source, a.disk.dying == diesBehind)
	}
}

// clock is the node's clock as its programs read it.
func (n *node) clock() time.Time { return time.UnixMilli(n.wall()).UTC() }
