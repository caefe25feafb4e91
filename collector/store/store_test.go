package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.uber.org/goleak"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/queue"
	"ghostlight/collector/lanes"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// disk is a queue that keeps commits, or fails them.
type disk struct {
	mu      sync.Mutex
	commits []queue.Commit
	fail    func(queue.Commit) error
}

func (d *disk) Append(_ context.Context, c queue.Commit) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail != nil {
		if err := d.fail(c); err != nil {
			return err
		}
	}
	d.commits = append(d.commits, c)
	return nil
}

// samples counts what was stored, by lane.
func (d *disk) samples() map[string]int {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := map[string]int{}
	for _, c := range d.commits {
		for _, e := range c.Entries {
			out[e.Lane.String()] += e.Batch.Samples()
		}
	}
	return out
}

func newSink(t *testing.T, d *disk) *Sink {
	t.Helper()
	chooser, err := lanes.New(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{Queue: d, Lanes: chooser})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func series(name string, times ...int64) delta.Series {
	s := delta.Series{Labels: []delta.Label{{Name: "__name__", Value: name}}}
	for _, at := range times {
		s.Samples = append(s.Samples, delta.Sample{Time: at, Value: 1})
	}
	return s
}

func batch(all ...delta.Series) delta.Batch { return delta.Batch{Series: all} }

func TestWriteSortsIntoLanesInOneCommit(t *testing.T) {
	d := &disk{}
	s := newSink(t, d)
	if err := s.Write(t.Context(), batch(series("go_goroutines", 1), series("up", 1), series("edgecore_orders_total", 1), series("x", 1))); err != nil {
		t.Fatal(err)
	}
	if len(d.commits) != 1 {
		t.Fatalf("%d commits, want 1", len(d.commits))
	}
	var order []buffer.Lane
	for _, e := range d.commits[0].Entries {
		order = append(order, e.Lane)
	}
	if diff := cmp.Diff([]buffer.Lane{buffer.Revenue, buffer.Health, buffer.Detail}, order); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]int{"revenue": 1, "health": 1, "detail": 2}, d.samples()); diff != "" {
		t.Error(diff)
	}
}

func TestRepeatedSamplesCountOnce(t *testing.T) {
	d := &disk{}
	s := newSink(t, d)
	for _, b := range []delta.Batch{
		batch(series("a", 1), series("b", 1)),
		batch(series("a", 1), series("b", 2)),             // a is repeated
		batch(series("a", 2, 3, 2, 3, 3), series("a", 3)), // within the batch
		batch(series("a", 3)),                             // all of it
		batch(series("a", 1)),                             // late, but of another time than the last
	} {
		if err := s.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(map[string]int{"detail": 3 + 2 + 1}, d.samples()); diff != "" {
		t.Error(diff)
	}
}

func TestRefusedSamplesMayComeAgain(t *testing.T) {
	d := &disk{fail: func(queue.Commit) error { return queue.ErrFull }}
	s := newSink(t, d)
	b := batch(series("a", 1), series("edgecore_orders_total", 1))
	if err := s.Write(t.Context(), b); !errors.Is(err, queue.ErrFull) {
		t.Fatalf("write returned %v", err)
	}
	// Next the revenue lane is stored, the other is not.
	d.fail = func(c queue.Commit) error {
		d.commits = append(d.commits, queue.Commit{Entries: c.Entries[:1]})
		return &queue.PartialError{Err: queue.ErrFull}
	}
	if err := s.Write(t.Context(), b); !errors.Is(err, queue.ErrFull) {
		t.Fatalf("write returned %v", err)
	}
	d.fail = nil
	if err := s.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int{"revenue": 1, "detail": 1}, d.samples()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[buffer.Lane]int64{buffer.Revenue: 1, buffer.Detail: 2}, s.Refused()); diff != "" {
		t.Error(diff)
	}
}

func TestTooLargeIsSplit(t *testing.T) {
	d := &disk{fail: func(c queue.Commit) error {
		for _, e := range c.Entries {
			if e.Batch.Samples() > 3 {
				return queue.ErrTooLarge
			}
		}
		return nil
	}}
	s := newSink(t, d)
	var b delta.Batch
	for i := range 10 {
		b.Series = append(b.Series, series(fmt.Sprint("m", i), 1))
	}
	if err := s.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int{"detail": 10}, d.samples()); diff != "" {
		t.Error(diff)
	}
	if err := s.Write(t.Context(), batch(series("big", 1, 2, 3, 4))); !errors.Is(err, queue.ErrTooLarge) {
		t.Errorf("a series that no block holds returned %v", err)
	}
}

// A full disk is logged once when it begins to refuse a lane and once when that
// is over, however commits fare in between.
func TestRefusingIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		full := true
		d := &disk{fail: func(c queue.Commit) error {
			if full && c.Entries[0].Batch.Samples() > 1 {
				return queue.ErrFull
			}
			return nil
		}}
		s := newSink(t, d)
		s.log = slog.New(slog.NewTextHandler(&out, nil))
		for i := range int64(60) {
			full = i < 30
			s.Write(t.Context(), batch(series("small", i)))                 //nolint:errcheck // what is logged is looked at
			s.Write(t.Context(), batch(series("large", i), series("b", i))) //nolint:errcheck
			time.Sleep(time.Second)
		}
		if got := strings.Count(out.String(), "\n"); got != 2 || !strings.Contains(out.String(), "stored again") {
			t.Errorf("%d lines:\n%s", got, out.String())
		}
	})
}

func TestMemoryOfSeriesIsBounded(t *testing.T) {
	s := newSeen(10)
	for i := range 100 {
		s.claim([]delta.Series{series(fmt.Sprint("m", i), 1)})
	}
	if n := len(s.young) + len(s.old); n > 20 {
		t.Errorf("remembers %d series", n)
	}
	if fresh, _ := s.claim([]delta.Series{series("m99", 1)}); len(fresh) != 0 {
		t.Error("forgot the latest series")
	}
}

func TestHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{}
		s := newSink(t, d)
		release, err := s.Hold(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		results := make(chan error, 3)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { results <- s.Write(ctx, batch(series("a", 1))) }()
		synctest.Wait()
		cancel()
		if err := <-results; !errors.Is(err, context.Canceled) {
			t.Errorf("a cancelled producer got %v", err)
		}
		go func() { results <- s.Write(t.Context(), batch(series("a", 2))) }()
		time.Sleep(time.Hour)
		if len(d.commits) != 0 {
			t.Error("a producer got through")
		}
		release()
		release() // harmless
		if err := <-results; err != nil || len(d.commits) != 1 {
			t.Errorf("after the hold: %v, %d commits", err, len(d.commits))
		}

		if release, err = s.Hold(t.Context()); err != nil {
			t.Fatal(err)
		}
		go func() { results <- s.Commit(t.Context(), queue.Commit{State: map[string][]byte{"k": nil}}) }()
		synctest.Wait()
		s.End()
		if err := <-results; !errors.Is(err, ErrStopping) {
			t.Errorf("at the end a producer got %v", err)
		}
		release()
		if err := s.Write(t.Context(), batch(series("a", 3))); err != nil {
			t.Errorf("after hold and end: %v", err)
		}
	})
}

// A hold returns only when nobody is at work any more.
func TestHoldWaitsForWhoIsInside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := make(chan struct{})
		d := &disk{fail: func(queue.Commit) error { <-slow; return nil }}
		s := newSink(t, d)
		done := make(chan error, 1)
		go func() { done <- s.Write(t.Context(), batch(series("a", 1))) }()
		synctest.Wait()
		held := make(chan func(), 1)
		go func() {
			release, err := s.Hold(t.Context())
			if err != nil {
				t.Error(err)
			}
			held <- release
		}()
		synctest.Wait()
		if len(held) != 0 {
			t.Fatal("held while a producer was at work")
		}
		close(slow)
		(<-held)()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestExporter(t *testing.T) {
	d := &disk{}
	s := newSink(t, d)
	f := s.Exporter(func() time.Time { return time.UnixMilli(5000) })
	set := exportertest.NewNopSettings(f.Type())
	me, err := f.CreateMetrics(t.Context(), set, &ExporterConfig{Job: "host"})
	if err != nil {
		t.Fatal(err)
	}
	te, err := f.CreateTraces(t.Context(), set, &ExporterConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if err := me.Start(t.Context(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	md := pmetric.NewMetrics()
	metrics := md.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics()
	m := metrics.AppendEmpty()
	m.SetName("x")
	m.SetEmptyGauge().DataPoints().AppendEmpty().SetIntValue(1)
	lost := metrics.AppendEmpty()
	lost.SetName("y")
	lost.SetEmptySum().DataPoints().AppendEmpty()
	if err := me.ConsumeMetrics(t.Context(), md); err != nil {
		t.Fatal(err)
	}
	td := ptrace.NewTraces()
	td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty().SetName("s")
	if err := te.ConsumeTraces(t.Context(), td); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]delta.Label{{Name: "__name__", Value: "x"}, {Name: "job", Value: "host"}}, d.commits[0].Entries[0].Batch.Series[0].Labels); diff != "" {
		t.Error(diff)
	}
	if s.Dropped()["delta temporality"] != 1 {
		t.Errorf("dropped is %v", s.Dropped())
	}
	e := d.commits[1].Entries[0]
	if e.Lane != buffer.Traces || e.Batch.Records[0].Kind != "otlp.traces" || e.Batch.Records[0].Time != 5000 {
		t.Errorf("trace became %+v", e)
	}
	back, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(e.Batch.Records[0].Body)
	if err != nil || back.SpanCount() != 1 {
		t.Errorf("the body is no OTLP: %v", err)
	}
	d.fail = func(queue.Commit) error { return queue.ErrFull }
	if err := te.ConsumeTraces(t.Context(), td); err == nil || consumererror.IsPermanent(err) {
		t.Errorf("a full buffer answers %v; it must be one that the sender repeats after", err)
	}
	d.fail = func(queue.Commit) error { return queue.ErrTooLarge }
	if err := te.ConsumeTraces(t.Context(), td); !consumererror.IsPermanent(err) {
		t.Errorf("what never fits answers %v", err)
	}
}

// A series whose unit or help came and went would be two to the dictionary.
func TestMetadataStayWithTheirSeries(t *testing.T) {
	d := &disk{}
	s := newSink(t, d)
	want := delta.Meta{Type: delta.Counter, Unit: "seconds", Help: "How long."}
	for at := range int64(3) {
		one := series("a_seconds_total", at+1)
		one.Meta = want
		if err := s.Write(t.Context(), batch(one)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, d.commits[at].Entries[0].Batch.Series[0].Meta); diff != "" {
			t.Errorf("metadata of write %d (-want +got):\n%s", at, diff)
		}
	}
}
