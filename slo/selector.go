package slo

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A Selector takes Prometheus series by metric name and labels, as an instant
// vector selector does.
type Selector struct {
	Metric   string    `json:"metric"`
	Matchers []Matcher `json:"matchers,omitempty"` // by label, operator and value; all must match
}

// A Matcher compares one label; a label that a series lacks is empty.
type Matcher struct {
	Label string `json:"label"`
	Op    string `json:"op"` // =, !=, =~ or !~
	Value string `json:"value"`
}

// Canonical sorts the matchers, drops repeats and writes a histogram's upper
// bound as Prometheus clients do, so that equal selectors look equal.
func (s Selector) Canonical() Selector {
	s.Matchers = slices.Clone(s.Matchers)
	for i, m := range s.Matchers {
		if bound, err := strconv.ParseFloat(m.Value, 64); m.Label == "le" && m.Op == "=" && err == nil {
			s.Matchers[i].Value = formatBound(bound)
		}
	}
	slices.SortFunc(s.Matchers, func(a, b Matcher) int {
		return slices.Compare([]string{a.Label, a.Op, a.Value}, []string{b.Label, b.Op, b.Value})
	})
	s.Matchers = slices.Compact(s.Matchers)
	return s
}

func formatBound(bound float64) string {
	if text := strconv.FormatFloat(bound, 'g', -1, 64); text != "+Inf" {
		return text
	}
	return "+Inf"
}

// String is the selector as PromQL writes it.
func (s Selector) String() string {
	if len(s.Matchers) == 0 {
		return s.Metric
	}
	text := make([]string, len(s.Matchers))
	for i, m := range s.Matchers {
		text[i] = m.Label + m.Op + strconv.Quote(m.Value)
	}
	return s.Metric + "{" + strings.Join(text, ",") + "}"
}

var (
	metricPattern = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`)
	labelPattern  = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)
)

// Validate reports a selector that takes no series.
func (s Selector) Validate() error {
	if !metricPattern.MatchString(s.Metric) {
		return fmt.Errorf("the selector %s names no metric", s)
	}
	_, err := s.Compile()
	return err
}

// Compile prepares the selector for many series. The result takes the metric's
// name and a function that returns the value of a label.
func (s Selector) Compile() (func(metric string, label func(string) string) bool, error) {
	tests := make([]func(func(string) string) bool, len(s.Matchers))
	for i, m := range s.Matchers {
		if !labelPattern.MatchString(m.Label) {
			return nil, fmt.Errorf("the selector %s has a label %q", s, m.Label)
		}
		match, err := m.compile()
		if err != nil {
			return nil, fmt.Errorf("the selector %s: %w", s, err)
		}
		tests[i] = func(label func(string) string) bool { return match(label(m.Label)) }
	}
	return func(metric string, label func(string) string) bool {
		if metric != s.Metric {
			return false
		}
		for _, test := range tests {
			if !test(label) {
				return false
			}
		}
		return true
	}, nil
}

func (m Matcher) compile() (func(string) bool, error) {
	switch m.Op {
	case "=":
		if bound, err := strconv.ParseFloat(m.Value, 64); m.Label == "le" && err == nil {
			// Producers write one bound as 1, 1.0 or 1e+00.
			return func(v string) bool { got, err := strconv.ParseFloat(v, 64); return err == nil && got == bound }, nil
		}
		return func(v string) bool { return v == m.Value }, nil
	case "!=":
		return func(v string) bool { return v != m.Value }, nil
	case "=~", "!~":
		re, err := regexp.Compile("^(?s:" + m.Value + ")$") // anchored, as Prometheus has it
		if err != nil {
			return nil, fmt.Errorf("label %s: %w", m.Label, err)
		}
		return func(v string) bool { return re.MatchString(v) == (m.Op == "=~") }, nil
	}
	return nil, fmt.Errorf("label %s is compared by %q; allowed: =, !=, =~, !~", m.Label, m.Op)
}
