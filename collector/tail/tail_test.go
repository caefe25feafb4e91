package tail

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.uber.org/goleak"

	"ghostlight/buffer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// disk is a sink that keeps what it is given, or refuses.
type disk struct {
	mu     sync.Mutex
	refuse error
	spans  map[pcommon.TraceID][]string // span names by trace
	states map[pcommon.TraceID]string   // tracestate of the trace's spans
	lines  []plog.LogRecord
	bodies [][]byte
	sizes  []int
}

func newDisk() *disk {
	return &disk{spans: map[pcommon.TraceID][]string{}, states: map[pcommon.TraceID]string{}}
}

func (d *disk) Evidence(_ context.Context, lane buffer.Lane, kind string, body []byte, _ time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.refuse != nil {
		return d.refuse
	}
	d.sizes, d.bodies = append(d.sizes, len(body)), append(d.bodies, body)
	if lane == buffer.Logs && kind == KindLogs {
		ld, err := (&plog.ProtoUnmarshaler{}).UnmarshalLogs(body)
		if err != nil {
			return err
		}
		for _, rl := range ld.ResourceLogs().All() {
			for _, sl := range rl.ScopeLogs().All() {
				for _, lr := range sl.LogRecords().All() {
					d.lines = append(d.lines, lr)
				}
			}
		}
		return nil
	}
	td, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(body)
	if err != nil || lane != buffer.Traces || kind != KindTraces {
		return fmt.Errorf("lane %s, kind %s: %w", lane, kind, err)
	}
	for _, rs := range td.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			for _, s := range ss.Spans().All() {
				d.spans[s.TraceID()] = append(d.spans[s.TraceID()], s.Name())
				d.states[s.TraceID()] = s.TraceState().AsRaw()
			}
		}
	}
	return nil
}

func (d *disk) has(n uint64) bool { return d.count(n) > 0 }

func (d *disk) count(n uint64) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.spans[id(n)])
}

func options(d *disk) Options {
	return Options{
		Sink: d, Wait: 5 * time.Second, Deadline: 30 * time.Second, Batch: 2 * time.Second, Memory: 1 << 20,
		Traces: Traces{Budget: 64 << 10, Slow: time.Second, LongRoutes: []string{"/v1/relay"}, RevenueRoutes: []string{"/v1/orders", "/v1/orders/*/payments"}},
		Logs:   Logs{Budget: 32 << 10, Severity: plog.SeverityNumberInfo, Fold: 10 * time.Second},
	}
}

func newTail(t *testing.T, o Options) *Tail {
	t.Helper()
	out, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// running runs the tail for the test.
func running(t *testing.T, o Options) *Tail {
	t.Helper()
	out := newTail(t, o)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- out.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return out
}

// id is a trace id with the randomness n.
func id(n uint64) pcommon.TraceID {
	var out pcommon.TraceID
	out[0] = 1
	binary.BigEndian.PutUint64(out[8:], n)
	return out
}

// spec is a span to send.
type spec struct {
	trace    uint64
	name     string
	took     time.Duration
	failed   bool
	code     int64
	service  string
	attr     string
	upstream string
}

var nextSpan uint64

func batch(specs ...spec) ptrace.Traces {
	td := ptrace.NewTraces()
	for _, s := range specs {
		rs := td.ResourceSpans().AppendEmpty()
		service := s.service
		if service == "" {
			service = "edgecore"
		}
		rs.Resource().Attributes().PutStr("service.name", service)
		span := rs.ScopeSpans().AppendEmpty().Spans().AppendEmpty()
		span.SetTraceID(id(s.trace))
		nextSpan++
		var sid pcommon.SpanID
		binary.BigEndian.PutUint64(sid[:], nextSpan)
		span.SetSpanID(sid)
		if s.name == "" {
			s.name = "GET /v1/catalog"
		}
		span.SetName(s.name)
		span.TraceState().FromRaw(s.upstream)
		start := time.Unix(1000, 0)
		span.SetStartTimestamp(pcommon.NewTimestampFromTime(start))
		span.SetEndTimestamp(pcommon.NewTimestampFromTime(start.Add(s.took)))
		if s.failed {
			span.Status().SetCode(ptrace.StatusCodeError)
		}
		if s.code != 0 {
			span.Attributes().PutInt("http.response.status_code", s.code)
		}
		if s.attr != "" {
			span.Attributes().PutStr(s.attr, "x")
		}
	}
	return td
}

func TestWhatIsAlwaysKept(t *testing.T) {
	for name, tc := range map[string]struct {
		span spec
		want Reason // "": dropped
	}{
		"boring":                {spec{}, ""},
		"failed":                {spec{failed: true}, Error},
		"answered 500":          {spec{code: 500}, Error},
		"answered 404":          {spec{code: 404}, ""},
		"slow":                  {spec{took: time.Second}, Slow},
		"quick":                 {spec{took: time.Second - 1}, ""},
		"long by nature":        {spec{name: "GET /v1/relay", took: time.Hour}, ""},
		"revenue":               {spec{name: "POST /v1/orders/{id}/payments"}, Revenue},
		"revenue's neighbour":   {spec{name: "GET /v1/orders/7"}, ""},
		"journey's service":     {spec{service: JourneyService}, Synthetic},
		"journey's attribute":   {spec{attr: "journey.step"}, Synthetic},
		"failed beats revenue":  {spec{name: "POST /v1/orders", failed: true}, Error},
		"revenue's own journey": {spec{name: "POST /v1/orders", attr: "journey.step"}, Synthetic},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDisk()
				tl := running(t, options(d))
				starve(tl)
				tc.span.trace = 7
				tl.Traces(batch(tc.span))
				time.Sleep(10 * time.Second)
				synctest.Wait()
				s := tl.Stats()
				kept, dropped := map[Reason]int64{}, map[Reason]int64{}
				if tc.want == "" {
					dropped[SampledOut] = 1
				} else {
					kept[tc.want] = 1
				}
				if diff := cmp.Diff([]any{kept, dropped, tc.want != ""}, []any{s.Traces.Kept, s.Traces.Dropped, d.has(7)}); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// starve leaves nothing of the budget, and a debt that takes a minute to pay.
func starve(t *Tail) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pace.tokens = -t.pace.perMinute
}

func TestTraceIsDecidedWhenSilentOrOverdue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		tl := running(t, options(d))
		tl.Traces(batch(spec{trace: 1}))
		for range 14 { // a span every 2 s keeps trace 2 from falling silent, until its deadline
			tl.Traces(batch(spec{trace: 2}))
			time.Sleep(2 * time.Second)
		}
		synctest.Wait()
		if n := d.count(1); n != 1 {
			t.Errorf("the silent trace has %d spans stored, want 1", n)
		}
		if n := d.count(2); n != 0 {
			t.Errorf("the trace that goes on has %d spans stored after 28 s, want 0", n)
		}
		time.Sleep(6 * time.Second)
		tl.Traces(batch(spec{trace: 2})) // late
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if n := d.count(2); n != 15 {
			t.Errorf("the trace beyond its deadline has %d spans stored, want 15", n)
		}
		if s := tl.Stats(); s.Traces.Received != 2 || s.Traces.Kept[Sampled] != 2 {
			t.Errorf("counts %+v, want 2 traces kept by chance", s.Traces)
		}
	})
}

// The spans that edgecore sends of a journey come long before the journey's own.
func TestExpectedTraceIsKeptBeforeItsJourneyEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		tl := running(t, options(d))
		starve(tl)
		tl.Expect(id(3))
		tl.Traces(batch(spec{trace: 3}))
		tl.Traces(batch(spec{trace: 4}))
		tl.Expect(id(4)) // said late, but before the decision
		time.Sleep(25 * time.Second)
		tl.Traces(batch(spec{trace: 3, service: JourneyService}))
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if d.count(3) != 2 || d.count(4) != 1 {
			t.Errorf("%d and %d spans are stored, want 2 and 1", d.count(3), d.count(4))
		}
		if s := tl.Stats(); s.Traces.Received != 2 || s.Traces.Kept[Synthetic] != 2 {
			t.Errorf("counts %+v, want 2 synthetic traces", s.Traces)
		}
	})
}

func TestLateSpansFollowTheDecision(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		tl := running(t, options(d))
		starve(tl)
		tl.Traces(batch(spec{trace: 1}))
		tl.Traces(batch(spec{trace: 2, failed: true}))
		time.Sleep(8 * time.Second)
		tl.Traces(batch(spec{trace: 1, failed: true}, spec{trace: 2}))
		time.Sleep(8 * time.Second)
		synctest.Wait()
		if d.count(1) != 0 || d.count(2) != 2 {
			t.Errorf("%d and %d spans are stored, want 0 and 2", d.count(1), d.count(2))
		}
		if diff := cmp.Diff(map[Reason]int64{SampledOut: 2}, tl.Stats().Spans.Dropped); diff != "" {
			t.Error(diff)
		}
	})
}

func TestSlowerThanTheP99OfItsName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		o := options(d)
		o.Traces.Slow = 0
		tl := running(t, o)
		for i := range uint64(200) {
			tl.Traces(batch(spec{trace: i + 1, took: 10 * time.Millisecond}))
		}
		time.Sleep(8 * time.Second)
		starve(tl)
		tl.Traces(batch(spec{trace: 1000, took: 20 * time.Millisecond}, spec{trace: 1001, took: 11 * time.Millisecond},
			spec{trace: 1002, name: "GET /rare", took: time.Minute}))
		time.Sleep(8 * time.Second)
		synctest.Wait()
		if !d.has(1000) || d.has(1001) || d.has(1002) {
			t.Errorf("kept: twice the usual %v, the usual %v, a name without a past %v; want only the first", d.has(1000), d.has(1001), d.has(1002))
		}
	})
}

func TestRefusedBatchIsKeptAndStoredLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		d.refuse = errors.New("disk is full")
		tl := running(t, options(d))
		tl.Traces(batch(spec{trace: 1, failed: true}))
		time.Sleep(5 * time.Second)
		if s := tl.Stats(); s.Spans.Waiting != 1 || s.Spans.Stored != 0 {
			t.Errorf("refused: %+v, want 1 waiting", s.Spans)
		}
		if err := tl.Flush(t.Context()); !errors.Is(err, d.refuse) {
			t.Errorf("flush returned %v", err)
		}
		d.mu.Lock()
		d.refuse = nil
		d.mu.Unlock()
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if s := tl.Stats(); d.count(1) != 1 || s.Spans.Waiting != 0 || s.Spans.Stored != 1 {
			t.Errorf("afterwards: %d spans stored, %+v", d.count(1), s.Spans)
		}
	})
}

// What came together with other requests' spans is stored in few records.
func TestManyRequestsShareARecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		tl := running(t, options(d))
		for i := range uint64(40) {
			tl.Traces(batch(spec{trace: i + 1, failed: true}))
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if len(d.sizes) != 1 || len(d.spans) != 40 {
			t.Errorf("%d traces in %d records, want 40 in 1", len(d.spans), len(d.sizes))
		}
		if td, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(d.bodies[0]); err != nil || td.ResourceSpans().Len() != 1 {
			t.Errorf("the record names the resource %d times (%v), want once", td.ResourceSpans().Len(), err)
		}
	})
}

func TestNewRefuses(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"no sink":       func(o *Options) { o.Sink = nil },
		"no wait":       func(o *Options) { o.Wait = 0 },
		"deadline":      func(o *Options) { o.Deadline = time.Second },
		"little memory": func(o *Options) { o.Memory = 1 },
		"no budget":     func(o *Options) { o.Traces.Budget = 0 },
		"glob":          func(o *Options) { o.Traces.RevenueRoutes = []string{"["} },
		"allow":         func(o *Options) { o.Allow = []string{""} },
	} {
		o := options(newDisk())
		change(&o)
		if _, err := New(o); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
