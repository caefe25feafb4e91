package ledger

import "ghostlight/slo"

// A chunk is what is known of one node in one hour, and what of it the rows do not
// hold yet.
type chunk struct {
	source    int64
	hour      int64
	lines     []line
	pasts     []past // not stored yet
	first     int64  // the first arrival that its row does not hold; 0: the row holds all
	changedMS int64  // when it last changed
	touched   *stage // the transaction that is about to change it
	late      bool   // made for an hour that was over
}

// A past is what a settled minute was until an arrival changed it.
type past struct {
	version
	objective int64 // its number
	arrival   int64 // which changed it
	untilMS   int64 // when
	cause     Cause // why
}

// lateBytes hold an hour of usual minutes: what comes late comes by the hour.
const lateBytes = 768

// on returns the line of an objective, made if need be.
func (c *chunk) on(o *objective) *line {
	if n := c.find(o); n != nil {
		return n
	}
	n := line{objective: o}
	if c.late {
		n.entries = make([]byte, 0, lateBytes)
	}
	c.lines = append(c.lines, n)
	return &c.lines[len(c.lines)-1]
}

func (c *chunk) find(o *objective) *line {
	for i := range c.lines {
		if c.lines[i].objective == o {
			return &c.lines[i]
		}
	}
	return nil
}

// takes reports whether b would change the chunk.
func (c *chunk) takes(o *objective, b slo.Bucket) bool {
	n := c.find(o)
	if n == nil {
		return true
	}
	old, _, _, held := n.find(c.hour, int(b.Minute-c.hour*60))
	return !held || supersedes(b, old.Bucket)
}

// take puts v in its place if it supersedes what is there, which it returns.
func (c *chunk) take(o *objective, v version, arrival int64) (was version, held, took bool) {
	n, i := c.on(o), int(v.Minute-c.hour*60)
	was, from, to, held := n.find(c.hour, i)
	if held && !supersedes(v.Bucket, was.Bucket) {
		return was, held, false
	}
	if held && !settling(v) {
		c.pasts = append(c.pasts, past{was, o.id, arrival, v.arrivedMS, changeOf(o, was.Bucket, v.Bucket)})
	}
	v.Objective = ""
	n.put(v, i, from, to)
	if c.first == 0 {
		c.first = arrival
	}
	c.changedMS = v.arrivedMS
	return was, held, true
}

// settling reports whether the version came while its minute was going on or settling.
func settling(v version) bool { return v.arrivedMS <= settledMS(v.Minute) }

// settledMS is when a minute has settled.
func settledMS(minute int64) int64 { return (minute+1)*60_000 + Settle.Milliseconds() }

// A node is a source and its hours in memory.
type node struct {
	id     int64
	chunks []*chunk // few: of the hours that are not folded
}

func (n *node) chunk(hour int64) *chunk {
	for i := len(n.chunks) - 1; i >= 0; i-- {
		if n.chunks[i].hour == hour {
			return n.chunks[i]
		}
	}
	return nil
}

func (n *node) drop(c *chunk) {
	for i, other := range n.chunks {
		if other == c {
			n.chunks = append(n.chunks[:i], n.chunks[i+1:]...)
			return
		}
	}
}
