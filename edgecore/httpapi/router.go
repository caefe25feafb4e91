package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Metrics count requests by route. One value serves all routers of a process.
type Metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

// NewMetrics makes the request metrics and registers them with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "edgecore_http_requests_total", Help: "HTTP requests answered, by route, method and status code.",
		}, []string{"route", "method", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "edgecore_http_request_duration_seconds", Help: "Time to answer an HTTP request, streams excepted.",
			Buckets: []float64{0.005, 0.025, 0.1, 0.5, 2.5},
		}, []string{"route"}),
	}
	reg.MustRegister(m.requests, m.duration)
	return m
}

// A Router is a ServeMux whose routes are measured and traced.
type Router struct {
	mux     *http.ServeMux
	metrics *Metrics
	tracer  trace.Tracer
	log     *slog.Logger
	wrap    func(http.Handler) http.Handler // see Use
}

// NewRouter returns a router that answers unknown routes with a JSON 404.
func NewRouter(metrics *Metrics, tracer trace.Tracer, log *slog.Logger) *Router {
	rt := &Router{mux: http.NewServeMux(), metrics: metrics, tracer: tracer, log: log}
	rt.handle("/", "other", false, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		WriteError(w, Errorf(http.StatusNotFound, "There is nothing at %s %s.", r.Method, r.URL.Path))
	}))
	return rt
}

// Use puts middleware around the handlers of routes added from now on, inside
// their metrics and traces.
func (rt *Router) Use(middleware func(http.Handler) http.Handler) { rt.wrap = middleware }

// Handle serves pattern, written as for [http.ServeMux] with a method, by h. The
// route label of its metrics is the pattern's path.
func (rt *Router) Handle(pattern string, h http.Handler) {
	rt.handle(pattern, routeOf(pattern), false, h)
}

// HandleFunc is [Router.Handle] for a function.
func (rt *Router) HandleFunc(pattern string, h http.HandlerFunc) { rt.Handle(pattern, h) }

// HandleStream is [Router.Handle] for answers that stay open: they are counted
// and traced, but their length says nothing about latency.
func (rt *Router) HandleStream(pattern string, h http.Handler) {
	rt.handle(pattern, routeOf(pattern), true, h)
}

// ServeHTTP implements [http.Handler].
func (rt *Router) ServeHTTP(w http.ResponseWriter, r *http.Request) { rt.mux.ServeHTTP(w, r) }

func routeOf(pattern string) string {
	if _, path, ok := strings.Cut(pattern, " "); ok {
		return path
	}
	return pattern
}

func (rt *Router) handle(pattern, route string, stream bool, h http.Handler) {
	if rt.wrap != nil {
		h = rt.wrap(h)
	}
	rt.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		ctx, span := rt.begin(r, route)
		rec := &recorder{ResponseWriter: w}
		defer func() {
			if p := recover(); p != nil {
				rt.log.Error("handler panicked", "route", route, "panic", p, "stack", string(debug.Stack()))
				if rec.status == 0 {
					WriteError(rec, Errorf(http.StatusInternalServerError, "The request failed inside; try again."))
				}
			}
			rt.end(span, rec, r, route)
			if !stream {
				rt.metrics.duration.WithLabelValues(route).Observe(time.Since(start).Seconds())
			}
		}()
		h.ServeHTTP(rec, r.WithContext(ctx))
	})
}

// begin starts the request's span, as a child of the caller's if it sent one.
func (rt *Router) begin(r *http.Request, route string) (context.Context, trace.Span) {
	ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	return rt.tracer.Start(ctx, methodLabel(r.Method)+" "+route, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
		attribute.String("http.request.method", methodLabel(r.Method)), attribute.String("http.route", route)))
}

func (rt *Router) end(span trace.Span, rec *recorder, r *http.Request, route string) {
	status := rec.status
	if status == 0 {
		status = http.StatusOK
	}
	rt.metrics.requests.WithLabelValues(route, methodLabel(r.Method), strconv.Itoa(status)).Inc()
	span.SetAttributes(attribute.Int("http.response.status_code", status))
	if status >= http.StatusInternalServerError {
		span.SetStatus(codes.Error, http.StatusText(status))
	}
	span.End()
}

// methodLabel keeps the method label bounded whatever a client sends.
func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "_OTHER"
}

// A recorder remembers the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}

// Unwrap lets a WebSocket handshake reach the connection below.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
