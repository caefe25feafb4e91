// Package classic turns native histograms into the classic ones of their series,
// _sum, _count and _bucket, because the database holds floats. It is pure.
//
// Bucket i of schema n holds (base^(i-1), base^i] with base = 2^(2^-n); neighbours
// are merged down to schema 0, whose bounds are powers of two, or kept where the
// schema is negative. So counts stay exact, and the bounds do not move when a
// histogram changes its schema. Custom bounds are kept. Empty buckets are left out.
// Source: Prometheus, "Native Histograms", exponential and custom bucket schemas.
package classic

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/model/value"

	"ghostlight/buffer/delta"
)

const (
	schemaLeast  = -4
	schemaMost   = 8
	schemaCustom = -53 // bounds are given one by one
)

const metricName = "__name__"

// A key names one of the series that a native one becomes.
type key struct {
	series int
	suffix string
	le     float64 // of _bucket
}

// Series returns the series that the native histograms of a batch become, in the
// order that they are first seen. Of a histogram whose buckets make no sense sum and
// count are kept; a stale one is stale in all that is left of it.
func Series(b *delta.Batch) []delta.Series {
	var out []delta.Series
	where := map[key]int{}
	for i := range b.Histograms {
		h := &b.Histograms[i]
		if h.Series < 0 || h.Series >= len(b.Series) {
			continue // no decoder lets it through
		}
		add := func(suffix string, le, v float64) {
			k := key{h.Series, suffix, le}
			at, ok := where[k]
			if !ok {
				at = len(out)
				where[k], out = at, append(out, delta.Series{Labels: labels(b.Series[h.Series].Labels, k), Meta: b.Series[h.Series].Meta})
			}
			out[at].Samples = append(out[at].Samples, delta.Sample{Time: h.Time, Value: v})
		}
		count := h.Count
		if value.IsStaleNaN(h.Sum) {
			count = h.Sum
		}
		add("_sum", 0, h.Sum)
		add("_count", 0, count)
		buckets, _ := Buckets(h) // see above
		below := 0.0
		for _, b := range buckets {
			below += b.Count
			if !math.IsInf(b.Upper, 1) { // what is above the largest double is in le="+Inf" alone
				add("_bucket", b.Upper, below)
			}
		}
		add("_bucket", math.Inf(1), count)
	}
	return out
}

// labels are those of a native series with another name, and with a bound where it
// is a bucket's.
func labels(native []delta.Label, k key) []delta.Label {
	out := make([]delta.Label, 0, len(native)+1)
	for _, l := range native {
		switch {
		case l.Name == metricName:
			out = append(out, delta.Label{Name: metricName, Value: l.Value + k.suffix})
		case l.Name != "le" || k.suffix != "_bucket":
			out = append(out, l)
		}
	}
	if k.suffix == "_bucket" {
		out = append(out, delta.Label{Name: "le", Value: strconv.FormatFloat(k.le, 'f', -1, 64)})
		slices.SortFunc(out, func(a, b delta.Label) int { return strings.Compare(a.Name, b.Name) })
	}
	return out
}

// A Bucket holds Count observations above the bucket before it and up to Upper.
type Bucket struct{ Upper, Count float64 }

// Buckets returns the buckets of a histogram that are not empty, by bound; a stale
// one has none. The error says why they make no sense.
func Buckets(h *delta.NativeHistogram) ([]Bucket, error) {
	if value.IsStaleNaN(h.Sum) {
		return nil, nil
	}
	if err := check(h); err != nil {
		return nil, err
	}
	var out []Bucket
	add := func(le, n float64) error {
		if !(n >= 0) {
			return errors.New("a bucket has fewer than no observations")
		}
		if n > 0 {
			out = append(out, Bucket{le, n})
		}
		return nil
	}
	if err := each(&h.Positive, func(i int64, n float64) error { return add(upper(h, i), n) }); err != nil {
		return nil, err
	}
	// Those of the negative side are [-upper, -lower).
	if err := each(&h.Negative, func(i int64, n float64) error { return add(-lower(h, i), n) }); err != nil {
		return nil, err
	}
	if err := add(max(h.ZeroThreshold, 0), h.ZeroCount); err != nil {
		return nil, err
	}
	slices.SortFunc(out, func(a, b Bucket) int { return cmp.Compare(a.Upper, b.Upper) })
	return slices.CompactFunc(fold(out), func(a, b Bucket) bool { return a.Upper == b.Upper }), nil
}

// check finds what no bounds can be made of.
func check(h *delta.NativeHistogram) error {
	switch {
	case h.Schema != schemaCustom:
		if h.Schema < schemaLeast || h.Schema > schemaMost {
			return fmt.Errorf("schema %d is unknown", h.Schema)
		}
	case len(h.Negative.Spans) > 0:
		return errors.New("custom bounds allow no negative buckets")
	case !slices.IsSorted(h.Bounds) || slices.ContainsFunc(h.Bounds, math.IsNaN):
		return errors.New("custom bounds must rise")
	}
	return nil
}

// fold adds the counts of equal bounds up, in the first of each.
func fold(sorted []Bucket) []Bucket {
	first := 0
	for i := 1; i < len(sorted); i++ {
		if sorted[i].Upper == sorted[first].Upper {
			sorted[first].Count += sorted[i].Count
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

// each calls fn for every bucket until it fails, or the spans do not fit.
func each(b *delta.Buckets, fn func(index int64, count float64) error) error {
	var index int64
	counts := b.Counts
	for _, s := range b.Spans {
		index += int64(s.Offset)
		if uint64(s.Length) > uint64(len(counts)) {
			return errors.New("its spans name more buckets than it has")
		}
		for _, n := range counts[:s.Length] {
			if err := fn(index, n); err != nil {
				return err
			}
			index++
		}
		counts = counts[s.Length:]
	}
	if len(counts) > 0 {
		return errors.New("its spans name fewer buckets than it has")
	}
	return nil
}
