package fleetsim

import (
	"time"

	"ghostlight/buffer/delta"
)

const (
	// settling is how long what was just committed may be on its way.
	settling = 10 * time.Second
	// freshAfterDial bounds how long after a connection was dialled something fresh
	// has arrived over it.
	freshAfterDial = 2 * time.Second
	// slowLine bytes a second are a line that the bound is not meant for.
	slowLine = 16 << 10
	// afterCut is how long after an uplink is up something fresh is at the centre,
	// where the node knew that it was down.
	afterCut = 15 * time.Second
	// afterSilence is that time where it had to find out.
	afterSilence = 45 * time.Second
	// underway is how long what was sent before an answer was heard may still come.
	underway = 1500 * time.Millisecond
)

// quiet is what must not change for a judgement to stand: the faults of a node,
// its lives and the centre's troubles.
type quiet struct {
	faults, turns int
	troubles      int64
}

func (n *node) quiet() quiet {
	return quiet{n.uplink.age(), n.turned(), n.w.centre.troubles.Load()}
}

// judgeAnew looks whether a node begins its coding anew soon after it was told to,
// if there is anything left to say: the block that could not be read may be part
// of a run that was acknowledged meanwhile.
func (s *stream) judgeAnew() {
	n, l := s.link.uplink.node, s.link
	told, began := time.Now(), n.quiet()
	if n.rated || n.capped || !l.hears() || s.p.troubled() {
		return
	}
	time.AfterFunc(freshAfterDial, func() {
		if still := n.quiet() == began; still && l.owes() && n.disk.waitsSince(told) {
			s.p.w.problem("node %d: it was told to begin its coding anew, and had not after %s", n.number, freshAfterDial)
		}
	})
}

// judgePause looks whether a node that was told to wait does.
func (s *stream) judgePause() {
	since := time.Since(s.refused)
	if since > underway && since < fullFor && s.link.hears() && s.link.uplink.age() == s.refusedAge {
		s.p.w.problem("node %d: it was told to wait for %s, and sent a block after %s", s.node, fullFor, since)
	}
}

// judgeSilence looks whether a node says often enough that it lives; since is when
// the centre began to listen, and began what was true then.
func (s *stream) judgeSilence(since time.Time, began quiet) {
	n := s.link.uplink.node
	if waited := time.Since(since); waited > silence && s.link.hears() && n.quiet() == began {
		s.p.w.problem("node %d: it said nothing for %s", n.number, waited)
	}
}

// hears reports whether the node hears at once what the centre says.
func (l *link) hears() bool {
	l.down.mu.Lock()
	lost := l.down.lost || l.down.deaf
	l.down.mu.Unlock()
	return !lost && !l.uplink.slow() && !l.uplink.node.suffers.Load()
}

// owes reports whether the node is to begin its coding anew and has not.
func (l *link) owes() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.asked && !l.over
}

// expectFresh looks, some time after something broke, whether what was sold since
// is at the centre.
func (n *node) expectFresh(within time.Duration) {
	healed, began := time.Now(), n.quiet()
	if n.rated || n.w.centre.troubled() {
		return
	}
	time.AfterFunc(within, func() {
		if n.quiet() != began {
			return // something else broke meanwhile
		}
		want := n.disk.soldBefore(time.Now().Add(-settling))
		if got := n.w.centre.journal.freshest(n.number); got.Before(want.Truncate(time.Millisecond)) {
			n.w.problem("node %d: the uplink was up at %s, and %s later what was sold at %s was not there", n.number, n.w.clock(healed), within, n.w.clock(want))
		}
	})
}

// judgeDial looks whether something fresh came over a new connection in time.
func (u *uplink) judgeDial(l *link) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.fresh && !l.disturbed {
		u.w.problem("node %d: nothing fresh arrived in %s over a connection dialled at %s", u.node.number, freshAfterDial, u.w.clock(l.dialed))
	}
}

// judgeOrder looks whether the first block of a connection is fresh, if something
// fresh waited when it was dialled and is fresh still.
func (w *world) judgeOrder(s *stream, at delta.Stamp, b delta.Batch) {
	_, last := b.TimeRange()
	l, created := s.link, time.UnixMilli(last)
	fresh := !created.Before(l.dialed.Add(-freshFor))
	if fresh {
		l.set(func(l *link) { l.fresh = true })
	}
	if !s.first && !fresh && !l.newest.IsZero() && time.Since(l.newest) <= freshFor {
		w.problem("node %d: block %d of lane %s, of %s, came first over a connection dialled at %s, when revenue of %s waited",
			s.node, at.Seq, at.Lane, w.clock(created), w.clock(l.dialed), w.clock(l.newest))
	}
	s.first = true
}
