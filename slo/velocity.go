package slo

import (
	"errors"
	"fmt"
	"time"
)

// A Velocity finds out which check-ins bought within a time D. A check-in counts
// only once the answer is known: it bought, or it is D old. One that is younger is
// not bad yet, so that doors that open do not look like a failure. The event is
// counted in the minute of the check-in.
//
// What it waits for is bounded, as is the time. What must be stored is kept by the
// minute, so that a guest more or less costs the minute's few bytes. It does no I/O
// but the load function it is given and is not safe for concurrent use.
type Velocity struct {
	within  time.Duration
	most    int
	guests  map[string]guest
	minutes map[int64]map[string]struct{} // guests by the minute of their time
	count   [2]int                        // guests by whether they are early
	dropped int64
	dirty   map[int64]struct{} // minutes changed since the last commit
	counted bool               // dropped changed since
}

// guest is one who is waited for, or whose check-in was not read yet.
type guest struct {
	atMS  int64 // of the check-in or, if early, of the purchase
	early bool
}

// Visit is one check-in of which it is known whether it bought in time.
type Visit struct {
	At   time.Time // of the check-in
	Good bool
}

// NewVelocity returns a velocity that waits for at most so many guests at once:
// beyond, the oldest is given up and counted in Dropped. It continues from what load
// returns of the keys that [Velocity.State] asked to store, nil for none; load itself
// may be nil.
func NewVelocity(i VelocityIndicator, most int, load func(key string) ([]byte, error)) (*Velocity, error) {
	if err := (Indicator{Velocity: &i}).Validate(); err != nil {
		return nil, fmt.Errorf("velocity: %w", err)
	}
	if most < 1 {
		return nil, errors.New("velocity: room for no guest; allow at least 1")
	}
	v := &Velocity{
		within: seconds(i.Seconds), most: most, guests: map[string]guest{}, minutes: map[int64]map[string]struct{}{},
		dirty: map[int64]struct{}{},
	}
	if load == nil {
		return v, nil
	}
	if err := v.restore(load); err != nil {
		return nil, fmt.Errorf("velocity: %w", err)
	}
	return v, nil
}

// CheckIn notes a guest's check-in. It is known at once if the purchase was read
// before it. A guest who checks in again before buying is one check-in, the first.
func (v *Velocity) CheckIn(name string, at time.Time) (Visit, bool) {
	g, known := v.guests[name]
	switch {
	case known && g.early:
		v.remove(name, g)
		return Visit{at, v.inTime(at, time.UnixMilli(g.atMS))}, true
	case known && at.UnixMilli() >= g.atMS:
		return Visit{}, false
	case known:
		v.remove(name, g)
	}
	v.add(name, guest{atMS: at.UnixMilli()})
	return Visit{}, false
}

// Bought notes a guest's purchase; a second one means nothing.
func (v *Velocity) Bought(name string, at time.Time) (Visit, bool) {
	g, known := v.guests[name]
	switch {
	case known && !g.early:
		v.remove(name, g)
		in := time.UnixMilli(g.atMS).UTC()
		return Visit{in, v.inTime(in, at)}, true
	case known && at.UnixMilli() >= g.atMS:
		return Visit{}, false
	case known:
		v.remove(name, g)
	}
	v.add(name, guest{atMS: at.UnixMilli(), early: true})
	return Visit{}, false
}

// inTime allows for clocks of tills that differ: a purchase before its check-in
// was in time.
func (v *Velocity) inTime(in, bought time.Time) bool { return bought.Sub(in) <= v.within }

// Pass says that everything before read has been read, and returns the check-ins
// that did not buy in time, oldest first.
func (v *Velocity) Pass(read time.Time) []Visit {
	over := read.Add(-v.within).UnixMilli() // before it, time is up
	var out []Visit
	for _, m := range v.before(minuteOfMS(over) + 1) {
		for _, name := range v.byTime(m) {
			g := v.guests[name]
			if g.atMS >= over {
				continue
			}
			v.remove(name, g)
			if !g.early {
				out = append(out, Visit{At: time.UnixMilli(g.atMS).UTC()})
			}
		}
	}
	return out
}

// Waiting is how many check-ins are not known yet.
func (v *Velocity) Waiting() int { return v.count[0] }

// Dropped is how many check-ins were given up for want of room.
func (v *Velocity) Dropped() int64 { return v.dropped }

func (v *Velocity) add(name string, g guest) {
	v.put(name, g)
	v.dirty[minuteOfMS(g.atMS)] = struct{}{}
	if v.count[index(g.early)] > v.most {
		v.dropOldest(g.early)
	}
}

func (v *Velocity) put(name string, g guest) {
	m := minuteOfMS(g.atMS)
	if v.minutes[m] == nil {
		v.minutes[m] = map[string]struct{}{}
	}
	v.guests[name], v.minutes[m][name] = g, struct{}{}
	v.count[index(g.early)]++
}

func (v *Velocity) remove(name string, g guest) {
	m := minuteOfMS(g.atMS)
	delete(v.guests, name)
	if delete(v.minutes[m], name); len(v.minutes[m]) == 0 {
		delete(v.minutes, m)
	}
	v.count[index(g.early)]--
	v.dirty[m] = struct{}{}
}

// dropOldest gives the oldest guest of a sort up.
func (v *Velocity) dropOldest(early bool) {
	for _, m := range v.before(1 << 62) {
		for _, name := range v.byTime(m) {
			if g := v.guests[name]; g.early == early {
				v.remove(name, g)
				if !early {
					v.dropped, v.counted = v.dropped+1, true
				}
				return
			}
		}
	}
}

func index(early bool) int {
	if early {
		return 1
	}
	return 0
}

func minuteOfMS(ms int64) int64 { return floorDiv(ms, 60_000) }
