package web_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"ghostlight/buffer"
	"ghostlight/buffer/wire"
	"ghostlight/fleet/status/incidents"
	"ghostlight/fleet/status/statustest"
	"ghostlight/fleet/web/api"
	"ghostlight/internal/webui"
	"ghostlight/internal/webui/webuitest"
	"ghostlight/slo/incident"
)

func get(t *testing.T, h http.Handler, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

// pages are the addresses of a fleet's pages, those of its incidents among them.
func pages(t *testing.T, h http.Handler) []string {
	t.Helper()
	var l incidents.List
	if err := json.Unmarshal(get(t, h, "/api/fleet/v1/incidents").Body.Bytes(), &l); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, i := range slices.Concat(l.Open, l.Over) {
		out = append(out, "/incidents/"+i.ID)
		for _, m := range i.Members {
			out = append(out, "/incidents/"+m.ID)
		}
	}
	return append(out,
		"/", "/venues/soho", "/venues/brixton", "/venues/camden", "/venues/peckham", "/venues/leeds",
		"/objectives", "/objectives/checkout-success", "/events", "/events/e2f7kq5d/report", "/events/a81mzt0c/report", "/nowhere",
		"/incidents", "/incidents?venue=soho", "/mttr", "/mttr?venue=soho", "/objectives?venue=camden&known=2026-11-22T13:36",
		"/objectives/checkout-success?venue=soho&known=2026-11-22T13:36", "/objectives?event=e2f7kq5d",
	)
}

func TestPagesAreSoundHTML(t *testing.T) {
	h := handler(t, statustest.Night())
	for _, path := range pages(t, h) {
		t.Run(path, func(t *testing.T) {
			w := get(t, h, path)
			if path != "/nowhere" && w.Code != http.StatusOK {
				t.Fatalf("status %d: %s", w.Code, w.Body)
			}
			webuitest.Check(t, w.Body.String())
			policy := w.Header().Get("Content-Security-Policy")
			if !strings.HasPrefix(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
				t.Errorf("policy %q", policy)
			}
			webuitest.Keep(t, "fleet"+strings.NewReplacer("/", "_", "?", "_", "&", "_", ":", "").Replace(path)+".html", w.Body.Bytes())
		})
	}
}

func TestAssets(t *testing.T) {
	h := handler(t, statustest.Night())
	for name, contentType := range map[string]string{"style.css": "text/css; charset=utf-8", "live.js": "text/javascript; charset=utf-8"} {
		w := get(t, h, "/static/"+name)
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != contentType || w.Body.Len() == 0 {
			t.Errorf("%s: status %d, type %q, %d bytes", name, w.Code, w.Header().Get("Content-Type"), w.Body.Len())
		}
		webuitest.Keep(t, name, w.Body.Bytes())
		r := httptest.NewRequest(http.MethodGet, "/static/"+name, nil)
		r.Header.Set("If-None-Match", w.Header().Get("ETag"))
		again := httptest.NewRecorder()
		if h.ServeHTTP(again, r); again.Code != http.StatusNotModified {
			t.Errorf("%s again: status %d, want 304", name, again.Code)
		}
	}
}

func TestPagesOfAnEmptyFleet(t *testing.T) {
	h := handler(t, &statustest.Fleet{Clock: time.Date(2026, 11, 22, 14, 0, 0, 0, time.UTC)})
	for _, path := range []string{"/", "/objectives", "/events", "/incidents", "/mttr"} {
		w := get(t, h, path)
		if w.Code != http.StatusOK {
			t.Fatalf("%s: status %d: %s", path, w.Code, w.Body)
		}
		webuitest.Check(t, w.Body.String())
	}
	for _, path := range []string{"venues", "nodes", "objectives", "events"} {
		if got := strings.TrimSpace(get(t, h, "/api/fleet/v1/"+path).Body.String()); got != "[]" {
			t.Errorf("%s of an empty fleet: %s, want []", path, got)
		}
	}
}

func TestHostileNamesAreText(t *testing.T) {
	f := statustest.Night()
	const hostile = `<script>alert(1)</script>"'><img src=x onerror=alert(1)>`
	f.Shows[0].Name = hostile
	f.Views[1].Contact = hostile
	f.Views[1].Score.Contributors[0].Text = hostile
	f.Views[1].Journeys[0].Error = hostile
	f.HealList[4].Reason = hostile
	f.Defs[0].DisplayName = hostile
	f.Views[1].Heartbeat.PageURL = "javascript:alert(1)"
	for i, x := range f.Troubles {
		n := incident.Note{By: hostile, Text: hostile, AtMS: x.StartMS + 1, Acknowledges: true, Source: incident.Node}
		f.Troubles[i] = x.Note(n).Try(incident.Heal{ID: "x", Title: hostile, Result: hostile, AtMS: x.StartMS + 2}).Link(incident.Link{TraceID: "x/../y", Text: hostile, AtMS: x.StartMS + 3})
	}
	h := handler(t, f)
	for _, path := range pages(t, h) {
		body := get(t, h, path).Body.String()
		webuitest.Check(t, body)
		doc, err := html.Parse(strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for n := range doc.Descendants() {
			if n.Type == html.ElementNode && n.Data == "img" {
				t.Errorf("%s: an element was smuggled in", path)
			}
			for _, a := range n.Attr {
				if strings.HasPrefix(a.Key, "on") || strings.HasPrefix(strings.ToLower(a.Val), "javascript:") {
					t.Errorf("%s: attribute %s=%q", path, a.Key, a.Val)
				}
			}
		}
	}
}

func TestFourFactsStayApart(t *testing.T) {
	body := get(t, handler(t, statustest.Night()), "/").Body.String()
	for _, want := range []string{
		"#i-bad\"/></svg>failing", "#i-dark\"/></svg>dark", "#i-quiet\"/></svg>quiet", "#i-blind\"/></svg>blind", // word and shape
		"min known", "dark since",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the fleet page lacks %q", want)
		}
	}
}

func TestJSON(t *testing.T) {
	h := handler(t, statustest.Night())
	var nodes []map[string]any
	if err := json.Unmarshal(get(t, h, "/api/fleet/v1/nodes").Body.Bytes(), &nodes); err != nil {
		t.Fatal(err)
	}
	if len(nodes) != 8 {
		t.Fatalf("%d nodes, want 8", len(nodes))
	}
	for _, key := range []string{"region", "venue", "node", "live", "last_seen_ms", "dark_since_ms", "samples", "lost", "produced", "score", "dark_seconds_total", "heals"} {
		if _, ok := nodes[0][key]; !ok {
			t.Errorf("a node lacks %q", key)
		}
	}
	var rep map[string]any
	if err := json.Unmarshal(get(t, h, "/api/fleet/v1/events/e2f7kq5d/report").Body.Bytes(), &rep); err != nil {
		t.Fatal(err)
	}
	if n, ok := rep["sales"].(float64); !ok || n == 0 {
		t.Errorf("report has sales %v", rep["sales"])
	}
	for path, want := range map[string]int{
		"fleet": 200, "venues": 200, "venues/soho": 200, "venues/none": 404, "objectives": 200, "objectives/checkout-success": 200,
		"objectives/none": 404, "objectives/checkout-success?from=5&to=2": 400, "objectives/checkout-success?from=1795356000000&to=1795359600000": 200,
		"events": 200, "events/none/report": 404, "accepted?node=soho-1": 200, "nothing": 404,
	} {
		w := get(t, h, "/api/fleet/v1/"+path)
		if w.Code != want || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s: status %d, want %d: %s", path, w.Code, want, w.Body)
		}
	}
	var accepted []api.Accepted
	if err := json.Unmarshal(get(t, h, "/api/fleet/v1/accepted?node=soho-1").Body.Bytes(), &accepted); err != nil || len(accepted) != 1 || accepted[0].Samples != 90 {
		t.Errorf("accepted: %v, %v", accepted, err)
	}
	for query, want := range map[string]int{"": 2, "?origin=remote_write": 1, "?origin=all": 3, "?origin=otlp": 0} {
		if err := json.Unmarshal(get(t, h, "/api/fleet/v1/accepted"+query).Body.Bytes(), &accepted); err != nil || len(accepted) != want {
			t.Errorf("accepted%s: %v, %v", query, accepted, err)
		}
	}
}

func TestEventsNeedTheToken(t *testing.T) {
	h := handler(t, statustest.Night())
	post := func(path, token, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, "/api/fleet/v1/"+path, strings.NewReader(body))
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	for _, c := range []struct {
		path, token, body string
		want              int
	}{
		{"events", "", `{"name":"x","venues":["soho"]}`, 401},
		{"events", "wrong", `{"name":"x","venues":["soho"]}`, 401},
		{"events", "secret", `{"name":"x","venues":["soho"]}`, 201},
		{"events", "secret", `{"nmae":"x"}`, 400},
		{"events", "secret", `{"name":"","venues":[]}`, 400},
		{"events", "secret", `{`, 400},
		{"events/new/end", "", ``, 401},
		{"events/new/end", "secret", ``, 200},
		{"events/none/end", "secret", ``, 404},
	} {
		if w := post(c.path, c.token, c.body); w.Code != c.want || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s as %q with %s: status %d, want %d: %s", c.path, c.token, c.body, w.Code, c.want, w.Body)
		}
	}
}

func TestBooksThatCannotBeRead(t *testing.T) {
	f := statustest.Night()
	f.Err = errors.New("disk is on fire")
	h := handler(t, f)
	for _, path := range []string{"/", "/api/fleet/v1/venues", "/events/e2f7kq5d/report"} {
		w := get(t, h, path)
		if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "fire") {
			t.Errorf("%s: status %d: %s", path, w.Code, w.Body)
		}
	}
}

func TestLiveSendsWhatChanged(t *testing.T) {
	f := statustest.Night()
	srv := httptest.NewServer(handler(t, f))
	defer srv.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL+"/live?page=/", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Fatalf("content type %q", got)
	}
	buf := make([]byte, 64<<10)
	var got strings.Builder
	for !strings.Contains(got.String(), `"id":"live-venues"`) {
		n, err := resp.Body.Read(buf)
		got.Write(buf[:n])
		if err != nil {
			t.Fatalf("stream ended: %v after %s", err, got.String())
		}
	}
	for _, id := range []string{"live-now", "live-tiles"} {
		if !strings.Contains(got.String(), `"id":"`+id+`"`) {
			t.Errorf("the first period lacks %s", id)
		}
	}
	cancel()
	if _, err := io.Copy(io.Discard, resp.Body); !errors.Is(err, context.Canceled) {
		t.Errorf("after leaving: %v", err)
	}
	if w := get(t, handler(t, f), "/live?page=/venues/none"); w.Code != http.StatusNotFound {
		t.Errorf("live of an unknown page: status %d", w.Code)
	}
}

// What is odd about a node's way to the centre stands on its venue's page.
func TestVenuePageTellsWhatIsOdd(t *testing.T) {
	f := statustest.Night()
	for i := range f.Views {
		if v := &f.Views[i]; v.Venue == "soho" {
			v.Conflicts, v.ClockWrong, v.ClockOffset = 2, true, -3*time.Minute
			v.Heartbeat.Bandwidth = &wire.Bandwidth{DayBudget: 50_000_000, Withheld: map[buffer.Lane]string{buffer.Logs: wire.WithheldAll, buffer.Detail: wire.WithheldBacklog}}
		}
	}
	h := handler(t, f)
	body := get(t, h, "/venues/soho").Body.String()
	for _, want := range []string{"2 blocks refused", "clock is 3 min off", "withholds logs", "withholds the backlog of detail"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	for _, odd := range []string{"refused</b>", "off</b>", "withholds"} {
		if strings.Contains(get(t, h, "/venues/brixton").Body.String(), odd) {
			t.Errorf("a node that is well has %q", odd)
		}
	}
}

// Each page's live part goes where the page has room for it, and nothing that a
// reader fills in is ever swapped away.
func TestEachPageIsLive(t *testing.T) {
	h := handler(t, statustest.Night())
	left, leave := context.WithCancel(t.Context())
	leave() // the reader is gone after the first period
	for _, path := range pages(t, h) {
		page := get(t, h, path).Body.String()
		_, address, ok := strings.Cut(page, `data-live="`)
		if !ok {
			continue // a report, or no page
		}
		address, _, _ = strings.Cut(address, `"`)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, html.UnescapeString(address), nil).WithContext(left))
		swaps := 0
		for line := range strings.Lines(w.Body.String()) {
			data, ok := strings.CutPrefix(line, "data: ")
			if !ok {
				continue
			}
			var f webui.Fragment
			if err := json.Unmarshal([]byte(data), &f); err != nil {
				t.Fatal(err)
			}
			swaps++
			if !strings.Contains(page, `id="`+f.ID+`"`) {
				t.Errorf("%s has no room for %s", path, f.ID)
			}
			if strings.Contains(f.HTML, "<form") || strings.Contains(f.HTML, "<input") {
				t.Errorf("%s swaps a form in %s", path, f.ID)
			}
		}
		if swaps == 0 {
			t.Errorf("%s sends nothing: status %d: %s", path, w.Code, w.Body)
		}
	}
}
