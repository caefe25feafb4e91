package slo_test

import (
	"math"
	"testing"

	"ghostlight/slo"
)

func TestSelector(t *testing.T) {
	series := map[string]string{"code": "503", "le": "0.20", "method": "get"}
	label := func(name string) string { return series[name] }
	match := func(label, op, value string) slo.Matcher { return slo.Matcher{Label: label, Op: op, Value: value} }
	for _, c := range []struct {
		s    slo.Selector
		text string
		want bool
	}{
		{slo.Selector{Metric: "x"}, "x", true},
		{slo.Selector{Metric: "y"}, "y", false},
		{slo.Selector{Metric: "x", Matchers: []slo.Matcher{match("method", "=", "get"), match("code", "!=", "200")}}, `x{code!="200",method="get"}`, true},
		{slo.Selector{Metric: "x", Matchers: []slo.Matcher{match("code", "=~", "5..")}}, `x{code=~"5.."}`, true},
		{slo.Selector{Metric: "x", Matchers: []slo.Matcher{match("code", "=~", "5")}}, `x{code=~"5"}`, false}, // anchored
		{slo.Selector{Metric: "x", Matchers: []slo.Matcher{match("code", "!~", "5..|4..")}}, `x{code!~"5..|4.."}`, false},
		{slo.Selector{Metric: "x", Matchers: []slo.Matcher{match("absent", "=", "")}}, `x{absent=""}`, true},
		{slo.Selector{Metric: "x", Matchers: []slo.Matcher{match("absent", "!=", "")}}, `x{absent!=""}`, false},
		{slo.Selector{Metric: "x", Matchers: []slo.Matcher{match("le", "=", "2e-1"), match("le", "=", "0.2")}}, `x{le="0.2"}`, true}, // one bound
	} {
		s := c.s.Canonical()
		takes, err := s.Compile()
		if err != nil {
			t.Fatal(err)
		}
		if got := takes("x", label); got != c.want || s.String() != c.text {
			t.Errorf("%s takes the series: %v; want %s: %v", s, got, c.text, c.want)
		}
	}
	for _, s := range []slo.Selector{
		{},
		{Metric: "1x"},
		{Metric: "x", Matchers: []slo.Matcher{match("", "=", "a")}},
		{Metric: "x", Matchers: []slo.Matcher{match("a", "~", "a")}},
		{Metric: "x", Matchers: []slo.Matcher{match("a", "=~", "(")}},
	} {
		if s.Validate() == nil {
			t.Errorf("%s is accepted", s)
		}
	}
}

func TestOperator(t *testing.T) {
	for op, want := range map[slo.Operator][3]bool{
		slo.Less: {true, false, false}, slo.LessOrEqual: {true, true, false},
		slo.Greater: {false, false, true}, slo.GreaterOrEqual: {false, true, true}, "eq": {},
	} {
		if got := [3]bool{op.Holds(1, 2), op.Holds(2, 2), op.Holds(3, 2)}; got != want {
			t.Errorf("1, 2 and 3 %s 2: %v, want %v", op, got, want)
		}
		if op.Holds(math.NaN(), 2) {
			t.Errorf("no number is %s 2", op)
		}
	}
}

func TestIndicatorsAreRefused(t *testing.T) {
	x := []slo.Selector{{Metric: "x"}}
	for name, i := range map[string]slo.Indicator{
		"nothing":      {},
		"two":          {Outcome: &slo.OutcomeIndicator{Kind: "order"}, Contact: &slo.ContactIndicator{}},
		"no total":     {Counter: &slo.CounterIndicator{Good: x}},
		"good and bad": {Counter: &slo.CounterIndicator{Good: x, Bad: x, Total: x}},
		"no gauge":     {Gauge: &slo.GaugeIndicator{Op: slo.Less}},
		"infinite":     {Gauge: &slo.GaugeIndicator{Selector: x[0], Op: slo.Less, Value: math.Inf(1)}},
		"operator":     {Gauge: &slo.GaugeIndicator{Selector: x[0], Op: "eq"}},
		"too fast":     {Velocity: &slo.VelocityIndicator{Seconds: 59}},
		"too far back": {Baseline: &slo.BaselineIndicator{Days: 367}},
		"too slow":     {Recovery: &slo.RecoveryIndicator{Seconds: 604_801}},
	} {
		if i.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
