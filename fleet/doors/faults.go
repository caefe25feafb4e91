package doors

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/fleet/doors/otlp"
	"ghostlight/fleet/doors/remotewrite"
	"ghostlight/fleet/ingest"
)

// kind is why a request was not taken, as far as its sender must tell.
type kind int

const (
	unauthorized kind = iota // no credential of a node
	malformed                // will never be taken
	unsupported              // in this media type or encoding
	tooLarge                 // at once
	overLimit                // the node sends too much: later
	unavailable              // the centre cannot take more: later
)

// name is what counters call it.
func (k kind) name() string {
	return [...]string{"unauthorized", "malformed", "unsupported", "too_large", "over_limit", "unavailable"}[k]
}

// status is the HTTP status.
func (k kind) status() int {
	return [...]int{
		http.StatusUnauthorized, http.StatusBadRequest, http.StatusUnsupportedMediaType, http.StatusRequestEntityTooLarge,
		http.StatusTooManyRequests, http.StatusServiceUnavailable,
	}[k]
}

// code is the gRPC code.
func (k kind) code() codes.Code {
	return [...]codes.Code{
		codes.Unauthenticated, codes.InvalidArgument, codes.InvalidArgument, codes.InvalidArgument, codes.ResourceExhausted, codes.Unavailable,
	}[k]
}

// A fault is why a request was not taken.
type fault struct {
	kind  kind
	after time.Duration // overLimit and unavailable: when to try again
	err   error
}

func (f *fault) Error() string { return f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

func faultf(k kind, format string, args ...any) error {
	return &fault{kind: k, err: fmt.Errorf(format, args...)}
}

// later asks for another try in a moment.
func later(format string, args ...any) error {
	return &fault{kind: unavailable, after: 5 * time.Second, err: fmt.Errorf(format, args...)}
}

// retryAfter is the header of that name, in whole seconds.
func (f *fault) retryAfter() string { return strconv.Itoa(int(math.Ceil(f.after.Seconds()))) }

// faultOf says what an error means to the sender.
func faultOf(err error) *fault {
	var f *fault
	var p *ingest.Pressure
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &p) && p.Overflow:
		return &fault{kind: overLimit, after: p.After, err: p}
	case errors.As(err, &p):
		return &fault{kind: unavailable, after: p.After, err: p}
	case errors.Is(err, ingest.ErrUnauthorized):
		return &fault{kind: unauthorized, err: err}
	case errors.Is(err, remotewrite.ErrLimit), errors.Is(err, otlp.ErrLimit), errors.Is(err, delta.ErrLimit):
		return &fault{kind: tooLarge, err: err}
	case errors.Is(err, remotewrite.ErrMalformed), errors.Is(err, otlp.ErrMalformed), errors.Is(err, delta.ErrInvalid):
		return &fault{kind: malformed, err: err}
	}
	return &fault{kind: unavailable, after: 5 * time.Second, err: errors.New("the request could not be taken; send it again")}
}

// note counts a fault, and logs the first of each kind of a node.
func (d *Doors) note(src buffer.Source, door string, f *fault) {
	if f.kind == unauthorized {
		d.metrics.unauthorized.WithLabelValues(door).Inc()
		return
	}
	d.metrics.request(src, door, f.kind.name())
	d.mu.Lock()
	defer d.mu.Unlock()
	key := told{src, door, f.kind}
	if !d.told[key] {
		d.told[key] = true
		d.log.Warn("request of a node is refused; later refusals of this kind are only counted", "source", src.String(), "door", door, "kind", f.kind.name(), "error", f.err)
	}
}
