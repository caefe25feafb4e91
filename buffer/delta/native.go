package delta

import "fmt"

// A NativeHistogram is one sample of an exponential (native) histogram, as produced by
// Prometheus or OpenTelemetry.
type NativeHistogram struct {
	Series        int // index into Batch.Series, which tells its labels and metadata
	Time          int64
	Reset         ResetHint
	Schema        int8    // bucket i ends at 2^(i * 2^-Schema); -53: at Bounds[i]
	ZeroThreshold float64 // observations no larger than this are in the zero bucket
	ZeroCount     float64
	Count         float64 // whole numbers are exact up to 2^53
	Sum           float64
	Positive      Buckets
	Negative      Buckets
	Bounds        []float64 // of custom buckets, schema -53
}

// ResetHint says whether a histogram began anew.
type ResetHint uint8

// The reset hints. Their numbers are part of the format.
const (
	ResetUnknown ResetHint = 0
	ResetYes     ResetHint = 1
	ResetNo      ResetHint = 2
	ResetGauge   ResetHint = 3 // may fall as well as rise
)

// Buckets are the populated buckets of one sign.
type Buckets struct {
	Spans  []Span
	Counts []float64 // of each bucket, not cumulative, as many as the spans are long
}

// A Span is a number of buckets in a row: Offset empty ones lie between it and
// the span before; the first begins at bucket Offset.
type Span struct {
	Offset int32
	Length uint32
}

// An Exemplar is an observation that stands for many, usually with the id of its
// trace.
type Exemplar struct {
	Series int // index into Batch.Series
	Labels []Label
	Time   int64
	Value  float64
}

// hasExtras reports whether b has parts beside its series.
func (b *Batch) hasExtras() bool {
	return len(b.Records)+len(b.Histograms)+len(b.Exemplars) > 0
}

// checkExtras reports exemplars or histograms of series that are not there, and
// buckets that do not match their spans.
func (b *Batch) checkExtras() error {
	for i := range b.Exemplars {
		if n := b.Exemplars[i].Series; n < 0 || n >= len(b.Series) {
			return fmt.Errorf("%w: exemplar %d is of series %d of %d", ErrMalformed, i, n, len(b.Series))
		}
	}
	for i := range b.Histograms {
		h := &b.Histograms[i]
		if h.Series < 0 || h.Series >= len(b.Series) {
			return fmt.Errorf("%w: histogram %d is of series %d of %d", ErrMalformed, i, h.Series, len(b.Series))
		}
		if !h.Positive.whole() || !h.Negative.whole() {
			return fmt.Errorf("%w: histogram %d has other buckets than its spans say", ErrMalformed, i)
		}
	}
	return nil
}

func (b *Buckets) whole() bool {
	n := uint64(0)
	for _, s := range b.Spans {
		n += uint64(s.Length)
	}
	return n == uint64(len(b.Counts))
}
