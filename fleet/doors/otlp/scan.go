package otlp

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"ghostlight/fleet/doors/fields"
)

// Bounds of one request. An element is a message within it: a metric, a point, an
// attribute, a span, a log record.
const (
	maxElements = 400_000
	maxDepth    = 64 // of messages within messages
	numberBytes = 4  // of a list of varints, which may take one byte each, count as an element
)

// A shape says which fields of a message are messages, and of what shape; a nil
// one is a list of varints.
type shape map[protowire.Number]shape

// shapes of OTLP's messages, whose field numbers are those of
// opentelemetry/proto/{common,resource,metrics,trace,logs}/v1.
type shapes struct{ metrics, traces, logs shape }

// newShapes builds the shapes; values hold values, so there is a loop in them.
func newShapes() shapes {
	value := shape{}
	keyValue := shape{2: value}
	value[5] = shape{1: value}    // array
	value[6] = shape{1: keyValue} // list of pairs
	scope := shape{3: keyValue}
	resource := shape{1: keyValue, 3: {}}
	exemplar := shape{7: keyValue}
	number := shape{7: keyValue, 5: exemplar}
	histogram := shape{9: keyValue, 8: exemplar}
	buckets := shape{2: nil}
	exponential := shape{1: keyValue, 8: buckets, 9: buckets, 11: exemplar}
	summary := shape{7: keyValue, 6: {}}
	metric := shape{5: {1: number}, 7: {1: number}, 9: {1: histogram}, 10: {1: exponential}, 11: {1: summary}, 12: keyValue}
	span := shape{9: keyValue, 11: {3: keyValue}, 13: {4: keyValue}, 15: {}}
	record := shape{5: value, 6: keyValue}
	within := func(item shape) shape { return shape{1: {1: resource, 2: {1: scope, 2: item}}} }
	return shapes{within(metric), within(span), within(record)}
}

func (s shapes) of(sig Signal) shape { return [...]shape{s.metrics, s.traces, s.logs}[sig] }

// scan counts and bounds a request without taking memory for it.
func scan(s Signal, e Encoding, msg []byte) error {
	if e == JSON {
		return scanJSON(msg)
	}
	c := counter{}
	return c.message(newShapes().of(s), msg, 0)
}

type counter struct{ elements int }

func (c *counter) message(s shape, msg []byte, depth int) error {
	if err := c.element(depth); err != nil {
		return err
	}
	r := fields.Read(msg)
	for r.Next() {
		inner, ok := s[r.Number]
		switch {
		case r.Type != protowire.BytesType || !ok:
		case inner == nil:
			c.elements += len(r.Bytes) / numberBytes
		default:
			if err := c.message(inner, r.Bytes, depth+1); err != nil {
				return err
			}
		}
	}
	if err := r.Err(); err != nil {
		return malformed(err)
	}
	return nil
}

func (c *counter) element(depth int) error {
	c.elements++
	switch {
	case c.elements > maxElements:
		return fmt.Errorf("%w: it holds more than %d elements; send fewer at once", ErrLimit, maxElements)
	case depth > maxDepth:
		return fmt.Errorf("%w: it is nested more than %d deep", ErrLimit, maxDepth)
	}
	return nil
}

// scanJSON counts objects and lists, and numbers by the commas between them. What
// is not JSON is left to the reader of it to refuse.
func scanJSON(msg []byte) error {
	c := counter{}
	depth, commas, quoted, escaped := 0, 0, false, false
	for _, b := range msg {
		switch {
		case escaped:
			escaped = false
		case quoted && b == '\\':
			escaped = true
		case b == '"':
			quoted = !quoted
		case quoted:
		case b == '{' || b == '[':
			depth++
			if err := c.element(depth / 2); err != nil { // a list of objects nests twice
				return err
			}
		case b == '}' || b == ']':
			depth--
		case b == ',':
			commas++
		}
	}
	if commas > 8*maxElements {
		return fmt.Errorf("%w: it holds more than %d values; send fewer at once", ErrLimit, 8*maxElements)
	}
	return nil
}
