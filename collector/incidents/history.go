package incidents

import (
	"time"

	"ghostlight/slo"
)

// Minutes are kept one by one for as long as a window that slides by the minute looks
// back and a revision is likely; after that by the hour.
const keepMinutes = 26 * 60

// minute is what a bucket says that windows need.
type minute struct {
	slo.Counts
	state                  slo.State
	observed               uint8
	open, failing, passing bool
}

func minuteOf(b slo.Bucket) minute {
	return minute{Counts: slo.Counts{Good: b.Good, Total: b.Total}, state: b.State, observed: b.Observed, open: b.Open, failing: b.Failing, passing: b.Passing}
}

func (m minute) sum(o slo.Objective) slo.Sum {
	if m.state == 0 {
		return slo.Sum{}
	}
	return o.Sum(slo.Bucket{
		Good: m.Good, Total: m.Total, Observed: m.observed, Open: m.open, Failing: m.failing, Passing: m.passing, State: m.state,
	})
}

// hour is a whole hour, and which of its minutes were told.
type hour struct {
	Sum  slo.Sum `json:"sum"`
	Told uint64  `json:"told"` // a bit for each minute
}

// history is what is known of one objective's minutes: windows are told what a minute
// was and what it is.
type history struct {
	o       slo.Objective
	minutes map[int64]minute
	hours   map[int64]hour // older than the minutes
	folded  int64          // hours before are in hours alone
	first   int64          // first minute known of, 0: none
}

func newHistory(o slo.Objective) history {
	return history{o: o, minutes: map[int64]minute{}, hours: map[int64]hour{}}
}

// set notes what a minute is and returns what it was.
func (h *history) set(b slo.Bucket) (was, is slo.Sum) {
	if h.first == 0 || b.Minute < h.first {
		h.first = b.Minute
	}
	now := minuteOf(b)
	was, is = h.minutes[b.Minute].sum(h.o), now.sum(h.o)
	h.minutes[b.Minute] = now
	return was, is
}

// late notes a minute of an hour that is held as a whole. It reports false when what
// the minute was is not known any more: then the hour must be read again.
func (h *history) late(b slo.Bucket) (is slo.Sum, ok bool) {
	at := floorDiv(b.Minute, 60)
	held, bit := h.hours[at], uint64(1)<<(b.Minute-at*60)
	if held.Told&bit != 0 {
		return slo.Sum{}, false
	}
	is = minuteOf(b).sum(h.o)
	h.hours[at] = hour{Sum: held.Sum.Plus(is), Told: held.Told | bit}
	if h.first == 0 || b.Minute < h.first {
		h.first = b.Minute
	}
	return is, true
}

// fold turns the minutes of hours before into hours, and returns these.
func (h *history) fold(before int64) []int64 {
	if before <= h.folded {
		return nil
	}
	changed := map[int64]bool{}
	for m, held := range h.minutes {
		at := floorDiv(m, 60)
		if at >= before {
			continue
		}
		whole := h.hours[at]
		whole.Sum, whole.Told = whole.Sum.Plus(held.sum(h.o)), whole.Told|1<<(m-at*60)
		h.hours[at] = whole
		delete(h.minutes, m)
		changed[at] = true
	}
	h.folded = before
	var out []int64
	for at := range changed {
		out = append(out, at)
	}
	return out
}

// keep is how many minutes back anything looks.
func (h *history) keep() int64 {
	longest := h.o.Window.Period()
	for _, t := range h.o.BurnTiers() {
		longest = max(longest, t.Long)
	}
	return int64(longest/time.Minute) + 24*60
}

// forget drops hours that nothing looks at any more, and returns them.
func (h *history) forget(now int64) []int64 {
	var out []int64
	for at := range h.hours {
		if (at+1)*60 <= now-h.keep() {
			delete(h.hours, at)
			out = append(out, at)
		}
	}
	return out
}

// bad reports whether a minute failed more than the share given.
func (h *history) bad(m int64, share float64) bool {
	held, ok := h.minutes[m]
	return ok && held.Bad() > 0 && (held.ErrorRatio() > share || h.o.Budgeting.Sliced())
}

// stretch is where failing began that goes on at now or did shortly before: bad
// minutes that are no more than gap apart, none before floor. ok is false without
// any.
func (h *history) stretch(now, floor, gap int64, share float64) (first int64, ok bool) {
	for m := now; m >= floor && (!ok || first-m <= gap); m-- {
		if h.bad(m, share) {
			first, ok = m, true
		}
	}
	return first, ok
}

// lastBad is the end of the last bad minute from floor to now, Unix milliseconds; 0
// without any.
func (h *history) lastBad(now, floor int64, share float64) int64 {
	for m := now; m >= floor; m-- {
		if h.bad(m, share) {
			return (m + 1) * 60_000
		}
	}
	return 0
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
