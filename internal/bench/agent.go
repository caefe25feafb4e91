package main

import (
	"context"
	"fmt"
	"time"
)

// load is what one pair of agent and centre used over the measured time.
type load struct {
	samples       int
	agent, centre time.Duration
	agentPeak     int64
	centrePeak    int64
	wire          int64
}

func (l load) per(d time.Duration) string {
	return fmt.Sprintf("%.0f", float64(d.Nanoseconds())/float64(l.samples))
}

// A pair is an agent, its centre and the line between them.
type pair struct {
	name          string
	agent, centre *program
	line          *link
	load
}

// newPair starts a centre, a line to it, and an agent at the line's other end.
func newPair(name string, centre func() (*program, error), agent func(fleet string) (*program, error)) (*pair, error) {
	p := &pair{name: name}
	var err error
	if p.centre, err = centre(); err != nil {
		return nil, err
	}
	if p.line, err = newLink(p.centre.addr); err != nil {
		p.stop()
		return nil, err
	}
	if p.agent, err = agent(p.line.addr); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

func (p *pair) stop() {
	if p.agent != nil {
		p.agent.stop()
	}
	if p.line != nil {
		p.line.stop()
	}
	p.centre.stop()
}

// agentSection runs both pairs of programs over the same scrapes, side by side.
func agentSection(ctx context.Context, b *bench) (string, error) {
	node, err := replayHere(b.set)
	if err != nil {
		return "", err
	}
	defer node.close()
	fleetAddr, err := free()
	if err != nil {
		return "", err
	}
	peers, err := newPair("vmagent, victoria-metrics",
		func() (*program, error) { return b.victoriaMetrics(ctx, "agent-vm-centre") },
		func(fleet string) (*program, error) {
			return b.vmagent(ctx, "agent-vmagent", node.addr, fleet, time.Second)
		})
	if err != nil {
		return "", err
	}
	defer peers.stop()
	ours, err := newPair("**ghostlight-agent, ghostlight-fleet**",
		func() (*program, error) { return b.fleet(ctx, "agent-fleet", fleetAddr) },
		func(fleet string) (*program, error) {
			return b.agent(ctx, "agent-ghostlight", agentOptions{target: node.addr, fleet: fleet, interval: time.Second})
		})
	if err != nil {
		return "", err
	}
	defer ours.stop()
	last := time.Duration(b.pick(60, 120)) * time.Second
	t, err := b.loads(ctx, node, last, peers, ours)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf(`Real programs, from the scrape to the centre's disk: both agents read the same replay of the data set once a second (a scrape of
about %d samples), for %s after a start of 10 s, and send each scrape at once. Processor time is that of the whole process; the
agent of Ghostlight also serves its page, watches its health and records itself. Bytes are all of the connections between the
two, both directions, HTTP's heads, heartbeats and acknowledgements included.

%s`, b.set.Samples/len(b.set.Scrapes), last, t.String()), nil
}

// loads measures what pairs use over some time. The first scrapes describe every
// series; the steady state is what counts.
func (b *bench) loads(ctx context.Context, node *replay, last time.Duration, pairs ...*pair) (t table, err error) {
	if err := wait(ctx, 10*time.Second); err != nil {
		return t, err
	}
	for _, p := range pairs {
		if err := p.read(node, -1); err != nil {
			return t, err
		}
	}
	b.say("agent: both pairs for %s", last)
	if err := wait(ctx, last); err != nil {
		return t, err
	}
	t.row("", "samples", "agent, ns a sample", "agent, peak MiB", "centre, ns a sample", "centre, peak MiB", "wire, bytes a sample")
	for _, p := range pairs {
		if err := p.read(node, 1); err != nil {
			return t, err
		}
		t.row(p.name, fmt.Sprint(p.samples), p.per(p.load.agent), mib(p.agentPeak), p.per(p.load.centre), mib(p.centrePeak), fmt.Sprintf("%.2f", float64(p.wire)/float64(p.samples)))
	}
	return t, nil
}

// read adds what was used so far, times sign.
func (p *pair) read(node *replay, sign int) error {
	_, samples := node.shown(p.agent.name)
	up, down := p.line.bytes()
	a, err := p.agent.cpu()
	if err != nil {
		return err
	}
	c, err := p.centre.cpu()
	if err != nil {
		return err
	}
	p.load.samples += sign * samples
	p.load.wire += int64(sign) * (up + down)
	p.load.agent += time.Duration(sign) * a
	p.load.centre += time.Duration(sign) * c
	if p.load.agentPeak, err = p.agent.peak(); err != nil {
		return err
	}
	p.load.centrePeak, err = p.centre.peak()
	return err
}

func mib(n int64) string { return fmt.Sprintf("%.1f", float64(n)/(1<<20)) }
