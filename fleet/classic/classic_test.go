package classic

import (
	"math"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/value"
	"pgregory.net/rapid"

	"ghostlight/buffer/delta"
)

func TestNativeHistogramsBecomeClassicOnes(t *testing.T) {
	stale := math.Float64frombits(value.StaleNaN)
	type counts map[string]float64 // of buckets, by bound, and of count and sum
	for _, tt := range []struct {
		name string
		h    delta.NativeHistogram
		want counts
	}{
		{
			"merged down to powers of two",
			delta.NativeHistogram{ // quarters: bucket i ends at 2^(i/4)
				Schema: 2, Count: 12, Sum: 30, ZeroCount: 2, ZeroThreshold: 0.25,
				Positive: delta.Buckets{Spans: []delta.Span{{Offset: 1, Length: 4}, {Offset: 3, Length: 1}}, Counts: []float64{1, 2, 0, 1, 3}},
				Negative: delta.Buckets{Spans: []delta.Span{{Offset: 2, Length: 1}}, Counts: []float64{3}},
			},
			counts{"-1": 3, "0.25": 5, "2": 9, "4": 12, "+Inf": 12, "count": 12, "sum": 30},
		},
		{
			"kept where buckets are wider",
			delta.NativeHistogram{
				Schema: -1, Count: 3, Sum: 9,
				Positive: delta.Buckets{Spans: []delta.Span{{Offset: 0, Length: 2}}, Counts: []float64{1, 2}},
			},
			counts{"1": 1, "4": 3, "+Inf": 3, "count": 3, "sum": 9},
		},
		{
			"custom bounds",
			delta.NativeHistogram{
				Schema: schemaCustom, Count: 6, Sum: 7, Bounds: []float64{0.5, 5},
				Positive: delta.Buckets{Spans: []delta.Span{{Length: 3}}, Counts: []float64{1, 2, 3}},
			},
			counts{"0.5": 1, "5": 3, "+Inf": 6, "count": 6, "sum": 7},
		},
		{
			"unknown schema",
			delta.NativeHistogram{Schema: 99, Count: 2, Sum: 3, Positive: delta.Buckets{Spans: []delta.Span{{Length: 1}}, Counts: []float64{2}}},
			counts{"+Inf": 2, "count": 2, "sum": 3},
		},
		{
			"spans that do not fit",
			delta.NativeHistogram{Count: 2, Sum: 3, Positive: delta.Buckets{Spans: []delta.Span{{Length: 9}}, Counts: []float64{2}}},
			counts{"+Inf": 2, "count": 2, "sum": 3},
		},
		{"stale", delta.NativeHistogram{Sum: stale}, counts{"+Inf": stale, "count": stale, "sum": stale}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.h.Time = 5
			got := counts{}
			for _, s := range Series(&delta.Batch{Series: []delta.Series{{Labels: []delta.Label{{Name: "__name__", Value: "h"}, {Name: "x", Value: "y"}}}}, Histograms: []delta.NativeHistogram{tt.h}}) {
				key := s.Labels[0].Value[len("h_"):]
				if key == "bucket" {
					key = s.Labels[1].Value
				}
				if len(s.Samples) != 1 || s.Samples[0].Time != 5 || s.Labels[len(s.Labels)-1].Value != "y" {
					t.Errorf("%+v", s)
				}
				got[key] = s.Samples[0].Value
			}
			same := cmp.Comparer(func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) })
			if diff := cmp.Diff(tt.want, got, same); diff != "" {
				t.Errorf("series (-want +got):\n%s", diff)
			}
		})
	}
}

// Merging keeps counts: the last bucket holds what was observed, and counts never
// fall.
func TestMergingKeepsCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := delta.NativeHistogram{Schema: rapid.Int8Range(schemaLeast, schemaMost).Draw(t, "schema"), ZeroCount: float64(rapid.IntRange(0, 9).Draw(t, "zero"))}
		h.Count = h.ZeroCount
		for _, side := range []*delta.Buckets{&h.Positive, &h.Negative} {
			for range rapid.IntRange(0, 3).Draw(t, "spans") {
				n := rapid.Uint32Range(0, 5).Draw(t, "length")
				side.Spans = append(side.Spans, delta.Span{Offset: rapid.Int32Range(0, 20).Draw(t, "offset"), Length: n})
				for range n {
					count := float64(rapid.IntRange(0, 9).Draw(t, "count"))
					side.Counts, h.Count = append(side.Counts, count), h.Count+count
				}
			}
		}
		if _, err := Buckets(&h); err != nil {
			t.Fatal(err)
		}
		last, bound := 0.0, math.Inf(-1)
		for _, s := range Series(&delta.Batch{Series: []delta.Series{{Labels: []delta.Label{{Name: "__name__", Value: "h"}}}}, Histograms: []delta.NativeHistogram{h}}) {
			if s.Labels[0].Value != "h_bucket" {
				continue
			}
			le, err := strconv.ParseFloat(s.Labels[1].Value, 64)
			if err != nil || !(le > bound) || s.Samples[0].Value < last {
				t.Fatalf("bucket %v (%v) holds %g, the one before, %g, %g", s.Labels[1], err, s.Samples[0].Value, bound, last)
			}
			last, bound = s.Samples[0].Value, le
		}
		if last != h.Count || !math.IsInf(bound, 1) {
			t.Fatalf("the last bucket, %g, holds %g of %g", bound, last, h.Count)
		}
	})
}

func TestBucketsThatMakeNoSense(t *testing.T) {
	one := delta.Buckets{Spans: []delta.Span{{Length: 1}}, Counts: []float64{1}}
	for _, tt := range []struct {
		want string
		h    delta.NativeHistogram
	}{
		{"schema 9 is unknown", delta.NativeHistogram{Schema: 9}},
		{"custom bounds allow no negative buckets", delta.NativeHistogram{Schema: schemaCustom, Negative: one}},
		{"custom bounds must rise", delta.NativeHistogram{Schema: schemaCustom, Bounds: []float64{2, 1}}},
		{"its spans name more buckets than it has", delta.NativeHistogram{Positive: delta.Buckets{Spans: []delta.Span{{Length: 1 << 31}}, Counts: []float64{1}}}},
		{"its spans name fewer buckets than it has", delta.NativeHistogram{Negative: delta.Buckets{Spans: []delta.Span{{Length: 1}}, Counts: []float64{1, 1}}}},
		{"a bucket has fewer than no observations", delta.NativeHistogram{Positive: delta.Buckets{Spans: []delta.Span{{Length: 1}}, Counts: []float64{-1}}}},
		{"a bucket has fewer than no observations", delta.NativeHistogram{ZeroCount: math.NaN()}},
	} {
		if buckets, err := Buckets(&tt.h); err == nil || err.Error() != tt.want || buckets != nil {
			t.Errorf("%v, %v, want %q", buckets, err, tt.want)
		}
	}
}
