package torture

import (
	"context"
	"slices"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/wire"
	"ghostlight/fleet/events"
	"ghostlight/fleet/incident"
	"ghostlight/fleet/registry"
	"ghostlight/fleet/sales"
)

// darkAfter is the silence after which a node is dark.
const darkAfter = 90 * time.Second

// A presence is what the centre hears of one node: when it last said anything, how much
// waited there, and when it was dark.
type presence struct {
	last    int64 // true time, 0: never
	waiting int64
	dark    []span         // those that ended; of a node that is dark there is one more
	shown   map[int64]bool // by their begin: the book looked while it was the latest
}

// sign notes that a node says something of itself.
func (n *node) sign() {
	p := &n.presence
	if p.last > 0 && n.f.now-p.last >= darkAfter.Milliseconds() {
		p.dark = append(p.dark, span{p.last, n.f.now})
	}
	p.last, p.waiting = n.f.now, 0
	for _, b := range n.disk.waiting {
		// What was committed just now is under way: between two steps nothing waits.
		if !b.acked && b.created < n.f.now-n.f.step {
			p.waiting++
		}
	}
}

// Signs are the nodes as the book of incidents knows them, and what it asks others: all
// venues are open all the time, and what was sold is what was.
type signs struct{ *feed }

var (
	_ incident.Nodes    = signs{}
	_ incident.Calendar = signs{}
	_ incident.Sales    = tills{}
)

func (s signs) Nodes() (out []registry.View) {
	for _, n := range s.nodes {
		v := s.view(n)
		n.presence.shown[v.LastDark.Start.UnixMilli()] = true
		out = append(out, v)
	}
	return out
}

func (s signs) Node(src buffer.Source) (registry.View, error) {
	i := slices.IndexFunc(s.nodes, func(n *node) bool { return n.source == src })
	if i < 0 {
		return registry.View{}, registry.ErrUnknown
	}
	return s.view(s.nodes[i]), nil
}

func (s signs) view(n *node) registry.View {
	p := n.presence
	v := registry.View{Source: n.source}
	if p.last == 0 {
		return v
	}
	at := time.UnixMilli(p.last)
	v.LastSeen, v.HeartbeatAt, v.Presence, v.Live = at, at, registry.Live, true
	v.Heartbeat.Lanes = map[buffer.Lane]wire.LaneStats{buffer.Revenue: {Records: wire.RecordStats{Waiting: p.waiting}}}
	if k := len(p.dark); k > 0 {
		v.LastDark = registry.Episode{Start: time.UnixMilli(p.dark[k-1].from), End: time.UnixMilli(p.dark[k-1].to)}
	}
	if s.now-p.last >= darkAfter.Milliseconds() {
		v.Presence, v.Live, v.DarkSince = registry.Dark, false, at
		v.LastDark = registry.Episode{Start: at}
	}
	return v
}

// Down implements [incident.Nodes]: lives of the centre follow each other at once.
func (s signs) Down() []registry.Episode { return nil }

// ExpectedWindows implements [incident.Calendar].
func (s signs) ExpectedWindows(_ string, from, to time.Time) []events.Window {
	if s.bug == bugExpected {
		return nil
	}
	return []events.Window{{From: from, To: to}}
}

// Tills are what was sold.
type tills struct{ *feed }

// Nodes implements [incident.Sales].
func (t tills) Nodes(_ context.Context, by sales.Filter) (map[buffer.Source]sales.Totals, error) {
	out := map[buffer.Source]sales.Totals{}
	for _, n := range t.nodes {
		if n.source != by.Node {
			continue
		}
		var sum sales.Totals
		for _, r := range n.rows {
			if r.kind != payment || r.at < by.From.UnixMilli() || r.at >= by.To.UnixMilli() {
				continue
			}
			if r.good {
				sum.Sales++
			} else {
				sum.FailedPayments++
			}
		}
		out[n.source] = sum
	}
	return out, nil
}
