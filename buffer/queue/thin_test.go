package queue

import (
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ghostlight/buffer/delta"
)

func samplesAt(step int64, values ...float64) (out []delta.Sample) {
	for i, v := range values {
		out = append(out, delta.Sample{Time: int64(i) * step, Value: v})
	}
	return out
}

func TestThinKeepsWhatTells(t *testing.T) {
	gone := math.Float64frombits(staleBits)
	at := func(times ...int64) []int64 { return times }
	for _, tc := range []struct {
		name string
		kind delta.Type
		as   string
		in   []delta.Sample
		want []int64 // times of what is left of steps of 60
	}{
		{"a counter's last value of each step", delta.Counter, "m", samplesAt(15, 1, 2, 3, 4, 5, 6, 7, 8, 9), at(45, 105, 120)},
		{"and both values where it began anew", delta.Counter, "m", samplesAt(15, 1, 9, 2, 3, 8, 1, 2, 3), at(15, 30, 45, 60, 75, 105)},
		{"a bucket like a counter", delta.Histogram, "m_bucket", samplesAt(15, 1, 1, 1, 1, 2), at(45, 60)},
		{"the count of a summary like a counter", delta.Summary, "m_count", samplesAt(15, 1, 2, 3, 4), at(45)},
		{"a quantile of a summary like a gauge", delta.Summary, "m", samplesAt(15, 2, 1, 3, 2), at(15, 30, 45)},
		{"a gauge's least, greatest and last", delta.Gauge, "m", samplesAt(10, 5, 7, 6, 3, 4, 5, 1), at(10, 30, 50, 60)},
		{"one value may be all three", delta.Gauge, "m", samplesAt(15, 2, 2, 2, 2), at(0, 45)},
		{"stale markers, and the value before", delta.Counter, "m", samplesAt(15, 1, 2, gone, 3, 4, gone, gone, gone), at(30, 45, 60, 75, 90, 105)},
		{"NaN is no extreme", delta.Gauge, "m", samplesAt(15, math.NaN(), 4, 1, math.NaN()), at(15, 30, 45)},
		{"any order", delta.Counter, "m", []delta.Sample{{Time: 50, Value: 5}, {Time: 10, Value: 1}, {Time: 70, Value: 7}, {Time: 30, Value: 3}}, at(50, 70)},
		{"times before 1970", delta.Counter, "m", []delta.Sample{{Time: -50, Value: 1}, {Time: -10, Value: 2}, {Time: 10, Value: 3}}, at(-10, 10)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := delta.Series{Meta: delta.Meta{Type: tc.kind}, Labels: []delta.Label{{Name: "__name__", Value: tc.as}}, Samples: tc.in}
			var got []int64
			for _, s := range thin(delta.Batch{Series: []delta.Series{s}}, 60).Series[0].Samples {
				got = append(got, s.Time)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("times left (-want +got):\n%s", d)
			}
		})
	}
}

func TestThinKeepsRecordsAndTheLastOfEachStep(t *testing.T) {
	b := delta.Batch{
		Series:     []delta.Series{{Samples: samplesAt(1, 1)}, {Samples: samplesAt(1, 1)}},
		Records:    []delta.Record{{Key: "a"}, {Key: "b"}},
		Histograms: []delta.NativeHistogram{{Series: 0, Time: 1}, {Series: 1, Time: 2}, {Series: 0, Time: 59}, {Series: 0, Time: 30}, {Series: 0, Time: 61}},
		Exemplars:  []delta.Exemplar{{Series: 1, Time: 5}, {Series: 1, Time: 4}},
	}
	want := delta.Batch{
		Series: b.Series, Records: b.Records,
		Histograms: []delta.NativeHistogram{{Series: 1, Time: 2}, {Series: 0, Time: 59}, {Series: 0, Time: 61}},
		Exemplars:  []delta.Exemplar{{Series: 1, Time: 5}},
	}
	if d := cmp.Diff(want, thin(b, 60)); d != "" {
		t.Errorf("thinned (-want +got):\n%s", d)
	}
}

// Whatever the values: what is left was there; the increase of a counter, resets
// counted, and the extremes of a gauge are the same; thinning again changes nothing.
func TestThinLosesNeitherIncreaseNorExtremes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Float64Range(0, 9), 1, 40).Draw(t, "values")
		step := rapid.SampledFrom([]int64{15, 60, 300}).Draw(t, "step")
		in := samplesAt(15, values...)
		for _, grows := range []bool{true, false} {
			out := thinSamples(in, step, grows)
			if again := thinSamples(out, step, grows); !cmp.Equal(out, again) {
				t.Fatalf("thinned again: %v, was %v", again, out)
			}
			for _, s := range out {
				if in[s.Time/15] != s {
					t.Fatalf("sample %v was not there", s)
				}
			}
			if out[len(out)-1] != in[len(in)-1] {
				t.Fatalf("last is %v, was %v", out[len(out)-1], in[len(in)-1])
			}
			if want, got := figures(in, grows, out[0].Time), figures(out, grows, 0); math.Abs(want-got) > 1e-9 {
				t.Fatalf("grows %v: %v of %v, was %v of %v", grows, got, out, want, in)
			}
		}
	})
}

// figures is the increase of a counter since a time, or the sum of the extremes of
// anything else.
func figures(s []delta.Sample, grows bool, since int64) (sum float64) {
	if !grows {
		values := make([]float64, len(s))
		for i := range s {
			values[i] = s[i].Value
		}
		return slices.Min(values) + 16*slices.Max(values)
	}
	for i := 1; i < len(s); i++ {
		if s[i].Time <= since {
			continue
		}
		if sum += s[i].Value; s[i].Value >= s[i-1].Value {
			sum -= s[i-1].Value
		}
	}
	return sum
}

func TestSampleKeepsEveryNth(t *testing.T) {
	var b delta.Batch
	for i := range 17 {
		b.Records = append(b.Records, delta.Record{Time: int64(i)})
	}
	var got []int64
	for _, r := range sample(b, 8).Records {
		got = append(got, r.Time)
	}
	if d := cmp.Diff([]int64{0, 8, 16}, got); d != "" {
		t.Errorf("records left (-want +got):\n%s", d)
	}
}
