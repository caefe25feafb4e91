package slo

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// An Objective is a promise: of the events its indicator counts, at least the
// share Target is good within Window.
type Objective struct {
	Name        string // unique within a fleet
	DisplayName string
	Description string
	Service     string
	Owner       string // whom to ask about it, free text
	Target      float64
	Indicator   Indicator
	Budgeting   Method
	Window      Window
	PerEvent    bool  // also judged for each show on its own, from its start to its end
	Capacity    int64 // most events one minute of one node can hold; 0 when unknown

	// Hash identifies what is counted: the name and the indicator. Buckets of
	// one hash may be summed. A changed target, window or text keeps the hash, so
	// that what was counted before stays usable; compare Document to see whether
	// the definition changed at all. [IndicatorHash] computes it.
	Hash uint64
	// Document is the definition as canonical JSON; openslo.Decode accepts it.
	Document []byte
}

// Method says how events become budget.
type Method string

// Occurrences counts events: each is good or bad. It is the only method
// evaluated by this version.
const Occurrences Method = "Occurrences"

// An Indicator says what is counted. Exactly one of its fields is set.
type Indicator struct {
	Outcome *OutcomeIndicator `json:"outcome,omitempty"`
	Journey *JourneyIndicator `json:"journey,omitempty"`
}

// An OutcomeIndicator counts the real (never synthetic) outcomes of one kind
// that the venue's edgecore recorded.
type OutcomeIndicator struct {
	Kind string `json:"kind"` // checkin, order, payment or refund
}

// A JourneyIndicator counts the runs of one journey: a passed run is good.
type JourneyIndicator struct {
	Name string `json:"name"`
}

// OutcomeKinds lists the kinds an [OutcomeIndicator] may count.
func OutcomeKinds() []string { return []string{"checkin", "order", "payment", "refund"} }

// String names the indicator's source in a few words.
func (i Indicator) String() string {
	switch {
	case i.Outcome != nil:
		return "outcomes of kind " + i.Outcome.Kind
	case i.Journey != nil:
		return "journey " + i.Journey.Name
	}
	return "nothing"
}

// Validate reports an indicator that counts nothing, or two things.
func (i Indicator) Validate() error {
	switch {
	case i.Outcome == nil && i.Journey == nil:
		return errors.New("the indicator counts nothing; allowed: outcomes, journey")
	case i.Outcome != nil && i.Journey != nil:
		return errors.New("the indicator counts both outcomes and a journey; allowed: one of them")
	case i.Outcome != nil && !slices.Contains(OutcomeKinds(), i.Outcome.Kind):
		return fmt.Errorf("outcome kind %q is unknown; allowed: %s", i.Outcome.Kind, strings.Join(OutcomeKinds(), ", "))
	case i.Journey != nil && i.Journey.Name == "":
		return errors.New("the journey has no name")
	}
	return nil
}

// durable reports whether the source keeps its facts until they are read, so
// that minutes nobody watched can still be counted afterwards.
func (i Indicator) durable() bool { return i.Outcome != nil }

var namePattern = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// ValidName reports whether s may name an objective: 1 to 63 characters of a-z,
// 0-9 and '-', neither first nor last a '-' (RFC 1123, as OpenSLO asks).
func ValidName(s string) bool { return namePattern.MatchString(s) }

// Validate reports the first part of o that cannot be evaluated.
func (o Objective) Validate() error {
	switch {
	case !ValidName(o.Name):
		return fmt.Errorf("objective name %q is not 1 to 63 characters of a-z, 0-9 and '-'", o.Name)
	case !(o.Target > 0 && o.Target < 1):
		return fmt.Errorf("objective %s: %w: %v", o.Name, ErrTarget, o.Target)
	case o.Budgeting != Occurrences:
		return fmt.Errorf("objective %s: budgeting method %q is unknown; allowed: %s", o.Name, o.Budgeting, Occurrences)
	case o.Capacity < 0:
		return fmt.Errorf("objective %s: capacity %d is negative", o.Name, o.Capacity)
	}
	if err := o.Indicator.Validate(); err != nil {
		return fmt.Errorf("objective %s: %w", o.Name, err)
	}
	if err := o.Window.Validate(); err != nil {
		return fmt.Errorf("objective %s: %w", o.Name, err)
	}
	return nil
}

// IndicatorHash is the [Objective.Hash] of an objective of this name and
// indicator: the first 8 bytes, little endian, of the SHA-256 of their canonical
// JSON.
func IndicatorHash(name string, i Indicator) uint64 {
	// Marshalling strings and slices of strings in a fixed field order cannot
	// fail and is canonical.
	doc, _ := json.Marshal(struct {
		Name      string    `json:"name"`
		Indicator Indicator `json:"indicator"`
	}{name, i})
	sum := sha256.Sum256(doc)
	return binary.LittleEndian.Uint64(sum[:8])
}
