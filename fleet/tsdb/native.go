package tsdb

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/model/value"

	"ghostlight/buffer/delta"
)

// The database holds floats, so a native histogram becomes the classic one of its
// series: _sum, _count and _bucket. Bucket i of schema n holds (base^(i-1), base^i]
// with base = 2^(2^-n); neighbours are merged down to schema 0, whose bounds are
// powers of two, or kept where the schema is negative. So counts stay exact, and
// the bounds do not move when a histogram changes its schema. Empty buckets are
// left out. Of a histogram whose buckets make no sense sum and count are kept.
// Source: Prometheus, "Native Histograms", exponential and custom bucket schemas.
const (
	schemaLeast  = -4
	schemaMost   = 8
	schemaCustom = -53 // bounds are given one by one
)

// A classicKey names one of the series that a native one becomes.
type classicKey struct {
	series int
	suffix string
	le     float64 // of _bucket
}

// classic returns the series that the native histograms of a batch become, in the
// order that they are first seen.
func classic(b *delta.Batch) []delta.Series {
	var out []delta.Series
	where := map[classicKey]int{}
	for i := range b.Histograms {
		h := &b.Histograms[i]
		if h.Series < 0 || h.Series >= len(b.Series) {
			continue // no decoder lets it through
		}
		add := func(suffix string, le, v float64) {
			key := classicKey{h.Series, suffix, le}
			at, ok := where[key]
			if !ok {
				at = len(out)
				where[key], out = at, append(out, delta.Series{Labels: classicLabels(b.Series[h.Series].Labels, key), Meta: b.Series[h.Series].Meta})
			}
			out[at].Samples = append(out[at].Samples, delta.Sample{Time: h.Time, Value: v})
		}
		add("_sum", 0, h.Sum)
		if value.IsStaleNaN(h.Sum) {
			add("_count", 0, h.Sum)
			add("_bucket", math.Inf(1), h.Sum)
			continue
		}
		add("_count", 0, h.Count)
		below := 0.0
		for _, bucket := range merged(h) {
			below += bucket.count
			if !math.IsInf(bucket.le, 1) {
				add("_bucket", bucket.le, below)
			}
		}
		add("_bucket", math.Inf(1), h.Count)
	}
	return out
}

// classicLabels are those of a native series with another name, and with a bound
// where it is a bucket's.
func classicLabels(native []delta.Label, key classicKey) []delta.Label {
	out := make([]delta.Label, 0, len(native)+1)
	for _, l := range native {
		switch {
		case l.Name == metricName:
			out = append(out, delta.Label{Name: metricName, Value: l.Value + key.suffix})
		case l.Name != "le" || key.suffix != "_bucket":
			out = append(out, l)
		}
	}
	if key.suffix == "_bucket" {
		out = append(out, delta.Label{Name: "le", Value: strconv.FormatFloat(key.le, 'f', -1, 64)})
		slices.SortFunc(out, func(a, b delta.Label) int { return strings.Compare(a.Name, b.Name) })
	}
	return out
}

// A bucket holds observations above the bucket before it and up to le.
type bucket struct{ le, count float64 }

// merged returns the buckets that are not empty, by bound; none if they make no
// sense.
func merged(h *delta.NativeHistogram) []bucket {
	var out []bucket
	add := func(le, n float64) bool {
		if n > 0 {
			out = append(out, bucket{le, n})
		}
		return n >= 0
	}
	custom := h.Schema == schemaCustom
	rising := slices.IsSorted(h.Bounds) && !slices.ContainsFunc(h.Bounds, math.IsNaN)
	if custom && (!rising || len(h.Negative.Spans) > 0) || !custom && (h.Schema < schemaLeast || h.Schema > schemaMost) {
		return nil
	}
	positive := func(i int64, n float64) bool { return add(upper(h, i), n) }
	negative := func(i int64, n float64) bool { return add(-lower(h, i), n) } // of [-upper, -lower)
	if !each(&h.Positive, positive) || !each(&h.Negative, negative) || !add(max(h.ZeroThreshold, 0), h.ZeroCount) {
		return nil
	}
	slices.SortFunc(out, func(a, b bucket) int { return cmp.Compare(a.le, b.le) })
	return slices.CompactFunc(fold(out), func(a, b bucket) bool { return a.le == b.le })
}

// fold adds the counts of equal bounds up, in the first of each.
func fold(sorted []bucket) []bucket {
	first := 0
	for i := 1; i < len(sorted); i++ {
		if sorted[i].le == sorted[first].le {
			sorted[first].count += sorted[i].count
		} else {
			first = i
		}
	}
	return sorted
}

// upper is the upper bound of bucket i after merging.
func upper(h *delta.NativeHistogram, i int64) float64 {
	switch {
	case h.Schema != schemaCustom:
		return math.Exp2(power(h, i) + step(h))
	case i < 0 || i >= int64(len(h.Bounds)):
		return math.Inf(1)
	}
	return h.Bounds[i]
}

// lower is the lower bound of bucket i, which is exponential, after merging.
func lower(h *delta.NativeHistogram, i int64) float64 { return math.Exp2(power(h, i)) }

// step is how many powers of two a bucket spans after merging.
func step(h *delta.NativeHistogram) float64 { return math.Ldexp(1, max(-int(h.Schema), 0)) }

// power is the power of two at which bucket i begins after merging.
func power(h *delta.NativeHistogram, i int64) float64 {
	if h.Schema < 0 {
		return float64(i-1) * step(h)
	}
	return float64((i - 1) >> h.Schema)
}

// each calls fn for every bucket until it says no, or the spans do not fit.
func each(b *delta.Buckets, fn func(index int64, count float64) bool) bool {
	var index int64
	counts := b.Counts
	for _, s := range b.Spans {
		index += int64(s.Offset)
		if uint64(s.Length) > uint64(len(counts)) {
			return false
		}
		for _, n := range counts[:s.Length] {
			if !fn(index, n) {
				return false
			}
			index++
		}
		counts = counts[s.Length:]
	}
	return len(counts) == 0
}
