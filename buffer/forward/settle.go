package forward

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"ghostlight/buffer/wire"
)

// maxRanges of one lane are handed to the queue at a time.
const maxRanges = 256

// A settler hands acknowledgements to the queue beside the sending: commits take
// their time, and what comes meanwhile shares the next one.
type settler struct {
	pending []wire.Ack // one for each session and lane
	active  []wire.Ack // those that the queue works on
	pause   time.Time  // the disk is left alone until then
	done    chan error // receives once the queue is through with active
}

// add merges an acknowledgement into those that wait.
func (t *settler) add(a wire.Ack) {
	i := slices.IndexFunc(t.pending, func(p wire.Ack) bool {
		return p.Session == a.Session && p.Lane == a.Lane && len(p.Ranges) < maxRanges
	})
	if i < 0 {
		t.pending = append(t.pending, wire.Ack{Session: a.Session, Lane: a.Lane})
		i = len(t.pending) - 1
	}
	for _, r := range a.Ranges {
		ranges := t.pending[i].Ranges
		if n := len(ranges); n > 0 && ranges[n-1].Last+1 == r.First {
			ranges[n-1].Last = r.Last
			continue
		}
		t.pending[i].Ranges = append(ranges, r)
	}
}

// settle begins to hand over what waits, unless the queue is busy with the last.
func (s *stream) settle(ctx context.Context, now time.Time) {
	t := &s.acks
	if len(t.active) > 0 || len(t.pending) == 0 || now.Before(t.pause) {
		return
	}
	t.active, t.pending = t.pending, nil
	active := t.active
	s.work.Go(func() { t.done <- s.forget(context.WithoutCancel(ctx), active) })
}

// forget tells the queue what the fleet holds, all lanes at once so that they
// share a commit.
func (s *stream) forget(ctx context.Context, acks []wire.Ack) error {
	errs := make([]error, len(acks))
	var work sync.WaitGroup
	for i, a := range acks {
		work.Go(func() { errs[i] = s.o.Queue.Ack(ctx, a) })
	}
	work.Wait()
	return errors.Join(errs...)
}

// settled notes that the queue is through. What it could not forget it is told
// again: to forget twice does no harm.
func (s *stream) settled(err error, now time.Time) {
	t := &s.acks
	if err != nil {
		t.pending = append(t.active, t.pending...)
		t.pause = now.Add(s.disk(err))
	} else {
		s.disk(nil)
	}
	t.active = nil
}

// settleRest hands over what waits at the end of a stream. What the disk does not
// take then waits for the next one.
func (s *stream) settleRest(ctx context.Context) {
	t := &s.acks
	now := time.Now()
	if len(t.active) > 0 {
		s.settled(<-t.done, now)
	}
	if len(t.pending) > 0 {
		ctx, cancel := context.WithTimeout(ctx, goodbyeWait)
		defer cancel()
		t.active, t.pending = t.pending, nil
		s.settled(s.forget(ctx, t.active), now)
	}
}
