// Package incident is the fleet's durable book of incidents: what nodes tell of
// theirs, and those that only the centre can see, which are darkness and the burning
// of objectives that many nodes keep. What it was told it merges in any order; what
// it concludes it stores before it tells anybody.
//
// One cause wakes people once: incidents that belong together are told under one key,
// that of the first that anybody was told of, and the key never changes. Nothing is
// ever judged by silence alone: a node is dark only where it should have been on, and
// whether a dark venue sold is said once its backlog has landed, with the counts.
package incident

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"ghostlight/buffer"
	"ghostlight/fleet/events"
	"ghostlight/fleet/ledger"
	"ghostlight/fleet/notify"
	"ghostlight/fleet/registry"
	"ghostlight/fleet/sales"
	"ghostlight/fleet/store"
	"ghostlight/slo"
	"ghostlight/slo/incident"
)

var (
	// ErrUnknown means that the book has no incident of this id.
	ErrUnknown = errors.New("incident is unknown")
	// ErrInvalid means that what a person asks for cannot be done; its message says
	// what is allowed.
	ErrInvalid = errors.New("not valid")
)

// Nodes tells how every node is, and when the centre itself was down; the
// registry does.
type Nodes interface {
	Nodes() []registry.View
	Node(src buffer.Source) (registry.View, error)
	Down() []registry.Episode
}

// Calendar tells when a venue's nodes should be on; the fleet's calendar does.
type Calendar interface {
	ExpectedWindows(venue string, from, to time.Time) []events.Window
}

// Ledger judges objectives; the fleet's ledger does.
type Ledger interface {
	Objectives(ctx context.Context) ([]ledger.Definition, error)
	Status(ctx context.Context, name string, sel ledger.Selection, from, to time.Time) (slo.Status, error)
}

// Sales sums revenue facts by node; the fleet's book of sales does.
type Sales interface {
	Nodes(ctx context.Context, f sales.Filter) (map[buffer.Source]sales.Totals, error)
}

// Pager sees to it that people are told; the notifier does.
type Pager interface {
	Notify(ctx context.Context, n notify.Notification) error
	Log(ctx context.Context, key string) ([]notify.Entry, error)
}

// Facts are what others know of the place of an incident. What is zero is not known.
type Facts struct {
	AtRisk    *notify.Money
	Carrier   string
	LastHeard time.Time
	LastWords string
	Battery   *float64 // 0 to 1
	Contact   string
}

// Options make a Book. Store, Nodes, Calendar, Ledger, Sales and DarkAfter are needed.
type Options struct {
	Store    *store.Store
	Nodes    Nodes
	Calendar Calendar
	Ledger   Ledger
	Sales    Sales
	// DarkAfter is the silence after which the registry calls a node dark.
	DarkAfter time.Duration
	Pager     Pager // nil: nobody is told
	// Facts tells what others know of a place where something fails since a time; nil:
	// nothing is known.
	Facts     func(ctx context.Context, s incident.Scope, since time.Time) Facts
	Carrier   func(buffer.Source) string // "" where not known; nil: never
	PublicURL string                     // of the centre, for people; empty: pages carry no address
	Flap      time.Duration              // failures closer than this are one incident; 0: 5 minutes
	Within    time.Duration              // a venue's failures closer than this are one cause; 0: 10 minutes
	Settle    time.Duration              // how long darkness waits for that of others; 0: until all that fell silent at once are dark
	Recent    time.Duration              // how long what is over is still worked on, so that what comes late finds it; 0: 24 hours
	Now       func() time.Time           // nil: time.Now
	Log       *slog.Logger               // nil: slog.Default
}

// A Book holds the fleet's incidents. Its methods may be called concurrently.
type Book struct {
	o    Options
	log  *slog.Logger
	wake chan struct{} // of one: there is something to judge
	desk *desk         // used by Run alone

	judged atomic.Int64 // when a round last succeeded, Unix milliseconds

	mu      sync.Mutex
	changed chan struct{} // guarded by mu; closed and replaced when an incident changes
}

// New opens the book; Run judges and tells.
func New(ctx context.Context, o Options) (*Book, error) {
	if o.Store == nil || o.Nodes == nil || o.Calendar == nil || o.Ledger == nil || o.Sales == nil || o.DarkAfter <= 0 {
		return nil, errors.New("open incidents: Store, Nodes, Calendar, Ledger, Sales and DarkAfter are all needed")
	}
	o.defaults()
	if err := o.Store.Migrate(ctx, tables...); err != nil {
		return nil, fmt.Errorf("open incidents: %w", err)
	}
	return &Book{o: o, log: o.Log, wake: make(chan struct{}, 1), desk: newDesk(), changed: make(chan struct{})}, nil
}

func (o *Options) defaults() {
	if o.Facts == nil {
		o.Facts = func(context.Context, incident.Scope, time.Time) Facts { return Facts{} }
	}
	if o.Carrier == nil {
		o.Carrier = func(buffer.Source) string { return "" }
	}
	if o.Flap == 0 {
		o.Flap = 5 * time.Minute
	}
	if o.Within == 0 {
		o.Within = 10 * time.Minute
	}
	if o.Recent == 0 {
		o.Recent = 24 * time.Hour
	}
	if o.Settle == 0 {
		// Nodes say something three times within DarkAfter: so far apart can be the
		// last signs of those that are cut off at once.
		o.Settle = o.DarkAfter/3 + 2*time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
}

// Changed is closed at the next change of an incident. Take it before reading what
// may change.
func (b *Book) Changed() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.changed
}

func (b *Book) announce() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.changed)
	b.changed = make(chan struct{})
}

// hurry asks Run to judge now.
func (b *Book) hurry() {
	select {
	case b.wake <- struct{}{}:
	default: // it was asked already
	}
}

func sourceOf(s incident.Scope) buffer.Source {
	return buffer.Source{Region: s.Region, Venue: s.Venue, Node: s.Node}
}
