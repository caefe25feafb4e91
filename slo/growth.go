package slo

import "math"

// A Growth turns the readings of Prometheus counters into events. The first
// reading of a series is only where it starts from; one that is lower than the
// last says that its producer began again from zero. Fractions are carried over to
// the next reading, so that the events counted are the growth, rounded down once.
//
// The state must be stored with what it led to. It is not safe for concurrent use.
type Growth struct {
	last  map[string]float64
	carry float64
}

// NewGrowth continues from the readings stored before, nil for none.
func NewGrowth(last map[string]float64, carry float64) *Growth {
	g := &Growth{last: map[string]float64{}}
	for series, v := range last {
		if finite(v) && v >= 0 {
			g.last[series] = v
		}
	}
	if finite(carry) && carry >= 0 && carry < 1 {
		g.carry = carry
	}
	return g
}

// State is what [NewGrowth] continues from.
func (g *Growth) State() (last map[string]float64, carry float64) { return g.last, g.carry }

// Read takes the readings of one scrape, by series, and returns how many events
// they add. A series that is gone is forgotten once forget names it; one that is
// merely missing is waited for. Readings that no counter has are passed over.
func (g *Growth) Read(readings map[string]float64, forget ...string) int64 {
	grew := g.carry
	for series, v := range readings {
		if !finite(v) || v < 0 {
			continue
		}
		if last, known := g.last[series]; known {
			if v >= last {
				grew += v - last
			} else {
				grew += v
			}
		}
		g.last[series] = v
	}
	for _, series := range forget {
		delete(g.last, series)
	}
	grew = min(grew, MaxCount)
	events := math.Floor(grew)
	g.carry = grew - events
	return int64(events)
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
