package incidents_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ghostlight/fleet/status"
	"ghostlight/fleet/status/incidents"
	"ghostlight/fleet/status/statustest"
)

func views(t *testing.T, f *statustest.Fleet) *incidents.Views {
	t.Helper()
	costs, err := status.New(f.Options())
	if err != nil {
		t.Fatal(err)
	}
	v, err := incidents.New(f.Incidents(costs))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func list(t *testing.T, f *statustest.Fleet, q incidents.Query) incidents.List {
	t.Helper()
	l, err := views(t, f).List(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestListOfTheNight(t *testing.T) {
	l := list(t, statustest.Night(), incidents.Query{})
	says := func(rows []status.Incident) (out []string) {
		for _, i := range rows {
			out = append(out, i.Place()+" "+i.Tone()+", "+i.Says())
		}
		return out
	}
	if diff := cmp.Diff([]string{
		"brixton bad, taken on by Kim", "camden dark, nobody has taken it on", "hoxton warn, nobody has taken it on",
	}, says(l.Open)); diff != "" {
		t.Errorf("open (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"soho ok, over", "soho ok, over", "soho ok, over"}, says(l.Over)); diff != "" {
		t.Errorf("over (-want +got):\n%s", diff)
	}
	if r := l.Open[0].AtRisk; len(l.Open[0].Members) != 2 || r == nil || !r.Losing {
		t.Errorf("brixton: %d members, at risk %+v", len(l.Open[0].Members), r)
	}
	if r := l.Open[1].AtRisk; r == nil || r.Losing {
		t.Errorf("camden is unseen, not losing: %+v", r)
	}
	if r := l.Open[2].AtRisk; r != nil {
		t.Errorf("late settlement keeps nobody from buying: %+v", r)
	}
	if l.Headline.Says != "3 incidents go on, 2 worth waking somebody" {
		t.Errorf("headline %+v", l.Headline)
	}
	if some := list(t, statustest.Night(), incidents.Query{Venue: "camden"}); len(some.Open) != 1 || len(some.Over) != 0 || some.Headline.Says != "camden: node camden-1 is dark" {
		t.Errorf("of camden: %+v", some)
	}
}

func TestOneIncidentOnBothClocks(t *testing.T) {
	f := statustest.Night()
	l := list(t, f, incidents.Query{})
	v := views(t, f)
	get := func(id string) incidents.Detail {
		t.Helper()
		d, err := v.Incident(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	group := get(l.Open[0].ID)
	if !strings.HasPrefix(group.Headline.Says, "brixton: Checkout success and journey revenue-path fail, for 4 min now: about ") {
		t.Errorf("headline %q", group.Headline.Says)
	}
	if len(group.Evidence) != 1 || group.Evidence[0].Venue != "brixton" || len(group.Told) != 1 || len(group.Notes) != 1 || group.Contact == "" {
		t.Errorf("evidence %v, told %v, notes %v, contact %q", group.Evidence, group.Told, group.Notes, group.Contact)
	}
	for i, e := range group.Timeline {
		if i > 0 && e.AtMS < group.Timeline[i-1].AtMS {
			t.Errorf("%q stands before what happened earlier", e.Text)
		}
		if e.Kind == "stage" && e.About == "" {
			t.Errorf("%q does not say of which member", e.Text)
		}
	}
	if member := get(group.Members[0].ID); member.Gatherer != group.ID {
		t.Errorf("a member says it is gathered by %q", member.Gatherer)
	}

	// What soho went through alone in the dark was learnt when it was heard again.
	var alone incidents.Detail
	for _, i := range l.Over {
		if d := get(i.ID); strings.Contains(d.Headline.Detail, "The centre learnt of it") {
			alone = d
		}
	}
	if alone.ID == "" || alone.Stages[0].Clock != "node" || alone.Stages[0].ArrivedMS-alone.Stages[0].AtMS != (4*time.Minute+54*time.Second).Milliseconds() {
		t.Fatalf("the incident in the dark: %+v", alone.Stages)
	}
	for _, e := range alone.Timeline {
		if e.Kind == "stage" && e.LateMS() == 0 {
			t.Errorf("%q at %d does not say that it arrived late", e.Text, e.AtMS)
		}
	}
	if _, err := v.Incident(t.Context(), "inc-none"); !errors.Is(err, status.ErrUnknown) {
		t.Errorf("an unknown incident: %v", err)
	}
}

func TestMTTRShowsWhatIsNotReached(t *testing.T) {
	f := statustest.Night()
	m, err := views(t, f).MTTR(t.Context(), incidents.Query{})
	if err != nil {
		t.Fatal(err)
	}
	if m.All.N != 7 || m.All.Open != 4 || m.All.P90.Reached || !strings.HasPrefix(m.All.P90.Says, ">") {
		t.Errorf("all: %+v", m.All)
	}
	if len(m.Venues) != 4 || m.Venues[0].Venue != "hoxton" || m.Venues[3].Venue != "soho" && m.Venues[2].Venue != "soho" {
		t.Errorf("by venue: %+v", m.Venues)
	}
	if len(m.Open) != 3 || m.Curve.N != 7 || m.Curve.Ended != 3 || len(m.Curve.Steps) != 3 {
		t.Errorf("open %d, curve %+v", len(m.Open), m.Curve)
	}
	if !strings.Contains(m.Headline.Detail, "7 incidents, of which 4 not over") {
		t.Errorf("headline %+v", m.Headline)
	}
	for venue, want := range map[string]string{"soho": "Half of the incidents are over after 1 min 10 s, 9 in 10 after 6 min 48 s", "camden": "None of 1 incident is over yet"} {
		if m, err := views(t, f).MTTR(t.Context(), incidents.Query{Venue: venue}); err != nil || m.Headline.Says != want {
			t.Errorf("%s: %q (%v)", venue, m.Headline.Says, err)
		}
	}
}

// A fleet that keeps no incidents has pages that say so.
func TestWithoutABook(t *testing.T) {
	f := statustest.Night()
	o := f.Incidents(nil)
	if _, err := incidents.New(o); err == nil {
		t.Error("views without costs were made")
	}
	costs, err := status.New(f.Options())
	if err != nil {
		t.Fatal(err)
	}
	o.Book, o.Costs = nil, costs
	v, err := incidents.New(o)
	if err != nil {
		t.Fatal(err)
	}
	if l, err := v.List(t.Context(), incidents.Query{}); err != nil || l.Headline.Says != "No incident goes on" {
		t.Errorf("list %+v, %v", l, err)
	}
	if m, err := v.MTTR(t.Context(), incidents.Query{}); err != nil || m.All.N != 0 || m.Headline.Tone != "none" {
		t.Errorf("mttr %+v, %v", m, err)
	}
	if _, err := v.Incident(t.Context(), "x"); !errors.Is(err, status.ErrUnknown) {
		t.Errorf("incident: %v", err)
	}
}
