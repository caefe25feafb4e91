// Package schedule runs journeys at their times.
//
// It guarantees that a journey never overlaps itself: a run that comes due while
// the journey is still running is skipped and counted. It never runs what it
// missed later: after a suspended machine or a clock that jumped, the next time is
// the next one from now.
package schedule

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"ghostlight/synthetics"
)

// maxNap bounds how long the wall clock goes unread while waiting.
const maxNap = time.Minute

// Options configure a [Scheduler].
type Options struct {
	// Journeys have names of their own; those without a schedule run only when
	// asked to.
	Journeys []synthetics.Journey
	// Run does one run; a runner's Run method.
	Run func(context.Context, synthetics.Journey) synthetics.Result
	// OnResult gets the result of every run that was not cut short by the context
	// it ran in; for one journey in order, for several at the same time. It must
	// not ask for a run of the same journey. Nil means that nobody is told.
	OnResult func(synthetics.Result)
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Rand draws from [0, n), for jitter; nil means math/rand/v2. It is called
	// from several goroutines.
	Rand func(n int64) int64
}

// A Scheduler runs journeys at their times.
type Scheduler struct {
	entries  []*entry
	run      func(context.Context, synthetics.Journey) synthetics.Result
	onResult func(synthetics.Result)
	now      func() time.Time
	rand     func(int64) int64
}

// An entry is one journey.
type entry struct {
	journey synthetics.Journey
	times   synthetics.Schedule // nil: only when asked to
	skipped atomic.Int64

	slot   chan struct{} // holds a token while a run is in progress
	starts int64         // runs begun so far; guarded by slot
	last   completed     // guarded by slot
	asked  atomic.Int64  // starts as seen by those who wait for the slot
}

// completed is the last run that ended by itself.
type completed struct {
	start  int64 // its number, from 1; 0: there was none
	result synthetics.Result
}

// New checks the journeys: each valid, with a name of its own.
func New(o Options) (*Scheduler, error) {
	if o.Run == nil {
		return nil, errors.New("schedule: Run is missing")
	}
	s := &Scheduler{run: o.Run, onResult: o.OnResult, now: o.Now, rand: o.Rand}
	if s.onResult == nil {
		s.onResult = func(synthetics.Result) {}
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.rand == nil {
		s.rand = rand.Int64N
	}
	for _, j := range o.Journeys {
		if err := j.Prepare(); err != nil {
			return nil, fmt.Errorf("journey %q: %w", j.Name, err)
		}
		if s.find(j.Name) != nil {
			return nil, fmt.Errorf("two journeys have the name %q; give each its own", j.Name)
		}
		e := &entry{journey: j, slot: make(chan struct{}, 1)}
		if j.Schedule != "" {
			times, err := synthetics.ParseSchedule(j.Schedule)
			if err != nil {
				return nil, fmt.Errorf("journey %q: schedule %w", j.Name, err)
			}
			e.times = times
		}
		s.entries = append(s.entries, e)
	}
	return s, nil
}

func (s *Scheduler) find(name string) *entry {
	for _, e := range s.entries {
		if e.journey.Name == name {
			return e
		}
	}
	return nil
}

// Run runs the journeys at their times until ctx ends, waits for those in
// progress and returns nil.
func (s *Scheduler) Run(ctx context.Context) error {
	var g errgroup.Group
	for _, e := range s.entries {
		if e.times != nil {
			g.Go(func() error {
				s.follow(ctx, e)
				return nil
			})
		}
	}
	return g.Wait()
}

// Skipped counts, per journey, the runs that came due while the journey was still
// running, or that a clock set ahead leapt over (at most a thousand for one leap).
func (s *Scheduler) Skipped() map[string]int64 {
	out := make(map[string]int64, len(s.entries))
	for _, e := range s.entries {
		out[e.journey.Name] = e.skipped.Load()
	}
	return out
}

// RunNow runs the journey called name and returns its result, in the caller's
// goroutine. The run began after the call: one already in progress is waited for,
// then a new one starts; callers who wait together share it. It fails if there is
// no such journey or if ctx ends first.
func (s *Scheduler) RunNow(ctx context.Context, name string) (synthetics.Result, error) {
	e := s.find(name)
	if e == nil {
		return synthetics.Result{}, fmt.Errorf("there is no journey %q", name)
	}
	before := e.asked.Load()
	select {
	case e.slot <- struct{}{}:
	case <-ctx.Done():
		return synthetics.Result{}, fmt.Errorf("run journey %s: %w", name, ctx.Err())
	}
	defer func() { <-e.slot }()
	if e.last.start > before {
		return e.last.result, nil
	}
	res, ok := s.once(ctx, e)
	if !ok {
		return res, fmt.Errorf("run journey %s: %w", name, ctx.Err())
	}
	return res, nil
}

// once runs e, whose slot the caller holds. A result that ctx cut short says
// nothing about the service: it is nobody's news.
func (s *Scheduler) once(ctx context.Context, e *entry) (synthetics.Result, bool) {
	e.starts++
	e.asked.Store(e.starts)
	res := s.run(ctx, e.journey)
	if ctx.Err() != nil {
		return res, false
	}
	e.last = completed{start: e.starts, result: res}
	s.onResult(res)
	return res, true
}

// follow runs e at its times until ctx ends.
func (s *Scheduler) follow(ctx context.Context, e *entry) {
	due := e.times.Next(s.wall())
	for {
		if !s.sleepUntil(ctx, e, &due) {
			return
		}
		if !s.nap(ctx, s.jitter(e)) {
			return
		}
		select {
		case e.slot <- struct{}{}:
			s.once(ctx, e)
			<-e.slot
		default:
			e.skipped.Add(1)
		}
		due = e.after(due, s.wall())
	}
}

// mostCounted bounds the search for times that were leapt over.
const mostCounted = 1000

// after is the first time past now, counting those in between as skipped.
func (e *entry) after(due, now time.Time) time.Time {
	for range mostCounted {
		due = e.times.Next(due)
		if due.After(now) {
			return due
		}
		e.skipped.Add(1)
	}
	return e.times.Next(now)
}

// sleepUntil waits for due by the wall clock, which may be set meanwhile: set
// back, due is found anew.
func (s *Scheduler) sleepUntil(ctx context.Context, e *entry, due *time.Time) bool {
	for {
		before := s.wall()
		wait := due.Sub(before)
		if wait <= 0 {
			return ctx.Err() == nil
		}
		if !s.nap(ctx, min(wait, maxNap)) {
			return false
		}
		if now := s.wall(); now.Before(before) {
			*due = e.times.Next(now)
		}
	}
}

func (s *Scheduler) jitter(e *entry) time.Duration {
	if e.journey.Jitter <= 0 {
		return 0
	}
	return time.Duration(s.rand(int64(e.journey.Jitter)))
}

// wall is the wall clock alone: without its monotonic part, so that a clock that
// is set shows.
func (s *Scheduler) wall() time.Time { return s.now().Round(0) }

// nap waits for d and reports whether ctx is still alive.
func (s *Scheduler) nap(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
