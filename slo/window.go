package slo

import (
	"fmt"
	"time"
)

// A Window is the time an objective is judged over. A rolling window ends at the
// minute it is asked for; a calendar window starts at a fixed time and repeats.
type Window struct {
	Count   int            // how many units long, from 1
	Unit    Unit           // of Count
	Rolling bool           // otherwise aligned to Start
	Start   time.Time      // calendar only: wall time of any window's start, in Zone
	Zone    *time.Location // calendar only
}

// Unit is OpenSLO's letter for a unit of time.
type Unit byte

// The units of a window's length. Months, quarters and years follow the
// calendar and are allowed in calendar windows only.
const (
	Minute  Unit = 'm'
	Hour    Unit = 'h'
	Day     Unit = 'd'
	Week    Unit = 'w'
	Month   Unit = 'M'
	Quarter Unit = 'Q'
	Year    Unit = 'Y'
)

var unitLength = map[Unit]time.Duration{
	Minute: time.Minute, Hour: time.Hour, Day: 24 * time.Hour, Week: 7 * 24 * time.Hour,
	Month: 30 * 24 * time.Hour, Quarter: 91 * 24 * time.Hour, Year: 365 * 24 * time.Hour,
}

// Period is the nominal length of the window: a day is 24 h, a month 30 d, a
// quarter 91 d, a year 365 d.
func (w Window) Period() time.Duration { return time.Duration(w.Count) * unitLength[w.Unit] }

// Validate reports why w is no window.
func (w Window) Validate() error {
	_, known := unitLength[w.Unit]
	switch {
	case !known:
		return fmt.Errorf("window unit %q is unknown; allowed: m, h, d, w, M, Q, Y", string(rune(w.Unit)))
	case w.Count < 1 || w.Count > 10_000 || w.Period() > 366*24*time.Hour:
		return fmt.Errorf("window of %d%c is not between 1 minute and 1 year", w.Count, w.Unit)
	case w.Rolling && (w.Unit == Month || w.Unit == Quarter || w.Unit == Year):
		return fmt.Errorf("a rolling window of %d%c has no fixed length; allowed units: m, h, d, w", w.Count, w.Unit)
	case !w.Rolling && (w.Zone == nil || w.Start.IsZero()):
		return fmt.Errorf("a calendar window needs its start time and time zone")
	}
	return nil
}

// String is the window in words, such as "28d rolling" or "1M calendar".
func (w Window) String() string {
	kind := "calendar"
	if w.Rolling {
		kind = "rolling"
	}
	return fmt.Sprintf("%d%c %s", w.Count, w.Unit, kind)
}

// Minutes returns the window that holds now, as minutes since the Unix epoch:
// from is its first minute, to the one after its last. A rolling window ends
// before the minute of now, which is still open; a calendar window may end in
// the future.
func (w Window) Minutes(now time.Time) (from, to int64) {
	if w.Rolling {
		to = MinuteOf(now)
		return to - int64(w.Period()/time.Minute), to
	}
	n := w.estimate(now)
	for w.nth(n).After(now) {
		n--
	}
	for !w.nth(n + 1).After(now) {
		n++
	}
	return MinuteOf(w.nth(n)), MinuteOf(w.nth(n + 1))
}

// Hourly is [Window.Minutes], but a rolling window of more than a day begins with a
// whole hour, as that of a [Track] does: it is up to an hour longer.
func (w Window) Hourly(now time.Time) (from, to int64) {
	from, to = w.Minutes(now)
	if w.Rolling && to-from > dayMinutes {
		from = floorDiv(from, 60) * 60
	}
	return from, to
}

// estimate is the number, counted from Start, of a window not far from now.
func (w Window) estimate(now time.Time) int {
	return int(now.Sub(w.Start) / w.Period())
}

// nth is the start of the window n windows after Start, in wall time of Zone: a
// day window starts at the same hour on both sides of a daylight saving change.
func (w Window) nth(n int) time.Time {
	s, n := w.Start.In(w.Zone), n*w.Count
	y, m, d := s.Date()
	switch w.Unit {
	case Minute, Hour:
		return s.Add(time.Duration(n) * unitLength[w.Unit])
	case Day:
		d += n
	case Week:
		d += 7 * n
	case Month:
		m += time.Month(n)
	case Quarter:
		m += time.Month(3 * n)
	case Year:
		y += n
	}
	if w.Unit == Month || w.Unit == Quarter || w.Unit == Year {
		// A window that starts on the 31st starts on the last day of shorter months.
		d = min(d, time.Date(y, m+1, 0, 0, 0, 0, 0, time.UTC).Day())
	}
	return time.Date(y, m, d, s.Hour(), s.Minute(), s.Second(), 0, w.Zone)
}

// MinuteOf is the minute of event time that t falls into, counted from the Unix
// epoch.
func MinuteOf(t time.Time) int64 {
	s := t.Unix()
	m := s / 60
	if s%60 < 0 {
		m--
	}
	return m
}

// MinuteStart is the inverse of [MinuteOf]: the first instant of minute m.
func MinuteStart(m int64) time.Time { return time.Unix(m*60, 0).UTC() }

// WholeMinutes widens [from, to) to whole minutes; what ends before it begins is empty.
func WholeMinutes(from, to time.Time) (first, end int64) {
	first, end = MinuteOf(from), MinuteOf(to)
	if to.After(MinuteStart(end)) {
		end++
	}
	return first, max(first, end)
}
