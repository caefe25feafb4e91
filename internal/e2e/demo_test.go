//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The demo's shape, as its flags below ask for it.
const (
	basePort  = 18400
	fleetURL  = "http://127.0.0.1:18400"
	demoSpan  = 170 * time.Second
	darkVenue = "hackney" // whose uplink the scenario cuts
)

var venues = []string{"soho", "hackney", "brixton"}

// summary is the one JSON object a demo prints at its end.
type summary struct {
	OK    bool  `json:"ok"`
	Seed  int64 `json:"seed"`
	Nodes []struct {
		Venue               string             `json:"venue"`
		Node                string             `json:"node"`
		SamplesProduced     int64              `json:"samples_produced"`
		SamplesCentral      int64              `json:"samples_central"`
		SamplesDeclaredLost int64              `json:"samples_declared_lost"`
		RevenueProduced     map[string]float64 `json:"revenue_produced"`
		RevenueCentral      map[string]float64 `json:"revenue_central"`
		DarkSeconds         float64            `json:"dark_seconds"`
		Heals               int                `json:"heals"`
	} `json:"nodes"`
	Sales struct {
		Crowd       int64 `json:"crowd"`
		EdgeLedgers int64 `json:"edge_ledgers"`
		HubLedger   int64 `json:"hub_ledger"`
		Report      int64 `json:"report"`
	} `json:"sales"`
	Processes []struct {
		Name     string  `json:"name"`
		PeakRSS  int64   `json:"peak_rss_bytes"`
		CPU      float64 `json:"cpu_seconds"`
		Restarts int     `json:"restarts"`
	} `json:"processes"`
}

// demo is one running `ghostlight demo`.
type demo struct {
	cmd    *exec.Cmd
	stdout bytes.Buffer
	log    string // file that holds what it told
	data   string
	exited chan error
}

// binary is the absolute path of a program that make build made.
func binary(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", "bin", name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%s is not built: run make build", name)
	}
	return path
}

func startDemo(t *testing.T, scenario string, more ...string) *demo {
	t.Helper()
	dir := t.TempDir()
	d := &demo{log: filepath.Join(dir, "demo.log"), data: filepath.Join(dir, "data"), exited: make(chan error, 1)}
	log, err := os.Create(d.log)
	if err != nil {
		t.Fatal(err)
	}
	d.cmd = exec.Command(binary(t, "ghostlight"), append([]string{
		"demo", "--json", "--seed", "1", "--scenario", scenario,
		"--duration", demoSpan.String(), "--base-port", fmt.Sprint(basePort), "--data", d.data, "--keep",
	}, more...)...)
	d.cmd.Stdout, d.cmd.Stderr = &d.stdout, log
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		d.exited <- d.cmd.Wait()
		log.Close()
	}()
	t.Cleanup(func() {
		d.cmd.Process.Signal(syscall.SIGTERM)
		if t.Failed() {
			told, _ := os.ReadFile(d.log)
			t.Logf("the demo told:\n%s", told)
		}
	})
	return d
}

// config is the file that the demo wrote for one of its processes.
func (d *demo) config(unit string) string { return filepath.Join(d.data, "config", unit+".yaml") }

// wait returns the summary once the demo has ended by itself.
func (d *demo) wait(t *testing.T, patience time.Duration) summary {
	t.Helper()
	select {
	case err := <-d.exited:
		var s summary
		if jerr := json.Unmarshal(d.stdout.Bytes(), &s); jerr != nil {
			t.Fatalf("demo ended (%v) and printed no summary: %v\n%s", err, jerr, d.stdout.String())
		}
		t.Logf("summary: %s", d.stdout.String())
		if err != nil {
			t.Errorf("demo's exit status: %v", err)
		}
		return s
	case <-time.After(patience):
		d.cmd.Process.Kill()
		t.Fatalf("the demo did not end within %v", patience)
	}
	return summary{}
}

// told reports whether the demo has said a sentence that contains text.
func (d *demo) told(text string) bool {
	b, _ := os.ReadFile(d.log)
	return strings.Contains(string(b), text)
}

// TestDemo hangs every check that needs live venues on one run of the demo.
func TestDemo(t *testing.T) {
	for _, tool := range []string{"chromium", "promtool"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%s is not installed: run make deps", tool)
		}
	}
	browser := newBrowser(t)
	am := startAlertmanager(t)
	d := startDemo(t, "outage", "--alertmanager", am.url)
	eventually(t, "the fleet answers", 60*time.Second, func() error {
		_, err := get(fleetURL + "/healthz")
		return err
	})

	// One page stays open through the whole night and must follow by itself.
	open(t, browser, fleetURL+"/")
	sees(t, browser, "#live-venues", "three live venues", 60*time.Second, func(s string) bool {
		for _, v := range venues {
			if !strings.Contains(s, v) {
				return false
			}
		}
		return strings.Count(strings.ToLower(s), "live") >= len(venues)
	})

	eventually(t, "the event begins", 30*time.Second, func() error {
		if !d.told("event") {
			return fmt.Errorf("no event was told")
		}
		return nil
	})
	eventually(t, "metrics of every venue", 40*time.Second, metricsOfEveryVenue)
	t.Run("prometheus API under promtool", promtool)
	t.Run("rules of the demo's objectives", func(t *testing.T) { rules(t, d.config("objectives")) })

	sees(t, browser, "#live-venues", "a dark venue", 120*time.Second, func(s string) bool { return strings.Contains(s, "dark since") })
	keepScreenshot(t, browser, "fleet-dark")
	t.Run("the dark venue's own page", func(t *testing.T) { nodePageInTheDark(t, browser, d) })
	inTheDark := nodeIncident(t, newTab(t, browser))
	sees(t, browser, "#live-venues", "the venue back", 90*time.Second, func(s string) bool {
		return !strings.Contains(s, "dark since") && strings.Count(strings.ToLower(s), "live") >= len(venues)
	})
	keepScreenshot(t, browser, "fleet-back")

	t.Run("people are told once of what happened in the dark", func(t *testing.T) { toldOnce(t, inTheDark) })
	t.Run("the darkness is reclassified", func(t *testing.T) { reclassified(t, am) })
	t.Run("venue page shows the heals", func(t *testing.T) { venuePages(t, browser) })
	t.Run("dashboard panels", panels)
	t.Run("objectives", objectivesCounted)
	t.Run("event report", func(t *testing.T) { eventReport(t, browser) })
	t.Run("recoveries", func(t *testing.T) { recoveries(t, browser) })

	s := d.wait(t, 120*time.Second)
	t.Run("summary", func(t *testing.T) { checkSummary(t, s) })
	t.Run("no process is left", func(t *testing.T) { nothingLeft(t, d.data) })
	t.Run("store agrees with the counts", func(t *testing.T) { storeAgrees(t, d, s) })
}

// checkSummary holds the demo to what it claims.
func checkSummary(t *testing.T, s summary) {
	if !s.OK {
		t.Error("the demo says that its books do not balance")
	}
	if s.Seed != 1 || len(s.Nodes) != len(venues) {
		t.Errorf("seed %d and %d nodes, want 1 and %d", s.Seed, len(s.Nodes), len(venues))
	}
	for _, n := range s.Nodes {
		if n.SamplesProduced == 0 || n.SamplesProduced != n.SamplesCentral+n.SamplesDeclaredLost {
			t.Errorf("%s: produced %d, central %d, declared lost %d", n.Node, n.SamplesProduced, n.SamplesCentral, n.SamplesDeclaredLost)
		}
		if len(n.RevenueProduced) == 0 {
			t.Errorf("%s: no revenue series", n.Node)
		}
		for series, v := range n.RevenueProduced {
			if n.RevenueCentral[series] != v {
				t.Errorf("%s: %s is %v at the node and %v at the centre", n.Node, series, v, n.RevenueCentral[series])
			}
		}
		if n.Venue == darkVenue && (n.DarkSeconds < 40 || n.DarkSeconds > 75) {
			t.Errorf("%s was cut for 60 s and counted as dark for %v s", n.Node, n.DarkSeconds)
		}
		if n.Heals == 0 {
			t.Errorf("%s: nothing was healed", n.Node)
		}
	}
	if c := s.Sales; c.Crowd == 0 || c.Crowd != c.EdgeLedgers || c.Crowd != c.HubLedger || c.Crowd != c.Report {
		t.Errorf("sales disagree: %+v", c)
	}
	restarts := map[string]int{}
	for _, p := range s.Processes {
		restarts[p.Name] = p.Restarts
		if p.PeakRSS == 0 || p.CPU == 0 {
			t.Errorf("%s: no usage was measured: %+v", p.Name, p)
		}
		if strings.HasPrefix(p.Name, "agent-") && p.PeakRSS > 60<<20 {
			t.Errorf("%s: %d MiB resident at its peak, want 60 at most", p.Name, p.PeakRSS>>20)
		}
	}
	for name, want := range map[string]int{"fleet": 1, "agent-" + darkVenue: 1, "edgecore-soho": 1, "edgecore-brixton": 1} {
		if restarts[name] < want {
			t.Errorf("%s was restarted %d times, want %d at least", name, restarts[name], want)
		}
	}
}

// nothingLeft looks for processes that still use the demo's data folder.
func nothingLeft(t *testing.T, data string) {
	eventually(t, "all processes gone", 5*time.Second, func() error {
		dirs, err := filepath.Glob("/proc/[0-9]*")
		if err != nil || len(dirs) == 0 {
			return fmt.Errorf("no processes found: %v", err)
		}
		for _, dir := range dirs {
			line, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
			if bytes.Contains(line, []byte(data)) {
				return fmt.Errorf("%s still runs: %s", dir, bytes.ReplaceAll(line, []byte{0}, []byte{' '}))
			}
		}
		return nil
	})
}
