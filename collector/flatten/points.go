package flatten

import (
	"math"
	"sort"
	"strconv"

	"go.opentelemetry.io/collector/pdata/pmetric"

	"ghostlight/buffer/delta"
)

func (f *flattener) numbers(name string, meta delta.Meta, dps pmetric.NumberDataPointSlice) {
	for _, dp := range dps.All() {
		v := dp.DoubleValue()
		if dp.ValueType() == pmetric.NumberDataPointValueTypeInt {
			v = float64(dp.IntValue())
		}
		f.add(name, meta, f.labels(dp.Attributes()), f.at(dp.Timestamp()), v, dp.Flags())
	}
}

func (f *flattener) histograms(name string, meta delta.Meta, dps pmetric.HistogramDataPointSlice) {
	for _, dp := range dps.All() {
		base, at, flags := f.labels(dp.Attributes()), f.at(dp.Timestamp()), dp.Flags()
		if dp.HasSum() {
			f.add(name+"_sum", meta, base, at, dp.Sum(), flags)
		}
		f.add(name+"_count", meta, base, at, float64(dp.Count()), flags)
		var below uint64
		for i := range min(dp.ExplicitBounds().Len(), dp.BucketCounts().Len()) {
			below += dp.BucketCounts().At(i)
			f.add(name+"_bucket", meta, base, at, float64(below), flags, "le", number(dp.ExplicitBounds().At(i)))
		}
		f.add(name+"_bucket", meta, base, at, float64(dp.Count()), flags, "le", "+Inf")
	}
}

func (f *flattener) summaries(name string, meta delta.Meta, dps pmetric.SummaryDataPointSlice) {
	for _, dp := range dps.All() {
		base, at, flags := f.labels(dp.Attributes()), f.at(dp.Timestamp()), dp.Flags()
		f.add(name+"_sum", meta, base, at, dp.Sum(), flags)
		f.add(name+"_count", meta, base, at, float64(dp.Count()), flags)
		for _, q := range dp.QuantileValues().All() {
			f.add(name, meta, base, at, q.Value(), flags, "quantile", number(q.Quantile()))
		}
	}
}

func (f *flattener) exponentials(name string, meta delta.Meta, dps pmetric.ExponentialHistogramDataPointSlice) {
	for _, dp := range dps.All() {
		base, at, flags := f.labels(dp.Attributes()), f.at(dp.Timestamp()), dp.Flags()
		if dp.HasSum() {
			f.add(name+"_sum", meta, base, at, dp.Sum(), flags)
		}
		f.add(name+"_count", meta, base, at, float64(dp.Count()), flags)
		var below uint64
		for _, b := range powers(dp) {
			below += b.count
			f.add(name+"_bucket", meta, base, at, float64(below), flags, "le", number(b.le))
		}
		f.add(name+"_bucket", meta, base, at, float64(dp.Count()), flags, "le", "+Inf")
	}
}

type bucket struct {
	le    float64
	count uint64
}

// powers merges the buckets of a point down to scale 0 (or keeps its scale if
// that is negative) and returns those that are not empty, by upper bound.
// Bucket i of scale s holds (base^i, base^(i+1)] with base = 2^2^-s.
// Source: OpenTelemetry metrics data model, exponential histogram.
func powers(dp pmetric.ExponentialHistogramDataPoint) []bucket {
	merge := max(dp.Scale(), 0)                     // halvings of the index
	step := math.Ldexp(1, int(-min(dp.Scale(), 0))) // binary digits per bucket
	counts := map[float64]uint64{}
	each := func(bs pmetric.ExponentialHistogramDataPointBuckets, le func(index int64) float64) {
		for i := range bs.BucketCounts().Len() {
			if n := bs.BucketCounts().At(i); n > 0 {
				counts[le((int64(bs.Offset())+int64(i))>>min(merge, 62))] += n
			}
		}
	}
	each(dp.Positive(), func(i int64) float64 { return math.Exp2(float64(i+1) * step) })
	each(dp.Negative(), func(i int64) float64 { return -math.Exp2(float64(i) * step) }) // of (-upper, -lower] the bound is -lower
	if dp.ZeroCount() > 0 {
		counts[max(dp.ZeroThreshold(), 0)] += dp.ZeroCount()
	}
	out := make([]bucket, 0, len(counts))
	for le, n := range counts {
		if !math.IsInf(le, 1) { // what is above the largest double is in le="+Inf" alone
			out = append(out, bucket{le, n})
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].le < out[j].le })
	return out
}

// number writes bounds and quantiles the way Prometheus does.
func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
