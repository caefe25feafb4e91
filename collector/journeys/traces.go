package journeys

import (
	"context"
	"sync"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// mostSpans bounds the spans kept for one run; a journey has at most 64 steps.
const mostSpans = 256

// NewTracer returns a tracer that tells begin of each trace before its first span
// leaves the process and hands the finished trace to emit, whole. Both are called
// by whoever starts or ends the trace's first span and may not block for long.
func NewTracer(service string, begin func(trace.TraceID), emit func(ptrace.Traces)) trace.Tracer {
	p := &whole{open: map[trace.TraceID][]sdktrace.ReadOnlySpan{}, begin: begin, emit: emit}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithSampler(sdktrace.AlwaysSample()),
		sdktrace.WithSpanProcessor(p),
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", service))),
	)
	return provider.Tracer("ghostlight/synthetics")
}

// whole collects the spans of a trace until its root ends.
type whole struct {
	begin func(trace.TraceID)
	emit  func(ptrace.Traces)
	mu    sync.Mutex
	open  map[trace.TraceID][]sdktrace.ReadOnlySpan // guarded by mu
}

func (w *whole) Shutdown(context.Context) error   { return nil }
func (w *whole) ForceFlush(context.Context) error { return nil }

func (w *whole) OnStart(_ context.Context, s sdktrace.ReadWriteSpan) {
	if !s.Parent().IsValid() {
		w.begin(s.SpanContext().TraceID())
	}
}

func (w *whole) OnEnd(s sdktrace.ReadOnlySpan) {
	id := s.SpanContext().TraceID()
	root := !s.Parent().IsValid()
	w.mu.Lock()
	spans := w.open[id]
	if len(spans) < mostSpans {
		spans = append(spans, s)
	}
	w.open[id] = spans
	if root {
		delete(w.open, id)
	}
	w.mu.Unlock()
	if root {
		w.emit(convert(spans))
	}
}

// convert says the same in the collector's data model.
func convert(spans []sdktrace.ReadOnlySpan) ptrace.Traces {
	td := ptrace.NewTraces()
	rs := td.ResourceSpans().AppendEmpty()
	ss := rs.ScopeSpans().AppendEmpty()
	for i, s := range spans {
		if i == 0 {
			copyAttributes(rs.Resource().Attributes(), s.Resource().Attributes())
			ss.Scope().SetName(s.InstrumentationScope().Name)
		}
		out := ss.Spans().AppendEmpty()
		out.SetTraceID(pcommon.TraceID(s.SpanContext().TraceID()))
		out.SetSpanID(pcommon.SpanID(s.SpanContext().SpanID()))
		out.SetParentSpanID(pcommon.SpanID(s.Parent().SpanID()))
		out.SetName(s.Name())
		out.SetKind(ptrace.SpanKind(s.SpanKind())) // the numbers are the same
		out.SetStartTimestamp(pcommon.NewTimestampFromTime(s.StartTime()))
		out.SetEndTimestamp(pcommon.NewTimestampFromTime(s.EndTime()))
		copyAttributes(out.Attributes(), s.Attributes())
		switch s.Status().Code {
		case codes.Error:
			out.Status().SetCode(ptrace.StatusCodeError)
			out.Status().SetMessage(s.Status().Description)
		case codes.Ok:
			out.Status().SetCode(ptrace.StatusCodeOk)
		}
		for _, e := range s.Events() {
			ev := out.Events().AppendEmpty()
			ev.SetName(e.Name)
			ev.SetTimestamp(pcommon.NewTimestampFromTime(e.Time))
			copyAttributes(ev.Attributes(), e.Attributes)
		}
	}
	return td
}

func copyAttributes(to pcommon.Map, from []attribute.KeyValue) {
	for _, kv := range from {
		switch kv.Value.Type() {
		case attribute.BOOL:
			to.PutBool(string(kv.Key), kv.Value.AsBool())
		case attribute.INT64:
			to.PutInt(string(kv.Key), kv.Value.AsInt64())
		case attribute.FLOAT64:
			to.PutDouble(string(kv.Key), kv.Value.AsFloat64())
		default:
			to.PutStr(string(kv.Key), kv.Value.Emit())
		}
	}
}
