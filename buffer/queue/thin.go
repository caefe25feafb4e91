package queue

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"ghostlight/buffer/delta"
)

// staleBits are the value that Prometheus writes when a series ends.
const staleBits = 0x7ff0000000000002

func stale(v float64) bool { return math.Float64bits(v) == staleBits }

// thin leaves of each series what matters in every step of so many milliseconds: of
// one that only grows its last value, and both values where it began anew, so that
// every increase is still there; of any other the least, the greatest and the last.
// Each keeps its own time. Stale markers and records stay.
func thin(b delta.Batch, step int64) delta.Batch {
	out := delta.Batch{Records: b.Records, Series: slices.Clone(b.Series)}
	for i := range out.Series {
		s := &out.Series[i]
		s.Samples = thinSamples(s.Samples, step, grows(s))
	}
	out.Histograms = lastOfSteps(b.Histograms, step, func(h *delta.NativeHistogram) (int, int64) { return h.Series, h.Time })
	out.Exemplars = lastOfSteps(b.Exemplars, step, func(x *delta.Exemplar) (int, int64) { return x.Series, x.Time })
	return out
}

// grows reports whether the values of a series only ever grow, but for beginning
// anew.
func grows(s *delta.Series) bool {
	switch s.Meta.Type {
	case delta.Counter, delta.Histogram:
		return true
	case delta.Summary:
		name := ""
		for _, l := range s.Labels {
			if l.Name == "__name__" {
				name = l.Value
			}
		}
		return strings.HasSuffix(name, "_count") || strings.HasSuffix(name, "_sum")
	}
	return false
}

// stepOf is the step that a time falls into.
func stepOf(t, step int64) int64 {
	n := t / step
	if t%step < 0 {
		n--
	}
	return n
}

func thinSamples(samples []delta.Sample, step int64, grows bool) []delta.Sample {
	byTime := func(a, b delta.Sample) int { return cmp.Compare(a.Time, b.Time) }
	if !slices.IsSortedFunc(samples, byTime) {
		samples = slices.Clone(samples)
		slices.SortStableFunc(samples, byTime)
	}
	out := make([]delta.Sample, 0, len(samples)/2+1)
	for first := 0; first < len(samples); {
		end := first + 1
		for end < len(samples) && stepOf(samples[end].Time, step) == stepOf(samples[first].Time, step) {
			end++
		}
		keep := telling(samples[first:end])
		for i := first; i < end; i++ {
			fell := i > 0 && samples[i].Value < samples[i-1].Value || i+1 < len(samples) && samples[i+1].Value < samples[i].Value
			if keep.has(i-first, grows) || stale(samples[i].Value) || grows && fell {
				out = append(out, samples[i])
			}
		}
		first = end
	}
	return out
}

// extremes are the places of the samples of one step that tell most.
type extremes struct{ least, greatest, last int }

func (e extremes) has(i int, grows bool) bool {
	return i == e.last || !grows && (i == e.least || i == e.greatest)
}

func telling(samples []delta.Sample) extremes {
	e := extremes{-1, -1, -1}
	for i, s := range samples {
		if stale(s.Value) {
			continue
		}
		e.last = i
		if math.IsNaN(s.Value) {
			continue
		}
		if e.least < 0 || s.Value < samples[e.least].Value {
			e.least = i
		}
		if e.greatest < 0 || s.Value > samples[e.greatest].Value {
			e.greatest = i
		}
	}
	return e
}

// lastOfSteps keeps the last of each series in each step, in the order given.
func lastOfSteps[T any](list []T, step int64, of func(*T) (series int, time int64)) []T {
	type place struct {
		series int
		step   int64
	}
	last := map[place]int{}
	for i := range list {
		series, t := of(&list[i])
		p := place{series, stepOf(t, step)}
		if before, ok := last[p]; ok {
			if _, latest := of(&list[before]); latest > t {
				continue
			}
		}
		last[p] = i
	}
	var out []T
	for i := range list {
		series, t := of(&list[i])
		if last[place{series, stepOf(t, step)}] == i {
			out = append(out, list[i])
		}
	}
	return out
}

// sample keeps every n-th record.
func sample(b delta.Batch, n int) delta.Batch {
	var kept []delta.Record
	for i := 0; i < len(b.Records); i += n {
		kept = append(kept, b.Records[i])
	}
	b.Records = kept
	return b
}
