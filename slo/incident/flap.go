package incident

import (
	"slices"
	"time"
)

// Fail is what a scope's owner does at a failure that begins at start: when the
// scope's last incident reached parity less than h before, or has not reached it, the
// failure is a further spell of that one; else it is a new incident. last may be nil.
// An incident of [MaxSpells] is full: the next failure is a new one.
func Fail(last *Incident, s Scope, start time.Time, h time.Duration) Incident {
	ms := start.UnixMilli()
	if last == nil || last.Scope != s || !near(*last, ms, h) {
		return New(s, start)
	}
	starts := last.spellStarts()
	if !slices.Contains(starts, ms) && len(starts) >= MaxSpells {
		return New(s, start)
	}
	return last.Mark(Mark{Stage: Failed, SpellMS: ms, AtMS: ms, Source: s.Owner()})
}

// near reports whether a failure at ms is a flap of i.
func near(i Incident, ms int64, h time.Duration) bool {
	failed, _ := i.When(Failed)
	end, ok := i.When(Parity)
	if !ok {
		end, ok = i.When(Closed)
	}
	return ms >= failed && (!ok || ms-end < h.Milliseconds())
}

// Fold merges incidents of one scope that are flaps of each other: the later failed
// before the earlier was at parity, or less than h after it. What is left has the
// identity of the earliest and all spells; the other ids are in Also. It is a view
// for people and for statistics: keep the incidents themselves, for more may come
// that changes which belong together. The order of list does not matter.
//
// A node takes up an incident that goes on again, it mints no other: where it did, the
// earlier is over, and its end is still to arrive.
func Fold(list []Incident, h time.Duration) []Incident {
	var out []Incident
	last := map[Scope]int{} // the place in out of the scope's latest
	for _, i := range byFailure(list) {
		failed, _ := i.When(Failed)
		at, ok := last[i.Scope]
		if !ok || !near(out[at], failed, h) || i.Scope.Owner() == Node && out[at].Open() {
			last[i.Scope] = len(out)
			out = append(out, i)
			continue
		}
		kept := union(out[at], i)
		if id := i.ID(); id != kept.ID() {
			kept.Also = add(kept.Also, Membership{id})
		}
		out[at] = kept
	}
	return out
}
