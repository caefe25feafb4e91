package demo

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"ghostlight/internal/daemon"
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

// expectEnd notes that the scenario breaks a unit now: its next end was told.
func (d *demo) expectEnd(unit string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.expected == nil {
		d.expected, d.broken = map[string]bool{}, map[string]time.Time{}
	}
	d.expected[unit], d.broken[unit] = true, time.Now()
}

// brokenAt is when the scenario broke a venue's checkout last, zero if never.
func (d *demo) brokenAt(venue string) time.Time {
	v, _ := d.layout.venue(venue)
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.broken[v.edgecore()]
}

// wasExpected reports whether the end of a unit was told before, once.
func (d *demo) wasExpected(unit string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	was := d.expected[unit]
	delete(d.expected, unit)
	return was
}

// unitEvent says what happened to a process, once the demo is up and not yet
// going down.
func (d *demo) unitEvent(e Event) {
	if !d.narrating.Load() {
		return
	}
	switch {
	case e.State == Running && e.Asked:
		d.tell("%s was started again, because the venue's agent asked for it.", upper(d.layout.plainName(e.Unit)))
	case e.State == Running && e.Again:
		d.tell("%s was started again by the demo.", upper(d.layout.plainName(e.Unit)))
	case e.State != Running && !d.wasExpected(e.Unit):
		d.tell("%s ended (%s).", upper(d.layout.plainName(e.Unit)), e.How)
	}
}

// plainName is what people call a unit.
func (l layout) plainName(unit string) string {
	for _, v := range l.venues {
		switch unit {
		case v.edgecore():
			return v.name + "'s checkout (edgecore)"
		case v.agent():
			return v.name + "'s agent"
		}
	}
	switch unit {
	case "fleet":
		return "the centre (fleet)"
	case "hub":
		return "the regional hub"
	}
	return unit
}

// upper is a sentence's beginning; venues keep the case of their names.
func upper(s string) string {
	if rest, ok := strings.CutPrefix(s, "the "); ok {
		return "The " + rest
	}
	return s
}

// narrator follows the fleet and says what changed.
type narrator struct {
	tell  func(format string, args ...any)
	sales func() map[string]int64
	broke func(venue string) time.Time // when the scenario broke its checkout last; zero: never
	now   func() time.Time

	nodes map[string]*nodeStory // by node
	heals map[string]int64      // highest audit sequence told, by node
	sold  []tally               // of the last soldKept, oldest first
	away  time.Time             // since when the fleet does not answer; zero: it does
	looks int                   // at the fleet
}

// soldKept is how far back sales are remembered: further than it takes to notice
// that a node is dark.
const soldKept = 2 * time.Minute

// tally is what each venue had sold at one moment.
type tally struct {
	at    time.Time
	sales map[string]int64
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
	n := &narrator{tell: d.tell, sales: d.venueSales, broke: d.brokenAt, now: time.Now, nodes: map[string]*nodeStory{}, heals: map[string]int64{}}
	for daemon.Sleep(ctx, pollEvery) {
		n.count()
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

// count remembers what was sold so far, and forgets what is long past.
func (n *narrator) count() {
	now := n.now()
	n.sold = append(n.sold, tally{now, n.sales()})
	for now.Sub(n.sold[0].at) > soldKept {
		n.sold = n.sold[1:]
	}
}

// soldBy is what a venue had sold at a moment.
func (n *narrator) soldBy(venue string, at time.Time) int64 {
	for i := len(n.sold) - 1; i >= 0; i-- {
		if !n.sold[i].at.After(at) {
			return n.sold[i].sales[venue]
		}
	}
	if len(n.sold) > 0 {
		return n.sold[0].sales[venue]
	}
	return n.sales()[venue]
}

func (n *narrator) fleetAnswered(ok bool) {
	switch {
	case !ok && n.away.IsZero():
		n.away = n.now()
		n.tell("The centre does not answer. The venues go on and keep what they measure.")
	case ok && !n.away.IsZero():
		n.tell("The centre answers again, after %s.", lasted(n.now().Sub(n.away)))
		n.away = time.Time{}
	}
}

// node compares what the fleet says of a node with what was told before, and
// reports whether the node healed itself since.
func (n *narrator) node(now fleetNode) (healed bool) {
	failing := now.Live && now.Passing < now.Journeys
	s, known := n.nodes[now.Node]
	if !known {
		n.nodes[now.Node] = &nodeStory{live: now.Live, failing: failing, heals: now.Heals}
		return false
	}
	n.light(s, now)
	switch {
	case failing && !s.failing:
		s.failing = true
		n.tell("%s cannot sell: the test purchase of its agent fails.", now.Venue)
	case now.Live && !failing && s.failing:
		s.failing = false
		since := ""
		if broke := n.broke(now.Venue); !broke.IsZero() {
			since = fmt.Sprintf(", %s after the fault", lasted(n.now().Sub(broke)))
		}
		n.tell("%s sells again: the test purchase works%s.", now.Venue, since)
	}
	healed = now.Heals > s.heals
	s.heals = now.Heals
	return healed
}

// light tells when a node goes dark, comes back, and has sent all it kept.
func (n *narrator) light(s *nodeStory, now fleetNode) {
	switch {
	case s.live && !now.Live && now.DarkSinceMS > 0:
		since := time.UnixMilli(now.DarkSinceMS)
		s.live, s.sinceMS, s.soldThen, s.awaiting = false, now.DarkSinceMS, n.soldBy(now.Venue, since), 0
		n.tell("%s is dark: the centre has heard nothing of it since %s and does not guess how it is.", now.Venue, since.Format(time.TimeOnly))
	case !s.live && now.Live:
		s.live, s.awaiting = true, max(total(now.Produced), 1)
		s.soldInOut = n.sales()[now.Venue] - s.soldThen
		n.tell("%s is heard again after %s in the dark; what it kept meanwhile is on its way.", now.Venue, lasted(n.now().Sub(time.UnixMilli(s.sinceMS))))
	case s.live && s.awaiting > 0 && total(now.Samples)+total(now.Lost) >= s.awaiting:
		s.awaiting = 0
		n.tell("All that %s kept has arrived, without a gap: it sold about %d times while nobody could see it.", now.Venue, s.soldInOut)
	}
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
		why := shorten(strings.TrimSuffix(h.Reason, "."))
		switch h.Result {
		case "succeeded":
			n.tell("%s healed itself: its agent %s, because %s.", venue, healed(h.Action), why)
		case "failed":
			n.tell("%s tried to heal itself: its agent %s, because %s; that did not help.", venue, healed(h.Action), why)
		}
	}
}

// healed is a heal's action as what the agent did.
func healed(action string) string {
	switch action {
	case "unit_restart":
		return "restarted the checkout"
	case "cache_repair":
		return "fetched the broken objects of the cache anew"
	}
	return "did " + strings.ReplaceAll(action, "_", " ")
}

// longestReason bounds what is told of a heal's reason, which may quote a whole
// answer; the pages have it in full.
const longestReason = 140

func shorten(s string) string {
	if runes := []rune(s); len(runes) > longestReason {
		return strings.TrimSpace(string(runes[:longestReason])) + "…"
	}
	return s
}

// lasted is how long something took, as people say it.
func lasted(d time.Duration) string {
	s := int64(d.Round(time.Second) / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%d s", s)
	case s%60 == 0:
		return fmt.Sprintf("%d min", s/60)
	}
	return fmt.Sprintf("%d min %d s", s/60, s%60)
}
