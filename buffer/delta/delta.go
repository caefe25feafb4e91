// Package delta codes telemetry into blocks and frames of a stream and back,
// lossless to the bit: NaN payloads and stale markers included. It does no I/O and
// asks no clock, and nothing in it depends on the machine. FORMAT.md describes what
// it writes.
package delta

import "hash/maphash"

// A Batch is what one block carries: samples of series, and records of
// everything that is not a metric. Histograms and Exemplars belong to its series.
type Batch struct {
	Series     []Series
	Records    []Record
	Histograms []NativeHistogram
	Exemplars  []Exemplar
}

// A Series is one Prometheus series with its samples in this batch.
type Series struct {
	Labels  []Label // sorted by name, unique, with __name__
	Meta    Meta
	Samples []Sample // as produced: any order, duplicates kept
}

// Meta is what a metric family says of itself.
type Meta struct {
	Type Type
	Unit string
	Help string
}

// Type is a Prometheus metric type.
type Type uint8

// The metric types. Their numbers are part of the format.
const (
	Unknown   Type = 0
	Counter   Type = 1
	Gauge     Type = 2
	Histogram Type = 3
	Summary   Type = 4
	Info      Type = 5
	StateSet  Type = 6
)

// A Label is one name and value of a series.
type Label struct{ Name, Value string }

// HashLabels tells series apart within one process, by their labels in their order.
func HashLabels(seed maphash.Seed, labels []Label) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	for _, l := range labels {
		h.WriteString(l.Name)  //nolint:errcheck // a hash takes everything
		h.WriteByte(0xff)      //nolint:errcheck
		h.WriteString(l.Value) //nolint:errcheck
		h.WriteByte(0xff)      //nolint:errcheck
	}
	return h.Sum64()
}

// A Sample is a value at a time in Unix milliseconds.
type Sample struct {
	Time  int64
	Value float64
}

// A Record is a fact that is not a metric; its body is encoded by the room that
// owns the kind.
type Record struct {
	Kind string // dotted, such as "slo.bucket"
	Key  string // unique within kind and node: a repeat is the same fact
	Time int64  // Unix milliseconds
	Body []byte
}

// Samples counts the samples of all series; a histogram is one.
func (b Batch) Samples() int {
	n := len(b.Histograms)
	for i := range b.Series {
		n += len(b.Series[i].Samples)
	}
	return n
}

// Empty reports whether the batch carries nothing.
func (b Batch) Empty() bool { return !b.hasExtras() && b.Samples() == 0 }

// TimeRange returns the earliest and latest time of samples, records and all
// else, Unix milliseconds; 0, 0 for an empty batch.
func (b Batch) TimeRange() (lo, hi int64) {
	first := true
	note := func(t int64) {
		if first {
			lo, hi, first = t, t, false
			return
		}
		lo, hi = min(lo, t), max(hi, t)
	}
	for _, s := range b.Series {
		for _, smp := range s.Samples {
			note(smp.Time)
		}
	}
	for i := range b.Histograms {
		note(b.Histograms[i].Time)
	}
	for i := range b.Exemplars {
		note(b.Exemplars[i].Time)
	}
	for _, r := range b.Records {
		note(r.Time)
	}
	return lo, hi
}
