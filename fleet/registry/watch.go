package registry

import "time"

// Presence says whether the centre hears from a node.
type Presence string

// The presences of a node.
const (
	Never Presence = "never" // no sign since the node was configured
	Live  Presence = "live"
	Dark  Presence = "dark" // silent for longer than it may be, without a goodbye
	Away  Presence = "away" // said goodbye and is silent since
)

// An Episode is one stretch of darkness: from the last sign before it to the
// first sign after it.
type Episode struct {
	Start time.Time `json:"start"`
	End   time.Time `json:"end,omitzero"` // zero while it goes on
}

// A watch judges the silence of one node. It is pure: every method is told the
// time. Since a silent fleet hears nobody, nothing is judged until the fleet has
// itself listened for as long as a node may be silent.
type watch struct {
	darkAfter time.Duration
	listening time.Time // since when the fleet has listened
	last      time.Time // last sign, zero: never
	goodbye   bool
	open      *Episode
}

// sign notes that the node was heard at now; it returns the episode this ends.
func (w *watch) sign(now time.Time, goodbye bool) (ended *Episode) {
	w.last = now // also where a clock that was set back makes it seem earlier
	w.goodbye = goodbye
	if w.open == nil {
		return nil
	}
	ended, w.open = w.open, nil
	ended.End = now
	return ended
}

// judge returns the episode that begins to be known at now, if one does. It
// starts at the last sign, which was up to darkAfter ago.
func (w *watch) judge(now time.Time) (begun *Episode) {
	if w.open != nil || w.goodbye || w.last.IsZero() {
		return nil
	}
	if now.Sub(w.last) <= w.darkAfter || now.Sub(w.listening) <= w.darkAfter {
		return nil
	}
	w.open = &Episode{Start: w.last}
	return w.open
}

// presence is what the last judgement means.
func (w *watch) presence() Presence {
	switch {
	case w.open != nil:
		return Dark
	case w.last.IsZero():
		return Never
	case w.goodbye:
		return Away
	}
	return Live
}

// overlap is how much of [start, end) lies in [from, to).
func overlap(start, end, from, to time.Time) time.Duration {
	if start.Before(from) {
		start = from
	}
	if end.After(to) {
		end = to
	}
	return max(0, end.Sub(start))
}
