package board

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/promql/parser"

	"ghostlight/dashboards/metrics"
)

// Check reports everything in the board that a reader could stumble over.
func (b Board) Check() error {
	var errs []error
	bad := func(where, format string, args ...any) {
		errs = append(errs, fmt.Errorf("board %s: %s: %s", b.UID, where, fmt.Sprintf(format, args...)))
	}
	if b.UID == "" || b.Title == "" || b.Description == "" {
		bad("head", "uid, title and description must all be given")
	}
	seen := map[string]bool{}
	for _, row := range b.Rows {
		if row.Title == "" || len(row.Panels) == 0 {
			bad("row "+row.Title, "must have a title and panels")
		}
		for _, p := range row.Panels {
			where := row.Title + " / " + p.Title
			if seen[p.Title] {
				bad(where, "title is used twice")
			}
			seen[p.Title] = true
			for _, problem := range b.checkPanel(p) {
				bad(where, "%s", problem)
			}
		}
		if problem := checkWidths(row); problem != "" {
			bad("row "+row.Title, "%s", problem)
		}
	}
	for _, v := range b.Variables {
		m, ok := metrics.Find(v.Metric)
		if !ok || !hasLabel(m, v.From) {
			bad("variable "+v.Name, "there is no label %q on a metric %q", v.From, v.Metric)
		}
	}
	return errors.Join(errs...)
}

// checkWidths reports panels that do not fill their lines.
func checkWidths(row Row) string {
	var line uint32
	for _, p := range row.Panels {
		if line += p.Width; line > 24 {
			return fmt.Sprintf("panel %q runs over the line", p.Title)
		}
		if line == 24 {
			line = 0
		}
	}
	if line != 0 {
		return fmt.Sprintf("the last line is %d of 24 wide", line)
	}
	return ""
}

func (b Board) checkPanel(p Panel) []string {
	var out []string
	if p.Title == "" || p.Description == "" {
		out = append(out, "has no title or no description")
	}
	if p.Height == 0 || p.Width == 0 {
		out = append(out, "has no size")
	}
	if (p.Unit == "") != (p.Kind == Table) {
		out = append(out, "must have a unit; a table has one for each query instead")
	}
	if (p.Key == "") == (p.Kind == Table) {
		out = append(out, "a table, and nothing else, has a key")
	}
	if len(p.Queries) == 0 {
		out = append(out, "asks nothing")
	}
	for _, q := range p.Queries {
		if q.Legend == "" {
			out = append(out, fmt.Sprintf("query %q has no legend", q.Expr))
		}
		if (q.Unit == "") == (p.Kind == Table) {
			out = append(out, fmt.Sprintf("query %q: a table's query, and no other, has a unit", q.Expr))
		}
		out = append(out, b.checkExpr(q.Expr)...)
	}
	return out
}

// plainRange is a range that is no subquery.
var plainRange = regexp.MustCompile(`\[([^\]:]+)\]`)

// checkExpr parses a query as Grafana would send it and looks up what it names.
func (b Board) checkExpr(raw string) []string {
	var out []string
	for _, window := range plainRange.FindAllStringSubmatch(raw, -1) {
		if window[1] != "$__rate_interval" {
			out = append(out, fmt.Sprintf("%s: range [%s]; use [$__rate_interval]", raw, window[1]))
		}
	}
	if len(b.Variables) > 0 && !strings.Contains(raw, "$"+b.Variables[0].Name) {
		out = append(out, fmt.Sprintf("%s: does not follow the variable $%s", raw, b.Variables[0].Name))
	}
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(b.Substitute(raw))
	if err != nil {
		return append(out, fmt.Sprintf("%s: %v", raw, err))
	}
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		if sel, ok := n.(*parser.VectorSelector); ok {
			out = append(out, checkSelector(sel)...)
		}
		return nil
	})
	return append(out, checkGroupings(expr)...)
}

// nameLabel is the label that holds a series' name.
const nameLabel = "__name__"

func checkSelector(sel *parser.VectorSelector) []string {
	m, ok := metrics.Find(sel.Name)
	if !ok {
		return []string{fmt.Sprintf("metric %q is not in the list of metrics", sel.Name)}
	}
	var out []string
	for _, matcher := range sel.LabelMatchers {
		if matcher.Name != nameLabel && !hasLabel(m, matcher.Name) {
			out = append(out, fmt.Sprintf("metric %s has no label %q", m.Name, matcher.Name))
		}
	}
	return out
}

// checkGroupings reports labels grouped by that none of the metrics below has.
func checkGroupings(expr parser.Expr) []string {
	var out []string
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		agg, ok := n.(*parser.AggregateExpr)
		if !ok {
			return nil
		}
		for _, label := range agg.Grouping {
			if !anyHas(agg.Expr, label) {
				out = append(out, fmt.Sprintf("%s: no metric in it has the label %q", agg, label))
			}
		}
		return nil
	})
	return out
}

func anyHas(expr parser.Expr, label string) bool {
	found := false
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		if sel, ok := n.(*parser.VectorSelector); ok {
			if m, ok := metrics.Find(sel.Name); ok && hasLabel(m, label) {
				found = true
			}
		}
		return nil
	})
	return found
}

func hasLabel(m metrics.Metric, label string) bool {
	return slices.Contains(m.Labels, label) || slices.Contains(metrics.CommonLabels(), label) ||
		m.Kind == metrics.Histogram && label == "le"
}

// Substitute puts values for a board's variables into an expression: all values of
// each variable, and ranges that suit a scrape every few seconds.
func (b Board) Substitute(expr string) string {
	pairs := []string{"$__rate_interval", "1m", "$__interval", "15s", "$__range", "15m"}
	for _, v := range b.Variables {
		pairs = append(pairs, "$"+v.Name, ".+")
	}
	return strings.NewReplacer(pairs...).Replace(expr)
}

// Queries lists all queries of the board, variables substituted.
func (b Board) Queries() []PanelQuery {
	var out []PanelQuery
	for _, row := range b.Rows {
		for _, p := range row.Panels {
			for _, q := range p.Queries {
				out = append(out, PanelQuery{Panel: p.Title, Expr: b.Substitute(q.Expr), Instant: p.Kind == Stat || p.Kind == Table})
			}
		}
	}
	return out
}
