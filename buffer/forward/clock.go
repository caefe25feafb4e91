package forward

import (
	"sync"
	"time"
)

// clockReadings are remembered. The one with the shortest round trip is believed:
// half a round trip is how far it can be wrong.
const clockReadings = 8

// A clock estimates how far the fleet's clock is ahead of the node's.
type clock struct {
	mu       sync.Mutex // guards what follows
	readings []reading  // the last ones, oldest first
}

type reading struct {
	offset, roundTrip time.Duration
}

// note takes a reading: something was sent, the fleet read it when its clock was
// at received, and its answer was heard.
func (c *clock) note(sent, heard time.Time, received int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	trip := max(heard.Sub(sent), 0)
	c.readings = append(c.readings, reading{time.UnixMilli(received).Sub(sent.Add(trip / 2)), trip})
	if len(c.readings) > clockReadings {
		c.readings = c.readings[1:]
	}
}

// offset is the fleet's clock less the node's.
func (c *clock) offset() (offset time.Duration, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	best := -1
	for i, r := range c.readings {
		if best < 0 || r.roundTrip <= c.readings[best].roundTrip {
			best = i
		}
	}
	if best < 0 {
		return 0, false
	}
	return c.readings[best].offset, true
}
