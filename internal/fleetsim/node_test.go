package fleetsim

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"ghostlight/buffer/forward"
	"ghostlight/buffer/wire"
)

// A node is a disk, an uplink, and a process that dies now and then.
type node struct {
	w         *world
	number    int
	disk      *disk
	uplink    *uplink
	venue     *venue
	rated     bool // what is fresh may have to wait for a moment's bytes
	capped    bool // all but revenue may have to wait for the next day's
	bandwidth forward.Bandwidth
	throttled int         // rate of the uplink before it was throttled; only its faults use it
	suffers   atomic.Bool // a fault is under way

	mu     sync.Mutex // guards what follows
	opened *opening
	cancel context.CancelFunc
	done   chan error
	lives  int
	turns  int // beginnings and ends of lives
}

func newNode(w *world, number int) *node {
	n := &node{w: w, number: number, disk: newDisk(w, number, w.draw(sourceDisk, int64(number))), venue: newVenue(w.draw(sourceVenue, int64(number)), number)}
	rng := w.draw(sourceUplink, int64(number))
	switch rng.IntN(8) {
	case 0:
		n.rated, n.bandwidth.PerSecond = true, 1<<10+rng.Int64N(4<<10)
	case 1:
		n.capped, n.bandwidth.PerDay = true, 2<<10+rng.Int64N(20<<10)
	}
	n.uplink = newUplink(w, n, rng)
	return n
}

// offline answers requests: only streams are simulated.
type offline struct{}

func (offline) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("this way carries no requests")
}

// start begins a life.
func (n *node) start() {
	o := n.disk.open()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lives++
	n.turns++
	f, err := forward.New(forward.Options{
		URL: "http://centre.test", Token: "t", Queue: o, Memory: o, Dial: n.uplink.dial, Bandwidth: n.bandwidth,
		Client:  &http.Client{Transport: offline{}},
		Info:    func() wire.Heartbeat { return wire.Heartbeat{Session: o.session, Version: "1"} },
		Goodbye: n.lives%2 == 0,
		Rand:    n.w.draw(sourceForward, int64(n.number)<<16|int64(n.lives)).Float64,
	})
	if err != nil {
		n.w.problem("node %d: %v", n.number, err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	n.opened, n.cancel, n.done = o, cancel, done
	go func() { done <- f.Run(ctx) }()
}

// stop ends a life in order: nothing that was handed out is kept.
func (n *node) stop() {
	n.ended()
	n.disk.mu.Lock()
	out := 0
	n.disk.each(func(b *kept) {
		if b.out {
			out++
		}
	})
	n.disk.mu.Unlock()
	if out > 0 {
		n.w.problem("node %d: %d blocks were not given back", n.number, out)
	}
	n.disk.off()
}

// die ends a life at once.
func (n *node) die() {
	n.disk.off()
	n.uplink.change(func(*uplink) {}, func(l *link) {
		l.endNode(0)
		l.endCentre()
	})
	n.ended()
}

// ended waits for the end of the sender.
func (n *node) ended() {
	n.mu.Lock()
	n.turns++
	cancel, done := n.cancel, n.done
	n.mu.Unlock()
	if cancel == nil {
		return
	}
	cancel()
	if err := <-done; err != nil {
		n.w.problem("node %d: %v", n.number, err)
	}
}

// turned is how often a life began or ended.
func (n *node) turned() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.turns
}

// produce scrapes the venue until the night ends.
func (n *node) produce() {
	rng := n.w.draw(sourceScrape, int64(n.number))
	time.Sleep(time.Duration(rng.Int64N(int64(n.w.scrape))))
	for i := 0; time.Since(n.w.began) < n.w.night; i++ {
		n.mu.Lock()
		o := n.opened
		n.mu.Unlock()
		o.commit(n.venue.scrape(time.Now()))
		if i%8 == 7 {
			o.tidy()
		}
		time.Sleep(n.w.scrape)
	}
}

// uncap lifts the budget of the day: what waits for the next one is sent now.
func (n *node) uncap() {
	if !n.capped {
		return
	}
	n.stop()
	n.bandwidth = forward.Bandwidth{}
	n.start()
}
