package main

import (
	"context"
	"fmt"
	"time"
)

// daySection measures what a node's machine sends and receives: one that only reads,
// and one of a venue that works.
func daySection(ctx context.Context, b *bench) (_ string, err error) {
	v, err := newVenue(ctx)
	if err != nil {
		return "", err
	}
	defer func() { err = firstOf(err, v.close()) }()
	alone, err := b.lonelyNode(ctx, v)
	if err != nil {
		return "", err
	}
	working, err := b.workingVenue(ctx, v)
	return alone + "\n" + working, err
}

// lonelyNode measures an agent that reads one target and nothing else.
func (b *bench) lonelyNode(ctx context.Context, v *venue) (string, error) {
	const every = 15 * time.Second
	ln, err := v.listen("127.0.0.1:9464")
	if err != nil {
		return "", err
	}
	// The data set has a scrape every 5 s; every third is one of 15 s.
	node := newReplay(b.set, ln, 3)
	defer node.close()
	fleet, err := b.fleet(ctx, "day-fleet", v.here+":7600")
	if err != nil {
		return "", err
	}
	defer fleet.stop()
	agent, err := b.agent(ctx, "day-agent", agentOptions{target: node.addr, fleet: fleet.addr, interval: every, wrapper: v.exec(), page: "127.0.0.1:7500"})
	if err != nil {
		return "", err
	}
	defer agent.stop()
	// The dictionary goes once, at the start.
	start, err := v.over(func() error { return wait(ctx, 3*every) })
	if err != nil {
		return "", firstOf(agent.ended(), err)
	}
	if err := betweenScrapes(ctx, node, "day-agent", every); err != nil {
		return "", firstOf(agent.ended(), err)
	}
	last := time.Duration(b.pick(8, 40)) * every
	b.say("day: steady for %s", last)
	_, before := node.shown("day-agent")
	steady, err := v.over(func() error { return wait(ctx, last) })
	if err != nil {
		return "", err
	}
	_, after := node.shown("day-agent")
	if after == before {
		return "", fmt.Errorf("the agent did not read its target: %w", agent.ended())
	}
	rate := float64(steady.bytes) / last.Seconds()
	times := b.pick(2, 10)
	again := 0.0
	for i := range times {
		b.say("day: reconnect %d of %d", i+1, times)
		t, err := v.over(func() error { return reconnect(ctx, v) })
		if err != nil {
			return "", err
		}
		again += (float64(t.bytes) - rate*reconnectTime.Seconds()) / float64(times)
	}
	t := table{rows: [][]string{{"both directions", "bytes of IP", "packets"}}}
	t.row(fmt.Sprintf("the first %s, dictionary included", 3*every), kilo(float64(start.bytes)), fmt.Sprint(start.packets))
	t.row(fmt.Sprintf("%s of scrapes every %s, %d samples", last, every, after-before), kilo(float64(steady.bytes)), fmt.Sprint(steady.packets))
	t.row("a sample", fmt.Sprintf("%.2f B", float64(steady.bytes)/float64(after-before)), "")
	t.row("a reconnect after 20 s without a line, beyond that", kilo(again), "")
	t.row("**a day with ten reconnects**", fmt.Sprintf("**%.2f MB**", (rate*86400+10*again)/1e6), "")
	if err := agent.ended(); err != nil {
		return "", err
	}
	return fmt.Sprintf(`ghostlight-agent alone in a network namespace, with a page, health and its own metrics beside the %d samples of its target. What
is counted is what its one device to the outside carries: TCP's and IP's heads, acknowledgements, heartbeats and everything else,
but no link headers. A day is extrapolated from the steady part.

%s`, b.set.Samples/len(b.set.Scrapes), t.String()), nil
}

// betweenScrapes waits for the middle between two scrapes, so that what is measured
// from then on has as many writes as scrapes.
func betweenScrapes(ctx context.Context, node *replay, reader string, every time.Duration) error {
	before, _ := node.shown(reader)
	for now := before; now == before; now, _ = node.shown(reader) {
		if err := wait(ctx, every/100); err != nil {
			return err
		}
	}
	return wait(ctx, every/2)
}

// reconnectTime is long enough for a node to find its line gone and to come back.
const (
	outage        = 20 * time.Second
	reconnectTime = outage + 30*time.Second
)

// reconnect takes the line away for a while, and waits until all is quiet again.
func reconnect(ctx context.Context, v *venue) error {
	if err := v.set(ctx, "down"); err != nil {
		return err
	}
	if err := wait(ctx, outage); err != nil {
		return err
	}
	if err := v.set(ctx, "up"); err != nil {
		return err
	}
	return wait(ctx, reconnectTime-outage)
}

func kilo(bytes float64) string { return fmt.Sprintf("%.1f kB", bytes/1e3) }

func firstOf(a, b error) error {
	if a != nil {
		return a
	}
	return b
}
