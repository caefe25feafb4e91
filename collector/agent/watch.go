package agent

import (
	"context"
	"errors"
	"time"

	"ghostlight/buffer"
	"ghostlight/collector/page"
	"ghostlight/collector/scrape"
	"ghostlight/collector/self"
	"ghostlight/internal/daemon"
)

var errEdgecoreSilent = errors.New("edgecore does not answer its scrape")

// drainPoll is how often a flush looks whether the buffer is empty.
const drainPoll = 20 * time.Millisecond

// watch records the agent's own metrics at the scrape interval until ctx ends:
// once at the start, and then when the targets have been read.
func (n *node) watch(ctx context.Context) error {
	n.gather(ctx, time.Now().UnixMilli()) //nolint:errcheck // what is refused is counted and logged by the sink
	s := scrape.After(n.seed(), n.cfg.Scrape.Interval.D(), time.Now())
	timer := time.NewTimer(s.Wait(time.Now()))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
			n.gather(ctx, s.Stamp(time.Now())) //nolint:errcheck // as above
			s.Advance(time.Now())
			timer.Reset(s.Wait(time.Now()))
		}
	}
}

// seed tells this node's moments from those of others.
func (n *node) seed() string { return n.cfg.Node.Source().String() }

// gather stores the agent's own metrics as one batch of a time in Unix
// milliseconds.
func (n *node) gather(ctx context.Context, at int64) error {
	g := self.NewGatherer(at, n.cfg.Node.Name)
	g.Gauge("ghostlight_agent_info", "The agent's version.", 1, "version", daemon.Version)
	n.gatherBuffer(g)
	n.gatherUplink(g)
	for reason, dropped := range self.Sorted(n.sink.Dropped()) {
		g.Counter("ghostlight_otlp_points_dropped_total", "Points received over OTLP that cannot become samples.", float64(dropped), "reason", reason)
	}
	n.tail.Gather(g)
	n.journeys.Gather(g)
	n.monitor.Gather(g)
	n.book.Gather(g)
	n.healer.Gather(g)
	n.incidents.Gather(g)
	return n.sink.Write(ctx, g.Batch())
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// flush reads everything once more, then holds all producers and waits until the
// fleet has it all or ctx ends. The producers stay held for hold, so that the
// counts remain true for a planned stop. Host metrics keep their own pace.
func (n *node) flush(ctx context.Context, hold time.Duration) (page.Flushed, error) {
	var res page.Flushed
	note := func(err error) {
		if err != nil {
			res.Errors = append(res.Errors, err.Error())
		}
	}
	note(n.scraper.Flush(ctx))
	if n.outcomes != nil {
		note(n.outcomes.Flush(ctx))
	}
	note(n.tail.Flush(ctx))
	note(n.gather(ctx, time.Now().UnixMilli()))
	note(n.book.Settle(ctx))
	note(n.incidents.Step(ctx))
	release, err := n.sink.Hold(ctx)
	if err != nil {
		return res, err
	}
	n.mu.Lock()
	n.held = release
	n.mu.Unlock()
	res.Drained = n.waitDrained(ctx)
	res.Produced, res.Lost = map[buffer.Lane]int64{}, map[buffer.Lane]int64{}
	for lane, st := range n.queue.Stats() {
		res.Produced[lane], res.Lost[lane] = st.Produced, st.LostTotal()
	}
	time.AfterFunc(hold, release)
	return res, nil
}

// releaseHold ends the hold of a flush, if there is one.
func (n *node) releaseHold() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.held != nil {
		n.held()
	}
}

// waitDrained reports whether the buffer was empty before ctx ended.
func (n *node) waitDrained(ctx context.Context) bool {
	tick := time.NewTicker(drainPoll)
	defer tick.Stop()
	for !n.queue.Drained() {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
	return true
}
