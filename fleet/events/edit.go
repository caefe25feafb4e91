package events

import (
	"context"
	"crypto/rand"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Create starts an event at its venues now, by hand. The error is [ErrInvalid] when
// the name is empty or too long, or a venue is not of this fleet.
func (c *Calendar) Create(ctx context.Context, name string, venues []string) (Event, error) {
	return c.add(ctx, Spec{Name: name, Venues: venues}, Hand)
}

// Plan adds an event; one without a start begins now. The error is [ErrInvalid] when
// it cannot be.
func (c *Calendar) Plan(ctx context.Context, s Spec) (Event, error) {
	return c.add(ctx, s, API)
}

func (c *Calendar) add(ctx context.Context, s Spec, by Origin) (Event, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	now := c.now()
	e, err := c.event(s, now)
	if err != nil {
		return Event{}, err
	}
	if c.events.Load().room(now) == 0 {
		return Event{}, fmt.Errorf("%w: too many events; at most %d that are not over are kept, and %d in all: end or cancel some", ErrInvalid, MaxPlanned, MaxEvents)
	}
	e.ID, e.Origin = newID(), by
	if err := c.commit(ctx, e); err != nil {
		return Event{}, fmt.Errorf("create event: %w", err)
	}
	return e.clone(), nil
}

func newID() string { return strings.ToLower(rand.Text()[:16]) }

// Update makes of an event that is not over what s says, all of it; without a start
// it keeps its own. The error is [ErrUnknown] or [ErrInvalid].
func (c *Calendar) Update(ctx context.Context, id string, s Spec) (Event, error) {
	return c.change(ctx, "change", id, func(e *Event, now time.Time) error {
		if s.StartMS == 0 {
			s.StartMS = e.StartMS
		}
		next, err := c.event(s, now)
		if err != nil {
			return err
		}
		phase := e.Phase(now)
		switch {
		case phase == Over || phase == Cancelled:
			return fmt.Errorf("%w: it is %s and stays as it is; plan another one", ErrInvalid, phase)
		case phase == Ongoing && next.StartMS > now.UnixMilli():
			return fmt.Errorf("%w: it has begun; end it, and plan another one", ErrInvalid)
		}
		e.Name, e.Venues = next.Name, next.Venues
		e.StartMS, e.EndMS, e.DoorsMS, e.OnMS, e.OffMS = next.StartMS, next.EndMS, next.DoorsMS, next.OnMS, next.OffMS
		return nil
	})
}

// Begin starts a planned event now, earlier than planned; one that has begun keeps
// its start. The error is [ErrUnknown], or [ErrInvalid] when it was called off.
func (c *Calendar) Begin(ctx context.Context, id string) (Event, error) {
	return c.change(ctx, "begin", id, func(e *Event, now time.Time) error {
		switch e.Phase(now) {
		case Cancelled:
			return fmt.Errorf("%w: it was called off; plan another one", ErrInvalid)
		case Planned:
			ms := now.UnixMilli()
			e.StartMS, e.DoorsMS, e.OnMS = ms, min(e.DoorsMS, ms), min(e.OnMS, ms)
			if e.EndMS-e.StartMS > MaxLength.Milliseconds() {
				return fmt.Errorf("%w: it would last longer than %d days; change its end first", ErrInvalid, MaxLength/(24*time.Hour))
			}
		}
		return nil
	})
}

// End ends an event now and returns it; one that has ended keeps its end. Its nodes
// stay expected on for as long after it as they were. The error is [ErrUnknown], or
// [ErrInvalid] when it has not begun.
func (c *Calendar) End(ctx context.Context, id string) (Event, error) {
	return c.change(ctx, "end", id, func(e *Event, now time.Time) error {
		switch e.Phase(now) {
		case Planned, Cancelled:
			return fmt.Errorf("%w: it has not begun; cancel it instead", ErrInvalid)
		case Ongoing:
			e.end(now)
		}
		return nil
	})
}

func (e *Event) end(now time.Time) {
	after := OffAfter.Milliseconds()
	if e.EndMS != 0 {
		after = e.OffMS - e.EndMS
	}
	e.EndMS = max(e.StartMS+1, now.UnixMilli())
	e.OffMS = e.EndMS + after
}

// Cancel calls off an event that has not begun. The error is [ErrUnknown], or
// [ErrInvalid] when it has.
func (c *Calendar) Cancel(ctx context.Context, id string) (Event, error) {
	return c.change(ctx, "cancel", id, func(e *Event, now time.Time) error {
		switch e.Phase(now) {
		case Ongoing, Over:
			return fmt.Errorf("%w: it has begun; end it instead", ErrInvalid)
		case Planned:
			e.CancelledMS = now.UnixMilli()
		}
		return nil
	})
}

// change applies an edit to one event.
func (c *Calendar) change(ctx context.Context, what, id string, edit func(e *Event, now time.Time) error) (Event, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	e, err := c.Get(ctx, id)
	if err != nil {
		return Event{}, err
	}
	was := e
	if err := edit(&e, c.now()); err != nil {
		return Event{}, err
	}
	if e.same(was) {
		return e, nil
	}
	if err := c.commit(ctx, e); err != nil {
		return Event{}, fmt.Errorf("%s event %s: %w", what, id, err)
	}
	return e.clone(), nil
}

// same reports whether nothing of an event differs.
func (e Event) same(other Event) bool {
	venues := slices.Equal(e.Venues, other.Venues)
	e.Venues, other.Venues = nil, nil
	return venues && reflect.DeepEqual(e, other)
}
