package web_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"ghostlight/buffer"
	"ghostlight/fleet/evidence"
	"ghostlight/fleet/status"
	"ghostlight/fleet/status/statustest"
	"ghostlight/internal/webui/webuitest"
)

const failedTrace = "4bf92f3577b34da6a3ce929d0e0e4736"

// nightWithEvidence is the night with the trace of a failed journey: it came
// without the parent of one span, and with two spans that name each other.
func nightWithEvidence() *statustest.Fleet {
	f := statustest.Night()
	at := f.Clock.Add(-time.Minute).UnixNano()
	ms := func(n int64) int64 { return at + n*int64(time.Millisecond) }
	f.Traces = append(f.Traces, evidence.Trace{
		Source:  buffer.Source{Region: "london", Venue: "soho", Node: "soho-1"},
		Claim:   evidence.Claim{TraceID: failedTrace, Kind: evidence.KindJourney, Name: "revenue-path", AtMS: at / 1e6, Detail: "pay: answered 500"},
		Bytes:   2048,
		UntilMS: f.Clock.Add(30 * 24 * time.Hour).UnixMilli(),
		Spans: []evidence.Span{
			{ID: "a1", Name: "journey revenue-path", Kind: "internal", Service: "ghostlight-synthetics", Start: at, End: ms(80), Error: true, Message: "pay: answered 500"},
			{ID: "b1", Parent: "a1", Name: "step order", Kind: "client", Service: "ghostlight-synthetics", Start: ms(2), End: ms(20)},
			{ID: "c1", Parent: "b1", Name: "POST /v1/orders", Kind: "server", Service: "edgecore", Start: ms(4), End: ms(18), Attributes: map[string]string{"http.response.status_code": "201", "http.route": "/v1/orders"}},
			{ID: "b2", Parent: "a1", Name: "step pay", Kind: "client", Service: "ghostlight-synthetics", Start: ms(21), End: ms(79), Error: true, Message: "answered 500"},
			{
				ID: "c2", Parent: "b2", Name: "POST /v1/orders/{id}/payments", Kind: "server", Service: "edgecore", Start: ms(22), End: ms(78), Error: true, Attributes: map[string]string{"http.response.status_code": "500", "<script>": "\"<b>"},
				Events: []evidence.Event{{Name: "exception", At: ms(70), Attributes: map[string]string{"exception.message": "ledger is not writable"}}},
			},
			{ID: "d1", Parent: "gone", Name: "settle", Kind: "internal", Service: "edgecore", Start: ms(79), End: ms(79)},
			{ID: "e1", Parent: "e2", Name: "ring", Start: ms(79), End: ms(80)},
			{ID: "e2", Parent: "e1", Name: "ring back", Start: ms(79), End: ms(80)},
		},
		Lines: []evidence.Line{{At: ms(71), Severity: "error", Failed: true, Text: "ledger <is> not writable", Service: "edgecore", Count: 14}},
	})
	return f
}

func TestEvidencePageDrawsTheWaterfall(t *testing.T) {
	h := handler(t, nightWithEvidence())
	for _, theme := range []string{"light", "dark"} {
		path := "/venues/soho/evidence/" + failedTrace
		w := get(t, h, path+"?theme="+theme)
		if w.Code != http.StatusOK {
			t.Fatalf("status %d: %s", w.Code, w.Body)
		}
		body := w.Body.String()
		webuitest.Check(t, body)
		webuitest.Keep(t, "fleet_evidence_"+theme+".html", w.Body.Bytes())
		for _, want := range []string{
			"journey revenue-path failed at soho", "pay: answered 500", "POST /v1/orders/{id}/payments", "its parent has not come",
			"ledger is not writable", "ledger &lt;is&gt; not writable", ">14<", "+22 ms", "56 ms", `href="/venues/soho"`, failedTrace,
		} {
			if !strings.Contains(body, want) {
				t.Errorf("%s: the page does not say %q", theme, want)
			}
		}
		if n := strings.Count(body, `<svg class="bar"`); n != 8 {
			t.Errorf("%d bars are drawn, want one for each of 8 spans", n)
		}
	}
	for _, path := range []string{"/venues/camden/evidence/" + failedTrace, "/venues/soho/evidence/unknown"} {
		if w := get(t, h, path); w.Code != http.StatusNotFound {
			t.Errorf("%s: status %d, want 404", path, w.Code)
		}
	}
}

func TestEvidenceWithoutSpansSaysSo(t *testing.T) {
	f := nightWithEvidence()
	f.Traces[0].Spans, f.Traces[0].Lines = nil, nil
	w := get(t, handler(t, f), "/venues/soho/evidence/"+failedTrace)
	webuitest.Check(t, w.Body.String())
	if !strings.Contains(w.Body.String(), "No spans of this trace have come yet") {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
}

func TestEvidenceAPI(t *testing.T) {
	h := handler(t, nightWithEvidence())
	var d status.EvidenceDetail
	if err := json.Unmarshal(get(t, h, "/api/fleet/v1/evidence?trace_id="+failedTrace).Body.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, s := range d.Spans {
		order = append(order, strings.Repeat(" ", s.Depth)+s.Name)
	}
	want := "journey revenue-path| step order|  POST /v1/orders| step pay|  POST /v1/orders/{id}/payments|settle|ring| ring back"
	if got := strings.Join(order, "|"); got != want {
		t.Errorf("the spans are ordered\n%s\nwant\n%s", got, want)
	}
	if d.DurationMS != 80 || d.Spans[4].Status != 500 || d.Spans[4].OffsetMS != 22 || !d.Spans[5].Orphan || d.Lines[0].Count != 14 || len(d.Services) != 2 {
		t.Errorf("%+v", d)
	}
	var list []status.EvidenceListed
	if err := json.Unmarshal(get(t, h, "/api/fleet/v1/evidence?venue=soho").Body.Bytes(), &list); err != nil || len(list) != 1 || list[0].Spans != 8 {
		t.Errorf("the list is %+v (%v)", list, err)
	}
	if w := get(t, h, "/api/fleet/v1/evidence?trace_id=none"); w.Code != http.StatusNotFound {
		t.Errorf("an unknown trace answers %d", w.Code)
	}
}

// The venue page leads from each failed run to what is kept of it.
func TestVenuePageLinksToEvidence(t *testing.T) {
	f := statustest.Night()
	var want []string
	for _, r := range f.RunList {
		if r.Venue == "brixton" && !r.Pass && f.Clock.UnixMilli()-r.StartMS < time.Hour.Milliseconds() {
			want = append(want, r.TraceID)
		}
	}
	if len(want) == 0 {
		t.Fatal("no run failed at brixton within the hour: there is nothing to link to")
	}
	body := get(t, handler(t, f), "/venues/brixton").Body.String()
	if !strings.Contains(body, `href="/venues/brixton/evidence/`) {
		t.Error("no failed run leads to its evidence")
	}
}
