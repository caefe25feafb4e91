package sli

import (
	"math"
	"math/bits"

	"ghostlight/slo"
)

// spanMinutes is over how many minutes events are spread at most: a longer span gets
// some of its minutes, at equal distances.
const spanMinutes = 24 * 60

// spread counts events that happened between two readings, in Unix milliseconds. If
// those are close together, they count as of the second's minute.
func spread(t *slo.Tally, from, at int64, n slo.Counts) error {
	first, last := minuteOf(from), minuteOf(at)
	if at-from <= lapse.Milliseconds() || last <= first {
		return t.Add(last, n)
	}
	step := 1 + (last-first)/spanMinutes
	parts := 1 + (last-first)/step
	var done slo.Counts
	for i := range parts {
		// So far each part has its share of the events and, of these, of the bad
		// ones: no part has more bad events than events.
		upTo := slo.Counts{Total: share(n.Total, i+1, parts)}
		upTo.Good = upTo.Total - share(n.Bad(), upTo.Total, n.Total)
		some := slo.Counts{Good: upTo.Good - done.Good, Total: upTo.Total - done.Total}
		if done = upTo; some.Total == 0 {
			continue
		}
		// The last part ends where the span does.
		if err := t.Add(last-(parts-1-i)*step, some); err != nil {
			return err
		}
	}
	return nil
}

// share is n*part/whole, rounded down, for a part of the whole.
func share(n, part, whole int64) int64 {
	high, low := bits.Mul64(uint64(n), uint64(part))
	q, _ := bits.Div64(high, low, uint64(whole))
	return int64(q)
}

// minuteTime is when a minute begins, in Unix milliseconds.
func minuteTime(m int64) int64 { return max(m, math.MinInt64/60_000) * 60_000 }

func minuteOf(ms int64) int64 {
	m := ms / 60_000
	if ms%60_000 < 0 {
		m--
	}
	return m
}
