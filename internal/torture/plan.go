package torture

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// A Fault is what can go wrong.
type Fault string

// What can happen to a node, to its way to the centre, and to the centre.
const (
	Offline  Fault = "offline"  // the uplink is down
	Repeat   Fault = "repeat"   // answers are lost, blocks come twice
	Reorder  Fault = "reorder"  // blocks overtake each other
	Death    Fault = "death"    // the agent dies in a commit, before or after it is durable
	Absence  Fault = "absence"  // the agent is not running
	Edgecore Fault = "edgecore" // edgecore is dead
	Power    Fault = "power"    // both are off
	Hang     Fault = "hang"     // edgecore sells, but its ledger cannot be read
	Slow     Fault = "slow"     // its ledger is read more slowly than it grows
	Full     Fault = "full"     // the node's disk refuses commits
	Skew     Fault = "skew"     // the node's clock is off by seconds to minutes
	Jump     Fault = "jump"     // the node's clock is set wrong, and later right
	Garbage  Fault = "garbage"  // blocks hold what can never be
	Crash    Fault = "crash"    // the centre dies, in the middle of a transaction or behind it
)

// Faults lists all of them.
func Faults() []Fault {
	return []Fault{Offline, Repeat, Reorder, Death, Absence, Edgecore, Power, Hang, Slow, Full, Skew, Jump, Garbage, Crash}
}

// A span is a stretch of true time, in Unix milliseconds, to not included.
type span struct{ from, to int64 }

type spans []span

func (s spans) hold(t int64) bool {
	return slices.ContainsFunc(s, func(x span) bool { return x.from <= t && t < x.to })
}

// A trouble makes a share of what is tried fail.
type trouble struct {
	span
	share float64
}

// A setting puts a node's clock off by so many milliseconds from true time.
type setting struct{ at, offset int64 }

// A plan is what will happen to one node.
type plan struct {
	busiest  float64 // payments a minute at the best time
	troubles []trouble
	quiet    spans // nobody comes
	during   map[Fault]spans
	deaths   []int64 // the commit after it kills the agent
	clock    []setting
}

// stretches draws stretches that begin within a feed, apart by mean on average.
// As many are short as are long.
func stretches(rng *rand.Rand, from, to int64, mean, shortest, longest time.Duration) (out spans) {
	for at := from; ; {
		at += int64(rng.ExpFloat64() * float64(mean.Milliseconds()))
		if at >= to {
			return out
		}
		d := float64(shortest.Milliseconds()) * math.Exp(rng.Float64()*math.Log(float64(longest)/float64(shortest)))
		out = append(out, span{at, at + int64(d)})
		at += int64(d)
	}
}

// draw plans a node's feed of [from, to).
func draw(rng *rand.Rand, from, to int64, has func(Fault) bool) plan {
	p := plan{busiest: 1 + 7*rng.Float64(), during: map[Fault]spans{}}
	for _, s := range stretches(rng, from, to, 3*time.Hour, 2*time.Minute, 90*time.Minute) {
		p.troubles = append(p.troubles, trouble{s, []float64{1, 1, 0.5, 0.2, 0.05}[rng.IntN(5)]})
	}
	p.quiet = stretches(rng, from, to, 5*time.Hour, 5*time.Minute, 2*time.Hour)
	day := time.Duration(to-from) * time.Millisecond
	for _, f := range []struct {
		fault             Fault
		mean              time.Duration
		shortest, longest time.Duration
	}{
		{Offline, 3 * time.Hour, time.Minute, day},
		{Repeat, 2 * time.Hour, time.Minute, time.Hour},
		{Reorder, 2 * time.Hour, time.Minute, 2 * time.Hour},
		{Absence, 6 * time.Hour, 20 * time.Second, time.Hour},
		{Edgecore, 6 * time.Hour, 10 * time.Second, 30 * time.Minute},
		{Power, 9 * time.Hour, 30 * time.Second, 2 * time.Hour},
		{Hang, 5 * time.Hour, 20 * time.Second, 20 * time.Minute},
		{Slow, 6 * time.Hour, time.Minute, 20 * time.Minute},
		{Full, 6 * time.Hour, 20 * time.Second, 20 * time.Minute},
		{Garbage, 4 * time.Hour, 20 * time.Second, 20 * time.Minute},
	} {
		drawn := stretches(rng, from, to, f.mean, f.shortest, f.longest)
		if has(f.fault) {
			p.during[f.fault] = drawn
		}
	}
	if has(Offline) && day > 24*time.Hour && rng.IntN(2) == 0 { // for longer than some objectives wait
		first := from + rng.Int64N(time.Hour.Milliseconds())
		p.during[Offline] = append(p.during[Offline], span{first, to - rng.Int64N(time.Hour.Milliseconds())})
	}
	for at := from; at < to && has(Death); {
		at += int64(rng.ExpFloat64() * float64((3 * time.Hour).Milliseconds()))
		p.deaths = append(p.deaths, at)
	}
	p.clock = drawClock(rng, from, to, has)
	return p
}

// drawClock draws how a node's clock goes. One in two nodes has a clock that is set
// wrong now and then, forward or back, and after a while right again.
func drawClock(rng *rand.Rand, from, to int64, has func(Fault) bool) []setting {
	skew := int64(0)
	if has(Skew) {
		skew = int64(rng.NormFloat64() * 40_000)
	}
	out := []setting{{math.MinInt64, skew}}
	if !has(Jump) || rng.IntN(2) == 0 {
		return out
	}
	for _, s := range stretches(rng, from, to, 6*time.Hour, 5*time.Minute, 2*time.Hour) {
		d := float64(1000) * math.Exp(rng.Float64()*math.Log(4*3600)) // a second to four hours
		if rng.IntN(10) == 0 {
			d = float64(time.Duration(20+rng.IntN(50)) * time.Hour / time.Millisecond)
		}
		if rng.IntN(2) == 0 {
			d = -d
		}
		out = append(out, setting{s.from, skew + int64(d)}, setting{min(s.to, to), skew})
	}
	slices.SortStableFunc(out, func(a, b setting) int { return cmp.Compare(a.at, b.at) })
	return out
}

// offset is how far a node's clock is off.
func (p plan) offset(t int64) int64 {
	i, _ := slices.BinarySearchFunc(p.clock, t+1, func(s setting, t int64) int { return cmp.Compare(s.at, t) })
	return p.clock[i-1].offset
}

// failing is the share of tries that fail.
func (p plan) failing(t int64) float64 {
	worst := 0.002
	for _, x := range p.troubles {
		if x.from <= t && t < x.to {
			worst = max(worst, x.share)
		}
	}
	return worst
}

// rate is how many payments a minute are tried: most in the evening, none while it
// is quiet.
func (p plan) rate(t int64) float64 {
	if p.quiet.hold(t) {
		return 0
	}
	hour := float64(t%86_400_000) / 3_600_000
	return p.busiest * (0.25 + 0.75*math.Pow(math.Sin((hour-8)/24*math.Pi), 2))
}
