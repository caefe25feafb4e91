package heal

import (
	"context"
	"fmt"
	"time"
)

// recordRetry is how often a result that could not be stored is tried again.
const recordRetry = time.Second

// Run carries out the actions that Step finds due, one at a time, until ctx ends.
// An action that runs then is told to stop; its result is recorded as
// interrupted, or by the next start if there is no time left.
func (e *Engine) Run(ctx context.Context) error {
	if open := e.open(); open != nil {
		a := Audit{Action: open.Action, Reason: open.Reason, Result: Interrupted, Detail: "the agent stopped before the result was known"}
		if !e.finish(ctx, a) {
			return nil
		}
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case j := <-e.jobs:
			e.act(ctx, j)
		}
	}
}

// open is the action that a previous run started and did not finish.
func (e *Engine) open() *openAction {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.state.Open
}

// act runs one action from its first record to its last.
func (e *Engine) act(ctx context.Context, j job) {
	start := e.opts.Now()
	if !e.begin(start, j) {
		return
	}
	err := e.do(ctx, j.rule)
	if err == nil {
		err = e.verify(ctx)
	}
	a := Audit{Action: j.rule.Action.Name(), Reason: j.reason, Result: Succeeded, DurationMS: e.opts.Now().Sub(start).Milliseconds()}
	switch {
	case err != nil && ctx.Err() != nil:
		a.Result, a.Detail = Interrupted, "the agent was told to stop"
	case err != nil:
		a.Result, a.Detail = Failed, err.Error()
	}
	e.finish(ctx, a)
}

// begin records that the action starts. Unrecorded it must not run.
func (e *Engine) begin(now time.Time, j job) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	name := j.rule.Action.Name()
	before := e.state
	e.state.start(name, now)
	e.state.Open = &openAction{Action: name, Reason: j.reason}
	e.failure = e.record(now, Audit{Action: name, Reason: j.reason, Result: Started, Detail: j.note})
	if e.failure != nil {
		e.state, e.active = before, false
		return false
	}
	e.activity = name
	return true
}

// do runs the action itself, within its timeout.
func (e *Engine) do(ctx context.Context, r Rule) error {
	timeout := r.Timeout
	if timeout == 0 {
		timeout = 30 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return r.Action.Do(ctx)
}

// verify asks until the failing journey passes or VerifyFor is over.
func (e *Engine) verify(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, e.opts.VerifyFor)
	defer cancel()
	tick := time.NewTicker(e.opts.VerifyEvery)
	defer tick.Stop()
	var last error
	for {
		err := e.opts.Verify(ctx)
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not better after %v: %w", e.opts.VerifyFor, last)
		case <-tick.C:
		}
	}
}

// finish records the action's end, again and again until it is stored or ctx
// ends: no other action starts before. It reports whether it was stored.
func (e *Engine) finish(ctx context.Context, a Audit) bool {
	for {
		if e.end(a) {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(recordRetry):
		}
	}
}

func (e *Engine) end(a Audit) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	now, before := e.opts.Now(), e.state
	e.state.Open = nil
	e.state.end(now)
	if e.failure = e.record(now, a); e.failure != nil {
		e.state = before
		return false
	}
	e.active, e.activity, e.acted = false, "", now
	if a.Result != Succeeded {
		e.tried[a.Action] = true
	}
	return true
}
