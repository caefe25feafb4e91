package page

import "ghostlight/buffer"

// Status is everything a node knows about itself at one moment: the body of
// GET /api/status, the events of GET /live and the data of the HTML page. All
// times are Unix milliseconds on the node's clock; 0 means "never".
type Status struct {
	Source  buffer.Source `json:"source"`  // which node this is
	Session string        `json:"session"` // the buffer's session, decimal
	Version string        `json:"version"` // the agent's version
	NowMS   int64         `json:"now_ms"`  // when this was put together
	StartMS int64         `json:"start_ms"`

	Uplink     Uplink               `json:"uplink"`
	Lanes      map[buffer.Lane]Lane `json:"lanes"` // always holds all five lanes
	Health     Health               `json:"health"`
	Journeys   []Journey            `json:"journeys"`           // in the order of the configuration
	Heals      Heals                `json:"heals"`              // what the node did by itself
	Objectives []Objective          `json:"objectives"`         // in the order of the configuration
	Alerts     []Alert              `json:"alerts"`             // burn alerts that fire, pages first
	Incidents  []Incident           `json:"incidents"`          // open ones first, then the latest first
	Shows      []Show               `json:"shows"`              // of the calendar, by start; empty until the fleet has told it once
	Targets    []Target             `json:"targets"`            // what is scraped, in the order of the configuration
	Edgecore   *Edgecore            `json:"edgecore,omitempty"` // nil: no edgecore is configured
	Host       Host                 `json:"host"`
	Tail       Tail                 `json:"tail"` // which spans and log lines are kept
}

// Uplink is the way to the fleet. A node whose uplink is down goes on working.
type Uplink struct {
	Up        bool   `json:"up"`
	SinceMS   int64  `json:"since_ms"`             // when it went up or down; 0: nothing was tried yet
	LastError string `json:"last_error,omitempty"` // why the last attempt failed; empty while up
	// Mode is how data travels: "stream", or "post" where the network lets no stream
	// through; empty until the fleet answered once.
	Mode      string     `json:"mode,omitempty"`
	SentBytes int64      `json:"sent_bytes"`          // since the agent started
	Bandwidth *Bandwidth `json:"bandwidth,omitempty"` // nil: nothing bounds what is sent
}

// Bandwidth is how far the uplink's budget is used.
type Bandwidth struct {
	DayBytes  int64 `json:"day_bytes"`  // sent today, UTC
	DayBudget int64 `json:"day_budget"` // 0: only the rate is bounded
	// Withheld says what waits for the next day: "all" of a lane or its "backlog".
	Withheld map[buffer.Lane]string `json:"withheld,omitempty"`
}

// Lane counts one lane of the buffer over the life of the data folder, in
// samples. Produced = Acked + Lost + Waiting.
type Lane struct {
	Produced      int64            `json:"produced"`
	Acked         int64            `json:"acked"`                     // held by the fleet
	Waiting       int64            `json:"waiting"`                   // in the buffer now
	Lost          int64            `json:"lost"`                      // given up, sum of LostBy
	LostBy        map[string]int64 `json:"lost_by,omitempty"`         // by declared reason
	Blocks        int64            `json:"blocks"`                    // blocks in the buffer now
	Bytes         int64            `json:"bytes"`                     // their bytes
	RecordsLostBy map[string]int64 `json:"records_lost_by,omitempty"` // what is not a metric, by declared reason
	Refused       int64            `json:"refused,omitempty"`         // samples refused since start because the lane was full; never acknowledged to their producer
}

// Health is the node's score and what it is made of.
type Health struct {
	Known        bool          `json:"known"`           // false: Value means nothing
	Value        float64       `json:"value"`           // 0 (dead) to 100
	State        string        `json:"state"`           // healthy, degraded or unknown
	Contributors []Contributor `json:"contributors"`    // largest penalty first
	Unknown      []string      `json:"unknown"`         // signals without a reading
	Caps         []string      `json:"caps"`            // hard caps that hold the score down
	AtMS         int64         `json:"at_ms,omitempty"` // when it was computed
}

// Contributor is one signal that lowers the score.
type Contributor struct {
	Signal  string  `json:"signal"`  // such as "journey_success"
	Text    string  `json:"text"`    // one clause for people
	Value   float64 `json:"value"`   // the smoothed reading
	Penalty float64 `json:"penalty"` // points taken off the score
}

// Journey is one configured journey and its last run.
type Journey struct {
	Name        string  `json:"name"`
	Schedule    string  `json:"schedule"` // as configured
	Runs        int64   `json:"runs"`     // finished since the agent started
	Passed      int64   `json:"passed"`   // of these
	LastMS      int64   `json:"last_ms"`  // start of the last run; 0: none yet, and the fields below mean nothing
	Pass        bool    `json:"pass"`
	DurationMS  float64 `json:"duration_ms"`
	FailedStep  string  `json:"failed_step,omitempty"`
	Error       string  `json:"error,omitempty"`
	TraceID     string  `json:"trace_id,omitempty"`
	Failures    int     `json:"failures"` // consecutive failures up to the last run
	Steps       []Step  `json:"steps"`
	LastPassMS  int64   `json:"last_pass_ms"` // start of the last run that passed
	SuccessHour float64 `json:"success_hour"` // share of runs that passed in the last hour, 0 to 1; see RunsHour
	RunsHour    int64   `json:"runs_hour"`    // 0: SuccessHour means nothing
}

// Step is one step of a journey's last run.
type Step struct {
	Name       string  `json:"name"`
	Pass       bool    `json:"pass"`
	DurationMS float64 `json:"duration_ms"`
	Status     int     `json:"status,omitempty"` // HTTP status; 0: none
	Error      string  `json:"error,omitempty"`
}

// Heals is the node's own healing.
type Heals struct {
	Enabled bool    `json:"enabled"`  // a rule is configured
	DryRun  bool    `json:"dry_run"`  // rules decide but nothing is done
	ChainOK bool    `json:"chain_ok"` // the audit chain's hashes hold
	Recent  []Audit `json:"recent"`   // newest first, at most 50
}

// Audit is one entry of the hash-chained record of healing.
type Audit struct {
	Seq        int64  `json:"seq"`
	AtMS       int64  `json:"at_ms"`
	Action     string `json:"action"` // such as "restart edgecore-soho" or "cache repair"
	Reason     string `json:"reason"`
	Result     string `json:"result"` // started, succeeded, failed, dry_run or refused
	Detail     string `json:"detail,omitempty"`
	DurationMS int64  `json:"duration_ms"`
	Hash       string `json:"hash"`
}

// Objective is one objective as this node alone sees it, over the last hour.
type Objective struct {
	Name        string   `json:"name"`
	DisplayName string   `json:"display_name"`
	Target      float64  `json:"target"` // such as 0.99
	Source      string   `json:"source"` // "outcomes of payment", "journey revenue-path"
	Good        int64    `json:"good"`
	Total       int64    `json:"total"`
	Known       bool     `json:"known"`    // false: nothing was counted, SLI means nothing
	SLI         float64  `json:"sli"`      // Good/Total
	Measured    int      `json:"measured"` // minutes of the hour that were watched
	Gap         int      `json:"gap"`      // minutes the node attests it could not see
	Pending     int      `json:"pending"`  // minutes nothing is known of, such as before the agent's first start
	FromMS      int64    `json:"from_ms"`  // the window: start of its first minute
	ToMS        int64    `json:"to_ms"`    // and end of its last
	Minutes     []Minute `json:"minutes"`  // oldest first; minutes without a bucket are left out
	// Central says that only the centre can count it: nothing is known here.
	Central bool        `json:"central"`
	Sales   bool        `json:"sales"`            // it counts what visitors buy, or a journey that does
	Window  string      `json:"window"`           // its own, such as "28d rolling"
	Budget  *Budget     `json:"budget,omitempty"` // over its own window; nil: the node does not keep it
	Burn    float64     `json:"burn"`             // over the last few minutes, times the rate at which the budget would just last
	Show    *ShowBudget `json:"show,omitempty"`   // nil: no show goes on, or it is not judged by shows
}

// Minute is the good and total of one objective in one minute.
type Minute struct {
	StartMS int64  `json:"start_ms"`
	Good    int64  `json:"good"`
	Total   int64  `json:"total"`
	State   string `json:"state"` // measured (there were events), quiet, blind, failing, gap or excluded
}

// Target is one scraped endpoint.
type Target struct {
	Job        string  `json:"job"`
	Instance   string  `json:"instance"`
	URL        string  `json:"url"`
	Up         bool    `json:"up"`
	LastMS     int64   `json:"last_ms"` // 0: not scraped yet
	DurationMS float64 `json:"duration_ms"`
	Samples    int     `json:"samples"` // of the last scrape
	Error      string  `json:"error,omitempty"`
}

// Edgecore is the revenue service this node watches.
type Edgecore struct {
	Up             bool     `json:"up"`      // its admin listener answered last time
	LastMS         int64    `json:"last_ms"` // last answer
	Error          string   `json:"error,omitempty"`
	Ledger         string   `json:"ledger"`                    // id of its ledger; empty: not seen yet
	Cursor         int64    `json:"cursor"`                    // last outcome committed to the buffer
	Head           int64    `json:"head"`                      // last outcome edgecore has
	Outcomes       int64    `json:"outcomes"`                  // real outcomes committed since start
	LedgerOK       *bool    `json:"ledger_writable,omitempty"` // nil: unknown
	HubReachable   *bool    `json:"hub_reachable,omitempty"`   // nil: unknown
	Pending        *int64   `json:"settlement_pending,omitempty"`
	OldestSeconds  *float64 `json:"settlement_oldest_seconds,omitempty"`
	CorruptObjects *int64   `json:"cache_corrupt_objects,omitempty"`
}

// Host is the machine under the node, nil where unknown.
type Host struct {
	CPUBusy    *float64 `json:"cpu_busy_ratio,omitempty"`    // 0 to 1
	MemoryUsed *float64 `json:"memory_used_ratio,omitempty"` // 0 to 1
	DiskUsed   *float64 `json:"disk_used_ratio,omitempty"`   // 0 to 1, of the data folder's file system
}

// Tail counts spans and log lines since the agent started.
type Tail struct {
	Traces   Tailed  `json:"traces"`
	Spans    Units   `json:"spans"`
	Lines    Units   `json:"lines"`
	Chance   float64 `json:"chance"`   // of a trace that nothing else keeps, 0 to 1
	Bytes    int64   `json:"bytes"`    // in memory now
	Withheld int64   `json:"withheld"` // attributes that may not leave the node
	Masked   int64   `json:"masked"`   // values in which something was masked
}

// Tailed counts traces: Received = Kept + Dropped + Held.
type Tailed struct {
	Received int64            `json:"received"`
	Kept     map[string]int64 `json:"kept"`    // by reason
	Dropped  map[string]int64 `json:"dropped"` // by reason
	Held     int64            `json:"held"`    // not decided yet
}

// Units counts spans or log lines: Received = Stored + Dropped + Waiting.
type Units struct {
	Received int64            `json:"received"`
	Stored   int64            `json:"stored"` // a folded line counts as all that it stands for
	Dropped  map[string]int64 `json:"dropped"`
	Waiting  int64            `json:"waiting"`
}
