package remotewrite_test

import (
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"pgregory.net/rapid"

	"ghostlight/buffer/delta"
	"ghostlight/fleet/doors/remotewrite"
)

var limits = remotewrite.Options{Oldest: 100, Series: 100, Samples: 1000, LabelBytes: 1 << 10, Memory: 1 << 20}

func pairs(names ...string) []prompb.Label {
	var out []prompb.Label
	for i := 0; i < len(names); i += 2 {
		out = append(out, prompb.Label{Name: names[i], Value: names[i+1]})
	}
	return out
}

func encode1(t testing.TB, req *prompb.WriteRequest) []byte {
	t.Helper()
	msg, err := req.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

// encode2 sends the same series by the other version's own encoder.
func encode2(t testing.TB, req *prompb.WriteRequest, meta ...writev2.Metadata) []byte {
	t.Helper()
	table := writev2.NewSymbolTable()
	var out writev2.Request
	for i, ts := range req.Timeseries {
		s := writev2.TimeSeries{}
		for _, l := range ts.Labels {
			s.LabelsRefs = append(s.LabelsRefs, table.Symbolize(l.Name), table.Symbolize(l.Value))
		}
		for _, smp := range ts.Samples {
			s.Samples = append(s.Samples, writev2.Sample{Value: smp.Value, Timestamp: smp.Timestamp})
		}
		for _, e := range ts.Exemplars {
			s.Exemplars = append(s.Exemplars, writev2.Exemplar{Value: e.Value, Timestamp: e.Timestamp})
		}
		for _, h := range ts.Histograms {
			if h.IsFloatHistogram() {
				s.Histograms = append(s.Histograms, writev2.FromFloatHistogram(h.Timestamp, h.ToFloatHistogram()))
			} else {
				s.Histograms = append(s.Histograms, writev2.FromIntHistogram(h.Timestamp, h.ToIntHistogram()))
			}
		}
		if i < len(meta) {
			s.Metadata = meta[i]
			s.Metadata.HelpRef, s.Metadata.UnitRef = table.Symbolize("A help."), table.Symbolize("seconds")
		}
		out.Timeseries = append(out.Timeseries, s)
	}
	out.Symbols = table.Symbols()
	msg, err := out.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

// equal compares batches to the bit.
func equal(t *testing.T, got, want delta.Batch) {
	t.Helper()
	bits := cmp.Comparer(func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) })
	if d := cmp.Diff(want, got, bits); d != "" {
		t.Errorf("batch (-want +got):\n%s", d)
	}
}

func series(meta delta.Meta, samples []delta.Sample, names ...string) delta.Series {
	s := delta.Series{Meta: meta, Samples: samples}
	for i := 0; i < len(names); i += 2 {
		s.Labels = append(s.Labels, delta.Label{Name: names[i], Value: names[i+1]})
	}
	return s
}

func TestBothVersionsKeepEveryBit(t *testing.T) {
	stale, quiet, inf := math.Float64frombits(value.StaleNaN), math.Float64frombits(value.NormalNaN), math.Inf(-1)
	req := &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{
		{
			Labels:    pairs("job", "node", "__name__", "up", "empty", ""),
			Samples:   []prompb.Sample{{Value: 1, Timestamp: 1000}, {Value: stale, Timestamp: 2000}, {Value: quiet, Timestamp: 3000}, {Value: inf, Timestamp: 4000}, {Value: 0.1, Timestamp: math.MaxInt64}},
			Exemplars: []prompb.Exemplar{{Value: 1, Timestamp: 1000}},
		},
		{Labels: pairs("__name__", "x_total"), Samples: []prompb.Sample{{Value: math.SmallestNonzeroFloat64, Timestamp: 100}}},
	}}
	want := func(m delta.Meta) delta.Batch {
		return delta.Batch{Series: []delta.Series{
			series(m, []delta.Sample{{Time: 1000, Value: 1}, {Time: 2000, Value: stale}, {Time: 3000, Value: quiet}, {Time: 4000, Value: inf}, {Time: math.MaxInt64, Value: 0.1}}, "__name__", "up", "job", "node"),
			series(delta.Meta{}, []delta.Sample{{Time: 100, Value: math.SmallestNonzeroFloat64}}, "__name__", "x_total"),
		}}
	}
	for _, tt := range []struct {
		v    remotewrite.Version
		msg  []byte
		meta delta.Meta
	}{
		{remotewrite.V1, encode1(t, req), delta.Meta{}},
		{remotewrite.V2, encode2(t, req, writev2.Metadata{Type: writev2.Metadata_METRIC_TYPE_GAUGE}), delta.Meta{Type: delta.Gauge, Help: "A help.", Unit: "seconds"}},
	} {
		res, err := remotewrite.Decode(tt.v, tt.msg, limits)
		if err != nil {
			t.Fatal(err)
		}
		if res.Samples != 6 || res.Exemplars != 1 || res.RefusedTotal() != 0 || res.Problem != "" {
			t.Errorf("version %d: %+v", tt.v, res)
		}
		equal(t, res.Batch, want(tt.meta))
	}
}

func TestMetadataOfVersion1(t *testing.T) {
	req := &prompb.WriteRequest{Metadata: []prompb.MetricMetadata{
		{Type: prompb.MetricMetadata_COUNTER, MetricFamilyName: "a_total", Help: "Help.", Unit: "bytes"},
		{Type: prompb.MetricMetadata_GAUGEHISTOGRAM, MetricFamilyName: "g", Help: "G."},
		{Type: prompb.MetricMetadata_UNKNOWN, MetricFamilyName: "nothing"},
		{Type: prompb.MetricMetadata_COUNTER, Help: "of nobody"},
		{Type: prompb.MetricMetadata_COUNTER, MetricFamilyName: "long", Help: strings.Repeat("x", 2000)},
	}}
	res, err := remotewrite.Decode(remotewrite.V1, encode1(t, req), limits)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, res.Batch, delta.Batch{Series: []delta.Series{
		series(delta.Meta{Type: delta.Counter, Help: "Help.", Unit: "bytes"}, nil, "__name__", "a_total"),
		series(delta.Meta{Help: "G."}, nil, "__name__", "g"),
	}})
	if res.Refused[remotewrite.RefusedMetadata] != 2 {
		t.Errorf("refused %v", res.Refused)
	}
}

// What can never be stored is refused by itself; the rest is taken.
func TestPartsAreRefused(t *testing.T) {
	ok := prompb.TimeSeries{Labels: pairs("__name__", "ok"), Samples: []prompb.Sample{{Value: 1, Timestamp: 1000}}}
	many := []string{"__name__", "x"}
	for i := range 300 {
		many = append(many, "l"+strings.Repeat("a", i), "v")
	}
	for _, tt := range []struct {
		name, reason, problem string
		labels                []prompb.Label
		at                    int64
	}{
		{"no name", remotewrite.RefusedLabels, `series {job="a"}: it has no metric name`, pairs("job", "a"), 1000},
		{"empty name", remotewrite.RefusedLabels, "it has no metric name", pairs("__name__", ""), 1000},
		{"no labels", remotewrite.RefusedLabels, "series {}: it has no metric name", nil, 1000},
		{"twice", remotewrite.RefusedLabels, `label "a" is there twice`, pairs("__name__", "x", "a", "1", "a", "2"), 1000},
		{"nameless label", remotewrite.RefusedLabels, "a label has no name", pairs("__name__", "x", "", "v"), 1000},
		{"not UTF-8", remotewrite.RefusedLabels, `label "a" is not UTF-8`, pairs("__name__", "x", "a", "\xff"), 1000},
		{"long", remotewrite.RefusedLabels, "its labels have 2010 bytes, at most 1024 are taken", pairs("__name__", "x", "a", strings.Repeat("v", 2000)), 1000},
		{"many", remotewrite.RefusedLabels, "it has more than 256 labels", pairs(many...), 1000},
		{"old", remotewrite.RefusedOld, "a sample at 99 ms is before the retention", pairs("__name__", "x"), 99},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req := &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{ok, {Labels: tt.labels, Samples: []prompb.Sample{{Value: 2, Timestamp: tt.at}}}, ok}}
			msgs := map[remotewrite.Version][]byte{remotewrite.V1: encode1(t, req), remotewrite.V2: encode2(t, req)}
			for v, msg := range msgs {
				res, err := remotewrite.Decode(v, msg, limits)
				if err != nil {
					t.Fatal(err)
				}
				if res.Samples != 2 || len(res.Batch.Series) != 2 || res.Refused[tt.reason] != 1 || res.RefusedTotal() != 1 || !strings.Contains(res.Problem, tt.problem) {
					t.Errorf("version %d: %d samples, refused %v: %s", v, res.Samples, res.Refused, res.Problem)
				}
			}
		})
	}
}

func TestVersion2References(t *testing.T) {
	one := []writev2.Sample{{Value: 1, Timestamp: 1000}}
	for _, tt := range []struct {
		name, problem string
		req           writev2.Request
		err           error
	}{
		{"odd", "a label reference has no partner", writev2.Request{Symbols: []string{"", "__name__", "x"}, Timeseries: []writev2.TimeSeries{{LabelsRefs: []uint32{1, 2, 1}, Samples: one}}}, nil},
		{"beyond", "it refers to symbol 7 of 3", writev2.Request{Symbols: []string{"", "__name__", "x"}, Timeseries: []writev2.TimeSeries{{LabelsRefs: []uint32{1, 7}, Samples: one}}}, nil},
		{"metadata beyond", "metadata of a series: it refers to an unknown symbol", writev2.Request{Symbols: []string{"", "__name__", "x"}, Timeseries: []writev2.TimeSeries{{LabelsRefs: []uint32{1, 2}, Samples: one, Metadata: writev2.Metadata{HelpRef: 9}}}}, nil},
		{"first symbol", "", writev2.Request{Symbols: []string{"a"}}, remotewrite.ErrMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			msg, err := tt.req.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			res, err := remotewrite.Decode(remotewrite.V2, msg, limits)
			if !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) || !strings.Contains(res.Problem, tt.problem) || (tt.err == nil && res.RefusedTotal() != 1) {
				t.Errorf("%+v, %v", res, err)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	var req prompb.WriteRequest
	for range 10 {
		req.Timeseries = append(req.Timeseries, prompb.TimeSeries{Labels: pairs("__name__", "x", "a", "b"), Samples: []prompb.Sample{{Timestamp: 1000}, {Timestamp: 2000}}})
	}
	for _, tt := range []struct {
		name, want string
		change     func(*remotewrite.Options)
	}{
		{"series", "more than 9 series", func(o *remotewrite.Options) { o.Series = 9 }},
		{"samples", "more than 19 samples", func(o *remotewrite.Options) { o.Samples = 19 }},
		{"memory", "more than 500 bytes of memory", func(o *remotewrite.Options) { o.Memory = 500 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := limits
			tt.change(&o)
			for v, msg := range map[remotewrite.Version][]byte{remotewrite.V1: encode1(t, &req), remotewrite.V2: encode2(t, &req)} {
				if _, err := remotewrite.Decode(v, msg, o); !errors.Is(err, remotewrite.ErrLimit) || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("version %d: %v", v, err)
				}
			}
		})
	}
	if _, err := remotewrite.Decode(remotewrite.V1, encode1(t, &req), limits); err != nil {
		t.Errorf("within the limits: %v", err)
	}
}

// classic is a result's histogram by le, and its sum and count.
func classic(t *testing.T, b delta.Batch) map[string]float64 {
	t.Helper()
	out := map[string]float64{}
	for _, s := range b.Series {
		key := ""
		for _, l := range s.Labels {
			switch l.Name {
			case "__name__":
				key += l.Value
			case "le":
				key += "/" + l.Value
			}
		}
		if len(s.Samples) != 1 || s.Meta.Type != delta.Histogram {
			t.Errorf("series %s: %+v", key, s)
		}
		out[key] = s.Samples[0].Value
	}
	return out
}

func TestNativeHistogramsBecomeClassic(t *testing.T) {
	for _, tt := range []struct {
		name string
		h    prompb.Histogram
		want map[string]float64
	}{
		{
			"schema 0, both signs", prompb.FromIntHistogram(1000, &histogram.Histogram{
				Schema: 0, Count: 14, Sum: 18.5, ZeroCount: 2, ZeroThreshold: 0.001,
				PositiveSpans: []histogram.Span{{Offset: 0, Length: 2}, {Offset: 1, Length: 1}}, PositiveBuckets: []int64{1, 2, -1}, // 1 to 1, 3 to 2, 2 to 8
				NegativeSpans: []histogram.Span{{Offset: 1, Length: 2}}, NegativeBuckets: []int64{2, 2}, // 2 in [-2,-1), 4 in [-4,-2)
			}),
			map[string]float64{"h_sum": 18.5, "h_count": 14, "h_bucket/-2": 4, "h_bucket/-1": 6, "h_bucket/0.001": 8, "h_bucket/1": 9, "h_bucket/2": 12, "h_bucket/8": 14, "h_bucket/+Inf": 14},
		},
		{
			"schema 1 is merged", prompb.FromFloatHistogram(1000, &histogram.FloatHistogram{
				Schema: 1, Count: 10, Sum: 20,
				PositiveSpans: []histogram.Span{{Offset: 1, Length: 4}}, PositiveBuckets: []float64{1, 2, 3, 4}, // (1,1.41] (1.41,2] (2,2.83] (2.83,4]
			}),
			map[string]float64{"h_sum": 20, "h_count": 10, "h_bucket/2": 3, "h_bucket/4": 10, "h_bucket/+Inf": 10},
		},
		{
			"custom bounds are kept", prompb.FromIntHistogram(1000, &histogram.Histogram{
				Schema: histogram.CustomBucketsSchema, Count: 6, Sum: 9, CustomValues: []float64{0.1, 0.5},
				PositiveSpans: []histogram.Span{{Offset: 0, Length: 3}}, PositiveBuckets: []int64{1, 1, 1},
			}),
			map[string]float64{"h_sum": 9, "h_count": 6, "h_bucket/0.1": 1, "h_bucket/0.5": 3, "h_bucket/+Inf": 6},
		},
		{
			"stale", prompb.FromIntHistogram(1000, &histogram.Histogram{Sum: math.Float64frombits(value.StaleNaN)}),
			map[string]float64{"h_sum": math.Float64frombits(value.StaleNaN), "h_count": math.Float64frombits(value.StaleNaN), "h_bucket/+Inf": math.Float64frombits(value.StaleNaN)},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req := &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{{Labels: pairs("__name__", "h", "job", "j"), Histograms: []prompb.Histogram{tt.h}}}}
			for v, msg := range map[remotewrite.Version][]byte{remotewrite.V1: encode1(t, req), remotewrite.V2: encode2(t, req)} {
				res, err := remotewrite.Decode(v, msg, limits)
				if err != nil || res.Histograms != 1 || res.RefusedTotal() != 0 {
					t.Fatalf("version %d: %+v, %v", v, res, err)
				}
				bits := cmp.Comparer(func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) })
				if d := cmp.Diff(tt.want, classic(t, res.Batch), bits); d != "" {
					t.Errorf("version %d (-want +got):\n%s", v, d)
				}
			}
		})
	}
}

func TestBrokenHistogramsAreRefused(t *testing.T) {
	for name, h := range map[string]prompb.Histogram{
		"schema":          {Schema: 9, Timestamp: 1000},
		"too few buckets": {Timestamp: 1000, PositiveSpans: []prompb.BucketSpan{{Length: 1 << 31}}, PositiveDeltas: []int64{1}},
		"too many":        {Timestamp: 1000, PositiveSpans: []prompb.BucketSpan{{Length: 1}}, PositiveDeltas: []int64{1, 1}},
		"negative count":  {Timestamp: 1000, PositiveSpans: []prompb.BucketSpan{{Length: 1}}, PositiveDeltas: []int64{-1}},
		"bounds fall":     {Timestamp: 1000, Schema: -53, CustomValues: []float64{2, 1}},
		"old":             {Timestamp: 1},
	} {
		t.Run(name, func(t *testing.T) {
			req := &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{{Labels: pairs("__name__", "h"), Histograms: []prompb.Histogram{h}}}}
			res, err := remotewrite.Decode(remotewrite.V1, encode1(t, req), limits)
			if err != nil || res.RefusedTotal() != 1 || res.Histograms != 0 || len(res.Batch.Series) != 0 {
				t.Errorf("%+v, %v", res, err)
			}
		})
	}
}

// FuzzDecode: whatever arrives, a decoder that returns a batch returns one within
// the limits that can be journalled.
func FuzzDecode(f *testing.F) {
	req := &prompb.WriteRequest{
		Timeseries: []prompb.TimeSeries{{Labels: pairs("__name__", "up", "job", "a"), Samples: []prompb.Sample{{Value: 1, Timestamp: 1000}}, Histograms: []prompb.Histogram{prompb.FromIntHistogram(1000, &histogram.Histogram{
			Count: 1, PositiveSpans: []histogram.Span{{Length: 1}}, PositiveBuckets: []int64{1},
		})}}},
		Metadata: []prompb.MetricMetadata{{Type: prompb.MetricMetadata_COUNTER, MetricFamilyName: "a"}},
	}
	f.Add(false, encode1(f, req))
	f.Add(true, encode2(f, req))
	f.Add(false, []byte{0x0a})
	f.Add(true, binary.AppendUvarint([]byte{0x22}, math.MaxUint64))
	f.Fuzz(func(t *testing.T, two bool, msg []byte) {
		v := remotewrite.V1
		if two {
			v = remotewrite.V2
		}
		res, err := remotewrite.Decode(v, msg, limits)
		if err != nil {
			if !errors.Is(err, remotewrite.ErrMalformed) && !errors.Is(err, remotewrite.ErrLimit) {
				t.Fatalf("error of no kind: %v", err)
			}
			return
		}
		if len(res.Batch.Series) > limits.Series || res.Batch.Samples() > limits.Samples {
			t.Fatalf("%d series, %d samples", len(res.Batch.Series), res.Batch.Samples())
		}
		if _, err := delta.Encode(nil, res.Batch); err != nil {
			t.Fatalf("the batch cannot be journalled: %v", err)
		}
	})
}

// What Prometheus's own decoder reads is what this one reads.
func TestAgreesWithPrometheus(t *testing.T) {
	b := labels.NewScratchBuilder(0)
	rapid.Check(t, func(t *rapid.T) {
		var req prompb.WriteRequest
		for range rapid.IntRange(0, 5).Draw(t, "series") {
			ts := prompb.TimeSeries{Labels: pairs("__name__", rapid.StringMatching("[a-z]{1,9}").Draw(t, "name"), "l", rapid.StringMatching("[a-zé]{1,9}").Draw(t, "value"))}
			for range rapid.IntRange(1, 5).Draw(t, "samples") {
				ts.Samples = append(ts.Samples, prompb.Sample{Value: rapid.Float64().Draw(t, "v"), Timestamp: rapid.Int64Range(100, math.MaxInt64).Draw(t, "t")})
			}
			req.Timeseries = append(req.Timeseries, ts)
		}
		msg, err := req.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		var theirs prompb.WriteRequest
		if err := theirs.Unmarshal(msg); err != nil {
			t.Fatal(err)
		}
		res, err := remotewrite.Decode(remotewrite.V1, msg, limits)
		if err != nil || len(res.Batch.Series) != len(theirs.Timeseries) {
			t.Fatalf("%d series, %v", len(res.Batch.Series), err)
		}
		for i, ts := range theirs.Timeseries {
			got := res.Batch.Series[i]
			ts.ToLabels(&b, nil).Range(func(l labels.Label) {
				if got.Labels[0] != (delta.Label{Name: l.Name, Value: l.Value}) {
					t.Fatalf("label %v, want %v", got.Labels[0], l)
				}
				got.Labels = got.Labels[1:]
			})
			for j, s := range ts.Samples {
				if got.Samples[j].Time != s.Timestamp || math.Float64bits(got.Samples[j].Value) != math.Float64bits(s.Value) {
					t.Fatalf("sample %+v, want %+v", got.Samples[j], s)
				}
			}
		}
	})
}
