package fleetsim

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// A kind of fault.
type kind string

// What can happen to a node and its uplink.
const (
	faultCut      kind = "cut"      // nothing can be reached; the centre is told or not, the node is or finds out by itself
	faultLate     kind = "late"     // the node is told; what it had sent arrives behind its next connection
	faultSilent   kind = "silent"   // nobody is told, nothing arrives any more, dials are refused or never answered
	faultStall    kind = "stall"    // nothing arrives for a while, then all does
	faultAnswers  kind = "answers"  // what the centre says is lost, then the connection
	faultThrottle kind = "throttle" // little can be sent
	faultAmnesia  kind = "amnesia"  // the centre gives up what it knows of the coding
	faultDeath    kind = "death"    // the node is killed
	faultRestart  kind = "restart"  // the node is stopped in order
)

// What can happen to the centre.
const (
	faultCrash kind = "crash" // it is killed
	faultFull  kind = "full"  // it takes nothing, and says so
	faultSlow  kind = "slow"  // its commits take seconds
)

func nodeFaults() []kind {
	return []kind{faultCut, faultCut, faultLate, faultSilent, faultStall, faultAnswers, faultThrottle, faultAmnesia, faultDeath, faultRestart}
}

func centreFaults() []kind { return []kind{faultCrash, faultCrash, faultFull, faultSlow} }

// A fault begins and ends after the beginning of the night.
type fault struct {
	kind     kind
	from, to time.Duration
	draw     float64 // from [0, 1), to vary it
}

// plan draws faults that do not overlap; they begin within a night and may outlast
// it.
func plan(rng *rand.Rand, night time.Duration, kinds []kind, mean time.Duration) (out []fault) {
	if len(kinds) == 0 {
		return nil
	}
	for at := time.Duration(0); ; {
		at += time.Duration(rng.ExpFloat64() * float64(mean))
		if at >= night {
			return out
		}
		f := fault{kind: kinds[rng.IntN(len(kinds))], from: at, draw: rng.Float64()}
		longest := night / 2
		if short(f.kind) {
			longest = time.Minute
		}
		f.to = at + lasting(rng, longest)
		if at = f.to; f.kind == faultAmnesia || f.kind == faultLate {
			f.to = f.from
		}
		out = append(out, f)
	}
}

// short faults end by themselves in reality.
func short(k kind) bool {
	return slices.Contains([]kind{faultAnswers, faultStall, faultLate, faultAmnesia, faultFull, faultSlow}, k)
}

// lasting draws a time between a second and the longest: as many short as long
// ones.
func lasting(rng *rand.Rand, longest time.Duration) time.Duration {
	return time.Duration(float64(time.Second) * math.Exp(rng.Float64()*math.Log(longest.Seconds())))
}

// allowed are the kinds that the night has.
func (o options) allowed(kinds []kind) []kind {
	return slices.DeleteFunc(kinds, func(k kind) bool { return len(o.only) > 0 && !slices.Contains(o.only, k) })
}

// begin makes a fault happen to a node.
func (n *node) begin(f fault) {
	u := n.uplink
	n.suffers.Store(f.to > f.from)
	nothing := func(*uplink) {}
	switch f.kind {
	case faultCut:
		u.change(func(u *uplink) { u.refused = true }, func(l *link) {
			if f.draw >= unheard {
				l.down.set(func(p *pipe) { p.lost = true })
				return
			}
			if l.endNode(0); f.draw < unheard/2 {
				l.endCentre()
			}
		})
	case faultLate:
		u.change(nothing, func(l *link) { l.endNode(time.Duration(f.draw * float64(20*time.Second))) })
		n.expectFresh(afterCut)
	case faultSilent:
		u.change(func(u *uplink) { u.refused, u.hollow = f.draw < 0.5, f.draw >= 0.5 }, func(l *link) { l.both(func(p *pipe) { p.lost = true }) })
	case faultStall:
		u.change(func(u *uplink) { u.stalled = true }, func(l *link) { l.both(func(p *pipe) { p.stalled = true }) })
	case faultAnswers:
		u.change(nothing, func(l *link) { l.down.set(func(p *pipe) { p.lost = true }) })
	case faultThrottle:
		n.throttled = u.rate
		u.change(func(u *uplink) { u.rate = 2<<10 + int(f.draw*(16<<10)) }, func(l *link) { l.up.set(func(p *pipe) { p.rate = u.rate }) })
	case faultAmnesia:
		u.change(nothing, func(l *link) { l.set(func(l *link) { l.amnesia = true }) })
		n.expectFresh(afterSilence)
	case faultDeath:
		n.die()
	case faultRestart:
		n.stop()
	}
}

// end heals what begin broke.
func (n *node) end(f fault) {
	u := n.uplink
	defer n.suffers.Store(false)
	nothing := func(*link) {}
	switch f.kind {
	case faultCut:
		u.change(func(u *uplink) { u.refused = false }, nothing)
		if f.draw >= unheard {
			n.expectFresh(afterSilence)
		} else {
			n.expectFresh(afterCut)
		}
	case faultSilent:
		u.change(func(u *uplink) { u.refused, u.hollow = false, false }, nothing)
		n.expectFresh(afterSilence)
	case faultStall:
		u.change(func(u *uplink) { u.stalled = false }, func(l *link) { l.both(func(p *pipe) { p.stalled = false }) })
		n.expectFresh(afterSilence)
	case faultAnswers:
		u.change(func(*uplink) {}, func(l *link) {
			if l.endNode(0); f.draw < 0.5 {
				l.endCentre()
			}
		})
		n.expectFresh(afterCut)
	case faultThrottle:
		u.change(func(u *uplink) { u.rate = n.throttled }, func(l *link) { l.up.set(func(p *pipe) { p.rate = n.throttled }) })
	case faultDeath, faultRestart:
		n.start()
	}
}

// unheard is the share of cuts before which what the node sends last arrives, and
// nobody tells it so.
const unheard = 0.6

// suffer makes a plan happen.
func suffer(w *world, faults []fault, begin, end func(fault)) {
	slices.SortFunc(faults, func(a, b fault) int { return cmp.Compare(a.from, b.from) })
	for _, f := range faults {
		time.Sleep(time.Until(w.began.Add(f.from)))
		begin(f)
		w.happened(f.kind)
		if f.to > f.from {
			time.Sleep(time.Until(w.began.Add(f.to)))
			end(f)
		}
	}
}
