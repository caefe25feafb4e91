package notify

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ghostlight/slo"
	"ghostlight/slo/incident"
)

func TestWords(t *testing.T) {
	since := time.Date(2026, 7, 4, 20, 14, 0, 0, time.UTC)
	battery := 0.34
	checkout := incident.Scope{Region: "north", Venue: "soho", Node: "edge-1", Cause: incident.Objective, Name: "checkout-success"}
	all := Notification{
		Key: "inc-1", Status: Firing, Urgency: slo.Page, Scope: checkout, What: "Checkout success", Since: since,
		AtRisk:  &Money{PerMinuteMinor: 12000, Currency: "EUR", Basis: "estimated from the 30 min before"},
		Carrier: "Orange", LastHeard: since.Add(-time.Minute), LastWords: "payments cannot be written", Battery: &battery,
		Tried:   []Attempt{{"restart edgecore", "journey still fails", since.Add(2 * time.Minute)}, {Title: "repair cache"}},
		Contact: "Kim, +44 20 7946 0000", URL: "https://fleet.example/incidents/inc-1",
	}
	bare := Notification{Key: "inc-2", Status: Firing, Urgency: slo.Page, Scope: checkout, Since: since}
	dark := bare
	dark.Scope = incident.Scope{Region: "north", Venue: "soho", Node: "edge-1", Cause: incident.Darkness}
	dark.Finding = &incident.Finding{Sales: incident.Unaffected, Good: 120, Pending: 1}
	carrier := bare
	carrier.Scope = incident.Scope{Cause: incident.Darkness, Carrier: "Orange"}
	carrier.Suspects, carrier.What = carrier.Scope.Suspects(), "5 nodes of 4 venues"
	several := bare
	several.Scope, several.What = incident.Scope{Region: "north", Venue: "soho", Cause: incident.Several}, "checkout-success, relay-latency"
	rest := bare
	rest.Scope.Cause, rest.Scope.Name = incident.Journey, "revenue-path"
	rest.Still = &Failure{Cause: incident.Objective, What: "Checkout success", Since: since.Add(4 * time.Minute)}
	lost := dark
	lost.Finding = &incident.Finding{Sales: incident.Lost, Good: 120, Bad: 7}
	ended := func(n Notification) Notification {
		n.Status, n.Until = Resolved, since.Add(12*time.Minute)
		return n
	}
	for _, tt := range []struct {
		name  string
		n     Notification
		phase Phase
		want  []string
	}{
		{"all that can be known", all, Fire, []string{
			"soho (edge-1): Checkout success burns its error budget since 20:14 UTC, about 120.00 EUR a minute at risk",
			"Failing since 4 Jul 2026, 20:14 UTC.",
			"At risk: about 120.00 EUR a minute (estimated from the 30 min before).",
			"Carrier: Orange.",
			"Last heard: 4 Jul 2026, 20:13 UTC.",
			"Last words: payments cannot be written",
			"Battery at last reading: 34 %.",
			"Tried by itself: restart edgecore: journey still fails (20:16 UTC).",
			"Tried by itself: repair cache.",
			"Whom to ring there: Kim, +44 20 7946 0000.",
			"Details: https://fleet.example/incidents/inc-1",
		}},
		{"nothing known", bare, Fire, []string{
			"soho (edge-1): checkout-success burns its error budget since 20:14 UTC",
			"Failing since 4 Jul 2026, 20:14 UTC.",
		}},
		{"what failed first is restored", rest, Fire, []string{
			"soho (edge-1): Checkout success burns its error budget since 20:18 UTC; journey revenue-path, which failed first, is restored",
			"First failed 4 Jul 2026, 20:14 UTC: journey revenue-path, which is restored. Since 4 Jul 2026, 20:18 UTC: Checkout success.",
		}},
		{"over", ended(bare), Resolve, []string{
			"soho (edge-1): checkout-success is restored after 12 min",
			"Failed 4 Jul 2026, 20:14 UTC, over 4 Jul 2026, 20:26 UTC.",
		}},
		{"told too late", ended(bare), Fire, []string{
			"soho (edge-1): checkout-success burns its error budget since 20:14 UTC",
			"Failed 4 Jul 2026, 20:14 UTC, over 4 Jul 2026, 20:26 UTC. You could not be told while it went on.",
		}},
		{"known afterwards", ended(dark), Late, []string{
			"soho (edge-1): was dark for 12 min, found afterwards; it is over",
			"Failed 4 Jul 2026, 20:14 UTC, over 4 Jul 2026, 20:26 UTC. It was not known here while it went on, so nobody was paged.",
			"Sales were unaffected: 120 sales, 0 failed, 1 minute not known yet.",
		}},
		{"a carrier", carrier, Fire, []string{
			"carrier Orange: is dark (5 nodes of 4 venues) since 20:14 UTC",
			"Failing since 4 Jul 2026, 20:14 UTC.",
			"Look first at: the centre itself, then carrier Orange.",
		}},
		{"several", several, Fire, []string{
			"soho: checkout-success, relay-latency fail since 20:14 UTC",
			"Failing since 4 Jul 2026, 20:14 UTC.",
		}},
		{"several, over", ended(several), Resolve, []string{
			"soho: the venue is restored after 12 min",
			"Failed 4 Jul 2026, 20:14 UTC, over 4 Jul 2026, 20:26 UTC.",
		}},
		{"sales were lost after all", ended(lost), Revise, []string{
			"soho (edge-1): contact was restored; sales turn out to have been lost",
			"Failed 4 Jul 2026, 20:14 UTC, over 4 Jul 2026, 20:26 UTC.",
			"Sales were lost: 120 sales, 7 failed.",
		}},
	} {
		p := Page{Notification: tt.n, Phase: tt.phase}
		got := append([]string{p.Summary()}, strings.Split(p.Text(), "\n")...)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestOf(t *testing.T) {
	at := func(m int) time.Time { return time.Date(2026, 7, 4, 20, m, 0, 0, time.UTC) }
	s := incident.Scope{Region: "north", Venue: "soho", Node: "edge-1", Cause: incident.Darkness}
	i := incident.New(s, at(0)).
		Rate(incident.Severity{Urgency: slo.Page, AtMS: at(1).UnixMilli(), Source: incident.Centre}).
		Try(incident.Heal{ID: "1", Title: "switch uplink", Result: "failed", AtMS: at(2).UnixMilli()})
	want := Notification{
		Key: i.ID(), Status: Firing, Urgency: slo.Page, Scope: s, Since: at(0), Tried: []Attempt{{"switch uplink", "failed", at(2)}},
	}
	if diff := cmp.Diff(want, Of(i)); diff != "" {
		t.Errorf("while it goes on (-want +got):\n%s", diff)
	}
	f := incident.Finding{Sales: incident.Lost, Bad: 3, AtMS: at(30).UnixMilli()}
	i = i.Find(f).Mark(incident.Mark{Stage: incident.Parity, SpellMS: at(0).UnixMilli(), AtMS: at(20).UnixMilli(), Source: incident.Centre})
	want.Status, want.Until, want.Finding = Resolved, at(20), &f
	if diff := cmp.Diff(want, Of(i)); diff != "" {
		t.Errorf("when it is over (-want +got):\n%s", diff)
	}
}
