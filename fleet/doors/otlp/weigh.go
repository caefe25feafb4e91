package otlp

import (
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// What the parts of a batch cost in memory, in bytes, about.
const (
	costSeries = 192 // with its one sample and its list of labels
	costLabel  = 40
)

// A weight is what metrics will become.
type weight struct {
	points, exemplars int
	old               int // points before the retention; they were removed
	samples           int
	memory            int64
}

// weigh counts what md will become when it is flattened, before memory is taken
// for it, and removes the points that are before the retention.
func weigh(md pmetric.Metrics, o Options) weight {
	w := weight{}
	for _, rm := range md.ResourceMetrics().All() {
		w.add(1, rm.Resource().Attributes()) // target_info
		for _, sm := range rm.ScopeMetrics().All() {
			for _, m := range sm.Metrics().All() {
				w.metric(m, o)
			}
		}
	}
	return w
}

// add counts one point that becomes n series.
func (w *weight) add(n int, attrs pcommon.Map) {
	w.samples += n
	w.memory += int64(n) * int64(costSeries+costLabel*(attrs.Len()+4))
}

func (w *weight) metric(m pmetric.Metric, o Options) {
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		w.numbers(m.Gauge().DataPoints(), o)
	case pmetric.MetricTypeSum:
		w.numbers(m.Sum().DataPoints(), o)
	case pmetric.MetricTypeHistogram:
		dps := m.Histogram().DataPoints()
		dps.RemoveIf(func(p pmetric.HistogramDataPoint) bool { return w.isOld(p.Timestamp(), o) })
		for _, p := range dps.All() {
			w.point(p.Exemplars().Len(), p.BucketCounts().Len()+3, p.Attributes())
		}
	case pmetric.MetricTypeExponentialHistogram:
		dps := m.ExponentialHistogram().DataPoints()
		dps.RemoveIf(func(p pmetric.ExponentialHistogramDataPoint) bool { return w.isOld(p.Timestamp(), o) })
		for _, p := range dps.All() {
			w.point(p.Exemplars().Len(), p.Positive().BucketCounts().Len()+p.Negative().BucketCounts().Len()+4, p.Attributes())
		}
	case pmetric.MetricTypeSummary:
		dps := m.Summary().DataPoints()
		dps.RemoveIf(func(p pmetric.SummaryDataPoint) bool { return w.isOld(p.Timestamp(), o) })
		for _, p := range dps.All() {
			w.point(0, p.QuantileValues().Len()+2, p.Attributes())
		}
	}
}

func (w *weight) numbers(dps pmetric.NumberDataPointSlice, o Options) {
	dps.RemoveIf(func(p pmetric.NumberDataPoint) bool { return w.isOld(p.Timestamp(), o) })
	for _, p := range dps.All() {
		w.point(p.Exemplars().Len(), 1, p.Attributes())
	}
}

func (w *weight) point(exemplars, series int, attrs pcommon.Map) {
	w.points++
	w.exemplars += exemplars
	w.add(series, attrs)
}

// isOld counts points as it finds them. One without a time is as of now.
func (w *weight) isOld(t pcommon.Timestamp, o Options) bool {
	if t == 0 || int64(t/1e6) >= o.Oldest {
		return false
	}
	w.points++
	w.old++
	return true
}
