//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/model/value"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/exporter/otlpexporter"
	"go.opentelemetry.io/collector/exporter/otlphttpexporter"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

const tickEvery = 200 * time.Millisecond

// ticker sends once each tickEvery, from a goroutine of its own.
type ticker struct {
	n       atomic.Int64
	cancel  context.CancelFunc
	stopped sync.WaitGroup
}

func (k *ticker) sent() int { return int(k.n.Load()) }
func (k *ticker) owed() int { return k.sent() }

func (k *ticker) run(send func(ctx context.Context, n int)) {
	var ctx context.Context
	ctx, k.cancel = context.WithCancel(context.Background())
	k.stopped.Go(func() {
		every := time.NewTicker(tickEvery)
		defer every.Stop()
		for {
			send(ctx, int(k.n.Add(1)))
			select {
			case <-every.C:
			case <-ctx.Done():
				return
			}
		}
	})
}

func (k *ticker) halt() {
	if k.cancel != nil {
		k.cancel()
	}
	k.stopped.Wait()
}

// collector is the OpenTelemetry Collector's own exporter, which queues and retries.
type collector struct {
	shop                  *shop
	protocol, compression string
	ticker
	metrics exporter.Metrics
	traces  exporter.Traces
	logs    exporter.Logs
	once    sync.Once
}

func (o *collector) venue() string             { return o.protocol + "-" + o.compression }
func (o *collector) labels() map[string]string { return map[string]string{"job": "shop"} }

func (o *collector) start(t *testing.T, c *centre) {
	factory, endpoint := otlphttpexporter.NewFactory(), c.url
	if o.protocol == "grpc" {
		factory, endpoint = otlpexporter.NewFactory(), c.grpc
	}
	cfg := factory.CreateDefaultConfig()
	err := confmap.NewFromStringMap(map[string]any{
		"endpoint": endpoint, "compression": o.compression, "tls": map[string]any{"insecure": true},
		"headers":          map[string]any{"Authorization": "Bearer " + token(o)},
		"retry_on_failure": map[string]any{"initial_interval": "100ms", "max_interval": "500ms"},
	}).Unmarshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	set := exportertest.NewNopSettings(factory.Type())
	if o.metrics, err = factory.CreateMetrics(t.Context(), set, cfg); err != nil {
		t.Fatal(err)
	}
	if o.traces, err = factory.CreateTraces(t.Context(), set, cfg); err != nil {
		t.Fatal(err)
	}
	if o.logs, err = factory.CreateLogs(t.Context(), set, cfg); err != nil {
		t.Fatal(err)
	}
	for _, one := range []component.Component{o.metrics, o.traces, o.logs} {
		if err := one.Start(context.Background(), componenttest.NewNopHost()); err != nil {
			t.Fatal(err)
		}
	}
	o.run(func(ctx context.Context, n int) {
		for what, err := range map[string]error{
			"metrics": o.metrics.ConsumeMetrics(ctx, o.points(n)), "traces": o.traces.ConsumeTraces(ctx, o.span(n)), "logs": o.logs.ConsumeLogs(ctx, o.line(n)),
		} {
			if err != nil {
				t.Errorf("%s: %s %d were not taken to be sent: %v", o.venue(), what, n, err)
			}
		}
	})
}

// stop sends what is queued.
func (o *collector) stop(t *testing.T) {
	o.once.Do(func() {
		o.halt()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		for _, one := range []component.Component{o.metrics, o.traces, o.logs} {
			if one == nil {
				continue
			}
			if err := one.Shutdown(ctx); err != nil {
				t.Errorf("%s did not stop well: %v", o.venue(), err)
			}
		}
	})
}

func (o *collector) points(n int) pmetric.Metrics {
	md := pmetric.NewMetrics()
	rm := md.ResourceMetrics().AppendEmpty()
	rm.Resource().Attributes().PutStr("service.name", "shop")
	ms := rm.ScopeMetrics().AppendEmpty().Metrics()
	at := pcommon.NewTimestampFromTime(time.Now())
	add := func(name, unit string) pmetric.Metric {
		m := ms.AppendEmpty()
		m.SetName(family(o) + "." + name)
		m.SetUnit(unit)
		m.SetDescription("Of the test: " + name + ".")
		return m
	}
	sum := add("ticks", "").SetEmptySum()
	sum.SetIsMonotonic(true)
	sum.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	point := sum.DataPoints().AppendEmpty()
	point.SetTimestamp(at)
	point.SetIntValue(int64(n))
	point.Attributes().PutStr("venue", "elsewhere")
	open := add("open", "").SetEmptyGauge().DataPoints().AppendEmpty()
	open.SetTimestamp(at)
	open.SetDoubleValue(21.5)
	shift := add("shift", "").SetEmptyGauge().DataPoints().AppendEmpty()
	shift.SetTimestamp(at)
	shift.SetDoubleValue(1)
	if o.shop.closed.Load() {
		shift.SetFlags(pmetric.DefaultDataPointFlags.WithNoRecordedValue(true))
	}
	wait := add("wait", "s").SetEmptyHistogram()
	wait.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	h := wait.DataPoints().AppendEmpty()
	h.SetTimestamp(at)
	h.ExplicitBounds().FromRaw([]float64{0.5})
	h.BucketCounts().FromRaw([]uint64{uint64(n), uint64(n)})
	h.SetCount(uint64(2 * n))
	h.SetSum(1.5 * float64(n))
	return md
}

// tick names a span and a line.
func tick(n int) string { return fmt.Sprint("tick ", n) }

func (o *collector) span(n int) ptrace.Traces {
	td := ptrace.NewTraces()
	s := td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty()
	s.SetTraceID(traceID(o))
	s.SetSpanID([8]byte{1, byte(n >> 8), byte(n)})
	s.SetName(tick(n))
	s.SetStartTimestamp(pcommon.NewTimestampFromTime(time.Now()))
	s.SetEndTimestamp(pcommon.NewTimestampFromTime(time.Now()))
	return td
}

func (o *collector) line(n int) plog.Logs {
	ld := plog.NewLogs()
	l := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	l.SetTraceID(traceID(o))
	l.SetTimestamp(pcommon.NewTimestampFromTime(time.Now()))
	l.Body().SetStr(tick(n))
	return ld
}

// evidence counts the spans and lines that the fleet kept, by name.
func (o *collector) evidence(c *centre) (spans, lines map[string]int, err error) {
	var kept struct {
		Spans []struct{ Name string }
		Logs  []struct{ Text string }
	}
	err = getJSON(fmt.Sprintf("%s/api/fleet/v1/evidence?venue=%s&trace_id=%x", c.url, o.venue(), traceID(o)), &kept)
	spans, lines = map[string]int{}, map[string]int{}
	for _, s := range kept.Spans {
		spans[s.Name]++
	}
	for _, l := range kept.Logs {
		lines[l.Text]++
	}
	return spans, lines, err
}

// keptOnce checks that the fleet kept each of n spans and lines, once.
func (o *collector) keptOnce(t *testing.T, c *centre, n int) {
	want := map[string]int{}
	for i := range n {
		want[tick(i+1)] = 1
	}
	eventually(t, "spans and lines as evidence", 10*time.Second, func() error {
		spans, lines, err := o.evidence(c)
		if d := cmp.Diff(want, spans) + cmp.Diff(want, lines); err == nil && d != "" {
			err = fmt.Errorf("(-want +got):\n%s", d)
		}
		return err
	})
}

// write2 sends by remote write 2.0 as its specification says, in Prometheus' own
// types: what is not answered for is sent again.
type write2 struct {
	shop *shop
	ticker
	url     string
	pending [][]byte // used by the ticker's goroutine, then by stop
}

func (w *write2) venue() string             { return "write2" }
func (w *write2) labels() map[string]string { return map[string]string{"job": "shop"} }

// series2 is how many series, and samples, a request has.
const series2 = 7

func (w *write2) start(t *testing.T, c *centre) {
	w.url = c.url + "/api/v1/write"
	w.run(func(ctx context.Context, n int) {
		msg, err := w.request(n).Marshal()
		if err != nil {
			t.Error(err)
			return
		}
		w.pending = append(w.pending, snappy.Encode(nil, msg))
		w.drain(t) //nolint:errcheck // the next tick tries again
	})
}

// drain sends what is pending, until something must be sent once more.
func (w *write2) drain(t *testing.T) error {
	for len(w.pending) > 0 {
		again, err := w.push(w.pending[0])
		if again {
			return err
		}
		if err != nil {
			t.Errorf("write2: %v", err)
		}
		w.pending = w.pending[1:]
	}
	return nil
}

// stop sends what is pending.
func (w *write2) stop(t *testing.T) {
	w.halt()
	eventually(t, "write2's last requests", 10*time.Second, func() error { return w.drain(t) })
}

// push sends one request; again says that it must be sent once more.
func (w *write2) push(body []byte) (again bool, err error) {
	req, err := http.NewRequest(http.MethodPost, w.url, bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	req.Header.Set("Authorization", "Bearer "+token(w))
	req.Header.Set("Content-Encoding", "snappy")
	req.Header.Set("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request")
	req.Header.Set("X-Prometheus-Remote-Write-Version", "2.0.0")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return true, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	switch written := res.Header.Get("X-Prometheus-Remote-Write-Samples-Written"); {
	case err != nil:
		return true, err
	case res.StatusCode >= http.StatusInternalServerError:
		return true, fmt.Errorf("%s: %s", res.Status, text)
	case res.StatusCode != http.StatusNoContent || written != strconv.Itoa(series2):
		return false, fmt.Errorf("%s, %q samples written: %s", res.Status, written, text)
	}
	return false, nil
}

func (w *write2) request(n int) *writev2.Request {
	table := writev2.NewSymbolTable()
	req, now := &writev2.Request{}, time.Now().UnixMilli()
	add := func(name, metric string, kind writev2.Metadata_MetricType, v float64, pairs ...string) {
		refs := []uint32{}
		for _, text := range append([]string{"__name__", family(w) + name, "job", "shop"}, pairs...) {
			refs = append(refs, table.Symbolize(text))
		}
		req.Timeseries = append(req.Timeseries, writev2.TimeSeries{
			LabelsRefs: refs, Samples: []writev2.Sample{{Value: v, Timestamp: now}},
			Metadata: writev2.Metadata{Type: kind, HelpRef: table.Symbolize("Of the test: " + metric + ".")},
		})
	}
	const counter, gauge, histogram = writev2.Metadata_METRIC_TYPE_COUNTER, writev2.Metadata_METRIC_TYPE_GAUGE, writev2.Metadata_METRIC_TYPE_HISTOGRAM
	shift, f := 1.0, float64(n)
	if w.shop.closed.Load() {
		shift = math.Float64frombits(value.StaleNaN)
	}
	add("_ticks_total", "ticks", counter, f, "venue", "elsewhere")
	add("_open", "open", gauge, 21.5)
	add("_shift", "shift", gauge, shift)
	add("_wait_seconds_bucket", "wait", histogram, f, "le", "0.5")
	add("_wait_seconds_bucket", "wait", histogram, 2*f, "le", "+Inf")
	add("_wait_seconds_count", "wait", histogram, 2*f)
	add("_wait_seconds_sum", "wait", histogram, 1.5*f)
	req.Symbols = table.Symbols()
	return req
}
