package uplink

import (
	"context"
	"sync"
	"time"
)

// window bounds what waits in one direction of a connection. A throttled line
// holds what fits its delay and a tenth of a second more, as a modem with a short
// queue does: with a long one everything would be late by the time that the queue
// takes to drain.
type window struct {
	mu    sync.Mutex // guards what follows
	held  int64
	freed chan struct{} // closed and replaced when something was delivered
}

const shortQueue = 100 * time.Millisecond

func newWindow() *window { return &window{freed: make(chan struct{})} }

// room waits until something more may be taken in, and says how much; false means
// that ctx ended.
func (w *window) room(ctx context.Context, f *faults) (int, bool) {
	for {
		l, changed := f.line()
		if l.rate == 0 {
			return pieceBytes, true
		}
		most := max(int64(float64(l.rate)*(l.delay+shortQueue).Seconds()), 1)
		w.mu.Lock()
		free, freed := most-w.held, w.freed
		w.mu.Unlock()
		if free > 0 {
			return int(min(free, pieceBytes)), true
		}
		select {
		case <-freed:
		case <-changed:
		case <-ctx.Done():
			return 0, false
		}
	}
}

func (w *window) take(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held += int64(n)
}

func (w *window) free(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held -= int64(n)
	close(w.freed)
	w.freed = make(chan struct{})
}
