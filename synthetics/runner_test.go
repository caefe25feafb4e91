package synthetics_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"ghostlight/synthetics"
)

// service is what the journeys of these tests visit.
func service(t *testing.T) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders", func(w http.ResponseWriter, r *http.Request) {
		var in json.RawMessage
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			http.Error(w, `{"error":"bad JSON"}`, http.StatusBadRequest)
			return
		}
		w.Header().Set("X-Key", r.Header.Get("Idempotency-Key"))
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"id":"o-1","big":9007199254740993,"ratio":0.5,"items":[{"n":1},{"n":2}],"got":%s}`, in)
	})
	mux.HandleFunc("GET /orders/{id}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"id":%q}`, r.PathValue("id"))
	})
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		_ = json.NewEncoder(w).Encode(map[string]any{"method": r.Method, "body": string(b), "headers": r.Header, "query": r.URL.RawQuery})
	})
	mux.HandleFunc("/refused", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, `{"error":"the ledger is not writable"}`, http.StatusServiceUnavailable)
	})
	mux.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/echo", http.StatusFound) })
	mux.HandleFunc("/page", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>hello</html>") })
	mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat("x", 5000)) })
	mux.HandleFunc("/huge", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat("x", 1_000_000)) })
	mux.HandleFunc("/hang", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv
}

func runner(t *testing.T, o synthetics.Options) *synthetics.Runner {
	t.Helper()
	r, err := synthetics.NewRunner(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func decode(t *testing.T, steps string) synthetics.Journey {
	t.Helper()
	j, err := synthetics.Decode("test.yaml", []byte("name: test\nneeds: [base]\nsteps:\n"+steps))
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func TestRun(t *testing.T) {
	srv := service(t)
	r := runner(t, synthetics.Options{Vars: map[string]string{"base": srv.URL}})
	for _, tc := range []struct{ name, steps, want string }{
		{"values keep their types from step to step", `
  - name: order
    request:
      url: ${base}/orders
      headers: {Idempotency-Key: "${run_id}-x"}
      json: {text: "${journey}!", n: 3}
    assert:
      - status == 201
      - body.got.text == "test!"
      - body.got.n == 3
      - headers["x-key"] == vars.run_id + "-x"
    extract:
      id: body.id
      big: body.big
      ratio: body.ratio
      items: body.items
      sum: body.items[0].n + body.items[1].n
      made: '{"k": [1, true, null]}'
  - name: again
    request: {url: "${base}/orders", json: {big: "${big}", within: "n=${big}", ratio: "${ratio}", items: "${items}", made: "${made}", sum: "${sum}"}}
    assert:
      - body.got.big == 9007199254740993
      - body.got.within == "n=9007199254740993"
      - body.got.ratio == 0.5
      - size(body.got.items) == 2
      - body.got.made.k[1]
      - body.got.sum == 3
  - name: read
    request: {url: "${base}/orders/${id}"}
    assert: [body.id == vars.id]
`, ""},
		{"a body of its own, method and headers", `
  - name: put
    request: {method: put, url: "${base}/echo?a=b", body: "hi $${x}", headers: {X-One: "1"}}
    assert:
      - body.method == "PUT"
      - body.body == "hi ${x}"
      - body.headers["X-One"][0] == "1"
      - body.query == "a=b"
      - has(body.headers.Traceparent)
`, ""},
		{"each uuid is another, the run id is not", `
  - name: ids
    request: {url: "${base}/orders", json: {a: "${uuid}", b: "${uuid}", c: "${run_id}", d: "${run_id}"}}
    assert: [body.got.a != body.got.b, body.got.c == body.got.d, size(body.got.a) == 36]
`, ""},
		{"a redirect is an answer", `
  - name: away
    request: {url: "${base}/away"}
    assert: [status == 302, 'headers["location"] == "/echo"']
  - name: followed
    request: {url: "${base}/away", redirects: 1}
    assert: [status == 200, body.method == "GET"]
`, ""},
		{"not JSON is text", `
  - name: page
    request: {url: "${base}/page"}
    assert: [body == null, text.contains("hello"), text.matches("^<html>")]
`, ""},
		{"without assertions the status decides", `
  - name: refused
    request: {url: "${base}/refused"}
`, `refused: assertion "status >= 200 && status < 300" is false (status = 503); the answer was 503: {"error":"the ledger is not writable"}`},
		{"a false assertion tells its values", `
  - name: order
    request: {url: "${base}/orders", json: {}}
    assert: ['size(body.items) == 3 && body.id in ["a", "b"] || body.nope == 1']
`, `order: assertion "size(body.items) == 3 && body.id in [\"a\", \"b\"] || body.nope == 1" has no value: no such key: nope (size(body.items) = 2, body.id = absent, body.nope = absent)`},
		{"an assertion that is neither true nor false", `
  - name: order
    request: {url: "${base}/orders", json: {}}
    assert: [body.id]
`, `order: assertion "body.id" has no value: it is string, neither true nor false (body.id = "o-1")`},
		{"an assertion on JSON that is none", `
  - name: page
    request: {url: "${base}/page"}
    assert: [body.id == 1]
`, `page: assertion "body.id == 1" has no value: no such key: id (body.id = absent); the answer was 200 and not JSON`},
		{"a part that is not there", `
  - name: order
    request: {url: "${base}/orders", json: {}}
    extract: {id: body.identity}
`, `order: variable id cannot be extracted by "body.identity": no such key: identity`},
		{"an answer too long", `
  - name: large
    request: {url: "${base}/large", body_limit: 4KiB}
`, `large: the answer is longer than 4096 bytes, the step's body_limit`},
		{"an expression too dear", `
  - name: huge
    request: {url: "${base}/huge"}
    assert: ['text.matches("abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz")']
`, `huge: assertion "text.matches(\"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz\")" has no value: operation cancelled: actual cost limit exceeded (text.matches("abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz") = false); the answer was 200 and not JSON`},
		{"no URL after all", `
  - name: one
    request: {url: "${journey}/x"}
`, `one: "test/x" is no absolute URL with the scheme http or https`},
		{"a step that takes too long", `
  - name: hang
    timeout: 30ms
    request: {url: "${base}/hang"}
`, `hang: no complete answer within the step's 30ms`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			res := r.Run(t.Context(), decode(t, tc.steps))
			got := ""
			if !res.Pass {
				got = res.FailedStep + ": " + res.Error
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("failure (-want +got):\n%s", diff)
			}
			if len(res.Steps) == 0 || res.Steps[len(res.Steps)-1].Pass != res.Pass || res.StartMS == 0 || len(res.TraceID) != 32 {
				t.Errorf("result does not add up: %+v", res)
			}
		})
	}
}

func TestRunReportsWhatItCannotDo(t *testing.T) {
	srv := service(t)
	j := decode(t, "  - {name: a, request: {url: \"${base}/hang\"}}\n")
	if res := runner(t, synthetics.Options{}).Run(t.Context(), j); res.Pass || res.Error != `journey test needs the variable "base", which nobody gave a value` {
		t.Errorf("a variable is missing: %+v", res)
	}
	r := runner(t, synthetics.Options{Vars: map[string]string{"base": srv.URL}})
	if res := r.Run(t.Context(), synthetics.Journey{Name: "hand-made"}); res.Pass || !strings.Contains(res.Error, "steps") {
		t.Errorf("a journey that is not valid: %+v", res)
	}
	slow := j
	slow.Timeout = 30e6
	if res := r.Run(t.Context(), slow); res.Pass || res.Error != "the journey took longer than its 30ms" {
		t.Errorf("a slow journey: %+v", res)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if res := r.Run(ctx, j); res.Pass || res.Error != "the run was stopped" {
		t.Errorf("a stopped run: %+v", res)
	}
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	r = runner(t, synthetics.Options{Vars: map[string]string{"base": dead.URL}})
	if res := r.Run(t.Context(), j); res.Pass || !strings.HasPrefix(res.Error, "no answer: dial tcp") || res.Steps[0].Status != 0 {
		t.Errorf("a service that is not there: %+v", res)
	}
	if _, err := synthetics.NewRunner(synthetics.Options{Vars: map[string]string{"run_id": "x"}}); err == nil {
		t.Error("a runner variable that every run has already was accepted")
	}
}

func TestJourneyVariablesWinOverTheRunners(t *testing.T) {
	srv := service(t)
	j, err := synthetics.Decode("j.yaml", []byte("name: own\nvars: {base: "+srv.URL+"}\nsteps:\n  - {name: a, request: {url: \"${base}/echo\"}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	r := runner(t, synthetics.Options{Vars: map[string]string{"base": "http://127.0.0.1:1"}})
	if res := r.Run(t.Context(), j); !res.Pass {
		t.Errorf("%+v", res)
	}
}

func TestEveryRequestCarriesTheClaimButNotToAnotherHost(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"claim":%q}`, r.Header.Get(synthetics.ClaimHeader))
	}))
	defer other.Close()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/away" {
			http.Redirect(w, r, other.URL, http.StatusFound)
			return
		}
		fmt.Fprintf(w, `{"claim":%q}`, r.Header.Get(synthetics.ClaimHeader))
	}))
	defer srv.Close()
	signed := 0
	r := runner(t, synthetics.Options{
		Vars:  map[string]string{"base": srv.URL},
		Claim: func(journey string) (string, error) { signed++; return fmt.Sprintf("%s-%d", journey, signed), nil },
	})
	res := r.Run(t.Context(), decode(t, `
  - {name: one, request: {url: "${base}/"}, assert: [body.claim == "test-1"]}
  - {name: two, request: {url: "${base}/"}, assert: [body.claim == "test-2"]}
  - {name: away, request: {url: "${base}/away", redirects: 1}, assert: [body.claim == ""]}
`))
	if !res.Pass {
		t.Errorf("%+v", res)
	}
	r = runner(t, synthetics.Options{Vars: map[string]string{"base": srv.URL}, Claim: func(string) (string, error) { return "", io.ErrUnexpectedEOF }})
	if res := r.Run(t.Context(), decode(t, "  - {name: one, request: {url: \"${base}/\"}}\n")); res.Error != "sign the synthetic claim: unexpected EOF" {
		t.Errorf("a claim that cannot be signed: %+v", res)
	}
}

func TestOneTracePerRun(t *testing.T) {
	var mu sync.Mutex
	var parents []string
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		parents = append(parents, r.Header.Get("Traceparent"))
	}))
	defer srv.Close()
	rec := tracetest.NewSpanRecorder()
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(rec)).Tracer("test")
	r := runner(t, synthetics.Options{Vars: map[string]string{"base": srv.URL}, Tracer: tracer})
	ctx, outer := tracer.Start(t.Context(), "outer")
	defer outer.End()
	res := r.Run(ctx, decode(t, `
  - {name: one, request: {url: "${base}/"}}
  - {name: two, request: {url: "${base}/"}, assert: ["status == 500"]}
`))
	spans := rec.Ended()
	if len(spans) != 3 {
		t.Fatalf("%d spans, want one of the run and one of each step", len(spans))
	}
	root := spans[2]
	if root.Name() != "journey test" || root.Parent().IsValid() || root.SpanContext().TraceID().String() != res.TraceID || res.TraceID == outer.SpanContext().TraceID().String() {
		t.Errorf("root span %q of trace %s, result says %s", root.Name(), root.SpanContext().TraceID(), res.TraceID)
	}
	for i, s := range spans[:2] {
		want := fmt.Sprintf("00-%s-%s-01", res.TraceID, s.SpanContext().SpanID())
		if parents[i] != want || s.Parent().SpanID() != root.SpanContext().SpanID() {
			t.Errorf("step %d: traceparent %q, want %q below the root", i, parents[i], want)
		}
	}
	if spans[0].Status().Code != codes.Unset || spans[1].Status().Code != codes.Error || root.Status().Code != codes.Error {
		t.Errorf("status of spans: %v, %v, root %v", spans[0].Status(), spans[1].Status(), root.Status())
	}
}

func TestRunsShareConnectionsAndNothingElse(t *testing.T) {
	var mu sync.Mutex
	remotes := map[string]bool{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		remotes[r.RemoteAddr] = true
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
		if len(r.Cookies()) > 0 {
			w.WriteHeader(http.StatusTeapot)
		}
		_, _ = io.Copy(w, r.Body)
	}))
	defer srv.Close()
	r := runner(t, synthetics.Options{Vars: map[string]string{"base": srv.URL}})
	j := decode(t, "  - {name: a, request: {url: \"${base}/\", json: {id: \"${run_id}\"}}, assert: [status == 200, body.id == vars.run_id]}\n")
	for range 3 {
		if res := r.Run(t.Context(), j); !res.Pass {
			t.Fatalf("%+v", res)
		}
	}
	if len(remotes) != 1 {
		t.Errorf("%d connections for runs one after the other, want 1", len(remotes))
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5 {
				if res := r.Run(context.Background(), j); !res.Pass {
					t.Errorf("%+v", res)
				}
			}
		})
	}
	wg.Wait()
}

func TestDurationsAreOfTheClockGiven(t *testing.T) {
	srv := service(t)
	now := time.UnixMilli(1_800_000_000_000)
	r := runner(t, synthetics.Options{Vars: map[string]string{"base": srv.URL}, Now: func() time.Time {
		now = now.Add(100 * time.Millisecond)
		return now
	}})
	res := r.Run(t.Context(), decode(t, "  - {name: a, request: {url: \"${base}/page\"}}\n"))
	if res.StartMS != 1_800_000_000_100 || res.DurationMS != 300 || res.Steps[0].DurationMS != 100 {
		t.Errorf("%+v", res)
	}
}
