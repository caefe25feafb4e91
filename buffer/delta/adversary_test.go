package delta_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
)

// adversaries are values that models are made to mispredict: series i at time k.
func adversaries() map[string]func(i, k int) float64 {
	rng := rand.New(rand.NewPCG(3, 5))
	noise := func() float64 { return math.Float64frombits(rng.Uint64()) }
	return map[string]func(i, k int) float64{
		"noise":             func(int, int) float64 { return noise() },
		"not a number":      func(i, k int) float64 { return math.Float64frombits(0x7ff8000000000000 | uint64(i)<<20 | uint64(k)) },
		"signalling":        func(i, k int) float64 { return math.Float64frombits(0xfff0000000000001 + uint64(k*i)) },
		"alternating signs": func(i, k int) float64 { return float64(i+1) * float64(1-2*(k&1)) },
		"zeros of all sort": func(i, k int) float64 { return math.Copysign(0, float64((i+k)%3-1)) },
		"denormals":         func(i, k int) float64 { return math.Float64frombits(uint64(i*k) | uint64(k&1)<<63) },
		"huge":              func(i, k int) float64 { return math.MaxFloat64 / float64(1+(i+k)%5) * float64(1-2*(k&1)) },
		"edge of integers":  func(i, k int) float64 { return float64(1<<53) + float64((i*k)%9-4) },
		"edge of decimals":  func(i, k int) float64 { return float64(1<<53-k*k-i) / 1e15 },
		"infinities":        func(i, k int) float64 { return math.Inf((i+k)%3 - 1) },
		"stale in turn":     func(i, k int) float64 { return []float64{float64(k), math.Float64frombits(staleBits)}[(i+k)&1] },
		"units in turn": func(i, k int) float64 {
			return []float64{float64(k), float64(k) / 1000, math.Sqrt(float64(k)), 4096 * float64(k)}[k%4]
		},
		"sums that fall":    func(i, k int) float64 { return 1e6 - float64(k*7919)/1e9*float64(i) },
		"sums after odd":    func(i, k int) float64 { return []float64{0.1 + float64(k)/1e9, math.Inf(1), 0.3 - float64(k)/1e9}[k%3] },
		"jumps of all size": func(i, k int) float64 { return float64(int64(1)<<(k*13%62)) * float64(1-2*(i&1)) },
	}
}

// hostile is scrapes from..from+n of one adversary; timestamps repeat, go back and
// jump as well.
func hostile(value func(i, k int) float64, from, n int) delta.Batch {
	var b delta.Batch
	for i := range 20 {
		s := delta.Series{Labels: []delta.Label{{Name: "__name__", Value: "h_bucket"}, {Name: "le", Value: fmt.Sprint(i)}}}
		for k := from; k < from+n; k++ {
			at := int64(k) * 1000
			if i > 15 {
				at = []int64{at, at, math.MaxInt64, math.MinInt64, -at}[k%5]
			}
			s.Samples = append(s.Samples, delta.Sample{Time: at, Value: value(i, k)})
		}
		b.Series = append(b.Series, s)
	}
	return b
}

// However a series behaves, every bit of it comes back: on a stream, as a backlog
// between fresh frames, and at rest.
func TestAdversaries(t *testing.T) {
	codec := newCodec(t, delta.DefaultLimits())
	for name, value := range adversaries() {
		t.Run(name, func(t *testing.T) {
			enc, dec, dict := delta.NewEncoder(codec), delta.NewDecoder(codec), delta.NewDict(codec, 1)
			bytes, samples := 0, 0
			for k := range 40 {
				at, want := stamp(1000+k), hostile(value, 1000+k, 1+k%3)
				if k%3 == 2 {
					at = delta.Stamp{Lane: buffer.Detail, Session: 7, First: buffer.Seq(900 - 10*k), Seq: buffer.Seq(909 - 10*k)}
					want = hostile(value, 900-10*k, 10)
				}
				frame, err := enc.Encode(nil, at, want)
				if err != nil {
					t.Fatal(err)
				}
				_, got, err := dec.Decode(frame)
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(want, got, sameBits()); d != "" {
					t.Fatalf("frame %d (-want +got):\n%s", k, d)
				}
				payload, _, err := dict.Encode(nil, want)
				if err != nil {
					t.Fatal(err)
				}
				if got, err = dict.Decode(payload); err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(want, got, sameBits()); d != "" {
					t.Fatalf("block %d (-want +got):\n%s", k, d)
				}
				bytes, samples = bytes+len(frame)+len(payload), samples+2*want.Samples()
			}
			if per := float64(bytes) / float64(samples); per > 12 {
				t.Errorf("%.1f bytes a sample, want at most 12: eight for a value, the rest for wild timestamps", per)
			}
		})
	}
}

// Series that are others in every frame cost their names, and nothing is mixed up.
func TestChurn(t *testing.T) {
	codec := newCodec(t, delta.DefaultLimits())
	enc, dec := delta.NewEncoder(codec), delta.NewDecoder(codec)
	rng := rand.New(rand.NewPCG(1, 2))
	for k := range 60 {
		all := wander(k, 1+k%4, 64)
		var want delta.Batch
		for i, s := range all.Series {
			if i%5 == k%5 {
				s.Labels = []delta.Label{s.Labels[0], {Name: "pod", Value: fmt.Sprint(k, i)}}
			}
			if rng.IntN(3) > 0 {
				want.Series = append(want.Series, s)
			}
		}
		rng.Shuffle(len(want.Series), func(i, j int) { want.Series[i], want.Series[j] = want.Series[j], want.Series[i] })
		frame, err := enc.Encode(nil, stamp(k+1), want)
		if err != nil {
			t.Fatal(err)
		}
		_, got, err := dec.Decode(frame)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got, sameBits()); d != "" {
			t.Fatalf("frame %d (-want +got):\n%s", k, d)
		}
	}
}
