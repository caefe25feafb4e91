package fleetsim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"ghostlight/buffer/forward"
)

// An uplink is a node's way to the centre.
type uplink struct {
	w    *world
	node *node

	mu      sync.Mutex // guards what follows
	rng     *rand.Rand
	rate    int
	latency time.Duration
	refused bool // nothing can be reached
	hollow  bool // what can be reached never answers
	stalled bool
	open    []*link
	changes int // faults that began
}

func newUplink(w *world, n *node, rng *rand.Rand) *uplink {
	return &uplink{w: w, node: n, rng: rng, rate: 16<<10 + rng.IntN(240<<10), latency: time.Duration(5+rng.IntN(150)) * time.Millisecond}
}

// dial is the forwarder's [forward.Dialer].
func (u *uplink) dial(context.Context) (forward.Conn, error) {
	if u.w.bug == bugLateDial {
		time.Sleep(afterCut)
	}
	newest := u.node.disk.newest()
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.refused {
		return nil, fmt.Errorf("%w: the uplink is cut", forward.ErrUnreachable)
	}
	l := &link{uplink: u, up: newPipe(u.rate, u.latency), down: newPipe(1<<20, u.latency), dialed: time.Now(), newest: newest, disturbed: u.rate < slowLine}
	switch {
	case u.hollow:
		l.disturbed = true
		l.both(func(p *pipe) { p.lost = true })
	case u.stalled:
		l.disturbed = true
		l.both(func(p *pipe) { p.stalled = true })
	}
	if !u.hollow && !u.w.centre.accept(l) {
		return nil, fmt.Errorf("%w: the centre is down", forward.ErrUnreachable)
	}
	u.open = append(u.open, l)
	if !newest.IsZero() && time.Since(newest) <= freshFor-freshAfterDial && !u.node.rated {
		time.AfterFunc(freshAfterDial, func() { u.judgeDial(l) })
	}
	return nodeEnd{l}, nil
}

// closed forgets a connection that the node closed.
func (u *uplink) closed(l *link) {
	l.set(func(l *link) { l.disturbed, l.over = true, true })
	u.mu.Lock()
	defer u.mu.Unlock()
	u.open = slices.DeleteFunc(u.open, func(o *link) bool { return o == l })
}

// change changes the uplink and all that is open on it, whose judgement is void.
func (u *uplink) change(line func(*uplink), each func(*link)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.changes++
	line(u)
	for _, l := range u.open {
		l.set(func(l *link) { l.disturbed = true })
		each(l)
	}
}

// age tells how many faults there were so far.
func (u *uplink) age() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.changes
}

// slow reports whether the line is one that bounds are not meant for.
func (u *uplink) slow() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.rate < slowLine
}
