package forward

import (
	"context"
	"errors"
	"sync"
	"time"

	"ghostlight/buffer"
)

// maxInFlight blocks wait for an answer at a time.
const maxInFlight = 4

// The link is the way to the fleet as the forwarder sees it.
type link int

const (
	unknown link = iota // nothing was heard yet
	up                  // the last probe succeeded: blocks are sent
	doubted             // a block failed: a probe decides
	down                // a probe failed
)

// A poster is the state of sending by requests. One goroutine owns it.
type poster struct {
	*Forwarder
	link     link
	inFlight int
	held     held
	paused   time.Time // nothing is sent before
	troubles int       // refusals in a row that pause all sending

	beating  bool
	nextBeat time.Time
	missed   int // heartbeats in a row that failed

	verdicts chan verdict
	beats    chan error
	work     sync.WaitGroup
}

// posts sends by requests until a time is reached, ctx ends or the fleet cannot be
// reached that way either, which it reports by its error. Its first heartbeat
// decides whether there is a way at all.
func (f *Forwarder) posts(ctx context.Context, until time.Time) error {
	r := &poster{
		Forwarder: f,
		verdicts:  make(chan verdict, maxInFlight),
		beats:     make(chan error, 1),
		nextBeat:  time.Now(),
	}
	requests, cancel := context.WithCancel(ctx)
	defer cancel()
	timer := time.NewTimer(0)
	defer timer.Stop()
	var err error
	for ctx.Err() == nil && r.link != down {
		now := time.Now()
		r.held.release(f.o.Queue, now)
		if now.Before(until) {
			r.startBeat(requests, now)
			r.startBlocks(requests, now)
		} else if r.inFlight == 0 && !r.beating {
			break
		}
		f.keepBudget(ctx, now, false)
		timer.Reset(r.wait(now, until))
		select {
		case <-ctx.Done():
		case v := <-r.verdicts:
			r.settle(v, time.Now())
		case err = <-r.beats:
			r.heard(err, time.Now())
		case <-f.o.Queue.Changed():
		case <-timer.C:
		}
	}
	if r.stop(cancel); r.link == down {
		return err
	}
	return nil
}

// stop gives everything back.
func (r *poster) stop(cancel context.CancelFunc) {
	cancel()
	r.work.Wait()
	for ; r.inFlight > 0; r.inFlight-- {
		v := <-r.verdicts
		r.state.count(v.block.Lane, v.result)
		if v.result == ResultFailed {
			r.o.Queue.Release(v.block)
		}
	}
	r.held.releaseAll(r.o.Queue)
	r.o.Client.CloseIdleConnections()
}

// wait is how long nothing happens unless something is heard.
func (r *poster) wait(now, until time.Time) time.Duration {
	next := now.Add(r.o.Heartbeat)
	earlier := func(t time.Time) {
		if t.After(now) && t.Before(next) {
			next = t
		}
	}
	if !r.beating {
		earlier(r.nextBeat)
	}
	earlier(r.paused)
	earlier(r.held.next())
	earlier(r.budget.wait(burst, now))
	earlier(until)
	return next.Sub(now)
}

func (r *poster) startBeat(ctx context.Context, now time.Time) {
	if r.beating || now.Before(r.nextBeat) {
		return
	}
	r.beating = true
	r.work.Go(func() { r.beats <- r.beat(ctx, false) })
}

// startBlocks fills the free places in flight.
func (r *poster) startBlocks(ctx context.Context, now time.Time) {
	free := maxInFlight - r.inFlight
	if r.budget.bounded() {
		free = 1 - r.inFlight // what the next one may be depends on this one's size
	}
	if r.link != up || free <= 0 || now.Before(r.paused) || r.held.full() {
		return
	}
	blocks, err := r.o.Queue.Next(ctx, free, func(lane buffer.Lane, fresh bool) bool {
		return r.budget.allows(lane, fresh, burst, now)
	})
	if err != nil {
		r.paused = now.Add(r.disk(err))
		return
	}
	for _, s := range blocks {
		r.inFlight++
		r.work.Go(func() { r.verdicts <- r.send(ctx, s) })
	}
}

// settle does what a block's verdict asks for.
func (r *poster) settle(v verdict, now time.Time) {
	r.inFlight--
	r.state.count(v.block.Lane, v.result)
	switch v.result {
	case ResultAcked, ResultDuplicate:
		r.held.settled(v.block)
		r.troubles = 0
		r.disk(nil)
		return
	case ResultRejected:
		r.held.settled(v.block)
		r.tellRejected(v.block, v.err)
		return
	}
	r.state.failed(v.err)
	r.held.add(v.block, now, 0, r.o.Rand)
	if v.busy {
		r.troubles++
		r.paused = now.Add(max(v.pause, delay(r.troubles, r.o.Rand)))
	}
	if v.link && r.link == up {
		// The probe takes a new connection: the old ones may be half-open.
		r.link, r.nextBeat = doubted, now
		r.o.Client.CloseIdleConnections()
	}
}

// heard notes what came of a heartbeat.
func (r *poster) heard(err error, now time.Time) {
	r.beating = false
	if err == nil {
		r.reached(ModePost, now)
		r.link, r.missed = up, 0
		r.nextBeat = now.Add(r.o.Heartbeat)
		return
	}
	if errors.Is(err, context.Canceled) {
		return
	}
	r.state.failed(err)
	r.missed++
	r.nextBeat = now.Add(delay(r.missed, r.o.Rand))
	if r.link == up && !errors.Is(err, errNoProgress) {
		r.link = doubted // one lost request is not an outage
		return
	}
	r.link = down
}
