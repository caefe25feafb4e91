package slo

import (
	"fmt"
	"time"
)

// A BurnWatch watches the burn alerts of one objective on one scope: a [Track]
// says how fast the budget burns, a [Watch] makes alerts of it.
type BurnWatch struct {
	Track *Track
	Watch *Watch
	tiers []Tier
}

// NewBurnWatch returns the watch of o's burn alerts. Its windows come first long,
// then short, tier by tier; more may be asked for, and follow them.
func NewBurnWatch(scope string, o Objective, spans []Span, more ...time.Duration) (*BurnWatch, error) {
	w := &BurnWatch{tiers: o.BurnTiers()}
	var windows []time.Duration
	var rules []Rule
	for _, t := range w.tiers {
		windows = append(windows, t.Long, t.Short)
		rules = append(rules, t.Rule())
	}
	windows = append(windows, more...)
	if len(windows) == 0 {
		windows = []time.Duration{time.Minute}
	}
	track, err := NewTrack(o, spans, windows...)
	if err != nil {
		return nil, fmt.Errorf("burn alerts of %s: %w", o.Name, err)
	}
	w.Track, w.Watch = track, NewWatch(scope, o.Name, rules)
	return w, nil
}

// Tiers are what is watched, by rule.
func (w *BurnWatch) Tiers() []Tier { return w.tiers }

// More is the number of the first window that was asked for beside the tiers'.
func (w *BurnWatch) More() int { return 2 * len(w.tiers) }

// Step moves time on to now, the open minute included, and returns the alerts
// that fired or resolved.
func (w *BurnWatch) Step(now time.Time) []Alert {
	w.Track.Advance(MinuteOf(now) + 1)
	return w.Watch.Step(now, w.Holds)
}

// StepSince is [BurnWatch.Step] where the track was not told yet of minutes before
// since: tiers that look further back stand still.
func (w *BurnWatch) StepSince(now time.Time, since int64) []Alert {
	w.Track.Advance(MinuteOf(now) + 1)
	known := func(tier int) bool { return w.Track.Window(2*tier).From >= since }
	return w.Watch.StepKnown(now, known, w.Holds)
}

// Holds reports whether a tier burns too fast in both its windows, and its long
// window saw enough events to tell.
func (w *BurnWatch) Holds(tier int) bool {
	t, o := w.tiers[tier], &w.Track.o
	long, short := w.Track.Counts(2*tier), w.Track.Counts(2*tier+1)
	if long.Total < o.MinTraffic*o.Budgeting.sliceUnit() {
		return false
	}
	fires, err := t.Fires(o.Target, long, short)
	return err == nil && fires
}
