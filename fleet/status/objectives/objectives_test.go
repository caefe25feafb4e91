package objectives_test

import (
	"errors"
	"testing"
	"time"

	"ghostlight/fleet/events"
	"ghostlight/fleet/status"
	"ghostlight/fleet/status/objectives"
	"ghostlight/fleet/status/statustest"
	"ghostlight/slo"
)

func views(t *testing.T, f *statustest.Fleet) *objectives.Views {
	t.Helper()
	v, err := objectives.New(f.Objectives())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func at(h, m int) time.Time { return time.Date(2026, 11, 22, h, m, 0, 0, time.UTC) }

// Each objective says how it stands over its own window and over the last hour.
func TestObjectivesOverTheirOwnWindow(t *testing.T) {
	f := statustest.Night()
	l, err := views(t, f).List(t.Context(), objectives.Query{})
	if err != nil {
		t.Fatal(err)
	}
	o := l.List[0]
	if hour := time.Duration(o.ToMS-o.FromMS) * time.Millisecond; hour != time.Hour {
		t.Errorf("the last hour is %s", hour)
	}
	if own := time.Duration(o.Own.ToMS-o.Own.FromMS) * time.Millisecond; own < 28*24*time.Hour-time.Minute {
		t.Errorf("its own window is %s", own)
	}
	if o.Own.Total <= o.Total || o.Own.Coverage() <= 0 || o.Own.Coverage() >= 1 {
		t.Errorf("own window %d of the hour's %d, coverage %g", o.Own.Total, o.Total, o.Own.Coverage())
	}
	if o.Own.Burn.PagesAt == 0 || float64(o.Own.Burn.Rate) <= 0 {
		t.Errorf("burn %+v", o.Own.Burn)
	}
	for query, want := range map[objectives.Query]int{
		{Venue: "brixton"}:                    1,
		{Venue: "leeds"}:                      0, // never heard: nobody counts there
		{Region: "london"}:                    1,
		{Event: "e2f7kq5d"}:                   1,
		{Event: "a81mzt0c", Venue: "dalston"}: 1,
	} {
		some, err := views(t, f).List(t.Context(), query)
		if err != nil || len(some.List) != want {
			t.Errorf("%+v: %d objectives, want %d (%v)", query, len(some.List), want, err)
		}
	}
	for _, query := range []objectives.Query{{Venue: "none"}, {Region: "none"}, {Event: "none"}, {Event: "a81mzt0c", Venue: "brixton"}} {
		if _, err := views(t, f).List(t.Context(), query); !errors.Is(err, status.ErrUnknown) {
			t.Errorf("%+v: %v", query, err)
		}
	}
}

func TestObjectiveOverAShowIsTheShows(t *testing.T) {
	d, err := views(t, statustest.Night()).Objective(t.Context(), "checkout-success", objectives.Query{Event: "a81mzt0c"})
	if err != nil {
		t.Fatal(err)
	}
	if d.Own.FromMS != at(13, 14).UnixMilli() || d.Own.ToMS != at(13, 56).Add(30*time.Second).UnixMilli() || len(d.Venues) != 2 {
		t.Errorf("from %d to %d at %d venues", d.Own.FromMS, d.Own.ToMS, len(d.Venues))
	}
	if len(d.Events) != 2 || d.Events[1].Total != d.Own.Total {
		t.Errorf("events %+v, the show itself has %d", d.Events, d.Own.Total)
	}
}

// What soho told after it was dark is known now, and was not known meanwhile.
func TestKnownThen(t *testing.T) {
	f := statustest.Night()
	v := views(t, f)
	q := objectives.Query{Venue: "soho", Known: at(13, 36)}
	d, err := v.Objective(t.Context(), "checkout-success", q)
	if err != nil {
		t.Fatal(err)
	}
	if d.Own.Then == nil || d.Own.Then.Minutes.Pending == 0 || d.Own.Minutes.Pending != 0 || d.Own.Total <= d.Own.Then.Total {
		t.Errorf("then %+v\nnow %+v", d.Own.Then, d.Own.SLI)
	}
	q.From, q.To = at(13, 10), at(13, 40)
	h, err := v.History(t.Context(), "checkout-success", q)
	if err != nil {
		t.Fatal(err)
	}
	if len(h.Points) != len(h.Now) || len(h.Points) != 31 || h.Differs == 0 || len(h.Chart.Lines) != 2 {
		t.Errorf("%d points then, %d now, %d differ", len(h.Points), len(h.Now), h.Differs)
	}
	r, err := v.Revisions(t.Context(), "checkout-success", objectives.Query{})
	if err != nil || len(r.List) == 0 {
		t.Fatalf("revisions %+v, %v", r, err)
	}
	for _, x := range r.List {
		if x.Venue != "soho" || x.Cause != "reconnected" || x.LateMS < time.Minute.Milliseconds() || x.Was != nil || x.Is.State != "measured" {
			t.Errorf("revision %+v", x)
		}
	}
}

func TestAuditCounts(t *testing.T) {
	a, err := views(t, statustest.Night()).Audit(t.Context(), "checkout-success", objectives.Query{})
	if err != nil || a.Right != 1 || a.Wrong != 1 || a.Missed != 0 || a.Open != 1 || len(a.List) != 3 {
		t.Errorf("%+v, %v", a, err)
	}
	f := statustest.Night()
	o := f.Objectives()
	o.Auditor = nil
	v, err := objectives.New(o)
	if err != nil {
		t.Fatal(err)
	}
	if a, err := v.Audit(t.Context(), "checkout-success", objectives.Query{}); err != nil || len(a.List) != 0 {
		t.Errorf("nobody audits: %+v, %v", a, err)
	}
}

func TestUnknownObjective(t *testing.T) {
	v := views(t, statustest.Night())
	for what, ask := range map[string]func() error{
		"objective": func() error { _, err := v.Objective(t.Context(), "none", objectives.Query{}); return err },
		"history":   func() error { _, err := v.History(t.Context(), "none", objectives.Query{}); return err },
		"revisions": func() error { _, err := v.Revisions(t.Context(), "none", objectives.Query{}); return err },
		"audit":     func() error { _, err := v.Audit(t.Context(), "none", objectives.Query{}); return err },
	} {
		if err := ask(); !errors.Is(err, status.ErrUnknown) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A show's verdict that was final and that late data changed says so.
func TestRestatedShow(t *testing.T) {
	f := statustest.Night()
	f.Shows = append(f.Shows, events.Event{ID: "short", Name: "Short", Venues: []string{"dalston"}, StartMS: at(13, 20).UnixMilli(), EndMS: at(13, 30).UnixMilli()})
	f.Revise("checkout-success", "london/dalston/dalston-1", slo.Bucket{Minute: slo.MinuteOf(at(13, 25)), Good: 0, Total: 9}, at(13, 50))
	d, err := views(t, f).Objective(t.Context(), "checkout-success", objectives.Query{Event: "short"})
	if err != nil {
		t.Fatal(err)
	}
	if d.Own.Verdict != "missed" || !d.Own.Final || !d.Own.Restated {
		t.Errorf("verdict %s, final %t, restated %t", d.Own.Verdict, d.Own.Final, d.Own.Restated)
	}
}

func TestRegionsAreJudgedWhereThereAreSeveral(t *testing.T) {
	f := statustest.Night()
	if d, err := views(t, f).Objective(t.Context(), "checkout-success", objectives.Query{}); err != nil || len(d.Regions) != 0 {
		t.Errorf("a fleet of one region: %+v, %v", d.Regions, err)
	}
	for i := range f.Views {
		if f.Views[i].Venue == "hoxton" {
			old := f.Views[i].Source.String()
			f.Views[i].Region = "north"
			f.Buckets["checkout-success"][f.Views[i].Source.String()] = f.Buckets["checkout-success"][old]
		}
	}
	for i := range f.Defs[0].Nodes {
		if f.Defs[0].Nodes[i].Venue == "hoxton" {
			f.Defs[0].Nodes[i].Region = "north"
		}
	}
	d, err := views(t, f).Objective(t.Context(), "checkout-success", objectives.Query{})
	if err != nil || len(d.Regions) != 2 {
		t.Fatalf("regions %+v, %v", d.Regions, err)
	}
	if sum := d.Regions[0].Own.Total + d.Regions[1].Own.Total; sum != d.Own.Total || d.Regions[1].Region != "north" || d.Regions[1].Own.Total == 0 {
		t.Errorf("the regions have %d together, the fleet %d", sum, d.Own.Total)
	}
}
