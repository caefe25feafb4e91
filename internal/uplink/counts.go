package uplink

import "sync/atomic"

// Counts is what happened on one route.
type Counts struct {
	Connections   int64 `json:"connections"`    // accepted, those reset at once included
	Refused       int64 `json:"refused"`        // reset at once: the line was cut
	Broken        int64 `json:"broken"`         // established connections reset by a fault
	BytesUp       int64 `json:"bytes_up"`       // passed towards the backend
	BytesDown     int64 `json:"bytes_down"`     // passed towards the client
	Swallowed     int64 `json:"swallowed"`      // bytes that went nowhere
	Delayed       int64 `json:"delayed"`        // pieces of a stream that were delayed
	Throttled     int64 `json:"throttled"`      // pieces of a stream that waited for the rate
	Requests      int64 `json:"requests"`       // requests passed to the backend, repeats not counted
	Duplicated    int64 `json:"duplicated"`     // requests sent twice
	Reordered     int64 `json:"reordered"`      // requests that let a later one pass
	Held          int64 `json:"held"`           // requests held in vain: none came after them in time
	Streams       int64 `json:"streams"`        // streams passed to the backend
	LostAnswers   int64 `json:"lost_answers"`   // streams broken because a part of their answer was lost
	BackendFailed int64 `json:"backend_failed"` // requests for which the backend was not reached
}

type counters struct {
	connections, refused, broken          atomic.Int64
	bytesUp, bytesDown, swallowed         atomic.Int64
	delayed, throttled                    atomic.Int64
	requests, duplicated, reordered, held atomic.Int64
	streams, lostAnswers, backendFailed   atomic.Int64
}

func (c *counters) read() Counts {
	return Counts{
		Connections: c.connections.Load(), Refused: c.refused.Load(), Broken: c.broken.Load(),
		BytesUp: c.bytesUp.Load(), BytesDown: c.bytesDown.Load(), Swallowed: c.swallowed.Load(),
		Delayed: c.delayed.Load(), Throttled: c.throttled.Load(),
		Requests: c.requests.Load(), Duplicated: c.duplicated.Load(), Reordered: c.reordered.Load(), Held: c.held.Load(),
		Streams: c.streams.Load(), LostAnswers: c.lostAnswers.Load(), BackendFailed: c.backendFailed.Load(),
	}
}
