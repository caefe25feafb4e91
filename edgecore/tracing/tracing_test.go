package tracing

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.uber.org/goleak"
)

// collector is an exporter that fails on demand.
type collector struct {
	fail  bool
	spans int
}

func (c *collector) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	if c.fail {
		return errors.New("connection refused")
	}
	c.spans += len(spans)
	return nil
}

func (c *collector) Shutdown(context.Context) error { return nil }

func TestAwayCollectorIsLoggedOnceEachWay(t *testing.T) {
	var out strings.Builder
	c := &collector{}
	q := &quiet{SpanExporter: c, endpoint: "http://x", log: slog.New(slog.NewTextHandler(&out, nil))}
	spans := make([]sdktrace.ReadOnlySpan, 3)
	for _, c.fail = range []bool{false, true, true, true, false, false} {
		if err := q.ExportSpans(t.Context(), spans); err != nil {
			t.Fatal(err)
		}
	}
	text := out.String()
	if strings.Count(text, "\n") != 2 || !strings.Contains(text, "spans_lost=9") {
		t.Fatalf("log is\n%s", text)
	}
	if c.spans != 9 {
		t.Fatalf("%d spans arrived, want 9", c.spans)
	}
}

func TestSpansReachTheCollector(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	paths := make(chan string, 8)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { paths <- r.URL.Path }))
	defer srv.Close()
	p, err := New(t.Context(), Options{Endpoint: srv.URL, Ratio: 1, Name: "n", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	_, span := p.Tracer().Start(t.Context(), "sale")
	span.End()
	if err := p.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := <-paths; got != "/v1/traces" {
		t.Fatalf("spans went to %s", got)
	}
}

func TestOffWithoutEndpoint(t *testing.T) {
	p, err := New(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, span := p.Tracer().Start(t.Context(), "x")
	if span.SpanContext().IsValid() {
		t.Fatal("a span without a collector is recorded")
	}
	if err := p.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
}
