package demo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"ghostlight/internal/daemon"
)

// How long the end may take: every figure settles within settleTime, or is
// reported as it stands.
const (
	settleTime  = 60 * time.Second
	settleEvery = 500 * time.Millisecond
)

// How long an agent stays still after a flush: long enough to ask every API once.
// The next flush waits for it, so it is also how long a second count takes.
const (
	holdTime      = 3 * time.Second
	holdTimeVenue = 100 * time.Millisecond
)

// finish quiesces everything, counts, and stops all units.
func (d *demo) finish(ctx context.Context) Summary {
	if ctx.Err() != nil {
		d.tell("Stopping: the crowd leaves, the agents send what they hold. Ctrl-C again ends it at once and leaves the data folder %s.", d.layout.dir)
	}
	ctx = context.WithoutCancel(ctx)
	d.restoreUplinks()
	if err := d.endShow(ctx); err != nil {
		d.tell("The event could not be ended: %v.", err)
	}
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	d.awaitSettlement(ctx)
	d.tell("Every agent reads its venue once more and sends what it holds; then what the venues counted is compared with what the centre holds.")
	summary, against := d.settle(ctx)
	d.narrating.Store(false)
	d.stopUnits()
	summary.Processes = d.units.Processes()
	for _, s := range against {
		d.tell("Not right: %s.", s)
	}
	return summary
}

// restoreUplinks takes off what faults are left.
func (d *demo) restoreUplinks() {
	for _, u := range d.uplinks {
		u.Clear()
	}
}

// awaitSettlement waits until the hub has settled what every venue sold.
func (d *demo) awaitSettlement(ctx context.Context) {
	for _, v := range d.layout.venues {
		edge := edgeAPI{newAPI(v.adminPort(), v.adminToken)}
		err := retry(ctx, func() error {
			l, err := edge.ledger(ctx)
			if err == nil && l.Pending > 0 {
				err = fmt.Errorf("%d entries are not settled", l.Pending)
			}
			return err
		})
		if err != nil {
			d.tell("%s did not settle with the hub: %v.", v.name, err)
		}
	}
}

// settle flushes the agents and counts until everything adds up or ctx ends; the
// last count is what it returns, with what speaks against it.
func (d *demo) settle(ctx context.Context) (Summary, []string) {
	for {
		summary, problems := d.count(ctx)
		against := append(problems, summary.Judge()...)
		summary.OK = len(against) == 0
		if summary.OK || !daemon.Sleep(ctx, settleEvery) {
			return summary, against
		}
	}
}

// count asks every API once.
func (d *demo) count(ctx context.Context) (Summary, []string) {
	var (
		mu       sync.Mutex // guards problems
		problems []string
	)
	fail := func(what string, err error) {
		if err != nil {
			mu.Lock()
			defer mu.Unlock()
			problems = append(problems, fmt.Sprintf("%s: %s", what, strings.TrimSuffix(err.Error(), ".")))
		}
	}
	s := Summary{Seed: d.opts.Seed, Nodes: make([]Node, len(d.layout.venues))}
	edge := make([]int64, len(d.layout.venues))
	var wg sync.WaitGroup
	for i, v := range d.layout.venues {
		wg.Go(func() {
			var err error
			s.Nodes[i], edge[i], err = d.countVenue(ctx, v)
			fail(v.name, err)
		})
	}
	wg.Wait()
	accepted, err := d.fleet.accepted(ctx)
	fail("accepted samples", err)
	nodes, err := d.fleet.nodes(ctx)
	fail("nodes", err)
	for i, v := range d.layout.venues {
		s.Nodes[i].SamplesCentral = accepted[v.node]
		s.Sales.EdgeLedgers += edge[i]
		for _, n := range nodes {
			if n.Node == v.node {
				s.Nodes[i].DarkSeconds, s.Nodes[i].Heals = n.DarkSeconds, n.Heals
			}
		}
	}
	s.Sales.HubLedger, err = hubAPI{newAPI(d.layout.hubPort(), "")}.sales(ctx)
	fail("hub ledger", err)
	for _, sh := range d.allShows() {
		s.Sales.Crowd += sh.crowd.Totals().Sales
		n, err := d.fleet.reportSales(ctx, sh.id)
		fail("event report", err)
		s.Sales.Report += n
	}
	return s, problems
}

// countVenue flushes one agent and compares the venue with the centre.
func (d *demo) countVenue(ctx context.Context, v venue) (Node, int64, error) {
	n := Node{Venue: v.name, Node: v.node}
	flush, err := agentAPI{newAPI(v.pagePort(), v.token)}.flush(ctx, holdTime+time.Duration(len(d.layout.venues))*holdTimeVenue)
	if err != nil {
		return n, 0, fmt.Errorf("flush: %w", err)
	}
	n.SamplesProduced, n.SamplesDeclaredLost = total(flush.Produced), total(flush.Lost)
	edge := edgeAPI{newAPI(v.adminPort(), v.adminToken)}
	if n.RevenueProduced, err = edge.revenue(ctx); err != nil {
		return n, 0, err
	}
	if n.RevenueCentral, err = d.fleet.revenue(ctx, v); err != nil {
		return n, 0, err
	}
	l, err := edge.ledger(ctx)
	if err != nil {
		return n, 0, err
	}
	if !flush.Drained {
		err = errors.New("the agent still holds samples that the fleet has not acknowledged")
	}
	return n, l.Sales, err
}

func (d *demo) allShows() []*show {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]*show(nil), d.shows...)
}

// stopUnits stops the agents first, so that they say goodbye, then the venues,
// then the centre.
func (d *demo) stopUnits() {
	var agents, edgecores []string
	for _, v := range d.layout.venues {
		agents, edgecores = append(agents, v.agent()), append(edgecores, v.edgecore())
	}
	d.units.Stop(agents...)
	d.units.Stop(edgecores...)
	d.units.Stop()
	d.tell("All processes have stopped.")
}
