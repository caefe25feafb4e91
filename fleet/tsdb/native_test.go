package tsdb

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ghostlight/buffer/delta"
)

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
