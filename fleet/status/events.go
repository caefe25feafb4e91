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
		shown := ToEvent(e, now)
		if i < 50 && !shown.Ahead() { // what older events sold is in their reports
			sold, err := v.sold(ctx, e, now)
			if err != nil {
				return out, fmt.Errorf("events view: %w", err)
			}
			shown.Sold = &sold
		}
		out.List = append(out.List, shown)
	}
	out.Headline = eventsHeadline(out)
	return out, nil
}

func (v *Views) sold(ctx context.Context, e events.Event, now time.Time) (Sold, error) {
	from, to := e.Window(now)
	s := Sold{FromMS: from.UnixMilli(), ToMS: to.UnixMilli(), Totals: Sum()}
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
func ToEvent(e events.Event, now time.Time) Event {
	return Event{
		ID: e.ID, Name: e.Name, Venues: e.Venues, Phase: string(e.Phase(now)), StartMS: e.StartMS, EndMS: e.EndMS, DoorsMS: e.DoorsMS,
		OnMS: e.OnMS, OffMS: e.OffMS, Origin: string(e.Origin), Source: e.Source,
	}
}

// eventsHeadline says what is on now, or what comes next.
func eventsHeadline(e Events) Headline {
	var on []string
	var next *Event
	for i, x := range e.List {
		switch {
		case x.Open():
			on = append(on, x.Name)
		case x.Ahead():
			next = &e.List[i] // the list is by start, the latest first
		}
	}
	h := Headline{Tone: "none", Says: "No event is on"}
	if len(on) > 0 {
		h.Says = number(len(on), "event is on", "events are on") + ": " + join(first(on, 4)...)
		h.Tone = "ok"
	}
	if next != nil {
		h.Detail = fmt.Sprintf("Next: %s at %s, in %s.", next.Name, join(first(next.Venues, 4)...), coarse(time.Duration(next.StartMS-e.NowMS)*time.Millisecond))
	}
	return h
}

// first cuts a list of names to n, and says how many more there are.
func first(names []string, n int) []string {
	if len(names) <= n {
		return names
	}
	return append(slices.Clone(names[:n]), fmt.Sprintf("%d more", len(names)-n))
}

// openEvents are the events going on, at a venue or at any for "".
func (v *Views) openEvents(ctx context.Context, venue string) ([]Event, error) {
	now := v.opt.Now()
	return v.pick(ctx, 20, func(e events.Event) bool {
		return e.Open(now) && (venue == "" || slices.Contains(e.Venues, venue))
	})
}

// recentEvents are the n events of a venue that start last.
func (v *Views) recentEvents(ctx context.Context, venue string, n int) ([]Event, error) {
	return v.pick(ctx, n, func(e events.Event) bool { return slices.Contains(e.Venues, venue) })
}

func (v *Views) pick(ctx context.Context, n int, want func(events.Event) bool) ([]Event, error) {
	now := v.opt.Now()
	list, err := v.opt.Calendar.List(ctx)
	if err != nil {
		return nil, err
	}
	out := []Event{}
	for _, e := range list {
		if want(e) && len(out) < n {
			out = append(out, ToEvent(e, now))
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
