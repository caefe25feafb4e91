package web_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"ghostlight/fleet/status/incidents"
	"ghostlight/fleet/status/statustest"
	"ghostlight/fleet/web/api"
	"ghostlight/internal/webui/webuitest"
)

// send makes a call that changes something, with the token.
func send(t *testing.T, h http.Handler, method, path, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, api.Prefix+path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer secret")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// camden is the id of the dark venue's incident.
func camden(t *testing.T, h http.Handler) string {
	t.Helper()
	var l incidents.List
	if err := json.Unmarshal(get(t, h, "/api/fleet/v1/incidents?venue=camden&open=true").Body.Bytes(), &l); err != nil || len(l.Open) != 1 {
		t.Fatalf("camden has %d incidents (%v)", len(l.Open), err)
	}
	return l.Open[0].ID
}

// The form works without scripts, and only with the token, which is never shown.
func TestTakingOnByForm(t *testing.T) {
	h := handler(t, statustest.Night())
	id := camden(t, h)
	post := func(id string, form url.Values) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, "/incidents/"+id+"/act", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	good := url.Values{"by": {"Asha"}, "text": {"driving there"}, "token": {"secret"}, "do": {"ack"}}
	with := func(key, value string) url.Values {
		out := url.Values{}
		for k, v := range good {
			out[k] = v
		}
		out.Set(key, value)
		return out
	}
	for name, c := range map[string]struct {
		id   string
		form url.Values
		want int
	}{
		"no token":             {id, with("token", ""), http.StatusUnauthorized},
		"another token":        {id, with("token", "guess"), http.StatusUnauthorized},
		"no name":              {id, with("by", ""), http.StatusBadRequest},
		"something else":       {id, with("do", "delete"), http.StatusBadRequest},
		"another incident":     {"inc-none", good, http.StatusNotFound},
		"more than is allowed": {id, with("text", strings.Repeat("x", 20<<10)), http.StatusBadRequest},
	} {
		w := post(c.id, c.form)
		if w.Code != c.want || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%s: status %d, want %d", name, w.Code, c.want)
		}
		webuitest.Check(t, w.Body.String())
	}
	if body := get(t, h, "/incidents/"+id).Body.String(); strings.Contains(body, "Asha took it on") {
		t.Fatal("it was taken on by somebody who may not")
	}
	if w := post(id, good); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/incidents/"+id {
		t.Fatalf("status %d, to %q", w.Code, w.Header().Get("Location"))
	}
	body := get(t, h, "/incidents/"+id).Body.String()
	for _, want := range []string{"Asha took it on", "driving there", "Taken on by Asha"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

func TestIncidentCalls(t *testing.T) {
	f := statustest.Night()
	o := options(t, f)
	planned := []string{}
	o.Desk = plans{desk{f}, &planned}
	h := serve(t, o)
	id := camden(t, h)
	for path, c := range map[string]struct {
		body string
		want int
	}{
		"incidents/" + id + "/notes": {`{"by":"Kim","text":"rang the carrier"}`, http.StatusOK},
		"incidents/" + id + "/close": {`{"by":"Kim"}`, http.StatusOK},
		"incidents/none/ack":         {`{"by":"Kim"}`, http.StatusNotFound},
		"incidents/" + id + "/ack":   {`{"by":""}`, http.StatusBadRequest},
		"incidents/x/ack":            {`{"who":"Kim"}`, http.StatusBadRequest},
		"plans":                      {`{"venue":"soho","from_ms":1795356000000,"to_ms":1795359600000,"by":"Kim"}`, http.StatusNoContent},
	} {
		if w := send(t, h, http.MethodPost, path, c.body); w.Code != c.want {
			t.Errorf("%s: status %d, want %d: %s", path, w.Code, c.want, w.Body)
		}
	}
	if len(planned) != 1 || planned[0] != "soho by Kim for 1h0m0s" {
		t.Errorf("planned %q", planned)
	}
	for _, body := range []string{`{"by":"Kim"}`, `{"venue":"a","incident":"b","by":"Kim"}`} {
		if w := send(t, h, http.MethodPost, "plans", body); w.Code != http.StatusBadRequest {
			t.Errorf("plan %s: status %d", body, w.Code)
		}
	}
	if body := get(t, h, "/incidents/"+id).Body.String(); !strings.Contains(body, "rang the carrier") {
		t.Error("the page does not show the note")
	}
	// A centre that keeps no incidents, or tells nobody, says so.
	o.Desk, o.Silences = nil, nil
	bare := serve(t, o)
	for _, path := range []string{"incidents/" + id + "/ack", "plans", "silences"} {
		if w := send(t, bare, http.MethodPost, path, `{"by":"Kim"}`); w.Code != http.StatusNotImplemented && w.Code != http.StatusBadRequest {
			t.Errorf("%s: status %d: %s", path, w.Code, w.Body)
		}
	}
}

func TestSilences(t *testing.T) {
	h := handler(t, statustest.Night())
	if w := send(t, h, http.MethodPost, "silences", `{"matchers":[]}`); w.Code != http.StatusBadRequest {
		t.Errorf("without matchers: status %d", w.Code)
	}
	made := send(t, h, http.MethodPost, "silences", `{"matchers":[{"label":"venue","value":"soho"}],"from":"2026-11-22T14:00:00Z","to":"2026-11-22T16:00:00Z","by":"Kim"}`)
	if made.Code != http.StatusCreated || !strings.Contains(made.Body.String(), `"id":"s1"`) {
		t.Fatalf("status %d: %s", made.Code, made.Body)
	}
	if got := get(t, h, "/api/fleet/v1/silences").Body.String(); !strings.Contains(got, `"by":"Kim"`) {
		t.Errorf("silences %s", got)
	}
	for _, want := range []int{http.StatusNoContent, http.StatusNotFound} {
		if w := send(t, h, http.MethodDelete, "silences/s1", ""); w.Code != want {
			t.Errorf("ended: status %d, want %d", w.Code, want)
		}
	}
}

func TestEventCalls(t *testing.T) {
	f := statustest.Night()
	h := handler(t, f)
	for _, c := range []struct {
		method, path, body string
		want               int
		says               string
	}{
		{"POST", "events", `{"name":"Late","venues":["soho"],"start_ms":1795381200000,"end_ms":1795388400000}`, 201, `"start_ms":1795381200000`},
		{"PATCH", "events/c40nd1re", `{"name":"Evening show, moved"}`, 200, `"start_ms":1795375800000`},
		{"PUT", "events/c40nd1re", `{"name":"Other","venues":["soho"],"start_ms":1795381200000}`, 200, `"venues":["soho"]`},
		{"PUT", "events/none", `{"name":"Other","venues":["soho"]}`, 404, "error"},
		{"PATCH", "events/none", `{}`, 404, "error"},
		{"PATCH", "events/c40nd1re", `{"when":1}`, 400, "error"},
		{"POST", "events/c40nd1re/begin", ``, 200, `"id":"c40nd1re"`},
		{"DELETE", "events/c40nd1re", ``, 200, `"cancelled_ms":1795`},
		{"POST", "events/import?source=Box&venue=soho&venue=camden", "BEGIN:VCALENDAR", 200, `"created":2`},
		{"POST", "events/import?whole=perhaps", "BEGIN:VCALENDAR", 400, "error"},
		{"POST", "events/import?zone=Mars/North", "BEGIN:VCALENDAR", 400, "error"},
		{"POST", "events/import", "<html>", 400, "error"},
	} {
		w := send(t, h, c.method, c.path, c.body)
		if w.Code != c.want || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%s %s: status %d, want %d saying %s: %s", c.method, c.path, w.Code, c.want, c.says, w.Body)
		}
	}
}

// As it was known then, and what became of it since: the page shows both.
func TestObjectivePageAsKnownThen(t *testing.T) {
	body := get(t, handler(t, statustest.Night()), "/objectives/checkout-success?venue=soho&known=2026-11-22T13:36").Body.String()
	for _, want := range []string{"As it was known then", "as known then", "as known now", "late data changed", `value="2026-11-22T13:36"`, "the node was not heard meanwhile"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	for _, query := range []string{"known=yesterday", "from=5&to=2", "venue=nowhere", "event=none"} {
		if w := get(t, handler(t, statustest.Night()), "/objectives/checkout-success?"+query); w.Code != http.StatusBadRequest && w.Code != http.StatusNotFound {
			t.Errorf("%s: status %d", query, w.Code)
		}
	}
}

// What looks back over weeks is made once for all readers, for a while.
func TestObjectivePagesAreShared(t *testing.T) {
	f := statustest.Night()
	o := options(t, f)
	counted := &counting{Objectives: o.Objectives}
	o.Objectives, o.Every = counted, 3600e9
	h := serve(t, o)
	for range 3 {
		get(t, h, "/objectives/checkout-success?venue=soho&theme=dark")
	}
	if counted.calls != 1 {
		t.Errorf("three readers made %d views", counted.calls)
	}
	get(t, h, "/objectives/checkout-success?venue=camden")
	if counted.calls != 2 {
		t.Errorf("another venue's page was not made: %d views", counted.calls)
	}
}
