// Package wire is what a node's sender and the fleet's ingest say to each other:
// paths, acknowledgements and heartbeats. It holds no transport.
package wire

import "ghostlight/buffer"

// Paths of the fleet's ingest, below its base URL.
const (
	BlocksPath    = "/v1/blocks"    // POST: one sealed block; answers with an [Ack] or a [Refusal]
	HeartbeatPath = "/v1/heartbeat" // POST: a [Heartbeat]; answers with a [HeartbeatReply]
)

// BlockType is the media type of a sealed block.
const BlockType = "application/vnd.ghostlight.block"

// A Range is a run of sequences, both ends included.
type Range struct {
	First buffer.Seq `json:"first"`
	Last  buffer.Seq `json:"last"`
}

// An Ack says which blocks of one session and lane the fleet holds durably. What
// it names may be deleted on the node; it is idempotent and may repeat.
type Ack struct {
	Session   buffer.Session `json:"session,string"`
	Lane      buffer.Lane    `json:"lane"`
	Ranges    []Range        `json:"ranges"`
	Duplicate bool           `json:"duplicate,omitempty"` // the block was held already
}

// A Refusal is the body of every 4xx and 5xx answer. 409 means that the same
// (session, lane, sequence) is held with another content: a cloned data folder.
// 429 and 503 mean try again, after Retry-After seconds where it is given. 401,
// 403, 404, 405, 407, 408, 421 and 425 speak of the credential or the way there,
// never of the block. Any other 4xx with a Refusal means that this block will
// never be accepted; without one it is not the fleet that answered.
type Refusal struct {
	Error string `json:"error"`
}

// A Heartbeat is a node's sign of life, sent whether or not there is data.
type Heartbeat struct {
	Session  buffer.Session            `json:"session,string"`
	SentMS   int64                     `json:"sent_ms"` // node's clock, Unix milliseconds
	Lanes    map[buffer.Lane]LaneStats `json:"lanes"`
	Version  string                    `json:"version"`
	PageURL  string                    `json:"page_url,omitempty"` // the node's own page on the venue LAN
	Goodbye  bool                      `json:"goodbye,omitempty"`  // packed up on purpose: silence after this is not dark
	StartMS  int64                     `json:"start_ms"`           // when the agent started
	Restarts int64                     `json:"restarts"`           // starts of this data folder so far, less one

	Bandwidth *Bandwidth `json:"bandwidth,omitempty"` // nil: the node may send what it likes
	Battery   *float64   `json:"battery,omitempty"`   // last reading of its charge, 0 to 1; nil: not known
	// Calendar is the digest of the calendar that the node holds, [NoCalendar] if it
	// holds none; a node that does not want it leaves it empty, and so do Reports.
	Calendar string `json:"calendar,omitempty"`
}

// Bandwidth is how far a node has used the budget of its uplink for the day, UTC.
type Bandwidth struct {
	DayBytes  int64 `json:"day_bytes"`  // sent today, packet headers estimated
	DayBudget int64 `json:"day_budget"` // 0: only the rate is bounded
	// Withheld lanes wait in the buffer, all of them or only their backlog.
	Withheld map[buffer.Lane]string `json:"withheld,omitempty"`
}

// What waits of a lane that is withheld.
const (
	WithheldAll     = "all"
	WithheldBacklog = "backlog"
)

// LaneStats counts one lane of one data folder over its whole life.
// Produced = acknowledged + lost + waiting, always.
type LaneStats struct {
	Produced int64            `json:"produced"`          // samples committed
	Lost     map[string]int64 `json:"lost,omitempty"`    // samples given up, by declared reason
	Refused  int64            `json:"refused,omitempty"` // samples turned away for want of room: not produced, their maker tries again
	Waiting  int64            `json:"waiting"`           // samples in the buffer now
	Blocks   int64            `json:"blocks"`            // blocks in the buffer now
	Bytes    int64            `json:"bytes"`             // their bytes
	Records  RecordStats      `json:"records,omitzero"`  // what is not a metric, counted apart
}

// RecordStats counts the records of one lane as [LaneStats] counts samples.
type RecordStats struct {
	Produced int64            `json:"produced"`
	Lost     map[string]int64 `json:"lost,omitempty"`
	Waiting  int64            `json:"waiting"`
}

// LostTotal sums the declared losses.
func (s LaneStats) LostTotal() int64 {
	var n int64
	for _, v := range s.Lost {
		n += v
	}
	return n
}

// A HeartbeatReply carries the centre's clock for the node's offset, and what else
// a node is told that has no stream.
type HeartbeatReply struct {
	ReceivedMS int64     `json:"received_ms"`        // centre's clock, Unix milliseconds
	Calendar   *Calendar `json:"calendar,omitempty"` // nil: it is the one that the node holds, or the node wants none
}
