package notify

import (
	"context"
	"errors"
	"time"
)

const (
	retryFirst = time.Second
	retryMost  = time.Minute // how late a receiver that came back is told, at most
	retryStore = 5 * time.Second
)

// backoff is how long to wait after so many failures in a row: doubling, and up to a
// half less, so that receivers that failed together are not tried together.
func backoff(failures int, random float64) time.Duration {
	d := retryMost
	if failures < 6 {
		d = retryFirst << failures
	}
	return d - time.Duration(random*float64(d)/2)
}

// retry sends each group's message. A try is counted before it is made. A page that
// the receiver does not take is tried again later, and holds up no other; where the
// receiver itself does not work, all wait.
func (c *courier) retry(ctx context.Context, _ time.Time, in []parcel) ([]parcel, error) {
	list := batches(in)
	for len(list) > 0 {
		batch := list[0]
		list = list[1:]
		now := c.n.o.Now()
		var due time.Time
		err := c.n.claim(ctx, c.route.Name, batch, func(attempts int) time.Time {
			at := now.Add(backoff(attempts, c.n.o.Rand()))
			due = sooner(due, at)
			return at
		})
		if err != nil {
			return nil, err
		}
		pages := make([]Page, len(batch))
		for i, p := range batch {
			pages[i] = p.Page
		}
		err = c.send(ctx, Message{Group: batch[0].group(), At: now, Pages: pages})
		switch {
		case err == nil:
			c.succeeded()
			if err := c.n.settle(ctx, c.route.Name, pages, false, c.n.o.Now()); err != nil {
				return nil, err
			}
			c.told(pages)
			c.again(now) // more may be owed of the same keys
		case ctx.Err() != nil:
			return nil, nil
		case errors.Is(err, ErrRejected) && len(batch) > 1:
			for _, p := range batch { // one of them is at fault
				list = append(list, []parcel{p})
			}
		case errors.Is(err, ErrRejected):
			c.refused(pages[0], err)
			c.again(due)
		default:
			c.failed(err)
			return nil, nil
		}
	}
	return nil, nil
}

// succeeded notes that the receiver works.
func (c *courier) succeeded() {
	if c.failures > 0 {
		c.n.o.Log.Info("receiver works again", "receiver", c.route.Name, "failures", c.failures)
	}
	c.failures, c.paused = 0, time.Time{}
}

// failed pauses after an error of the receiver itself.
func (c *courier) failed(err error) {
	c.n.metrics.failures.WithLabelValues(c.route.Name, "failed").Inc()
	if c.failures == 0 {
		c.n.o.Log.Error("receiver cannot be told, will retry; pages are kept", "receiver", c.route.Name, "error", err)
	}
	wait := backoff(c.failures, c.n.o.Rand())
	var busy *busyError
	if errors.As(err, &busy) {
		wait = max(wait, min(busy.after, retryMost))
	}
	c.failures++
	c.paused = c.n.o.Now().Add(wait)
	c.again(c.paused)
}

// refused notes that the receiver does not take one page.
func (c *courier) refused(p Page, err error) {
	c.n.metrics.failures.WithLabelValues(c.route.Name, "rejected").Inc()
	if c.rejected[p.Key] {
		return
	}
	if len(c.rejected) >= 1000 {
		clear(c.rejected) // rather say it twice than grow
	}
	c.rejected[p.Key] = true
	c.n.o.Log.Error("receiver rejects a page, will retry; check its address and what it accepts",
		"receiver", c.route.Name, "incident", p.Key, "phase", string(p.Phase), "error", err)
}

func (c *courier) told(pages []Page) {
	for _, p := range pages {
		delete(c.rejected, p.Key)
		c.n.metrics.sent.WithLabelValues(c.route.Name, string(p.Phase)).Inc()
	}
}
