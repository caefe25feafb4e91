package forward

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

const (
	// streamSoon is how long blocks go by POST before a stream is tried again, the
	// first time; then twice as long, up to streamAgain.
	streamSoon  = 30 * time.Second
	streamAgain = 5 * time.Minute
	// fallbackAfter streams in a row that came to nothing, POST is tried.
	fallbackAfter = 2
	// goodbyeWait bounds the farewell.
	goodbyeWait = 2 * time.Second
)

// Run sends until ctx ends. It returns nil: neither fleet nor disk can make it
// fail.
func (f *Forwarder) Run(ctx context.Context) error {
	if err := f.budget.load(ctx, f.o.Memory, time.Now()); err != nil {
		f.disk(err) // the day begins anew
	}
	said := false // the farewell
	again := streamSoon
	for failures := 0; ctx.Err() == nil; {
		s, err := f.stream(ctx)
		if said = s.said; ctx.Err() != nil {
			break
		}
		if s.useful {
			again = streamSoon
		}
		if failures = f.lost(s, err, failures); f.worthPosting(err, failures) {
			if err = f.posts(ctx, time.Now().Add(again)); err == nil {
				failures, again = fallbackAfter-1, min(2*again, streamAgain)
				continue
			}
			f.unreached(err, time.Now())
		}
		wait(ctx, f.pause(err, failures))
	}
	if f.o.Goodbye && !said {
		f.farewell()
	}
	f.keepBudget(context.WithoutCancel(ctx), time.Now(), true)
	return nil
}

// lost notes why a stream ended and returns how many in a row came to nothing.
func (f *Forwarder) lost(s *stream, err error, failures int) int {
	now := time.Now()
	switch {
	case errors.Is(err, ErrNoStream):
		failures = max(failures+1, fallbackAfter)
	case s.useful:
		failures = 1
	default:
		failures++
	}
	switch {
	case f.worthPosting(err, failures): // that decides
	case s.useful && !errors.Is(err, errNoProgress):
		f.state.failed(err) // it did its work and is begun again before anything is said
	default:
		f.unreached(err, now)
	}
	return failures
}

// worthPosting reports whether it may be only streams that the way does not carry.
func (f *Forwarder) worthPosting(err error, failures int) bool {
	return failures >= fallbackAfter && !errors.Is(err, ErrUnreachable) && !busy(err)
}

func busy(err error) bool {
	var b *busyError
	return errors.As(err, &b)
}

// pause is how long to wait before the next stream.
func (f *Forwarder) pause(err error, failures int) time.Duration {
	d := delay(failures, f.o.Rand)
	var b *busyError
	if errors.As(err, &b) {
		d = max(d, b.after)
	}
	return d
}

// wait waits or until ctx ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// farewell says goodbye by a request, where no stream is open to say it.
func (f *Forwarder) farewell() {
	if s := f.state.copy(); !s.Up {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), goodbyeWait)
	defer cancel()
	if err := f.beat(ctx, true); err != nil {
		f.o.Log.Warn("fleet did not hear the farewell", slog.Any("error", err))
	}
	f.o.Client.CloseIdleConnections()
}
