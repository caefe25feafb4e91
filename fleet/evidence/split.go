package evidence

import (
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// maxTraces bounds the traces that one record may belong to; a node's records are
// far below it.
const maxTraces = 5000

// part is what one record holds of one trace.
type part struct {
	trace string // hex
	units int64  // spans or lines
	body  []byte // OTLP protobuf
}

// splitSpans cuts an OTLP message by trace. loose counts the spans that belong to
// none, or to one too many.
func splitSpans(body []byte) (parts []part, loose int64, err error) {
	td, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(body)
	if err != nil {
		return nil, 0, fmt.Errorf("traces: %w", err)
	}
	byTrace := map[pcommon.TraceID]ptrace.Traces{}
	for _, rs := range td.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			here := map[pcommon.TraceID]ptrace.SpanSlice{}
			for _, span := range ss.Spans().All() {
				id := span.TraceID()
				into, ok := here[id]
				if !ok {
					to, known := byTrace[id]
					if id.IsEmpty() || !known && len(byTrace) >= maxTraces {
						loose++
						continue
					}
					if !known {
						to = ptrace.NewTraces()
						byTrace[id] = to
					}
					res := to.ResourceSpans().AppendEmpty()
					rs.Resource().CopyTo(res.Resource())
					scope := res.ScopeSpans().AppendEmpty()
					ss.Scope().CopyTo(scope.Scope())
					into = scope.Spans()
					here[id] = into
				}
				span.MoveTo(into.AppendEmpty())
			}
		}
	}
	return encode(byTrace, loose, func(td ptrace.Traces) ([]byte, int, error) {
		body, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(td)
		return body, td.SpanCount(), err
	})
}

// splitLines is splitSpans for log lines.
func splitLines(body []byte) (parts []part, loose int64, err error) {
	ld, err := (&plog.ProtoUnmarshaler{}).UnmarshalLogs(body)
	if err != nil {
		return nil, 0, fmt.Errorf("logs: %w", err)
	}
	byTrace := map[pcommon.TraceID]plog.Logs{}
	for _, rl := range ld.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			here := map[pcommon.TraceID]plog.LogRecordSlice{}
			for _, lr := range sl.LogRecords().All() {
				id := lr.TraceID()
				into, ok := here[id]
				if !ok {
					to, known := byTrace[id]
					if id.IsEmpty() || !known && len(byTrace) >= maxTraces {
						loose++
						continue
					}
					if !known {
						to = plog.NewLogs()
						byTrace[id] = to
					}
					res := to.ResourceLogs().AppendEmpty()
					rl.Resource().CopyTo(res.Resource())
					scope := res.ScopeLogs().AppendEmpty()
					sl.Scope().CopyTo(scope.Scope())
					into = scope.LogRecords()
					here[id] = into
				}
				lr.MoveTo(into.AppendEmpty())
			}
		}
	}
	return encode(byTrace, loose, func(ld plog.Logs) ([]byte, int, error) {
		body, err := (&plog.ProtoMarshaler{}).MarshalLogs(ld)
		return body, ld.LogRecordCount(), err
	})
}

// encode writes the parts in the order of their trace ids.
func encode[T any](byTrace map[pcommon.TraceID]T, loose int64, marshal func(T) ([]byte, int, error)) ([]part, int64, error) {
	parts := make([]part, 0, len(byTrace))
	for id := range maps.Keys(byTrace) {
		body, units, err := marshal(byTrace[id])
		if err != nil {
			return nil, 0, err
		}
		parts = append(parts, part{trace: hex.EncodeToString(id[:]), units: int64(units), body: body})
	}
	slices.SortFunc(parts, func(a, b part) int { return strings.Compare(a.trace, b.trace) })
	return parts, loose, nil
}
