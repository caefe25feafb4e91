package queue

// maxDoubtful bounds the memory of doubtful blocks. A sender that stops after its
// first failures, as package forward does, leaves a handful an outage.
const maxDoubtful = 4096

// A flight knows which blocks are out of the queue's hands: handed out by Next
// and not yet given back, or given back without anybody knowing whether the
// fleet has them. Neither may be dropped as lost, for the fleet may hold them.
type flight struct {
	out      map[key]bool
	doubtful map[key]bool
}

func newFlight() flight {
	return flight{out: map[key]bool{}, doubtful: map[key]bool{}}
}

func (f *flight) protected(k key) bool { return f.out[k] || f.doubtful[k] }

func (f *flight) release(k key) {
	if !f.out[k] {
		return
	}
	delete(f.out, k)
	if len(f.doubtful) < maxDoubtful {
		f.doubtful[k] = true
	}
}

// gone forgets a block that left the queue.
func (f *flight) gone(k key) {
	delete(f.out, k)
	delete(f.doubtful, k)
}
