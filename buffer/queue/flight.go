package queue

import (
	"maps"
	"slices"

	"ghostlight/buffer"
)

// maxDoubtful bounds the list of doubtful blocks. A sender that stops after its
// first failures, as package forward does, leaves a handful an outage.
const maxDoubtful = 512

// A flight knows which blocks are out of the queue's hands: handed out by Next
// and not yet given back, or given back without anybody knowing whether the fleet
// has them. Neither may be changed, nor dropped as lost, for the fleet may hold
// them.
type flight struct {
	handing  bool // Next is at work: what it picked may not be in out yet
	out      map[key]bool
	doubtful map[key]bool
	// below has for each lane the last of those blocks of which it is not known
	// singly whether they were sent: they are not changed, but may be dropped.
	below map[buffer.Lane]key
}

func newFlight() flight {
	return flight{out: map[key]bool{}, doubtful: map[key]bool{}, below: map[buffer.Lane]key{}}
}

// adopt takes over what a file's mark says at its opening.
func (f *flight) adopt(file *file) {
	for _, k := range file.sent.Keys {
		f.doubtful[k] = true
	}
	maps.Copy(f.below, file.sent.Below)
	if file.sent.All {
		maps.Copy(f.below, file.newest)
	}
}

// exact is the mark that tells what is known of a file. quiet is false while any
// of its blocks is out or about to be.
func (f *flight) exact(file *file) (s sent, quiet bool) {
	if f.handing {
		return sent{}, false
	}
	for k := range f.out {
		if file.holds(k.lane()) {
			return sent{}, false
		}
	}
	s.Below = map[buffer.Lane]key{}
	for lane, k := range f.below {
		if file.holds(lane) && k != 0 {
			s.Below[lane] = k
		}
	}
	for _, k := range slices.Sorted(maps.Keys(f.doubtful)) {
		if file.holds(k.lane()) {
			s.Keys = append(s.Keys, k)
		}
	}
	return s, true
}

// protected reports whether a block may not be dropped.
func (f *flight) protected(k key) bool { return f.out[k] || f.doubtful[k] }

// settled reports whether a block must stay as it is.
func (f *flight) settled(k key) bool { return f.protected(k) || k <= f.below[k.lane()] }

func (f *flight) release(k key) {
	if !f.out[k] {
		return
	}
	delete(f.out, k)
	f.doubtful[k] = true
	if len(f.doubtful) <= maxDoubtful {
		return
	}
	for k := range f.doubtful {
		f.below[k.lane()] = max(f.below[k.lane()], k)
	}
	clear(f.doubtful)
}

// gone forgets a block that left the queue.
func (f *flight) gone(k key) {
	delete(f.out, k)
	delete(f.doubtful, k)
}
