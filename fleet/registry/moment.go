package registry

import "time"

const (
	// clockSlack is how far wall and elapsed time may drift apart between two
	// saves before the wall clock counts as set.
	clockSlack = 2 * time.Second
	// clockTolerance is how far a node's clock may be ahead and still be believed.
	clockTolerance = 5 * time.Minute
)

// A moment is a time by two clocks: one that can be set, and one that cannot.
type moment struct {
	wall    time.Time
	elapsed time.Duration
}

// skipped is the time that the wall clock says has passed since an earlier moment
// and that has not, because it was set forward or the machine slept; nil if there
// is none. Nobody can have been heard in it, so it is the centre's own.
func (m moment) skipped(since moment) *Episode {
	wall := m.wall.Round(0).Sub(since.wall.Round(0))
	by := wall - (m.elapsed - since.elapsed)
	if by <= clockSlack {
		return nil
	}
	start := since.wall.Round(0)
	return &Episode{Start: start, End: start.Add(by)}
}
