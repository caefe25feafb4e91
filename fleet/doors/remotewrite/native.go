package remotewrite

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"ghostlight/buffer/delta"
	"ghostlight/fleet/doors/fields"
)

// Native histograms become classic ones, because the store holds floats. Bucket i
// of schema n holds (base^(i-1), base^i] with base = 2^(2^-n); neighbours are
// merged down to schema 0, whose bounds are powers of two (or, where the schema is
// negative, kept). Counts stay exact, and the bounds do not move when a histogram
// changes its schema. Empty buckets are left out.
// Source: Prometheus, "Native Histograms", exponential and custom bucket schemas.
const (
	schemaMin    = -4
	schemaMax    = 8
	schemaCustom = -53 // bounds are given one by one
	staleNaN     = 0x7ff0000000000002
	maxBuckets   = 1 << 16 // of one histogram
)

// A native is one histogram as it was sent.
type native struct {
	time               int64
	sum, count, zero   float64
	threshold          float64
	schema             int64
	negative, positive buckets
	custom             []float64
	size               int // of all lists
}

// buckets are those of one sign, sparse.
type buckets struct {
	spans  []span
	deltas []int64   // integer histograms: each less the one before
	counts []float64 // float histograms
}

type span struct {
	offset int32 // from the end of the span before; of the first: its index
	length uint32
}

// histogram keeps the message of a histogram until the labels are known.
func (d *decoder) histogram(msg []byte) error {
	if err := d.count(1); err != nil {
		return err
	}
	d.histograms = append(d.histograms, msg)
	return nil
}

// native turns the histograms of the series at hand into classic series.
func (d *decoder) native() error {
	if len(d.histograms) == 0 {
		return nil
	}
	if d.meta.Type == delta.Unknown {
		d.meta.Type = delta.Histogram
	}
	c := classic{d: d, bounds: map[float64][]delta.Sample{}}
	for _, msg := range d.histograms {
		h, err := readNative(msg)
		if err != nil {
			return err
		}
		if err := d.take(16 * h.size); err != nil {
			return err
		}
		if h.time < d.o.Oldest {
			d.refuse(RefusedOld, 1, "a histogram at %d ms is before the retention, which begins at %d ms", h.time, d.o.Oldest)
			continue
		}
		if why, err := c.add(h); err != nil {
			return err
		} else if why != "" {
			d.refuse(RefusedHistogram, 1, "a histogram of series %s: %s", describe(d.labels), why)
			continue
		}
		d.res.Histograms++
	}
	return c.end()
}

// classic collects the samples of the series that one native series becomes.
type classic struct {
	d                 *decoder
	sum, count, total []delta.Sample             // total is the bucket le="+Inf"
	bounds            map[float64][]delta.Sample // the other buckets, by upper bound
}

// add takes one histogram; why it cannot is a sentence.
func (c *classic) add(h native) (why string, err error) {
	if math.Float64bits(h.sum) == staleNaN {
		stale := delta.Sample{Time: h.time, Value: h.sum}
		c.sum, c.count, c.total = append(c.sum, stale), append(c.count, stale), append(c.total, stale)
		return "", c.d.count(3)
	}
	counts, why := h.merged()
	if why != "" {
		return why, nil
	}
	if err := c.d.count(len(counts) + 3); err != nil {
		return "", err
	}
	at := func(v float64) delta.Sample { return delta.Sample{Time: h.time, Value: v} }
	c.sum, c.count, c.total = append(c.sum, at(h.sum)), append(c.count, at(h.count)), append(c.total, at(h.count))
	below := 0.0
	for _, le := range slices.Sorted(maps.Keys(counts)) {
		below += counts[le]
		if !math.IsInf(le, 1) { // what is above the largest double is in le="+Inf" alone
			c.bounds[le] = append(c.bounds[le], at(below))
		}
	}
	return "", nil
}

func (c *classic) end() error {
	if len(c.total) == 0 {
		return nil
	}
	add := func(suffix, le string, samples []delta.Sample) error {
		labels := c.labels(suffix, le)
		if err := c.d.take(costLabel * len(labels)); err != nil {
			return err
		}
		return c.d.add(labels, samples)
	}
	if err := add("_sum", "", c.sum); err != nil {
		return err
	}
	if err := add("_count", "", c.count); err != nil {
		return err
	}
	for _, le := range slices.Sorted(maps.Keys(c.bounds)) {
		if err := add("_bucket", strconv.FormatFloat(le, 'f', -1, 64), c.bounds[le]); err != nil {
			return err
		}
	}
	return add("_bucket", "+Inf", c.total)
}

// labels are those of the series with another name, and with a bound if le is not
// empty.
func (c *classic) labels(suffix, le string) []delta.Label {
	out := make([]delta.Label, 0, len(c.d.labels)+1)
	for _, l := range c.d.labels {
		switch {
		case l.Name == nameLabel:
			out = append(out, delta.Label{Name: nameLabel, Value: l.Value + suffix})
		case l.Name != "le" || le == "":
			out = append(out, l)
		}
	}
	if le != "" {
		out = append(out, delta.Label{Name: "le", Value: le})
		slices.SortFunc(out, func(a, b delta.Label) int { return strings.Compare(a.Name, b.Name) })
	}
	return out
}

// merged returns the counts of the buckets that are not empty, by upper bound.
func (h native) merged() (counts map[float64]float64, why string) {
	counts = map[float64]float64{}
	positive := func(i int64) float64 { return math.Exp2(h.exponent(i) + h.step()) }
	negative := func(i int64) float64 { return -math.Exp2(h.exponent(i)) } // of [-upper, -lower) the bound is -lower
	switch {
	case h.schema == schemaCustom:
		positive = h.bound
		if len(h.negative.spans) > 0 {
			return nil, "custom bounds allow no negative buckets"
		}
		if !slices.IsSorted(h.custom) || slices.ContainsFunc(h.custom, math.IsNaN) {
			return nil, "custom bounds must rise"
		}
	case h.schema < schemaMin || h.schema > schemaMax:
		return nil, fmt.Sprintf("schema %d is unknown", h.schema)
	}
	if why := h.positive.each(func(i int64, n float64) { counts[positive(i)] += n }); why != "" {
		return nil, why
	}
	if why := h.negative.each(func(i int64, n float64) { counts[negative(i)] += n }); why != "" {
		return nil, why
	}
	if h.zero > 0 {
		counts[max(h.threshold, 0)] += h.zero
	}
	return counts, ""
}

// step is the width of a bucket after merging, in powers of two.
func (h native) step() float64 { return math.Ldexp(1, int(max(-h.schema, 0))) }

// exponent is the power of two at which bucket i begins after merging.
func (h native) exponent(i int64) float64 {
	if h.schema < 0 {
		return float64(i-1) * h.step()
	}
	return float64((i - 1) >> h.schema)
}

// bound is the upper bound of bucket i of custom bounds.
func (h native) bound(i int64) float64 {
	if i < 0 || i >= int64(len(h.custom)) {
		return math.Inf(1)
	}
	return h.custom[i]
}

// each calls fn for every bucket that is not empty.
func (b buckets) each(fn func(index int64, count float64)) (why string) {
	have := max(len(b.deltas), len(b.counts))
	var index, n, level int64
	for _, s := range b.spans {
		index += int64(s.offset)
		for range s.length {
			if n >= int64(have) {
				return "its spans name more buckets than it has"
			}
			var count float64
			if len(b.counts) > 0 {
				count = b.counts[n]
			} else {
				level += b.deltas[n]
				count = float64(level)
			}
			if !(count >= 0) {
				return "a bucket has fewer than no observations"
			}
			if count > 0 {
				fn(index, count)
			}
			index, n = index+1, n+1
		}
	}
	if n != int64(have) {
		return "its spans name fewer buckets than it has"
	}
	return ""
}

// readNative reads a Histogram; both versions number its fields alike.
func readNative(msg []byte) (native, error) {
	var h native
	r := fields.Read(msg)
	for r.Next() {
		if len(r.Bytes) > 8*maxBuckets {
			return native{}, fmt.Errorf("%w: a histogram has more than %d buckets", ErrLimit, maxBuckets)
		}
		var err error
		switch r.Number {
		case 1:
			h.count = float64(r.Bits)
		case 2:
			h.count = r.Double()
		case 3:
			h.sum = r.Double()
		case 4:
			h.schema = protowire.DecodeZigZag(r.Bits)
		case 5:
			h.threshold = r.Double()
		case 6:
			h.zero = float64(r.Bits)
		case 7:
			h.zero = r.Double()
		case 8:
			err = h.negative.span(r.Bytes)
		case 11:
			err = h.positive.span(r.Bytes)
		case 9:
			err = r.Varints(func(v uint64) { h.negative.deltas = append(h.negative.deltas, protowire.DecodeZigZag(v)) })
		case 12:
			err = r.Varints(func(v uint64) { h.positive.deltas = append(h.positive.deltas, protowire.DecodeZigZag(v)) })
		case 10:
			err = r.Doubles(func(v float64) { h.negative.counts = append(h.negative.counts, v) })
		case 13:
			err = r.Doubles(func(v float64) { h.positive.counts = append(h.positive.counts, v) })
		case 15:
			h.time = int64(r.Bits)
		case 16:
			err = r.Doubles(func(v float64) { h.custom = append(h.custom, v) })
		}
		if err != nil {
			return native{}, err
		}
		if h.measure() > maxBuckets {
			return native{}, fmt.Errorf("%w: a histogram has more than %d buckets", ErrLimit, maxBuckets)
		}
	}
	return h, r.Err()
}

func (h *native) measure() int {
	h.size = len(h.custom)
	for _, b := range []buckets{h.negative, h.positive} {
		h.size += len(b.spans) + len(b.deltas) + len(b.counts)
	}
	return h.size
}

// span reads a BucketSpan: offset 1, length 2.
func (b *buckets) span(msg []byte) error {
	var s span
	r := fields.Read(msg)
	for r.Next() {
		switch r.Number {
		case 1:
			s.offset = int32(protowire.DecodeZigZag(r.Bits))
		case 2:
			s.length = uint32(r.Bits)
		}
	}
	b.spans = append(b.spans, s)
	return r.Err()
}
