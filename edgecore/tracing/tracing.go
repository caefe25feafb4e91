// Package tracing sends edgecore's spans over OTLP. A collector that is away costs
// spans, never requests: the queue is bounded, and the log says once that the
// collector went away and once that it came back.
package tracing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// Bounds of the path to the collector.
const (
	queueSize     = 512
	batchSize     = 128
	batchInterval = 2 * time.Second
	exportTimeout = 3 * time.Second
)

// Options configure tracing.
type Options struct {
	Endpoint string  // base URL of an OTLP/HTTP collector; empty turns tracing off
	Ratio    float64 // share of requests traced that do not continue a trace, 0 to 1
	Name     string  // this instance
	Version  string
	Log      *slog.Logger
}

// A Provider makes the tracer and owns what sends its spans.
type Provider struct {
	tracer   trace.Tracer
	shutdown func(context.Context) error
}

// New starts tracing. It does not contact the collector yet.
func New(ctx context.Context, o Options) (*Provider, error) {
	if o.Endpoint == "" {
		return &Provider{tracer: noop.NewTracerProvider().Tracer("edgecore"), shutdown: func(context.Context) error { return nil }}, nil
	}
	client, err := otlptracehttp.New(ctx,
		otlptracehttp.WithEndpointURL(strings.TrimSuffix(o.Endpoint, "/")+"/v1/traces"),
		otlptracehttp.WithTimeout(exportTimeout),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{Enabled: false}))
	if err != nil {
		return nil, fmt.Errorf("otlp exporter for %s: %w", o.Endpoint, err)
	}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(&quiet{SpanExporter: client, endpoint: o.Endpoint, log: o.Log},
			sdktrace.WithMaxQueueSize(queueSize), sdktrace.WithMaxExportBatchSize(batchSize),
			sdktrace.WithBatchTimeout(batchInterval), sdktrace.WithExportTimeout(exportTimeout)),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(o.Ratio))),
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", "edgecore"), attribute.String("service.instance.id", o.Name),
			attribute.String("service.version", o.Version))))
	return &Provider{tracer: provider.Tracer("edgecore"), shutdown: provider.Shutdown}, nil
}

// Tracer returns the tracer of all of edgecore's spans.
func (p *Provider) Tracer() trace.Tracer { return p.tracer }

// Shutdown sends what is queued, for as long as ctx lasts.
func (p *Provider) Shutdown(ctx context.Context) error {
	if err := p.shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("stop tracing: %w", err)
	}
	return nil
}

// quiet turns a run of failed exports into one log line.
type quiet struct {
	sdktrace.SpanExporter
	endpoint string
	log      *slog.Logger

	mu   sync.Mutex
	lost int // spans lost since exports began to fail; 0 while they succeed; guarded by mu
}

// ExportSpans implements [sdktrace.SpanExporter]; it reports no errors, because
// the SDK would print each.
func (q *quiet) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := q.SpanExporter.ExportSpans(ctx, spans)
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case err != nil && q.lost == 0:
		q.log.Warn("traces are being dropped: the collector does not take them", "endpoint", q.endpoint, "error", err)
		q.lost += len(spans)
	case err != nil:
		q.lost += len(spans)
	case q.lost > 0:
		q.log.Info("the collector takes traces again", "endpoint", q.endpoint, "spans_lost", q.lost)
		q.lost = 0
	}
	return nil
}
