package httpapi_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace/noop"

	"ghostlight/edgecore/httpapi"
)

func newRouter(reg prometheus.Registerer) *httpapi.Router {
	return httpapi.NewRouter(httpapi.NewMetrics(reg), noop.NewTracerProvider().Tracer(""), slog.New(slog.DiscardHandler))
}

func call(t *testing.T, h http.Handler, method, target, body string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	req := httptest.NewRequest(method, target, strings.NewReader(body))
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	return rec
}

func TestRouterAnswersAndCounts(t *testing.T) {
	reg := prometheus.NewRegistry()
	rt := newRouter(reg)
	rt.HandleFunc("POST /echo/{id}", func(w http.ResponseWriter, r *http.Request) {
		var v struct {
			A int `json:"a"`
		}
		if err := httpapi.ReadJSON(w, r, 32, &v); err != nil {
			httpapi.WriteError(w, err)
			return
		}
		httpapi.WriteJSON(w, http.StatusCreated, v)
	})
	rt.HandleFunc("GET /panic", func(http.ResponseWriter, *http.Request) { panic("out of cups") })
	rt.Handle("GET /secret", httpapi.Bearer("t0k", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		httpapi.WriteJSON(w, http.StatusOK, "in")
	})))
	type got struct {
		Status int
		Body   string
	}
	for _, tc := range []struct {
		name, method, target, body string
		header                     []string
		want                       got
	}{
		{"good", "POST", "/echo/1", `{"a":1}`, nil, got{201, `{"a":1}`}},
		{"empty body", "POST", "/echo/1", ``, nil, got{201, `{"a":0}`}},
		{"wrong type", "POST", "/echo/1", `{"a":"x"}`, nil, got{400, `{"error":"The body is not the JSON expected here: json: cannot unmarshal string into Go struct field .a of type int."}`}},
		{"too large", "POST", "/echo/1", `{"a":1,"b":"` + strings.Repeat("x", 40) + `"}`, nil, got{413, `{"error":"The body is larger than 32 bytes."}`}},
		{"nothing there", "GET", "/nowhere", ``, nil, got{404, `{"error":"There is nothing at GET /nowhere."}`}},
		{"panic", "GET", "/panic", ``, nil, got{500, `{"error":"The request failed inside; try again."}`}},
		{"no token", "GET", "/secret", ``, nil, got{401, `{"error":"A valid bearer token is needed here."}`}},
		{"wrong token", "GET", "/secret", ``, []string{"Authorization", "Bearer nope"}, got{401, `{"error":"A valid bearer token is needed here."}`}},
		{"token", "GET", "/secret", ``, []string{"Authorization", "Bearer t0k"}, got{200, `"in"`}},
	} {
		rec := call(t, rt, tc.method, tc.target, tc.body, tc.header...)
		if diff := cmp.Diff(tc.want, got{rec.Code, strings.TrimSpace(rec.Body.String())}); diff != "" {
			t.Errorf("%s: %s", tc.name, diff)
		}
	}
	want := `edgecore_http_requests_total{code="200",method="GET",route="/secret"} 1
edgecore_http_requests_total{code="201",method="POST",route="/echo/{id}"} 2
edgecore_http_requests_total{code="400",method="POST",route="/echo/{id}"} 1
edgecore_http_requests_total{code="401",method="GET",route="/secret"} 2
edgecore_http_requests_total{code="404",method="GET",route="other"} 1
edgecore_http_requests_total{code="413",method="POST",route="/echo/{id}"} 1
edgecore_http_requests_total{code="500",method="GET",route="/panic"} 1
`
	if diff := cmp.Diff(want, scrape(t, reg, "edgecore_http_requests_total")); diff != "" {
		t.Error(diff)
	}
}

// scrape returns the lines of one metric.
func scrape(t *testing.T, reg prometheus.Gatherer, name string) string {
	t.Helper()
	var b strings.Builder
	for line := range strings.Lines(call(t, promhttp.HandlerFor(reg, promhttp.HandlerOpts{}), "GET", "/", "").Body.String()) {
		if strings.HasPrefix(line, name) {
			b.WriteString(line)
		}
	}
	return b.String()
}

func TestEmptyTokenLetsNobodyIn(t *testing.T) {
	h := httpapi.Bearer("", http.NotFoundHandler())
	if rec := call(t, h, "GET", "/", "", "Authorization", "Bearer "); rec.Code != http.StatusUnauthorized {
		t.Fatalf("status %d", rec.Code)
	}
}

func TestTracesContinueTheCallers(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	tp := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans), sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.NeverSample())))
	rt := httpapi.NewRouter(httpapi.NewMetrics(prometheus.NewRegistry()), tp.Tracer("t"), slog.New(slog.DiscardHandler))
	rt.HandleFunc("GET /x", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	call(t, rt, "GET", "/x", "", "Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	call(t, rt, "GET", "/x", "")
	ended := spans.Ended()
	if len(ended) != 1 {
		t.Fatalf("%d spans recorded, want the one of the caller's trace", len(ended))
	}
	s := ended[0]
	if s.Name() != "GET /x" || s.SpanContext().TraceID().String() != "0af7651916cd43dd8448eb211c80319c" || s.Parent().SpanID().String() != "b7ad6b7169203331" {
		t.Fatalf("span %s of trace %s below %s", s.Name(), s.SpanContext().TraceID(), s.Parent().SpanID())
	}
	if s.Status().Description != "Bad Gateway" {
		t.Fatalf("status %+v", s.Status())
	}
}

func TestServeFinishesRunningRequests(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	entered, leave := make(chan struct{}), make(chan struct{})
	served := make(chan error, 1)
	go func() {
		served <- httpapi.Serve(ctx, ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(entered)
			<-leave
			if r.Context().Err() != nil {
				t.Error("the request's context ended before the request")
			}
			io.WriteString(w, "sold") //nolint:errcheck // the client checks
		}), slog.New(slog.DiscardHandler))
	}()
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	go func() {
		<-entered
		cancel()
		close(leave)
	}()
	resp, err := client.Get("http://" + ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "sold" {
		t.Fatalf("%q, %v", body, err)
	}
	if err := <-served; err != nil {
		t.Fatal(err)
	}
}
