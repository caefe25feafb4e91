package synthetics

import (
	"context"
	"fmt"
	"io"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// startTrace begins the run's own trace, apart from whatever trace ctx is in.
// Where no tracer records, the trace has an id all the same.
func (r *Runner) startTrace(ctx context.Context, journey string) (context.Context, trace.Span, error) {
	ctx, span := r.tracer.Start(trace.ContextWithSpanContext(ctx, trace.SpanContext{}), "journey "+journey,
		trace.WithNewRoot(), trace.WithAttributes(attribute.String("journey.name", journey)))
	if span.SpanContext().IsValid() {
		return ctx, span, nil
	}
	sc, err := r.newSpanContext()
	if err != nil {
		return ctx, span, err
	}
	return trace.ContextWithSpanContext(ctx, sc), span, nil
}

func (r *Runner) newSpanContext() (trace.SpanContext, error) {
	r.randMu.Lock()
	defer r.randMu.Unlock()
	var traceID trace.TraceID
	var spanID trace.SpanID
	for _, id := range [][]byte{traceID[:], spanID[:]} {
		if _, err := io.ReadFull(r.rand, id); err != nil {
			return trace.SpanContext{}, fmt.Errorf("make a trace id: %w", err)
		}
	}
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: traceID, SpanID: spanID, TraceFlags: trace.FlagsSampled}), nil
}

func (r *Runner) startStep(ctx context.Context, step string) (context.Context, trace.Span) {
	return r.tracer.Start(ctx, "step "+step, trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(attribute.String("journey.step", step)))
}

// endSpan ends the span of a run or a step with what it came to.
func endSpan(span trace.Span, step string, status int, err error) {
	if status != 0 {
		span.SetAttributes(attribute.Int("http.response.status_code", status))
	}
	if err != nil {
		span.SetAttributes(attribute.String("journey.failed_step", step))
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()
}
