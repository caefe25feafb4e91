package fleetsim

import (
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"ghostlight/buffer/delta"
)

const (
	// groupMost blocks share a commit.
	groupMost = 256
	// fullFor is how long the centre wants to be left alone when it is full.
	fullFor = 3 * time.Second
)

// errFull is the answer of a full journal.
var errFull = errors.New("the journal is full")

// A centre is the other end of all uplinks: a disk, and a process that dies now
// and then.
type centre struct {
	w       *world
	journal *journal
	codec   *delta.Codec

	troubles atomic.Int64 // how often something broke or healed
	mu       sync.Mutex   // guards what follows
	running  *process     // nil: down
	full     bool
	slow     bool
	resyncs  int
}

// A process is the centre between two crashes.
type process struct {
	*centre
	posts chan post
	stop  chan struct{}
	work  sync.WaitGroup
	dead  bool // guarded by the journal's mu

	linksMu sync.Mutex
	links   map[*link]bool // guarded by linksMu
}

func newCentre(w *world) (*centre, error) {
	codec, err := delta.NewCodec(delta.DefaultLimits())
	if err != nil {
		return nil, err
	}
	return &centre{w: w, codec: codec, journal: newJournal(w)}, nil
}

func (c *centre) start() {
	p := &process{centre: c, posts: make(chan post, groupMost), stop: make(chan struct{}), links: map[*link]bool{}}
	p.work.Go(p.commit)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running = p
}

// kill ends the process: what it has not committed is gone.
func (c *centre) kill() {
	c.mu.Lock()
	p := c.running
	c.running = nil
	c.mu.Unlock()
	c.journal.kill(p)
	close(p.stop)
	p.linksMu.Lock()
	for l := range p.links {
		l.set(func(l *link) { l.disturbed = true })
		l.endCentre()
	}
	p.linksMu.Unlock()
	p.work.Wait()
}

// accept takes a connection if the centre is up.
func (c *centre) accept(l *link) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.running
	if p == nil {
		return false
	}
	if c.full || c.slow {
		l.set(func(l *link) { l.disturbed = true })
	}
	p.linksMu.Lock()
	p.links[l] = true
	p.linksMu.Unlock()
	p.work.Go(func() {
		p.serve(l)
		p.linksMu.Lock()
		defer p.linksMu.Unlock()
		delete(p.links, l)
	})
	return true
}

// commit commits what waits, in groups, until the process is killed. Between the
// commit and the answer is time to die.
func (p *process) commit() {
	rng := p.w.draw(sourceCentre, time.Now().UnixMilli())
	for {
		var group []post
		select {
		case first := <-p.posts:
			group = append(group, first)
		case <-p.stop:
			return
		}
		longest := 60
		if p.isSlow() {
			longest = 4000
		}
		if !p.wait(time.Duration(1+rng.IntN(longest)) * time.Millisecond) {
			return
		}
		for more := true; more && len(group) < groupMost; {
			select {
			case next := <-p.posts:
				group = append(group, next)
			default:
				more = false
			}
		}
		outcomes, ok := p.journal.commit(p, group)
		if !ok || !p.wait(time.Duration(rng.IntN(longest))*time.Millisecond) {
			return
		}
		for i, o := range outcomes {
			group[i].outcome <- o
		}
	}
}

// wait reports whether the process lives that long.
func (p *process) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-p.stop:
		return false
	}
}

func (c *centre) isSlow() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.slow
}

func (c *centre) isFull() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.full
}

// troubled reports whether the centre is not itself.
func (c *centre) troubled() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.running == nil || c.full || c.slow
}

// disturb makes all that is judged void.
func (c *centre) disturb(change func(*centre)) {
	c.troubles.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	change(c)
	if c.running == nil {
		return
	}
	c.running.linksMu.Lock()
	defer c.running.linksMu.Unlock()
	for l := range c.running.links {
		l.set(func(l *link) { l.disturbed = true })
	}
}

// begin makes a fault happen to the centre.
func (c *centre) begin(f fault) {
	switch f.kind {
	case faultCrash:
		c.disturb(func(*centre) {})
		c.kill()
		for _, n := range c.w.nodes {
			n.disk.compareAll("after the centre's crash")
		}
	case faultFull:
		c.disturb(func(c *centre) { c.full = true })
	case faultSlow:
		c.disturb(func(c *centre) { c.slow = true })
	}
}

func (c *centre) end(f fault) {
	switch f.kind {
	case faultCrash:
		c.start()
		c.disturb(func(*centre) {})
	case faultFull:
		c.disturb(func(c *centre) { c.full = false })
	case faultSlow:
		c.disturb(func(c *centre) { c.slow = false })
	}
}

// status is the one of a refusal.
func status(err error) int {
	if errors.Is(err, errFull) {
		return http.StatusServiceUnavailable
	}
	return http.StatusConflict
}
