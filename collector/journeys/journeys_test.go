package journeys

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"ghostlight/buffer"
	"ghostlight/buffer/queue"
	"ghostlight/collector/self"
	"ghostlight/slo"
	"ghostlight/synthetics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a book that keeps the runs it was given.
type memory struct {
	mu   sync.Mutex
	runs []synthetics.Result
	fail error
}

func (m *memory) Journey(_ context.Context, name string, at time.Time, pass bool, extra queue.Commit) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := extra.Entries[0]
	var res synthetics.Result
	if err := json.Unmarshal(e.Batch.Records[0].Body, &res); err != nil {
		return err
	}
	if e.Lane != buffer.Health || e.Batch.Records[0].Kind != "journey.run" || name != res.Journey || pass != res.Pass || at.UnixMilli() < res.StartMS {
		return errors.New("the record does not fit the run")
	}
	m.runs = append(m.runs, res)
	return m.fail
}

const twoSteps = `
name: visit
steps:
  - name: front
    request: {url: "${base}/"}
  - name: catalogue
    request: {url: "${base}/v1/catalog"}
needs: [base]
`

type room struct {
	*Room
	book   *memory
	down   atomic.Value // path that fails
	traces []ptrace.Traces
}

func newRoom(t *testing.T) *room {
	t.Helper()
	r := &room{book: &memory{}}
	r.down.Store("")
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("traceparent") == "" {
			t.Error("a request has no traceparent")
		}
		if req.URL.Path == r.down.Load() {
			http.Error(w, "down", http.StatusInternalServerError)
		}
	}))
	t.Cleanup(srv.Close)
	j, err := synthetics.Decode("visit.yaml", []byte(twoSteps))
	if err != nil {
		t.Fatal(err)
	}
	r.Room, err = New(Options{
		Journeys: []synthetics.Journey{j}, Vars: map[string]string{"base": srv.URL}, Book: r.book,
		Tracer: NewTracer("tests", func(trace.TraceID) {}, func(td ptrace.Traces) { r.traces = append(r.traces, td) }),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.runner.Close)
	return r
}

func TestARunBecomesEverything(t *testing.T) {
	r := newRoom(t)
	if got := r.Evidence(""); got != slo.NoEvidence {
		t.Errorf("before any run the evidence is %v", got)
	}
	if err := r.Verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r.Evidence("visit") != slo.JourneyPassing || r.Evidence("another") != slo.NoEvidence {
		t.Error("a passed run is no evidence")
	}
	// A clock that was set back a day makes the run one of tomorrow: it says nothing of now.
	r.o.Now = func() time.Time { return time.Now().Add(-24 * time.Hour) }
	if got := r.Evidence("visit"); got != slo.NoEvidence {
		t.Errorf("after the clock was set back a run of before is evidence: %v", got)
	}
	r.o.Now = time.Now
	r.down.Store("/v1/catalog")
	for range 2 {
		if err := r.Verify(t.Context()); err == nil || !strings.Contains(err.Error(), "journey visit fails at step catalogue") {
			t.Errorf("verify returned %v", err)
		}
	}
	v := r.Views()[0]
	if v.Runs != 3 || v.Passed != 1 || v.Failures != 2 || !v.FailsAtCache || v.RunsHour != 3 || v.PassedHour != 1 || v.RelayKnown {
		t.Errorf("view is %+v", v)
	}
	if r.Evidence("") != slo.JourneyFailing {
		t.Error("a failed run is no evidence")
	}
	r.down.Store("/")
	if err := r.Verify(t.Context()); err == nil || r.Views()[0].FailsAtCache {
		t.Errorf("verify returned %v, view %+v", err, r.Views()[0])
	}
	r.down.Store("")
	r.book.fail = errors.New("full") // a run counts for evidence even when it cannot be stored
	if err := r.Verify(t.Context()); err != nil || r.Views()[0].Failures != 0 {
		t.Errorf("verify returned %v, view %+v", err, r.Views()[0])
	}
	if len(r.book.runs) != 5 {
		t.Errorf("%d runs were stored", len(r.book.runs))
	}
	checkMetrics(t, r)
	checkTrace(t, r)
}

func checkMetrics(t *testing.T, r *room) {
	t.Helper()
	g := self.NewGatherer(1000, "soho-1")
	r.Gather(g)
	values := map[string]float64{}
	for _, s := range g.Batch().Series {
		var key []string
		for _, l := range s.Labels {
			if l.Name != "job" && l.Name != "instance" && l.Name != "journey" {
				key = append(key, l.Value)
			}
		}
		values[strings.Join(key, " ")] = s.Samples[0].Value
	}
	for key, want := range map[string]float64{
		"ghostlight_journey_runs_total pass": 2, "ghostlight_journey_runs_total fail": 3, "ghostlight_journey_success": 1,
		"ghostlight_journey_duration_seconds_count": 5, "ghostlight_journey_duration_seconds_bucket +Inf": 5,
	} {
		if got, ok := values[key]; !ok || got != want {
			t.Errorf("%s is %v, want %v", key, got, want)
		}
	}
	if _, ok := values["ghostlight_journey_step_duration_seconds catalogue"]; !ok {
		t.Errorf("no duration of the step in %v", values)
	}
}

// One run is one trace, handed over whole.
func checkTrace(t *testing.T, r *room) {
	t.Helper()
	if len(r.traces) != 5 {
		t.Fatalf("%d traces of 5 runs", len(r.traces))
	}
	rs := r.traces[1].ResourceSpans().At(0)
	if name, _ := rs.Resource().Attributes().Get("service.name"); name.Str() != "tests" {
		t.Errorf("resource is %v", rs.Resource().Attributes().AsRaw())
	}
	var names []string
	spans := rs.ScopeSpans().At(0).Spans()
	for _, s := range spans.All() {
		names = append(names, s.Name()+" "+s.Status().Code().String())
		if s.TraceID().String() != r.book.runs[1].TraceID {
			t.Errorf("span %s is of trace %s, the run of %s", s.Name(), s.TraceID(), r.book.runs[1].TraceID)
		}
	}
	slices.Sort(names)
	if diff := cmp.Diff([]string{"journey visit Error", "step catalogue Error", "step front Unset"}, names); diff != "" {
		t.Error(diff)
	}
}

func TestHistoryForgets(t *testing.T) {
	h := newHistory(synthetics.Journey{Name: "j"})
	start := time.Unix(1_000_000, 0)
	for i := range 3 * hourRuns {
		h.add(synthetics.Result{StartMS: start.Add(time.Duration(i) * 500 * time.Millisecond).UnixMilli(), Pass: true}, start)
	}
	if len(h.recent) > hourRuns {
		t.Errorf("%d runs are kept", len(h.recent))
	}
	at := start.Add(10 * time.Hour)
	h.add(synthetics.Result{StartMS: at.UnixMilli()}, at)
	if v := h.view(at); v.RunsHour != 1 || v.PassedHour != 0 || v.Runs != 3*hourRuns+1 {
		t.Errorf("view is %+v", v)
	}
}

// A view tells since when a journey comes to what it does, and which failures were
// the last that a pass ended.
func TestHistoryTellsStretches(t *testing.T) {
	h := newHistory(synthetics.Journey{Name: "visit"})
	start := time.Date(2026, 11, 25, 20, 0, 0, 0, time.UTC)
	run := func(minute int, pass bool) View {
		at := start.Add(time.Duration(minute) * time.Minute)
		h.add(synthetics.Result{Journey: "visit", Pass: pass, StartMS: at.UnixMilli()}, at.Add(time.Second))
		return h.view(at)
	}
	for minute, want := range []struct {
		pass     bool
		since    int
		failures int
	}{{true, 0, 0}, {true, 0, 0}, {false, 2, 0}, {false, 2, 0}, {true, 4, 2}, {false, 5, 2}, {true, 6, 1}} {
		v := run(minute, want.pass)
		if v.SinceMS != start.Add(time.Duration(want.since)*time.Minute).UnixMilli() || v.Past.Failures != want.failures {
			t.Errorf("minute %d: since %v, %d failures before; want minute %d, %d", minute, time.UnixMilli(v.SinceMS).UTC(), v.Past.Failures, want.since, want.failures)
		}
	}
	past := h.view(start).Past
	if at := start.Add(5 * time.Minute); past.SinceMS != at.UnixMilli() || !past.End.Equal(at.Add(time.Second)) || past.Last.StartMS != at.UnixMilli() {
		t.Errorf("the last failures are %+v, want those of minute 5", past)
	}
}

func TestNewRefuses(t *testing.T) {
	j, err := synthetics.Decode("visit.yaml", []byte(twoSteps))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{Journeys: []synthetics.Journey{j}, Book: &memory{}}); err == nil || !strings.Contains(err.Error(), `"base"`) {
		t.Errorf("a journey without its variable gave %v", err)
	}
}
