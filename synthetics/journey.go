package synthetics

import (
	"time"

	"ghostlight/internal/strictyaml"
)

// Limits of one journey. They keep what a run may cost known before it starts.
const (
	MaxSteps       = 64
	MaxExchanges   = 64 // messages of one WebSocket step
	MaxExpressions = 64 // in each assert or extract list
)

const (
	defaultJourneyTimeout  = 30 * time.Second
	defaultStepTimeout     = 10 * time.Second
	defaultExchangeTimeout = 5 * time.Second
	defaultBodyLimit       = 1 << 20
)

// A Journey is one scripted visit, as its YAML file spells it.
//
// In texts, ${name} stands for a variable and $${ for a literal "${". A JSON
// string that is nothing but ${name} becomes the variable's value with its type.
// Besides vars, needs and what earlier steps extracted there are ${run_id}, the
// same for all of one run and made for idempotency keys, ${journey}, and ${uuid},
// a new one wherever it is written. Variables are put in as they are: nothing is
// escaped.
//
// Expressions are CEL. They read vars.NAME and, in a request step, status (int),
// headers (lower-case name to text), body (the parsed JSON answer, null if it is
// none) and text (the answer as it came); in a WebSocket step, message and text.
// A JSON number without fraction or exponent is an int.
type Journey struct {
	// Name identifies the journey in metrics, results and claims:
	// 1 to 63 characters of a-z, 0-9, '-', '_', '.'.
	Name string `yaml:"name"`
	// Description says what the journey proves.
	Description string `yaml:"description"`
	// Schedule is when it runs: "@every 15s", or five cron fields, or six with
	// seconds first. Empty means only when asked to.
	Schedule string `yaml:"schedule"`
	// Jitter is the most by which a scheduled run is put off, at random, so that a
	// fleet does not run in step.
	Jitter strictyaml.Duration `yaml:"jitter"`
	// Timeout ends a run that takes longer, as failed. Default 30s.
	Timeout strictyaml.Duration `yaml:"timeout"`
	// Vars are variables with their values. They win over the runner's.
	Vars map[string]string `yaml:"vars"`
	// Needs are variables that whoever runs the journey must supply.
	Needs []string `yaml:"needs"`
	// Steps run in order; the first that fails ends the run.
	Steps []Step `yaml:"steps"`

	plan *plan // compiled by Validate; nil until then
}

// A Step does one request or holds one WebSocket conversation.
type Step struct {
	// Name identifies the step in the journey; same characters as the journey's.
	Name string `yaml:"name"`
	// Timeout fails a step that takes longer. Default 10s.
	Timeout strictyaml.Duration `yaml:"timeout"`
	// Request makes it an HTTP step.
	Request *Request `yaml:"request"`
	// WebSocket makes it a WebSocket step.
	WebSocket *WebSocket `yaml:"websocket"`
	// Assert are expressions over the answer that must all be true. A request step
	// without any passes when the status is 200 to 299.
	Assert []string `yaml:"assert"`
	// Extract keeps the value of an expression as a variable, after assert passed.
	Extract map[string]string `yaml:"extract"`
}

// A Request is one HTTP request.
type Request struct {
	// Method is the HTTP method. Default GET, or POST if there is a body.
	Method string `yaml:"method"`
	// URL is absolute once its variables are put in.
	URL string `yaml:"url"`
	// Headers are sent as well as the traceparent and the synthetic claim.
	Headers map[string]string `yaml:"headers"`
	// JSON is sent as the body, with Content-Type application/json.
	JSON any `yaml:"json"`
	// Body is sent as it is; give its Content-Type in headers.
	Body string `yaml:"body"`
	// Redirects is how many redirects may be followed, 0 to 10. Default 0: the
	// redirect itself is the answer. The claim never follows to another host.
	Redirects int `yaml:"redirects"`
	// BodyLimit fails the step if the answer is longer. Default 1MiB, at most 8MiB.
	BodyLimit strictyaml.Bytes `yaml:"body_limit"`
}

// A WebSocket is one conversation: connect, exchange messages in order, close.
type WebSocket struct {
	// URL has the scheme ws, wss, http or https once its variables are put in.
	URL string `yaml:"url"`
	// Headers are sent with the handshake.
	Headers map[string]string `yaml:"headers"`
	// Exchange are the messages sent and awaited.
	Exchange []Exchange `yaml:"exchange"`
}

// An Exchange sends one message or awaits one.
type Exchange struct {
	// Send is sent as a JSON text message.
	Send any `yaml:"send"`
	// Expect is an expression over message: the first message for which it is true
	// is the one awaited. Messages passed over stay for later expectations, so the
	// order in which independent messages arrive does not matter.
	Expect string `yaml:"expect"`
	// Timeout is how long the message is awaited. Default 5s.
	Timeout strictyaml.Duration `yaml:"timeout"`
	// Assert are expressions over the awaited message that must all be true.
	Assert []string `yaml:"assert"`
	// Extract keeps values of the awaited message as variables.
	Extract map[string]string `yaml:"extract"`
}

// Load reads and validates one journey file. Errors name file, line, column and
// field.
func Load(path string) (Journey, error) {
	var j Journey
	if err := strictyaml.Load(path, &j); err != nil {
		return Journey{}, err
	}
	return j, nil
}

// Decode is [Load] for data that came from elsewhere; name stands for the file in
// errors.
func Decode(name string, data []byte) (Journey, error) {
	var j Journey
	if err := strictyaml.Decode(name, data, &j); err != nil {
		return Journey{}, err
	}
	return j, nil
}

// TimeoutOrDefault is how long a run may take.
func (j Journey) TimeoutOrDefault() time.Duration {
	return orDefault(j.Timeout, defaultJourneyTimeout)
}

func orDefault(d strictyaml.Duration, fallback time.Duration) time.Duration {
	if d == 0 {
		return fallback
	}
	return time.Duration(d)
}
