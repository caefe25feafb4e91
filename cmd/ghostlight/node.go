package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"ghostlight/buffer"
	"ghostlight/collector/page"
)

type nodeCmd struct {
	Status nodeStatusCmd `cmd:"" help:"Print how a node is, from its own page; works without the fleet."`
}

// nodeStatusCmd prints a node's status. Its exit status is 0 if the node
// answered, however it is.
type nodeStatusCmd struct {
	URL     string        `arg:"" help:"Address of the node's page, such as http://127.0.0.1:7500."`
	Timeout time.Duration `default:"10s" help:"How long the node may take to answer."`
	JSON    bool          `name:"json" help:"Print the status as the node gave it."`
}

// maxStatus bounds what is read of a node's answer.
const maxStatus = 16 << 20

func (c *nodeStatusCmd) Run(ctx context.Context, out io.Writer) error {
	raw, err := c.fetch(ctx)
	if err != nil {
		return err
	}
	if !c.JSON {
		var s page.Status
		if err := json.Unmarshal(raw, &s); err != nil || s.Source.Validate() != nil {
			return fmt.Errorf("%s answers, but not as a node does: is this the address of a node's page?", c.URL)
		}
		raw = []byte(statusText(s))
	}
	if _, err := out.Write(raw); err != nil {
		return fmt.Errorf("print the status: %w", err)
	}
	return nil
}

func (c *nodeStatusCmd) fetch(ctx context.Context) ([]byte, error) {
	base := c.URL
	if !strings.Contains(base, "://") {
		base = "http://" + base
	}
	u, err := url.Parse(base)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fmt.Errorf("%q is not the address of a node's page, such as http://127.0.0.1:7500", c.URL)
	}
	if !strings.HasSuffix(u.Path, "/api/status") {
		u = u.JoinPath("/api/status")
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("ask the node: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("the node does not answer: %w", err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxStatus))
	if err != nil {
		return nil, fmt.Errorf("read the node's answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s: is this the address of a node's page?", u, resp.Status)
	}
	return raw, nil
}

// statusText is a node's status for people.
func statusText(s page.Status) string {
	t := statusPrinter{now: s.NowMS}
	t.line("%s, agent %s, up %s", s.Source, s.Version, t.ago(s.StartMS))
	t.head(s)
	t.journeys(s.Journeys)
	t.objectives(s.Objectives)
	t.edgecore(s.Edgecore)
	t.targets(s.Targets)
	t.heals(s.Heals)
	t.lanes(s.Lanes)
	return t.b.String()
}

// statusPrinter writes the sections of a status; now is the node's own clock.
type statusPrinter struct {
	b   strings.Builder
	now int64
}

func (t *statusPrinter) line(format string, args ...any) { fmt.Fprintf(&t.b, format+"\n", args...) }

// ago is how long before now a time was.
func (t *statusPrinter) ago(ms int64) string { return span(float64(t.now-ms) / 1000) }

// head is the score, the uplink and the machine.
func (t *statusPrinter) head(s page.Status) {
	if h := s.Health; h.Known {
		t.line("health     %.0f of 100, %s", h.Value, h.State)
		for _, c := range h.Contributors {
			t.line("           %s", c.Text)
		}
	} else {
		t.line("health     unknown: %s not read yet", strings.Join(h.Unknown, ", "))
	}
	switch u := s.Uplink; {
	case u.SinceMS == 0:
		t.line("uplink     not tried yet")
	case u.Up:
		t.line("uplink     up for %s", t.ago(u.SinceMS))
	default:
		t.line("uplink     DOWN for %s: %s", t.ago(u.SinceMS), u.LastError)
	}
	var machine []string
	for _, m := range []struct {
		name  string
		value *float64
	}{{"processor", s.Host.CPUBusy}, {"memory", s.Host.MemoryUsed}, {"disk", s.Host.DiskUsed}} {
		if m.value != nil {
			machine = append(machine, fmt.Sprintf("%s %.0f %%", m.name, 100**m.value))
		}
	}
	if len(machine) > 0 {
		t.line("machine    %s used", strings.Join(machine, ", "))
	}
}

func (t *statusPrinter) journeys(journeys []page.Journey) {
	for _, j := range journeys {
		switch {
		case j.LastMS == 0:
			t.line("journey    %s has not run yet", j.Name)
		case j.Pass:
			t.line("journey    pass  %s, %s ago, in %.0f ms", j.Name, t.ago(j.LastMS), j.DurationMS)
		default:
			t.line("journey    FAIL  %s, %s ago, at step %s, %s: %s", j.Name, t.ago(j.LastMS), j.FailedStep, plural(j.Failures, "failure", "failures in a row"), j.Error)
		}
	}
}

func (t *statusPrinter) objectives(objectives []page.Objective) {
	for _, o := range objectives {
		if !o.Known {
			t.line("objective  %s: nothing counted in the last hour (target %s)", o.Name, share(o.Target))
			continue
		}
		t.line("objective  %s: %d of %d good, %.2f %% (target %s); %d min watched, %d not, %d unknown", o.Name, o.Good, o.Total, 100*o.SLI, share(o.Target), o.Measured, o.Gap, o.Pending)
	}
}

func (t *statusPrinter) edgecore(e *page.Edgecore) {
	switch {
	case e == nil:
	case e.Up:
		t.line("edgecore   up, outcome %d of %d read%s", e.Cursor, e.Head, edgecoreFacts(*e))
	case e.LastMS == 0:
		t.line("edgecore   has not answered yet: %s", e.Error)
	default:
		t.line("edgecore   DOWN, last answer %s ago: %s", t.ago(e.LastMS), e.Error)
	}
}

func edgecoreFacts(e page.Edgecore) string {
	var b strings.Builder
	if e.Pending != nil {
		fmt.Fprintf(&b, ", %d waiting for settlement", *e.Pending)
	}
	if e.CorruptObjects != nil && *e.CorruptObjects > 0 {
		fmt.Fprintf(&b, ", %d cached objects corrupt", *e.CorruptObjects)
	}
	if e.LedgerOK != nil && !*e.LedgerOK {
		b.WriteString(", LEDGER NOT WRITABLE")
	}
	if e.HubReachable != nil && !*e.HubReachable {
		b.WriteString(", hub not reachable")
	}
	return b.String()
}

func (t *statusPrinter) targets(targets []page.Target) {
	for _, g := range targets {
		switch {
		case g.LastMS == 0:
			t.line("scrape     %s has not been read yet: %s", g.Job, g.URL)
		case g.Up:
			t.line("scrape     up    %s, %d samples, %s ago: %s", g.Job, g.Samples, t.ago(g.LastMS), g.URL)
		default:
			t.line("scrape     DOWN  %s: %s: %s", g.Job, g.URL, g.Error)
		}
	}
}

// shownHeals is how many of the newest heals are printed.
const shownHeals = 5

func (t *statusPrinter) heals(h page.Heals) {
	switch {
	case !h.Enabled:
		t.line("healing    off")
	case h.DryRun:
		t.line("healing    dry run: it says what it would do")
	case !h.ChainOK:
		t.line("healing    on; THE RECORD BELOW WAS CHANGED: its hashes do not hold")
	case len(h.Recent) == 0:
		t.line("healing    on, nothing was needed yet")
	default:
		t.line("healing    on")
	}
	for _, a := range h.Recent[:min(len(h.Recent), shownHeals)] {
		t.line("           %s ago  %s %s (%s)", t.ago(a.AtMS), strings.ReplaceAll(a.Action, "_", " "), a.Result, strings.TrimSuffix(a.Reason, "."))
	}
}

func (t *statusPrinter) lanes(lanes map[buffer.Lane]page.Lane) {
	t.line("%-10s %12s %12s %12s %12s", "buffer", "produced", "at centre", "waiting", "given up")
	for _, l := range buffer.Lanes() {
		n := lanes[l]
		t.line("  %-8s %12d %12d %12d %12d", l, n.Produced, n.Acked, n.Waiting, n.Lost)
	}
}
