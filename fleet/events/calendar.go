package events

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"ghostlight/fleet/store"
	"ghostlight/slo"
)

// Options make a Calendar.
type Options struct {
	Store  *store.Store
	Venues []string // of the fleet
	// Hours are opening hours by venue; a venue that has none, or empty ones, is
	// expected on for its events only.
	Hours map[string]slo.Hours
	Now   func() time.Time // nil: time.Now
}

// A Calendar holds all events. Its methods may be called concurrently; those that
// only read touch no disk.
type Calendar struct {
	store  *store.Store
	venues []string // sorted
	hours  *openings
	now    func() time.Time

	events  atomic.Pointer[book]
	writing sync.Mutex // held by whoever changes events

	mu      sync.Mutex
	changed chan struct{} // guarded by mu; closed and replaced when events change
}

// New opens the calendar and reads what it holds.
func New(ctx context.Context, o Options) (*Calendar, error) {
	if o.Store == nil {
		return nil, errors.New("open events: a store is needed")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	hours, err := newOpenings(o.Hours)
	if err != nil {
		return nil, fmt.Errorf("open events: %w", err)
	}
	if err := migrate(ctx, o.Store); err != nil {
		return nil, fmt.Errorf("open events: %w", err)
	}
	venues := slices.Clone(o.Venues)
	slices.Sort(venues)
	c := &Calendar{store: o.Store, venues: slices.Compact(venues), hours: hours, now: o.Now, changed: make(chan struct{})}
	if err := c.load(ctx); err != nil {
		return nil, fmt.Errorf("open events: %w", err)
	}
	return c, nil
}

// Get returns one event, or [ErrUnknown].
func (c *Calendar) Get(_ context.Context, id string) (Event, error) {
	e, ok := c.events.Load().byID[id]
	if !ok {
		return Event{}, fmt.Errorf("%w: %s", ErrUnknown, id)
	}
	return e.clone(), nil
}

// List returns all events but those that were called off, the latest start first.
func (c *Calendar) List(context.Context) ([]Event, error) {
	return c.list(func(e Event) bool { return e.CancelledMS == 0 }), nil
}

// Cancelled returns the events that were called off, the latest start first.
func (c *Calendar) Cancelled(context.Context) ([]Event, error) {
	return c.list(func(e Event) bool { return e.CancelledMS != 0 }), nil
}

func (c *Calendar) list(want func(Event) bool) []Event {
	out := []Event{}
	for _, e := range c.events.Load().byStart {
		if want(e) {
			out = append(out, e.clone())
		}
	}
	return out
}

func (e Event) clone() Event {
	e.Venues = slices.Clone(e.Venues)
	return e
}

// Changed is closed at the next change of any event.
func (c *Calendar) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

// commit stores events and makes them known. c.writing is held.
func (c *Calendar) commit(ctx context.Context, events ...Event) error {
	if len(events) == 0 {
		return nil
	}
	if err := put(ctx, c.store, events); err != nil {
		// The commit itself may have failed after it was done: the disk knows.
		return errors.Join(err, c.load(context.WithoutCancel(ctx)))
	}
	c.publish(c.events.Load().with(events))
	return nil
}

// load reads all events.
func (c *Calendar) load(ctx context.Context) error {
	events, err := read(ctx, c.store)
	if err != nil {
		return err
	}
	c.publish((&book{}).with(events))
	return nil
}

func (c *Calendar) publish(b *book) {
	c.events.Store(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.changed)
	c.changed = make(chan struct{})
}

// A book is all events at one moment. It never changes.
type book struct {
	byID    map[string]Event
	byStart []Event            // the latest first
	byVenue map[string][]Event // those not called off, the earliest start first
}

// with returns a book with events in place of those of the same id.
func (b *book) with(events []Event) *book {
	out := &book{byID: maps.Clone(b.byID), byVenue: map[string][]Event{}}
	if out.byID == nil {
		out.byID = make(map[string]Event, len(events))
	}
	for _, e := range events {
		out.byID[e.ID] = e
	}
	out.byStart = slices.SortedFunc(maps.Values(out.byID), func(a, b Event) int {
		return cmp.Or(cmp.Compare(b.StartMS, a.StartMS), cmp.Compare(a.ID, b.ID))
	})
	for _, e := range slices.Backward(out.byStart) {
		if e.CancelledMS > 0 {
			continue
		}
		for _, v := range e.Venues {
			out.byVenue[v] = append(out.byVenue[v], e)
		}
	}
	return out
}

// room is how many events may be added.
func (b *book) room(now time.Time) int {
	planned := 0
	for _, e := range b.byStart {
		if p := e.Phase(now); p == Planned || p == Ongoing {
			planned++
		}
	}
	return max(0, min(MaxPlanned-planned, MaxEvents-len(b.byStart)))
}
