package registry

import "time"

const (
	// clockBeats is how many of a node's last words its clock is estimated from.
	clockBeats = 8
	// clockWrong is how far a node's clock may be off before that is shown. Times
	// in what it sends are then not to be compared with those of others.
	clockWrong = time.Minute
)

// An offset estimates by how much a node's clock is ahead of the centre's. A
// message says so less the time that it was under way, which is never negative: so
// of the last ones the greatest is nearest. The zero value knows nothing.
type offset struct {
	last [clockBeats]time.Duration
	n    int // notes ever
}

// note adds that a message sent at sentMS, Unix milliseconds of the node's clock,
// was read at received by the centre's.
func (o *offset) note(sentMS int64, received time.Time) {
	o.last[o.n%clockBeats] = time.UnixMilli(sentMS).Sub(received)
	o.n++
}

// ahead is the estimate.
func (o *offset) ahead() time.Duration {
	known := o.last[:min(o.n, clockBeats)]
	if len(known) == 0 {
		return 0
	}
	most := known[0]
	for _, d := range known[1:] {
		most = max(most, d)
	}
	return most
}

// tells notes what a message says of n's clock. r.mu is held.
func (r *Registry) tells(n *node, sentMS int64, received time.Time) {
	n.offset.note(sentMS, received)
	n.view.ClockOffset = n.offset.ahead()
	wrong := n.view.ClockOffset.Abs() > clockWrong
	if wrong == n.view.ClockWrong {
		return
	}
	n.view.ClockWrong = wrong
	if wrong {
		r.log.Warn("clock of a node is wrong; set it right at the venue", "source", n.view.Source.String(), "ahead_by", n.view.ClockOffset.Round(time.Second).String())
	} else {
		r.log.Info("clock of a node is right again", "source", n.view.Source.String())
	}
	r.announce()
}
