package report_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"ghostlight/fleet/events"
	"ghostlight/fleet/registry"
	"ghostlight/fleet/report"
	"ghostlight/fleet/status"
	"ghostlight/fleet/status/statustest"
	"ghostlight/internal/webui/webuitest"
	"ghostlight/slo"
)

func maker(t *testing.T, f *statustest.Fleet) *report.Maker {
	t.Helper()
	o := f.Options()
	m, err := report.New(report.Options{
		Nodes: o.Nodes, History: o.History, Sales: o.Sales, Ledger: o.Ledger, Calendar: o.Calendar, Incidents: f.Incidents(nil).Book, Auditor: f, Now: f.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func reportOf(t *testing.T, f *statustest.Fleet, id string) report.Report {
	t.Helper()
	r, err := maker(t, f).Report(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestReportOfANight(t *testing.T) {
	r := reportOf(t, statustest.Night(), "e2f7kq5d")
	if r.Complete || !r.Ongoing || len(r.Awaiting) == 0 {
		t.Errorf("an event that goes on with a dark venue: complete %t, awaiting %v", r.Complete, r.Awaiting)
	}
	var sum int64
	for _, v := range r.Venues {
		sum += v.Totals.Sales
	}
	if r.Sales == 0 || r.Sales != sum || r.Sales != r.Totals.Sales {
		t.Errorf("sales %d, by venue %d, totals %d", r.Sales, sum, r.Totals.Sales)
	}
	soho := slices.IndexFunc(r.Dark, func(d report.Dark) bool { return d.Venue == "soho" })
	if soho < 0 || r.Dark[soho].Sales == 0 || r.Dark[soho].Pending != 0 || r.Dark[soho].JourneyRuns == 0 {
		t.Errorf("dark times %+v: soho sold on, and all of it has landed", r.Dark)
	}
	i := slices.IndexFunc(r.Heals, func(h report.Heal) bool { return h.Venue == "soho" })
	if i < 0 || r.Heals[i].TookMS() != 60_000 {
		t.Errorf("heals %+v: soho's journey failed at 13:22:20 and passed at 13:23:20", r.Heals)
	}
	if !slices.IsSortedFunc(r.Timeline, func(a, b report.Entry) int { return int(a.AtMS - b.AtMS) }) {
		t.Error("the timeline is not in order")
	}
	for _, want := range []string{"Give soho a second way to the centre", "Go through the failed payments of brixton", "Repair step pay of revenue-path at brixton"} {
		if !slices.ContainsFunc(r.Advice, func(a report.Advice) bool { return a.Text == want && a.Because != "" }) {
			t.Errorf("no advice %q in %v", want, r.Advice)
		}
	}
}

// What lands late is in the next report, and only then is it complete.
func TestReportIsMadeAnewFromWhatLanded(t *testing.T) {
	f := statustest.Night()
	f.Shows[0].EndMS = f.Clock.Add(-time.Minute).UnixMilli()
	before := reportOf(t, f, "e2f7kq5d")
	if before.Complete {
		t.Fatal("complete while camden is dark")
	}
	camden := slices.IndexFunc(f.Views, func(v registry.View) bool { return v.Venue == "camden" })
	f.Views[camden].Presence, f.Views[camden].Live = registry.Live, true
	for i := range f.Darks {
		f.Darks[i].End = f.Clock
	}
	node := f.Views[camden].Source.String()
	for m := int64(0); m < 5; m++ {
		minute := slo.MinuteOf(f.Clock) - m
		t := f.Sold["camden"][minute]
		t.Sales += 2
		t.AmountMinor = map[string]int64{"EUR": 3000}
		f.Sold["camden"][minute] = t
		f.Buckets["checkout-success"][node] = append(f.Buckets["checkout-success"][node], slo.Bucket{
			Objective: "checkout-success", Hash: f.Defs[0].Hash, Minute: minute, Revision: 2, State: slo.Measured, Observed: 60, Good: 2, Total: 2,
		})
	}
	after := reportOf(t, f, "e2f7kq5d")
	if !after.Complete || len(after.Awaiting) != 0 {
		t.Errorf("everything landed, and it awaits %v", after.Awaiting)
	}
	if after.Sales <= before.Sales {
		t.Errorf("%d sales before, %d after the backlog landed", before.Sales, after.Sales)
	}
}

func TestReportWithoutAnything(t *testing.T) {
	f := statustest.Night()
	empty := &statustest.Fleet{Clock: f.Clock, Shows: f.Shows}
	r := reportOf(t, empty, "a81mzt0c")
	if r.Sales != 0 || r.Conversion != nil || r.Headline.Tone == "ok" {
		t.Errorf("an event nothing is known of: %+v", r.Headline)
	}
	check(t, r)
}

func TestUnknownEvent(t *testing.T) {
	if _, err := maker(t, statustest.Night()).Report(t.Context(), "none"); !errors.Is(err, status.ErrUnknown) {
		t.Errorf("error %v", err)
	}
	f := statustest.Night()
	f.Err = errors.New("disk is on fire")
	if _, err := maker(t, f).Report(t.Context(), "e2f7kq5d"); err == nil || errors.Is(err, status.ErrUnknown) {
		t.Errorf("error %v", err)
	}
	if _, err := report.New(report.Options{}); err == nil {
		t.Error("a maker without books was made")
	}
}

func check(t *testing.T, r report.Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := report.Render(&b, r, ""); err != nil {
		t.Fatal(err)
	}
	webuitest.Check(t, b.String())
	return b.String()
}

func TestRenderIsSelfContained(t *testing.T) {
	r := reportOf(t, statustest.Night(), "e2f7kq5d")
	r.Event.Name = `<img src=x onerror=alert(1)>`
	r.Awaiting = append(r.Awaiting, `<script>alert(1)</script>`)
	got := check(t, r)
	for _, banned := range []string{"<img", "<script", "/static/", `href="/`, "http://", "https://"} {
		if strings.Contains(got, banned) {
			t.Errorf("the report has %q", banned)
		}
	}
	for _, want := range []string{"This report is not complete yet", "min known", "Content-Security-Policy"} {
		if !strings.Contains(got, want) {
			t.Errorf("the report lacks %q", want)
		}
	}
}

// The report tells of each incident of its venues how long recovery took, and of each
// page whether it was right.
func TestReportTellsOfIncidentsAndPages(t *testing.T) {
	r := reportOf(t, statustest.Night(), "e2f7kq5d")
	var got []string
	for _, i := range r.Incidents {
		got = append(got, i.Place()+" "+i.Says())
	}
	want := []string{"soho over", "soho over", "soho over", "brixton taken on by Kim", "camden nobody has taken it on"}
	if !slices.Equal(got, want) {
		t.Errorf("incidents %q, want %q", got, want)
	}
	if r.Restored.N != 6 || r.Restored.Open != 3 || r.Restored.Median.MS == 0 {
		t.Errorf("restored %+v", r.Restored)
	}
	if r.Pages.Right != 1 || r.Pages.Open != 1 || r.Pages.Wrong != 0 {
		t.Errorf("pages %+v: hoxton is not of this event", r.Pages)
	}
	if !strings.Contains(r.Headline.Detail, "3 of them not over") {
		t.Errorf("headline %+v", r.Headline)
	}
	page := check(t, r)
	for _, text := range []string{"Incidents, and how long recovery took", "sales unaffected: 41 sales went through meanwhile", "Who was woken, and whether that was right"} {
		if !strings.Contains(page, text) {
			t.Errorf("the report does not say %q", text)
		}
	}
}

// What late data changed after the show had ended is told as restated.
func TestReportSaysWhatIsRestated(t *testing.T) {
	f := statustest.Night()
	f.Shows = append(f.Shows, events.Event{ID: "short", Name: "Short", Venues: []string{"dalston"}, StartMS: f.Clock.Add(-48 * time.Minute).Truncate(time.Minute).UnixMilli(), EndMS: f.Clock.Add(-38 * time.Minute).Truncate(time.Minute).UnixMilli()})
	before := reportOf(t, f, "short")
	f.Revise("checkout-success", "london/dalston/dalston-1", slo.Bucket{Minute: slo.MinuteOf(f.Clock.Add(-43 * time.Minute)), Total: 9}, f.Clock.Add(-18*time.Minute))
	after := reportOf(t, f, "short")
	if before.Objectives[0].Restated || !after.Objectives[0].Restated || after.Objectives[0].Verdict != "missed" {
		t.Errorf("before %+v\nafter %+v", before.Objectives[0].SLI, after.Objectives[0].SLI)
	}
	if !strings.Contains(after.Headline.Detail, "Restated by late data: Checkout success.") {
		t.Errorf("headline %+v", after.Headline)
	}
}
