package status

import (
	"fmt"
	"math"
	"strings"

	"ghostlight/fleet/sales"
	"ghostlight/internal/webui"
	"ghostlight/slo"
)

// State says in one word how a venue is.
type State string

// The states of a venue, the most urgent first. Dark, blind, quiet and failing
// are four different facts.
const (
	Failing  State = "failing"  // heard, and its journeys or payments fail
	Dark     State = "dark"     // nothing is heard; whether it sells is not known
	Blind    State = "blind"    // heard, but nothing vouches for its being able to sell
	Degraded State = "degraded" // sells, with something wrong
	Never    State = "never"    // not heard since it was configured
	Quiet    State = "quiet"    // able to sell, and nobody has bought for a while
	Healthy  State = "healthy"
	Away     State = "away" // said goodbye: packed up
)

var urgency = map[State]int{Failing: 0, Dark: 1, Blind: 2, Degraded: 3, Never: 4, Quiet: 5, Healthy: 6, Away: 7}

// Tone is the state's tone in the design system.
func (s State) Tone() string {
	switch s {
	case Failing:
		return "bad"
	case Dark:
		return "dark"
	case Blind:
		return "blind"
	case Degraded:
		return "warn"
	case Quiet:
		return "quiet"
	case Healthy:
		return "ok"
	case Away:
		return "none"
	}
	return "unknown"
}

// Says is the state as a reader is told it.
func (s State) Says() string {
	switch s {
	case Away:
		return "packed up"
	case Never:
		return "never heard"
	}
	return string(s)
}

// A Headline is the one sentence a page is about, and one that explains it.
type Headline struct {
	Tone     string `json:"tone"` // ok, warn, bad, dark, quiet, blind or unknown
	Says     string `json:"says"`
	Detail   string `json:"detail,omitempty"`
	Incident string `json:"incident,omitempty"` // that it is about; its page tells all
}

// Minutes says how much of a window is known, in minutes of all nodes together.
type Minutes struct {
	Expected int `json:"expected"`
	Known    int `json:"known"` // it is known what happened
	Gap      int `json:"gap"`   // the node could not see; nothing will come
	Pending  int `json:"pending"`
	Excluded int `json:"excluded"`
	Quiet    int `json:"quiet"`   // of Known: nobody came
	Failing  int `json:"failing"` // of Known: nobody could
	Blind    int `json:"blind"`   // heard, but nobody can tell
	Open     int `json:"open"`    // told so far; more of the minute may come
}

// Says is such as "58 of 60 min known".
func (m Minutes) Says() string {
	if m.Expected == 0 {
		return "no minute expected yet"
	}
	s := fmt.Sprintf("%d of %d min known", m.Known, m.Expected)
	if m.Open > 0 {
		s += fmt.Sprintf(", %d open", m.Open)
	}
	return s
}

// An SLI is one objective judged over one window, with how complete it is.
type SLI struct {
	Objective   string  `json:"objective"`
	DisplayName string  `json:"display_name"`
	Target      float64 `json:"target"`
	FromMS      int64   `json:"from_ms"`
	ToMS        int64   `json:"to_ms"`
	Good        int64   `json:"good"`
	Total       int64   `json:"total"`
	Known       bool    `json:"known"` // false: Value means nothing
	Value       float64 `json:"value"` // Good/Total
	Bounded     bool    `json:"bounded"`
	Lower       float64 `json:"lower"`
	Upper       float64 `json:"upper"`
	Verdict     string  `json:"verdict"`  // met, missed or undetermined
	Final       bool    `json:"final"`    // nothing is pending, or it was waited for long enough
	Restated    bool    `json:"restated"` // late data changed a verdict that was final
	BudgetLeft  float64 `json:"budget_left"`
	Unit        string  `json:"unit"` // of Good and Total
	Minutes     Minutes `json:"minutes"`
}

// Counted is such as "1,203 of 1,210 events".
func (s SLI) Counted() string {
	good, total, unit := s.Good, s.Total, s.Unit
	if unit == slo.RatioTimeslices.Unit() {
		good, total, unit = good/1e6, total/1e6, slo.Timeslices.Unit()
	}
	return fmt.Sprintf("%s of %s %s", webui.Count(good), webui.Count(total), unit)
}

// Standing says how sure the verdict is.
func (s SLI) Standing() string {
	switch {
	case s.Restated:
		return "restated: late data changed it"
	case s.Verdict == string(slo.Undetermined):
		return "what is pending could decide it either way"
	case s.Final:
		return "final: nothing is pending"
	}
	return "whatever is still to come"
}

// Tone of the verdict: an undetermined one is never good.
func (s SLI) Tone() string {
	switch {
	case s.Verdict == "missed":
		return "bad"
	case s.Verdict == "met":
		return "ok"
	case s.Known && s.Value < s.Target:
		return "warn"
	}
	return "unknown"
}

// A Cell is one minute of one objective as a coverage strip draws it.
type Cell struct {
	StartMS int64  `json:"start_ms"`
	Kind    string `json:"kind"` // ok, bad, failing, quiet, blind, gap, pending or excluded
	Good    int64  `json:"good"`
	Total   int64  `json:"total"`
}

// Value is a figure that may be unknown: NaN is null in JSON.
type Value float64

// MarshalJSON writes what is not known as null.
func (v Value) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
		return []byte("null"), nil
	}
	return fmt.Appendf(nil, "%g", float64(v)), nil
}

// A Point is one value at one moment.
type Point struct {
	MS int64 `json:"ms"`
	V  Value `json:"v"`
}

// A Line is one named series of a chart.
type Line struct {
	Name   string  `json:"name"`
	Points []Point `json:"points"`
}

// A Range is a stretch of time that a chart shades: dark, gap, bad or event.
type Range struct {
	FromMS int64  `json:"from_ms"`
	ToMS   int64  `json:"to_ms"`
	Kind   string `json:"kind"`
	Label  string `json:"label"`
}

// A Chart is what one plot shows.
type Chart struct {
	ID         string   `json:"id"`
	Title      string   `json:"title"`
	Unit       string   `json:"unit"`
	FromMS     int64    `json:"from_ms"`
	ToMS       int64    `json:"to_ms"`
	StepMS     int64    `json:"step_ms"`
	Columns    bool     `json:"columns,omitempty"` // columns instead of a line
	Min        *float64 `json:"min,omitempty"`
	Max        *float64 `json:"max,omitempty"`
	Limit      *float64 `json:"limit,omitempty"`
	LimitLabel string   `json:"limit_label,omitempty"`
	Percent    bool     `json:"percent,omitempty"` // values are ratios
	Lines      []Line   `json:"lines"`
	Ranges     []Range  `json:"ranges"`
}

// AtRisk says what a venue that does not sell as usual costs. It is an estimate
// and always says what it rests on; it never enters a sum of sales.
type AtRisk struct {
	Losing         bool   `json:"losing"` // known to fail; false: only unseen
	PerMinuteMinor int64  `json:"per_minute_minor"`
	Currency       string `json:"currency"`
	Known          bool   `json:"known"` // false: nothing was sold before to estimate from
	SinceMS        int64  `json:"since_ms"`
	SoFarMinor     int64  `json:"so_far_minor"`
	FailedPayments int64  `json:"failed_payments"` // a fact, not an estimate
	Basis          string `json:"basis"`
}

// A Heal is one entry of a node's audit of what it did by itself.
type Heal struct {
	Region     string `json:"region"`
	Venue      string `json:"venue"`
	Node       string `json:"node"`
	Seq        int64  `json:"seq"`
	AtMS       int64  `json:"at_ms"`
	Action     string `json:"action"`
	Reason     string `json:"reason"`
	Result     string `json:"result"` // succeeded, failed, dry_run, refused or started
	Detail     string `json:"detail,omitempty"`
	DurationMS int64  `json:"duration_ms"`
}

// Tone of the heal's result.
func (h Heal) Tone() string {
	switch h.Result {
	case "succeeded":
		return "ok"
	case "failed":
		return "bad"
	case "started":
		return "warn"
	case "refused":
		return "warn"
	}
	return "none"
}

// Title is the action as people read it.
func (h Heal) Title() string { return strings.ReplaceAll(h.Action, "_", " ") }

// Says is the result in words.
func (h Heal) Says() string {
	switch h.Result {
	case "succeeded":
		return "succeeded: the journey passes again"
	case "failed":
		return "failed: the journey does not pass"
	case "dry_run":
		return "dry run: nothing was done"
	case "refused":
		return "refused by a guardrail"
	case "started":
		return "under way"
	}
	return h.Result
}

// Money is the amounts of one venue or fleet by currency, minor units.
type Money map[string]int64

// Sold is what was sold in a window.
type Sold struct {
	FromMS int64 `json:"from_ms"`
	ToMS   int64 `json:"to_ms"`
	sales.Totals
}

// Sum is some totals added up; amounts in no currency are empty, never null.
func Sum(some ...sales.Totals) sales.Totals {
	sum := sales.Totals{AmountMinor: map[string]int64{}, RefundMinor: map[string]int64{}}
	for _, t := range some {
		sum.Add(t)
	}
	return sum
}
