package flatten

import (
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"pgregory.net/rapid"

	"ghostlight/buffer/delta"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// Each file of testdata holds an OTLP request as JSON and the series that it
// becomes.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			arc, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			md, err := (&pmetric.JSONUnmarshaler{}).UnmarshalMetrics(arc.Files[0].Data)
			if err != nil {
				t.Fatal(err)
			}
			got := describe(Metrics(md, Options{Job: "host", Instance: "soho-1", Now: 5000}))
			if *update {
				arc.Files[1].Data = []byte(got)
				if err := os.WriteFile(file, txtar.Format(arc), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(string(arc.Files[1].Data), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// describe writes one line for each series, and one for each reason of dropping.
func describe(r Result) string {
	var lines []string
	for _, s := range r.Batch.Series {
		var labels []string
		name := ""
		for _, l := range s.Labels {
			if l.Name == "__name__" {
				name = l.Value
				continue
			}
			labels = append(labels, fmt.Sprintf("%s=%q", l.Name, l.Value))
		}
		v := fmt.Sprint(s.Samples[0].Value)
		if math.Float64bits(s.Samples[0].Value) == staleNaN {
			v = "stale"
		}
		lines = append(lines, fmt.Sprintf("%s{%s} %s@%d type=%d unit=%q help=%q", name, strings.Join(labels, ","), v, s.Samples[0].Time, s.Meta.Type, s.Meta.Unit, s.Meta.Help))
	}
	slices.Sort(lines)
	for reason, n := range r.Dropped {
		lines = append(lines, fmt.Sprintf("dropped %d: %s", n, reason))
	}
	return strings.Join(lines, "\n") + "\n"
}

// Flattening an exponential histogram keeps its counts: the last finite bucket
// holds all of them, unless one lies beyond the largest double, and cumulative
// counts never fall.
func TestExponentialKeepsCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		md := pmetric.NewMetrics()
		m := md.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
		m.SetName("x")
		h := m.SetEmptyExponentialHistogram()
		h.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
		dp := h.DataPoints().AppendEmpty()
		dp.SetScale(rapid.Int32Range(-4, 20).Draw(t, "scale"))
		dp.SetZeroCount(rapid.Uint64Range(0, 5).Draw(t, "zero"))
		limit := 20 << max(dp.Scale(), 0) // stays within 2^20
		total := dp.ZeroCount()
		for _, side := range []pmetric.ExponentialHistogramDataPointBuckets{dp.Positive(), dp.Negative()} {
			counts := rapid.SliceOfN(rapid.Uint64Range(0, 9), 0, 40).Draw(t, "counts")
			side.SetOffset(rapid.Int32Range(-20, int32(min(limit, 1<<20))).Draw(t, "offset"))
			side.BucketCounts().FromRaw(counts)
			for _, n := range counts {
				total += n
			}
		}
		dp.SetCount(total)
		last, finite := -1.0, 0.0
		lastLE := math.Inf(-1)
		for _, s := range Metrics(md, Options{Now: 1}).Batch.Series {
			le := ""
			for _, l := range s.Labels {
				if l.Name == "le" {
					le = l.Value
				}
			}
			if le == "" {
				continue
			}
			var bound float64
			if _, err := fmt.Sscan(le, &bound); err != nil && le != "+Inf" {
				t.Fatalf("le %q", le)
			}
			if le == "+Inf" {
				bound = math.Inf(1)
			}
			v := s.Samples[0].Value
			if v < last || bound <= lastLE {
				t.Fatalf("bucket le=%s has %v after %v", le, v, last)
			}
			if le != "+Inf" {
				finite = v
			}
			last, lastLE = v, bound
		}
		if last != float64(total) {
			t.Fatalf("le=+Inf has %v of %d", last, total)
		}
		if dp.Scale() >= 0 && finite != float64(total) {
			t.Fatalf("the finite buckets hold %v of %d", finite, total)
		}
	})
}

func TestPointsWithoutTimeAndTooLongLabels(t *testing.T) {
	md := pmetric.NewMetrics()
	sm := md.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty()
	a := sm.Metrics().AppendEmpty()
	a.SetName("a")
	a.SetEmptyGauge().DataPoints().AppendEmpty().SetIntValue(3)
	b := sm.Metrics().AppendEmpty()
	b.SetName("b")
	b.SetEmptyGauge().DataPoints().AppendEmpty().Attributes().PutStr("x", strings.Repeat("y", maxLabels))
	c := sm.Metrics().AppendEmpty()
	c.SetName("___")
	c.SetEmptyGauge().DataPoints().AppendEmpty()
	got := Metrics(md, Options{Now: 42})
	want := Result{
		Batch: delta.Batch{Series: []delta.Series{{
			Labels: []delta.Label{{Name: "__name__", Value: "a"}}, Meta: delta.Meta{Type: delta.Gauge}, Samples: []delta.Sample{{Time: 42, Value: 3}},
		}}},
		Dropped: map[string]int{DroppedLabels: 1, DroppedName: 1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
