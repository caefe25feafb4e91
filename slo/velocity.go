package slo

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// A Velocity finds out which check-ins bought within a time D. A check-in counts
// only once the answer is known: it bought, or it is D old. One that is younger is
// not bad yet, so that doors that open do not look like a failure. The event is
// counted in the minute of the check-in.
//
// What it waits for is bounded, as is the time. It does no I/O and is not safe for
// concurrent use.
type Velocity struct {
	within  time.Duration
	most    int
	waiting map[string]time.Time // check-ins by guest
	early   map[string]time.Time // purchases whose check-in was not read yet
	dropped int64
}

// Visit is one check-in of which it is known whether it bought in time.
type Visit struct {
	At   time.Time // of the check-in
	Good bool
}

// NewVelocity returns a velocity that waits for at most so many guests at once:
// beyond, the oldest is given up and counted in Dropped.
func NewVelocity(i VelocityIndicator, most int) (*Velocity, error) {
	if err := (Indicator{Velocity: &i}).Validate(); err != nil {
		return nil, fmt.Errorf("velocity: %w", err)
	}
	if most < 1 {
		return nil, errors.New("velocity: room for no guest; allow at least 1")
	}
	return &Velocity{within: seconds(i.Seconds), most: most, waiting: map[string]time.Time{}, early: map[string]time.Time{}}, nil
}

// CheckIn notes a guest's check-in. It is known at once if the purchase was read
// before it. A guest who checks in again before buying is one check-in, the first.
func (v *Velocity) CheckIn(guest string, at time.Time) (Visit, bool) {
	if bought, ok := v.early[guest]; ok {
		delete(v.early, guest)
		return Visit{at, v.inTime(at, bought)}, true
	}
	if first, ok := v.waiting[guest]; !ok || at.Before(first) {
		v.waiting[guest] = at
		v.dropped += shrinkTo(v.waiting, v.most)
	}
	return Visit{}, false
}

// Bought notes a guest's purchase; a second one means nothing.
func (v *Velocity) Bought(guest string, at time.Time) (Visit, bool) {
	in, ok := v.waiting[guest]
	if !ok {
		if old, twice := v.early[guest]; !twice || at.Before(old) {
			v.early[guest] = at
			shrinkTo(v.early, v.most)
		}
		return Visit{}, false
	}
	delete(v.waiting, guest)
	return Visit{in, v.inTime(in, at)}, true
}

// inTime allows for clocks of tills that differ: a purchase before its check-in
// was in time.
func (v *Velocity) inTime(in, bought time.Time) bool { return bought.Sub(in) <= v.within }

// Pass says that everything before read has been read, and returns the check-ins
// that did not buy in time, oldest first.
func (v *Velocity) Pass(read time.Time) []Visit {
	var out []Visit
	for guest, in := range v.waiting {
		if read.Sub(in) > v.within {
			delete(v.waiting, guest)
			out = append(out, Visit{At: in})
		}
	}
	maps.DeleteFunc(v.early, func(_ string, at time.Time) bool { return read.Sub(at) > v.within })
	slices.SortFunc(out, func(a, b Visit) int { return a.At.Compare(b.At) })
	return out
}

// Waiting is how many check-ins are not known yet.
func (v *Velocity) Waiting() int { return len(v.waiting) }

// Dropped is how many check-ins were given up for want of room.
func (v *Velocity) Dropped() int64 { return v.dropped }

// shrinkTo drops the oldest until no more than most are left.
func shrinkTo(m map[string]time.Time, most int) (dropped int64) {
	for len(m) > most {
		oldest := slices.MinFunc(slices.Collect(maps.Keys(m)), func(a, b string) int { return m[a].Compare(m[b]) })
		delete(m, oldest)
		dropped++
	}
	return dropped
}

type velocityState struct {
	Waiting map[string]time.Time `json:"waiting,omitempty"`
	Early   map[string]time.Time `json:"early,omitempty"`
	Dropped int64                `json:"dropped,omitempty"`
}

// MarshalJSON is the state to store.
func (v *Velocity) MarshalJSON() ([]byte, error) {
	return json.Marshal(velocityState{v.waiting, v.early, v.dropped})
}

// UnmarshalJSON continues what was stored. After an error nothing changed.
func (v *Velocity) UnmarshalJSON(raw []byte) error {
	var s velocityState
	if err := json.Unmarshal(raw, &s); err != nil {
		return fmt.Errorf("stored velocity: %w", err)
	}
	v.waiting, v.early, v.dropped = map[string]time.Time{}, map[string]time.Time{}, s.Dropped
	maps.Copy(v.waiting, s.Waiting)
	maps.Copy(v.early, s.Early)
	return nil
}
