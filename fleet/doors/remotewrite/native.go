package remotewrite

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"ghostlight/buffer/delta"
	"ghostlight/fleet/classic"
	"ghostlight/fleet/doors/fields"
)

// maxBuckets is the most that the lists of one histogram may hold.
const maxBuckets = 1 << 16

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
	b := delta.Batch{Series: []delta.Series{{Labels: d.labels, Meta: d.meta}}}
	for _, msg := range d.histograms {
		h, err := readNative(msg)
		if err != nil {
			return err
		}
		if err := d.take(16 * listed(&h)); err != nil {
			return err
		}
		if h.Time < d.o.Oldest {
			d.refuse(RefusedOld, 1, "a histogram at %d ms is before the retention, which begins at %d ms", h.Time, d.o.Oldest)
			continue
		}
		buckets, err := classic.Buckets(&h)
		if err != nil {
			d.refuse(RefusedHistogram, 1, "a histogram of series %s: %v", describe(d.labels), err)
			continue
		}
		if err := d.count(len(buckets) + 3); err != nil { // and sum, count, le="+Inf"
			return err
		}
		b.Histograms = append(b.Histograms, h)
	}
	d.res.Histograms += len(b.Histograms)
	for _, s := range classic.Series(&b) {
		if err := d.take(costLabel * len(s.Labels)); err != nil {
			return err
		}
		if err := d.add(s.Labels, s.Samples); err != nil {
			return err
		}
	}
	return nil
}

// A nativeReader reads one histogram.
type nativeReader struct {
	delta.NativeHistogram
	positive, negative int64 // count of the last bucket that was read, where they are sent as differences
}

// readNative reads a Histogram; both versions number its fields alike.
func readNative(msg []byte) (delta.NativeHistogram, error) {
	var h nativeReader
	r := fields.Read(msg)
	for r.Next() {
		if len(r.Bytes) > 8*maxBuckets {
			return delta.NativeHistogram{}, fmt.Errorf("%w: a histogram has more than %d buckets", ErrLimit, maxBuckets)
		}
		if err := h.field(&r); err != nil {
			return delta.NativeHistogram{}, err
		}
		if listed(&h.NativeHistogram) > maxBuckets {
			return delta.NativeHistogram{}, fmt.Errorf("%w: a histogram has more than %d buckets", ErrLimit, maxBuckets)
		}
	}
	return h.NativeHistogram, r.Err()
}

// field takes the field that r stands at.
func (h *nativeReader) field(r *fields.Reader) error {
	switch r.Number {
	case 1:
		h.Count = float64(r.Bits)
	case 2:
		h.Count = r.Double()
	case 3:
		h.Sum = r.Double()
	case 4:
		h.Schema = int8(max(-128, min(protowire.DecodeZigZag(r.Bits), 127))) // neither of the two is known
	case 5:
		h.ZeroThreshold = r.Double()
	case 6:
		h.ZeroCount = float64(r.Bits)
	case 7:
		h.ZeroCount = r.Double()
	case 8:
		return addSpan(&h.Negative, r.Bytes)
	case 9:
		return r.Varints(addDelta(&h.Negative, &h.negative))
	case 10:
		return r.Doubles(func(v float64) { h.Negative.Counts = append(h.Negative.Counts, v) })
	case 11:
		return addSpan(&h.Positive, r.Bytes)
	case 12:
		return r.Varints(addDelta(&h.Positive, &h.positive))
	case 13:
		return r.Doubles(func(v float64) { h.Positive.Counts = append(h.Positive.Counts, v) })
	case 15:
		h.Time = int64(r.Bits)
	case 16:
		return r.Doubles(func(v float64) { h.Bounds = append(h.Bounds, v) })
	}
	return nil
}

// listed is how much the lists of a histogram hold.
func listed(h *delta.NativeHistogram) int {
	return len(h.Bounds) + len(h.Negative.Spans) + len(h.Negative.Counts) + len(h.Positive.Spans) + len(h.Positive.Counts)
}

// addDelta takes the count of a bucket less that of the one before, last.
func addDelta(b *delta.Buckets, last *int64) func(uint64) {
	return func(v uint64) {
		*last += protowire.DecodeZigZag(v)
		b.Counts = append(b.Counts, float64(*last))
	}
}

// addSpan reads a BucketSpan: offset 1, length 2.
func addSpan(b *delta.Buckets, msg []byte) error {
	var s delta.Span
	r := fields.Read(msg)
	for r.Next() {
		switch r.Number {
		case 1:
			s.Offset = int32(protowire.DecodeZigZag(r.Bits))
		case 2:
			s.Length = uint32(r.Bits)
		}
	}
	b.Spans = append(b.Spans, s)
	return r.Err()
}
