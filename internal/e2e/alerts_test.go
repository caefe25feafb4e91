//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// told is one alert as a receiver of Alertmanager hears of it.
type told struct {
	Status      string            `json:"status"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

// alertmanager is Debian's Alertmanager, which tells this test what it was told.
type alertmanager struct {
	url string

	mu    sync.Mutex
	heard []told // guarded by mu
}

// startAlertmanager runs it until the test ends.
func startAlertmanager(t *testing.T) *alertmanager {
	t.Helper()
	a := &alertmanager{}
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var m struct {
			Alerts []told `json:"alerts"`
		}
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			t.Errorf("what Alertmanager's webhook sent cannot be read: %v", err)
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		a.heard = append(a.heard, m.Alerts...)
	}))
	t.Cleanup(hook.Close)
	dir := t.TempDir()
	config := fmt.Sprintf(`
route: {receiver: hook, group_by: [incident], group_wait: 200ms, group_interval: 1s, repeat_interval: 1h}
receivers: [{name: hook, webhook_configs: [{url: %q, send_resolved: true}]}]
`, hook.URL)
	if err := os.WriteFile(filepath.Join(dir, "config.yml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := ln.Addr().String()
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	a.url = "http://" + at
	cmd := exec.Command("prometheus-alertmanager", "--config.file="+filepath.Join(dir, "config.yml"), "--storage.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+at, "--cluster.listen-address=")
	if err := cmd.Start(); err != nil {
		t.Fatalf("start Alertmanager (install it with make deps): %v", err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	})
	eventually(t, "Alertmanager is ready", 30*time.Second, func() error {
		_, err := get(a.url + "/-/ready")
		return err
	})
	return a
}

// of lists what was heard of one incident, by its key.
func (a *alertmanager) of(key string) (statuses []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, h := range a.heard {
		if h.Labels["incident"] == key {
			statuses = append(statuses, h.Status)
		}
	}
	return statuses
}

// An incident as the fleet lists it; with what its own page says of it.
type listed struct {
	ID      string   `json:"id"`
	Venue   string   `json:"venue"`
	Cause   string   `json:"cause"`
	Open    bool     `json:"open"`
	Members []listed `json:"members"`
	Finding *struct {
		Sales string `json:"sales"`
		Good  int64  `json:"good"`
	} `json:"finding"`

	AlsoIDs []string `json:"also"`
	Told    []struct {
		Receiver string `json:"receiver"`
		Phase    string `json:"phase"`
		Outcome  string `json:"outcome"`
	} `json:"told"`
}

// incidents lists those of a venue, members of groups included.
func incidents(venue string) ([]listed, error) {
	var all struct{ Open, Over []listed }
	if err := getJSON(fleetURL+"/api/fleet/v1/incidents?venue="+venue, &all); err != nil {
		return nil, err
	}
	var out []listed
	for _, i := range slices.Concat(all.Open, all.Over) {
		out = append(append(out, i), i.Members...)
	}
	return out, nil
}

// nodeIncident is the incident that the dark venue's own page shows; it waits for it.
func nodeIncident(t *testing.T, tab context.Context) (id string) {
	t.Helper()
	const page = "http://127.0.0.1:18424"
	eventually(t, "the dark venue's own incident", 60*time.Second, func() error {
		var s struct {
			Uplink struct {
				Up bool `json:"up"`
			} `json:"uplink"`
			Incidents []struct {
				ID   string `json:"id"`
				Open bool   `json:"open"`
			} `json:"incidents"`
		}
		if err := getJSON(page+"/api/status", &s); err != nil {
			return err
		}
		if s.Uplink.Up {
			return fmt.Errorf("the uplink is up")
		}
		for _, i := range s.Incidents {
			if i.Open {
				id = i.ID
				return nil
			}
		}
		return fmt.Errorf("%d incidents, none open", len(s.Incidents))
	})
	if known, err := incidents(darkVenue); err == nil {
		if slices.ContainsFunc(known, func(i listed) bool { return i.ID == id }) {
			t.Errorf("the centre knows %s while the venue is dark", id)
		}
	}
	open(t, tab, page+"/")
	sees(t, tab, "main", "what the node knows of its own trouble", 10*time.Second, func(s string) bool {
		return strings.Contains(strings.ToLower(s), "incident")
	})
	keepScreenshot(t, tab, "node-alert")
	return id
}

// toldOnce expects that people are told of an incident that the dark venue had, once
// it can be heard: under the node's own key or the one it was gathered into, and by
// each receiver no more than once.
func toldOnce(t *testing.T, id string) {
	count := map[string]int{}
	eventually(t, "the pager is told of what happened in the dark", 60*time.Second, func() error {
		var seen listed
		if err := getJSON(fleetURL+"/api/fleet/v1/incidents/"+id, &seen); err != nil {
			return err
		}
		clear(count)
		for _, e := range seen.Told {
			if e.Phase != "resolved" && e.Outcome == "sent" {
				count[e.Receiver]++
			}
		}
		if count["pager"] == 0 {
			return fmt.Errorf("the pager was not told of %s: %+v", id, seen.Told)
		}
		return nil
	})
	for receiver, n := range count {
		if n > 1 {
			t.Errorf("%s was told %d times of %s", receiver, n, id)
		}
	}
}

// reclassified expects the dark venue's darkness to be judged by what it sold
// meanwhile, and to have been one page that is over.
func reclassified(t *testing.T, am *alertmanager) {
	var dark listed
	eventually(t, "the darkness is judged by the sales", 60*time.Second, func() error {
		all, err := incidents(darkVenue)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(all, func(i listed) bool { return i.Cause == "darkness" })
		if i < 0 {
			return fmt.Errorf("no darkness among %d incidents", len(all))
		}
		if dark = all[i]; dark.Finding == nil || dark.Open {
			return fmt.Errorf("not judged yet: %+v", dark)
		}
		return nil
	})
	if dark.Finding.Good == 0 || (dark.Finding.Sales != "unaffected" && dark.Finding.Sales != "lost") {
		t.Errorf("%s sold while dark; the finding is %+v", darkVenue, dark.Finding)
	}
	// Alertmanager hears that a page is over some minutes after it; the pager at once.
	if got := am.of(dark.ID); !slices.Equal(got, []string{"firing"}) {
		t.Errorf("Alertmanager told %v of the darkness", got)
	}
	var seen listed
	if err := getJSON(fleetURL+"/api/fleet/v1/incidents/"+dark.ID, &seen); err != nil {
		t.Fatal(err)
	}
	var phases []string
	for _, e := range seen.Told {
		if e.Receiver == "pager" && e.Outcome == "sent" {
			phases = append(phases, e.Phase)
		}
	}
	if !slices.Equal(phases, []string{"firing", "resolved"}) {
		t.Errorf("the pager was told of the darkness: %v", phases)
	}
}

// recoveries reads the page on how long it takes to recover.
func recoveries(t *testing.T, browser context.Context) {
	tab := newTab(t, browser)
	open(t, tab, fleetURL+"/mttr")
	sees(t, tab, "main", "the time to recover", 20*time.Second, func(s string) bool {
		s = strings.ToLower(s)
		return strings.Contains(s, "median") && strings.Contains(s, "incidents")
	})
	keepScreenshot(t, tab, "mttr")
	open(t, tab, fleetURL+"/incidents")
	sees(t, tab, "main", "the night's incidents", 20*time.Second, func(s string) bool { return strings.Contains(s, darkVenue) })
	keepScreenshot(t, tab, "incidents")
	var m struct {
		All struct {
			N int `json:"n"`
		} `json:"all"`
	}
	if err := getJSON(fleetURL+"/api/fleet/v1/mttr", &m); err != nil || m.All.N == 0 {
		t.Errorf("%d recoveries are counted (%v)", m.All.N, err)
	}
}

// objectivesCounted expects every objective of the demo to be known and, but for
// those that need long to say anything, to have counted something.
func objectivesCounted(t *testing.T) {
	late := []string{"conversion-baseline", "settlement-age", "operational-mttr"} // 30 sales of days before, slices of ten minutes, recoveries within 15
	eventually(t, "all objectives count", 60*time.Second, func() error {
		var rows []struct {
			Name string `json:"objective"`
			Own  struct {
				Known bool `json:"known"`
			} `json:"own"`
		}
		if err := getJSON(fleetURL+"/api/fleet/v1/objectives", &rows); err != nil {
			return err
		}
		if len(rows) != 12 {
			return fmt.Errorf("%d objectives, want 12", len(rows))
		}
		for _, r := range rows {
			if !r.Own.Known && !slices.Contains(late, r.Name) {
				return fmt.Errorf("%s has counted nothing", r.Name)
			}
		}
		return nil
	})
}
