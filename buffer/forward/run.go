package forward

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/queue"
)

const (
	// maxInFlight blocks wait for an answer at a time.
	maxInFlight = 4
	// maxHeld blocks wait for their next attempt at a time; more stop sending.
	maxHeld = 64
	// goodbyeWait bounds the farewell.
	goodbyeWait = 2 * time.Second
)

// The link is the way to the fleet as the forwarder sees it.
type link int

const (
	unknown link = iota // nothing was heard yet
	up                  // the last probe succeeded: blocks are sent
	doubted             // a block failed: a probe decides
	down                // a probe failed: only probes are sent
)

// A blockID names a block.
type blockID struct {
	lane    buffer.Lane
	session buffer.Session
	seq     buffer.Seq
}

func id(s queue.Stored) blockID { return blockID{lane: s.Lane, session: s.Session, seq: s.Seq} }

// A held block failed and is kept from the queue until its next attempt, so that
// it does not crowd out the others.
type held struct {
	block queue.Stored
	until time.Time
}

// A runner is the state of one Run. One goroutine owns it.
type runner struct {
	*Forwarder
	link     link
	inFlight int
	attempts map[blockID]int // failures in a row of blocks
	held     []held
	paused   time.Time // nothing is sent before
	troubles int       // failures in a row that pause all sending
	localErr bool      // the queue itself failed last

	beating  bool
	nextBeat time.Time
	missed   int // heartbeats in a row that failed

	verdicts chan verdict
	beats    chan error
	work     sync.WaitGroup
}

// Run sends until ctx ends. It returns nil: neither fleet nor disk can make it
// fail.
func (f *Forwarder) Run(ctx context.Context) error {
	r := &runner{
		Forwarder: f,
		attempts:  map[blockID]int{},
		verdicts:  make(chan verdict, maxInFlight),
		beats:     make(chan error, 1),
		nextBeat:  time.Now(),
	}
	requests, cancel := context.WithCancel(ctx)
	defer cancel()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		now := time.Now()
		r.releaseDue(now)
		r.startBeat(requests, now)
		r.startBlocks(requests, now)
		timer.Reset(r.wait(now))
		select {
		case <-ctx.Done():
		case v := <-r.verdicts:
			r.settle(v, time.Now())
		case err := <-r.beats:
			r.heard(err, time.Now())
		case <-f.o.Queue.Changed():
		case <-timer.C:
		}
	}
	r.stop(cancel)
	return nil
}

// stop gives everything back and says farewell.
func (r *runner) stop(cancel context.CancelFunc) {
	cancel()
	r.work.Wait()
	for ; r.inFlight > 0; r.inFlight-- {
		if v := <-r.verdicts; v.result == ResultFailed {
			r.o.Queue.Release(v.block)
		} else {
			r.count(v.block.Lane, v.result)
		}
	}
	for _, h := range r.held {
		r.o.Queue.Release(h.block)
	}
	if r.o.Goodbye && r.link != down {
		ctx, cancel := context.WithTimeout(context.Background(), goodbyeWait)
		defer cancel()
		if err := r.beat(ctx, true); err != nil {
			r.o.Log.Warn("fleet did not hear the farewell", slog.Any("error", err))
		}
	}
	r.o.Client.CloseIdleConnections()
}

// wait is how long nothing happens unless something is heard.
func (r *runner) wait(now time.Time) time.Duration {
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
	for _, h := range r.held {
		earlier(h.until)
	}
	return next.Sub(now)
}

func (r *runner) startBeat(ctx context.Context, now time.Time) {
	if r.beating || now.Before(r.nextBeat) {
		return
	}
	r.beating = true
	r.work.Go(func() { r.beats <- r.beat(ctx, false) })
}

// startBlocks fills the free places in flight.
func (r *runner) startBlocks(ctx context.Context, now time.Time) {
	free := maxInFlight - r.inFlight
	if r.link != up || free == 0 || now.Before(r.paused) || len(r.held) >= maxHeld {
		return
	}
	blocks, err := r.o.Queue.Next(ctx, free)
	if err != nil {
		r.local(err, now)
		return
	}
	for _, s := range blocks {
		r.inFlight++
		r.work.Go(func() { r.verdicts <- r.send(ctx, s) })
	}
}

// local pauses because the node's own disk is in trouble, and says so once.
func (r *runner) local(err error, now time.Time) {
	if errors.Is(err, context.Canceled) {
		return
	}
	r.failed(err)
	if !r.localErr {
		r.o.Log.Error("buffer cannot be read or written; forwarding tries again", slog.Any("error", err))
	}
	r.localErr = true
	r.troubles++
	r.paused = now.Add(delay(r.troubles, r.o.Rand))
}

// settle does what a block's verdict asks for.
func (r *runner) settle(v verdict, now time.Time) {
	r.inFlight--
	r.count(v.block.Lane, v.result)
	switch v.result {
	case ResultAcked, ResultDuplicate:
		delete(r.attempts, id(v.block))
		r.troubles, r.localErr = 0, false
		return
	case ResultRejected:
		delete(r.attempts, id(v.block))
		r.o.Log.Error("fleet will never take this block: declared lost; after a conflict, make sure that no copy of this data folder is in use",
			slog.String("lane", v.block.Lane.String()), slog.Uint64("sequence", uint64(v.block.Seq)), slog.Any("error", v.err))
		r.failed(v.err)
		return
	}
	r.failed(v.err)
	r.hold(v.block, now)
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

// hold keeps a block back for a time that grows with its failures.
func (r *runner) hold(s queue.Stored, now time.Time) {
	if len(r.attempts) > 16*maxHeld {
		clear(r.attempts) // bounds memory; delays start anew
	}
	r.attempts[id(s)]++
	r.held = append(r.held, held{block: s, until: now.Add(delay(r.attempts[id(s)], r.o.Rand))})
}

// releaseDue gives held blocks back whose time has come.
func (r *runner) releaseDue(now time.Time) {
	kept := r.held[:0]
	for _, h := range r.held {
		if now.Before(h.until) {
			kept = append(kept, h)
			continue
		}
		r.o.Queue.Release(h.block)
	}
	r.held = kept
}

// heard notes what came of a heartbeat. It logs when the fleet goes or comes.
func (r *runner) heard(err error, now time.Time) {
	r.beating = false
	if err == nil {
		if r.link == unknown || r.link == down {
			r.o.Log.Info("fleet is reachable", slog.String("url", r.base))
			r.comeBack(now)
		}
		r.link, r.missed = up, 0
		r.setUp(true, now)
		r.nextBeat = now.Add(r.o.Heartbeat)
		return
	}
	if errors.Is(err, context.Canceled) {
		return
	}
	r.failed(err)
	r.missed++
	r.nextBeat = now.Add(delay(r.missed, r.o.Rand))
	switch {
	case r.link == down:
		return
	case r.link == up && !errors.Is(err, errNoProgress):
		r.link = doubted // one lost request is not an outage
		return
	}
	r.o.Log.Warn("fleet is unreachable; the buffer keeps what happens meanwhile", slog.String("url", r.base), slog.Any("error", err))
	r.link = down
	r.setUp(false, now)
	// Half-open connections would swallow the next probes as well.
	r.o.Client.CloseIdleConnections()
}

// comeBack forgets the waits that the outage imposed, so that what is fresh goes
// out first.
func (r *runner) comeBack(now time.Time) {
	for i := range r.held {
		r.held[i].until = now
	}
	r.releaseDue(now)
	r.paused, r.troubles = now, 0
}
