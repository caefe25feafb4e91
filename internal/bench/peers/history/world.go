package main

import (
	"fmt"
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
)

// A world is the events of all nodes: pure in seed, objective, node and minute, so
// that each series can be told by itself.
type world struct {
	objectives []string
	nodes      int
	seed       uint64
	counters   [][][2]int64 // up to the block at hand, by objective and node: bad, total
}

func newWorld(objectives []string, nodes int, seed uint64) *world {
	w := &world{objectives: objectives, nodes: nodes, seed: seed, counters: make([][][2]int64, len(objectives))}
	for i := range w.counters {
		w.counters[i] = make([][2]int64, nodes)
	}
	return w
}

// events are those of one minute: up to 59, of which now and then one is bad.
func (w *world) events(objective, node int, minute int64) (bad, total int64) {
	// Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators".
	x := w.seed + uint64(minute)*0x9e3779b97f4a7c15 + uint64(objective*w.nodes+node)*0xd1342543de82ef95
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	x ^= x >> 31
	if total = int64(x >> 32 % 60); total > 0 && x%64 == 0 {
		bad = 1
	}
	return bad, total
}

// What the counters are called; each is told apart by its label slo.
const (
	badMetric   = "slo_bad_total"
	totalMetric = "slo_events_total"
)

// A series is one column of the store.
type series struct {
	labels          labels.Labels
	objective, node int
	value           func(w *world, s *series, minutes span, yield func(seconds int64, v float64))
}

// series are all of them, by labels.
func (w *world) series() (out []series) {
	for o, name := range w.objectives {
		for n := range w.nodes {
			at := func(pairs ...string) labels.Labels {
				return labels.FromStrings(append(pairs, "region", fmt.Sprintf("region-%d", n/2%5), "venue", fmt.Sprintf("venue-%04d", n/2), "node", fmt.Sprintf("edge-%d", n%2+1))...)
			}
			out = append(out,
				series{at(labels.MetricName, badMetric, "slo", name), o, n, counter(0)},
				series{at(labels.MetricName, totalMetric, "slo", name), o, n, counter(1)},
				series{at(labels.MetricName, "slo:sli_error:ratio_rate5m", "sloth_id", name, "sloth_service", "venue", "sloth_slo", name, "sloth_window", "5m"), o, n, ratio})
		}
	}
	slices.SortFunc(out, func(a, b series) int { return labels.Compare(a.labels, b.labels) })
	return out
}

// counter is the growing sum of bad (0) or all (1) events.
func counter(which int) func(*world, *series, span, func(int64, float64)) {
	return func(w *world, s *series, sp span, yield func(int64, float64)) {
		sum := w.counters[s.objective][s.node][which]
		for t := sp.from; t < sp.to; t += step {
			bad, total := w.events(s.objective, s.node, t/step)
			if which == 0 {
				sum += bad
			} else {
				sum += total
			}
			yield(t, float64(sum))
		}
	}
}

// ratio is the share of bad events of the last five minutes, where there were any.
func ratio(w *world, s *series, sp span, yield func(int64, float64)) {
	var last [5][2]int64
	for t := sp.from - 4*step; t < sp.to; t += step {
		m := t / step
		last[m%5][0], last[m%5][1] = w.events(s.objective, s.node, m)
		var bad, total int64
		for _, l := range last {
			bad, total = bad+l[0], total+l[1]
		}
		if v := float64(bad) / float64(total); t >= sp.from && !math.IsNaN(v) {
			yield(t, v)
		}
	}
}

// page is what a scrape shows between two blocks.
func (w *world) page() (out []reading) {
	for _, s := range w.series() {
		switch name := s.labels.Get(labels.MetricName); name {
		case badMetric:
			out = append(out, reading{written(s.labels), w.counters[s.objective][s.node][0]})
		case totalMetric:
			out = append(out, reading{written(s.labels), w.counters[s.objective][s.node][1]})
		}
	}
	return out
}

// written is a series as Prometheus' text format has it.
func written(l labels.Labels) string {
	return l.Get(labels.MetricName) + labels.NewBuilder(l).Del(labels.MetricName).Labels().String()
}

// pass moves the counters to the end of a block.
func (w *world) pass(sp span) {
	for o := range w.objectives {
		for n := range w.nodes {
			c := &w.counters[o][n]
			for t := sp.from; t < sp.to; t += step {
				bad, total := w.events(o, n, t/step)
				c[0], c[1] = c[0]+bad, c[1]+total
			}
		}
	}
}
