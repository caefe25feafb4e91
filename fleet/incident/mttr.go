package incident

import (
	"context"
	"slices"
	"time"

	"ghostlight/slo/incident"
)

const recoverWithin = 15 * time.Minute

// MTTR is how long operations took to be restored, over the incidents of a filter.
type MTTR struct {
	Summary incident.Summary `json:"summary"`
	Curve   incident.Curve   `json:"curve"`
	Promise incident.Promise `json:"promise"`
	Within  time.Duration    `json:"within"` // what the promise allows
	Venues  []VenueMTTR      `json:"venues"` // by name
}

// A VenueMTTR is the same of one venue.
type VenueMTTR struct {
	Venue   string           `json:"venue"`
	Summary incident.Summary `json:"summary"`
	Promise incident.Promise `json:"promise"`
}

// MTTR summarises the outages of a filter: what has one cause is one, however many
// objectives and journeys felt it, and what asked for no more than a ticket is none.
// One that goes on counts as lasting longer than it has: a dark node's until it was
// last heard.
func (b *Book) MTTR(ctx context.Context, f Filter) (MTTR, error) {
	causes, err := b.causes(ctx, f)
	if err != nil {
		return MTTR{}, err
	}
	if f.Within <= 0 {
		f.Within = recoverWithin
	}
	var list []incident.Incident
	for _, c := range causes {
		if i, ok := c.outage(); ok {
			list = append(list, i)
		}
	}
	now := b.o.Now()
	seen := incident.Observe(list, now, b.contact)
	out := MTTR{
		Summary: incident.Summarise(seen, f.Horizon), Curve: incident.Survive(seen),
		Promise: incident.Restored(list, f.Within, now, b.contact), Within: f.Within, Venues: []VenueMTTR{},
	}
	venues := map[string][]incident.Incident{}
	var names []string
	for _, i := range list {
		v := i.Scope.Venue
		if v == "" {
			continue
		}
		if venues[v] == nil {
			names = append(names, v)
		}
		venues[v] = append(venues[v], i)
	}
	slices.Sort(names)
	for _, v := range names {
		out.Venues = append(out.Venues, VenueMTTR{
			Venue: v, Summary: incident.Summarise(incident.Observe(venues[v], now, b.contact), f.Horizon),
			Promise: incident.Restored(venues[v], f.Within, now, b.contact),
		})
	}
	return out, nil
}
