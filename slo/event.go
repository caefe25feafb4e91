package slo

import (
	"fmt"
	"math"
	"time"
)

// An EventTier is one look at a show: too much of its budget went within Long.
type EventTier struct {
	Long  time.Duration
	Short time.Duration // whether it goes on
	Share float64       // of the show's budget
}

// The event rule's constants and shares, chosen by simulation, which TestEventRule
// repeats: of 4,000 nights of four hours each at 99 %, of which half the budget is
// really spent, 0.2, 0 and 0 % page at 2, 8 and 30 sales a minute. An outage is seen
// after 2 min, 34 s and 13 s on average, a fifth of sales failing after 10 min,
// 2.5 min and 50 s. Shares of 10, 10, 20 and 30 % with a bound of 3.3 deviations
// page on 0.5, 1.6 and 0 % and see neither sooner.
const (
	eventZ    = 3.9              // of the Wilson bound
	eventBad  = 4                // bad events below which nothing is said
	eventHold = 10 * time.Minute // without trouble before an alert resolves
)

// EventTiers are the looks at a show: 1, 5, 15 and 60 minutes back.
func EventTiers() []EventTier {
	return []EventTier{
		{Long: time.Minute, Short: time.Minute, Share: 0.10},
		{Long: 5 * time.Minute, Short: 5 * time.Minute, Share: 0.25},
		{Long: 15 * time.Minute, Short: 5 * time.Minute, Share: 0.40},
		{Long: time.Hour, Short: 5 * time.Minute, Share: 0.40},
	}
}

// EventRule is the one alert that the looks share: a show in trouble is one page,
// whichever look saw it first.
func EventRule() Rule { return Rule{Key: "event/page", Urgency: Page, Hold: eventHold} }

// EventBudget is how many bad events a show may have: 1-target of the events seen
// so far and of those still expected.
func EventBudget(target float64, seen, forecast int64) float64 {
	return (1 - target) * float64(seen+max(0, forecast))
}

// Fires reports whether a show of this budget burns too fast: within Long at
// least Share of it went, on at least four bad events, so many of all that the
// error ratio is above 1-target beyond doubt, and within Short it is above it
// still.
func (t EventTier) Fires(target, budget float64, long, short Counts) bool {
	return long.Bad() >= eventBad && float64(long.Bad()) >= t.Share*budget &&
		WilsonLower(long.Bad(), long.Total, eventZ) > 1-target && short.ErrorRatio() > 1-target
}

// WilsonLower is the lower end of the Wilson score interval of the share hits/n,
// z standard deviations wide on each side; 0 without trials. Source: E. B. Wilson,
// "Probable inference, the law of succession, and statistical inference", 1927.
func WilsonLower(hits, n int64, z float64) float64 {
	if n <= 0 {
		return 0
	}
	p, m := float64(hits)/float64(n), float64(n)
	middle := p + z*z/(2*m)
	width := z * math.Sqrt(p*(1-p)/m+z*z/(4*m*m))
	return max(0, (middle-width)/(1+z*z/m))
}

// An EventWatch watches one show on one scope.
type EventWatch struct {
	Track    *Track
	Watch    *Watch
	o        Objective
	tiers    []EventTier
	from, to int64
	seen     Counts
}

// NewEventWatch returns the watch of a show from start to end. The scope names the
// show too, as each has alerts of its own.
func NewEventWatch(scope string, o Objective, spans []Span, start, end time.Time) (*EventWatch, error) {
	w := &EventWatch{o: o, tiers: EventTiers(), from: MinuteOf(start), to: MinuteOf(end)}
	if w.from >= w.to {
		return nil, fmt.Errorf("event alerts of %s: the show ends at %v, not after its start at %v", o.Name, end, start)
	}
	var windows []time.Duration
	for _, t := range w.tiers {
		windows = append(windows, t.Long, t.Short)
	}
	track, err := NewTrack(o, spans, windows...)
	if err != nil {
		return nil, fmt.Errorf("event alerts of %s: %w", o.Name, err)
	}
	w.Track, w.Watch = track, NewWatch(scope, o.Name, []Rule{EventRule()})
	return w, nil
}

// Replace is [Track.Replace] within the show; other minutes are passed over.
func (w *EventWatch) Replace(minute int64, was, is Sum) bool {
	if minute < w.from || minute >= w.to || !w.Track.Replace(minute, was, is) {
		return false
	}
	if !w.Track.isExcluded(minute) {
		w.seen = w.seen.Add(is.Counts).Add(Counts{-was.Good, -was.Total})
	}
	return true
}

// Step moves time on to now, the open minute included. Forecast is how many events
// are still expected of the show; it widens the budget and decides nothing else.
func (w *EventWatch) Step(now time.Time, forecast int64) []Alert {
	w.Track.Advance(MinuteOf(now) + 1)
	budget := EventBudget(w.o.Target, w.seen.Total, forecast)
	return w.Watch.Step(now, func(int) bool {
		for i, t := range w.tiers {
			if t.Fires(w.o.Target, budget, w.Track.Counts(2*i), w.Track.Counts(2*i+1)) {
				return true
			}
		}
		return false
	})
}
