// Package journeys runs the node's synthetic journeys and turns each run into
// everything that depends on it: metrics, a journey.run record, a count in the
// SLI buckets, one trace, and the evidence that health and healing go by.
//
// A run is recorded and counted in one transaction. It never runs a journey that
// is still running.
package journeys

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/queue"
	"ghostlight/slo"
	"ghostlight/synthetics"
	"ghostlight/synthetics/schedule"
)

// staleAfter is how old a result may be and still say something about now.
const staleAfter = 3 * time.Minute

// A Book counts a run and stores it with extra in one transaction.
type Book interface {
	Journey(ctx context.Context, name string, at time.Time, pass bool, extra queue.Commit) error
}

// Options configure a [Room].
type Options struct {
	Journeys []synthetics.Journey
	Vars     map[string]string                    // for every journey
	Claim    func(journey string) (string, error) // signs the synthetic claim; nil: none
	Tracer   trace.Tracer                         // nil: runs leave no trace
	Book     Book
	Now      func() time.Time // nil means time.Now
	Log      *slog.Logger     // nil: silent
}

// A Room runs journeys and keeps what their last runs came to.
type Room struct {
	o      Options
	log    *slog.Logger
	runner *synthetics.Runner
	sched  *schedule.Scheduler

	mu   sync.Mutex
	runs map[string]*history // by journey, guarded by mu
}

// New checks the journeys and that their variables can be supplied.
func New(o Options) (*Room, error) {
	if o.Book == nil {
		return nil, errors.New("journeys: a book is needed")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	r := &Room{o: o, log: o.Log, runs: map[string]*history{}}
	var err error
	r.runner, err = synthetics.NewRunner(synthetics.Options{Claim: o.Claim, Vars: o.Vars, Tracer: o.Tracer, Now: o.Now})
	if err != nil {
		return nil, err
	}
	for _, j := range o.Journeys {
		if err := r.runner.Check(j); err != nil {
			return nil, err
		}
		r.runs[j.Name] = newHistory(j)
	}
	r.sched, err = schedule.New(schedule.Options{Journeys: o.Journeys, Run: r.runner.Run, OnResult: r.take, Now: o.Now})
	return r, err
}

// Run runs the journeys at their times until ctx ends.
func (r *Room) Run(ctx context.Context) error {
	defer r.runner.Close()
	return r.sched.Run(ctx)
}

// Verify runs the journeys that failed last, or all if none did, and returns nil
// if every one passes.
func (r *Room) Verify(ctx context.Context) error {
	names := r.failing()
	if len(names) == 0 {
		for _, j := range r.o.Journeys {
			names = append(names, j.Name)
		}
	}
	if len(names) == 0 {
		return nil // no journey can tell: the caller's other signals must
	}
	var failed []string
	for _, name := range names {
		res, err := r.sched.RunNow(ctx, name)
		switch {
		case err != nil:
			return err
		case !res.Pass:
			failed = append(failed, fmt.Sprintf("journey %s fails at step %s: %s", name, res.FailedStep, res.Error))
		}
	}
	if len(failed) > 0 {
		return errors.New(strings.Join(failed, "; "))
	}
	return nil
}

// take records one run. It is called by the scheduler, in order for one journey.
func (r *Room) take(res synthetics.Result) {
	end := time.UnixMilli(res.StartMS).Add(time.Duration(res.DurationMS * float64(time.Millisecond)))
	r.mu.Lock()
	h := r.runs[res.Journey]
	turned := h.add(res, end)
	r.mu.Unlock()
	if turned {
		if res.Pass {
			r.log.Info("journey passes again", "journey", res.Journey)
		} else {
			r.log.Warn("journey fails", "journey", res.Journey, "step", res.FailedStep, "err", res.Error)
		}
	}
	body, err := json.Marshal(res)
	if err != nil {
		r.log.Error("a journey's result cannot be encoded", "journey", res.Journey, "err", err)
		return
	}
	record := delta.Record{Kind: "journey.run", Key: fmt.Sprintf("%s/%d", res.Journey, res.StartMS), Time: end.UnixMilli(), Body: body}
	// The run is over and must be recorded even while the agent stops; the bound
	// is for a disk that does not answer.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	extra := queue.Commit{Entries: []queue.Entry{{Lane: buffer.Health, Batch: delta.Batch{Records: []delta.Record{record}}}}}
	// What is refused is counted by the sink and logged by the book.
	r.o.Book.Journey(ctx, res.Journey, end, res.Pass, extra) //nolint:errcheck
}

// failing lists the journeys whose last run failed.
func (r *Room) failing() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var names []string
	for _, j := range r.o.Journeys {
		if h := r.runs[j.Name]; h.runs > 0 && !h.last.Pass {
			names = append(names, j.Name)
		}
	}
	return names
}

// Evidence is what the last run of a journey, or of all for "", says now.
func (r *Room) Evidence(name string) slo.Evidence {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, found := r.o.Now(), slo.NoEvidence
	for _, j := range r.o.Journeys {
		h := r.runs[j.Name]
		if name != "" && j.Name != name || h.runs == 0 || now.Sub(h.end).Abs() > staleAfter {
			continue // long ago, or before the clock was set back
		}
		if !h.last.Pass {
			return slo.JourneyFailing
		}
		found = slo.JourneyPassing
	}
	return found
}
