package tail

import (
	"fmt"
	"slices"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"ghostlight/buffer"
)

// item is a piece of what is kept, on its way to the buffer.
type item struct {
	body        []byte
	units       int64             // spans, or lines that one stands for
	trace       pcommon.TraceID   // of spans
	threshold   uint64            // of spans
	logs        bool              // lines, not spans
	first, last pcommon.Timestamp // of lines
}

// outbox holds what is kept until it is stored, bounded in bytes.
type outbox struct {
	limit       int64
	bytes       int64
	spans, logs []item
}

// add takes an item; it reports false if there is no room.
func (o *outbox) add(it item) bool { return o.addAll([]item{it}, int64(len(it.body))) }

// addAll takes all items, size bytes together, or none.
func (o *outbox) addAll(items []item, size int64) bool {
	size += int64(len(items)) * itemOverhead
	if o.bytes > 0 && o.bytes+size > o.limit {
		return false
	}
	o.bytes += size
	for _, it := range items {
		if it.logs {
			o.logs = append(o.logs, it)
		} else {
			o.spans = append(o.spans, it)
		}
	}
	return true
}

func (o *outbox) of(lane buffer.Lane) *[]item {
	if lane == buffer.Logs {
		return &o.logs
	}
	return &o.spans
}

// peek is the next record's worth of items.
func (o *outbox) peek(lane buffer.Lane) []item {
	all := *o.of(lane)
	size := 0
	for i, it := range all {
		if size += len(it.body); size > batchBytes && i > 0 {
			return slices.Clone(all[:i])
		}
	}
	return slices.Clone(all)
}

// drop removes the first n items, which are stored.
func (o *outbox) drop(lane buffer.Lane, n int) {
	all := o.of(lane)
	for _, it := range (*all)[:n] {
		o.bytes -= int64(len(it.body)) + itemOverhead
	}
	*all = slices.Delete(*all, 0, n)
}

// pack joins items into one OTLP message in which what shares a resource and scope
// stands together.
func pack(lane buffer.Lane, items []item) (kind string, body []byte, err error) {
	if lane == buffer.Logs {
		body, err = packLogs(items)
		return KindLogs, body, err
	}
	body, err = packSpans(items)
	return KindTraces, body, err
}

func packSpans(items []item) ([]byte, error) {
	out := ptrace.NewTraces()
	for _, it := range items {
		td, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(it.body)
		if err != nil {
			return nil, fmt.Errorf("read held spans: %w", err)
		}
		for _, rs := range td.ResourceSpans().All() {
			for _, ss := range rs.ScopeSpans().All() {
				for _, s := range ss.Spans().All() {
					s.TraceState().FromRaw(withThreshold(s.TraceState().AsRaw(), it.threshold))
				}
				ss.Spans().MoveAndAppendTo(spansOf(out, rs.Resource(), ss.Scope()))
			}
		}
	}
	return (&ptrace.ProtoMarshaler{}).MarshalTraces(out)
}

// spansOf finds, or makes, the place of a resource and scope.
func spansOf(td ptrace.Traces, res pcommon.Resource, scope pcommon.InstrumentationScope) ptrace.SpanSlice {
	for _, rs := range td.ResourceSpans().All() {
		if !rs.Resource().Attributes().Equal(res.Attributes()) {
			continue
		}
		for _, ss := range rs.ScopeSpans().All() {
			if sameScope(ss.Scope(), scope) {
				return ss.Spans()
			}
		}
		ss := rs.ScopeSpans().AppendEmpty()
		scope.CopyTo(ss.Scope())
		return ss.Spans()
	}
	rs := td.ResourceSpans().AppendEmpty()
	res.CopyTo(rs.Resource())
	ss := rs.ScopeSpans().AppendEmpty()
	scope.CopyTo(ss.Scope())
	return ss.Spans()
}

func sameScope(a, b pcommon.InstrumentationScope) bool {
	return a.Name() == b.Name() && a.Version() == b.Version() && a.Attributes().Equal(b.Attributes())
}

func packLogs(items []item) ([]byte, error) {
	out := plog.NewLogs()
	for _, it := range items {
		ld, err := (&plog.ProtoUnmarshaler{}).UnmarshalLogs(it.body)
		if err != nil {
			return nil, fmt.Errorf("read held lines: %w", err)
		}
		for _, rl := range ld.ResourceLogs().All() {
			for _, sl := range rl.ScopeLogs().All() {
				for _, lr := range sl.LogRecords().All() {
					it.tell(lr)
				}
				sl.LogRecords().MoveAndAppendTo(linesOf(out, rl.Resource(), sl.Scope()))
			}
		}
	}
	return (&plog.ProtoMarshaler{}).MarshalLogs(out)
}

// tell writes onto a line how many it stands for.
func (it item) tell(lr plog.LogRecord) {
	if it.units < 2 {
		return
	}
	lr.Attributes().PutInt(FoldCount, it.units)
	lr.Attributes().PutStr(FoldFirst, it.first.AsTime().Format(time.RFC3339Nano))
	lr.Attributes().PutStr(FoldLast, it.last.AsTime().Format(time.RFC3339Nano))
}

func linesOf(ld plog.Logs, res pcommon.Resource, scope pcommon.InstrumentationScope) plog.LogRecordSlice {
	for _, rl := range ld.ResourceLogs().All() {
		if !rl.Resource().Attributes().Equal(res.Attributes()) {
			continue
		}
		for _, sl := range rl.ScopeLogs().All() {
			if sameScope(sl.Scope(), scope) {
				return sl.LogRecords()
			}
		}
		sl := rl.ScopeLogs().AppendEmpty()
		scope.CopyTo(sl.Scope())
		return sl.LogRecords()
	}
	rl := ld.ResourceLogs().AppendEmpty()
	res.CopyTo(rl.Resource())
	sl := rl.ScopeLogs().AppendEmpty()
	scope.CopyTo(sl.Scope())
	return sl.LogRecords()
}
