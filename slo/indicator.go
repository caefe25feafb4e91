package slo

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// An Indicator says what is counted. Exactly one of its fields is set.
type Indicator struct {
	Outcome  *OutcomeIndicator  `json:"outcome,omitempty"`
	Journey  *JourneyIndicator  `json:"journey,omitempty"`
	Counter  *CounterIndicator  `json:"counter,omitempty"`
	Gauge    *GaugeIndicator    `json:"gauge,omitempty"`
	Velocity *VelocityIndicator `json:"velocity,omitempty"`
	Baseline *BaselineIndicator `json:"baseline,omitempty"`
	Contact  *ContactIndicator  `json:"contact,omitempty"`
	Recovery *RecoveryIndicator `json:"recovery,omitempty"`
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

// A CounterIndicator counts what Prometheus counters on the node grew by, a
// histogram's buckets among them. Total and exactly one of Good and Bad are set;
// the series that any selector of a list takes are summed, each once.
type CounterIndicator struct {
	Good  []Selector `json:"good,omitempty"`
	Bad   []Selector `json:"bad,omitempty"`
	Total []Selector `json:"total"`
}

// A GaugeIndicator counts the samples of a gauge: one that compares with Value
// as Op says is good. A scrape that brings no sample counts nothing.
type GaugeIndicator struct {
	Selector Selector `json:"selector"`
	Op       Operator `json:"op"`
	Value    float64  `json:"value"`
}

// A VelocityIndicator counts the check-ins of which it is known whether they
// bought: one that bought within Seconds is good. See [Velocity].
type VelocityIndicator struct {
	Seconds int64 `json:"seconds"`
}

// A BaselineIndicator counts check-ins; as many are good as bought within
// [BaselineTime], measured against what the venue itself used to sell. See [Baseline].
type BaselineIndicator struct {
	Days int `json:"days"` // how far back the baseline looks
}

// A ContactIndicator counts the minutes in which the node should have been on:
// one in which the centre heard from it is good.
type ContactIndicator struct{}

// A RecoveryIndicator counts incidents: one at parity within Seconds of its
// failure is good, one open for longer is already bad. See [Recovery].
type RecoveryIndicator struct {
	Seconds int64 `json:"seconds"`
}

// Operator compares the sample of a gauge with a value.
type Operator string

// The operators, spelt as OpenSLO spells them.
const (
	Less           Operator = "lt"
	LessOrEqual    Operator = "lte"
	Greater        Operator = "gt"
	GreaterOrEqual Operator = "gte"
)

// Operators lists the operators.
func Operators() []string { return []string{"gt", "gte", "lt", "lte"} }

// Holds reports whether sample compares with value as o says. NaN never does.
func (o Operator) Holds(sample, value float64) bool {
	switch o {
	case Less:
		return sample < value
	case LessOrEqual:
		return sample <= value
	case Greater:
		return sample > value
	case GreaterOrEqual:
		return sample >= value
	}
	return false
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
	case i.Counter != nil:
		return "counter " + sumOf(i.Counter.Total)
	case i.Gauge != nil:
		return fmt.Sprintf("samples of %s, %s %v", i.Gauge.Selector, i.Gauge.Op, i.Gauge.Value)
	case i.Velocity != nil:
		return fmt.Sprintf("check-ins that buy within %v", seconds(i.Velocity.Seconds))
	case i.Baseline != nil:
		return fmt.Sprintf("check-ins that buy, against %d days before", i.Baseline.Days)
	case i.Contact != nil:
		return "minutes in contact"
	case i.Recovery != nil:
		return fmt.Sprintf("incidents at parity within %v", seconds(i.Recovery.Seconds))
	}
	return "nothing"
}

func sumOf(selectors []Selector) string {
	text := make([]string, len(selectors))
	for i, s := range selectors {
		text[i] = s.String()
	}
	return strings.Join(text, " + ")
}

func seconds(n int64) time.Duration { return time.Duration(n) * time.Second }

// Validate reports an indicator that counts nothing, or two things.
func (i Indicator) Validate() error {
	set := 0
	for _, given := range []bool{
		i.Outcome != nil, i.Journey != nil, i.Counter != nil, i.Gauge != nil,
		i.Velocity != nil, i.Baseline != nil, i.Contact != nil, i.Recovery != nil,
	} {
		if given {
			set++
		}
	}
	switch {
	case set == 0:
		return errors.New("the indicator counts nothing; allowed: outcomes, journey, counter, gauge, velocity, baseline, contact, recovery")
	case set > 1:
		return errors.New("the indicator counts more than one thing; allowed: one of outcomes, journey, counter, gauge, velocity, baseline, contact, recovery")
	case i.Outcome != nil && !slices.Contains(OutcomeKinds(), i.Outcome.Kind):
		return fmt.Errorf("outcome kind %q is unknown; allowed: %s", i.Outcome.Kind, strings.Join(OutcomeKinds(), ", "))
	case i.Journey != nil && i.Journey.Name == "":
		return errors.New("the journey has no name")
	case i.Counter != nil:
		return i.Counter.validate()
	case i.Gauge != nil:
		return i.Gauge.validate()
	case i.Velocity != nil && (i.Velocity.Seconds < 60 || i.Velocity.Seconds > 86_400):
		return fmt.Errorf("the time to buy is %v; allowed: 1 minute to 24 hours", seconds(i.Velocity.Seconds))
	case i.Baseline != nil && (i.Baseline.Days < 1 || i.Baseline.Days > 366):
		return fmt.Errorf("the baseline looks back %d days; allowed: 1 to 366", i.Baseline.Days)
	case i.Recovery != nil && (i.Recovery.Seconds < 60 || i.Recovery.Seconds > 7*86_400):
		return fmt.Errorf("the time to recover is %v; allowed: 1 minute to 7 days", seconds(i.Recovery.Seconds))
	}
	return nil
}

func (c CounterIndicator) validate() error {
	if len(c.Total) == 0 || (len(c.Good) == 0) == (len(c.Bad) == 0) {
		return errors.New("the counters must say total and one of good and bad")
	}
	for _, s := range slices.Concat(c.Good, c.Bad, c.Total) {
		if err := s.Validate(); err != nil {
			return err
		}
	}
	return nil
}

func (g GaugeIndicator) validate() error {
	switch {
	case !slices.Contains(Operators(), string(g.Op)):
		return fmt.Errorf("operator %q is unknown; allowed: %s", g.Op, strings.Join(Operators(), ", "))
	case g.Value-g.Value != 0:
		return fmt.Errorf("the gauge is compared with %v; allowed: a finite number", g.Value)
	}
	return g.Selector.Validate()
}

// Central reports whether only the centre can count the indicator: it alone knows
// when a node was silent, and when an incident ended everywhere.
func (i Indicator) Central() bool { return i.Contact != nil || i.Recovery != nil }

// durable reports whether the source keeps its facts until they are read, so
// that minutes nobody watched can still be counted afterwards.
func (i Indicator) durable() bool {
	return i.Outcome != nil || i.Velocity != nil || i.Baseline != nil
}

// IndicatorHash is the [Objective.Hash] of an objective of this name and
// indicator: the first 8 bytes, little endian, of the SHA-256 of their canonical
// JSON.
func IndicatorHash(name string, i Indicator) uint64 {
	// Marshalling strings, finite numbers and slices of them in a fixed field
	// order cannot fail and is canonical.
	doc, _ := json.Marshal(struct {
		Name      string    `json:"name"`
		Indicator Indicator `json:"indicator"`
	}{name, i})
	sum := sha256.Sum256(doc)
	return binary.LittleEndian.Uint64(sum[:8])
}
