package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"ghostlight/edgecore/crowd"
	"ghostlight/slo/shipped"
)

const (
	// guestRate is how many guests come a second.
	guestRate = 0.25
	// showTime is how long doors are open in the day that is extrapolated.
	showTime = 6 * time.Hour
)

// workingText stands above the table.
const workingText = `A working venue: edgecore, its hub and the agent in the namespace, the agent with all that is shipped: it scrapes edgecore and reads the host
every 15 s, takes its traces, reads its outcomes, walks the revenue path every 15 s and judges the twelve objectives. While doors are
open a guest comes every four seconds, checks in, browses, mostly buys, and takes part on the relay. The split is what a relay before the fleet
decoded of the stream: each block under its lane and what it holds; messages and records a minute are those of both directions.

`

// workingVenue measures what a venue's machine sends and receives that sells, with all
// that is shipped for it.
func (b *bench) workingVenue(ctx context.Context, v *venue) (string, error) {
	fleetAddr, err := free()
	if err != nil {
		return "", err
	}
	fleet, err := b.fleet(ctx, "working-fleet", fleetAddr)
	if err != nil {
		return "", err
	}
	defer fleet.stop()
	tap, err := newTap(v.here+":0", fleetAddr)
	if err != nil {
		return "", err
	}
	defer tap.stop()
	shop := &shop{url: "127.0.0.1:7412", admin: "127.0.0.1:7413", otlp: "127.0.0.1:4318"}
	defer shop.close()
	if err := b.startShop(shop, "127.0.0.1:7414", v.exec(), v.exec()); err != nil {
		return "", err
	}
	agent, err := b.watchVenue(ctx, v, shop, tap.addr)
	if err != nil {
		return "", err
	}
	defer agent.stop()
	guests, err := b.admit(v, shop)
	if err != nil {
		return "", err
	}
	defer guests.stop()
	if err := wait(ctx, 45*time.Second); err != nil {
		return "", firstOf(agent.ended(), err)
	}
	b.say("day: a working venue, doors open")
	open, err := v.read(ctx, tap, time.Duration(b.pick(2, 10))*time.Minute)
	if err != nil {
		return "", err
	}
	// Who is there leaves once nobody new comes.
	if guests.stop(); !guests.cmd.ProcessState.Success() {
		return "", guests.ended()
	}
	if err := wait(ctx, 10*time.Second); err != nil {
		return "", err
	}
	b.say("day: a working venue, doors closed")
	closed, err := v.read(ctx, tap, time.Duration(b.pick(1, 10))*time.Minute)
	if err != nil {
		return "", err
	}
	if open.said["acknowledgements of the fleet"].messages == 0 {
		return "", fmt.Errorf("the fleet acknowledged nothing: %w", agent.ended())
	}
	return workingText + workingTable(open, closed), firstOf(agent.ended(), firstOf(shop.edge.ended(), shop.hub.ended()))
}

// watchVenue starts an agent with everything on.
func (b *bench) watchVenue(ctx context.Context, v *venue, s *shop, fleet string) (*program, error) {
	checkout, err := b.write("working-checkout.yaml", string(shipped.Checkout()))
	if err != nil {
		return nil, err
	}
	venue, err := b.write("working-venue.yaml", string(shipped.Venue()))
	if err != nil {
		return nil, err
	}
	return b.agent(ctx, "working-agent", agentOptions{fleet: fleet, wrapper: v.exec(), page: "127.0.0.1:7500", more: s.watching(15*time.Second, checkout, venue)})
}

// admit starts a crowd inside the venue.
func (b *bench) admit(v *venue, s *shop) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the bench itself: %w", err)
	}
	return b.start("guests", append(v.exec(), self, "guests", "http://"+s.url)...)
}

// guests is the child's main: guests come until they are told to stop.
func guests(ctx context.Context, url string) error {
	c, err := crowd.New(crowd.Options{Venues: []crowd.Venue{{Name: "bench", URL: url}}, Seed: 1, Rate: guestRate, Pace: 1, Patience: time.Minute})
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- c.Run(context.WithoutCancel(ctx)) }()
	<-ctx.Done()
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	if err := c.Stop(ctx); err != nil {
		return err
	}
	if t := c.Totals(); t.Sales == 0 {
		return fmt.Errorf("nobody bought: %+v", t)
	}
	return <-done
}

// read is what a venue's way out carried for some time, and what for.
func (v *venue) read(ctx context.Context, t *tap, last time.Duration) (r stretch, err error) {
	r.last = last
	r.said, err = t.over(func() error {
		r.traffic, err = v.over(func() error { return wait(ctx, last) })
		return err
	})
	return r, err
}

// A stretch is what was sent and received, and what for.
type stretch struct {
	traffic
	last time.Duration
	said map[string]carried
}

// day is what some bytes of it come to in a day.
func (r stretch) day(bytes int64) float64 { return float64(bytes) * 24 / r.last.Hours() }

func workingTable(open, closed stretch) string {
	megabytes := func(n float64) string { return fmt.Sprintf("%.2f MB", n/1e6) }
	t := table{rows: [][]string{{"both directions, as of a day", "doors open", "messages a minute", "records", "doors closed", "messages a minute"}}}
	both := map[string]carried{}
	var inside [2]int64
	for i, r := range []stretch{open, closed} {
		for about, c := range r.said {
			both[about] = both[about].plus(c, 1)
			inside[i] += c.bytes
		}
	}
	for _, about := range bySize(both) {
		o, c := open.said[about], closed.said[about]
		t.row(about, megabytes(open.day(o.bytes)), rate(o.messages, open), rate(o.records, open), megabytes(closed.day(c.bytes)), rate(c.messages, closed))
	}
	t.row("heads of HTTP/2, TCP and IP, and TCP's acknowledgements", megabytes(open.day(open.bytes-inside[0])), rate(open.packets, open)+" packets", "", megabytes(closed.day(closed.bytes-inside[1])), rate(closed.packets, closed)+" packets")
	t.row("**all**", "**"+megabytes(open.day(open.bytes))+"**", "", "", "**"+megabytes(closed.day(closed.bytes))+"**", "")
	night := open.day(open.bytes)*showTime.Hours()/24 + closed.day(closed.bytes)*(1-showTime.Hours()/24)
	t.row(fmt.Sprintf("**a day with a show of %s**", strings.TrimSuffix(showTime.String(), "0m0s")), "**"+megabytes(night)+"**", "", "", "", "")
	return t.String()
}

func rate(n int64, r stretch) string { return fmt.Sprintf("%.1f", float64(n)/r.last.Minutes()) }
