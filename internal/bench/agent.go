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

// agentSection runs both pairs of programs over the same scrapes, side by side.
func agentSection(ctx context.Context, b *bench) (string, error) {
	node, err := replayHere(b.set)
	if err != nil {
		return "", err
	}
	defer node.close()
	vm, err := b.victoriaMetrics(ctx, "agent-vm-centre")
	if err != nil {
		return "", err
	}
	defer vm.stop()
	fleetAddr, err := free()
	if err != nil {
		return "", err
	}
	fleet, err := b.fleet(ctx, "agent-fleet", fleetAddr)
	if err != nil {
		return "", err
	}
	defer fleet.stop()
	vmLine, err := newLink(vm.addr)
	if err != nil {
		return "", err
	}
	defer vmLine.stop()
	ourLine, err := newLink(fleet.addr)
	if err != nil {
		return "", err
	}
	defer ourLine.stop()
	vmagent, err := b.vmagent(ctx, "agent-vmagent", node.addr, vmLine.addr, time.Second)
	if err != nil {
		return "", err
	}
	defer vmagent.stop()
	ours, err := b.agent(ctx, "agent-ghostlight", agentOptions{target: node.addr, fleet: ourLine.addr, interval: time.Second})
	if err != nil {
		return "", err
	}
	defer ours.stop()
	// The first scrapes describe every series; the steady state is what counts.
	if err := wait(ctx, 10*time.Second); err != nil {
		return "", err
	}
	pairs := []struct {
		name          string
		agent, centre *program
		line          *link
		load
	}{
		{name: "vmagent, victoria-metrics", agent: vmagent, centre: vm, line: vmLine},
		{name: "**ghostlight-agent, ghostlight-fleet**", agent: ours, centre: fleet, line: ourLine},
	}
	for i := range pairs {
		if err := pairs[i].read(node, pairs[i].agent, pairs[i].centre, pairs[i].line, -1); err != nil {
			return "", err
		}
	}
	last := time.Duration(b.pick(60, 120)) * time.Second
	b.say("agent: both pairs for %s", last)
	if err := wait(ctx, last); err != nil {
		return "", err
	}
	t := table{rows: [][]string{{"", "samples", "agent, ns a sample", "agent, peak MiB", "centre, ns a sample", "centre, peak MiB", "wire, bytes a sample"}}}
	for i := range pairs {
		p := &pairs[i]
		if err := p.read(node, p.agent, p.centre, p.line, 1); err != nil {
			return "", err
		}
		t.row(p.name, fmt.Sprint(p.samples), p.per(p.load.agent), mib(p.agentPeak), p.per(p.load.centre), mib(p.centrePeak), fmt.Sprintf("%.2f", float64(p.wire)/float64(p.samples)))
	}
	return fmt.Sprintf(`Real programs, from the scrape to the centre's disk: both agents read the same replay of the data set once a second (a scrape of
about %d samples), for %s after a start of 10 s, and send each scrape at once. Processor time is that of the whole process; the
agent of Ghostlight also serves its page, watches its health and records itself. Bytes are all of the connections between the
two, both directions, HTTP's heads, heartbeats and acknowledgements included.

%s`, b.set.samples/len(b.set.scrapes), last, t.String()), nil
}

// read adds what was used so far, times sign.
func (l *load) read(node *replay, agent, centre *program, line *link, sign int) error {
	_, samples := node.shown(agent.name)
	up, down := line.bytes()
	a, err := agent.cpu()
	if err != nil {
		return err
	}
	c, err := centre.cpu()
	if err != nil {
		return err
	}
	l.samples += sign * samples
	l.wire += int64(sign) * (up + down)
	l.agent += time.Duration(sign) * a
	l.centre += time.Duration(sign) * c
	if l.agentPeak, err = agent.peak(); err != nil {
		return err
	}
	l.centrePeak, err = centre.peak()
	return err
}

func mib(n int64) string { return fmt.Sprintf("%.1f", float64(n)/(1<<20)) }
