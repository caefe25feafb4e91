package tsdb

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/value"

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
			for _, s := range classic(&delta.Batch{Series: []delta.Series{{Labels: labels("__name__", "h", "x", "y")}}, Histograms: []delta.NativeHistogram{tt.h}}) {
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

func TestNativeHistogramsAreStored(t *testing.T) {
	now := time.Now()
	h := delta.NativeHistogram{Time: now.UnixMilli(), Count: 3, Sum: 4, Positive: delta.Buckets{Spans: []delta.Span{{Length: 1}}, Counts: []float64{3}}}
	res, err := db.Insert(t.Context(), soho, 0, delta.Batch{Series: []delta.Series{{Labels: labels("__name__", "native")}}, Histograms: []delta.NativeHistogram{h}})
	if err != nil || res[0].Stored != 4 {
		t.Fatalf("%+v (%v), want 4 rows: sum, count and two buckets", res, err)
	}
	if err := db.Flush(); err != nil {
		t.Fatal(err)
	}
	found, err := db.Query(t.Context(), `native_bucket{le="1"}`, now)
	if err != nil || len(found) != 1 || found[0].Value != 3 {
		t.Errorf("%+v (%v), want 3 observations up to 1", found, err)
	}
}

// Batches of the same names are stored as if they came one after the other, and
// each has a result of its own.
func TestBatchesAreInsertedTogether(t *testing.T) {
	now := time.Now()
	at := func(d time.Duration, v float64) []delta.Sample {
		return []delta.Sample{{Time: now.Add(d).UnixMilli(), Value: v}}
	}
	series := func(a, b []delta.Sample) delta.Batch {
		return delta.Batch{Series: []delta.Series{{Labels: labels("__name__", "together", "n", "a"), Samples: a}, {Labels: labels("__name__", "together", "n", "b"), Samples: b}}}
	}
	batches := []delta.Batch{
		series(at(-time.Minute, 1), at(-time.Minute, 2)),
		series(at(0, 3), at(72*time.Hour, 4)),
		series(nil, at(0, math.NaN())),
	}
	hash := delta.NamesHash(batches[0].Series)
	for range 2 { // the second time the names are at hand
		res, err := db.Insert(t.Context(), soho, hash, batches...)
		if err != nil {
			t.Fatal(err)
		}
		want := []Result{{Stored: 2}, {Stored: 1, TooNew: delta.Batch{Series: batches[1].Series[1:]}}, {NaN: 1}}
		if diff := cmp.Diff(want, res); diff != "" {
			t.Errorf("results (-want +got):\n%s", diff)
		}
	}
	if err := db.Flush(); err != nil {
		t.Fatal(err)
	}
	found, err := db.Query(t.Context(), `sum by (n) (sum_over_time(together[10m]))`, now)
	if err != nil || len(found) != 2 || found[0].Value+found[1].Value != 6 {
		t.Errorf("%+v (%v), want 1+3 and 2", found, err)
	}
	if _, err := db.Insert(t.Context(), soho, 0, batches...); err == nil {
		t.Error("batches of names that nobody knows were taken together")
	}
	if _, err := db.Insert(t.Context(), soho, hash, batches[0], delta.Batch{}); err == nil {
		t.Error("batches of other names were taken together")
	}
}
