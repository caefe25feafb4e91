package evidence

import (
	"encoding/hex"
	"fmt"
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
	all := gathered[ptrace.Traces]{byTrace: map[pcommon.TraceID]ptrace.Traces{}, empty: ptrace.NewTraces}
	for _, rs := range td.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			here := map[pcommon.TraceID]ptrace.SpanSlice{}
			for _, span := range ss.Spans().All() {
				id := span.TraceID()
				into, ok := here[id]
				if !ok {
					to, ok := all.of(id)
					if !ok {
						continue
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
	return encode(all, func(td ptrace.Traces) ([]byte, int, error) {
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
	all := gathered[plog.Logs]{byTrace: map[pcommon.TraceID]plog.Logs{}, empty: plog.NewLogs}
	for _, rl := range ld.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			here := map[pcommon.TraceID]plog.LogRecordSlice{}
			for _, lr := range sl.LogRecords().All() {
				id := lr.TraceID()
				into, ok := here[id]
				if !ok {
					to, ok := all.of(id)
					if !ok {
						continue
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
	return encode(all, func(ld plog.Logs) ([]byte, int, error) {
		body, err := (&plog.ProtoMarshaler{}).MarshalLogs(ld)
		return body, ld.LogRecordCount(), err
	})
}

// gathered is what one record holds of each trace, as messages of type T.
type gathered[T any] struct {
	byTrace map[pcommon.TraceID]T
	loose   int64 // spans or lines of no trace, or of one too many
	empty   func() T
}

// of is the message of a trace; ok is false if it may have none.
func (g *gathered[T]) of(id pcommon.TraceID) (message T, ok bool) {
	if message, ok = g.byTrace[id]; ok {
		return message, true
	}
	if id.IsEmpty() || len(g.byTrace) >= maxTraces {
		g.loose++
		return message, false
	}
	message = g.empty()
	g.byTrace[id] = message
	return message, true
}

// encode writes the parts in the order of their trace ids.
func encode[T any](all gathered[T], marshal func(T) ([]byte, int, error)) ([]part, int64, error) {
	parts := make([]part, 0, len(all.byTrace))
	for id, whole := range all.byTrace {
		body, units, err := marshal(whole)
		if err != nil {
			return nil, 0, err
		}
		parts = append(parts, part{trace: hex.EncodeToString(id[:]), units: int64(units), body: body})
	}
	slices.SortFunc(parts, func(a, b part) int { return strings.Compare(a.trace, b.trace) })
	return parts, all.loose, nil
}
