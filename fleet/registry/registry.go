// Package registry knows the nodes of the fleet: which there are, when each was
// last heard, whether it is live, dark or packed up, and what it last said of
// itself: its lanes, score, journeys and heals. Who a node is comes from its
// credential, never from what it sends.
//
// Darkness is judged by the centre's own clock, and the centre's own silence is
// never counted against a node: what it was down for is kept and subtracted.
package registry

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/wire"
	"ghostlight/fleet/store"
	"ghostlight/healthscore"
	"ghostlight/synthetics"
)

// ErrUnknown means that the fleet has no such node.
var ErrUnknown = errors.New("node is unknown")

// A Member is one configured node.
type Member struct {
	Source  buffer.Source
	Contact string // whom to ring at the venue; may be empty
}

// Options make a Registry.
type Options struct {
	Store     *store.Store
	Members   []Member
	DarkAfter time.Duration // silence after which a node is dark; at least a second
	// Claim keeps the trace of a failed run as evidence, as part of tx; nil: nobody
	// keeps it.
	Claim func(ctx context.Context, tx *sql.Tx, src buffer.Source, failed synthetics.Result) error
	Now   func() time.Time // nil: time.Now
	Log   *slog.Logger     // nil: slog.Default
}

// A View is what the fleet knows of one node at one moment. It is a copy.
type View struct {
	buffer.Source
	Contact   string    `json:"contact,omitempty"`
	Presence  Presence  `json:"presence"`
	Live      bool      `json:"live"`
	FirstSeen time.Time `json:"first_seen,omitzero"`
	LastSeen  time.Time `json:"last_seen,omitzero"`
	DarkSince time.Time `json:"dark_since,omitzero"` // zero unless dark
	LastDark  Episode   `json:"last_dark,omitzero"`  // the latest dark episode, whether it goes on or not; zero: none

	Heartbeat   wire.Heartbeat `json:"heartbeat"`    // the last one; zero before the first
	HeartbeatAt time.Time      `json:"heartbeat_at"` // centre's clock
	ClockOffset time.Duration  `json:"clock_offset"` // node's clock less the centre's, by its last words, the least transit included
	ClockWrong  bool           `json:"clock_wrong"`  // by more than a minute
	Conflicts   int64          `json:"conflicts"`    // blocks refused because their sequences hold another content
	Malformed   int64          `json:"malformed"`    // blocks refused because they cannot be read

	Score    *healthscore.Score  `json:"score,omitempty"` // the latest by the node's clock; nil before the first
	Journeys []synthetics.Result `json:"journeys"`        // the last run of each journey, by name
}

// Registry is the book of nodes. Its methods may be called concurrently.
type Registry struct {
	store     *store.Store
	darkAfter time.Duration
	now       func() time.Time
	log       *slog.Logger
	claim     func(ctx context.Context, tx *sql.Tx, src buffer.Source, failed synthetics.Result) error
	started   time.Time
	elapsed   func() time.Duration // since some moment, by a clock that nobody can set
	alive     moment               // of the last save; used by Run alone

	mu      sync.Mutex
	nodes   map[buffer.Source]*node // guarded by mu; the set never changes
	order   []buffer.Source         // by region, venue, node; never changes
	changed chan struct{}           // guarded by mu; closed and replaced at each change of presence, score or journey
	down    []Episode               // guarded by mu; when the centre itself did not run
}

// node is guarded by Registry.mu.
type node struct {
	id       int64
	view     View
	watch    watch
	offset   offset
	dirty    bool      // view or episodes differ from what is stored
	episodes []Episode // begun or ended since the last save
	aways    []Episode // ended since the last save
	lastDark Episode   // the latest that has ended
	last     map[string]synthetics.Result
	scored   int64            // rank of view.Score
	ran      map[string]int64 // ranks of last
}

// New opens the registry, registers its members, and notes since when the centre
// was not running.
func New(ctx context.Context, o Options) (*Registry, error) {
	if o.DarkAfter < time.Second {
		return nil, fmt.Errorf("open registry: dark_after is %s, it must be at least 1s", o.DarkAfter)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Claim == nil {
		o.Claim = func(context.Context, *sql.Tx, buffer.Source, synthetics.Result) error { return nil }
	}
	r := &Registry{
		store: o.Store, darkAfter: o.DarkAfter, now: o.Now, log: o.Log, claim: o.Claim, started: o.Now(),
		nodes: map[buffer.Source]*node{}, changed: make(chan struct{}),
	}
	begun := time.Now()
	r.elapsed = func() time.Duration { return time.Since(begun) }
	r.alive = moment{r.started, r.elapsed()}
	if err := o.Store.Migrate(ctx, tables...); err != nil {
		return nil, fmt.Errorf("open registry: %w", err)
	}
	for _, m := range o.Members {
		id, err := o.Store.Register(ctx, m.Source)
		if err != nil {
			return nil, fmt.Errorf("open registry: %w", err)
		}
		r.nodes[m.Source] = &node{
			id: id, view: View{Source: m.Source, Contact: m.Contact}, last: map[string]synthetics.Result{}, ran: map[string]int64{},
			watch: watch{darkAfter: o.DarkAfter, listening: r.started},
		}
		r.order = append(r.order, m.Source)
	}
	slices.SortFunc(r.order, func(a, b buffer.Source) int { return cmpStrings(a.Region, b.Region, a.Venue, b.Venue, a.Node, b.Node) })
	if err := r.load(ctx); err != nil {
		return nil, fmt.Errorf("open registry: %w", err)
	}
	return r, nil
}

func cmpStrings(pairs ...string) int {
	for i := 0; i+1 < len(pairs); i += 2 {
		switch {
		case pairs[i] < pairs[i+1]:
			return -1
		case pairs[i] > pairs[i+1]:
			return 1
		}
	}
	return 0
}

// Nodes returns all nodes by region, venue and name.
func (r *Registry) Nodes() []View {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]View, 0, len(r.order))
	for _, src := range r.order {
		out = append(out, r.nodes[src].copy())
	}
	return out
}

// Node returns one node, or [ErrUnknown].
func (r *Registry) Node(src buffer.Source) (View, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, ok := r.nodes[src]
	if !ok {
		return View{}, fmt.Errorf("%w: %s", ErrUnknown, src)
	}
	return n.copy(), nil
}

// Venues lists the venues that have nodes, sorted.
func (r *Registry) Venues() []string {
	var out []string
	for _, src := range r.order {
		out = append(out, src.Venue)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Changed is closed at the next change of a node's presence, score or journeys.
// Take it before reading what may change.
func (r *Registry) Changed() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changed
}

// announce wakes whoever waits for a change. r.mu is held.
func (r *Registry) announce() {
	close(r.changed)
	r.changed = make(chan struct{})
}

func (n *node) copy() View {
	v := n.view
	v.Presence = n.watch.presence()
	v.Live = v.Presence == Live
	v.LastSeen = n.watch.last
	v.LastDark = n.lastDark
	if n.watch.open != nil {
		v.DarkSince, v.LastDark = n.watch.open.Start, *n.watch.open
	}
	v.Journeys = make([]synthetics.Result, 0, len(n.last))
	for _, res := range n.last {
		v.Journeys = append(v.Journeys, res)
	}
	slices.SortFunc(v.Journeys, func(a, b synthetics.Result) int { return cmpStrings(a.Journey, b.Journey) })
	return v
}
