// Package otlp reads OTLP export requests, protobuf and JSON, into what a door can
// have journalled, and writes the answers. It is pure: no I/O, no clock, no state
// between calls.
//
//   - metrics: series, named and flattened as collector/flatten says. Points of
//     delta temporality, points without a valid name and points before the retention
//     are rejected by themselves, counted, and named in the partial success.
//     Exemplars are counted and left out.
//   - traces and logs: one record each, the request as OTLP protobuf, under a key
//     made of its content, so that a repeated request is the same fact.
//
// A message is counted before it is unmarshalled: elements and nesting are bounded,
// so that a small message cannot take much memory.
package otlp

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/collector/flatten"
)

// Signal is what a request is of.
type Signal int

// The signals that are taken.
const (
	Metrics Signal = iota
	Traces
	Logs
)

// String is the signal's name, which is also the last part of its path.
func (s Signal) String() string { return [...]string{"metrics", "traces", "logs"}[s] }

// Lane is the lane that the signal's blocks are counted in.
func (s Signal) Lane() buffer.Lane {
	return [...]buffer.Lane{buffer.Detail, buffer.Traces, buffer.Logs}[s]
}

// Encoding is how a request is written, and its answer.
type Encoding int

// The encodings of the specification.
const (
	Protobuf Encoding = iota
	JSON
)

var (
	// ErrMalformed means that a request cannot be read at all.
	ErrMalformed = errors.New("OTLP request cannot be read")
	// ErrLimit means that a request holds more than is allowed. The error says
	// what.
	ErrLimit = errors.New("OTLP request is too large")
)

// Options bound what one request may hold and say what can be stored.
type Options struct {
	Now     int64 // Unix milliseconds, of records and of points without a time
	Oldest  int64 // points before it are rejected, Unix milliseconds
	Samples int   // most samples that metrics may become
	Memory  int64 // most bytes that the batch may take
}

// A Result is what one request holds.
type Result struct {
	Batch     delta.Batch
	Items     int            // data points, spans or log records in Batch
	Rejected  map[string]int // data points that can never be stored, by reason
	Exemplars int            // left out
}

// RejectedTotal is how many data points were rejected.
func (r Result) RejectedTotal() int {
	n := 0
	for _, v := range r.Rejected {
		n += v
	}
	return n
}

// Message says what was rejected and why; empty if nothing was.
func (r Result) Message() string {
	var parts []string
	for reason, n := range r.Rejected {
		parts = append(parts, fmt.Sprintf("%d data points: %s", n, reason))
	}
	slices.Sort(parts)
	return strings.Join(parts, "; ")
}

// Decode reads a request. The error wraps [ErrMalformed] or [ErrLimit], and then
// nothing of it may be used.
func Decode(s Signal, e Encoding, msg []byte, o Options) (Result, error) {
	if err := scan(s, e, msg); err != nil {
		return Result{}, err
	}
	switch s {
	case Metrics:
		return decodeMetrics(e, msg, o)
	case Traces:
		return decodeTraces(e, msg, o)
	default:
		return decodeLogs(e, msg, o)
	}
}

func malformed(err error) error { return fmt.Errorf("%w: %w", ErrMalformed, err) }

func decodeMetrics(e Encoding, msg []byte, o Options) (Result, error) {
	req := pmetricotlp.NewExportRequest()
	read := req.UnmarshalProto
	if e == JSON {
		read = req.UnmarshalJSON
	}
	if err := read(msg); err != nil {
		return Result{}, malformed(err)
	}
	w := weigh(req.Metrics(), o)
	if w.samples > o.Samples {
		return Result{}, fmt.Errorf("%w: its metrics become more than %d samples", ErrLimit, o.Samples)
	}
	if w.memory > o.Memory {
		return Result{}, fmt.Errorf("%w: its metrics take more than %d bytes of memory", ErrLimit, o.Memory)
	}
	flat := flatten.Metrics(req.Metrics(), flatten.Options{Now: o.Now})
	res := Result{Batch: flat.Batch, Rejected: flat.Dropped, Exemplars: w.exemplars}
	if w.old > 0 {
		res.Rejected["before the retention"] += w.old
	}
	res.Items = max(w.points-res.RejectedTotal(), 0)
	return res, nil
}

func decodeTraces(e Encoding, msg []byte, o Options) (Result, error) {
	req := ptraceotlp.NewExportRequest()
	read := req.UnmarshalProto
	if e == JSON {
		read = req.UnmarshalJSON
	}
	if err := read(msg); err != nil {
		return Result{}, malformed(err)
	}
	return record("otlp.traces", req.Traces().SpanCount(), req.MarshalProto, o)
}

func decodeLogs(e Encoding, msg []byte, o Options) (Result, error) {
	req := plogotlp.NewExportRequest()
	read := req.UnmarshalProto
	if e == JSON {
		read = req.UnmarshalJSON
	}
	if err := read(msg); err != nil {
		return Result{}, malformed(err)
	}
	return record("otlp.logs", req.Logs().LogRecordCount(), req.MarshalProto, o)
}

// record makes one record of a request with count items; of none, nothing.
func record(kind string, count int, marshal func() ([]byte, error), o Options) (Result, error) {
	if count == 0 {
		return Result{}, nil
	}
	body, err := marshal()
	if err != nil {
		return Result{}, malformed(err)
	}
	sum := sha256.Sum256(body)
	rec := delta.Record{Kind: kind, Key: hex.EncodeToString(sum[:16]), Time: o.Now, Body: body}
	return Result{Items: count, Batch: delta.Batch{Records: []delta.Record{rec}}}, nil
}

// Response is the body of an answer to a request that was taken, all of it or in
// part.
func Response(s Signal, e Encoding, res Result) ([]byte, error) {
	rejected, message := int64(res.RejectedTotal()), res.Message()
	var answer interface {
		MarshalProto() ([]byte, error)
		MarshalJSON() ([]byte, error)
	}
	switch s {
	case Metrics:
		r := pmetricotlp.NewExportResponse()
		if rejected > 0 {
			r.PartialSuccess().SetRejectedDataPoints(rejected)
			r.PartialSuccess().SetErrorMessage(message)
		}
		answer = r
	case Traces:
		answer = ptraceotlp.NewExportResponse()
	default:
		answer = plogotlp.NewExportResponse()
	}
	if e == JSON {
		return answer.MarshalJSON()
	}
	return answer.MarshalProto()
}
