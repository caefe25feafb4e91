package statustest

import (
	"time"

	"ghostlight/fleet/burn"
	"ghostlight/fleet/notify"
	"ghostlight/slo"
	"ghostlight/slo/incident"
)

// story writes one incident as its owner and the centre tell it.
type story struct{ incident.Incident }

func trouble(venue string, cause incident.Cause, name string, failed time.Time) *story {
	src := source(venue)
	return &story{incident.New(incident.Scope{Region: src.Region, Venue: src.Venue, Node: src.Node, Cause: cause, Name: name}, failed)}
}

func (s *story) reached(st incident.Stage, at time.Time) *story {
	s.Incident = s.Mark(incident.Mark{Stage: st, SpellMS: s.StartMS, AtMS: at.UnixMilli(), Source: s.Scope.Owner()})
	return s
}

func (s *story) pages(at time.Time) *story {
	s.Incident = s.Rate(incident.Severity{Urgency: slo.Page, AtMS: at.UnixMilli(), Source: s.Scope.Owner()})
	return s.reached(incident.Detected, at)
}

func (s *story) tried(id, title, result string, at time.Time) *story {
	s.Incident = s.Try(incident.Heal{ID: id, Title: title, Result: result, AtMS: at.UnixMilli()})
	return s
}

// heard ends the story so far: what is told of it reached the centre then.
func (s *story) heard(at time.Time) *story {
	s.Incident = s.Arrive(at)
	return s
}

// troubles are the incidents of the night: at brixton checkout and journey fail
// together, camden is dark, and what soho went through is over.
func (f *Fleet) troubles(at func(h, m, s int) time.Time) {
	soon := func(h, m, s int) time.Time { return at(h, m, s).Add(1500 * time.Millisecond) }
	journey := trouble("brixton", incident.Journey, "revenue-path", at(14, 4, 20)).heard(soon(14, 4, 20)).
		pages(at(14, 4, 40)).heard(soon(14, 4, 40)).
		tried("3", "restart edgecore-brixton", "failed: the journey still fails at step pay", at(14, 4, 44)).heard(soon(14, 4, 56)).
		tried("4", "restart edgecore-brixton", "refused by a guardrail: cool-down of 30 s", at(14, 5, 50)).heard(soon(14, 5, 50))
	journey.Incident = journey.Link(incident.Link{TraceID: f.failedTrace("brixton"), Text: "pay: expected status 201, got 503: ledger is not writable", AtMS: at(14, 4, 20).UnixMilli()}).Arrive(soon(14, 5, 10))
	checkout := trouble("brixton", incident.Objective, "checkout-success", at(14, 4, 0)).heard(soon(14, 4, 50)).pages(at(14, 5, 30)).heard(soon(14, 5, 30))
	checkout.Incident = checkout.Note(incident.Note{By: "Kim", Text: "Ringing Kwame; the disk of the till is suspect", Acknowledges: true, AtMS: at(14, 6, 10).UnixMilli(), Source: incident.Centre}).Arrive(at(14, 6, 10))

	camden := trouble("camden", incident.Darkness, "", at(14, 5, 3)).pages(at(14, 5, 18)).heard(at(14, 5, 18))

	back := at(13, 37, 54)
	fine := trouble("soho", incident.Darkness, "", at(13, 31, 10)).pages(at(13, 31, 25)).heard(at(13, 31, 25)).
		reached(incident.Mitigated, at(13, 37, 42)).reached(incident.Parity, at(13, 37, 58)).heard(at(13, 37, 58))
	fine.Incident = fine.Find(incident.Finding{Sales: incident.Unaffected, Good: 41, AtMS: at(13, 38, 20).UnixMilli(), Revision: 1}).Arrive(at(13, 38, 20))
	alone := trouble("soho", incident.Journey, "revenue-path", at(13, 33, 0)).pages(at(13, 33, 20)).
		tried("9", "repair cache", "succeeded", at(13, 33, 26)).reached(incident.Mitigated, at(13, 33, 40)).reached(incident.Parity, at(13, 34, 10)).heard(back)
	healed := trouble("soho", incident.Journey, "revenue-path", at(13, 22, 20)).heard(soon(13, 22, 20)).pages(at(13, 22, 40)).
		tried("1", "restart edgecore-soho", "succeeded", at(13, 22, 49)).reached(incident.Mitigated, at(13, 23, 0)).reached(incident.Parity, at(13, 23, 20)).heard(soon(13, 23, 20))
	ticket := trouble("hoxton", incident.Objective, "settlement-age", at(13, 50, 0)).reached(incident.Detected, at(13, 58, 0)).heard(soon(13, 58, 0))

	f.Told = map[string][]notify.Entry{}
	for _, s := range []*story{journey, checkout, camden, fine, alone, healed, ticket} {
		f.Troubles = append(f.Troubles, s.Incident)
	}
	tell := func(id string, when time.Time, phase notify.Phase, outcome string) {
		f.Told[id] = append(f.Told[id], notify.Entry{At: when, Receiver: "on-call", Phase: phase, Outcome: outcome})
	}
	for _, item := range (incidentBook{f}).items() {
		switch {
		case item.Scope.Venue == "brixton":
			tell(item.ID, at(14, 4, 42), notify.Fire, "sent")
		case item.ID == camden.ID():
			tell(item.ID, at(14, 5, 20), notify.Fire, "silenced")
		case item.ID == fine.ID():
			tell(item.ID, at(13, 31, 27), notify.Fire, "sent")
			tell(item.ID, at(13, 38, 21), notify.Resolve, "sent")
		case item.ID == alone.ID():
			tell(item.ID, at(13, 37, 55), notify.Late, "sent")
		}
	}
	page := func(venue, id string, fired, resolved time.Time) burn.Page {
		p := burn.Page{Source: source(venue), AlertID: id, Objective: "checkout-success", Rule: "page/3600/300", FiredMS: fired.UnixMilli()}
		if !resolved.IsZero() {
			p.ResolvedMS = resolved.UnixMilli()
		}
		return p
	}
	open := page("brixton", "", at(14, 5, 30), time.Time{})
	open.IncidentID = checkout.ID()
	judged := at(13, 40, 0).UnixMilli()
	f.Audits = []burn.Audited{
		{Page: open, Scope: "london/brixton/brixton-1", Mark: burn.Open},
		{
			Page: page("hoxton", "a2", at(13, 12, 0), at(13, 19, 0)), Scope: "london/hoxton/hoxton-1",
			Mark: burn.Wrong, Why: "what landed later holds no bad payment", AtMS: judged,
		},
		{Page: page("soho", "a3", at(13, 22, 40), at(13, 27, 0)), Scope: "london/soho/soho-1", Mark: burn.Right, Why: "9 of 12 payments failed", AtMS: judged},
	}
}

// failedTrace is the trace of a venue's first failed run.
func (f *Fleet) failedTrace(venue string) string {
	for _, r := range f.RunList {
		if r.Venue == venue && !r.Pass {
			return r.TraceID
		}
	}
	return ""
}
