package torture

import (
	"slices"

	"ghostlight/internal/torture/peer"
	"ghostlight/slo"
	"ghostlight/slo/incident"
)

// A sight is what of a feed can be seen from elsewhere: by a Prometheus in agent
// mode on each node, which scrapes edgecore and the agent and sends on what it has
// once the uplink is back, and by somebody who knows at once what happened.
type sight struct {
	events   map[account][]event // by true time
	arrivals []arrival
	unsent   map[int][]peer.Sample // by node, oldest first
	offered  int
	pages    map[string]peer.Firing // by key: from when it was durable to when its end was
}

// An event is what happened to one guest.
type event struct {
	at   int64
	good bool
}

func (e event) counts() slo.Counts {
	if e.good {
		return slo.Counts{Good: 1, Total: 1}
	}
	return slo.Counts{Total: 1}
}

// An arrival is what one node sends at once.
type arrival struct {
	at      int64
	late    bool // it holds what the server should have had before
	samples []peer.Sample
}

// lateFrom is how long after its time a sample is late: skewed clocks, which are off
// by less, make no difference to what can be seen.
const lateFrom = 3 * 60_000

func newSight() *sight {
	return &sight{events: map[account][]event{}, unsent: map[int][]peer.Sample{}, pages: map[string]peer.Firing{}}
}

// scrape looks at a node, and sends what it has if the uplink is there. Both need
// the machine that the agent runs on; edgecore is only seen while it lives.
func (s *sight) scrape(n *node) {
	a := n.agent
	if a == nil || n.f.healed && n.f.now > n.f.end+lateFrom {
		return
	}
	add := func(metric string, c slo.Counts, labels ...string) {
		for _, part := range []struct {
			name  string
			value int64
		}{{"true", c.Good}, {"false", c.Bad()}} {
			all := append([]string{"__name__", metric, "venue", n.source.Venue, "node", n.source.Node, "good", part.name}, labels...)
			s.unsent[n.number] = append(s.unsent[n.number], peer.Sample{Labels: peer.Of(all...), Point: peer.Point{MS: n.wall(), Value: float64(part.value)}})
		}
	}
	if !n.is(Edgecore) && !n.is(Hang) {
		add("edgecore_outcomes_total", n.grown[payment], "kind", string(payment))
	}
	add("journey_runs_total", a.ran, "journey", string(visit))
	if n.is(Offline) {
		return
	}
	samples := s.unsent[n.number]
	s.offered += len(samples)
	late := slices.ContainsFunc(samples, func(x peer.Sample) bool { return n.f.now-x.MS > lateFrom })
	s.arrivals = append(s.arrivals, arrival{n.f.now, late, samples})
	s.unsent[n.number] = nil
}

// paged notes when a node had an incident that pages, and its end, on disk.
func (s *sight) paged(is incident.Incident, now int64) {
	if is.Urgency() != slo.Page {
		return
	}
	id := is.ID()
	p, ok := s.pages[id]
	if !ok {
		p.From = now
	}
	p.To = now
	s.pages[id] = p
}
