package synthetics

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// Options configure a [Runner]. The zero value works.
type Options struct {
	// Client sends the requests. Its redirect policy, cookie jar and timeout are
	// not used: the journey decides. Nil means a client of the runner's own.
	Client *http.Client
	// Claim signs the claim that a request of journey is synthetic, see [Claim].
	// Nil means that requests carry none.
	Claim func(journey string) (string, error)
	// Vars are variables for every journey; a journey's own win over them.
	Vars map[string]string
	// Tracer makes one trace of each run. Without one, runs still carry a
	// traceparent, so that the service's own spans of a run belong together.
	Tracer trace.Tracer
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Rand is where run and trace ids come from; nil means crypto/rand. It is read
	// by one goroutine at a time.
	Rand io.Reader
}

// A Runner runs journeys. It is safe for concurrent use.
type Runner struct {
	client *http.Client
	claim  func(string) (string, error)
	vars   map[string]string
	tracer trace.Tracer
	now    func() time.Time

	randMu sync.Mutex
	rand   io.Reader // guarded by randMu
}

// NewRunner checks the options. The error names the variable that no journey
// could use.
func NewRunner(o Options) (*Runner, error) {
	for name := range o.Vars {
		p := &planner{known: map[string]bool{}}
		if p.define("vars."+name, name); len(p.errs) > 0 {
			return nil, fmt.Errorf("runner: %w", errors.Join(p.errs...))
		}
	}
	r := &Runner{claim: o.Claim, vars: maps.Clone(o.Vars), tracer: o.Tracer, now: o.Now, rand: o.Rand}
	if r.now == nil {
		r.now = time.Now
	}
	if r.rand == nil {
		r.rand = rand.Reader
	}
	if r.tracer == nil {
		r.tracer = noop.NewTracerProvider().Tracer("")
	}
	r.client = newClient(o.Client)
	return r, nil
}

// newClient is base with the policies of journeys; nil makes a client with a
// small pool of connections.
func newClient(base *http.Client) *http.Client {
	c := &http.Client{CheckRedirect: checkRedirect}
	if base != nil && base.Transport != nil {
		c.Transport = base.Transport
		return c
	}
	c.Transport = &http.Transport{
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		Proxy:                  http.ProxyFromEnvironment,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           16,
		MaxIdleConnsPerHost:    4,
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
	return c
}

// Close drops the connections kept for the next run.
func (r *Runner) Close() { r.client.CloseIdleConnections() }

// Check reports the variables that j needs and this runner cannot supply.
func (r *Runner) Check(j Journey) error {
	var errs []error
	for _, name := range j.Needs {
		if _, ok := r.vars[name]; !ok {
			errs = append(errs, fmt.Errorf("journey %s needs the variable %q, which nobody gave a value", j.Name, name))
		}
	}
	return errors.Join(errs...)
}

// Run does the journey once. What went wrong is in the result; it ends within the
// journey's timeout, or when ctx does.
func (r *Runner) Run(ctx context.Context, j Journey) Result {
	start := r.now()
	res := Result{Journey: j.Name, StartMS: start.UnixMilli(), Steps: []StepResult{}}
	if err := r.steps(ctx, j, &res); err != nil {
		res.Error = err.Error()
	}
	res.Pass = res.Error == ""
	res.DurationMS = milliseconds(r.now().Sub(start))
	return res
}

func (r *Runner) steps(ctx context.Context, j Journey, res *Result) error {
	if err := j.Prepare(); err != nil {
		return fmt.Errorf("the journey is not valid: %w", err)
	}
	if err := r.Check(j); err != nil {
		return err
	}
	run, err := r.begin(j)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, j.TimeoutOrDefault())
	defer cancel()
	ctx, span, err := r.startTrace(ctx, j.Name)
	if err != nil {
		return err
	}
	defer func() { endSpan(span, res.FailedStep, 0, err) }()
	res.TraceID = trace.SpanContextFromContext(ctx).TraceID().String()
	for i := range j.Steps {
		var sr StepResult
		sr, err = run.step(ctx, &j.Steps[i], &j.plan.steps[i])
		res.Steps = append(res.Steps, sr)
		if err != nil {
			res.FailedStep = sr.Name
			return err
		}
	}
	return nil
}

// A run is the state of one run; one goroutine owns it.
type run struct {
	*Runner
	journey Journey
	id      uuid.UUID
	minted  int // ids that ${uuid} stood for so far
	vars    values
}

func (r *Runner) begin(j Journey) (*run, error) {
	r.randMu.Lock()
	id, err := uuid.NewRandomFromReader(r.rand)
	r.randMu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("make a run id: %w", err)
	}
	vars := values{}
	for name, v := range r.vars {
		vars[name] = v
	}
	for name, v := range j.Vars {
		vars[name] = v
	}
	vars[varRunID], vars[varJourney] = id.String(), j.Name
	return &run{Runner: r, journey: j, id: id, vars: vars}, nil
}

// step does one step and says in one sentence why it failed.
func (r *run) step(ctx context.Context, s *Step, p *stepPlan) (StepResult, error) {
	start := r.now()
	sr := StepResult{Name: s.Name, StartMS: start.UnixMilli()}
	timeout := orDefault(s.Timeout, defaultStepTimeout)
	stepCtx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	stepCtx, span := r.startStep(stepCtx, s.Name)
	var err error
	if p.request != nil {
		sr.Status, err = r.request(stepCtx, s.Request, p)
	} else {
		sr.Status, err = r.converse(stepCtx, s.WebSocket, p.socket)
	}
	if err != nil {
		err = r.sentence(ctx, stepCtx, timeout, err)
		sr.Error = err.Error()
	}
	sr.Pass = err == nil
	sr.DurationMS = milliseconds(r.now().Sub(start))
	endSpan(span, s.Name, sr.Status, err)
	return sr, err
}

// A finding is a failure that is already one sentence: an assertion that was
// false, an answer that was too long. Other errors come from the transport.
type finding string

func (f finding) Error() string { return string(f) }

func findf(format string, args ...any) error { return finding(fmt.Sprintf(format, args...)) }

// sentence says whose time was up, if that is what happened, and takes the
// nesting off transport errors.
func (r *run) sentence(run, step context.Context, timeout time.Duration, err error) error {
	var f finding
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(run.Err(), context.Canceled):
		return finding("the run was stopped")
	case run.Err() != nil:
		return findf("the journey took longer than its %s", r.journey.TimeoutOrDefault())
	case step.Err() != nil:
		return findf("no complete answer within the step's %s", timeout)
	}
	var ue *url.Error
	if errors.As(err, &ue) {
		return fmt.Errorf("no answer: %w", ue.Err)
	}
	return err
}

// lookup gives variables to templates.
func (r *run) lookup(name string) any {
	if name != varUUID {
		return r.vars[name]
	}
	r.minted++
	return uuid.NewSHA1(r.id, []byte(strconv.Itoa(r.minted))).String()
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
