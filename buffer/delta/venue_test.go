package delta_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"

	"ghostlight/buffer/delta"
)

// A venue generates scrapes of a node that the codec was not tuned on: other
// series in other proportions than the published data set, from a seed.
type venue struct {
	rng    *rand.Rand
	at     int64
	labels [][]delta.Label
	meta   []delta.Meta
	next   []func() float64
}

func newVenue(seed uint64) *venue {
	v := &venue{rng: rand.New(rand.NewPCG(seed, 99)), at: 1_790_000_000_000}
	v.counters()
	v.gauges()
	v.histograms()
	return v
}

func (v *venue) add(t delta.Type, next func() float64, name string, pairs ...string) {
	l := []delta.Label{{Name: "__name__", Value: name}, {Name: "instance", Value: "van-3:9464"}, {Name: "job", Value: "stage"}}
	for i := 0; i < len(pairs); i += 2 {
		l = append(l, delta.Label{Name: pairs[i], Value: pairs[i+1]})
	}
	v.labels, v.meta, v.next = append(v.labels, l), append(v.meta, delta.Meta{Type: t, Help: "Of " + name}), append(v.next, next)
}

// counters of three sorts: events that come now and then, bytes, and constants.
func (v *venue) counters() {
	for i := range 90 {
		rate, n := math.Exp(v.rng.NormFloat64()*2-1), float64(v.rng.IntN(1_000_000))
		v.add(delta.Counter, func() float64 { n += math.Floor(rate * v.rng.ExpFloat64()); return n }, "stage_events_total", "path", fmt.Sprint("/p/", i))
	}
	for i := range 30 {
		n := float64(v.rng.IntN(1 << 40))
		v.add(delta.Counter, func() float64 { n += 512 * math.Floor(math.Abs(v.rng.NormFloat64())*4000); return n }, "stage_disk_bytes_total", "unit", strconv.Itoa(i))
	}
	for i := range 250 {
		n := float64(v.rng.IntN(3) * v.rng.IntN(100_000))
		v.add(delta.Gauge, func() float64 { return n }, fmt.Sprint("stage_setting_", i/10), "zpart", strconv.Itoa(i%10))
	}
}

// gauges drift and are rounded to some decimals, or are noise with all digits.
func (v *venue) gauges() {
	for i := range 60 {
		x, p := v.rng.Float64()*100, math.Pow10(i%4)
		v.add(delta.Gauge, func() float64 { x += v.rng.NormFloat64() / 2; return math.Round(x*p) / p }, "stage_level", "mic", strconv.Itoa(i))
	}
	for i := range 8 {
		v.add(delta.Gauge, func() float64 { return float64(v.rng.IntN(40_000_000)) / 1e9 }, "stage_probe_seconds", "probe", strconv.Itoa(i))
	}
	for i := range 4 {
		v.add(delta.Gauge, func() float64 { return v.rng.NormFloat64() }, "stage_phase", "speaker", strconv.Itoa(i))
	}
}

// histograms of a few observations a scrape, as Prometheus clients count them.
func (v *venue) histograms() {
	bounds := []float64{0.001, 0.004, 0.016, 0.064, 0.256, 1, 4, math.Inf(1)}
	for i := range 20 {
		counts, sum, rate := make([]float64, len(bounds)), 0.0, v.rng.Float64()*3
		observe := func() float64 {
			for range int(rate * v.rng.ExpFloat64()) {
				x := float64(int(math.Exp(v.rng.NormFloat64())*2e7)) / 1e9
				sum += x
				for b := range bounds {
					if x <= bounds[b] {
						counts[b]++
					}
				}
			}
			return counts[0]
		}
		scene := fmt.Sprint("scene-", i)
		for b := range bounds {
			value := func() float64 { return counts[b] }
			if b == 0 {
				value = observe
			}
			v.add(delta.Histogram, value, "stage_cue_seconds_bucket", "le", strconv.FormatFloat(bounds[b], 'g', -1, 64), "scene", scene)
		}
		v.add(delta.Histogram, func() float64 { return sum }, "stage_cue_seconds_sum", "scene", scene)
		v.add(delta.Histogram, func() float64 { return counts[len(counts)-1] }, "stage_cue_seconds_count", "scene", scene)
	}
}

// scrape is the next one, 15 s and some jitter later.
func (v *venue) scrape() delta.Batch {
	v.at += 15_000 + int64(v.rng.NormFloat64()*4)
	b := delta.Batch{Series: make([]delta.Series, len(v.next))}
	for i := range v.next {
		b.Series[i] = delta.Series{Labels: v.labels[i], Meta: v.meta[i], Samples: []delta.Sample{{Time: v.at, Value: v.next[i]()}}}
	}
	return b
}
