package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ghostlight/slo"
	"ghostlight/slo/shipped"
)

// checkRules has promtool check a rule file.
func checkRules(t *testing.T, file string) {
	t.Helper()
	tool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("no promtool here; make deps installs it")
	}
	if out, err := exec.Command(tool, "check", "rules", file).CombinedOutput(); err != nil || !strings.Contains(string(out), "SUCCESS") {
		text, _ := os.ReadFile(file)
		t.Errorf("promtool: %v\n%s\n%s", err, out, text)
	}
}

func TestPromtoolTakesTheRules(t *testing.T) {
	dir := t.TempDir()
	file, rules := filepath.Join(dir, "checkout.yaml"), filepath.Join(dir, "rules.yaml")
	if err := os.WriteFile(file, shipped.Checkout(), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, by := range [][]string{nil, {"--by", "venue,node"}} {
		if _, err := run(t, append([]string{"slo", "rules", file, "-o", rules}, by...)...); err != nil {
			t.Fatal(err)
		}
		checkRules(t, rules)
	}
}

// Every method and every indicator that a metric tells has rules that promtool
// takes and that name what is counted.
func TestRulesOfEveryKind(t *testing.T) {
	lag := slo.Selector{Metric: "lag_seconds", Matchers: []slo.Matcher{{Label: "queue", Op: "=~", Value: "a|b"}}}
	good, all := slo.Selector{Metric: "good_total"}, slo.Selector{Metric: "all_total"}
	for name, c := range map[string]struct {
		indicator slo.Indicator
		method    slo.Method
		want      string
	}{
		"outcomes": {slo.Indicator{Outcome: &slo.OutcomeIndicator{Kind: "order"}}, slo.Occurrences, `edgecore_outcomes_total{good="true",kind="order"}[5m]`},
		"journey":  {slo.Indicator{Journey: &slo.JourneyIndicator{Name: "shop"}}, slo.Occurrences, `ghostlight_journey_runs_total{journey="shop",result="pass"}[5m]`},
		"good":     {slo.Indicator{Counter: &slo.CounterIndicator{Good: []slo.Selector{good}, Total: []slo.Selector{all, good}}}, slo.Timeslices, `>= bool 0.9)[5m:1m])`},
		"bad":      {slo.Indicator{Counter: &slo.CounterIndicator{Bad: []slo.Selector{good}, Total: []slo.Selector{all}}}, slo.RatioTimeslices, `[6h:1m])`},
		"gauge":    {slo.Indicator{Gauge: &slo.GaugeIndicator{Selector: lag, Op: slo.LessOrEqual, Value: 1.5}}, slo.Occurrences, `lag_seconds{queue=~"a|b"} <= bool 1.5`},
	} {
		t.Run(name, func(t *testing.T) {
			o := slo.Objective{
				Name: name, DisplayName: name, Service: "shop", Target: 0.99, Indicator: c.indicator, Budgeting: c.method, MinTraffic: 3,
				Slice: slo.Slice{Minutes: 1, Target: 0.9}, Window: slo.Window{Count: 30, Unit: slo.Day, Rolling: true},
			}
			if err := o.Validate(); err != nil {
				t.Fatal(err)
			}
			text, err := ruleText([]slo.Objective{o}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(strings.ReplaceAll(string(text), `\"`, `"`), c.want) {
				t.Errorf("no %s in\n%s", c.want, text)
			}
			file := filepath.Join(t.TempDir(), "rules.yaml")
			if err := os.WriteFile(file, text, 0o600); err != nil {
				t.Fatal(err)
			}
			checkRules(t, file)
		})
	}
}
