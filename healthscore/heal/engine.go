package heal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Options configure an [Engine].
type Options struct {
	Rules  []Rule // in order of escalation: of several that are due the first runs
	DryRun bool   // record what would be done, and do nothing

	// Verify returns nil when the journey that failed passes now. It is asked
	// again until VerifyFor is over.
	Verify      func(ctx context.Context) error
	VerifyFor   time.Duration // 60 s when 0
	VerifyEvery time.Duration // 1 s when 0

	// Busy reports that a payment is acknowledged but not yet synced to disk; an
	// action waits for it, at most BusyFor. Nil means never.
	Busy    func() bool
	BusyFor time.Duration // 10 s when 0

	// PerHour is the storm stop: the most starts of all actions together in any
	// hour, 12 when 0.
	PerHour int

	// MaxAge is how old a reading may be and still be acted on, 3 min when 0.
	MaxAge time.Duration

	Now func() time.Time
	// Record stores the record and the engine's state in one transaction. An
	// action does not start before its record is stored.
	Record func(a Audit, state []byte) error
	// Restore is the state last given to Record, nil on a new node.
	Restore []byte
}

func (o Options) withDefaults() (Options, error) {
	if o.Verify == nil || o.Now == nil || o.Record == nil {
		return o, errors.New("heal: Verify, Now and Record are needed")
	}
	if o.VerifyFor < 0 || o.VerifyEvery < 0 || o.BusyFor < 0 || o.MaxAge < 0 || o.PerHour < 0 {
		return o, errors.New("heal: times and limits must not be negative")
	}
	set := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	set(&o.VerifyFor, time.Minute)
	set(&o.VerifyEvery, time.Second)
	set(&o.BusyFor, 10*time.Second)
	set(&o.MaxAge, 3*time.Minute)
	if o.PerHour == 0 {
		o.PerHour = 12
	}
	if o.Busy == nil {
		o.Busy = func() bool { return false }
	}
	names := map[string]bool{}
	for _, r := range o.Rules {
		if err := r.validate(); err != nil {
			return o, fmt.Errorf("heal: %w", err)
		}
		if names[r.Action.Name()] {
			return o, fmt.Errorf("heal: two rules for action %s", r.Action.Name())
		}
		names[r.Action.Name()] = true
	}
	for _, r := range o.Rules {
		for _, g := range r.After {
			if !names[g] || g == r.Action.Name() {
				return o, fmt.Errorf("heal: action %s comes after %q, which has no rule of its own", r.Action.Name(), g)
			}
		}
	}
	return o, nil
}

// An Engine runs the rules of one node. [Engine.Step] decides and returns at
// once; [Engine.Run] owns the goroutine in which actions happen.
type Engine struct {
	opts Options
	jobs chan job // capacity 1: the action that is due

	mu       sync.Mutex // guards what follows
	state    state
	holds    map[string]time.Time // since when a rule's condition holds
	tried    map[string]bool      // actions that ran in this trouble and did not help
	refused  map[string]string    // last refusal recorded of an action in this trouble
	waiting  time.Time            // since when the busy gate holds the next action
	active   bool                 // a job is queued or running
	acted    time.Time            // when the last action ended
	failure  error                // of the last record that Run could not store
	activity string               // the running action's name
}

// job is one action that is due.
type job struct {
	rule   Rule
	reason string
	note   string // for the record's detail
}

// NewEngine returns an engine that continues from Restore.
func NewEngine(opts Options) (*Engine, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	st, err := decodeState(opts.Restore)
	if err != nil {
		return nil, err
	}
	return &Engine{
		opts: opts, jobs: make(chan job, 1), state: st, active: st.Open != nil,
		holds: map[string]time.Time{}, tried: map[string]bool{}, refused: map[string]string{},
	}, nil
}

// Running is the name of the action that runs now, "" when none does.
func (e *Engine) Running() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.activity
}

// Step looks at the signals, and hands Run the action that is due, if any. It
// never waits for an action, only for Record. The error says that a record cannot be stored; until
// it can, nothing is done.
func (e *Engine) Step(ctx context.Context, signals Signals) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.opts.Now()
	e.state.rebase(now)
	reasons := e.look(now, signals)
	failure := e.failure
	if e.active {
		return failure
	}
	e.failure = nil // told once; if it lasts, the next attempt tells it again
	for _, r := range e.inTurn() {
		if acted, err := e.consider(now, r, reasons); acted || err != nil {
			return errors.Join(failure, err)
		}
	}
	return failure
}

// inTurn lists the rules whose actions were not tried in this trouble, then those
// that were and did not help, each in order of escalation.
func (e *Engine) inTurn() []Rule {
	var untried, tried []Rule
	for _, r := range e.opts.Rules {
		if e.tried[r.Action.Name()] {
			tried = append(tried, r)
		} else {
			untried = append(untried, r)
		}
	}
	return append(untried, tried...)
}

// consider does what is to be done about one rule: nothing, a refusal, a rehearsal
// or the action, which uses up the step.
func (e *Engine) consider(now time.Time, r Rule, reasons map[string]string) (acted bool, err error) {
	name := r.Action.Name()
	reason, holds := reasons[name]
	switch {
	case !holds, now.Sub(e.holds[name]) < r.For, e.gentlerFirst(r, reasons), e.state.cooling(name, now, r.CoolDown):
		return false, nil
	}
	if limit := e.overLimit(r, now); limit != "" {
		e.tried[name] = true // it cannot help now: harder actions need not wait
		return false, e.refuse(now, name, reason, limit)
	}
	if e.opts.DryRun {
		return true, e.rehearse(now, name, reason)
	}
	note, wait := e.gate(now)
	if wait {
		return true, nil
	}
	e.active = true
	e.jobs <- job{rule: r, reason: reason, note: note} // never blocks: only one is active
	return true, nil
}

// fresh drops readings that are old, or not from after the last action's end: they
// say nothing about how the node is now.
func (e *Engine) fresh(now time.Time, signals Signals) Signals {
	out := make(Signals, len(signals))
	for name, r := range signals {
		if now.Sub(r.At) <= e.opts.MaxAge && r.At.After(e.acted) {
			out[name] = r
		}
	}
	return out
}

// rehearse records what would be done.
func (e *Engine) rehearse(now time.Time, name, reason string) error {
	before := e.state
	e.state.start(name, now)
	if err := e.record(now, Audit{Action: name, Reason: reason, Result: DryRun}); err != nil {
		e.state = before
		return err
	}
	e.tried[name] = true
	return nil
}

// look notes which conditions hold, since when, and whether the trouble is over:
// no condition holds even on readings too old to act on.
func (e *Engine) look(now time.Time, signals Signals) map[string]string {
	fresh, reasons, trouble := e.fresh(now, signals), map[string]string{}, false
	for _, r := range e.opts.Rules {
		name := r.Action.Name()
		if _, ok := r.When(signals); ok {
			trouble = true
		}
		reason, ok := r.When(fresh)
		if !ok {
			delete(e.holds, name)
			continue
		}
		reasons[name] = reason
		if since, held := e.holds[name]; !held || since.After(now) {
			e.holds[name] = now
		}
	}
	if !trouble {
		clear(e.tried)
		clear(e.refused)
		e.waiting = time.Time{}
	}
	return reasons
}

// gentlerFirst reports whether an action that r comes after applies and was not
// tried yet.
func (e *Engine) gentlerFirst(r Rule, reasons map[string]string) bool {
	return slices.ContainsFunc(r.After, func(g string) bool {
		_, applies := reasons[g]
		return applies && !e.tried[g]
	})
}

// overLimit says which limit forbids r now, "" when none does.
func (e *Engine) overLimit(r Rule, now time.Time) string {
	if n := e.state.starts(r.Action.Name(), now); n >= r.PerHour {
		return fmt.Sprintf("it ran %d times within the hour; allowed: %d", n, r.PerHour)
	}
	if n := e.state.starts("", now); n >= e.opts.PerHour {
		return fmt.Sprintf("storm stop: %d actions within the hour; allowed: %d", n, e.opts.PerHour)
	}
	return ""
}

// refuse records a refusal, once for each trouble and cause.
func (e *Engine) refuse(now time.Time, name, reason, why string) error {
	if e.refused[name] != "" {
		return nil
	}
	if err := e.record(now, Audit{Action: name, Reason: reason, Result: Refused, Detail: why}); err != nil {
		return err
	}
	e.refused[name] = why
	return nil
}

// gate holds an action back while a payment is in flight, for a bounded time.
func (e *Engine) gate(now time.Time) (note string, wait bool) {
	if !e.opts.Busy() {
		e.waiting = time.Time{}
		return "", false
	}
	if e.waiting.IsZero() || e.waiting.After(now) {
		e.waiting = now
	}
	if now.Sub(e.waiting) < e.opts.BusyFor {
		return "", true
	}
	e.waiting = time.Time{}
	return fmt.Sprintf("a payment was still in flight after %v", e.opts.BusyFor), false
}

// record chains a and stores it with the state; e.mu is held. After an error the
// state is as before, and the same place in the chain is used again.
func (e *Engine) record(now time.Time, a Audit) error {
	next := e.state.clone()
	a.Seq, a.AtMS, a.Prev = next.Seq+1, now.UnixMilli(), next.Hash
	a.Hash = a.digest()
	next.Seq, next.Hash = a.Seq, a.Hash
	if err := e.opts.Record(a, next.encode()); err != nil {
		return fmt.Errorf("record %s of action %s: %w", a.Result, a.Action, err)
	}
	e.state = next
	return nil
}
