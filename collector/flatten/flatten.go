// Package flatten turns OpenTelemetry metrics into Prometheus series, named the
// way the OpenTelemetry-to-Prometheus specification says, with type, unit and
// help. It is pure: no clock, no I/O, no state between calls.
//
// What becomes of each kind of point:
//
//   - gauge, non-monotonic sum: one gauge. Monotonic sum: one counter.
//   - histogram: a classic histogram, name_bucket{le}, name_sum (if the point has
//     one) and name_count. The same for summaries with quantile.
//   - exponential histogram: a classic histogram whose bounds are powers of two
//     (or of 2^2^n at a negative scale). Merging neighbours down to scale 0 keeps
//     every count exact and, unlike the point's own bounds, these do not move when
//     the scale changes.
//   - delta temporality: dropped and counted; there is no such thing as a
//     Prometheus delta. Exemplars are left out.
//   - a point without a recorded value: a stale marker.
//
// service.namespace, service.name and service.instance.id become job and
// instance; the other resource attributes become labels of target_info. Scope
// names are left out.
package flatten

import (
	"math"
	"slices"
	"strings"

	"github.com/prometheus/otlptranslator"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"ghostlight/buffer/delta"
)

// Reasons that points are dropped for.
const (
	DroppedDelta  = "delta temporality"
	DroppedName   = "no valid name"
	DroppedLabels = "labels too long"
)

// maxLabels bounds the names and values of one series, in bytes.
const maxLabels = 16 << 10

const staleNaN = 0x7ff0000000000002 // the bits of Prometheus's stale marker

// Options say what the metrics themselves do not.
type Options struct {
	Job      string // label job where the resource has no service.name; empty: none
	Instance string // label instance where it has no service.instance.id
	Now      int64  // Unix milliseconds, for points without a time
}

// Result is what became of one batch of metrics.
type Result struct {
	Batch   delta.Batch
	Dropped map[string]int // points, by reason
}

// Metrics flattens md. It never fails: what cannot be said is counted in
// Dropped.
func Metrics(md pmetric.Metrics, o Options) Result {
	f := &flattener{opts: o, res: Result{Dropped: map[string]int{}}, names: map[string]string{}}
	for _, rm := range md.ResourceMetrics().All() {
		f.resource(rm.Resource())
		for _, sm := range rm.ScopeMetrics().All() {
			for _, m := range sm.Metrics().All() {
				f.metric(m)
			}
		}
		f.targetInfo(rm.Resource())
	}
	return f.res
}

type flattener struct {
	opts  Options
	res   Result
	names map[string]string // attribute key to label name

	common []delta.Label // job and instance of the resource at hand
	latest int64         // latest point of the resource at hand
}

// resource sets job and instance.
func (f *flattener) resource(r pcommon.Resource) {
	job, instance := f.opts.Job, f.opts.Instance
	if name, ok := r.Attributes().Get("service.name"); ok {
		job = name.AsString()
		if ns, ok := r.Attributes().Get("service.namespace"); ok {
			job = ns.AsString() + "/" + job
		}
	}
	if id, ok := r.Attributes().Get("service.instance.id"); ok {
		instance = id.AsString()
	}
	f.common, f.latest = f.common[:0:0], 0
	if job != "" {
		f.common = append(f.common, delta.Label{Name: "job", Value: job})
	}
	if instance != "" {
		f.common = append(f.common, delta.Label{Name: "instance", Value: instance})
	}
}

// targetInfo adds the resource's other attributes, as of its latest point.
func (f *flattener) targetInfo(r pcommon.Resource) {
	if len(f.common) == 0 || f.latest == 0 {
		return
	}
	rest := pcommon.NewMap()
	r.Attributes().CopyTo(rest)
	rest.RemoveIf(func(k string, _ pcommon.Value) bool {
		return k == "service.name" || k == "service.namespace" || k == "service.instance.id"
	})
	if rest.Len() == 0 {
		return
	}
	meta := delta.Meta{Type: delta.Gauge, Help: "Attributes of the source of the series with the same job and instance."}
	f.add("target_info", meta, f.labels(rest), f.latest, 1, 0)
}

func (f *flattener) metric(m pmetric.Metric) {
	namer := otlptranslator.MetricNamer{WithMetricSuffixes: true}
	name, err := namer.Build(otlptranslator.Metric{Name: m.Name(), Unit: m.Unit(), Type: typeOf(m)})
	if err != nil {
		f.res.Dropped[DroppedName] += points(m)
		return
	}
	units := otlptranslator.UnitNamer{}
	meta := delta.Meta{Unit: units.Build(m.Unit()), Help: m.Description()}
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		meta.Type = delta.Gauge
		f.numbers(name, meta, m.Gauge().DataPoints())
	case pmetric.MetricTypeSum:
		meta.Type = delta.Gauge
		if m.Sum().IsMonotonic() {
			meta.Type = delta.Counter
		}
		if f.cumulative(m, m.Sum().AggregationTemporality()) {
			f.numbers(name, meta, m.Sum().DataPoints())
		}
	case pmetric.MetricTypeHistogram:
		meta.Type = delta.Histogram
		if f.cumulative(m, m.Histogram().AggregationTemporality()) {
			f.histograms(name, meta, m.Histogram().DataPoints())
		}
	case pmetric.MetricTypeExponentialHistogram:
		meta.Type = delta.Histogram
		if f.cumulative(m, m.ExponentialHistogram().AggregationTemporality()) {
			f.exponentials(name, meta, m.ExponentialHistogram().DataPoints())
		}
	case pmetric.MetricTypeSummary:
		meta.Type = delta.Summary
		f.summaries(name, meta, m.Summary().DataPoints())
	}
}

// cumulative drops all points of a metric that is not.
func (f *flattener) cumulative(m pmetric.Metric, t pmetric.AggregationTemporality) bool {
	if t == pmetric.AggregationTemporalityCumulative {
		return true
	}
	f.res.Dropped[DroppedDelta] += points(m)
	return false
}

func points(m pmetric.Metric) int {
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		return m.Gauge().DataPoints().Len()
	case pmetric.MetricTypeSum:
		return m.Sum().DataPoints().Len()
	case pmetric.MetricTypeHistogram:
		return m.Histogram().DataPoints().Len()
	case pmetric.MetricTypeExponentialHistogram:
		return m.ExponentialHistogram().DataPoints().Len()
	case pmetric.MetricTypeSummary:
		return m.Summary().DataPoints().Len()
	}
	return 0
}

func typeOf(m pmetric.Metric) otlptranslator.MetricType {
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		return otlptranslator.MetricTypeGauge
	case pmetric.MetricTypeSum:
		if m.Sum().IsMonotonic() {
			return otlptranslator.MetricTypeMonotonicCounter
		}
		return otlptranslator.MetricTypeNonMonotonicCounter
	case pmetric.MetricTypeHistogram:
		return otlptranslator.MetricTypeHistogram
	case pmetric.MetricTypeExponentialHistogram:
		return otlptranslator.MetricTypeExponentialHistogram
	case pmetric.MetricTypeSummary:
		return otlptranslator.MetricTypeSummary
	}
	return otlptranslator.MetricTypeUnknown
}

// labels are the attributes of a point with job and instance, sorted. Keys that
// become the same name share it, their values joined by ";" in order of key.
func (f *flattener) labels(attrs pcommon.Map) []delta.Label {
	keys := make([]string, 0, attrs.Len())
	for k := range attrs.All() {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	out := make([]delta.Label, 0, len(keys)+len(f.common)+2)
	for _, k := range keys {
		name := f.labelName(k)
		v, _ := attrs.Get(k)
		value := strings.ToValidUTF8(v.AsString(), "\uFFFD")
		if name == "" || value == "" || slices.ContainsFunc(f.common, func(l delta.Label) bool { return l.Name == name }) {
			continue
		}
		if i := slices.IndexFunc(out, func(l delta.Label) bool { return l.Name == name }); i >= 0 {
			out[i].Value += ";" + value
		} else {
			out = append(out, delta.Label{Name: name, Value: value})
		}
	}
	return append(out, f.common...)
}

// labelName is the label for an attribute's key; empty for one that has none or
// that is reserved.
func (f *flattener) labelName(key string) string {
	if name, ok := f.names[key]; ok {
		return name
	}
	namer := otlptranslator.LabelNamer{}
	name, err := namer.Build(key)
	if err != nil || strings.HasPrefix(name, "__") {
		name = ""
	}
	f.names[key] = name
	return name
}

// add appends one sample of one series. extra is one more name and value, or
// nothing.
func (f *flattener) add(name string, meta delta.Meta, base []delta.Label, at int64, v float64, flags pmetric.DataPointFlags, extra ...string) {
	ls := make([]delta.Label, 0, len(base)+2)
	ls = append(ls, delta.Label{Name: "__name__", Value: name})
	for _, l := range base {
		if len(extra) == 0 || l.Name != extra[0] {
			ls = append(ls, l)
		}
	}
	if len(extra) > 0 {
		ls = append(ls, delta.Label{Name: extra[0], Value: extra[1]})
	}
	size := 0
	for _, l := range ls {
		size += len(l.Name) + len(l.Value)
	}
	if size > maxLabels {
		f.res.Dropped[DroppedLabels]++
		return
	}
	slices.SortFunc(ls, func(a, b delta.Label) int { return strings.Compare(a.Name, b.Name) })
	if flags.NoRecordedValue() {
		v = math.Float64frombits(staleNaN)
	}
	f.latest = max(f.latest, at)
	f.res.Batch.Series = append(f.res.Batch.Series, delta.Series{Labels: ls, Meta: meta, Samples: []delta.Sample{{Time: at, Value: v}}})
}

// at is a point's time in Unix milliseconds.
func (f *flattener) at(t pcommon.Timestamp) int64 {
	if t == 0 {
		return f.opts.Now
	}
	return int64(t / 1e6)
}
