package burn

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/wire"
	"ghostlight/fleet/ledger"
	"ghostlight/slo"
	"ghostlight/slo/incident"
)

const fast = "page/3600/300"

func (r *rig) heard(pages ...Page) {
	r.Helper()
	if err := r.room.Heard(r.Context(), pages...); err != nil {
		r.Fatal(err)
	}
}

// marks lists what was audited as scope, rule and mark, sorted.
func (r *rig) marks(f AuditFilter) []string {
	r.Helper()
	out := []string{}
	for _, a := range r.audit(f) {
		out = append(out, a.Scope+" "+a.Rule+" "+string(a.Mark))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// TestOwnPagesAreAudited: a page that all data bears out is right, and becomes wrong
// when what comes late says that all was well; what comes later still changes it back.
func TestOwnPagesAreAudited(t *testing.T) {
	r := newRig(t)
	o := define(t, 0.99, false)
	r.promise(o, bar, door)
	r.steps(60, func(at time.Time) {
		r.sells(bar, o, at, 1, 1, 10, 10)
		r.sells(door, o, at, 1, 1, 10, 10)
	})
	bad := r.now()
	r.steps(15, func(at time.Time) {
		r.sells(bar, o, at, 1, 1, 0, 10)
		r.sells(door, o, at, 1, 1, 0, 10)
	})
	r.review()
	if got := r.marks(AuditFilter{}); !slices.Contains(got, "uk/soho "+fast+" right") {
		t.Fatalf("marks %v, want the page right", got)
	}
	r.sells(bar, o, bad, 15, 2, 10, 10)
	r.sells(door, o, bad, 15, 2, 10, 10)
	r.steps(4, func(at time.Time) {
		r.sells(bar, o, at, 1, 1, 10, 10)
		r.sells(door, o, at, 1, 1, 10, 10)
	})
	r.review()
	audited := r.audit(AuditFilter{Objective: "checkout", Venues: []string{"soho"}, From: begin, To: r.now()})
	for _, a := range audited {
		if a.Mark != Wrong || !strings.Contains(a.Why, "did not hold") {
			t.Errorf("revised so that all was well, %s of %s is %s: %s", a.Rule, a.Scope, a.Mark, a.Why)
		}
	}
	if len(audited) == 0 {
		t.Error("no page is audited")
	}
	r.sells(bar, o, bad, 15, 3, 0, 10)
	r.sells(door, o, bad, 15, 3, 0, 10)
	r.steps(4, nil)
	r.review()
	if got := r.marks(AuditFilter{}); !slices.Contains(got, "uk/soho "+fast+" right") {
		t.Errorf("marks %v, want the page right again", got)
	}
}

// TestPagesOfNodesAreAudited: a node's page is open until the node's data is there,
// and then what the data says; one that the data asks for and nobody sent is missed.
func TestPagesOfNodesAreAudited(t *testing.T) {
	r := newRig(t)
	o := define(t, 0.99, false)
	r.promise(o, kiosk, tent)
	r.steps(30, func(at time.Time) {
		r.sells(kiosk, o, at, 1, 1, 10, 10)
		r.sells(tent, o, at, 1, 1, 10, 10)
	})
	dark := r.now() // the kiosk is not heard any more
	r.heard(Page{Source: kiosk, IncidentID: "inc-1", Objective: "checkout", FiredMS: dark.Add(10 * time.Minute).UnixMilli()},
		Page{Source: kiosk, IncidentID: "inc-2", Objective: "checkout", FiredMS: dark.Add(-20 * time.Minute).UnixMilli(), ResolvedMS: dark.Add(-15 * time.Minute).UnixMilli()})
	r.steps(60, func(at time.Time) { r.sells(tent, o, at, 1, 1, 10, 10) })
	r.review()
	marks := func() map[string]Mark {
		out := map[string]Mark{}
		for _, a := range r.audit(AuditFilter{}) {
			if a.Node != "" {
				out[a.IncidentID] = a.Mark
			}
		}
		return out
	}
	if diff := cmp.Diff(map[string]Mark{"inc-1": Open, "inc-2": Wrong}, marks()); diff != "" {
		t.Errorf("while the node is dark (-want +got):\n%s", diff)
	}
	// Its backlog: it failed from when it was not heard for a quarter of an hour.
	r.sells(kiosk, o, dark, 15, 1, 0, 10)
	r.sells(kiosk, o, dark.Add(15*time.Minute), 45, 1, 10, 10)
	r.steps(15, nil)
	r.review()
	if diff := cmp.Diff(map[string]Mark{"inc-1": Right, "inc-2": Wrong}, marks()); diff != "" {
		t.Errorf("when its backlog is here (-want +got):\n%s", diff)
	}
	// The tent failed too, told late, and never paged.
	r.sells(tent, o, dark, 20, 2, 0, 10)
	r.steps(15, nil)
	r.review()
	missed := r.audit(AuditFilter{Marks: []Mark{Missed}, Regions: []string{"fr"}})
	if len(missed) == 0 || missed[len(missed)-1].Scope != tent.String() || missed[0].ResolvedMS == 0 {
		t.Fatalf("missed %+v, want the tent's", missed)
	}
	if at := time.UnixMilli(missed[len(missed)-1].FiredMS); at.Before(dark) || at.After(dark.Add(5*time.Minute)) {
		t.Errorf("it should have fired at %v, %v after it began", at, at.Sub(dark))
	}
	// The page was only late: nothing was missed.
	r.heard(Page{Source: tent, AlertID: "late", Rule: fast, Objective: "checkout", FiredMS: dark.Add(6 * time.Minute).UnixMilli(), ResolvedMS: dark.Add(80 * time.Minute).UnixMilli()})
	r.steps(5, nil)
	r.review()
	if got := r.marks(AuditFilter{Regions: []string{"fr"}}); !cmp.Equal(got, []string{tent.String() + " " + fast + " right"}) {
		t.Errorf("marks %v, want the late page right and none missed", got)
	}
}

// TestPagesOfShowsAreAudited: the show's rule is replayed over the show.
func TestPagesOfShowsAreAudited(t *testing.T) {
	r := newRig(t)
	o := define(t, 0.99, true)
	r.promise(o, bar, door)
	r.shows = []wire.Show{{ID: "gig", StartMS: begin.UnixMilli(), EndMS: begin.Add(3 * time.Hour).UnixMilli()}}
	r.steps(30, func(at time.Time) { r.sells(bar, o, at, 1, 1, 20, 20); r.sells(door, o, at, 1, 1, 20, 20) })
	r.steps(10, func(at time.Time) { r.sells(bar, o, at, 1, 1, 20, 20); r.sells(door, o, at, 1, 1, 0, 20) })
	r.steps(10, func(at time.Time) { r.sells(bar, o, at, 1, 1, 20, 20); r.sells(door, o, at, 1, 1, 20, 20) })
	r.review()
	if got := r.marks(AuditFilter{}); !slices.Contains(got, "uk/soho#gig "+slo.EventRule().Key+" right") {
		t.Errorf("marks %v, want the show's page right", got)
	}
}

// TestAScopeIsReviewedFromItsBirth: a venue is a scope of many nodes once its second is
// heard of. That one failed for half an hour before: nobody was paged, and the audit says
// so, also if the centre dies before it could.
func TestAScopeIsReviewedFromItsBirth(t *testing.T) {
	r := newRig(t)
	o := define(t, 0.99, false)
	r.promise(o, bar, tent)
	first := r.now()
	r.steps(120, func(at time.Time) {
		r.sells(bar, o, at, 1, 1, 10, 10)
		r.sells(tent, o, at, 1, 1, 10, 10)
	})
	record := delta.Record{Kind: ledger.KindObjective, Key: o.Name, Time: first.UnixMilli(), Body: o.Document}
	r.apply(door, record)
	r.sells(door, o, first, 30, 1, 10, 10)
	r.sells(door, o, first.Add(30*time.Minute), 30, 1, 0, 10)
	r.sells(door, o, first.Add(time.Hour), 60, 1, 10, 10)
	r.steps(1, nil)
	r.restart()
	r.steps(5, nil)
	r.review()
	missed := r.audit(AuditFilter{Marks: []Mark{Missed}, Venues: []string{"soho"}})
	missed = slices.DeleteFunc(missed, func(a Audited) bool { return a.Node != "" })
	if len(missed) == 0 || missed[len(missed)-1].Scope != "uk/soho" {
		t.Fatalf("missed %+v, want the venue's", missed)
	}
	if at := time.UnixMilli(missed[len(missed)-1].FiredMS).Sub(first); at < 30*time.Minute || at > 40*time.Minute {
		t.Errorf("it should have fired %v after the start, want soon after 30 minutes", at)
	}
}

// TestShowsAreReviewedBehindTheirEnd for as long as they are watched: what failed in the
// last minute fires behind it.
func TestShowsAreReviewedBehindTheirEnd(t *testing.T) {
	r := newRig(t)
	o := define(t, 0.99, true)
	end := begin.Add(2 * time.Hour)
	r.shows = []wire.Show{{ID: "gig", StartMS: begin.UnixMilli(), EndMS: end.UnixMilli()}}
	at := place{buffer.Source{Region: "uk", Venue: "soho"}, o.Name}
	for after, want := range map[time.Duration]int{-time.Minute: 1, time.Minute: 1, afterShow - 2*time.Minute: 1, afterShow + time.Minute: 0} {
		m := slo.MinuteOf(end.Add(after))
		if got := len(r.room.showsOf(at, o, stretch{m, m + 1})); got != want {
			t.Errorf("%v after its end %d shows are reviewed, want %d", after, got, want)
		}
	}
}

// TestPagesOfIncidents: a page for each time that a node woke somebody, with the rule
// that fired if the node told it. What a journey or the centre says is none.
func TestPagesOfIncidents(t *testing.T) {
	at := func(m int) int64 { return begin.Add(time.Duration(m) * time.Minute).UnixMilli() }
	of := func(cause incident.Cause, name string) incident.Scope {
		return incident.Scope{Region: kiosk.Region, Venue: kiosk.Venue, Node: kiosk.Node, Cause: cause, Name: name}
	}
	wakes := func(m int, rule, event string) incident.Severity {
		return incident.Severity{Urgency: slo.Page, AtMS: at(m), Source: incident.Node, Rule: rule, Event: event}
	}
	burnt := incident.New(of(incident.Objective, "checkout"), begin).Rate(wakes(2, slo.EventRule().Key, "gig")).
		Mark(incident.Mark{Stage: incident.Parity, SpellMS: at(0), AtMS: at(9), Source: incident.Node})
	burnt = incident.Fail(&burnt, burnt.Scope, begin.Add(12*time.Minute), time.Hour).Rate(wakes(13, fast, ""))
	ticket := incident.New(of(incident.Objective, "tail"), begin).Rate(incident.Severity{Urgency: slo.Ticket, AtMS: at(1), Source: incident.Node})
	journey := incident.New(of(incident.Journey, "visit"), begin).Rate(wakes(1, "", ""))
	got := PagesOf([]incident.Incident{burnt, ticket, journey})
	want := []Page{
		{Source: kiosk, IncidentID: burnt.ID(), Event: "gig", Objective: "checkout", Rule: slo.EventRule().Key, FiredMS: at(2), ResolvedMS: at(9)},
		{Source: kiosk, AlertID: fmt.Sprintf("%s/%d", burnt.ID(), at(12)), IncidentID: burnt.ID(), Objective: "checkout", Rule: fast, FiredMS: at(13)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
}

// TestPagesAreAuditedByTheirRule: the hour burnt and the six hours did not. Who was
// woken by the hour was woken rightly, by the six hours wrongly; of a page that does not
// say, either rule will do.
func TestPagesAreAuditedByTheirRule(t *testing.T) {
	r := newRig(t)
	o := define(t, 0.99, false)
	r.promise(o, kiosk, tent)
	r.steps(7*60, func(at time.Time) { r.sells(kiosk, o, at, 1, 1, 40, 40) })
	r.steps(12, func(at time.Time) { r.sells(kiosk, o, at, 1, 1, 0, 40) })
	fired := r.now().Add(-time.Minute).UnixMilli()
	slow := "page/21600/1800"
	for id, rule := range map[string]string{"inc-hour": fast, "inc-six": slow, "inc-old": ""} {
		r.heard(Page{Source: kiosk, IncidentID: id, Objective: "checkout", Rule: rule, FiredMS: fired})
	}
	r.heard(Page{Source: kiosk, IncidentID: "inc-show", Objective: "checkout", Event: "gig", Rule: slo.EventRule().Key, FiredMS: fired})
	r.steps(5, func(at time.Time) { r.sells(kiosk, o, at, 1, 1, 40, 40) })
	r.review()
	got := map[string]Mark{}
	for _, a := range r.audit(AuditFilter{Venues: []string{kiosk.Venue}}) {
		got[a.IncidentID] = a.Mark
	}
	want := map[string]Mark{"inc-hour": Right, "inc-six": Wrong, "inc-old": Right, "inc-show": Wrong}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("marks (-want +got):\n%s", diff)
	}
	// The node tells the rule of a page that it had told without.
	r.heard(Page{Source: kiosk, IncidentID: "inc-old", Objective: "checkout", Rule: slow, FiredMS: fired})
	r.steps(5, nil)
	r.review()
	for _, a := range r.audit(AuditFilter{Marks: []Mark{Wrong}}) {
		delete(want, a.IncidentID)
	}
	if diff := cmp.Diff(map[string]Mark{"inc-hour": Right}, want); diff != "" {
		t.Errorf("not wrong once the rule is known (-want +got):\n%s", diff)
	}
}

// TestHeardNeedsWhatAPageIs and repeats change nothing.
func TestHeardNeedsWhatAPageIs(t *testing.T) {
	r := newRig(t)
	page := Page{Source: buffer.Source{Region: "uk", Venue: "soho"}, AlertID: "a", Objective: "checkout", FiredMS: 1}
	for _, spoil := range []func(*Page){func(p *Page) { p.AlertID = "" }, func(p *Page) { p.Objective = "" }, func(p *Page) { p.FiredMS = 0 }} {
		p := page
		spoil(&p)
		if err := r.room.Heard(t.Context(), p); err == nil {
			t.Errorf("%+v was taken", p)
		}
	}
	r.heard(page, page)
	page.ResolvedMS = 9
	r.heard(page)
	page.ResolvedMS = 0
	r.heard(page)
	got := r.audit(AuditFilter{Limit: 5})
	want := []Audited{{Page: Page{Source: page.Source, AlertID: "a", Objective: "checkout", FiredMS: 1, ResolvedMS: 9}, Scope: "uk/soho", Mark: Open, Why: notReviewed, AtMS: begin.UnixMilli()}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("audited (-want +got):\n%s", diff)
	}
}
