package statustest

import (
	"cmp"
	"context"
	"slices"
	"time"

	book "ghostlight/fleet/incident"
	"ghostlight/slo/incident"
)

// incidentBook answers as [book.Book] does.
type incidentBook struct{ f *Fleet }

const (
	flap     = 5 * time.Minute  // failures closer than this are one
	together = 10 * time.Minute // and these have one cause
)

// items are the incidents folded and gathered, the latest failure first.
func (b incidentBook) items() []book.Item {
	folded := incident.Fold(b.f.Troubles, flap)
	var out []book.Item
	gathered := map[string]bool{}
	for _, g := range incident.GroupVenues(folded, nil, together) {
		out = append(out, book.Item{Incident: g.Whole(), ID: g.Incident.ID(), Gathered: g.Gathered})
		for _, m := range g.Gathered {
			gathered[m.ID()] = true
		}
	}
	for _, i := range folded {
		if !gathered[i.ID()] {
			out = append(out, book.Item{Incident: i, ID: i.ID()})
		}
	}
	for n := range out {
		if len(b.f.Told[out[n].ID]) > 0 {
			out[n].Page = out[n].ID
		}
	}
	slices.SortFunc(out, func(x, y book.Item) int { return cmp.Compare(y.StartMS, x.StartMS) })
	return out
}

func (b incidentBook) List(_ context.Context, q book.Filter) ([]book.Item, error) {
	var out []book.Item
	for _, i := range b.items() {
		if (!q.Open || i.Open()) && (len(q.Venues) == 0 || slices.Contains(q.Venues, i.Scope.Venue)) {
			out = append(out, i)
		}
	}
	return out, b.f.Err
}

func (b incidentBook) Get(_ context.Context, id string) (book.Detail, error) {
	for _, item := range b.items() {
		d := book.Detail{Item: item}
		if i := slices.IndexFunc(item.Gathered, func(i incident.Incident) bool { return i.ID() == id }); i >= 0 {
			d = book.Detail{Item: book.Item{Incident: item.Gathered[i], ID: id}, Group: item.ID}
		}
		if d.ID == id || slices.Contains(d.AlsoIDs(), id) {
			b.fill(&d)
			return d, b.f.Err
		}
	}
	return book.Detail{}, book.ErrUnknown
}

func (b incidentBook) fill(d *book.Detail) {
	d.Lasted, d.Planned = d.Incident.Lasted(b.f.Clock)
	parts := d.Gathered
	if len(parts) == 0 {
		parts = []incident.Incident{d.Incident}
	}
	for _, st := range incident.Stages() {
		at, ok := d.When(st)
		if !ok {
			continue
		}
		t := book.StageTime{Stage: st, AtMS: at, Source: d.Scope.Owner()}
		for _, p := range parts {
			for _, k := range p.Marks {
				if k.Fact.Stage == st && k.Fact.AtMS == at {
					t.ArrivedMS, t.Source = k.ArrivedMS, k.Fact.Source
				}
			}
		}
		d.Stages = append(d.Stages, t)
	}
	for _, p := range parts {
		d.Timeline = append(d.Timeline, moments(p)...)
	}
	for _, e := range b.f.Told[d.ID] {
		at := e.At.UnixMilli()
		d.Timeline = append(d.Timeline, book.Moment{AtMS: at, ArrivedMS: at, Source: incident.Centre, Incident: d.ID, Kind: book.MomentPage, Page: &e})
	}
	slices.SortStableFunc(d.Timeline, func(x, y book.Moment) int { return cmp.Compare(x.AtMS, y.AtMS) })
}

func moments(i incident.Incident) []book.Moment {
	var out []book.Moment
	id, owner := i.ID(), i.Scope.Owner()
	for _, k := range i.Marks {
		if k.Fact.Stage != incident.Acknowledged {
			out = append(out, book.Moment{AtMS: k.Fact.AtMS, Source: k.Fact.Source, ArrivedMS: k.ArrivedMS, Incident: id, Kind: book.MomentStage, Stage: k.Fact.Stage})
		}
	}
	for _, k := range i.Heals {
		out = append(out, book.Moment{AtMS: k.Fact.AtMS, Source: owner, ArrivedMS: k.ArrivedMS, Incident: id, Kind: book.MomentHeal, Text: k.Fact.Title + ": " + k.Fact.Result})
	}
	for _, k := range i.Links {
		out = append(out, book.Moment{AtMS: k.Fact.AtMS, Source: owner, ArrivedMS: k.ArrivedMS, Incident: id, Kind: book.MomentLink, Text: k.Fact.Text, TraceID: k.Fact.TraceID})
	}
	for _, k := range i.Notes {
		m := book.Moment{AtMS: k.Fact.AtMS, Source: k.Fact.Source, ArrivedMS: k.ArrivedMS, Incident: id, Kind: book.MomentNote, By: k.Fact.By, Text: k.Fact.Text}
		if k.Fact.Acknowledges {
			m.Stage = incident.Acknowledged
		}
		out = append(out, m)
	}
	for _, k := range i.Findings {
		out = append(out, book.Moment{AtMS: k.Fact.AtMS, Source: incident.Centre, ArrivedMS: k.ArrivedMS, Incident: id, Kind: book.MomentFinding, Finding: &k.Fact})
	}
	for _, k := range i.Plans {
		out = append(out, book.Moment{AtMS: k.Fact.FromMS, Source: incident.Centre, ArrivedMS: k.ArrivedMS, Incident: id, Kind: book.MomentPlan, Text: k.Fact.Text, ToMS: k.Fact.ToMS})
	}
	return out
}

func (b incidentBook) MTTR(_ context.Context, q book.Filter) (book.MTTR, error) {
	var list []incident.Incident
	venues := map[string][]incident.Incident{}
	for _, i := range incident.Fold(b.f.Troubles, flap) {
		if len(q.Venues) == 0 || slices.Contains(q.Venues, i.Scope.Venue) {
			list = append(list, i)
			venues[i.Scope.Venue] = append(venues[i.Scope.Venue], i)
		}
	}
	seen := incident.Observe(list, b.f.Clock, incident.Always)
	out := book.MTTR{Summary: incident.Summarise(seen, q.Horizon), Curve: incident.Survive(seen)}
	for venue, some := range venues {
		out.Venues = append(out.Venues, book.VenueMTTR{Venue: venue, Summary: incident.Summarise(incident.Observe(some, b.f.Clock, incident.Always), q.Horizon)})
	}
	slices.SortFunc(out.Venues, func(x, y book.VenueMTTR) int { return cmp.Compare(x.Venue, y.Venue) })
	return out, b.f.Err
}
