package registry

import (
	"encoding/hex"
	"errors"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// maxTraceIDs bounds the traces that one batch may belong to.
const maxTraceIDs = 1000

// traceIDs finds the trace ids of the spans in an OTLP TracesData message, as hex,
// sorted and unique. Field numbers are those of opentelemetry/proto/trace/v1:
// resource_spans, scope_spans, spans, trace_id.
func traceIDs(msg []byte) ([]string, error) {
	var out []string
	err := each(msg, 1, func(resource []byte) error {
		return each(resource, 2, func(scope []byte) error {
			return each(scope, 2, func(span []byte) error {
				return each(span, 1, func(id []byte) error {
					if len(out) < maxTraceIDs {
						out = append(out, hex.EncodeToString(id))
					}
					return nil
				})
			})
		})
	})
	slices.Sort(out)
	return slices.Compact(out), err
}

// each calls fn for every length-delimited field of the given number in msg.
func each(msg []byte, number protowire.Number, fn func([]byte) error) error {
	for len(msg) > 0 {
		num, typ, n := protowire.ConsumeTag(msg)
		if n < 0 {
			return errors.New("message is not protobuf")
		}
		msg = msg[n:]
		if num != number || typ != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(num, typ, msg); n < 0 {
				return errors.New("message is cut short")
			}
			msg = msg[n:]
			continue
		}
		part, n := protowire.ConsumeBytes(msg)
		if n < 0 {
			return errors.New("message is cut short")
		}
		if err := fn(part); err != nil {
			return err
		}
		msg = msg[n:]
	}
	return nil
}
