package scrape

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"ghostlight/buffer/delta"
)

var nolog = slog.New(slog.DiscardHandler)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a sink that keeps batches, or refuses them.
type memory struct {
	mu      sync.Mutex
	batches []delta.Batch
	refuse  error
}

func (m *memory) Write(_ context.Context, b delta.Batch) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refuse != nil {
		return m.refuse
	}
	m.batches = append(m.batches, b)
	return nil
}

func (m *memory) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.batches)
}

// lines says what the last batch held, without the report series and sorted.
func (m *memory) lines() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []string
	for _, s := range m.batches[len(m.batches)-1].Series {
		if line := text(s); !strings.HasPrefix(line, "scrape_") {
			out = append(out, line)
		}
	}
	slices.Sort(out)
	return out
}

func text(s delta.Series) string {
	var labels []string
	name := ""
	for _, l := range s.Labels {
		if l.Name == nameLabel {
			name = l.Value
		} else {
			labels = append(labels, l.Name+"="+l.Value)
		}
	}
	var values []string
	for _, smp := range s.Samples {
		v := fmt.Sprint(smp.Value)
		if math.Float64bits(smp.Value) == 0x7ff0000000000002 {
			v = "stale"
		}
		values = append(values, fmt.Sprintf("%s@%d", v, smp.Time))
	}
	return fmt.Sprintf("%s{%s} %s", name, strings.Join(labels, ","), strings.Join(values, " "))
}

// find is the series of this name in the last batch.
func (m *memory) find(t *testing.T, name string) delta.Series {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.batches[len(m.batches)-1].Series {
		if nameOf(s.Labels) == name {
			return s
		}
	}
	t.Fatalf("no series %s", name)
	return delta.Series{}
}

// served is a handler as a transport, so that tests need neither network nor
// real time.
type served struct{ http.HandlerFunc }

func (s served) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

func newTest(t *testing.T, cfg Target, h http.HandlerFunc) (*target, *memory) {
	t.Helper()
	sink := &memory{}
	if cfg.Job == "" {
		cfg.Job = "shop"
	}
	cfg.URL = "http://shop:8080/metrics"
	if cfg.Interval == 0 {
		cfg.Interval = 15 * time.Second
	}
	s, err := New(Options{Targets: []Target{cfg}, Sink: sink, Client: served{h}})
	if err != nil {
		t.Fatal(err)
	}
	return s.targets[0], sink
}

func plain(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		io.WriteString(w, body) //nolint:errcheck
	}
}

func TestScrapeSemantics(t *testing.T) {
	const own = "instance=shop:8080,job=shop"
	down := []string{"up{" + own + "} 0@1000"}
	for _, tc := range []struct {
		name string
		cfg  Target
		body http.HandlerFunc
		want []string
		err  string // what the page says
	}{
		{
			name: "values and labels", body: plain("a 1\nb{z=\"1\",y=\"2\"} 2.5\n"),
			want: []string{"a{" + own + "} 1@1000", "b{" + own + ",y=2,z=1} 2.5@1000", "up{" + own + "} 1@1000"},
		},
		{
			name: "explicit timestamps are kept", body: plain("a 1 777\n"),
			want: []string{"a{" + own + "} 1@777", "up{" + own + "} 1@1000"},
		},
		{
			name: "colliding labels are moved", body: plain("a{job=\"x\",exported_job=\"y\"} 1\n"),
			want: []string{"a{exported_exported_job=x,exported_job=y," + own + "} 1@1000", "up{" + own + "} 1@1000"},
		},
		{
			name: "colliding labels are honoured", cfg: Target{HonorLabels: true}, body: plain("a{job=\"x\",instance=\"\"} 1\n"),
			want: []string{"a{job=x} 1@1000", "up{" + own + "} 1@1000"},
		},
		{
			name: "configured labels", cfg: Target{Labels: map[string]string{"team": "bar"}}, body: plain("a 1\n"),
			want: []string{"a{" + own + ",team=bar} 1@1000", "up{" + own + ",team=bar} 1@1000"},
		},
		{name: "not 200", body: http.NotFound, want: down, err: "404"},
		{name: "malformed line", body: plain("a 1\nb{ 2\n"), want: down, err: "malformed"},
		{name: "label twice", body: plain("a{x=\"1\",x=\"2\"} 1\n"), want: down, err: "twice"},
		{name: "labels too long", body: plain("a{x=\"" + strings.Repeat("y", maxLabels) + "\"} 1\n"), want: down, err: "bytes of labels"},
		{
			name: "not metrics", want: down, err: "text/html, which is not metrics",
			body: func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", "text/html") },
		},
		{name: "too many samples", cfg: Target{SampleLimit: 2}, body: plain("a 1\nb 1\nc 1\n"), want: down, err: "3 samples, more than sample_limit (2)"},
		{name: "as many samples as allowed", cfg: Target{SampleLimit: 1}, body: plain("a 1\n"), want: []string{"a{" + own + "} 1@1000", "up{" + own + "} 1@1000"}},
		{name: "body too long", cfg: Target{BodyLimit: 3}, body: plain("a 1\n"), want: down, err: "body_limit (3 bytes)"},
		{
			name: "gzip", want: []string{"a{" + own + "} 1@1000", "up{" + own + "} 1@1000"},
			body: func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/plain")
				w.Header().Set("Content-Encoding", r.Header.Get("Accept-Encoding"))
				z := gzip.NewWriter(w)
				io.WriteString(z, "a 1\n") //nolint:errcheck
				z.Close()
			},
		},
		{
			name: "a small gzip that grows beyond the limit", cfg: Target{BodyLimit: 1000}, want: down, err: "body_limit",
			body: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Encoding", "gzip")
				z := gzip.NewWriter(w)
				io.WriteString(z, strings.Repeat(" ", 1<<20)) //nolint:errcheck
				z.Close()
			},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tgt, sink := newTest(t, tc.cfg, tc.body)
			if err := tgt.scrape(t.Context(), 1000); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, sink.lines()); diff != "" {
				t.Error(diff)
			}
			if st := tgt.snapshot(); st.Up != (tc.err == "") || !strings.Contains(st.Err, tc.err) {
				t.Errorf("status is %+v, want an error with %q", st, tc.err)
			}
		})
	}
}

func TestStaleness(t *testing.T) {
	body, fail := "a 1\nb 1\nown 1 5\n", false
	tgt, sink := newTest(t, Target{}, func(w http.ResponseWriter, r *http.Request) {
		if fail {
			http.Error(w, "down", http.StatusInternalServerError)
			return
		}
		plain(body)(w, r)
	})
	const own = "{instance=shop:8080,job=shop}"
	steps := []struct {
		name   string
		before func()
		want   []string
	}{
		{"first", func() {}, []string{"a" + own + " 1@1000", "b" + own + " 1@1000", "own" + own + " 1@5", "up" + own + " 1@1000"}},
		{"a series disappears; one with its own time has no marker", func() { body = "a 2\n" }, []string{"a" + own + " 2@2000", "b" + own + " stale@2000", "up" + own + " 1@2000"}},
		{"told once", func() {}, []string{"a" + own + " 2@3000", "up" + own + " 1@3000"}},
		{"it comes back", func() { body = "a 3\nb 3\n" }, []string{"a" + own + " 3@4000", "b" + own + " 3@4000", "up" + own + " 1@4000"}},
		{"the target goes", func() { fail = true }, []string{"a" + own + " stale@5000", "b" + own + " stale@5000", "up" + own + " 0@5000"}},
		{"told once too", func() {}, []string{"up" + own + " 0@6000"}},
		{"and comes back", func() { fail = false }, []string{"a" + own + " 3@7000", "b" + own + " 3@7000", "up" + own + " 1@7000"}},
	}
	for i, step := range steps {
		step.before()
		if err := tgt.scrape(t.Context(), int64(i+1)*1000); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(step.want, sink.lines()); diff != "" {
			t.Errorf("%s:\n%s", step.name, diff)
		}
	}
}

// A marker that the buffer refused is still owed.
func TestStaleMarkerOutlivesRefusal(t *testing.T) {
	body := "a 1\nb 1\n"
	tgt, sink := newTest(t, Target{}, func(w http.ResponseWriter, r *http.Request) { plain(body)(w, r) })
	if err := tgt.scrape(t.Context(), 1000); err != nil {
		t.Fatal(err)
	}
	body, sink.refuse = "a 1\nc 1\n", errors.New("full")
	if err := tgt.scrape(t.Context(), 2000); !errors.Is(err, sink.refuse) {
		t.Fatalf("scrape returned %v", err)
	}
	body, sink.refuse = "a 1\n", nil
	if err := tgt.scrape(t.Context(), 3000); err != nil {
		t.Fatal(err)
	}
	const own = "{instance=shop:8080,job=shop}"
	// c was never stored, so its end is not told either.
	want := []string{"a" + own + " 1@3000", "b" + own + " stale@3000", "up" + own + " 1@3000"}
	if diff := cmp.Diff(want, sink.lines()); diff != "" {
		t.Error(diff)
	}
}

func TestMetadata(t *testing.T) {
	tgt, sink := newTest(t, Target{}, func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Header.Get("Accept"), "application/openmetrics-text;version=1.0.0") {
			t.Errorf("Accept is %q", r.Header.Get("Accept"))
		}
		w.Header().Set("Content-Type", "application/openmetrics-text; version=1.0.0; charset=utf-8")
		io.WriteString(w, `# TYPE orders counter
# HELP orders Orders.
orders_total 3
# TYPE wait_seconds histogram
# UNIT wait_seconds seconds
# HELP wait_seconds How long people wait.
wait_seconds_bucket{le="+Inf"} 2
wait_seconds_sum 1.5
wait_seconds_count 2
# TYPE build info
build_info{version="1"} 1
loose 4
# EOF
`) //nolint:errcheck
	})
	if err := tgt.scrape(t.Context(), 1000); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]delta.Meta{
		"orders_total":            {Type: delta.Counter, Help: "Orders."},
		"wait_seconds_bucket":     {Type: delta.Histogram, Unit: "seconds", Help: "How long people wait."},
		"wait_seconds_sum":        {Type: delta.Histogram, Unit: "seconds", Help: "How long people wait."},
		"build_info":              {Type: delta.Info},
		"loose":                   {},
		"scrape_duration_seconds": {Type: delta.Gauge, Unit: "seconds", Help: "How long the scrape took."},
	} {
		if got := sink.find(t, name).Meta; got != want {
			t.Errorf("%s has %+v, want %+v", name, got, want)
		}
	}
}

func TestReport(t *testing.T) {
	body := "a 1\nb 1\n"
	tgt, sink := newTest(t, Target{SampleLimit: 2}, func(w http.ResponseWriter, r *http.Request) { plain(body)(w, r) })
	for i, want := range []map[string]float64{
		{"up": 1, "scrape_samples_scraped": 2, "scrape_samples_post_metric_relabeling": 2, "scrape_series_added": 2},
		{"up": 1, "scrape_samples_scraped": 2, "scrape_samples_post_metric_relabeling": 2, "scrape_series_added": 0},
		{"up": 0, "scrape_samples_scraped": 3, "scrape_samples_post_metric_relabeling": 3},
	} {
		if i == 2 {
			body = "a 1\nb 1\nc 1\n"
		}
		if err := tgt.scrape(t.Context(), int64(i)); err != nil {
			t.Fatal(err)
		}
		for name, v := range want {
			if got := sink.find(t, name).Samples[0].Value; got != v {
				t.Errorf("scrape %d: %s is %v, want %v", i, name, got, v)
			}
		}
	}
}

func TestRunKeepsItsSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slow atomic.Bool
		sink := &memory{}
		s, err := New(Options{
			Targets: []Target{{Job: "a", URL: "http://x/m", Interval: 10 * time.Second, Timeout: 3 * time.Second}},
			Sink:    sink, Seed: "node",
			Client: served{func(w http.ResponseWriter, r *http.Request) {
				if slow.Load() {
					<-r.Context().Done()
					return
				}
				plain("a 1\n")(w, r)
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if n := sink.count(); n != 3 {
			t.Fatalf("%d scrapes in 30 s, want 3", n)
		}
		first := sink.find(t, "up").Samples[0].Time
		slow.Store(true)
		time.Sleep(13 * time.Second) // the next scrape and its timeout
		synctest.Wait()
		up := sink.find(t, "up").Samples[0]
		if up.Value != 0 || up.Time != first+10_000 {
			t.Errorf("a scrape that times out gave up=%v at %d, want 0 at %d", up.Value, up.Time, first+10_000)
		}
		if st := s.Status()[0]; st.Duration != 3*time.Second || !strings.Contains(st.Err, "within 3s") {
			t.Errorf("status is %+v", st)
		}
		slow.Store(false)
		before := sink.count()
		if err := s.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		if sink.count() != before+1 {
			t.Error("flush did not scrape at once")
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
