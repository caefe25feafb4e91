package main

import "time"

// share is how many of the nodes of a fleet are measured.
func (b *bench) share(nodes int) int {
	if b.small {
		return max(1, nodes/50)
	}
	return nodes
}

// past is how much of a history is made.
func (b *bench) past(d time.Duration) time.Duration {
	if b.small {
		return max(24*time.Hour, d/10)
	}
	return d
}
