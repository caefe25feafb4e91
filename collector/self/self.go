// Package self turns what the agent knows about itself into Prometheus series, in
// the same form as everything it scrapes.
package self

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"strings"

	"ghostlight/buffer/delta"
)

// Job is the label job of the agent's own series.
const Job = "ghostlight-agent"

// A Gatherer collects the agent's series of one moment.
type Gatherer struct {
	at       int64
	instance string
	batch    delta.Batch
}

// NewGatherer starts a collection at a time in Unix milliseconds.
func NewGatherer(at int64, instance string) *Gatherer {
	return &Gatherer{at: at, instance: instance}
}

// Counter adds a value that only rises. labels are names and values in turn.
func (g *Gatherer) Counter(name, help string, v float64, labels ...string) {
	g.add(name, delta.Meta{Type: delta.Counter, Help: help}, v, labels)
}

// Gauge adds a value that goes up and down.
func (g *Gatherer) Gauge(name, help string, v float64, labels ...string) {
	g.add(name, delta.Meta{Type: delta.Gauge, Help: help}, v, labels)
}

// Histogram adds a histogram in seconds: counts holds, for each bound and then
// for everything above, the observations that fell there.
func (g *Gatherer) Histogram(name, help string, bounds []string, counts []int64, sum float64, labels ...string) {
	meta := delta.Meta{Type: delta.Histogram, Unit: "seconds", Help: help}
	var below int64
	for i, n := range counts {
		below += n
		le := "+Inf"
		if i < len(bounds) {
			le = bounds[i]
		}
		g.add(name+"_bucket", meta, float64(below), append(slices.Clone(labels), "le", le))
	}
	g.add(name+"_sum", meta, sum, labels)
	g.add(name+"_count", meta, float64(below), labels)
}

// Sorted visits a map by its keys: series that come in the same order every time
// are coded in fewer bytes.
func Sorted[K cmp.Ordered, V any](m map[K]V) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if !yield(k, m[k]) {
				return
			}
		}
	}
}

// Batch is what was collected.
func (g *Gatherer) Batch() delta.Batch { return g.batch }

func (g *Gatherer) add(name string, meta delta.Meta, v float64, labels []string) {
	ls := make([]delta.Label, 0, 3+len(labels)/2)
	ls = append(ls, delta.Label{Name: "__name__", Value: name}, delta.Label{Name: "instance", Value: g.instance}, delta.Label{Name: "job", Value: Job})
	for i := 0; i+1 < len(labels); i += 2 {
		ls = append(ls, delta.Label{Name: labels[i], Value: labels[i+1]})
	}
	slices.SortFunc(ls, func(a, b delta.Label) int { return strings.Compare(a.Name, b.Name) })
	if meta.Unit == "" && strings.HasSuffix(name, "_seconds") {
		meta.Unit = "seconds"
	}
	g.batch.Series = append(g.batch.Series, delta.Series{Labels: ls, Meta: meta, Samples: []delta.Sample{{Time: g.at, Value: v}}})
}
