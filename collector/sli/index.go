package sli

import (
	"cmp"
	"hash/fnv"
	"hash/maphash"
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/value"

	"ghostlight/buffer/delta"
	"ghostlight/slo"
)

// mostVerdicts is how many series are remembered at least, and half of the most.
const mostVerdicts = 10_000

// index finds the objectives that a series counts for. A selector looks at a series
// once; later the verdict is remembered by the series' identity. The series of which
// no selector has the name, nearly all, cost a look at their name.
type index struct {
	names      map[string][]asked // by metric
	seed       maphash.Seed
	young, old map[uint64]*verdict
}

// asked is one selector of an objective.
type asked struct {
	meter *meter
	part  part
	takes func(metric string, label func(string) string) bool
}

// part says in which of an objective's sums a series is.
type part uint8

const (
	inTotal part = 1 << iota
	inPart       // the good ones, or the bad ones, whichever the objective names
)

// verdict is what the selectors say of one series.
type verdict struct {
	key    string // the series, as a source remembers it
	target string // job and instance: what was read together
	takers []taker
}

type taker struct {
	meter *meter
	part  part
}

// point is one sample that counts for an objective.
type point struct {
	key   string
	part  part
	at    int64 // Unix milliseconds
	value float64
}

func newIndex() *index {
	return &index{names: map[string][]asked{}, seed: maphash.MakeSeed(), young: map[uint64]*verdict{}, old: map[uint64]*verdict{}}
}

// add makes the index know a selector.
func (x *index) add(m *meter, p part, s slo.Selector) error {
	takes, err := s.Compile()
	if err != nil {
		return err
	}
	x.names[s.Metric] = append(x.names[s.Metric], asked{meter: m, part: p, takes: takes})
	return nil
}

// verdict returns what the selectors say of a series, nil for nothing.
func (x *index) verdict(labels []delta.Label) *verdict {
	name := labelOf(labels, "__name__")
	selectors := x.names[name]
	if len(selectors) == 0 {
		return nil
	}
	id := delta.HashLabels(x.seed, labels)
	if v, ok := x.young[id]; ok {
		return v
	}
	v, ok := x.old[id]
	if !ok {
		v = judge(selectors, name, labels)
	}
	if len(x.young) >= mostVerdicts {
		x.old, x.young = x.young, map[uint64]*verdict{}
	}
	x.young[id] = v
	return v
}

func judge(selectors []asked, name string, labels []delta.Label) *verdict {
	var v verdict
	for _, s := range selectors {
		if !s.takes(name, func(label string) string { return labelOf(labels, label) }) {
			continue
		}
		i := slices.IndexFunc(v.takers, func(t taker) bool { return t.meter == s.meter })
		if i < 0 {
			i, v.takers = len(v.takers), append(v.takers, taker{meter: s.meter})
		}
		v.takers[i].part |= s.part
	}
	if len(v.takers) == 0 {
		return nil
	}
	v.key, v.target = keyOf(labels), targetOf(labels)
	return &v
}

// keyBytes is the length of a series' key.
const keyBytes = 16

// keyOf tells series apart for good: it is stored with their last reading.
func keyOf(labels []delta.Label) string {
	h := fnv.New128a()
	for _, l := range labels {
		h.Write([]byte(l.Name))  //nolint:errcheck // a hash takes everything
		h.Write([]byte{0xff})    //nolint:errcheck
		h.Write([]byte(l.Value)) //nolint:errcheck
		h.Write([]byte{0xff})    //nolint:errcheck
	}
	return string(h.Sum(nil))
}

func targetOf(labels []delta.Label) string {
	return labelOf(labels, "job") + "\xff" + labelOf(labels, "instance")
}

func labelOf(labels []delta.Label, name string) string {
	for _, l := range labels {
		if l.Name == name {
			return l.Value
		}
	}
	return ""
}

// reading is what one batch holds for one meter of one target.
type reading struct {
	meter  *meter
	target string
	points []point
}

// read counts what a batch holds for the objectives and returns the meters that have
// something to store. After an error nothing of the meters returned may count. The
// caller holds mu.
func (b *Book) read(series []delta.Series) ([]*meter, error) {
	if len(b.index.names) == 0 {
		return nil, nil
	}
	b.checkClock(b.o.Now())
	var touched []*meter
	for _, r := range b.sort(series) {
		s, ok := r.meter.source.(seriesReader)
		if !ok || len(r.points) == 0 {
			continue
		}
		if !slices.Contains(touched, r.meter) {
			touched = append(touched, r.meter)
		}
		for len(r.points) > 0 { // those of one moment belong together
			n := slices.IndexFunc(r.points, func(p point) bool { return p.at != r.points[0].at })
			if n < 0 {
				n = len(r.points)
			}
			reason, err := s.take(r.meter.tally, r.target, r.points[0].at, r.points[:n])
			if err != nil {
				return touched, err
			}
			if reason != "" {
				b.refuse(r.meter.tally.Objective().Name, reason)
			}
			r.points = r.points[n:]
		}
	}
	return touched, nil
}

// sort finds the samples of a batch that count, by meter and target and in order of
// time, and tells the meters of targets that could not be read.
func (b *Book) sort(series []delta.Series) []*reading {
	var out []*reading
	for _, s := range series {
		if labelOf(s.Labels, "__name__") == "up" {
			b.fail(s)
		}
		v := b.index.verdict(s.Labels)
		if v == nil {
			continue
		}
		for _, t := range v.takers {
			i := slices.IndexFunc(out, func(r *reading) bool { return r.meter == t.meter && r.target == v.target })
			if i < 0 {
				i, out = len(out), append(out, &reading{meter: t.meter, target: v.target})
			}
			for _, smp := range s.Samples {
				if math.Float64bits(smp.Value) != value.StaleNaN { // a series that ended has no value
					out[i].points = append(out[i].points, point{key: v.key, part: t.part, at: smp.Time, value: smp.Value})
				}
			}
		}
	}
	for _, r := range out {
		slices.SortStableFunc(r.points, func(a, b point) int { return cmp.Compare(a.at, b.at) })
	}
	return out
}

// fail tells the meters that a target could not be read.
func (b *Book) fail(up delta.Series) {
	for _, smp := range up.Samples {
		if smp.Value == 1 {
			continue
		}
		for _, m := range b.meters {
			if s, ok := m.source.(seriesReader); ok {
				s.failed(targetOf(up.Labels), smp.Time)
			}
		}
	}
}
