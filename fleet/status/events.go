package status

import (
	"context"
	"fmt"
	"slices"
	"time"

	"ghostlight/fleet/events"
	"ghostlight/fleet/sales"
)

// Events is the list of all events with what they sold.
func (v *Views) Events(ctx context.Context) (Events, error) {
	now := v.opt.Now()
	out := Events{NowMS: now.UnixMilli(), List: []Event{}, Venues: v.venueNames()}
	list, err := v.opt.Calendar.List(ctx)
	if err != nil {
		return out, fmt.Errorf("events view: %w", err)
	}
	for i, e := range list {
		shown := ToEvent(e)
		if i < 50 { // what older events sold is in their reports
			sold, err := v.sold(ctx, e, now)
			if err != nil {
				return out, fmt.Errorf("events view: %w", err)
			}
			shown.Sold = &sold
		}
		out.List = append(out.List, shown)
	}
	return out, nil
}

func (v *Views) sold(ctx context.Context, e events.Event, now time.Time) (Sold, error) {
	from, to := e.Window(now)
	s := Sold{FromMS: from.UnixMilli(), ToMS: to.UnixMilli()}
	totals, err := v.opt.Sales.Totals(ctx, sales.Filter{Venues: e.Venues, From: from, To: to})
	if err != nil {
		return s, err
	}
	for _, t := range totals {
		s.Add(t)
	}
	return s, nil
}

// ToEvent is an event as the views show it.
func ToEvent(e events.Event) Event {
	return Event{ID: e.ID, Name: e.Name, Venues: e.Venues, StartMS: e.StartMS, EndMS: e.EndMS}
}

// openEvents are the events going on, at a venue or at any for "".
func (v *Views) openEvents(ctx context.Context, venue string) ([]Event, error) {
	return v.pick(ctx, 20, func(e events.Event) bool {
		return e.Open() && (venue == "" || slices.Contains(e.Venues, venue))
	})
}

// recentEvents are the latest n events of a venue.
func (v *Views) recentEvents(ctx context.Context, venue string, n int) ([]Event, error) {
	return v.pick(ctx, n, func(e events.Event) bool { return slices.Contains(e.Venues, venue) })
}

func (v *Views) pick(ctx context.Context, n int, want func(events.Event) bool) ([]Event, error) {
	list, err := v.opt.Calendar.List(ctx)
	if err != nil {
		return nil, err
	}
	out := []Event{}
	for _, e := range list {
		if want(e) && len(out) < n {
			out = append(out, ToEvent(e))
		}
	}
	return out, nil
}

func (v *Views) venueNames() []string {
	var out []string
	for _, n := range v.opt.Nodes.Nodes() {
		out = append(out, n.Venue)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
