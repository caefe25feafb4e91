// Package burn watches how fast the scopes of many nodes spend their budgets: a venue
// with several nodes, a region with several venues, the fleet; and each show at a
// venue with several nodes. A node watches its own. It follows the ledger's changes,
// so its windows are what the ledger knows, late data included, and an alert has one
// key for life, over restarts too.
//
// It also audits every page, a node's or its own: once all data is in, was it right?
// And was any page missed?
package burn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/wire"
	"ghostlight/fleet/ledger"
	"ghostlight/fleet/store"
	"ghostlight/slo"
)

// A Ledger is where the buckets are; the fleet's is.
type Ledger interface {
	Objectives(ctx context.Context) ([]ledger.Definition, error)
	Subscribe(told func([]ledger.Change))
	Load(ctx context.Context, r ledger.Reading) error
	Sums(ctx context.Context, name string, sel ledger.Selection, from, to time.Time) (ledger.Definition, []slo.Span, []ledger.Sum, error)
}

// Shows tells which shows a venue holds; the fleet's calendar does.
type Shows interface {
	Shows(venue string, now time.Time) wire.Calendar
}

// Options of [New]. Store and Ledger are needed.
type Options struct {
	Store  *store.Store
	Ledger Ledger
	Shows  Shows // nil: there are none
	// Alerts is told what fired and what resolved, at least once, also after a
	// restart. After an error it is told again.
	Alerts func(ctx context.Context, alerts []Alert) error
	Every  time.Duration    // between steps; 0: 10 s
	Now    func() time.Time // nil: time.Now
	Log    *slog.Logger     // nil: slog.Default
}

// An Alert is an alert of a scope of many nodes. Empty parts of its place mean all;
// Event is the id of the show that it is of, empty for the objective's own window.
type Alert struct {
	slo.Alert
	Region string `json:"region,omitempty"`
	Venue  string `json:"venue,omitempty"`
	Event  string `json:"event,omitempty"`
}

// Fleet is the scope of all nodes.
const Fleet = "fleet"

// A Room runs the alerts. Its methods may be called concurrently.
type Room struct {
	o Options

	mu       sync.Mutex          // guards what follows; taken while the ledger has its turn, so never held when it is asked for one
	promises map[string]*promise // by objective
	at       time.Time           // of the latest step
	late     map[place]stretch   // settled minutes that changed, to be reviewed
	unkept   []Alert             // that could not be stored yet
	places   map[place]bool      // scopes of many nodes that were ever watched, as stored
}

// New opens the room and follows the ledger. Nothing fires before Run or Step.
func New(ctx context.Context, o Options) (*Room, error) {
	if o.Store == nil || o.Ledger == nil {
		return nil, errors.New("burn alerts: Store and Ledger are both needed")
	}
	if o.Every == 0 {
		o.Every = 10 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	r := &Room{o: o, promises: map[string]*promise{}, late: map[place]stretch{}, places: map[place]bool{}}
	if err := errors.Join(r.migrate(ctx), r.readPlaces(ctx)); err != nil {
		return nil, fmt.Errorf("open burn alerts: %w", err)
	}
	if err := r.refresh(ctx, o.Now()); err != nil {
		return nil, fmt.Errorf("open burn alerts: %w", err)
	}
	o.Ledger.Subscribe(r.take)
	return r, nil
}

// Run steps until ctx ends; between steps it loads windows and audits pages.
func (r *Room) Run(ctx context.Context) error {
	tick := time.NewTicker(r.o.Every)
	defer tick.Stop()
	for {
		if err := r.Step(ctx); err != nil && ctx.Err() == nil {
			r.o.Log.Error("burn alerts cannot step, will retry", "error", err)
		}
		if err := r.spend(ctx, r.o.Every/2); err != nil && ctx.Err() == nil {
			r.o.Log.Error("burn alerts cannot load or audit, will retry", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// spend loads what windows lack and reviews what is due, for about as long as given; for
// twice as long while rules stand still.
func (r *Room) spend(ctx context.Context, most time.Duration) error {
	start := r.o.Now()
	if r.stands(start) {
		most *= 2
	}
	for more := true; more && ctx.Err() == nil && r.o.Now().Sub(start) < most; {
		var err error
		if more, err = r.Load(ctx); err != nil {
			return err
		}
	}
	for more := true; more && ctx.Err() == nil && r.o.Now().Sub(start) < most; {
		var err error
		if more, err = r.Review(ctx); err != nil {
			return err
		}
	}
	return nil
}

// stands reports whether any rule stands still, for its windows are not loaded.
func (r *Room) stands(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.promises {
		for _, w := range p.watches {
			if !w.ready(now) {
				return true
			}
		}
	}
	return false
}

// The windows are made anew when the clock went back by more than clockBack; and when
// nobody stepped for longer than asleep, for they do not take minutes that are more than
// a day ahead of the last step.
const (
	clockBack = 2 * time.Minute
	asleep    = 12 * time.Hour
)

// Step moves all windows on to now and tells of what fired and what resolved. Rules
// that look further back than windows are loaded stand still.
func (r *Room) Step(ctx context.Context) error {
	now := r.o.Now()
	r.mu.Lock()
	anew := !r.at.IsZero() && (now.Before(r.at.Add(-clockBack)) || now.After(r.at.Add(asleep)))
	r.mu.Unlock()
	if anew {
		r.rewind(now)
	}
	if err := r.refresh(ctx, now); err != nil {
		return err
	}
	if err := r.born(ctx, now); err != nil {
		return err
	}
	alerts, states, reviews := r.step(now)
	if err := r.keep(ctx, now, alerts, states, reviews); err != nil {
		return err
	}
	return r.deliver(ctx)
}

// step moves the watches on. What it returns is to be stored.
func (r *Room) step(now time.Time) (alerts []Alert, states []state, reviews map[place]stretch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	alerts, r.unkept = r.unkept, nil
	passed := !now.Before(r.at) // else all alerts stand still until it has
	if passed {
		r.at = now
	}
	for _, p := range r.promises {
		p.collect(r.late)
		for _, w := range p.watches {
			if !passed || w.rests(now) {
				continue
			}
			for _, a := range w.step(now) {
				alerts = append(alerts, Alert{Alert: a, Region: w.place.Region, Venue: w.place.Venue, Event: w.event()})
			}
			if s, changed := w.state(); changed {
				states = append(states, s)
			}
		}
	}
	reviews, r.late = r.late, map[place]stretch{}
	return alerts, states, reviews
}

// take follows the ledger.
func (r *Room) take(changes []ledger.Change) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := slo.MinuteOf(r.o.Now())
	for i := range changes {
		ch := &changes[i]
		p := r.promises[ch.Of.Name]
		if p == nil || !p.counts(ch.Of) {
			continue // the next refresh makes it, and loads
		}
		m := p.member(ch.Source)
		for _, w := range m.watches {
			w.take(ch)
		}
		if ch.Minute < now-lateAfter {
			p.isLate(m, ch.Minute)
		}
	}
}

// Active lists the alerts that fire, in no order.
func (r *Room) Active() []Alert {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []Alert
	for _, p := range r.promises {
		for _, w := range p.watches {
			for _, a := range w.alerts().Active() {
				if a.Phase == slo.Firing {
					out = append(out, Alert{Alert: a, Region: w.place.Region, Venue: w.place.Venue, Event: w.event()})
				}
			}
		}
	}
	return out
}

// A Standing is how an objective's own window stands in a scope of many nodes.
type Standing struct {
	Region    string      `json:"region,omitempty"`
	Venue     string      `json:"venue,omitempty"`
	Objective string      `json:"objective"`
	Window    slo.Minutes `json:"window"` // minutes since the Unix epoch
	Status    slo.Status  `json:"status"`
}

// Current tells how each rolling window stands, from the running sums, in every scope
// that is watched; those not loaded yet are left out. Of calendar windows it knows nothing:
// ask [Standings].
func (r *Room) Current(context.Context) []Standing {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []Standing
	for _, p := range r.promises {
		for _, w := range p.watches {
			if w.burn == nil || !p.own() || !w.loaded() {
				continue
			}
			i := w.burn.More()
			out = append(out, Standing{w.place.Region, w.place.Venue, p.def.Name, w.burn.Track.Window(i), w.burn.Track.Status(i)})
		}
	}
	return out
}

// place is where something is promised. Empty parts mean all.
type place struct {
	buffer.Source
	objective string
}
