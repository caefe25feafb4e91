package openslo

import (
	"fmt"
	"strings"

	"github.com/prometheus/prometheus/promql/parser"

	"ghostlight/internal/strictyaml"
	"ghostlight/slo"
)

const maxQuery = 2000 // bytes

// counters is the indicator of a ratio of Prometheus counters.
func (r ratioMetric) counters() (slo.Indicator, error) {
	c := &slo.CounterIndicator{}
	for _, part := range []struct {
		field string
		of    *metric
		to    *[]slo.Selector
	}{{"good", r.Good, &c.Good}, {"bad", r.Bad, &c.Bad}, {"total", r.Total, &c.Total}} {
		if part.of == nil {
			continue
		}
		found, err := part.of.MetricSource.selectors()
		if err != nil {
			return slo.Indicator{}, strictyaml.Under("ratioMetric."+part.field+".metricSource", err)
		}
		*part.to = found
	}
	return slo.Indicator{Counter: c}, nil
}

// gauge is the indicator of a gauge's samples. Op and value are the objective's.
func gauge(m metricSource, o objective) (slo.Indicator, error) {
	found, err := m.selectors()
	switch {
	case err != nil:
		return slo.Indicator{}, strictyaml.Under("thresholdMetric.metricSource", err)
	case len(found) != 1:
		return slo.Indicator{}, strictyaml.Fieldf("thresholdMetric.metricSource.spec.query", "names %d gauges: the samples of one are compared, each by itself; evaluated: one selector", len(found))
	case o.Value == nil || o.Op == "":
		return slo.Indicator{}, strictyaml.Fieldf("thresholdMetric", "is compared with nothing; write op and value in the SLO's objective")
	}
	g := &slo.GaugeIndicator{Selector: found[0], Op: slo.Operator(o.Op), Value: float64(*o.Value)}
	if err := (slo.Indicator{Gauge: g}).Validate(); err != nil {
		return slo.Indicator{}, strictyaml.Fieldf("thresholdMetric", "%v", err)
	}
	return slo.Indicator{Gauge: g}, nil
}

// selectors are what a Prometheus source sums up.
func (m metricSource) selectors() ([]slo.Selector, error) {
	if !strings.EqualFold(string(m.Type), prometheusType) {
		return nil, strictyaml.Fieldf("type", "is %q: a node asks no data source and counts by itself; evaluated: %s, %s", m.Type, sourceType, prometheusType)
	}
	query, ok := m.Spec["query"].(string)
	switch {
	case !ok || len(m.Spec) != 1:
		return nil, strictyaml.Fieldf("spec", "must be a query and nothing else")
	case len(query) > maxQuery:
		return nil, strictyaml.Fieldf("spec.query", "is %d bytes long; evaluated: %d", len(query), maxQuery)
	}
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(query)
	if err != nil {
		return nil, strictyaml.Fieldf("spec.query", "is no PromQL: %v", err)
	}
	found, err := summands(expr)
	if err != nil {
		return nil, strictyaml.Fieldf("spec.query", "is not evaluated: %v", err)
	}
	return found, nil
}

// summands are the selectors that a query adds up. A node keeps no series and
// has no PromQL engine: it takes what counters grew by from one scrape to the
// next, so that a sum of selectors is all there is.
func summands(expr parser.Expr) ([]slo.Selector, error) {
	const allowed = "evaluated: a sum of selectors, such as sum(http_requests_total{code!~\"5..\"})"
	switch e := expr.(type) {
	case *parser.ParenExpr:
		return summands(e.Expr)
	case *parser.BinaryExpr:
		if e.Op != parser.ADD || e.VectorMatching != nil && (len(e.VectorMatching.MatchingLabels) > 0 || e.VectorMatching.On) {
			return nil, fmt.Errorf("%s does more than add up; %s", e, allowed)
		}
		left, err := summands(e.LHS)
		if err != nil {
			return nil, err
		}
		right, err := summands(e.RHS)
		return append(left, right...), err
	case *parser.AggregateExpr:
		if e.Op != parser.SUM {
			return nil, fmt.Errorf("%s() is not additive over nodes and time; %s", e.Op, allowed)
		}
		if len(e.Grouping) > 0 || e.Without {
			return nil, fmt.Errorf("sum by labels has no one result; leave out by and without; %s", allowed)
		}
		return summands(e.Expr)
	case *parser.VectorSelector:
		return selector(e)
	case *parser.Call:
		if name := e.Func.Name; name == "rate" || name == "increase" || name == "irate" {
			return nil, fmt.Errorf("%s() is taken by the node itself, from one scrape to the next: name the counter without it; %s", name, allowed)
		}
		return nil, fmt.Errorf("%s() needs a PromQL engine, which a node does not have; %s", e.Func.Name, allowed)
	}
	return nil, fmt.Errorf("%s names no counter; %s", expr, allowed)
}

func selector(e *parser.VectorSelector) ([]slo.Selector, error) {
	if e.OriginalOffset != 0 || e.Timestamp != nil || e.StartOrEnd != 0 || e.Anchored || e.Smoothed {
		return nil, fmt.Errorf("%s looks at another time; leave out offset and @", e)
	}
	var s slo.Selector
	for _, m := range e.LabelMatchers {
		if m.Name == "__name__" {
			if s.Metric != "" || m.Type.String() != "=" {
				return nil, fmt.Errorf("%s does not name one metric", e)
			}
			s.Metric = m.Value
			continue
		}
		s.Matchers = append(s.Matchers, slo.Matcher{Label: m.Name, Op: m.Type.String(), Value: m.Value})
	}
	s = s.Canonical()
	return []slo.Selector{s}, s.Validate()
}
