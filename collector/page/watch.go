package page

// Alert is a burn alert of this node that fires: a budget is spent too fast.
type Alert struct {
	ID        string  `json:"id"` // the key that it has everywhere
	Objective string  `json:"objective"`
	Title     string  `json:"title"` // the objective's name for people
	Rule      string  `json:"rule"`
	Urgency   string  `json:"urgency"` // page (wakes somebody) or ticket
	FiredMS   int64   `json:"fired_ms"`
	Show      string  `json:"show,omitempty"` // name of the show whose own budget it is about
	WindowMS  int64   `json:"window_ms"`      // which the rate is over
	Burn      float64 `json:"burn"`           // times the rate at which the budget would just last
	Allowed   float64 `json:"allowed"`        // rate from which it fires; 0: a show's, which goes by its budget
	LastsMS   int64   `json:"lasts_ms"`       // how long the objective's whole budget lasts at this rate; 0: it does not burn
	Incident  string  `json:"incident,omitempty"`
	Over      bool    `json:"over"` // its incident has ended: it looks back, and ends by itself
}

// Incident is something that fails on this node or did lately.
type Incident struct {
	ID      string     `json:"id"`
	Cause   string     `json:"cause"` // objective or journey
	Name    string     `json:"name"`  // of it
	Title   string     `json:"title"` // the same for people
	Urgency string     `json:"urgency"`
	Sales   bool       `json:"sales"` // it is about what visitors buy
	Runs    bool       `json:"runs"`  // it is known from runs of a journey, not from visitors
	Open    bool       `json:"open"`  // not at parity
	Spells  []Spell    `json:"spells"`
	Lasted  int64      `json:"lasted_ms"` // from the first failure to parity, or so far
	Tried   []Try      `json:"tried"`     // by the node itself
	Links   []Evidence `json:"links"`
}

// Spell is one stretch of failing. A stage that is not reached is 0.
type Spell struct {
	FailedMS    int64 `json:"failed_ms"`
	DetectedMS  int64 `json:"detected_ms,omitempty"`
	MitigatedMS int64 `json:"mitigated_ms,omitempty"` // sales possible again
	ParityMS    int64 `json:"parity_ms,omitempty"`    // and nothing is left behind
}

// Try is a heal within an incident.
type Try struct {
	AtMS   int64  `json:"at_ms"`
	Title  string `json:"title"`
	Result string `json:"result"`
}

// Evidence is the trace of a run that failed.
type Evidence struct {
	AtMS    int64  `json:"at_ms"`
	Text    string `json:"text"`
	TraceID string `json:"trace_id"`
}

// Show is one show of the venue's calendar, on the fleet's clock.
type Show struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	DoorsMS int64  `json:"doors_ms"` // the start where no other time is given
	StartMS int64  `json:"start_ms"`
	EndMS   int64  `json:"end_ms"` // 0: the end is open
}

// Budget is an objective over its own window, as this node alone sees it.
type Budget struct {
	FromMS  int64   `json:"from_ms"`
	ToMS    int64   `json:"to_ms"`
	Good    int64   `json:"good"`
	Total   int64   `json:"total"`
	Known   bool    `json:"known"` // false: nothing was counted
	SLI     float64 `json:"sli"`
	Left    float64 `json:"left"`    // share of the budget of the events so far: 1 untouched, negative overspent
	Verdict string  `json:"verdict"` // met, missed or undetermined
	Pending int     `json:"pending"` // minutes that nothing is known of
}

// ShowBudget is how far the current show has used its own budget, which grows with
// what it sells.
type ShowBudget struct {
	ID       string  `json:"id"`
	Name     string  `json:"name"`
	Good     int64   `json:"good"`
	Total    int64   `json:"total"`
	Allowed  float64 `json:"allowed"`  // bad events, of those seen and those forecast
	Forecast int64   `json:"forecast"` // events still expected, as many a minute as so far; decides nothing
}
