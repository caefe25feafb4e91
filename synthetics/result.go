package synthetics

// A Result is what one run of a journey came to.
type Result struct {
	Journey    string       `json:"journey"`
	StartMS    int64        `json:"start_ms"`    // Unix milliseconds
	DurationMS float64      `json:"duration_ms"` // of the whole run
	Pass       bool         `json:"pass"`
	FailedStep string       `json:"failed_step,omitempty"`
	Error      string       `json:"error,omitempty"` // one sentence; empty when Pass
	Steps      []StepResult `json:"steps"`           // those that ran, in order
	TraceID    string       `json:"trace_id,omitempty"`
}

// A StepResult is what one step came to.
type StepResult struct {
	Name       string  `json:"name"`
	StartMS    int64   `json:"start_ms"`    // Unix milliseconds
	DurationMS float64 `json:"duration_ms"` // from building the request to the last check
	Pass       bool    `json:"pass"`
	Error      string  `json:"error,omitempty"`  // one sentence; empty when Pass
	Status     int     `json:"status,omitempty"` // HTTP status; 0 when no answer came
}
