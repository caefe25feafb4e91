//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"ghostlight/dashboards/overview"
)

// answer is a reply of the Prometheus HTTP API.
type answer struct {
	Status string `json:"status"`
	Error  string `json:"error"`
	Data   struct {
		ResultType string `json:"resultType"`
		Result     []struct {
			Metric map[string]string `json:"metric"`
			Value  [2]any            `json:"value"`
			Values [][2]any          `json:"values"`
		} `json:"result"`
	} `json:"data"`
}

func query(expr string) (answer, error) {
	var a answer
	err := getJSON(fleetURL+"/api/v1/query?"+url.Values{"query": {expr}}.Encode(), &a)
	return a, err
}

func queryRange(expr string, span time.Duration) (answer, error) {
	now := time.Now()
	var a answer
	err := getJSON(fleetURL+"/api/v1/query_range?"+url.Values{
		"query": {expr}, "step": {"5"}, "start": {fmt.Sprint(now.Add(-span).Unix())}, "end": {fmt.Sprint(now.Unix())},
	}.Encode(), &a)
	return a, err
}

func metricsOfEveryVenue() error {
	a, err := query(`count by (venue) (up{job="edgecore"} == 1)`)
	if err == nil && len(a.Data.Result) != len(venues) {
		err = fmt.Errorf("edgecore is up in %d venues", len(a.Data.Result))
	}
	return err
}

// promtool asks the fleet the way a Prometheus user's tools do.
func promtool(t *testing.T) {
	now := time.Now()
	start, end := now.Add(-time.Minute).Format(time.RFC3339), now.Format(time.RFC3339)
	for _, tc := range []struct {
		name string
		args []string
		want string
	}{
		{"instant", []string{"instant", fleetURL, `sum by (venue) (up{job="edgecore"})`}, `venue="soho"`},
		{"range", []string{"range", "--start=" + start, "--end=" + end, "--step=5s", fleetURL, `edgecore_ledger_writable`}, `venue="hackney"`},
		{"series", []string{"series", "--match=edgecore_ledger_writable", "--start=" + start, "--end=" + end, fleetURL}, `__name__="edgecore_ledger_writable"`},
		{"labels", []string{"labels", fleetURL, "venue"}, "brixton"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, err := exec.Command("promtool", append([]string{"query"}, tc.args...)...).CombinedOutput()
			if err != nil || !strings.Contains(string(out), tc.want) {
				t.Errorf("promtool query %s: %v, want %s in:\n%s", strings.Join(tc.args, " "), err, tc.want, out)
			}
		})
	}
	for _, path := range []string{"/api/v1/metadata", "/api/v1/status/buildinfo"} {
		var body struct {
			Status string                     `json:"status"`
			Data   map[string]json.RawMessage `json:"data"`
		}
		if err := getJSON(fleetURL+path, &body); err != nil || body.Status != "success" || len(body.Data) == 0 {
			t.Errorf("%s: %+v, %v", path, body, err)
		}
	}
}

// rules has promtool check the rule file that is written for objectives.
func rules(t *testing.T, objectives string) {
	file := filepath.Join(t.TempDir(), "rules.yaml")
	if out, err := exec.Command(binary(t, "ghostlight"), "slo", "rules", objectives, "--by", "venue", "-o", file).CombinedOutput(); err != nil {
		t.Fatalf("slo rules: %v\n%s", err, out)
	}
	if out, err := exec.Command("promtool", "check", "rules", file).CombinedOutput(); err != nil || !strings.Contains(string(out), "SUCCESS") {
		t.Errorf("promtool check rules: %v\n%s", err, out)
	}
}

// panels runs every query of the dashboard as Grafana would.
func panels(t *testing.T) {
	queries := overview.Queries()
	if len(queries) < 10 {
		t.Fatalf("the dashboard has only %d queries", len(queries))
	}
	for _, q := range queries {
		t.Run(q.Panel, func(t *testing.T) {
			ask := func(expr string) (answer, error) { return queryRange(expr, 2*time.Minute) }
			if q.Instant {
				ask = query
			}
			a, err := ask(q.Expr)
			switch {
			case err != nil:
				t.Errorf("%s: %v", q.Expr, err)
			case a.Status != "success":
				t.Errorf("%s: %s %s", q.Expr, a.Status, a.Error)
			case len(a.Data.Result) == 0:
				t.Errorf("empty panel: %s", q.Expr)
			}
		})
	}
}

// nodePageInTheDark reads the page that a site lead opens on the venue's network.
func nodePageInTheDark(t *testing.T, browser context.Context, d *demo) {
	const page = "http://127.0.0.1:18424"
	tab := newTab(t, browser)
	open(t, tab, page+"/")
	sees(t, tab, "main", "the centre's absence and the samples that wait", 20*time.Second, func(s string) bool {
		return strings.Contains(s, "unreachable") && strings.Contains(s, "waiting")
	})
	keepScreenshot(t, tab, "node-dark")
	sales := func() (int64, error) {
		var a struct {
			Sales int64 `json:"sales"`
		}
		err := d.adminJSON(t, "http://127.0.0.1:18423/admin/ledger", &a)
		return a.Sales, err
	}
	before, err := sales()
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "a sale while dark", 45*time.Second, func() error {
		now, err := sales()
		if err == nil && now <= before {
			err = fmt.Errorf("%d sales, as before", now)
		}
		return err
	})
}

// adminJSON asks the dark venue's edgecore at its admin door, with the token that
// the demo wrote into its configuration.
func (d *demo) adminJSON(t *testing.T, target string, out any) error {
	t.Helper()
	var conf struct {
		Admin struct {
			Token string `yaml:"token"`
		} `yaml:"admin"`
	}
	text, err := os.ReadFile(d.config("edgecore-" + darkVenue))
	if err != nil {
		return err
	}
	if err := yaml.Unmarshal(text, &conf); err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+conf.Admin.Token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", target, resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

// venuePages looks for what the nodes did by themselves.
func venuePages(t *testing.T, browser context.Context) {
	tab := newTab(t, browser)
	for venue, act := range map[string]string{"soho": "restart", "hackney": "cache", "brixton": "restart"} {
		open(t, tab, fleetURL+"/venues/"+venue)
		sees(t, tab, "main", "the heal of "+venue, 45*time.Second, func(s string) bool {
			return strings.Contains(strings.ToLower(s), act) && strings.Contains(s, "succeeded")
		})
		charts := count(t, tab, "main svg[role=img]")
		if charts == 0 {
			t.Errorf("%s: no chart on the venue page", venue)
		}
		keepScreenshot(t, tab, "venue-"+venue)
	}
}

// eventReport waits for the event's end and reads its report as an organiser does.
func eventReport(t *testing.T, browser context.Context) {
	type event struct {
		ID    string `json:"id"`
		EndMS int64  `json:"end_ms"`
	}
	var id string
	eventually(t, "the event's end", 90*time.Second, func() error {
		var raw json.RawMessage
		if err := getJSON(fleetURL+"/api/fleet/v1/events", &raw); err != nil {
			return err
		}
		var events []event
		if err := json.Unmarshal(raw, &events); err != nil {
			var wrapped struct{ Events []event }
			if err := json.Unmarshal(raw, &wrapped); err != nil {
				return err
			}
			events = wrapped.Events
		}
		for _, e := range events {
			if e.EndMS > 0 {
				id = e.ID
				return nil
			}
		}
		return fmt.Errorf("no event has ended: %s", raw)
	})
	tab := newTab(t, browser)
	open(t, tab, fleetURL+"/events/"+id+"/report")
	sees(t, tab, "body", "the report", 20*time.Second, func(s string) bool {
		for _, want := range append([]string{"sales", "conversion", "dark"}, venues...) {
			if !strings.Contains(strings.ToLower(s), want) {
				return false
			}
		}
		return true
	})
	keepScreenshot(t, tab, "report")
	body, err := get(fleetURL + "/events/" + id + "/report")
	if err != nil {
		t.Fatal(err)
	}
	if m := regexp.MustCompile(`(?i)<(script|link|img|iframe)[^>]+(src|href)=["']?(https?:|/)[^"'> ]*`).FindString(body); m != "" {
		t.Errorf("the report is not self-contained: %s", m)
	}
}

// storeAgrees starts the fleet once more on the data that the demo left behind,
// exports every sample it stored, and counts them against the demo's books.
func storeAgrees(t *testing.T, d *demo, s summary) {
	fleet := exec.Command(binary(t, "ghostlight-fleet"), "--config", d.config("fleet"))
	if err := fleet.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		fleet.Process.Signal(syscall.SIGTERM)
		fleet.Wait()
	}()
	eventually(t, "the fleet answers again", 60*time.Second, func() error {
		_, err := get(fleetURL + "/healthz")
		return err
	})
	// The database may hide rows for some milliseconds while it moves them.
	eventually(t, "the store holds what the books say", 10*time.Second, func() error {
		stored, err := exportCounts()
		if err != nil {
			return err
		}
		var wrong []error
		for _, n := range s.Nodes {
			if stored[n.Node] != n.SamplesCentral {
				wrong = append(wrong, fmt.Errorf("%s: the store exports %d samples, the books say %d", n.Node, stored[n.Node], n.SamplesCentral))
			}
		}
		return errors.Join(wrong...)
	})
}

// exportCounts counts the exported samples of each node.
func exportCounts() (map[string]int64, error) {
	resp, err := http.Get(fleetURL + "/api/v1/export?" + url.Values{"match[]": {`{__name__!=""}`}}.Encode())
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New(resp.Status)
	}
	counts := map[string]int64{}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var series struct {
			Metric     map[string]string `json:"metric"`
			Timestamps []int64           `json:"timestamps"`
		}
		if err := json.Unmarshal(lines.Bytes(), &series); err != nil {
			return nil, fmt.Errorf("export line: %w", err)
		}
		counts[series.Metric["node"]] += int64(len(series.Timestamps))
	}
	return counts, lines.Err()
}
