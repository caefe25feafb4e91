package witness

import (
	"time"

	"ghostlight/fleet/registry"
	"ghostlight/slo"
)

// contact judges each minute of a task. One that is not wholly in the time that the
// node was expected on does not count, and neither does one in which it was packed up
// with a goodbye. Of those in which the centre was down, and of those before the node
// was ever heard, nobody can say whether its uplink worked.
func (w *Witness) contact(t task, s registry.Silence, down []registry.Episode) []slo.Bucket {
	out := make([]slo.Bucket, 0, t.to-t.from)
	windows := w.o.Calendar.ExpectedWindows(t.src.Venue, slo.MinuteStart(t.from), slo.MinuteStart(t.to))
	for m := t.from; m < t.to; m++ {
		from, to := slo.MinuteStart(m), slo.MinuteStart(m+1)
		state, c := slo.Measured, slo.Counts{}
		expected := false
		for _, win := range windows {
			expected = expected || (!win.From.After(from) && !win.To.Before(to))
		}
		switch {
		case !expected, inside(s.Away, from, to):
			state = slo.Excluded
		case touches(down, from, to), s.FirstSeen.IsZero(), !s.FirstSeen.Before(to):
			state = slo.Gap
		default:
			c = slo.Contact(!inside(s.Dark, from, to))
		}
		out = append(out, t.bucket(m, state, c))
	}
	return out
}

// inside reports whether all of [from, to) lies in one of the episodes.
func inside(list []registry.Episode, from, to time.Time) bool {
	for _, ep := range list {
		if !ep.Start.After(from) && (ep.End.IsZero() || !ep.End.Before(to)) {
			return true
		}
	}
	return false
}

// touches reports whether any of [from, to) lies in one of the episodes.
func touches(list []registry.Episode, from, to time.Time) bool {
	for _, ep := range list {
		if ep.Start.Before(to) && ep.End.After(from) {
			return true
		}
	}
	return false
}
