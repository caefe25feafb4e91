package status

import "ghostlight/fleet/events"

// Fleet is the first page: which venue needs somebody now, and how all are.
type Fleet struct {
	NowMS     int64      `json:"now_ms"`
	Headline  Headline   `json:"headline"`
	Alarms    []Venue    `json:"alarms"`    // venues that need somebody, the worst first; rows of Venues
	Incidents []Incident `json:"incidents"` // that go on, the most urgent first
	Counts    Counts     `json:"counts"`
	Checkout  *SLI       `json:"checkout"` // all venues together; nil: no objective is known
	Hour      Sold       `json:"hour"`     // what was sold in the last hour
	Rate      Rate       `json:"rate"`
	Heals     []Heal     `json:"heals"`  // newest first, of the last hour, at most 20
	Healed    HealCounts `json:"healed"` // of the last hour
	Events    []Event    `json:"events"` // going on now
	Venues    []Venue    `json:"venues"` // the most urgent first, then by name
}

// Counts of venues by state.
type Counts struct {
	Venues   int `json:"venues"`
	Live     int `json:"live"` // heard now, in whatever state
	Failing  int `json:"failing"`
	Dark     int `json:"dark"`
	Blind    int `json:"blind"`
	Degraded int `json:"degraded"`
	Quiet    int `json:"quiet"`
	Healthy  int `json:"healthy"`
	Away     int `json:"away"`
	Never    int `json:"never"`
}

// HealCounts of some time.
type HealCounts struct {
	Succeeded int `json:"succeeded"`
	Failed    int `json:"failed"`
	Other     int `json:"other"`
}

// Rate of sales over the last whole minutes.
type Rate struct {
	PerMinute float64 `json:"per_minute"`
	Minutes   int     `json:"minutes"` // it is the mean of so many
	Points    []Point `json:"points"`  // per minute over the last half hour; null where nothing is known
	Unseen    int     `json:"unseen"`  // venues that are dark: their sales are not in it
}

// Venue is one row of the fleet.
type Venue struct {
	Region      string    `json:"region"`
	Name        string    `json:"venue"`
	State       State     `json:"state"`
	SinceMS     int64     `json:"since_ms"` // of the state, 0 where not known
	Why         string    `json:"why"`      // one clause
	Score       *float64  `json:"score"`    // lowest of its nodes; nil: unknown
	ScoreAtMS   int64     `json:"score_at_ms"`
	Live        bool      `json:"live"`
	LastSeenMS  int64     `json:"last_seen_ms"`
	DarkSinceMS int64     `json:"dark_since_ms"`
	Nodes       int       `json:"nodes"`
	Journeys    []Journey `json:"journeys"`
	Checkout    *SLI      `json:"checkout"`
	Hour        Sold      `json:"hour"`
	Rate        Rate      `json:"rate"`
	Dark        []Range   `json:"dark"` // of the last half hour
	AtRisk      *AtRisk   `json:"at_risk"`
	Heals       int       `json:"heals"` // tries in the last hour
	LastHeal    *Heal     `json:"last_heal"`
	Waiting     int64     `json:"waiting"` // samples in its buffers when last heard
	Contact     string    `json:"contact,omitempty"`
	PageURL     string    `json:"page_url,omitempty"`
	Incident    string    `json:"incident,omitempty"` // the most urgent that goes on here
}

// Journey is the last run of one journey on one node.
type Journey struct {
	Name       string  `json:"name"`
	Node       string  `json:"node"`
	AtMS       int64   `json:"at_ms"`
	Pass       bool    `json:"pass"`
	DurationMS float64 `json:"duration_ms"`
	FailedStep string  `json:"failed_step,omitempty"`
	Error      string  `json:"error,omitempty"`
	Steps      []Step  `json:"steps"`
	Stale      bool    `json:"stale"`          // too long ago to say how things are now
	Runs       []Run   `json:"runs,omitempty"` // oldest first; of the venue page only
}

// Tone of the last run.
func (j Journey) Tone() string {
	switch {
	case j.Stale:
		return "blind"
	case j.Pass:
		return "ok"
	}
	return "bad"
}

// Step of a journey's last run.
type Step struct {
	Name       string  `json:"name"`
	Pass       bool    `json:"pass"`
	DurationMS float64 `json:"duration_ms"`
	Status     int     `json:"status,omitempty"`
	Error      string  `json:"error,omitempty"`
}

// Run is one past run of a journey.
type Run struct {
	AtMS       int64   `json:"at_ms"`
	Pass       bool    `json:"pass"`
	DurationMS float64 `json:"duration_ms"`
	FailedStep string  `json:"failed_step,omitempty"`
	TraceID    string  `json:"trace_id,omitempty"` // of a failed run; its evidence is kept
}

// Failed are the latest n of the past runs that failed, the latest first.
func (j Journey) Failed(n int) []Run {
	var out []Run
	for i := len(j.Runs) - 1; i >= 0 && len(out) < n; i-- {
		if r := j.Runs[i]; !r.Pass {
			out = append(out, r)
		}
	}
	return out
}

// VenueDetail is the page of one venue.
type VenueDetail struct {
	NowMS    int64    `json:"now_ms"`
	Headline Headline `json:"headline"`
	Venue
	NodeList   []Node      `json:"node_list"`
	Charts     []Chart     `json:"charts"`
	Objectives []Objective `json:"objectives"`
	Heals      []Heal      `json:"heal_audit"` // newest first, at most 50
	Episodes   []Range     `json:"dark_episodes"`
	Incidents  []Incident  `json:"incidents"` // that go on, the most urgent first
	Events     []Event     `json:"events"`
}

// Node is one node of a venue and of the nodes endpoint.
type Node struct {
	Region           string           `json:"region"`
	Venue            string           `json:"venue"`
	Node             string           `json:"node"`
	Presence         string           `json:"presence"` // live, dark, away or never
	Live             bool             `json:"live"`
	FirstSeenMS      int64            `json:"first_seen_ms"`
	LastSeenMS       int64            `json:"last_seen_ms"`
	DarkSinceMS      int64            `json:"dark_since_ms"` // 0 unless dark
	DarkSecondsTotal float64          `json:"dark_seconds_total"`
	Version          string           `json:"version"`
	PageURL          string           `json:"page_url,omitempty"`
	Contact          string           `json:"contact,omitempty"`
	ClockOffsetMS    float64          `json:"clock_offset_ms"` // node's clock less the centre's
	ClockOff         int64            `json:"clock_off_ms"`    // how far it is off if that is too far, else 0
	Restarts         int64            `json:"restarts"`
	Score            *float64         `json:"score"`
	ScoreAtMS        int64            `json:"score_at_ms"`
	ScoreState       string           `json:"score_state"`
	Contributors     []Contributor    `json:"contributors"`
	UnknownSignals   []string         `json:"unknown_signals"`
	Caps             []string         `json:"caps"`
	Produced         map[string]int64 `json:"produced"` // samples by lane, as the node last said
	Samples          map[string]int64 `json:"samples"`  // samples by lane held at the centre
	Lost             map[string]int64 `json:"lost"`     // samples by lane given up by policy
	LostBy           map[string]int64 `json:"lost_by"`  // the same by reason
	Waiting          map[string]int64 `json:"waiting"`  // samples by lane in its buffer, as last said
	Conflicts        int64            `json:"conflicts"`
	Malformed        int64            `json:"malformed"`
	Overflow         map[string]int64 `json:"overflow,omitempty"`   // requests put off because the node was over its limits, by reason, since the centre started
	DayBudget        int64            `json:"day_budget,omitempty"` // bytes its uplink may carry a day; 0: any
	Withheld         []Withheld       `json:"withheld,omitempty"`   // what waits so that it keeps within that
	Journeys         int              `json:"journeys"`
	JourneysPassing  int              `json:"journeys_passing"`
	Heals            int              `json:"heals"` // that succeeded, of all time
}

// Withheld is a lane that a node does not send for now.
type Withheld struct {
	Lane        string `json:"lane"`
	BacklogOnly bool   `json:"backlog_only"` // what is fresh is sent
}

// Contributor is one signal that lowers a node's score.
type Contributor struct {
	Signal  string  `json:"signal"`
	Text    string  `json:"text"`
	Value   Value   `json:"value"`
	Penalty float64 `json:"penalty"`
}

// Objective is one objective over one window, at one venue or all.
type Objective struct {
	SLI
	Description string `json:"description,omitempty"`
	Owner       string `json:"owner,omitempty"`
	Source      string `json:"source"` // what is counted
	Window      string `json:"window"` // what the definition asks, such as "28d rolling"
	Method      string `json:"method"` // how events become budget
	Capacity    int64  `json:"capacity_per_minute"`
	Cells       []Cell `json:"cells,omitempty"` // by minute, oldest first
}

// VenueObjective is one objective at one venue.
type VenueObjective struct {
	Venue string `json:"venue"`
	State State  `json:"state"`
	SLI
	Cells []Cell `json:"cells"`
}

// Event is a show.
type Event struct {
	ID      string   `json:"id"`
	Name    string   `json:"name"`
	Venues  []string `json:"venues"`
	Phase   string   `json:"phase"` // planned, ongoing, over or cancelled
	StartMS int64    `json:"start_ms"`
	EndMS   int64    `json:"end_ms"` // 0: open, somebody will end it
	DoorsMS int64    `json:"doors_ms"`
	OnMS    int64    `json:"on_ms"`  // nodes are expected on from here
	OffMS   int64    `json:"off_ms"` // to here; 0 while the end is open
	Origin  string   `json:"origin"` // hand, api or ics
	Source  string   `json:"source,omitempty"`
	Sold    *Sold    `json:"sold,omitempty"`
}

// Open reports whether the event goes on.
func (e Event) Open() bool { return e.Phase == string(events.Ongoing) }

// Ahead reports whether it has not begun.
func (e Event) Ahead() bool { return e.Phase == string(events.Planned) }

// Events is the list of all events.
type Events struct {
	NowMS    int64    `json:"now_ms"`
	Headline Headline `json:"headline"`
	List     []Event  `json:"events"` // the latest start first
	Venues   []string `json:"venues"` // that an event may name
}
