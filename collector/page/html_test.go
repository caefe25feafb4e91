package page_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"ghostlight/buffer"
	"ghostlight/collector/page"
	"ghostlight/internal/webui/webuitest"
)

func ptr[T any](v T) *T { return &v }

// evening is a node in the middle of a show.
func evening() page.Status {
	now := time.Date(2026, 11, 22, 14, 8, 20, 0, time.UTC)
	at := func(ago time.Duration) int64 { return now.Add(-ago).UnixMilli() }
	s := page.Status{
		Source: buffer.Source{Region: "london", Venue: "soho", Node: "soho-1"}, Session: "8123", Version: "0.1.0", NowMS: now.UnixMilli(), StartMS: at(3 * time.Hour),
		Uplink: page.Uplink{Up: true, SinceMS: at(2 * time.Hour)}, Lanes: map[buffer.Lane]page.Lane{},
		Health: page.Health{Known: true, Value: 97, State: "healthy"},
		Heals: page.Heals{Enabled: true, ChainOK: true, Recent: []page.Audit{
			{Seq: 2, AtMS: at(46 * time.Minute), Action: "restart edgecore-soho", Reason: "journey revenue-path failed 2 times in a row", Result: "succeeded", DurationMS: 6400},
			{Seq: 1, AtMS: at(90 * time.Minute), Action: "cache repair", Reason: "3 corrupt objects in the cache", Result: "succeeded", Detail: "3 objects fetched anew from the hub", DurationMS: 840},
		}},
		Targets: []page.Target{{Job: "edgecore", Instance: "127.0.0.1:7415", URL: "http://127.0.0.1:7415/metrics", Up: true, LastMS: at(3 * time.Second), DurationMS: 8.2, Samples: 143}},
		Edgecore: &page.Edgecore{
			Up: true, LastMS: at(time.Second), Ledger: "5b1c", Cursor: 4180, Head: 4180, Outcomes: 4180,
			LedgerOK: ptr(true), HubReachable: ptr(true), Pending: ptr(int64(2)), OldestSeconds: ptr(1.4), CorruptObjects: ptr(int64(0)),
		},
		Host: page.Host{CPUBusy: ptr(0.31), MemoryUsed: ptr(0.46), DiskUsed: ptr(0.61)},
	}
	for i, l := range buffer.Lanes() {
		n := int64(4200 * (i + 1))
		s.Lanes[l] = page.Lane{Produced: n, Acked: n}
	}
	j := page.Journey{Name: "revenue-path", Schedule: "@every 10s", Runs: 1080, Passed: 1077, LastMS: at(8 * time.Second), Pass: true, DurationMS: 71, LastPassMS: at(8 * time.Second), SuccessHour: 0.992, RunsHour: 360}
	for i, name := range []string{"check in", "catalogue", "order", "pay", "verify receipt", "relay", "refund"} {
		j.Steps = append(j.Steps, page.Step{Name: name, Pass: true, DurationMS: float64(4 + 3*i), Status: 200})
	}
	s.Journeys = []page.Journey{j}
	o := page.Objective{
		Name: "checkout-success", DisplayName: "Checkout success", Target: 0.99, Source: "outcomes of kind payment", Good: 340, Total: 341, Known: true, SLI: 340.0 / 341,
		Measured: 57, Gap: 2, Pending: 1, FromMS: now.Truncate(time.Minute).Add(-59 * time.Minute).UnixMilli(), ToMS: now.Truncate(time.Minute).Add(time.Minute).UnixMilli(),
	}
	for i := range int64(59) {
		m := page.Minute{StartMS: o.FromMS + i*60_000, Good: 5 + i%3, Total: 5 + i%3, State: "measured"}
		switch {
		case i == 11 || i == 12:
			m = page.Minute{StartMS: m.StartMS, State: "gap"}
		case i%19 == 7:
			m.Good, m.Total, m.State = 0, 0, "quiet"
		case i == 40:
			m.Good--
		}
		o.Minutes = append(o.Minutes, m)
	}
	o.Sales, o.Window, o.Burn = true, "28d rolling", 0
	o.Budget = &page.Budget{FromMS: at(28 * 24 * time.Hour), ToMS: at(0), Good: 41_812, Total: 41_980, Known: true, SLI: 0.996, Left: 0.6, Verdict: "undetermined"}
	o.Show = &page.ShowBudget{ID: "ev-7", Name: "Hamlet", Good: 340, Total: 341, Allowed: 8.2, Forecast: 480}
	s.Objectives = []page.Objective{o, {Name: "uplink-availability", DisplayName: "Uplink", Target: 0.95, Source: "minutes in contact", Central: true}}
	s.Shows = []page.Show{
		{ID: "ev-6", Name: "Matinee", DoorsMS: at(6 * time.Hour), StartMS: at(5 * time.Hour), EndMS: at(3 * time.Hour)},
		{ID: "ev-7", Name: "Hamlet", DoorsMS: at(2 * time.Hour), StartMS: at(time.Hour), EndMS: at(-2 * time.Hour)},
		{ID: "ev-8", Name: "The Tempest", DoorsMS: at(-23 * time.Hour), StartMS: at(-24 * time.Hour)},
	}
	failed := at(47 * time.Minute)
	s.Incidents = []page.Incident{{
		ID: "inc-1", Cause: "journey", Name: "revenue-path", Title: "revenue-path", Urgency: "page", Sales: true, Lasted: 68_000,
		Spells: []page.Spell{{FailedMS: failed, DetectedMS: failed + 20_000, MitigatedMS: failed + 60_000, ParityMS: failed + 68_000}},
		Tried:  []page.Try{{AtMS: failed + 21_000, Title: "unit restart", Result: "succeeded"}},
	}}
	return s
}

// sold is a node at which the journey passes and visitors cannot pay.
func sold() page.Status {
	s := evening()
	failed := time.Date(2026, 11, 22, 14, 2, 0, 0, time.UTC).UnixMilli()
	s.Incidents = append([]page.Incident{{
		ID: "inc-2", Cause: "objective", Name: "checkout-success", Title: "Checkout success", Urgency: "page", Sales: true, Open: true, Lasted: 380_000,
		Spells: []page.Spell{{FailedMS: failed, DetectedMS: failed + 16_000}},
		Tried:  []page.Try{{AtMS: failed + 30_000, Title: "unit restart", Result: "failed: the journey still fails"}},
	}}, s.Incidents...)
	s.Alerts = []page.Alert{
		{ID: "a", Objective: "checkout-success", Title: "Checkout success", Rule: "page/3600/300", Urgency: "page", FiredMS: failed + 16_000, WindowMS: 3_600_000, Burn: 31.4, Allowed: 13.4, LastsMS: 77_000_000, Incident: "inc-2"},
		{ID: "b", Objective: "relay-latency", Title: "Interaction latency", Rule: "ticket/86400/7200", Urgency: "ticket", FiredMS: failed - 3_000_000, WindowMS: 86_400_000, Burn: 4, Allowed: 2.8, Incident: "inc-0", Over: true},
	}
	s.Objectives[0].Burn, s.Objectives[0].Budget.Left = 63, -0.4
	s.Objectives[0].Show.Good = 320
	return s
}

// cut is the same node when its uplink is down and payments fail.
func cut() page.Status {
	s := evening()
	s.Uplink = page.Uplink{SinceMS: time.Date(2026, 11, 22, 14, 5, 3, 0, time.UTC).UnixMilli(), LastError: "dial tcp 10.8.0.1:7600: connect: no route to host"}
	s.Lanes[buffer.Revenue] = page.Lane{Produced: 4260, Acked: 4200, Waiting: 60, Blocks: 41, Bytes: 31_000}
	s.Lanes[buffer.Detail] = page.Lane{Produced: 12_600, Acked: 11_450, Waiting: 1144, Lost: 6, LostBy: map[string]int64{"disk budget": 6}, Blocks: 22, Bytes: 190_000}
	s.Health = page.Health{Known: true, Value: 44, State: "degraded", Unknown: []string{"battery_ratio"}, Caps: []string{"ledger not writable (at most 20)"}, Contributors: []page.Contributor{
		{Signal: "journey_success", Text: "3 of the last 4 journeys failed for 1 min 8 s (-35)", Value: 0.25, Penalty: 35},
		{Signal: "relay_up", Text: "the relay does not answer (-12)", Value: 0, Penalty: 12},
	}}
	j := &s.Journeys[0]
	j.Pass, j.FailedStep, j.Error, j.Failures = false, "pay", "expected status 201, got 503: ledger is not writable", 7
	j.Steps = append([]page.Step{}, j.Steps[:4]...)
	j.Steps[3] = page.Step{Name: "pay", DurationMS: 212, Status: 503, Error: j.Error}
	s.Edgecore.LedgerOK, s.Edgecore.HubReachable, s.Edgecore.Pending = ptr(false), ptr(false), ptr(int64(31))
	return s
}

func render(t *testing.T, s page.Status) string {
	t.Helper()
	var b bytes.Buffer
	if err := page.Render(&b, s); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestRender(t *testing.T) {
	quietNode := evening()
	quietNode.Journeys = nil
	stale := evening()
	stale.Journeys[0].LastMS -= time.Hour.Milliseconds()
	down := evening()
	down.Edgecore.Up, down.Edgecore.Error, down.Journeys = false, "connection refused", nil
	works := sold()
	works.Incidents[0].Spells[0].MitigatedMS = works.Incidents[0].Spells[0].FailedMS + 200_000
	other := sold()
	other.Incidents[0].Sales, other.Incidents[0].Name, other.Incidents[0].Title = false, "relay-latency", "Interaction latency"
	metered := evening()
	metered.Uplink.Mode = "post"
	metered.Uplink.Bandwidth = &page.Bandwidth{DayBytes: 9 << 20, DayBudget: 10 << 20, Withheld: map[buffer.Lane]string{buffer.Detail: "backlog", buffer.Logs: "all"}}
	metered.Lanes[buffer.Logs] = page.Lane{RecordsLostBy: map[string]int64{"sampled": 31}}
	// The journey failed too often of late, and passes now.
	ran := sold()
	ran.Incidents[0].Name, ran.Incidents[0].Title, ran.Incidents[0].Runs = "checkout-journey", "Checkout journey", true
	for _, c := range []struct {
		name   string
		status page.Status
		want   []string
		not    []string
	}{
		{"well", evening(), []string{"Checkout works here", "57 of 60 min known", "revenue-path passed 8 s ago", "Hamlet", "on now", "The Tempest", "open end", "60 % left", "1 failure, 8.2 allowed", "Only the centre can count Uplink", "lasted 1 min 8 s", "no incident"}, []string{"Centre unreachable", "What to do next", "Matinee", "What fails now"}},
		{"cut", cut(), []string{"Checkout fails here: revenue-path stops at step pay", "Centre unreachable since", "1,204 samples waiting safely", "What to do next", "do not take a card twice", "The ledger cannot be written"}, []string{"Checkout works here"}},
		{"stale", stale, []string{"Nobody can tell whether checkout works here"}, []string{"Checkout works here"}},
		{"no-journey", quietNode, []string{"only its signals vouch for it"}, []string{"Checkout works here"}},
		{"edgecore-down", down, []string{"edgecore does not answer"}, []string{"Checkout works here"}},
		{"metered", metered, []string{"9.0 MiB", "10.0 MiB", "backlog waits for tomorrow", "31 records sampled", "lets no stream through", "bandwidth is nearly used up"}, []string{"Centre unreachable"}},
		{"sales-fail", sold(), []string{
			"Sales fail here: Checkout success burns its budget", "31×", "all of it would be gone in 21 h", "wakes somebody", "not yet", "unit restart at", "the journey still fails",
			"Take one order by hand", "Still counted, and over by itself: Interaction latency", "burning 63× too fast", "overspent: 1.4×", "21 failures, 8.2 allowed", "1 incident goes on",
		}, []string{"Checkout works here"}},
		{"journey-burns", ran, []string{"Checkout works here, with something wrong", "Checkout journey burns its budget"}, []string{"Sales fail here"}},
		{"works-again", works, []string{"Checkout works here", "works again; not all is settled yet", "nothing left behind"}, []string{"Sales fail here"}},
		{"other-fails", other, []string{"Checkout works here, with something wrong", "Interaction latency burns its budget", "Sales are not affected"}, []string{"Sales fail here"}},
		{"nothing", page.Status{}, []string{"It is not known how this node is"}, []string{"Checkout works here", ">0 %"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := render(t, c.status)
			webuitest.Check(t, got)
			webuitest.Keep(t, "node_"+c.name+".html", []byte(got))
			for _, w := range c.want {
				if !strings.Contains(got, w) {
					t.Errorf("the page lacks %q", w)
				}
			}
			for _, n := range c.not {
				if strings.Contains(got, n) {
					t.Errorf("the page says %q", n)
				}
			}
		})
	}
}

func TestRenderHostileText(t *testing.T) {
	const hostile = `</script><img src=x onerror=alert(1)>`
	s := cut()
	s.Source.Venue, s.Uplink.LastError, s.Journeys[0].Error, s.Heals.Recent[0].Reason = hostile, hostile, hostile, hostile
	s.Targets[0].URL, s.Objectives[0].DisplayName, s.Health.Contributors[0].Text = hostile, hostile, hostile
	s.Incidents = sold().Incidents
	for i := range s.Incidents {
		is := &s.Incidents[i]
		is.Title, is.Tried[0].Result, is.Links = hostile, hostile, []page.Evidence{{Text: hostile, TraceID: hostile}}
	}
	s.Shows[1].Name, s.Objectives[0].Show.Name, s.Objectives[0].Window = hostile, hostile, hostile
	got := render(t, s)
	webuitest.Check(t, got)
	doc, err := html.Parse(strings.NewReader(got))
	if err != nil {
		t.Fatal(err)
	}
	for n := range doc.Descendants() {
		if n.Type == html.ElementNode && n.Data == "img" {
			t.Error("an element was smuggled in")
		}
	}
}
