package app

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/wire"
	"ghostlight/slo"
	"ghostlight/slo/incident"
)

const pagedYAML = fleetYAML + `
dark_after: 1s
public_url: https://centre.test
venues: [{name: soho, hours: "Mo-Su 00:00-24:00; UTC", contact: Night desk}]
notify: [{name: phone, webhook: {url: %s/page}}]
dead_man: {url: %s/alive, every: 1s}
`

// A phone is what people carry: it keeps the text of each page by "key status".
type phone struct {
	mu    sync.Mutex
	pages map[string][]string
	alive int
}

func (p *phone) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.URL.Path == "/alive" {
		p.alive++
		return
	}
	var msg struct {
		Alerts []struct {
			Status      string
			Labels      map[string]string
			Annotations map[string]string
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&msg); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for _, a := range msg.Alerts {
		key := a.Labels["incident"] + " " + a.Status
		p.pages[key] = append(p.pages[key], fmt.Sprint(a.Labels, a.Annotations))
	}
}

// wait returns the pages of a key and status once there are any.
func (p *phone) wait(t *testing.T, key string) []string {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		p.mu.Lock()
		found := p.pages[key]
		p.mu.Unlock()
		if len(found) > 0 {
			return found
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	t.Fatalf("no page %q; there are %v", key, p.pages)
	return nil
}

// record posts a block that holds one record of soho.
func (c *child) record(t *testing.T, seq buffer.Seq, rec delta.Record) {
	t.Helper()
	payload, err := delta.Encode(nil, delta.Batch{Records: []delta.Record{rec}})
	if err != nil {
		t.Fatal(err)
	}
	block := buffer.Seal(buffer.Header{
		Kind: buffer.SelfContained, Lane: buffer.Revenue, Session: session, Seq: seq, MinTime: rec.Time, MaxTime: rec.Time, Records: 1,
	}, payload)
	if status, text := c.door(t, wire.BlocksPath, "application/octet-stream", block); status != http.StatusOK {
		t.Fatalf("block is answered %d: %s", status, text)
	}
}

// TestOnePageFromNodeToPhone follows an incident of a node, and the darkness of it, to
// who is paged, over a death of the fleet.
func TestOnePageFromNodeToPhone(t *testing.T) {
	p := &phone{pages: map[string][]string{}}
	srv := httptest.NewServer(p)
	defer srv.Close()
	dir := t.TempDir()
	file := filepath.Join(dir, "fleet.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, pagedYAML, filepath.Join(dir, "data"), srv.URL, srv.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	fleet := start(t, file)
	now := time.Now()
	i := incident.New(incident.Scope{Region: "uk", Venue: "soho", Node: "soho-1", Cause: incident.Objective, Name: "checkout-success"}, now).
		Rate(incident.Severity{Urgency: slo.Page, AtMS: now.UnixMilli(), Source: incident.Node})
	say := func(seq buffer.Seq) {
		t.Helper()
		body, err := i.Encode()
		if err != nil {
			t.Fatal(err)
		}
		fleet.record(t, seq, delta.Record{Kind: incident.Kind, Key: i.ID(), Time: now.UnixMilli(), Body: body})
	}
	say(1)
	page := p.wait(t, i.ID()+" firing")[0]
	for _, want := range []string{"checkout-success", "Night desk", "https://centre.test/incidents/" + i.ID()} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not tell %q: %s", want, page)
		}
	}
	// Nothing is heard any more: another incident, of the centre.
	darkness := ""
	for deadline := time.Now().Add(20 * time.Second); darkness == "" && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		p.mu.Lock()
		for key, pages := range p.pages {
			if id, ok := strings.CutSuffix(key, " firing"); ok && strings.Contains(pages[0], "is dark") {
				darkness = id
			}
		}
		p.mu.Unlock()
	}
	if darkness == "" {
		t.Fatal("nobody was told of the darkness")
	}
	fleet.end(t, syscall.SIGKILL)
	fleet = start(t, file)
	for _, st := range []incident.Stage{incident.Mitigated, incident.Parity} {
		i = i.Mark(incident.Mark{Stage: st, SpellMS: now.UnixMilli(), AtMS: now.UnixMilli() + 1000, Source: incident.Node})
	}
	say(2)
	p.wait(t, i.ID()+" resolved")
	if text := fleet.get(t, "/metrics"); !strings.Contains(text, `ghostlight_fleet_incidents_open{cause="objective"} 0`) {
		t.Error("the metrics do not tell how many incidents are open")
	}
	fleet.end(t, syscall.SIGTERM)
	p.mu.Lock()
	defer p.mu.Unlock()
	// At least once: one that was taken just before the death may come again, alike.
	for key, pages := range p.pages {
		if n := len(pages); n > 2 {
			t.Errorf("%s was told %d times", key, n)
		}
	}
	if p.alive == 0 {
		t.Error("nobody outside was told that the centre works")
	}
	if !strings.Contains(p.pages[darkness+" firing"][0], "cause:darkness") {
		t.Errorf("darkness was told as %q", p.pages[darkness+" firing"])
	}
}
