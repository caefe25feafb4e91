package status

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

// Options of [New]. All but Evidence, Overflow, Now and Hold are needed.
type Options struct {
	Nodes    Nodes
	History  History
	Sales    Sales
	Ledger   Ledger
	Calendar Calendar
	Metrics  Metrics
	Accepted Accepted
	Evidence Evidence         // nil: nothing is kept
	Overflow Overflow         // nil: nobody is put off
	Now      func() time.Time // nil: time.Now
	Hold     time.Duration    // how long one fleet view serves all readers; 0: half a second
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
	// settle is how long after a minute's end its last bucket may be on the way;
	// until then the minute is not judged.
	settle = 20 * time.Second
	// staleAfter is the age from which a journey's last run vouches for nothing.
	staleAfter = 5 * time.Minute
	// quietAfter is how long nobody must have bought for a venue to be quiet.
	quietAfter = 5 * time.Minute
)

// hour is the last hour of minutes whose buckets can all have come: the minute
// that goes on is not in it.
func hour(now time.Time) (from, to time.Time) {
	to = slo.MinuteStart(slo.MinuteOf(now.Add(-settle)))
	return to.Add(-hourWindow), to
}

// judgeHour judges the last hour. Where nobody had to answer for any minute of it
// yet, the minute that goes on is judged instead, as far as it has come.
func (v *Views) judgeHour(ctx context.Context, def ledger.Definition, venues []string, now time.Time) (SLI, error) {
	from, to := hour(now)
	sli, err := Judge(ctx, v.opt.Ledger, def, venues, from, to)
	if err == nil && sli.Minutes.Expected == 0 {
		return Judge(ctx, v.opt.Ledger, def, venues, from, slo.MinuteStart(slo.MinuteOf(now)+1))
	}
	return sli, err
}

// ms keeps the zero time as 0.
func ms(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// Primary picks the objective the fleet page shows: payments if there are, else
// other outcomes, else the first.
func Primary(defs []ledger.Definition) (ledger.Definition, bool) {
	rank := func(d ledger.Definition) int {
		switch {
		case d.Indicator.Outcome != nil && d.Indicator.Outcome.Kind == "payment":
			return 0
		case d.Indicator.Outcome != nil:
			return 1
		}
		return 2
	}
	if len(defs) == 0 {
		return ledger.Definition{}, false
	}
	return slices.MinFunc(defs, func(a, b ledger.Definition) int { return rank(a) - rank(b) }), true
}

// SLI turns a judged window into what is shown.
func toSLI(def ledger.Definition, st slo.Status, from, to time.Time) SLI {
	name := def.DisplayName
	if name == "" {
		name = def.Name
	}
	c := st.Coverage
	s := SLI{
		Objective: def.Name, DisplayName: name, Target: def.Target, FromMS: from.UnixMilli(), ToMS: to.UnixMilli(),
		Good: st.Good, Total: st.Total, Known: st.Known, Value: st.SLI, Lower: st.Lower, Upper: st.Upper,
		Bounded: st.Total > 0 && (st.Final || def.Capacity > 0), Verdict: string(st.Verdict), Final: st.Final, BudgetLeft: st.BudgetLeft,
		Minutes: Minutes{
			Expected: c.Measured + c.Gap + c.Pending + c.Excluded, Known: c.Measured - c.Blind - c.Open, Open: c.Open,
			Gap: c.Gap, Pending: c.Pending, Excluded: c.Excluded, Quiet: c.Quiet, Failing: c.Failing, Blind: c.Blind,
		},
	}
	return s
}

// Judge judges one objective at some venues over a window.
func Judge(ctx context.Context, l Ledger, def ledger.Definition, venues []string, from, to time.Time) (SLI, error) {
	st, err := l.Status(ctx, def.Name, ledger.Selection{Venues: venues}, from, to)
	if err != nil {
		return SLI{}, fmt.Errorf("judge objective %s: %w", def.Name, err)
	}
	return toSLI(def, st, from, to), nil
}

// fewestCells is what a strip of minutes keeps at least.
const fewestCells = 15

// Cells is the coverage of one objective at some venues by minute.
func Cells(ctx context.Context, l Ledger, def ledger.Definition, venues []string, from, to time.Time) ([]Cell, error) {
	minutes, err := l.Minutes(ctx, def.Name, ledger.Selection{Venues: venues}, from, to)
	if err != nil {
		return nil, fmt.Errorf("minutes of objective %s: %w", def.Name, err)
	}
	// What lies before anybody had to answer says nothing; a few such minutes are
	// left so that a new objective's first minutes are not as wide as the page.
	for len(minutes) > fewestCells && cellKind(minutes[0]) == "none" {
		minutes = minutes[1:]
	}
	out := make([]Cell, len(minutes))
	for i, m := range minutes {
		out[i] = Cell{StartMS: slo.MinuteStart(m.Minute).UnixMilli(), Kind: cellKind(m), Good: m.Good, Total: m.Total}
	}
	return out, nil
}

// cellKind picks the one fact a minute of several nodes shows: what is bad or
// not known is never hidden behind what is good.
func cellKind(m ledger.Minute) string {
	switch {
	case m.Measured+m.Gap+m.Pending+m.Excluded == 0:
		return "none" // nobody had to answer for it
	case m.Good < m.Total:
		return "bad"
	case m.Failing > 0:
		return "failing"
	case m.Pending > 0:
		return "pending"
	case m.Blind > 0:
		return "blind"
	case m.Gap > 0:
		return "gap"
	case m.Total > 0:
		return "ok"
	case m.Excluded > 0:
		return "excluded"
	case m.Quiet > 0:
		return "quiet"
	}
	return "blind" // still open and without events: nobody can tell yet
}

// counts reports whether any node of the venue answers for def.
func counts(def ledger.Definition, venue string) bool {
	return slices.ContainsFunc(def.Nodes, func(p ledger.Participant) bool { return p.Venue == venue })
}
