package objectives

import (
	"cmp"
	"fmt"

	"ghostlight/fleet/status"
	"ghostlight/internal/webui"
	"ghostlight/slo"
)

// Scope is what is judged together. What is empty is all.
type Scope struct {
	Region  string `json:"region,omitempty"`
	Venue   string `json:"venue,omitempty"`
	Event   string `json:"event,omitempty"` // id of a show: its time and its venues
	KnownMS int64  `json:"known_ms"`        // as it was known then; 0: as known now
}

// List is the page of all objectives.
type List struct {
	NowMS    int64           `json:"now_ms"`
	Headline status.Headline `json:"headline"`
	Scope    Scope           `json:"scope"`
	Says     string          `json:"says"` // the scope in words
	List     []Row           `json:"objectives"`
	Regions  []string        `json:"regions"` // that may be asked for
	Venues   []string        `json:"venues"`
	Events   []status.Event  `json:"events"` // the latest
}

// Row is one objective: over the last hour, and over its own window.
type Row struct {
	status.Objective
	Over string `json:"over"` // its own window in words
	Own  Own    `json:"own"`
}

// Own is an objective over its own window, or over an event.
type Own struct {
	status.SLI
	Burn   Burn  `json:"burn"`
	EndsMS int64 `json:"ends_ms"` // of a window that follows the calendar; 0: rolling, or over
	// Then is the same window as it was known at Scope.KnownMS; nil where that was not
	// asked for.
	Then *status.SLI `json:"then,omitempty"`
}

// Coverage is the share of the minutes of which it is known what happened.
func (o Own) Coverage() float64 {
	if o.Minutes.Expected == 0 {
		return 0
	}
	return float64(o.Minutes.Known) / float64(o.Minutes.Expected)
}

// BudgetTone is how the budget looks as a bar: nearly spent warns, and what is not
// decided is neither good nor bad.
func (o Own) BudgetTone() string {
	switch {
	case o.BudgetLeft <= 0:
		return "bad"
	case o.BudgetLeft < 0.25:
		return "warn"
	case o.Verdict != string(slo.Met):
		return "quiet"
	}
	return "ok"
}

// Changed says what became of a verdict since it was known otherwise; "" if nothing.
func (o Own) Changed() string {
	if o.Then == nil || o.Then.Verdict == o.Verdict {
		return ""
	}
	return fmt.Sprintf("then %s, now %s", o.Then.Verdict, o.Verdict)
}

// Burn is how fast the budget burns.
type Burn struct {
	Rate    status.Value `json:"rate"`     // 1 spends the budget just by the window's end; null: nothing counted
	Seconds int64        `json:"seconds"`  // it is measured over
	PagesAt float64      `json:"pages_at"` // rate from which somebody is woken; 0: nobody is
	Tone    string       `json:"tone"`
}

// Says is such as "burns 3.2 times too fast".
func (b Burn) Says() string {
	switch r := float64(b.Rate); {
	case r != r:
		return "unknown"
	case r == 0:
		return "nothing burns"
	case r < 1:
		return webui.Number(round2(r)) + "x, sustainable"
	default:
		return webui.Number(round2(r)) + "x too fast"
	}
}

// Detail is the page of one objective.
type Detail struct {
	NowMS    int64           `json:"now_ms"`
	Headline status.Headline `json:"headline"`
	Scope    Scope           `json:"scope"`
	status.Objective
	Own     Own            `json:"own"`
	Regions []Place        `json:"regions"`
	Venues  []Place        `json:"venues"`
	Events  []EventVerdict `json:"events"` // of an objective judged for each show; the latest first
	Chart   status.Chart   `json:"chart"`
	Budget  *History       `json:"budget,omitempty"` // how its budget went; on the page only
	Late    *Revisions     `json:"late,omitempty"`   // what changed afterwards; on the page only
	Pages   *Audit         `json:"pages,omitempty"`  // who was woken, and whether that was right; on the page only
}

// Place is the objective at one venue or region.
type Place struct {
	status.VenueObjective
	Region string `json:"region"`
	Own    Own    `json:"own"`
}

// EventVerdict is the objective over one show.
type EventVerdict struct {
	Event status.Event `json:"event"`
	status.SLI
}

// History is how the budget went: each point is the objective over its own window
// that ends there.
type History struct {
	NowMS     int64        `json:"now_ms"`
	Objective string       `json:"objective"`
	Scope     Scope        `json:"scope"`
	FromMS    int64        `json:"from_ms"`
	ToMS      int64        `json:"to_ms"`
	StepMS    int64        `json:"step_ms"`
	Points    []Point      `json:"points"`        // as known at Scope.KnownMS, or now
	Now       []Point      `json:"now,omitempty"` // the same as known now, where another time was asked for
	Differs   int          `json:"differs"`       // points that are not what they are known as now
	Chart     status.Chart `json:"chart"`
}

// Point is the objective over its own window as it ended at AtMS.
type Point struct {
	AtMS       int64        `json:"at_ms"`
	BudgetLeft status.Value `json:"budget_left"` // null: nothing counted
	SLI        status.Value `json:"sli"`
	Lower      float64      `json:"lower"`
	Upper      float64      `json:"upper"`
	Verdict    string       `json:"verdict"`
	Final      bool         `json:"final"`
	Restated   bool         `json:"restated"`
	Pending    int          `json:"pending_minutes"`
}

// Revisions lists minutes that changed after they had settled, the latest first.
type Revisions struct {
	NowMS int64      `json:"now_ms"`
	List  []Revision `json:"revisions"`
	More  bool       `json:"more"` // there are further ones
}

// Revision is one minute that became known, or another, afterwards.
type Revision struct {
	Region    string `json:"region"`
	Venue     string `json:"venue"`
	Node      string `json:"node"`
	MinuteMS  int64  `json:"minute_ms"`
	ArrivedMS int64  `json:"arrived_ms"`
	LateMS    int64  `json:"late_ms"` // after the minute's end
	Cause     string `json:"cause"`
	Was       *Told  `json:"was"` // null: nothing was known
	Is        *Told  `json:"is"`
}

// Why is the cause in words.
func (r Revision) Why() string {
	switch r.Cause {
	case "late":
		return "came late"
	case "reconnected":
		return "the node was not heard meanwhile"
	case "revised":
		return "the node told it anew"
	case "attested":
		return "the node attests that it could not see"
	case "redefined":
		return "it counts by another indicator now"
	case "recounted":
		return "the centre counted again"
	}
	return r.Cause
}

// Told is what a minute was told as.
type Told struct {
	Good  int64  `json:"good"`
	Total int64  `json:"total"`
	State string `json:"state"` // measured, gap or excluded
}

// Says is such as "4 of 5 good".
func (t *Told) Says() string {
	switch {
	case t == nil:
		return "not known"
	case t.State != "measured":
		return t.State
	}
	return fmt.Sprintf("%d of %d good", t.Good, t.Total)
}

// Audit says of each page whether it was right to wake somebody, the latest first.
type Audit struct {
	NowMS  int64     `json:"now_ms"`
	Right  int       `json:"right"`
	Wrong  int       `json:"wrong"`  // woke somebody for nothing, as is known now
	Missed int       `json:"missed"` // should have woken somebody
	Open   int       `json:"open"`   // not judged yet
	List   []Audited `json:"pages"`
}

// Audited is one page with what it turned out to be.
type Audited struct {
	AlertID    string `json:"alert_id"`
	Incident   string `json:"incident,omitempty"`
	Scope      string `json:"scope"`            // of its alert
	Region     string `json:"region,omitempty"` // of the scope; empty parts are all
	Venue      string `json:"venue,omitempty"`
	Node       string `json:"node,omitempty"`
	Event      string `json:"event,omitempty"` // id of the show that it was about
	Objective  string `json:"objective"`
	Rule       string `json:"rule"`
	FiredMS    int64  `json:"fired_ms"`
	ResolvedMS int64  `json:"resolved_ms"`
	Mark       string `json:"mark"` // right, wrong, missed, or open while data is still to come
	Why        string `json:"why"`
	AtMS       int64  `json:"at_ms"` // when it was judged
}

// Tone of the mark.
func (a Audited) Tone() string {
	switch a.Mark {
	case "right":
		return "ok"
	case "wrong":
		return "warn"
	case "missed":
		return "bad"
	}
	return "unknown"
}

// Says is the mark in words.
func (a Audited) Says() string {
	switch a.Mark {
	case "wrong":
		return "for nothing"
	case "right", "missed":
		return a.Mark
	}
	return "not judged yet"
}

// Where is the smallest place that the page was about.
func (a Audited) Where() string {
	return cmp.Or(a.Node, a.Venue, a.Region, "all venues")
}
