// Package crowd is a seeded crowd of attendees that drives a venue's edgecore
// the way people do, and only through its public HTTP API: they buy a walk-up
// ticket, check in, browse, order, pay, have their receipt verified, sometimes
// ask for their money back, and take part on the relay.
//
// It guarantees that what the crowd wants to do is a function of the seed and
// the venue's name alone, and that its count of sales is exact: a payment whose
// answer was lost is sent again with the same Idempotency-Key until the venue
// gives a definite answer, across restarts of the venue. A payment that has no
// definite answer when the crowd must end is counted as Undetermined, never as
// a sale and never as none.
//
// It never reads a venue's ledger, metrics or files, and never keeps more than
// MaxPresent attendees in a venue: those who find it full are counted and leave.
package crowd

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"ghostlight/internal/daemon"
)

// A Venue is where a part of the crowd goes.
type Venue struct {
	Name string
	URL  string // base of edgecore's public API, such as http://127.0.0.1:7412
}

// Options say who comes, where, and how they behave.
type Options struct {
	Venues []Venue
	Seed   uint64

	// Rate is the attendees a second who arrive at each venue when the curve is
	// at 1. Above 0, at most 1000.
	Rate float64
	// Curve is the load over the evening; the zero value is [DefaultCurve].
	Curve Curve
	// Pace scales the time people think between steps: 1 as people do, 0 not
	// at all.
	Pace float64
	// MaxPresent bounds the attendees in one venue at a time; 0 is 200.
	MaxPresent int
	// Patience is how long an attendee repeats a failing step other than a
	// payment or refund before leaving; 0 is 30 s.
	Patience time.Duration
	// Timeout is how long one request may take before its answer counts as
	// lost; 0 is 4 s.
	Timeout time.Duration

	Log *slog.Logger // nil discards
}

func (o Options) withDefaults() Options {
	if o.Curve == (Curve{}) {
		o.Curve = DefaultCurve()
	}
	if o.MaxPresent == 0 {
		o.MaxPresent = 200
	}
	if o.Patience == 0 {
		o.Patience = 30 * time.Second
	}
	if o.Timeout == 0 {
		o.Timeout = 4 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

func (o Options) validate() error {
	if len(o.Venues) == 0 {
		return errors.New("crowd: no venue to go to")
	}
	seen := map[string]bool{}
	for _, v := range o.Venues {
		u, err := url.Parse(v.URL)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			return fmt.Errorf("crowd: venue %q: %q is not the URL of an HTTP API", v.Name, v.URL)
		}
		if v.Name == "" || seen[v.Name] {
			return fmt.Errorf("crowd: venue name %q is empty or twice", v.Name)
		}
		seen[v.Name] = true
	}
	switch {
	case !(o.Rate > 0 && o.Rate <= 1000):
		return fmt.Errorf("crowd: rate %v is out of range: above 0, at most 1000 attendees a second", o.Rate)
	case !(o.Pace >= 0 && o.Pace <= 100):
		return fmt.Errorf("crowd: pace %v is out of range: 0 to 100", o.Pace)
	case o.MaxPresent < 0 || o.Patience < 0 || o.Timeout < 0:
		return errors.New("crowd: MaxPresent, Patience and Timeout must not be negative")
	}
	return o.Curve.Validate()
}

// A Crowd is one evening's attendees. Make it with [New], call Run once.
type Crowd struct {
	opts   Options
	run    string // makes idempotency keys of two crowds of one seed differ
	client *http.Client
	tallys map[string]*tally // by venue; fixed after New

	doors     chan struct{} // closed when nobody new may come and who has not paid leaves
	closeOnce sync.Once
	abandon   chan struct{} // closed when open payments must be given up
	abandoned sync.Once
	done      chan struct{} // closed when Run has returned
}

// New validates the options; nothing happens before Run.
func New(opts Options) (*Crowd, error) {
	opts = opts.withDefaults()
	if err := opts.validate(); err != nil {
		return nil, err
	}
	c := &Crowd{
		opts:    opts,
		run:     rand.Text()[:12],
		client:  newClient(opts),
		tallys:  make(map[string]*tally, len(opts.Venues)),
		doors:   make(chan struct{}),
		abandon: make(chan struct{}),
		done:    make(chan struct{}),
	}
	for _, v := range opts.Venues {
		c.tallys[v.Name] = &tally{}
	}
	return c, nil
}

// Run sends the attendees until Stop is called or ctx ends, and returns when
// the last of them has left. The end of ctx abandons open payments; Stop does
// not. Run must be called once.
func (c *Crowd) Run(ctx context.Context) error {
	defer close(c.done)
	defer c.client.CloseIdleConnections()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-c.abandon:
			cancel()
		case <-ctx.Done():
		}
	}()
	var venues sync.WaitGroup
	for _, v := range c.opts.Venues {
		venues.Go(func() { c.fill(ctx, v) })
	}
	venues.Wait()
	return nil
}

// Stop closes the doors: nobody new arrives, who has not begun to pay leaves,
// and open payments and refunds go on until the venue has answered them. It
// returns nil when Run has ended with every payment determined; at the end of
// ctx it abandons the rest and says how many that were. Stop may be called more
// than once, but only after Run.
func (c *Crowd) Stop(ctx context.Context) error {
	c.closeOnce.Do(func() { close(c.doors) })
	select {
	case <-c.done:
	case <-ctx.Done():
		c.abandoned.Do(func() { close(c.abandon) })
		<-c.done
	}
	if n := c.Totals().Undetermined; n > 0 {
		return fmt.Errorf("crowd: %d payments or refunds have no definite answer", n)
	}
	return nil
}

// Totals sums all venues.
func (c *Crowd) Totals() Totals {
	var sum snapshot
	for _, t := range c.tallys {
		sum.add(t.copy())
	}
	return sum.totals()
}

// ByVenue is the totals of each venue.
func (c *Crowd) ByVenue() map[string]Totals {
	out := make(map[string]Totals, len(c.tallys))
	for name, t := range c.tallys {
		s := t.copy()
		out[name] = s.totals()
	}
	return out
}

// fill lets the attendees of one venue arrive and waits for the last to leave.
func (c *Crowd) fill(ctx context.Context, v Venue) {
	t := c.tallys[v.Name]
	places := make(chan struct{}, c.opts.MaxPresent)
	var present sync.WaitGroup
	defer present.Wait()

	// before ends when an attendee who has not begun to pay should leave.
	before, leave := context.WithCancel(ctx)
	defer leave()
	go func() {
		select {
		case <-c.doors:
			leave()
		case <-before.Done():
		}
	}()

	start := time.Now()
	n := 0
	for plan := range Plans(c.opts.Seed, v.Name, c.opts.Rate, c.opts.Curve) {
		n++
		if !daemon.Sleep(before, time.Until(start.Add(plan.Arrive))) {
			return
		}
		t.count(&t.arrived)
		select {
		case places <- struct{}{}:
		default:
			t.count(&t.turnedAway)
			continue
		}
		id := fmt.Sprintf("%s-%s-%d", c.run, v.Name, n)
		present.Go(func() {
			defer func() { <-places }()
			a := &attendee{crowd: c, venue: v, tally: t, plan: plan, id: id, before: before, all: ctx}
			a.visit()
		})
	}
}
