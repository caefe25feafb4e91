package outcomes

import "time"

// holdFor is how long outcomes that went well wait in memory for others, so that a
// record and a packet take them all. Edgecore keeps them meanwhile: a death costs
// reading them again. The ends of these times are those of the buckets' revisions. Where
// all are of journeys, which count nowhere, they wait to the end of the minute.
const (
	holdFor       = 10 * time.Second
	holdSynthetic = time.Minute
)

// A hold is what was read and is not stored yet.
type hold struct {
	rows  []Row
	until time.Time
}

// last is the sequence of the last outcome that was read, cursor if none is held.
func (h *hold) last(cursor int64) int64 {
	if len(h.rows) == 0 {
		return cursor
	}
	return h.rows[len(h.rows)-1].Seq
}

// add holds what was read at now.
func (h *hold) add(rows []Row, now time.Time) {
	if len(h.rows) == 0 {
		h.until = endOf(holdSynthetic, now)
	}
	for _, o := range rows {
		if end := endOf(holdFor, now); !o.Synthetic && end.Before(h.until) {
			h.until = end
		}
	}
	h.rows = append(h.rows, rows...)
}

// due reports whether what is held is to be stored: its time is over, a page of it is
// full, or a customer's outcome went wrong, for which somebody may have to be paged. A
// clock that was set back must not keep it any longer.
func (h *hold) due(now time.Time) bool {
	if !now.Before(h.until) || h.until.Sub(now) > holdSynthetic+slotSlack || len(h.rows) >= pageSize {
		return true
	}
	for _, o := range h.rows {
		if !o.Good && !o.Synthetic {
			return true
		}
	}
	return false
}

// slotSlack is how far behind the end of a minute an answer tells all of it.
const slotSlack = 50 * time.Millisecond

// endOf is a little behind the end of the time that now is in, of so long ones.
func endOf(long time.Duration, now time.Time) time.Time {
	return now.Add(-slotSlack).Truncate(long).Add(long + slotSlack)
}
