package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"ghostlight/slo"
	"ghostlight/slo/openslo"
)

// sloRulesCmd writes burn alerts for those who watch with Prometheus.
type sloRulesCmd struct {
	File string   `arg:"" help:"An OpenSLO v1 file."`
	By   []string `placeholder:"LABEL" help:"Judge each value of these labels by itself, such as venue."`
	Out  string   `short:"o" placeholder:"FILE" help:"Write to this file instead of standard output."`
}

func (c *sloRulesCmd) Run(out io.Writer) error {
	objectives, err := openslo.Load(c.File)
	if err != nil {
		return err
	}
	text, err := ruleText(objectives, c.By)
	if err != nil {
		return err
	}
	if c.Out != "" {
		if err := os.WriteFile(c.Out, text, 0o644); err != nil {
			return fmt.Errorf("write the rules: %w", err)
		}
		return nil
	}
	if _, err := out.Write(text); err != nil {
		return fmt.Errorf("print the rules: %w", err)
	}
	return nil
}

// ruleText is the rule file of some objectives, a group each.
func ruleText(objectives []slo.Objective, by []string) ([]byte, error) {
	var file ruleFile
	for _, o := range objectives {
		g, err := rulesOf(o, by)
		if err != nil {
			return nil, fmt.Errorf("rules of %s: %w", o.Name, err)
		}
		file.Groups = append(file.Groups, g)
	}
	text, err := yaml.Marshal(file)
	if err != nil {
		return nil, fmt.Errorf("write the rules: %w", err)
	}
	return append([]byte("# Burn alerts, written by ghostlight slo rules. Do not edit: change the objective.\n"), text...), nil
}

type ruleFile struct {
	Groups []ruleGroup `yaml:"groups"`
}

type ruleGroup struct {
	Name  string `yaml:"name"`
	Rules []rule `yaml:"rules"`
}

type rule struct {
	Record      string            `yaml:"record,omitempty"`
	Alert       string            `yaml:"alert,omitempty"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for,omitempty"`
	Labels      map[string]string `yaml:"labels,omitempty"`
	Annotations map[string]string `yaml:"annotations,omitempty"`
}

// rulesOf records the error ratio over each window once, and alerts where both
// windows of a tier burn too fast.
func rulesOf(o slo.Objective, by []string) (ruleGroup, error) {
	q, err := queriesOf(o, by)
	if err != nil {
		return ruleGroup{}, err
	}
	g := ruleGroup{Name: "slo-" + o.Name}
	recorded := map[time.Duration]bool{}
	tiers := o.BurnTiers()
	if len(tiers) == 0 {
		return g, fmt.Errorf("no burn alert can fire with a target of %s: raise the target", share(o.Target))
	}
	for _, t := range tiers {
		for _, w := range []time.Duration{t.Short, t.Long} {
			if recorded[w] {
				continue
			}
			recorded[w] = true
			g.Rules = append(g.Rules, rule{Record: recordName(w), Expr: q.errorRatio(w), Labels: map[string]string{"objective": o.Name}})
		}
	}
	for _, t := range tiers {
		g.Rules = append(g.Rules, q.alert(o, t))
	}
	return g, nil
}

func recordName(w time.Duration) string { return "slo:error_ratio:" + promDuration(w) }

// queries are the PromQL of one objective.
type queries struct {
	good, total func(window string) string // events within a window
	by          string                     // grouping, or ""
	o           slo.Objective
}

// queriesOf says where Prometheus finds what the indicator counts.
func queriesOf(o slo.Objective, by []string) (queries, error) {
	q := queries{o: o}
	if len(by) > 0 {
		q.by = " by (" + strings.Join(by, ", ") + ")"
	}
	switch i := o.Indicator; {
	case i.Outcome != nil:
		q.total = q.grown(selectorText("edgecore_outcomes_total", "kind", i.Outcome.Kind))
		q.good = q.grown(selectorText("edgecore_outcomes_total", "good", "true", "kind", i.Outcome.Kind))
	case i.Journey != nil:
		q.total = q.grown(selectorText("ghostlight_journey_runs_total", "journey", i.Journey.Name))
		q.good = q.grown(selectorText("ghostlight_journey_runs_total", "journey", i.Journey.Name, "result", "pass"))
	case i.Counter != nil:
		q.total = q.grown(i.Counter.Total...)
		if q.good = q.grown(i.Counter.Good...); len(i.Counter.Good) == 0 {
			bad := q.grown(i.Counter.Bad...)
			q.good = func(w string) string { return "(" + q.total(w) + " - " + bad(w) + ")" }
		}
	case i.Gauge != nil:
		compare := map[slo.Operator]string{slo.Less: "<", slo.LessOrEqual: "<=", slo.Greater: ">", slo.GreaterOrEqual: ">="}[i.Gauge.Op]
		q.total = func(w string) string {
			return fmt.Sprintf("sum%s (count_over_time(%s[%s]))", q.by, i.Gauge.Selector, w)
		}
		q.good = func(w string) string {
			return fmt.Sprintf("sum%s (sum_over_time((%s %s bool %s)[%s:1m]) / count_over_time(%s[%s:1m]) * count_over_time(%s[%s]))",
				q.by, i.Gauge.Selector, compare, strconv.FormatFloat(i.Gauge.Value, 'g', -1, 64), w, i.Gauge.Selector, w, i.Gauge.Selector, w)
		}
	default:
		return q, errors.New("no metric tells what it counts: only Ghostlight itself can judge it")
	}
	return q, nil
}

func selectorText(metric string, labels ...string) slo.Selector {
	s := slo.Selector{Metric: metric}
	for i := 0; i < len(labels); i += 2 {
		s.Matchers = append(s.Matchers, slo.Matcher{Label: labels[i], Op: "=", Value: labels[i+1]})
	}
	return s
}

// grown is what counters grew by within a window.
func (q queries) grown(selectors ...slo.Selector) func(string) string {
	return func(w string) string {
		parts := make([]string, len(selectors))
		for i, s := range selectors {
			parts[i] = fmt.Sprintf("sum%s (increase(%s[%s]))", q.by, s, w)
		}
		if len(parts) == 1 {
			return parts[0]
		}
		return "(" + strings.Join(parts, " + ") + ")"
	}
}

// errorRatio is the share of bad events, or slices, within a window.
func (q queries) errorRatio(w time.Duration) string {
	window, slice := promDuration(w), promDuration(time.Duration(q.o.Slice.Minutes)*time.Minute)
	switch q.o.Budgeting {
	case slo.Timeslices:
		return fmt.Sprintf("1 - avg_over_time((%s / %s >= bool %v)[%s:%s])", q.good(slice), q.total(slice), q.o.Slice.Target, window, slice)
	case slo.RatioTimeslices:
		return fmt.Sprintf("1 - avg_over_time((%s / %s)[%s:%s])", q.good(slice), q.total(slice), window, slice)
	}
	return fmt.Sprintf("1 - %s / %s", q.good(window), q.total(window))
}

// alert is one tier.
func (q queries) alert(o slo.Objective, t slo.Tier) rule {
	limit := strconv.FormatFloat(t.Rate*(1-o.Target), 'g', 10, 64)
	over := func(w time.Duration) string {
		return fmt.Sprintf("%s{objective=%q} > %s", recordName(w), o.Name, limit)
	}
	r := rule{
		Alert: "ErrorBudgetBurn",
		Expr:  over(t.Long) + " and " + over(t.Short),
		Labels: map[string]string{
			"objective": o.Name, "service": o.Service, "severity": string(t.Urgency),
			"long_window": promDuration(t.Long), "short_window": promDuration(t.Short),
		},
		Annotations: map[string]string{
			"summary": fmt.Sprintf("%s burns its error budget %.3g times too fast", o.DisplayName, t.Rate),
			"description": fmt.Sprintf("More than %s of the budget of %s went within %s: {{ $value | humanizePercentage }} of the events fail. %s",
				rough(t.Share), o.Window, span(t.Long.Seconds()), sentence(o)),
		},
	}
	if o.MinTraffic > 0 {
		r.Expr += fmt.Sprintf(" and on () (%s >= %d)", q.total(promDuration(t.Long)), o.MinTraffic)
		if q.by != "" {
			r.Expr = strings.Replace(r.Expr, "and on ()", "and on"+strings.TrimPrefix(q.by, " by"), 1)
		}
	}
	if t.After > 0 {
		r.For = promDuration(t.After)
	}
	return r
}

// promDuration writes whole minutes as Prometheus does.
func promDuration(d time.Duration) string {
	switch {
	case d%(24*time.Hour) == 0:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dm", d/time.Minute)
}
