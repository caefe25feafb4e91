package tail

import (
	"math"
	"time"
)

const (
	maxSketches  = 128  // names; all others share one
	sketchSlots  = 128  // a quarter of a doubling each, from a microsecond to an hour
	sketchFull   = 2048 // observations after which all counts are halved, so that old ones fade
	sketchEnough = 100  // observations below which no p99 is told
)

// sketch is a histogram of durations in logarithmic slots; a quantile is off by at
// most one slot, 19 %.
type sketch struct {
	slots [sketchSlots]uint16
	total int
}

func (s *sketch) observe(d time.Duration) {
	s.slots[slot(d)]++
	if s.total++; s.total < sketchFull {
		return
	}
	s.total = 0
	for i := range s.slots {
		s.slots[i] /= 2
		s.total += int(s.slots[i])
	}
}

// p99 is the upper edge of the slot that holds the 99th percentile.
func (s *sketch) p99() (time.Duration, bool) {
	if s.total < sketchEnough {
		return 0, false
	}
	above := s.total / 100
	for i := sketchSlots - 1; i > 0; i-- {
		if above -= int(s.slots[i]); above < 0 {
			return time.Duration(math.Exp2(float64(i+1)/4) * float64(time.Microsecond)), true
		}
	}
	return time.Microsecond, true
}

func slot(d time.Duration) int {
	us := float64(d) / float64(time.Microsecond)
	if us <= 1 {
		return 0
	}
	return min(sketchSlots-1, int(4*math.Log2(us)))
}

// sketches keeps one sketch for each name of a trace's first span.
type sketches struct {
	byName map[string]*sketch
	others sketch
}

func newSketches() sketches { return sketches{byName: map[string]*sketch{}} }

func (s *sketches) observe(name string, d time.Duration) {
	one := s.byName[name]
	if one == nil {
		if len(s.byName) >= maxSketches || len(name) > maxValue {
			one = &s.others
		} else {
			one = &sketch{}
			s.byName[name] = one
		}
	}
	one.observe(d)
}

func (s *sketches) p99(name string) (time.Duration, bool) {
	if one := s.byName[name]; one != nil {
		return one.p99()
	}
	if len(s.byName) >= maxSketches {
		return s.others.p99()
	}
	return 0, false
}
