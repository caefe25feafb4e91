package otlp_test

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/protobuf/encoding/protowire"

	"ghostlight/buffer/delta"
	"ghostlight/fleet/doors/otlp"
)

var limits = otlp.Options{Now: 9000, Oldest: 1000, Samples: 1000, Memory: 1 << 20}

type message interface {
	MarshalProto() ([]byte, error)
	MarshalJSON() ([]byte, error)
}

func encode(t testing.TB, m message) map[otlp.Encoding][]byte {
	t.Helper()
	p, err := m.MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	j, err := m.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return map[otlp.Encoding][]byte{otlp.Protobuf: p, otlp.JSON: j}
}

func metrics() pmetricotlp.ExportRequest {
	md := pmetric.NewMetrics()
	rm := md.ResourceMetrics().AppendEmpty()
	rm.Resource().Attributes().PutStr("service.name", "till")
	ms := rm.ScopeMetrics().AppendEmpty().Metrics()
	g := ms.AppendEmpty()
	g.SetName("temperature")
	g.SetUnit("Cel")
	g.SetDescription("How warm it is.")
	point := g.SetEmptyGauge().DataPoints().AppendEmpty()
	point.SetTimestamp(pcommon.Timestamp(5000 * 1e6))
	point.SetDoubleValue(21.5)
	point.Attributes().PutStr("room.name", "bar")
	point.Exemplars().AppendEmpty().SetIntValue(1)
	old := g.Gauge().DataPoints().AppendEmpty()
	old.SetTimestamp(pcommon.Timestamp(999 * 1e6))
	d := ms.AppendEmpty()
	d.SetName("steps")
	sum := d.SetEmptySum()
	sum.SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
	sum.DataPoints().AppendEmpty().SetTimestamp(pcommon.Timestamp(5000 * 1e6))
	return pmetricotlp.NewExportRequestFromMetrics(md)
}

func TestMetrics(t *testing.T) {
	for encoding, msg := range encode(t, metrics()) {
		res, err := otlp.Decode(otlp.Metrics, encoding, msg, limits)
		if err != nil {
			t.Fatal(err)
		}
		want := delta.Batch{Series: []delta.Series{{
			Labels:  []delta.Label{{Name: "__name__", Value: "temperature_celsius"}, {Name: "job", Value: "till"}, {Name: "room_name", Value: "bar"}},
			Meta:    delta.Meta{Type: delta.Gauge, Unit: "celsius", Help: "How warm it is."},
			Samples: []delta.Sample{{Time: 5000, Value: 21.5}},
		}}}
		if d := cmp.Diff(want, res.Batch); d != "" {
			t.Errorf("batch (-want +got):\n%s", d)
		}
		if res.Items != 1 || res.RejectedTotal() != 2 || res.Exemplars != 1 {
			t.Errorf("%+v", res)
		}
		answer, err := otlp.Response(otlp.Metrics, encoding, res)
		if err != nil {
			t.Fatal(err)
		}
		got := pmetricotlp.NewExportResponse()
		read := map[otlp.Encoding]func([]byte) error{otlp.Protobuf: got.UnmarshalProto, otlp.JSON: got.UnmarshalJSON}[encoding]
		if err := read(answer); err != nil {
			t.Fatal(err)
		}
		part := got.PartialSuccess()
		if part.RejectedDataPoints() != 2 || part.ErrorMessage() != "1 data points: before the retention; 1 data points: delta temporality" {
			t.Errorf("partial success: %d, %s", part.RejectedDataPoints(), part.ErrorMessage())
		}
	}
}

func TestTracesAndLogsAreRecords(t *testing.T) {
	td := ptrace.NewTraces()
	span := td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty()
	span.SetTraceID(pcommon.TraceID{1, 2, 3})
	ld := plog.NewLogs()
	ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty().Body().SetStr("line")
	for _, tt := range []struct {
		sig  otlp.Signal
		req  message
		kind string
	}{
		{otlp.Traces, ptraceotlp.NewExportRequestFromTraces(td), "otlp.traces"},
		{otlp.Logs, plogotlp.NewExportRequestFromLogs(ld), "otlp.logs"},
	} {
		msgs := encode(t, tt.req)
		keys := map[string]bool{}
		for encoding, msg := range msgs {
			res, err := otlp.Decode(tt.sig, encoding, msg, limits)
			if err != nil || res.Items != 1 || len(res.Batch.Records) != 1 {
				t.Fatalf("%s: %+v, %v", tt.sig, res, err)
			}
			rec := res.Batch.Records[0]
			keys[rec.Key] = true
			if rec.Kind != tt.kind || rec.Time != 9000 || string(rec.Body) != string(msgs[otlp.Protobuf]) {
				t.Errorf("%s: %+v", tt.sig, rec)
			}
			answer, err := otlp.Response(tt.sig, encoding, res)
			if err != nil || (encoding == otlp.JSON) != (string(answer) == "{}" || strings.HasPrefix(string(answer), "{")) {
				t.Errorf("%s: answer %q, %v", tt.sig, answer, err)
			}
		}
		if len(keys) != 1 {
			t.Errorf("%s: the same content has keys %v", tt.sig, keys)
		}
	}
	for _, sig := range []otlp.Signal{otlp.Metrics, otlp.Traces, otlp.Logs} {
		res, err := otlp.Decode(sig, otlp.Protobuf, nil, limits)
		if err != nil || !res.Batch.Empty() {
			t.Errorf("%s of nothing: %+v, %v", sig, res, err)
		}
	}
}

// nest wraps a message n times in the field numbers given, in turn.
func nest(n int, numbers ...protowire.Number) []byte {
	var msg []byte
	for i := range n {
		inner := msg
		msg = protowire.AppendTag(nil, numbers[i%len(numbers)], protowire.BytesType)
		msg = protowire.AppendBytes(msg, inner)
	}
	return msg
}

func TestRequestsAreBoundedBeforeTheyAreRead(t *testing.T) {
	// Attributes of a resource whose value is a list in a list in a list ...
	deep := nest(300, 1, 5)
	deep = protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), deep)
	for _, n := range []protowire.Number{1, 1, 1} {
		deep = protowire.AppendBytes(protowire.AppendTag(nil, n, protowire.BytesType), deep)
	}
	// Half a million empty metrics, two bytes each.
	wide := []byte(strings.Repeat("\x12\x00", 500_000))
	for _, n := range []protowire.Number{2, 1} {
		wide = protowire.AppendBytes(protowire.AppendTag(nil, n, protowire.BytesType), wide)
	}
	small := limits
	small.Samples = 2
	for _, tt := range []struct {
		name     string
		encoding otlp.Encoding
		msg      []byte
		o        otlp.Options
		err      error
		want     string
	}{
		{"deep", otlp.Protobuf, deep, limits, otlp.ErrLimit, "nested more than 64 deep"},
		{"wide", otlp.Protobuf, wide, limits, otlp.ErrLimit, "more than 400000 elements"},
		{"deep JSON", otlp.JSON, []byte(strings.Repeat("[", 200)), limits, otlp.ErrLimit, "nested more than 64 deep"},
		{"wide JSON", otlp.JSON, []byte("[" + strings.Repeat("{},", 500_000)), limits, otlp.ErrLimit, "more than 400000 elements"},
		{"numbers in JSON", otlp.JSON, []byte("[" + strings.Repeat("1,", 4_000_000)), limits, otlp.ErrLimit, "more than 3200000 values"},
		{"brackets in text", otlp.JSON, []byte(`{"resourceMetrics":[],"x":"` + strings.Repeat(`[\"{`, 200_000) + `"}`), limits, nil, ""},
		{"samples", otlp.Protobuf, encode(t, metrics())[otlp.Protobuf], small, otlp.ErrLimit, "more than 2 samples"},
		{"cut short", otlp.Protobuf, []byte{0x0a, 0x05}, limits, otlp.ErrMalformed, "cut short"},
		{"inner cut short", otlp.Protobuf, []byte{0x0a, 0x02, 0x12, 0x05}, limits, otlp.ErrMalformed, "cut short"},
		{"no JSON", otlp.JSON, []byte("x"), limits, otlp.ErrMalformed, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := otlp.Decode(otlp.Metrics, tt.encoding, tt.msg, tt.o)
			if !errors.Is(err, tt.err) || (tt.err != nil && !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// FuzzDecode: whatever arrives, an error is of a known kind, and what is returned
// can be journalled.
func FuzzDecode(f *testing.F) {
	for encoding, msg := range encode(f, metrics()) {
		f.Add(uint8(0), encoding == otlp.JSON, msg)
	}
	f.Add(uint8(1), false, nest(20, 1, 2, 2, 1))
	f.Add(uint8(2), false, binary.AppendUvarint([]byte{0x0a}, 1<<63))
	f.Add(uint8(2), true, []byte(`{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"x"}}]}]}]}`))
	f.Fuzz(func(t *testing.T, sig uint8, json bool, msg []byte) {
		encoding := otlp.Protobuf
		if json {
			encoding = otlp.JSON
		}
		res, err := otlp.Decode(otlp.Signal(sig%3), encoding, msg, limits)
		if err != nil {
			if !errors.Is(err, otlp.ErrMalformed) && !errors.Is(err, otlp.ErrLimit) {
				t.Fatalf("error of no kind: %v", err)
			}
			return
		}
		if _, err := delta.Encode(nil, res.Batch); err != nil {
			t.Fatalf("the batch cannot be journalled: %v", err)
		}
	})
}
