package queue

import (
	"time"

	"ghostlight/buffer"
)

// freshFor is how long a block counts as fresh after its commit.
const freshFor = 30 * time.Second

// shareEvery: one of so many blocks is taken from the classes that strict order
// would starve, in turn.
const shareEvery = 8

// A class is a step in the order of sending.
type class struct {
	lane  buffer.Lane
	fresh bool
}

// classes is the order of sending: the centre is live at once after an outage and
// the backlog drains behind.
func classes() []class {
	return []class{
		{buffer.Revenue, true},
		{buffer.Health, true},
		{buffer.Revenue, false},
		{buffer.Detail, true},
		{buffer.Health, false},
		{buffer.Detail, false},
		{buffer.Traces, true},
		{buffer.Traces, false},
		{buffer.Logs, true},
		{buffer.Logs, false},
	}
}

// A candidate is a block that could be sent.
type candidate struct {
	id      key
	created int64 // Unix milliseconds
	fresh   bool
}

// choose picks up to max candidates of the classes that are allowed. Each lane's
// are given newest first and are picked in that order within their class. turn
// counts picks over the life of the queue, for the minimum shares; the new count
// is returned.
func choose(candidates map[buffer.Lane][]candidate, max, turn int, allow func(buffer.Lane, bool) bool) (picked []candidate, next int) {
	order := classes()
	queues := make([][]candidate, len(order))
	for i, c := range order {
		for _, cand := range candidates[c.lane] {
			if cand.fresh == c.fresh {
				queues[i] = append(queues[i], cand)
			}
		}
		if len(queues[i]) > 0 && allow != nil && !allow(c.lane, c.fresh) {
			queues[i] = nil
		}
	}
	for len(picked) < max {
		i := nextClass(queues, turn)
		if i < 0 {
			break
		}
		picked, queues[i] = append(picked, queues[i][0]), queues[i][1:]
		turn++
	}
	return picked, turn
}

// nextClass is the class to pick from: the first that has something, or at every
// shareEvery-th turn one of those behind it. It is -1 if all are empty.
func nextClass(queues [][]candidate, turn int) int {
	var filled []int
	for i, q := range queues {
		if len(q) > 0 {
			filled = append(filled, i)
		}
	}
	switch {
	case len(filled) == 0:
		return -1
	case len(filled) > 1 && turn%shareEvery == shareEvery-1:
		return filled[1+turn/shareEvery%(len(filled)-1)]
	default:
		return filled[0]
	}
}
