package notify

import (
	"context"
	"errors"
	"slices"
	"time"
)

// A courier brings one receiver its pages, one message at a time, so that a receiver
// that hangs delays nobody else's. Its fields belong to its goroutine.
type courier struct {
	n       *Notifier
	route   Route
	matches func(labels map[string]string) bool
	wake    chan struct{} // of one: there may be something to do

	stages    []stage
	next      time.Time       // when a stage wants to look again; zero: it waits for nothing
	paused    time.Time       // the receiver failed: nothing is sent before
	failures  int             // in a row
	refreshed time.Time       // when what is firing was told again
	rejected  map[string]bool // keys that the receiver does not take, as was logged
}

// A stage takes the pages that may go further at now, and passes on those that do.
// What it holds back it finds among what it is given later; [courier.again] says when.
type stage func(ctx context.Context, now time.Time, in []parcel) ([]parcel, error)

func newCourier(n *Notifier, r Route, matches func(map[string]string) bool) *courier {
	c := &courier{n: n, route: r, matches: matches, wake: make(chan struct{}, 1), rejected: map[string]bool{}}
	c.stages = []stage{c.hold, c.silence, c.group, c.retry}
	return c
}

// takes reports whether the receiver is to be told. That a page is over, and what is
// found of it afterwards, is for those who were told of it, whatever they match.
func (c *courier) takes(n Notification, phase Phase) bool {
	switch {
	case phase == Resolve:
		return true
	case phase == Revise:
		return !c.route.LiveOnly
	case phase == Late && c.route.LiveOnly:
		return false
	}
	return c.matches(n.Labels())
}

// idle is how long a courier with nothing to do sleeps unless it is woken.
const idle = time.Hour

func (c *courier) run(ctx context.Context) {
	sleep := time.NewTimer(0)
	defer sleep.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
		case <-sleep.C:
		}
		c.next = time.Time{}
		if err := c.round(ctx); err != nil && ctx.Err() == nil {
			c.n.o.Log.Error("notifications cannot be read or kept, will retry", "receiver", c.route.Name, "error", err)
			c.again(c.n.o.Now().Add(retryStore))
		}
		if ctx.Err() != nil {
			return
		}
		wait := idle
		if !c.next.IsZero() {
			wait = max(0, c.next.Sub(c.n.o.Now()))
		}
		sleep.Reset(wait)
	}
}

// again asks for another round at t.
func (c *courier) again(t time.Time) { c.next = sooner(c.next, t) }

// round does what is to be done now.
func (c *courier) round(ctx context.Context) error {
	now := c.n.o.Now()
	if now.Before(c.paused) {
		c.again(c.paused)
		return nil
	}
	if err := c.refresh(ctx, now); err != nil || now.Before(c.paused) {
		return err
	}
	pages, next, err := c.n.owed(ctx, c.route.Name, now)
	if err != nil {
		return err
	}
	c.again(next)
	for _, pass := range c.stages {
		if pages, err = pass(ctx, now, pages); err != nil || len(pages) == 0 {
			return err
		}
	}
	return nil
}

// refresh tells again what is firing, if it is time.
func (c *courier) refresh(ctx context.Context, now time.Time) error {
	if c.route.Refresh <= 0 {
		return nil
	}
	if due := c.refreshed.Add(c.route.Refresh); now.Before(due) {
		c.again(due)
		return nil
	}
	pages, err := c.n.firing(ctx, c.route.Name)
	if err != nil {
		return err
	}
	for list := slices.Collect(slices.Chunk(pages, maxPages)); len(list) > 0; list = list[1:] {
		some := list[0]
		switch err := c.send(ctx, Message{At: now, Refresh: true, Pages: some}); {
		case err == nil:
			c.succeeded()
			if err := c.n.settle(ctx, c.route.Name, some, true, now); err != nil {
				return err
			}
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, ErrRejected) && len(some) > 1:
			list = append(list, slices.Collect(slices.Chunk(some, 1))...) // one of them is at fault
		case errors.Is(err, ErrRejected):
			c.refused(some[0], err)
		default:
			c.failed(err)
			return nil
		}
	}
	c.refreshed = now
	c.again(now.Add(c.route.Refresh))
	return nil
}
