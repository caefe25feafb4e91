package evidence

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/fleet/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	soho   = buffer.Source{Region: "uk", Venue: "soho", Node: "soho-1"}
	camden = buffer.Source{Region: "uk", Venue: "camden", Node: "camden-1"}
)

// rig is an evidence store on a disk of its own, with a clock that a test sets.
type rig struct {
	*Store
	st  *store.Store
	now time.Time
}

func newRig(t interface {
	Helper()
	Fatal(...any)
}, dir string, change func(*Options),
) *rig {
	t.Helper()
	st, err := store.Open(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{st: st, now: time.Unix(1_700_000_000, 0)}
	o := Options{
		Store: st, MaxAge: 24 * time.Hour, MaxBytes: 1 << 20, Hold: 15 * time.Minute, HoldBytes: 1 << 20,
		Now: func() time.Time { return r.now }, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	if change != nil {
		change(&o)
	}
	if r.Store, err = New(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	for _, src := range []buffer.Source{soho, camden} {
		if _, err := st.Register(context.Background(), src); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func (r *rig) write(fn func(tx *sql.Tx) error) error { return r.st.Write(context.Background(), fn) }

func (r *rig) apply(src buffer.Source, recs ...delta.Record) error {
	return r.write(func(tx *sql.Tx) error {
		for _, rec := range recs {
			if err := r.Apply(context.Background(), tx, src, rec); err != nil {
				return err
			}
		}
		return nil
	})
}

func (r *rig) claim(src buffer.Source, trace byte) error {
	return r.write(func(tx *sql.Tx) error {
		return r.Claim(context.Background(), tx, src, Claim{TraceID: hexID(trace), Kind: KindJourney, Name: "buy", AtMS: 5000 + int64(trace), Detail: "pay: answered 500"})
	})
}

func hexID(b byte) string { return fmt.Sprintf("%02x", b) + strings.Repeat("0", 30) }

// spans is a record with one span for each of the traces, named after its place.
func spans(key string, traces ...byte) delta.Record {
	td := ptrace.NewTraces()
	rs := td.ResourceSpans().AppendEmpty()
	rs.Resource().Attributes().PutStr("service.name", "edgecore")
	to := rs.ScopeSpans().AppendEmpty().Spans()
	for i, b := range traces {
		s := to.AppendEmpty()
		s.SetTraceID(pcommon.TraceID{b})
		s.SetSpanID(pcommon.SpanID{b, byte(i + 1), key[0]})
		s.SetName(fmt.Sprintf("%s/%d", key, i))
		s.SetStartTimestamp(pcommon.Timestamp(1000 * (i + 1)))
		s.SetEndTimestamp(pcommon.Timestamp(1000*(i+1) + 500))
	}
	body, _ := (&ptrace.ProtoMarshaler{}).MarshalTraces(td)
	return delta.Record{Kind: KindTraces, Key: key, Time: 1, Body: body}
}

// lines is a record with one log line for each of the traces; 0 is none.
func lines(key string, traces ...byte) delta.Record {
	ld := plog.NewLogs()
	to := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for i, b := range traces {
		lr := to.AppendEmpty()
		if b != 0 {
			lr.SetTraceID(pcommon.TraceID{b})
		}
		lr.SetTimestamp(pcommon.Timestamp(i + 1))
		lr.SetSeverityNumber(plog.SeverityNumberError)
		lr.Body().SetStr(fmt.Sprintf("%s/%d", key, i))
		lr.Attributes().PutInt("ghostlight.fold.count", 3)
	}
	body, _ := (&plog.ProtoMarshaler{}).MarshalLogs(ld)
	return delta.Record{Kind: KindLogs, Key: key, Time: 1, Body: body}
}

func names(t Trace) (out []string) {
	for _, s := range t.Spans {
		out = append(out, s.Name)
	}
	for _, l := range t.Lines {
		out = append(out, l.Text)
	}
	return out
}

// However claims, spans and lines arrive, and however often, the same is kept: all
// of the claimed trace and nothing else.
func TestArrivalInAnyOrder(t *testing.T) {
	steps := []func(r *rig) error{
		func(r *rig) error { return r.claim(soho, 0xaa) },
		func(r *rig) error { return r.apply(soho, spans("a", 0xaa, 0xbb)) },
		func(r *rig) error { return r.apply(soho, spans("b", 0xbb, 0xaa, 0xaa), lines("l", 0xaa, 0xbb, 0)) },
		func(r *rig) error { return r.apply(camden, spans("c", 0xaa)) }, // another node's, not the claimant's
	}
	rapid.Check(t, func(rt *rapid.T) {
		dir := t.TempDir()
		r := newRig(rt, dir, nil)
		defer r.st.Close()
		order := rapid.Permutation([]int{0, 1, 2, 3}).Draw(rt, "order")
		order = append(order, rapid.SliceOfN(rapid.IntRange(0, 3), 0, 4).Draw(rt, "repeats")...)
		for _, i := range order {
			if err := steps[i](r); err != nil {
				rt.Fatal(err)
			}
			r.now = r.now.Add(time.Minute)
		}
		r.now = r.now.Add(time.Hour)
		if err := r.sweep(t.Context()); err != nil {
			rt.Fatal(err)
		}
		got, err := r.Get(t.Context(), hexID(0xaa), "")
		if err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff([]string{"a/0", "b/1", "b/2", "l/0"}, names(got)); diff != "" {
			rt.Fatal(diff)
		}
		if got.Source != soho || got.Name != "buy" || got.AtMS != 5000+0xaa || got.Spans[0].Service != "edgecore" || got.Lines[0].Count != 3 || !got.Lines[0].Failed {
			rt.Fatalf("%+v", got)
		}
		if _, err := r.Get(t.Context(), hexID(0xbb), ""); !errors.Is(err, ErrUnknown) {
			rt.Fatalf("the trace that nobody claimed: %v", err)
		}
		if held, _, err := r.size(t.Context()); err != nil || held != 0 {
			rt.Fatalf("%d bytes are still held (%v)", held, err)
		}
	})
}

func TestUnclaimedGoesInTimeAndIsCounted(t *testing.T) {
	r := newRig(t, t.TempDir(), nil)
	defer r.st.Close()
	if err := r.apply(soho, spans("a", 1, 2), lines("l", 1, 0, 0)); err != nil {
		t.Fatal(err)
	}
	r.now = r.now.Add(15 * time.Minute)
	if err := r.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.claim(soho, 1); err != nil { // at the last moment
		t.Fatal(err)
	}
	r.now = r.now.Add(time.Millisecond)
	if err := r.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err := r.Get(t.Context(), hexID(1), "soho")
	if err != nil || len(got.Spans) != 1 || len(got.Lines) != 1 {
		t.Errorf("claimed: %d spans, %d lines (%v)", len(got.Spans), len(got.Lines), err)
	}
	want := map[string]float64{"otlp.logs no_trace": 2, "otlp.traces unclaimed": 1}
	if diff := cmp.Diff(want, r.counted(t)); diff != "" {
		t.Error(diff)
	}
}

// counted reads what the store tells of what it dropped.
func (r *rig) counted(t *testing.T) map[string]float64 {
	t.Helper()
	reg := prometheus.NewRegistry()
	if err := reg.Register(r); err != nil {
		t.Fatal(err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "ghostlight_fleet_evidence_dropped_total" {
				out[m.GetLabel()[0].GetValue()+" "+m.GetLabel()[1].GetValue()] = m.GetCounter().GetValue()
			}
		}
	}
	return out
}

func TestRetentionByAgeAndSize(t *testing.T) {
	size := int64(len(spans("a", 1).Body))
	r := newRig(t, t.TempDir(), func(o *Options) { o.MaxBytes, o.HoldBytes = 3*size+size/2, 2*size+size/2 })
	defer r.st.Close()
	for b := byte(1); b <= 5; b++ { // five claimed traces, room for three
		if err := errors.Join(r.claim(soho, b), r.apply(soho, spans("a", b))); err != nil {
			t.Fatal(err)
		}
		r.now = r.now.Add(time.Minute)
	}
	for b := byte(11); b <= 14; b++ { // four that wait, room for two
		if err := r.apply(soho, spans("a", b)); err != nil {
			t.Fatal(err)
		}
		r.now = r.now.Add(time.Second)
	}
	if err := r.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	have := func() (out []int64) {
		all, err := r.List(t.Context(), Filter{})
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range all {
			if l.Spans > 0 {
				out = append(out, l.AtMS-5000)
			}
		}
		return out
	}
	if diff := cmp.Diff([]int64{5, 4, 3}, have()); diff != "" {
		t.Errorf("beyond the size: %s", diff)
	}
	if held, kept, err := r.size(t.Context()); err != nil || held != 2*size || kept != 3*size {
		t.Errorf("%d bytes held, %d kept (%v); want %d and %d", held, kept, err, 2*size, 3*size)
	}
	r.now = time.Unix(1_700_000_000, 0).Add(24*time.Hour + 3*time.Minute + time.Second) // claims 1 to 4 are older than a day
	if err := r.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int64{5}, have()); diff != "" {
		t.Errorf("beyond the age: %s", diff)
	}
	want := map[string]float64{"otlp.traces keep_full": 2, "otlp.traces hold_full": 2, "otlp.traces expired": 2, "otlp.traces unclaimed": 2}
	if diff := cmp.Diff(want, r.counted(t)); diff != "" {
		t.Error(diff)
	}
}

func TestMalformedAndForeign(t *testing.T) {
	r := newRig(t, t.TempDir(), nil)
	defer r.st.Close()
	for _, rec := range []delta.Record{{Kind: KindTraces, Body: []byte{0xff}}, {Kind: KindLogs, Body: []byte{0xff}}, {Kind: "other"}} {
		if err := r.apply(soho, rec); !errors.Is(err, store.ErrMalformed) {
			t.Errorf("%s: %v", rec.Kind, err)
		}
	}
	for _, bad := range []string{"", "xyz", strings.Repeat("0", 32), strings.Repeat("A", 32), strings.Repeat("a", 33)} {
		err := r.write(func(tx *sql.Tx) error { return r.Claim(t.Context(), tx, soho, Claim{TraceID: bad}) })
		if err != nil {
			t.Errorf("claim of %q: %v", bad, err)
		}
	}
	if all, err := r.List(t.Context(), Filter{}); err != nil || len(all) != 0 {
		t.Errorf("%d claims (%v), want none", len(all), err)
	}
	if _, err := New(t.Context(), Options{Store: r.st}); err == nil {
		t.Error("bounds of 0 are taken")
	}
}

func TestListPicks(t *testing.T) {
	r := newRig(t, t.TempDir(), nil)
	defer r.st.Close()
	if err := errors.Join(r.claim(soho, 1), r.claim(camden, 1), r.claim(soho, 2), r.apply(soho, spans("a", 2), lines("l", 2, 2))); err != nil {
		t.Fatal(err)
	}
	all, err := r.List(t.Context(), Filter{Venue: "soho", FromMS: 5001, ToMS: 5003})
	if err != nil || len(all) != 2 || all[0].TraceID != hexID(2) || all[0].Spans != 1 || all[0].Lines != 2 || all[1].Spans != 0 {
		t.Errorf("%+v (%v)", all, err)
	}
	if got, err := r.Get(t.Context(), hexID(1), "camden"); err != nil || got.Source != camden {
		t.Errorf("%+v (%v)", got.Source, err)
	}
}

func TestRunSweeps(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, dir, func(o *Options) { o.Now = time.Now })
		if err := r.apply(soho, spans("a", 1)); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		time.Sleep(16 * time.Minute)
		synctest.Wait()
		held, _, err := r.size(ctx)
		cancel()
		if err = errors.Join(err, <-done, r.st.Close()); err != nil || held != 0 {
			t.Errorf("%d bytes are held after 16 minutes (%v)", held, err)
		}
	})
}

// A record may hold anything: it is split without loss or refused.
func FuzzSplit(f *testing.F) {
	f.Add(spans("a", 1, 2, 1).Body)
	f.Add(lines("a", 1, 0).Body)
	f.Add([]byte{})
	f.Add([]byte{0x0a, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, body []byte) {
		if td, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(body); err == nil {
			want := int64(td.SpanCount())
			parts, got, err := splitSpans(body)
			for _, p := range parts {
				got += p.units
			}
			if err != nil || got != want {
				t.Fatalf("%d of %d spans are accounted for (%v)", got, want, err)
			}
			for _, p := range parts {
				var tr Trace
				if err := tr.read(KindTraces, p.body); err != nil || int64(len(tr.Spans)) != p.units {
					t.Fatalf("a part of %d spans is read as %d (%v)", p.units, len(tr.Spans), err)
				}
			}
		}
		if ld, err := (&plog.ProtoUnmarshaler{}).UnmarshalLogs(body); err == nil {
			want := int64(ld.LogRecordCount())
			parts, got, err := splitLines(body)
			for _, p := range parts {
				got += p.units
			}
			if err != nil || got != want {
				t.Fatalf("%d of %d lines are accounted for (%v)", got, want, err)
			}
		}
	})
}
