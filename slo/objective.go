package slo

import (
	"fmt"
	"regexp"
	"time"
)

// An Objective is a promise: of the events its indicator counts, at least the
// share Target is good within Window.
type Objective struct {
	Name        string // unique within a fleet
	DisplayName string
	Description string
	Service     string
	Owner       string // whom to ask about it, free text
	Audience    string // whom it is promised to, free text
	Target      float64
	Indicator   Indicator
	Budgeting   Method
	Slice       Slice // for the methods that count slices of time
	Window      Window
	PerEvent    bool  // also judged for each show on its own, from its start to its end
	Capacity    int64 // most events one minute of one node can hold; 0 when unknown

	// Alerts are the burn alerts that the file asks for; none means [Tiers] of
	// the window.
	Alerts []Tier
	// MinTraffic is how many events a long window must hold before a burn alert
	// over it may fire; 0 when a single one will do.
	MinTraffic int64
	Missing    Missing
	Exclusions []Exclusion // planned: these minutes do not count
	Hours      Hours       // minutes outside them do not count; the zero value is always open
	// FinalAfter is how long after a window's end a pending minute is waited for;
	// 0 means [DefaultFinalAfter].
	FinalAfter time.Duration

	// Hash identifies what is counted: the name and the indicator. Buckets of
	// one hash may be summed. A changed target, window or text keeps the hash, so
	// that what was counted before stays usable; compare Document to see whether
	// the definition changed at all. [IndicatorHash] computes it.
	Hash uint64
	// Document is the definition as canonical JSON; openslo.Decode accepts it.
	Document []byte
}

// DefaultFinalAfter is how long a dark node is waited for before a window is
// final without it: longer than a node attests an absence minute by minute, so
// that a van that was six weeks on the road still reports in time.
const DefaultFinalAfter = 45 * 24 * time.Hour

// Method says how events become budget.
type Method string

// The methods. Source: OpenSLO v1, budgeting methods.
const (
	Occurrences     Method = "Occurrences"     // each event is good or bad
	Timeslices      Method = "Timeslices"      // each slice of time is good or bad
	RatioTimeslices Method = "RatioTimeslices" // each slice counts as much as its share of good events
)

// Methods lists the methods.
func Methods() []string {
	return []string{string(Occurrences), string(Timeslices), string(RatioTimeslices)}
}

// Sliced reports whether the method counts slices of time.
func (m Method) Sliced() bool { return m == Timeslices || m == RatioTimeslices }

// Unit says what the counts of a judged window are.
func (m Method) Unit() string {
	switch m {
	case Timeslices:
		return "slices"
	case RatioTimeslices:
		return "millionths of slices"
	}
	return "events"
}

// A Slice is a slice of time, aligned to the Unix epoch.
type Slice struct {
	Minutes int64   // how long, from 1 to a day
	Target  float64 // Timeslices: share of good events that makes a slice good, above 0 up to 1
}

// Missing says what a slice of time without events counts as once nothing is
// pending. It matters to the sliced methods alone: where events are counted,
// none is none.
type Missing string

// The policies. Whatever the policy, pending is pending until the deadline.
const (
	MissingIgnored Missing = ""     // it does not count
	MissingGood    Missing = "good" // it is good
	MissingBad     Missing = "bad"  // it is bad unless it was quiet: watched while the journey passed
)

// FinalMinute is the first minute that is still waited for at now: what is
// pending before it is given up. It is the first of an hour: sums of whole hours are then
// on one side of it.
func (o Objective) FinalMinute(now time.Time) int64 {
	after := o.FinalAfter
	if after == 0 {
		after = DefaultFinalAfter
	}
	return floorDiv(MinuteOf(now.Add(-after)), 60) * 60
}

// BurnTiers are the burn alerts of the objective that can fire: those of its
// file, or [Tiers] of its window without those that even total failure could not
// reach.
func (o Objective) BurnTiers() []Tier {
	if len(o.Alerts) > 0 {
		return o.Alerts
	}
	var out []Tier
	for _, t := range Tiers(o.Window.Period()) {
		if t.CanFire(o.Target) == nil {
			out = append(out, t)
		}
	}
	return out
}

var namePattern = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// ValidName reports whether s may name an objective: 1 to 63 characters of a-z,
// 0-9 and '-', neither first nor last a '-' (RFC 1123, as OpenSLO asks).
func ValidName(s string) bool { return namePattern.MatchString(s) }

// Validate reports the first part of o that cannot be evaluated.
func (o Objective) Validate() error {
	if !ValidName(o.Name) {
		return fmt.Errorf("objective name %q is not 1 to 63 characters of a-z, 0-9 and '-'", o.Name)
	}
	for _, err := range []error{o.validateNumbers(), o.Indicator.Validate(), o.Window.Validate(), o.validateAlerts(), o.validateTimes()} {
		if err != nil {
			return fmt.Errorf("objective %s: %w", o.Name, err)
		}
	}
	return nil
}

func (o Objective) validateNumbers() error {
	switch {
	case !(o.Target > 0 && o.Target < 1):
		return fmt.Errorf("%w: %v", ErrTarget, o.Target)
	case o.Budgeting != Occurrences && !o.Budgeting.Sliced():
		return fmt.Errorf("budgeting method %q is unknown; allowed: %s, %s, %s", o.Budgeting, Occurrences, Timeslices, RatioTimeslices)
	case o.Budgeting.Sliced() && (o.Slice.Minutes < 1 || o.Slice.Minutes > 1440):
		return fmt.Errorf("slices of %d minutes; allowed: 1 minute to 1 day", o.Slice.Minutes)
	case o.Budgeting.Sliced() && time.Duration(o.Slice.Minutes)*time.Minute > o.Window.Period():
		return fmt.Errorf("slices of %d minutes are longer than the window of %v", o.Slice.Minutes, o.Window)
	case o.Budgeting == Timeslices && !(o.Slice.Target > 0 && o.Slice.Target <= 1):
		return fmt.Errorf("target of a slice is %v; allowed: above 0 up to 1", o.Slice.Target)
	case o.Capacity < 0:
		return fmt.Errorf("capacity %d is negative", o.Capacity)
	case o.MinTraffic < 0:
		return fmt.Errorf("minimum traffic %d is negative", o.MinTraffic)
	case o.Missing != MissingIgnored && o.Missing != MissingGood && o.Missing != MissingBad:
		return fmt.Errorf("missing-data policy %q is unknown; allowed: good, bad", o.Missing)
	}
	return nil
}

func (o Objective) validateAlerts() error {
	for _, t := range o.Alerts {
		switch {
		case t.Long < time.Minute || t.Short < time.Minute || t.Rate <= 0 || t.After < 0:
			return fmt.Errorf("burn alert over %v and %v at rate %v; allowed: windows from a minute and a rate above 0", t.Long, t.Short, t.Rate)
		case t.Long%time.Minute != 0 || t.Short%time.Minute != 0 || (t.Long > 24*time.Hour && t.Long%time.Hour != 0):
			return fmt.Errorf("burn alert over %v and %v; allowed: whole minutes up to a day, whole hours beyond", t.Long, t.Short)
		case t.Long > o.Window.Period():
			return fmt.Errorf("burn alert over %v looks further back than the objective's window of %v", t.Long, o.Window)
		}
		if err := t.CanFire(o.Target); err != nil {
			return err
		}
	}
	return nil
}

func (o Objective) validateTimes() error {
	if o.FinalAfter < 0 {
		return fmt.Errorf("final after %v is negative", o.FinalAfter)
	}
	for _, x := range o.Exclusions {
		if err := x.Validate(); err != nil {
			return err
		}
	}
	return o.Hours.Validate()
}
