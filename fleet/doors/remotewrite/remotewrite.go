// Package remotewrite reads the messages of Prometheus remote write, versions 1.0
// and 2.0, into batches. It is pure: no I/O, no clock, no state between calls.
//
// Values are kept to the bit, stale markers included. What becomes of the rest:
//
//   - metadata: the type, unit and help of series (2.0), or series without samples
//     that carry them (1.0). A gauge histogram has no type of ours: unknown.
//   - native histograms, integer and float: classic ones, name_bucket{le}, name_sum
//     and name_count, as package classic makes them. One that it cannot is refused.
//   - exemplars: counted and left out.
//   - start timestamps: left out.
//   - a series or sample that can never be stored (no name, labels that repeat, text
//     that is not UTF-8, a time before the retention): refused by itself, counted by
//     reason; the rest of the request is taken.
//
// Memory is bounded while a message is read, not afterwards.
package remotewrite

import (
	"errors"
	"fmt"

	"ghostlight/buffer/delta"
	"ghostlight/fleet/doors/fields"
)

// Version says which of the two messages is read.
type Version int

// The messages, by the names that content negotiation has for them.
const (
	V1 Version = 1 // prometheus.WriteRequest
	V2 Version = 2 // io.prometheus.write.v2.Request
)

var (
	// ErrMalformed means that a message cannot be read at all.
	ErrMalformed = errors.New("remote write message cannot be read")
	// ErrLimit means that a message holds more than is allowed. The error says
	// what.
	ErrLimit = errors.New("remote write message is too large")
)

// Reasons that parts of a message are refused for.
const (
	RefusedLabels    = "labels"    // no name, repeated, too long, not UTF-8
	RefusedOld       = "too_old"   // before the retention
	RefusedHistogram = "histogram" // of an unknown schema, or inconsistent
	RefusedMetadata  = "metadata"  // without a name, too long, or not UTF-8
)

// Options bound what one message may hold and say what can be stored.
type Options struct {
	Oldest     int64 // samples before it are refused, Unix milliseconds
	Series     int   // most series, and most metadata, of one message
	Samples    int   // most samples
	LabelBytes int   // most bytes in the labels of one series
	Memory     int64 // most bytes that the batch may take
}

// maxLabels bounds the labels of one series.
const maxLabels = 256

// A Result is what one message holds.
type Result struct {
	// Batch is all that can be stored. Series without samples carry metadata.
	Batch delta.Batch
	// Samples and Histograms count what of the message is in Batch; one histogram
	// is many samples there.
	Samples, Histograms int
	// Exemplars counts those that were left out.
	Exemplars int
	// Refused counts samples, histograms and metadata that can never be stored.
	Refused map[string]int
	// Problem says why the first of them was refused; empty: none was.
	Problem string
}

// RefusedTotal is how many samples, histograms and metadata were refused.
func (r Result) RefusedTotal() int {
	n := 0
	for _, v := range r.Refused {
		n += v
	}
	return n
}

// Decode reads a message, decompressed. The error wraps [ErrMalformed] or
// [ErrLimit], and then nothing of it may be used. The result shares no memory with
// msg.
func Decode(v Version, msg []byte, o Options) (Result, error) {
	d := &decoder{o: o, left: o.Memory, texts: map[string]string{}, res: Result{Refused: map[string]int{}}}
	var err error
	switch v {
	case V1:
		err = d.request1(msg)
	case V2:
		err = d.request2(msg)
	default:
		return Result{}, fmt.Errorf("%w: version %d is unknown", ErrMalformed, v)
	}
	if errors.Is(err, fields.ErrMalformed) {
		err = fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if err != nil {
		return Result{}, err
	}
	return d.res, nil
}
