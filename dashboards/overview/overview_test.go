package overview_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/prometheus/prometheus/promql/parser"

	"ghostlight/dashboards/overview"
)

const file = "../grafana/dashboards/ghostlight-overview.json"

func TestCommittedDashboardIsUpToDate(t *testing.T) {
	want, err := overview.Board().JSON()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what the code describes; run: go run ./dashboards/generate", file)
	}
}

// TestGrafanaAcceptsTheDashboard reads the file as Grafana's own schema has it:
// unknown fields and wrong types are errors.
func TestGrafanaAcceptsTheDashboard(t *testing.T) {
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	plugins.RegisterDefaultPlugins()
	var d dashboard.Dashboard
	if err := d.UnmarshalJSONStrict(raw); err != nil {
		t.Fatal(err)
	}
	if err := d.Validate(); err != nil {
		t.Fatal(err)
	}
	var panels, targets int
	ids := map[uint32]bool{}
	for _, p := range d.Panels {
		if p.RowPanel != nil {
			continue
		}
		panels++
		targets += len(p.Panel.Targets)
		if p.Panel.Id == nil || ids[*p.Panel.Id] {
			t.Errorf("panel %q has no id of its own", *p.Panel.Title)
			continue
		}
		ids[*p.Panel.Id] = true
		if p.Panel.Datasource == nil || *p.Panel.Datasource.Uid != "${datasource}" {
			t.Errorf("panel %q does not use the data source variable", *p.Panel.Title)
		}
	}
	if queries := len(overview.Queries()); panels < 30 || targets != queries {
		t.Errorf("%d panels with %d targets, %d queries listed", panels, targets, queries)
	}
	names := []string{}
	for _, v := range d.Templating.List {
		names = append(names, v.Name+":"+string(v.Type))
	}
	if got := strings.Join(names, " "); got != "datasource:datasource venue:query" {
		t.Errorf("variables %q", got)
	}
}

func TestQueriesParse(t *testing.T) {
	for _, q := range overview.Queries() {
		if _, err := parser.NewParser(parser.Options{}).ParseExpr(q.Expr); err != nil || strings.Contains(q.Expr, "$") {
			t.Errorf("%s: %s: %v", q.Panel, q.Expr, err)
		}
	}
}
