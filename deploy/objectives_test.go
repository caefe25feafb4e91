package deploy_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	agent "ghostlight/collector/config"
	"ghostlight/edgecore"
)

// TestShippedObjectivesCanBeCounted accepts all objectives that come with Ghostlight
// in one agent, and finds each metric that they name, with the labels they ask for,
// where edgecore exposes it before anything was sold.
func TestShippedObjectivesCanBeCounted(t *testing.T) {
	exposed := scrapeEdgecore(t)
	c, err := agent.Decode("agent.yaml", []byte(`
node: {region: london, venue: soho, name: soho-1}
data_dir: d
fleet: {url: "http://f", token: t}
edgecore: {url: "http://e:1", admin_url: "http://e:2", admin_token: t, synthetic_key: "01234567890123456789012345678901"}
scrape: {targets: [{job: edgecore, url: "http://e:2/metrics"}]}
journeys: [{shipped: revenue-path}]
objectives: [{shipped: checkout}, {shipped: venue}]
`))
	if err != nil {
		t.Fatal(err)
	}
	objectives := c.AllObjectives()
	if len(objectives) != 12 {
		t.Errorf("%d objectives are shipped, want 12", len(objectives))
	}
	asked := 0
	for _, o := range objectives {
		var all []selector
		if i := o.Indicator.Counter; i != nil {
			for _, s := range slices.Concat(i.Good, i.Bad, i.Total) {
				all = append(all, s)
			}
		}
		// The battery's charge is the agent's own; its test is in collector/health.
		if i := o.Indicator.Gauge; i != nil && i.Selector.Metric != "ghostlight_battery_charge_ratio" {
			all = append(all, i.Selector)
		}
		for _, s := range all {
			asked++
			takes, err := s.Compile()
			if err != nil {
				t.Fatal(err)
			}
			if !exposed(takes) {
				t.Errorf("objective %s counts %s, which edgecore does not expose", o.Name, s)
			}
		}
	}
	if asked < 9 {
		t.Errorf("only %d selectors were looked at", asked)
	}
}

// selector is what a test needs of a selector of series.
type selector interface {
	fmt.Stringer
	Compile() (func(metric string, label func(string) string) bool, error)
}

// scrapeEdgecore runs a node and returns whether a selector takes any of its series.
func scrapeEdgecore(t *testing.T) func(takes func(string, func(string) string) bool) bool {
	t.Helper()
	cfg := edgecore.Default()
	cfg.Role, cfg.Name, cfg.Listen, cfg.DataDir = edgecore.RoleNode, "soho-1", "127.0.0.1:0", filepath.Join(t.TempDir(), "edge")
	cfg.Admin = edgecore.Admin{Listen: "127.0.0.1:0", Token: "admin"}
	cfg.Hub = edgecore.Hub{URL: "http://127.0.0.1:1", Token: "hub"}
	cfg.SyntheticKey = strings.Repeat("k", 32)
	app, err := edgecore.New(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- app.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+app.AdminAddr()+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	type series struct {
		metric string
		labels map[string]string
	}
	var all []series
	for name, f := range families {
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			h := m.GetHistogram()
			if h == nil {
				all = append(all, series{name, labels})
				continue
			}
			all = append(all, series{name + "_count", labels})
			for _, b := range h.GetBucket() {
				all = append(all, series{name + "_bucket", map[string]string{"le": fmt.Sprint(b.GetUpperBound())}})
			}
		}
	}
	return func(takes func(string, func(string) string) bool) bool {
		for _, s := range all {
			if takes(s.metric, func(label string) string { return s.labels[label] }) {
				return true
			}
		}
		return false
	}
}
