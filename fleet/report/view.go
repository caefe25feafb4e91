package report

import (
	"ghostlight/fleet/sales"
	"ghostlight/fleet/status"
	"ghostlight/fleet/status/incidents"
	"ghostlight/fleet/status/objectives"
)

// Report is what an event came to, as known when it was made.
type Report struct {
	Event       status.Event    `json:"event"`
	GeneratedMS int64           `json:"generated_ms"`
	FromMS      int64           `json:"from_ms"`
	ToMS        int64           `json:"to_ms"`
	Ongoing     bool            `json:"ongoing"`  // the event has not ended
	Complete    bool            `json:"complete"` // nothing is awaited
	Awaiting    []string        `json:"awaiting"` // what is, one sentence each
	Headline    status.Headline `json:"headline"`

	Sales      int64             `json:"sales"` // captured payments, all venues
	Totals     sales.Totals      `json:"totals"`
	Conversion *float64          `json:"conversion"` // sales per check-in; nil: nobody checked in
	Venues     []Venue           `json:"venues"`
	PerMinute  status.Chart      `json:"per_minute"`
	Lanes      []Lane            `json:"lanes"`
	Objectives []Objective       `json:"objectives"`
	Journeys   []Journey         `json:"journeys"`
	Heals      []Heal            `json:"heals"`
	Dark       []Dark            `json:"dark"`
	Incidents  []status.Incident `json:"incidents"` // that touched the event, by their failure; what has one cause is one
	Restored   incidents.Restore `json:"restored"`  // how long recovery took
	Pages      objectives.Audit  `json:"pages"`     // who was woken, and whether that was right
	Timeline   []Entry           `json:"timeline"`
	Advice     []Advice          `json:"advice"`
}

// Venue is one venue's part.
type Venue struct {
	Venue       string       `json:"venue"`
	Totals      sales.Totals `json:"totals"`
	Conversion  *float64     `json:"conversion"`
	DarkMS      int64        `json:"dark_ms"`    // of its darkest node
	FailingMS   int64        `json:"failing_ms"` // while a journey failed
	Heals       int          `json:"heals"`      // that succeeded
	HealsFailed int          `json:"heals_failed"`
	DarkNow     bool         `json:"dark_now"`
}

// Lane is what happened at one venue over time.
type Lane struct {
	Venue  string         `json:"venue"`
	Ranges []status.Range `json:"ranges"` // ok, bad, dark or gap
	Marks  []Mark         `json:"marks"`
}

// Mark is one moment of a lane.
type Mark struct {
	MS    int64  `json:"ms"`
	Tone  string `json:"tone"`
	Label string `json:"label"`
}

// Objective is one objective over the event.
type Objective struct {
	status.SLI
	Venues []status.VenueObjective `json:"venues"`
}

// Journey is what the runs of one journey at one venue came to.
type Journey struct {
	Venue     string  `json:"venue"`
	Name      string  `json:"name"`
	Runs      int     `json:"runs"`
	Passed    int     `json:"passed"`
	FailingMS int64   `json:"failing_ms"` // from each first failure to the next pass
	Longest   int64   `json:"longest_ms"` // the longest of these
	OpenMS    int64   `json:"open_ms"`    // failing still, since then; 0: passing
	WorstStep string  `json:"worst_step"` // the step that failed most often
	MedianMS  float64 `json:"median_ms"`  // of the runs that passed
}

// Heal is one try of a node to heal itself.
type Heal struct {
	status.Heal
	FailedMS    int64 `json:"failed_ms"`    // first failed run it answers; 0: none
	RecoveredMS int64 `json:"recovered_ms"` // start of the first run that passed afterwards; 0: none did
}

// TookMS is how long from the first failed run to the first that passed again;
// 0 where one of them is not known.
func (h Heal) TookMS() int64 {
	if h.FailedMS == 0 || h.RecoveredMS == 0 {
		return 0
	}
	return h.RecoveredMS - h.FailedMS
}

// Dark is one stretch during which the centre heard nothing of a node, and what
// of that stretch has landed since.
type Dark struct {
	Venue        string           `json:"venue"`
	Node         string           `json:"node"`
	FromMS       int64            `json:"from_ms"`
	ToMS         int64            `json:"to_ms"` // 0: goes on
	Sales        int64            `json:"sales"` // made meanwhile, landed afterwards
	AmountMinor  map[string]int64 `json:"amount_minor"`
	Checkins     int64            `json:"checkins"`
	JourneyRuns  int              `json:"journey_runs"`
	JourneysFail int              `json:"journeys_failed"`
	Pending      int              `json:"pending_minutes"` // still not landed
	Gap          int              `json:"gap_minutes"`     // will never land
}

// Entry is one thing that happened.
type Entry struct {
	AtMS   int64  `json:"at_ms"`
	Tone   string `json:"tone"`
	Icon   string `json:"icon"`
	Venue  string `json:"venue,omitempty"`
	Text   string `json:"text"`
	Detail string `json:"detail,omitempty"`
	// TraceID names the trace and log lines kept of it at Venue; empty: none are.
	TraceID string `json:"trace_id,omitempty"`
}

// Advice is one thing to change next time, and the fact it follows from.
type Advice struct {
	Text    string `json:"text"`
	Because string `json:"because"`
}
