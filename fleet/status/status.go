package status

import (
	"context"
	"errors"
	"sync"
	"time"

	"ghostlight/buffer"
	"ghostlight/fleet/events"
	"ghostlight/fleet/ledger"
	"ghostlight/fleet/registry"
	"ghostlight/fleet/sales"
	"ghostlight/slo"
)

// ErrUnknown means that the fleet has no venue, objective or event of that name.
var ErrUnknown = errors.New("nothing in this fleet has that name")

// Nodes says how every node is now; [registry.Registry] does.
type Nodes interface {
	Nodes() []registry.View
}

// History tells what nodes did; [registry.Registry] does.
type History interface {
	Runs(ctx context.Context, f registry.Filter) ([]registry.Run, error)
	Heals(ctx context.Context, f registry.Filter) ([]registry.Heal, error)
	Dark(ctx context.Context, f registry.Filter) ([]registry.Darkness, error)
}

// Sales sums revenue facts; [sales.Book] does.
type Sales interface {
	Totals(ctx context.Context, f sales.Filter) (map[string]sales.Totals, error)
	Minutes(ctx context.Context, f sales.Filter) ([]sales.Minute, error)
}

// Ledger judges objectives; [ledger.Ledger] does.
type Ledger interface {
	Objectives(ctx context.Context) ([]ledger.Definition, error)
	Status(ctx context.Context, name string, sel ledger.Selection, from, to time.Time) (slo.Status, error)
	StatusAsOf(ctx context.Context, name string, sel ledger.Selection, from, to, known time.Time) (slo.Status, error)
	Minutes(ctx context.Context, name string, sel ledger.Selection, from, to time.Time) ([]ledger.Minute, error)
}

// Calendar lists events; [events.Calendar] does. Get answers [events.ErrUnknown].
type Calendar interface {
	List(ctx context.Context) ([]events.Event, error)
	Get(ctx context.Context, id string) (events.Event, error)
}

// A Series is one series of a range query.
type Series struct {
	Labels map[string]string
	Times  []time.Time
	Values []float64
}

// Metrics evaluates a PromQL expression over a range.
type Metrics func(ctx context.Context, query string, from, to time.Time, step time.Duration) ([]Series, error)

// Accepted counts the samples of distinct accepted blocks by node and lane.
type Accepted func(ctx context.Context) (map[buffer.Source]map[buffer.Lane]int64, error)

// Overflow counts requests of nodes that were put off because the node was over its
// limits, by reason, since the centre started.
type Overflow func() map[buffer.Source]map[string]int64

// Options of [New]. All but Evidence, Overflow, Incidents, Now and Hold are needed.
type Options struct {
	Nodes     Nodes
	History   History
	Sales     Sales
	Ledger    Ledger
	Calendar  Calendar
	Metrics   Metrics
	Accepted  Accepted
	Evidence  Evidence         // nil: nothing is kept
	Overflow  Overflow         // nil: nobody is put off
	Incidents Incidents        // nil: none are known
	Now       func() time.Time // nil: time.Now
	Hold      time.Duration    // how long one fleet view serves all readers; 0: half a second
}

// Views composes the views. Its methods may be called concurrently.
type Views struct {
	opt Options

	mu   sync.Mutex // guards held and at; held while a fleet view is made, so that it is made once
	held Fleet
	at   time.Time
}

// New makes the views over the fleet's books.
func New(o Options) (*Views, error) {
	if o.Nodes == nil || o.History == nil || o.Sales == nil || o.Ledger == nil || o.Calendar == nil || o.Metrics == nil || o.Accepted == nil {
		return nil, errors.New("status: Nodes, History, Sales, Ledger, Calendar, Metrics and Accepted are all needed")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Hold == 0 {
		o.Hold = 500 * time.Millisecond
	}
	return &Views{opt: o}, nil
}

// The windows of the pages.
const (
	hourWindow = time.Hour
	rateWindow = 30 * time.Minute
	rateMean   = 5 // whole minutes
	dayWindow  = 24 * time.Hour
	// staleAfter is the age from which a journey's last run vouches for nothing.
	staleAfter = 5 * time.Minute
	// quietAfter is how long nobody must have bought for a venue to be quiet.
	quietAfter = 5 * time.Minute
)

// ms keeps the zero time as 0.
func ms(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
