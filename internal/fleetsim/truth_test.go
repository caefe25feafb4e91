package fleetsim

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
)

// A tally counts one lane of one node.
type tally struct {
	Blocks  int64 // sequences
	Samples int64
	Records int64
	Values  float64 // all samples that are numbers, added up: exact, for they are small eighths
}

// A minute is what a node sold in one.
type minute struct{ Good, Total, Amount int64 }

// Books are what is known of one node: by the oracle as its disk commits, by the
// centre as its disk does.
type books struct {
	Lanes   map[buffer.Lane]tally
	Minutes map[int64]minute // by Unix minute
}

func newBooks() *books {
	return &books{Lanes: map[buffer.Lane]tally{}, Minutes: map[int64]minute{}}
}

// add enters a batch that stands for some sequences.
func (b *books) add(lane buffer.Lane, sequences buffer.Seq, batch delta.Batch) {
	t := b.Lanes[lane]
	t.Blocks += int64(sequences)
	t.Samples += int64(batch.Samples())
	t.Records += int64(len(batch.Records))
	for i := range batch.Series {
		for _, s := range batch.Series[i].Samples {
			if !math.IsNaN(s.Value) {
				t.Values += s.Value
			}
		}
	}
	b.Lanes[lane] = t
	for _, r := range batch.Records {
		m := b.Minutes[r.Time/60_000]
		m.Total++
		if r.Body[0] == 1 {
			m.Good++
			m.Amount += int64(binary.LittleEndian.Uint32(r.Body[1:]))
		}
		b.Minutes[r.Time/60_000] = m
	}
}

// A venue is what there is to see at a node. It goes on while the node is down.
type venue struct {
	rng      *rand.Rand
	node     string
	outcomes int64
	sold     float64
	packets  [3]float64
	battery  float64
	labels   map[string][]delta.Label
}

func newVenue(rng *rand.Rand, number int) *venue {
	return &venue{rng: rng, node: "node-" + strconv.Itoa(number), battery: 100, labels: map[string][]delta.Label{}}
}

// series is one of one sample now.
func (v *venue) series(name, part string, kind delta.Type, now time.Time, value float64) delta.Series {
	key := name + part
	if v.labels[key] == nil {
		v.labels[key] = []delta.Label{{Name: "__name__", Value: name}, {Name: "node", Value: v.node}, {Name: "part", Value: part}}
	}
	return delta.Series{Labels: v.labels[key], Meta: delta.Meta{Type: kind}, Samples: []delta.Sample{{Time: now.UnixMilli(), Value: value}}}
}

// scrape is what is to be seen now, of each lane that has something.
func (v *venue) scrape(now time.Time) map[buffer.Lane]delta.Batch {
	out := map[buffer.Lane]delta.Batch{buffer.Revenue: v.revenue(now)}
	v.battery -= float64(v.rng.IntN(3)) / 8
	out[buffer.Health] = delta.Batch{Series: []delta.Series{
		v.series("up", "all", delta.Gauge, now, 1),
		v.series("battery_percent", "all", delta.Gauge, now, v.battery),
	}}
	var detail delta.Batch
	for i := range v.packets {
		v.packets[i] += float64(v.rng.IntN(1000))
		detail.Series = append(detail.Series, v.series("packets_total", strconv.Itoa(i), delta.Counter, now, v.packets[i]))
	}
	if v.rng.IntN(10) == 0 {
		detail.Series = append(detail.Series, v.series("stream_fps", "gone", delta.Gauge, now, math.Float64frombits(staleMarker)))
	}
	out[buffer.Detail] = detail
	return out
}

// staleMarker is the bits of the NaN that ends a Prometheus series.
const staleMarker = 0x7ff0000000000002

// revenue is what was sold since the last scrape; some of it is late.
func (v *venue) revenue(now time.Time) (b delta.Batch) {
	for range v.rng.IntN(4) {
		v.outcomes++
		amount := uint32(v.rng.IntN(10_000))
		body := binary.LittleEndian.AppendUint32([]byte{byte(min(v.rng.IntN(10), 1))}, amount)
		if body[0] == 1 {
			v.sold += float64(amount)
		}
		b.Records = append(b.Records, delta.Record{
			Kind: "outcome", Key: fmt.Sprintf("%s/%d", v.node, v.outcomes),
			Time: now.Add(-time.Duration(v.rng.IntN(90)) * time.Second).UnixMilli(), Body: body,
		})
	}
	b.Series = []delta.Series{v.series("sold_cents_total", "all", delta.Counter, now, v.sold)}
	return b
}
