package incidents

import (
	"ghostlight/fleet/status"
)

// List is the page of all incidents: what goes on first, then the latest.
type List struct {
	NowMS    int64             `json:"now_ms"`
	Headline status.Headline   `json:"headline"`
	FromMS   int64             `json:"from_ms"` // how far back those that are over are listed
	Open     []status.Incident `json:"open"`    // the most urgent first
	Over     []status.Incident `json:"over"`    // the latest failure first
	More     bool              `json:"more"`    // further ones are over than are listed
}

// Detail is the page of one incident.
type Detail struct {
	NowMS    int64           `json:"now_ms"`
	Headline status.Headline `json:"headline"`
	status.Incident
	Stages    []Stage    `json:"stages"`   // all of them, in their usual order
	Timeline  []Entry    `json:"timeline"` // by the time it happened
	Evidence  []Evidence `json:"evidence"` // kept traces, the latest first
	Notes     []Note     `json:"notes"`
	Told      []Told     `json:"told"`     // whom of it was told, the oldest first
	Suspects  []string   `json:"suspects"` // what to look at, the most suspect first
	Contact   string     `json:"contact,omitempty"`
	PageURL   string     `json:"page_url,omitempty"` // of the node, on the venue's network
	Gatherer  string     `json:"group,omitempty"`    // the incident that gathers this one
	AlsoIDs   []string   `json:"also"`               // further ids under which it was told
	LatestArr int64      `json:"latest_arrived_ms"`  // when the centre learnt the last of this
}

// Stage is one stage of an incident.
type Stage struct {
	Stage     string `json:"stage"`
	AtMS      int64  `json:"at_ms"`      // 0: not reached
	ArrivedMS int64  `json:"arrived_ms"` // when the centre heard; 0: not yet, or it follows from the members
	AfterMS   int64  `json:"after_ms"`   // since it failed
	Clock     string `json:"clock"`      // whose word AtMS is: node or centre
}

// Title is the stage in words.
func (s Stage) Title() string {
	switch s.Stage {
	case "failed":
		return "Failed"
	case "detected":
		return "Noticed"
	case "acknowledged":
		return "Taken on"
	case "mitigated":
		return "Sells again"
	case "parity":
		return "All works again"
	}
	return "Closed"
}

// Entry is one fact of an incident's timeline.
type Entry struct {
	AtMS      int64  `json:"at_ms"`
	Clock     string `json:"clock"`      // node or centre: whose clock AtMS is
	ArrivedMS int64  `json:"arrived_ms"` // when the centre learnt it
	Kind      string `json:"kind"`       // stage, heal, evidence, note, severity, plan, finding or told
	Tone      string `json:"tone"`
	Icon      string `json:"icon"`
	Text      string `json:"text"`
	Detail    string `json:"detail,omitempty"`
	Member    string `json:"member,omitempty"` // of a group: the id of the member it is about
	About     string `json:"about,omitempty"`  // the title of that member
	Venue     string `json:"venue,omitempty"`
	TraceID   string `json:"trace_id,omitempty"`
	Corrected bool   `json:"corrected,omitempty"` // a later word says otherwise
}

// LateMS is how much later than it happened the centre learnt it; 0 for what it
// learnt at once or saw itself.
func (e Entry) LateMS() int64 {
	if d := e.ArrivedMS - e.AtMS; e.ArrivedMS > 0 && d >= lateAfter.Milliseconds() {
		return d
	}
	return 0
}

// Evidence is a kept trace of what failed.
type Evidence struct {
	AtMS    int64  `json:"at_ms"`
	Venue   string `json:"venue"`
	TraceID string `json:"trace_id"`
	Text    string `json:"text,omitempty"`
}

// Note is what a person wrote.
type Note struct {
	AtMS         int64  `json:"at_ms"`
	By           string `json:"by"`
	Text         string `json:"text,omitempty"`
	Acknowledges bool   `json:"acknowledges"`
	At           string `json:"written_at"` // node or centre
}

// Told is what became of one page.
type Told struct {
	AtMS     int64  `json:"at_ms"`
	Receiver string `json:"receiver"`
	Phase    string `json:"phase"`   // firing, resolved or late
	Outcome  string `json:"outcome"` // sent, silenced or given up
}

// Says is such as "told of the failure".
func (t Told) Says() string {
	what := "of the failure"
	switch t.Phase {
	case "resolved":
		what = "that it is over"
	case "late":
		what = "of it afterwards"
	}
	switch t.Outcome {
	case "sent":
		return t.Receiver + " was told " + what
	case "silenced":
		return t.Receiver + " was not told " + what + ": a silence held it back"
	}
	return t.Receiver + " could not be told " + what + ": " + t.Outcome
}

// Tone of what became of it.
func (t Told) Tone() string {
	switch t.Outcome {
	case "sent":
		return "ok"
	case "silenced":
		return "quiet"
	}
	return "bad"
}

// MTTR is how long operations take to be restored.
type MTTR struct {
	NowMS    int64             `json:"now_ms"`
	Headline status.Headline   `json:"headline"`
	FromMS   int64             `json:"from_ms"` // incidents that failed since
	All      Restore           `json:"all"`
	Venues   []Restore         `json:"venues"` // the slowest first
	Curve    Curve             `json:"curve"`
	Promises []status.SLI      `json:"promises"` // recovery as an objective, over its own window
	Open     []status.Incident `json:"open"`     // what counts as lasting longer than it has
}

// Restore is the time to restore of some incidents.
type Restore struct {
	Venue     string   `json:"venue,omitempty"` // empty: all
	N         int      `json:"n"`
	Open      int      `json:"open"` // of N: counted as lasting longer than they have
	Mean      Estimate `json:"mean"` // restricted to HorizonMS
	HorizonMS int64    `json:"horizon_ms"`
	Median    Estimate `json:"median"`
	P90       Estimate `json:"p90"`
}

// Estimate is a time with its 95 % interval.
type Estimate struct {
	MS       int64  `json:"ms"`      // the longest observed if not Reached
	Reached  bool   `json:"reached"` // false: it is more than MS
	LowMS    int64  `json:"low_ms"`
	HighMS   int64  `json:"high_ms"`
	Bounded  bool   `json:"bounded"`  // false: the interval goes on beyond HighMS
	Says     string `json:"says"`     // such as ">12 min"
	Interval string `json:"interval"` // such as "4 min to >12 min"
}

// Curve is what share of incidents lasts longer than a time.
type Curve struct {
	N         int    `json:"n"`
	Ended     int    `json:"ended"`
	LongestMS int64  `json:"longest_ms"`
	Steps     []Step `json:"steps"`
}

// Step is what the curve is from AfterMS on.
type Step struct {
	AfterMS int64   `json:"after_ms"`
	AtRisk  int     `json:"at_risk"` // lasted at least so long
	Ended   int     `json:"ended"`   // just then
	Open    float64 `json:"open"`    // share that lasts longer
	Low     float64 `json:"low"`     // 95 % interval of Open
	High    float64 `json:"high"`
}
