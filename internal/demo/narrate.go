package demo

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"
)

// pollEvery is how often the narrator looks at the fleet; each auditEvery-th time
// it reads the venues' audits too, which it does at once when a heal succeeded.
const (
	pollEvery  = time.Second
	auditEvery = 10
)

// tell writes one sentence with the time of day.
func (d *demo) tell(format string, args ...any) {
	d.telling.Lock()
	defer d.telling.Unlock()
	fmt.Fprintf(d.opts.Tell, "%s  %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}

// unitEvent says what happened to a process, once the demo is up and not yet
// going down.
func (d *demo) unitEvent(e Event) {
	if !d.narrating.Load() {
		return
	}
	switch {
	case e.State == Running && e.Asked:
		d.tell("%s runs again: its agent asked for a restart.", e.Unit)
	case e.State == Running && e.Again:
		d.tell("%s runs again by itself.", e.Unit)
	case e.State != Running:
		d.tell("%s ended (%s).", e.Unit, e.How)
	}
}

// narrator follows the fleet and says what changed.
type narrator struct {
	tell  func(format string, args ...any)
	sales func() map[string]int64

	nodes map[string]*nodeStory // by node
	heals map[string]int64      // highest audit sequence told, by node
	away  bool                  // the fleet did not answer
	looks int                   // at the fleet
}

// nodeStory is what was told of one node.
type nodeStory struct {
	live      bool
	sinceMS   int64 // dark since
	soldThen  int64 // sales of the venue when it went dark
	awaiting  int64 // samples that had been produced when it came back; 0: none awaited
	soldInOut int64 // sold while dark
	failing   bool  // a journey failed
	heals     int64 // that succeeded
}

// narrate follows the fleet until ctx ends.
func (d *demo) narrate(ctx context.Context) {
	n := &narrator{tell: d.tell, sales: d.venueSales, nodes: map[string]*nodeStory{}, heals: map[string]int64{}}
	for sleep(ctx, pollEvery) {
		nodes, err := d.fleet.nodes(ctx)
		if ctx.Err() != nil {
			return
		}
		n.fleetAnswered(err == nil)
		if err != nil {
			continue
		}
		n.looks++
		for _, node := range nodes {
			if healed := n.node(node); healed || n.looks%auditEvery == 0 {
				if venue, err := d.fleet.venue(ctx, node.Venue); err == nil {
					n.audit(node.Venue, venue.Heals)
				}
			}
		}
	}
}

func (n *narrator) fleetAnswered(ok bool) {
	if ok == n.away {
		n.away = !ok
		if ok {
			n.tell("The fleet answers again.")
		} else {
			n.tell("The fleet does not answer.")
		}
	}
}

// node compares what the fleet says of a node with what was told before, and
// reports whether the node healed itself since.
func (n *narrator) node(now fleetNode) (healed bool) {
	s, known := n.nodes[now.Node]
	if !known {
		n.nodes[now.Node] = &nodeStory{live: now.Live, failing: now.Passing < now.Journeys, heals: now.Heals}
		return false
	}
	switch {
	case s.live && !now.Live && now.DarkSinceMS > 0:
		s.live, s.sinceMS, s.soldThen, s.awaiting = false, now.DarkSinceMS, n.sales()[now.Venue], 0
		n.tell("%s is dark since %s.", now.Venue, time.UnixMilli(s.sinceMS).Format(time.TimeOnly))
	case !s.live && now.Live:
		s.live, s.awaiting = true, max(total(now.Produced), 1)
		s.soldInOut = n.sales()[now.Venue] - s.soldThen
		n.tell("%s came back after %.0f s in the dark; its backlog is landing.", now.Venue, time.Since(time.UnixMilli(s.sinceMS)).Seconds())
	case s.live && s.awaiting > 0 && total(now.Samples)+total(now.Lost) >= s.awaiting:
		s.awaiting = 0
		n.tell("%s's backlog has landed, without a gap up to the moment it came back; it sold %d times while it was dark.", now.Venue, s.soldInOut)
	}
	if failing := now.Live && now.Passing < now.Journeys; now.Live && failing != s.failing {
		s.failing = failing
		if failing {
			n.tell("%s's checkout journey fails.", now.Venue)
		} else {
			n.tell("%s's checkout journey passes again.", now.Venue)
		}
	}
	healed = now.Heals > s.heals
	s.heals = now.Heals
	return healed
}

// audit tells the healing that was not told yet, oldest first.
func (n *narrator) audit(venue string, newestFirst []heal) {
	told := maps.Clone(n.heals)
	for i := len(newestFirst) - 1; i >= 0; i-- {
		h := newestFirst[i]
		if h.Seq <= told[h.Node] {
			continue
		}
		n.heals[h.Node] = max(n.heals[h.Node], h.Seq)
		switch h.Result {
		case "succeeded":
			n.tell("%s's agent healed it: %s worked (%s).", venue, h.Action, strings.TrimSuffix(h.Reason, "."))
		case "failed":
			n.tell("%s's agent tried %s without success (%s).", venue, h.Action, strings.TrimSuffix(h.Reason, "."))
		}
	}
}
