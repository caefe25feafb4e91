package main

import (
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// metrics are the blocks as the collector's Prometheus receiver makes them: a
// resource for each target, classic histograms and summaries as one point each.
func metrics(set *dataSet, blocks [][]scrape) []pmetric.Metrics {
	places := make([]place, len(set.series))
	for i, s := range set.series {
		places[i] = placeOf(s)
	}
	out := make([]pmetric.Metrics, len(blocks))
	for i, b := range blocks {
		w := writer{Metrics: pmetric.NewMetrics(), begin: pcommon.NewTimestampFromTime(time.UnixMilli(set.scrapes[0].time)), scopes: map[string]pmetric.ScopeMetrics{}, metrics: map[string]pmetric.Metric{}}
		for _, sc := range b {
			w.scrape(sc, places)
		}
		out[i] = w.Metrics
	}
	return out
}

// place is where a series belongs.
type place struct {
	job, instance string
	kind, family  string
	part          string // what the series is of its family: "", _bucket, _sum, _count, or quantile
	bound         float64
	attributes    labels.Labels // without those of the resource and the bound
	point         string        // names the point within its family
}

func placeOf(s series) place {
	p := place{kind: s.kind, family: s.labels.Get("__name__"), job: s.labels.Get("job"), instance: s.labels.Get("instance")}
	drop := []string{"__name__", "job", "instance"}
	if s.kind == "histogram" || s.kind == "summary" {
		for _, part := range []string{"_bucket", "_sum", "_count"} {
			if family, ok := strings.CutSuffix(p.family, part); ok {
				p.family, p.part = family, part
			}
		}
		for _, bound := range []string{"le", "quantile"} {
			if v := s.labels.Get(bound); v != "" {
				p.bound, _ = strconv.ParseFloat(v, 64)
				drop = append(drop, bound)
			}
		}
	}
	p.attributes = labels.NewBuilder(s.labels).Del(drop...).Labels()
	p.point = p.attributes.String()
	return p
}

// writer builds one request.
type writer struct {
	pmetric.Metrics
	begin   pcommon.Timestamp
	scopes  map[string]pmetric.ScopeMetrics
	metrics map[string]pmetric.Metric
}

// collected is a histogram or summary while its series come in.
type collected struct {
	place
	bounds     []bounded
	sum, count float64
}

type bounded struct{ bound, value float64 }

func (w *writer) scrape(sc scrape, places []place) {
	at := pcommon.NewTimestampFromTime(time.UnixMilli(sc.time))
	open := map[string]*collected{}
	var order []*collected
	for i, id := range sc.series {
		p := places[id]
		switch p.kind {
		case "histogram", "summary":
			key := w.key(p) + p.point
			c := open[key]
			if c == nil {
				c = &collected{place: p}
				open[key], order = c, append(order, c)
			}
			switch p.part {
			case "_sum":
				c.sum = sc.values[i]
			case "_count":
				c.count = sc.values[i]
			default:
				c.bounds = append(c.bounds, bounded{p.bound, sc.values[i]})
			}
		case "counter":
			w.number(w.metric(p).Sum().DataPoints(), p, at, sc.values[i])
		default:
			w.number(w.metric(p).Gauge().DataPoints(), p, at, sc.values[i])
		}
	}
	for _, c := range order {
		sort.Slice(c.bounds, func(a, b int) bool { return c.bounds[a].bound < c.bounds[b].bound })
		if c.kind == "histogram" {
			w.histogram(c, at)
		} else {
			w.summary(c, at)
		}
	}
}

func (w *writer) key(p place) string { return p.job + "\xff" + p.instance + "\xff" + p.family + "\xff" }

func (w *writer) metric(p place) pmetric.Metric {
	key := w.key(p)
	if m, ok := w.metrics[key]; ok {
		return m
	}
	target := p.job + "\xff" + p.instance
	scope, ok := w.scopes[target]
	if !ok {
		r := w.ResourceMetrics().AppendEmpty()
		r.Resource().Attributes().PutStr("service.name", p.job)
		r.Resource().Attributes().PutStr("service.instance.id", p.instance)
		scope = r.ScopeMetrics().AppendEmpty()
		w.scopes[target] = scope
	}
	m := scope.Metrics().AppendEmpty()
	m.SetName(p.family)
	switch p.kind {
	case "counter":
		m.SetEmptySum().SetIsMonotonic(true)
		m.Sum().SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	case "histogram":
		m.SetEmptyHistogram().SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	case "summary":
		m.SetEmptySummary()
	default:
		m.SetEmptyGauge()
	}
	w.metrics[key] = m
	return m
}

func attributes(to pcommon.Map, l labels.Labels) {
	l.Range(func(l labels.Label) { to.PutStr(l.Name, l.Value) })
}

func (w *writer) number(to pmetric.NumberDataPointSlice, p place, at pcommon.Timestamp, v float64) {
	d := to.AppendEmpty()
	d.SetTimestamp(at)
	if p.kind == "counter" {
		d.SetStartTimestamp(w.begin)
	}
	d.SetDoubleValue(v)
	attributes(d.Attributes(), p.attributes)
}

func (w *writer) histogram(c *collected, at pcommon.Timestamp) {
	d := w.metric(c.place).Histogram().DataPoints().AppendEmpty()
	d.SetTimestamp(at)
	d.SetStartTimestamp(w.begin)
	d.SetSum(c.sum)
	d.SetCount(uint64(c.count))
	before := 0.0
	for i, b := range c.bounds {
		d.BucketCounts().Append(uint64(b.value - before))
		before = b.value
		if i < len(c.bounds)-1 {
			d.ExplicitBounds().Append(b.bound)
		}
	}
	attributes(d.Attributes(), c.attributes)
}

func (w *writer) summary(c *collected, at pcommon.Timestamp) {
	d := w.metric(c.place).Summary().DataPoints().AppendEmpty()
	d.SetTimestamp(at)
	d.SetStartTimestamp(w.begin)
	d.SetSum(c.sum)
	d.SetCount(uint64(c.count))
	for _, b := range c.bounds {
		q := d.QuantileValues().AppendEmpty()
		q.SetQuantile(b.bound)
		q.SetValue(b.value)
	}
	attributes(d.Attributes(), c.attributes)
}

// samplesOf counts as Prometheus does: a histogram is its buckets, sum and count.
func samplesOf(m pmetric.Metrics) (n int) {
	for _, r := range m.ResourceMetrics().All() {
		for _, s := range r.ScopeMetrics().All() {
			for _, m := range s.Metrics().All() {
				switch m.Type() {
				case pmetric.MetricTypeSum:
					n += m.Sum().DataPoints().Len()
				case pmetric.MetricTypeGauge:
					n += m.Gauge().DataPoints().Len()
				case pmetric.MetricTypeHistogram:
					for _, d := range m.Histogram().DataPoints().All() {
						n += d.BucketCounts().Len() + 2
					}
				case pmetric.MetricTypeSummary:
					for _, d := range m.Summary().DataPoints().All() {
						n += d.QuantileValues().Len() + 2
					}
				}
			}
		}
	}
	return n
}
