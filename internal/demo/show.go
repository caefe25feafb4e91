package demo

import (
	"context"
	"fmt"
	"time"

	"ghostlight/edgecore/crowd"
	"ghostlight/internal/daemon"
)

// Load of the crowd: attendees a second at each venue, and at all together, so
// that sixty venues do not need sixty times the machine.
const (
	rateVenue = 1.0
	rateAll   = 8.0
)

// drainTime is how long open payments may take to be determined when a show
// ends: long enough for a venue that hangs to be restarted by its agent.
const drainTime = 60 * time.Second

// show is one event at all venues with its crowd.
type show struct {
	name  string
	id    string // of the event at the fleet
	crowd *crowd.Crowd
	done  chan error // of the crowd's Run
}

// startShow starts an event at the fleet and lets the crowd in.
func (d *demo) startShow(ctx context.Context, name string) error {
	venues := d.layout.venueNames()
	var id string
	err := retry(ctx, func() (err error) {
		id, err = d.fleet.startEvent(ctx, name, venues)
		return err
	})
	if err != nil {
		return fmt.Errorf("start the event %q: %w", name, err)
	}
	o := crowd.Options{Seed: d.opts.Seed + uint64(len(d.shows)), Rate: min(rateVenue, rateAll/float64(len(venues))), Pace: 1, Log: d.log}
	for _, v := range d.layout.venues {
		o.Venues = append(o.Venues, crowd.Venue{Name: v.name, URL: url(v.edgePort())})
	}
	c, err := crowd.New(o)
	if err != nil {
		return err
	}
	s := &show{name: name, id: id, crowd: c, done: make(chan error, 1)}
	d.mu.Lock()
	d.shows = append(d.shows, s)
	d.current = s
	d.mu.Unlock()
	// The crowd ends by Stop alone, so that a payment is not abandoned with ctx.
	go func() { s.done <- c.Run(context.WithoutCancel(ctx)) }()
	d.tell("The event %q begins; the crowd comes in.", name)
	return nil
}

// endShow lets the crowd leave and ends the event. Without a show it does
// nothing.
func (d *demo) endShow(ctx context.Context) error {
	d.mu.Lock()
	s := d.current
	d.current = nil
	d.mu.Unlock()
	if s == nil {
		return nil
	}
	// A crowd that goes must go well even when ctx is what makes it go.
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	if err := s.crowd.Stop(drain); err != nil {
		d.tell("The crowd left with questions open: %v.", err)
	}
	<-s.done
	if err := retry(drain, func() error { return d.fleet.endEvent(drain, s.id) }); err != nil {
		return fmt.Errorf("end the event: %w", err)
	}
	t := s.crowd.Totals()
	d.tell("The event %q is over: %d checked in, %d sold, %d declined by card issuers, %d refunded. Half of all payments took less than %d ms, 99 in 100 less than %d ms. Its report:\n\n    %s/events/%s/report\n",
		s.name, t.CheckIns, t.Sales, t.Declined, t.Refunds, ceilMS(t.Payment.P50), ceilMS(t.Payment.P99), url(d.layout.fleetPort()), s.id)
	return nil
}

// ceilMS is d in whole milliseconds, rounded up.
func ceilMS(d time.Duration) int64 {
	return int64((d + time.Millisecond - 1) / time.Millisecond)
}

// venueSales is how much each venue sold in all shows so far.
func (d *demo) venueSales() map[string]int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := map[string]int64{}
	for _, s := range d.shows {
		for name, t := range s.crowd.ByVenue() {
			out[name] += t.Sales
		}
	}
	return out
}

// retry repeats f until it works or ctx ends; the error is f's last.
func retry(ctx context.Context, f func() error) error {
	for {
		err := f()
		if err == nil {
			return nil
		}
		if !daemon.Sleep(ctx, 300*time.Millisecond) {
			return err
		}
	}
}
