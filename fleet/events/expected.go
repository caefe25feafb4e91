package events

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"ghostlight/buffer/wire"
	"ghostlight/slo"
)

// A Window is a stretch of time, [From, To).
type Window struct{ From, To time.Time }

// Expected reports whether a venue's nodes are expected on at a time: for one of its
// events, or within its opening hours.
func (c *Calendar) Expected(venue string, at time.Time) bool {
	ms := at.UnixMilli()
	for _, e := range c.events.Load().byVenue[venue] {
		if on, off := e.expected(); on <= ms && ms < off {
			return true
		}
	}
	return c.hours.open(venue, slo.MinuteOf(at))
}

// ExpectedWindows is when a venue's nodes are expected on within [from, to), in order
// and apart from each other.
func (c *Calendar) ExpectedWindows(venue string, from, to time.Time) []Window {
	var spans []Window
	for _, e := range c.events.Load().byVenue[venue] {
		on, off := e.expected()
		spans = append(spans, Window{time.UnixMilli(on), time.UnixMilli(off)})
	}
	return union(append(spans, c.hours.windows(venue, from, to)...), from, to)
}

// union sorts and joins spans, cut to [from, to).
func union(spans []Window, from, to time.Time) (out []Window) {
	slices.SortFunc(spans, func(a, b Window) int { return a.From.Compare(b.From) })
	for _, s := range spans {
		if s.From.Before(from) {
			s.From = from
		}
		if s.To.After(to) {
			s.To = to
		}
		n := len(out)
		switch {
		case !s.From.Before(s.To):
		case n > 0 && !s.From.After(out[n-1].To):
			if s.To.After(out[n-1].To) {
				out[n-1].To = s.To
			}
		default:
			out = append(out, s)
		}
	}
	return out
}

// What a node is told reaches from ShowsBack before today, UTC, to ShowsAhead after
// today: it changes by the passing of time once a day only, and each change is sent.
const (
	ShowsBack  = 24 * time.Hour
	ShowsAhead = 14 * 24 * time.Hour
)

// Shows is what a venue's nodes are told of the calendar, by start: at least the
// events that were not over a day ago and those of the next 14 days, the earliest if
// they are too many for one message.
func (c *Calendar) Shows(venue string, now time.Time) wire.Calendar {
	today := now.UTC().Truncate(24 * time.Hour)
	from, to := today.Add(-ShowsBack).UnixMilli(), today.Add(24*time.Hour+ShowsAhead).UnixMilli()
	var shows []wire.Show
	for _, e := range c.events.Load().byVenue[venue] {
		if on, off := e.expected(); off < from || on >= to {
			continue
		}
		shows = append(shows, wire.Show{
			ID: e.ID, Name: e.Name, StartMS: e.StartMS, EndMS: e.EndMS, DoorsMS: e.DoorsMS, OnMS: e.OnMS, OffMS: e.OffMS,
		})
	}
	slices.SortStableFunc(shows, func(a, b wire.Show) int { return cmp.Or(cmp.Compare(a.StartMS, b.StartMS), cmp.Compare(a.ID, b.ID)) })
	return wire.NewCalendar(shows)
}

// openings are opening hours by venue. To ask for a minute is cheap: the hours of
// its week are kept.
type openings struct {
	hours map[string]slo.Hours

	mu    sync.Mutex
	weeks map[string]week // guarded by mu; the one last asked for, by venue
}

type week struct {
	from int64 // its first minute
	open []slo.Minutes
}

const weekMinutes = 7 * 24 * 60

func newOpenings(hours map[string]slo.Hours) (*openings, error) {
	o := &openings{hours: map[string]slo.Hours{}, weeks: map[string]week{}}
	for _, venue := range slices.Sorted(maps.Keys(hours)) {
		if hours[venue] == "" {
			continue
		}
		if err := hours[venue].Validate(); err != nil {
			return nil, fmt.Errorf("venue %s: %w", venue, err)
		}
		o.hours[venue] = hours[venue]
	}
	return o, nil
}

// open reports whether a minute is within a venue's hours.
func (o *openings) open(venue string, minute int64) bool {
	if o.hours[venue] == "" {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	w, ok := o.weeks[venue]
	if !ok || minute < w.from || minute >= w.from+weekMinutes {
		w.from = minute - (minute%weekMinutes+weekMinutes)%weekMinutes
		w.open = o.minutes(venue, w.from, w.from+weekMinutes)
		o.weeks[venue] = w
	}
	return slices.ContainsFunc(w.open, func(m slo.Minutes) bool { return m.From <= minute && minute < m.To })
}

// minutes are those of [from, to) within a venue's hours.
func (o *openings) minutes(venue string, from, to int64) (out []slo.Minutes) {
	for _, shut := range (slo.Objective{Hours: o.hours[venue]}).Excluded(from, to) {
		if from < shut.From {
			out = append(out, slo.Minutes{From: from, To: shut.From})
		}
		from = shut.To
	}
	if from < to {
		out = append(out, slo.Minutes{From: from, To: to})
	}
	return out
}

// windows are the stretches of [from, to), widened to whole minutes, within a
// venue's hours.
func (o *openings) windows(venue string, from, to time.Time) (out []Window) {
	if o.hours[venue] == "" {
		return nil
	}
	for _, m := range o.minutes(venue, slo.MinuteOf(from), slo.MinuteOf(to)+1) {
		out = append(out, Window{slo.MinuteStart(m.From), slo.MinuteStart(m.To)})
	}
	return out
}
