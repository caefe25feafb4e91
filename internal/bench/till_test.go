package main

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTillHoldsAnAnswerBackUntilSomethingHappens(t *testing.T) {
	till, err := newTill("soho")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(till.close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	type page struct {
		Ledger   string    `json:"ledger"`
		Outcomes []outcome `json:"outcomes"`
		Head     int64     `json:"head"`
	}
	ask := func(query string) (p page) {
		if err := get("http://"+till.addr+"/admin/outcomes?"+query, &p); err != nil {
			t.Error(err)
		}
		return p
	}
	if got := ask("after=0&wait=1ms"); len(got.Outcomes) != 0 || got.Head != 0 {
		t.Errorf("before anything happened the till tells %+v", got)
	}
	answer := make(chan page)
	go func() { answer <- ask("after=1&wait=1m") }()
	till.commit("checkin", true)
	at := till.commit("payment", false)
	got := <-answer
	for i := range got.Outcomes {
		got.Outcomes[i].TimeMS -= at.UnixMilli()
	}
	want := page{"ledger-soho", []outcome{{Seq: 2, Kind: "payment", Reason: "processor_unreachable", AmountMinor: 1200, Currency: "GBP"}}, 2}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the page (-want +got):\n%s", diff)
	}
}

func TestPagerKnowsWhenANodesPageWasListedFirst(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	alerts := []map[string]map[string]string{
		{"labels": {"venue": "soho", "node": "edge-1", "severity": "ticket"}},
		{"labels": {"venue": "soho", "severity": "page"}},
		{"labels": {"venue": "camden", "node": "edge-1", "severity": "page"}},
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(alerts)
	})}
	go srv.Serve(ln)
	t.Cleanup(func() { srv.Close() })
	p := &pager{seen: map[string]time.Time{}}
	p.ask(ln.Addr().String())
	first, err := p.at("camden")
	if err != nil || first.IsZero() {
		t.Fatalf("the page of camden was listed at %v, %v", first, err)
	}
	p.ask(ln.Addr().String())
	if again, _ := p.at("camden"); !again.Equal(first) {
		t.Errorf("a page that is listed again is first listed at %v, was at %v", again, first)
	}
	if at, _ := p.at("soho"); !at.IsZero() {
		t.Error("a ticket, and a page of the whole venue, count as the node's page")
	}
	srv.Close()
	p.ask(ln.Addr().String())
	if _, err := p.at("camden"); err == nil {
		t.Error("nobody learns that Alertmanager does not answer")
	}
}

func TestCountersGrowFromWhereTheHistoryEnded(t *testing.T) {
	list := []counterReading{{`slo_bad_total{slo="a"}`, 7}, {`slo_events_total{slo="a"}`, 100}}
	shown, err := showCounters(list, time.Now().Add(-10*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(shown.close)
	resp, err := http.Get("http://" + shown.addr + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	want := "slo_bad_total{slo=\"a\"} 12\nslo_events_total{slo=\"a\"} 400\n"
	if got := string(text); got != want || shown.reads.Load() != 1 {
		t.Errorf("shows, read %d times,\n%s\nwant\n%s", shown.reads.Load(), got, want)
	}
	if page := countersPage(list, 0); !strings.Contains(page, `slo_bad_total{slo="a"} 7`) {
		t.Errorf("the page begins with\n%s", page)
	}
}
