package status_test

import (
	"strings"
	"testing"
	"time"

	book "ghostlight/fleet/incident"
	"ghostlight/fleet/registry"
	"ghostlight/fleet/status"
	"ghostlight/fleet/status/statustest"
	"ghostlight/slo"
	"ghostlight/slo/incident"
)

// The first page leads to what goes on: each venue to its incident, the headline to
// the most urgent one.
func TestFleetNamesIncidents(t *testing.T) {
	f := fleet(t, statustest.Night())
	var got []string
	for _, i := range f.Incidents {
		got = append(got, i.Place()+": "+i.Title)
	}
	want := "brixton: Checkout success and journey revenue-path fail|camden: Node camden-1 is dark|hoxton: settlement-age burns its budget"
	if strings.Join(got, "|") != want {
		t.Errorf("incidents %q\nwant %s", got, want)
	}
	if f.Headline.Incident != f.Incidents[0].ID || !strings.Contains(f.Headline.Detail, "taken on by Kim") {
		t.Errorf("headline %+v", f.Headline)
	}
	if f.Venues[0].Incident != f.Incidents[0].ID || f.Incidents[0].AtRisk == nil || !f.Incidents[0].AtRisk.Losing {
		t.Errorf("brixton leads to %q, at risk %+v", f.Venues[0].Incident, f.Incidents[0].AtRisk)
	}
	if last := f.Venues[len(f.Venues)-2]; last.Name != "soho" || last.Incident != "" {
		t.Errorf("%s leads to %q; what was there is over", last.Name, last.Incident)
	}
}

// A venue may sell by all that is seen of it, and burn its budget all the same: then
// the incident is the headline.
func TestIncidentIsTheHeadlineWhereStatesAreWell(t *testing.T) {
	f := one(func(f *statustest.Fleet, v *registry.View) {
		v.Journeys = f.Passing()
		src := v.Source
		i := incident.New(incident.Scope{Region: src.Region, Venue: src.Venue, Node: src.Node, Cause: incident.Objective, Name: "latency"}, f.Clock.Add(-12*time.Minute))
		f.Troubles = append(f.Troubles, i.Rate(incident.Severity{Urgency: slo.Page, AtMS: f.Clock.UnixMilli(), Source: incident.Node}))
	})
	got := fleet(t, f)
	if got.Headline.Tone != "bad" || got.Headline.Says != "v: latency burns its budget, for 12 min now" || got.Headline.Incident == "" {
		t.Errorf("headline %+v", got.Headline)
	}
	venue, err := views(t, f).Venue(t.Context(), "v")
	if err != nil || venue.Headline.Says != got.Headline.Says || len(venue.Incidents) != 1 {
		t.Errorf("venue says %+v (%v)", venue.Headline, err)
	}
	f.Troubles[0] = f.Troubles[0].Mark(incident.Mark{Stage: incident.Parity, SpellMS: f.Troubles[0].StartMS, AtMS: f.Clock.UnixMilli(), Source: incident.Node})
	if got := fleet(t, f); got.Headline.Tone != "ok" || len(got.Incidents) != 0 {
		t.Errorf("it is over, and the page says %+v", got.Headline)
	}
}

// The burning of a region that a venue accounts for is listed, and wakes nobody.
func TestWhatAVenueAccountsForIsCalm(t *testing.T) {
	now := time.Date(2026, 11, 22, 14, 0, 0, 0, time.UTC)
	wide := incident.New(incident.Scope{Region: "north", Cause: incident.Objective, Name: "checkout"}, now.Add(-time.Minute)).
		Rate(incident.Severity{Urgency: slo.Page, AtMS: now.UnixMilli(), Source: incident.Centre})
	for _, tt := range []struct {
		page, says, tone string
		wakes            bool
	}{
		{"", "nobody is told while a venue accounts for it", "warn", false},
		{wide.ID(), "nobody has taken it on", "bad", true},
	} {
		i := status.ToIncident(book.Item{Incident: wide, ID: wide.ID(), Page: tt.page}, now, nil)
		if i.Says() != tt.says || i.Tone() != tt.tone || i.Wakes() != tt.wakes {
			t.Errorf("told under %q: %s, %s, wakes %v", tt.page, i.Says(), i.Tone(), i.Wakes())
		}
	}
}

func TestRisk(t *testing.T) {
	f := statustest.Night()
	v := views(t, f)
	failed := time.Date(2026, 11, 22, 14, 4, 12, 0, time.UTC)
	losing, err := v.Risk(t.Context(), "brixton", failed)
	if err != nil || losing == nil || !losing.Losing || losing.PerMinuteMinor <= 0 {
		t.Errorf("brixton: %+v, %v", losing, err)
	}
	unseen, err := v.Risk(t.Context(), "camden", time.Date(2026, 11, 22, 14, 5, 3, 0, time.UTC))
	if err != nil || unseen == nil || unseen.Losing || unseen.PerMinuteMinor <= 0 {
		t.Errorf("camden: %+v, %v", unseen, err)
	}
	if cost, err := v.Cost(t.Context(), "brixton", failed, f.Clock); err != nil || cost.SoFarMinor != losing.SoFarMinor {
		t.Errorf("the cost until now %+v is not what is lost so far %+v (%v)", cost, losing, err)
	}
}
