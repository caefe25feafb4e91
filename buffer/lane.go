// Package buffer is the vocabulary of Ghostlight's store-and-forward path: the
// lanes telemetry is prioritised into, the source it comes from, and the sealed
// block that carries it. The rooms below it do the work: delta encodes a block's
// payload, queue keeps blocks durably on the node, forward sends them, and wire
// is what sender and centre say to each other.
//
// A sealed block never says who sent it. Identity belongs to the connection.
package buffer

import (
	"fmt"
	"strings"
)

// A Lane is a priority class. Lower values are more important: under pressure a
// node degrades from the highest value down, and never touches Revenue.
type Lane uint8

// The lanes, in strict order of importance. Their numbers are part of the block
// format and never change.
const (
	Revenue Lane = 1 // outcomes, SLI buckets, heal audit, payment and check-in counters
	Health  Lane = 2 // up, journeys, scores: what tells whether the venue works
	Detail  Lane = 3 // every other metric
	Traces  Lane = 4
	Logs    Lane = 5
)

// Lanes lists all lanes, most important first.
func Lanes() []Lane { return []Lane{Revenue, Health, Detail, Traces, Logs} }

var laneNames = map[Lane]string{Revenue: "revenue", Health: "health", Detail: "detail", Traces: "traces", Logs: "logs"}

// Valid reports whether l is one of the lanes above.
func (l Lane) Valid() bool { return l >= Revenue && l <= Logs }

// String is the lane's name as labels and configuration spell it.
func (l Lane) String() string {
	if name, ok := laneNames[l]; ok {
		return name
	}
	return fmt.Sprintf("lane(%d)", uint8(l))
}

// ParseLane is the inverse of [Lane.String].
func ParseLane(s string) (Lane, error) {
	for _, l := range Lanes() {
		if laneNames[l] == s {
			return l, nil
		}
	}
	return 0, fmt.Errorf("lane %q is unknown; allowed: revenue, health, detail, traces, logs", s)
}

// MarshalText lets a lane be a JSON key or value by its name.
func (l Lane) MarshalText() ([]byte, error) {
	if !l.Valid() {
		return nil, fmt.Errorf("lane %d is unknown", uint8(l))
	}
	return []byte(l.String()), nil
}

// UnmarshalText is the inverse of [Lane.MarshalText].
func (l *Lane) UnmarshalText(b []byte) error {
	parsed, err := ParseLane(string(b))
	if err != nil {
		return err
	}
	*l = parsed
	return nil
}

// A Source names one node of the fleet. The centre takes it from the
// connection's credential, never from a payload.
type Source struct {
	Region string `json:"region"`
	Venue  string `json:"venue"`
	Node   string `json:"node"`
}

// String joins region, venue and node by slashes.
func (s Source) String() string { return s.Region + "/" + s.Venue + "/" + s.Node }

// Validate reports the first part that is empty or that could not be a label
// value and a path element alike: 1 to 63 characters of a-z, 0-9, '-', '_', '.'.
func (s Source) Validate() error {
	for _, part := range []struct{ field, value string }{{"region", s.Region}, {"venue", s.Venue}, {"node", s.Node}} {
		ok := part.value != "" && len(part.value) <= 63 && strings.Trim(part.value, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == "" && part.value[0] != '.'
		if !ok {
			return fmt.Errorf("%s %q is not a name: 1 to 63 characters of a-z, 0-9, '-', '_', '.'", part.field, part.value)
		}
	}
	return nil
}
