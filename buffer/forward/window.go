package forward

import "time"

const (
	// backlogTime is how long backlog on its way may make fresh data wait.
	backlogTime = 500 * time.Millisecond
	// smoothing is the weight of a new measurement.
	smoothing = 0.25
	// maxBlocks are taken from the queue at a time.
	maxBlocks = 16
)

// A window bounds the backlog on its way to what the uplink carries in half a
// second, beyond what fits into a round trip: that much of it waits for nobody.
// One block is always allowed.
type window struct {
	rate      float64       // bytes acknowledged a second while there was backlog, smoothed; 0: not known
	block     float64       // bytes of a block of backlog, smoothed
	trip      time.Duration // shortest time from sending a block to its acknowledgement
	inFlight  int64         // bytes of backlog on their way
	delivered int64         // bytes acknowledged
}

// A flight is what the window must know of a block on its way.
type flight struct {
	size      int64
	backlog   bool
	sent      time.Time
	delivered int64 // before it was sent
}

// leave notes that a block is sent.
func (w *window) leave(size int, backlog bool, now time.Time) flight {
	if backlog {
		w.inFlight += int64(size)
		w.block = smooth(w.block, float64(size))
	}
	return flight{size: int64(size), backlog: backlog, sent: now, delivered: w.delivered}
}

// gone notes that a block is no longer on its way.
func (w *window) gone(f flight) {
	if f.backlog {
		w.inFlight -= f.size
	}
}

// acknowledged notes blocks that one message acknowledged.
func (w *window) acknowledged(blocks []flight, now time.Time) {
	if len(blocks) == 0 {
		return
	}
	last := blocks[0]
	for _, f := range blocks {
		w.gone(f)
		w.delivered += f.size
		if f.sent.After(last.sent) {
			last = f
		}
	}
	trip := now.Sub(last.sent)
	if w.trip == 0 || trip < w.trip {
		w.trip = trip
	}
	if trip <= 0 {
		return
	}
	// A lone fresh block says how far the fleet is, not what the uplink carries.
	if rate := float64(w.delivered-last.delivered) / trip.Seconds(); last.backlog || rate > w.rate {
		w.rate = smooth(w.rate, rate)
	}
}

// room is how many more blocks of backlog may be sent now.
func (w *window) room() int {
	limit := w.rate * (backlogTime + w.trip).Seconds()
	switch free := limit - float64(w.inFlight); {
	case w.inFlight == 0 && (w.block == 0 || free < w.block):
		return 1
	case w.block == 0 || free < w.block:
		return 0
	default:
		return int(min(free/w.block, maxBlocks))
	}
}

func smooth(old, now float64) float64 {
	if old == 0 {
		return now
	}
	return old + smoothing*(now-old)
}
