package delta_test

import (
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"ghostlight/buffer/delta"
)

// Where one label ends and the next begins is part of what is hashed.
func TestHashLabelsTellsSeriesApart(t *testing.T) {
	seed := maphash.MakeSeed()
	lists := [][]delta.Label{
		nil,
		{{Name: "a", Value: "b"}},
		{{Name: "ab"}},
		{{Name: "", Value: "ab"}},
		{{Name: "b", Value: "a"}},
		{{Name: "a", Value: "b"}, {Name: "c", Value: "d"}},
		{{Name: "c", Value: "d"}, {Name: "a", Value: "b"}},
	}
	seen := map[uint64]int{}
	for n, labels := range lists {
		h := delta.HashLabels(seed, labels)
		if first, ok := seen[h]; ok || h != delta.HashLabels(seed, slices.Clone(labels)) {
			t.Errorf("list %d has the hash of list %d, or none that stays", n, first)
		}
		seen[h] = n
	}
}

// sameBits compares batches to the bit; nil and empty are the same.
func sameBits() cmp.Options {
	return cmp.Options{
		cmpopts.EquateEmpty(),
		cmp.Comparer(func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }),
	}
}

const staleBits = 0x7ff0000000000002

// specials are values that careless code does not bring back.
func specials() []float64 {
	return []float64{
		0, math.Copysign(0, -1), 1, -1, 0.1, -0.1, 0.3, 100, 1e15, 1e16, -1e22, 1e300, 123456.789, 1.0 / 3, math.Pi,
		math.Inf(1), math.Inf(-1), math.MaxFloat64, math.SmallestNonzeroFloat64,
		math.Float64frombits(staleBits), math.Float64frombits(0x7ff8000000000001), math.Float64frombits(0xfff8000000000000), math.Float64frombits(0x7ff0000000000001),
		1 << 53, 1<<53 + 2, -(1 << 53), 9007199254740991, 0.1 + 0.2, 1e-15, 5e-16, 1.000000000000001, 2.5e-5,
	}
}

func drawValue(t *rapid.T) float64 {
	switch rapid.IntRange(0, 3).Draw(t, "sort of value") {
	case 0:
		return rapid.SampledFrom(specials()).Draw(t, "special")
	case 1:
		return math.Float64frombits(rapid.Uint64().Draw(t, "bits"))
	case 2:
		return float64(rapid.Int32().Draw(t, "integer"))
	default:
		return float64(rapid.Int32().Draw(t, "digits")) / math.Pow10(rapid.IntRange(0, 9).Draw(t, "scale"))
	}
}

func drawString(t *rapid.T, what string) string {
	return rapid.OneOf(
		rapid.SampledFrom([]string{"", "a", "ab", "abc", "abd", "\x00", "\x01", "\x00\x01\x02", "a\x00", "日本"}),
		rapid.StringN(0, 12, 40),
	).Draw(t, what)
}

func drawSeries(t *rapid.T, times []int64) delta.Series {
	labels := map[string]string{"__name__": "m" + drawString(t, "name")}
	for range rapid.IntRange(0, 4).Draw(t, "labels") {
		name := rapid.SampledFrom([]string{"A", "job", "le", "instance", "z\x00", "__meta"}).Draw(t, "label")
		labels[name] = drawString(t, "value")
	}
	var s delta.Series
	for name, value := range labels {
		s.Labels = append(s.Labels, delta.Label{Name: name, Value: value})
	}
	slices.SortFunc(s.Labels, func(a, b delta.Label) int { return strings.Compare(a.Name, b.Name) })
	s.Meta = delta.Meta{
		Type: delta.Type(rapid.IntRange(0, 6).Draw(t, "type")),
		Unit: rapid.SampledFrom([]string{"", "seconds", "bytes"}).Draw(t, "unit"),
		Help: drawString(t, "help"),
	}
	if rapid.Bool().Draw(t, "own times") {
		times = rapid.SliceOfN(rapid.Int64(), 0, 6).Draw(t, "times")
	}
	constant, same := drawValue(t), rapid.Bool().Draw(t, "constant")
	for _, at := range times {
		v := constant
		if !same {
			v = drawValue(t)
		}
		s.Samples = append(s.Samples, delta.Sample{Time: at, Value: v})
	}
	return s
}

func drawBatch(t *rapid.T) delta.Batch {
	var b delta.Batch
	// Few distinct times: duplicates and steps back are likely.
	times := rapid.SliceOfN(rapid.Int64Range(0, 3), 0, 5).Draw(t, "shared times")
	for range rapid.IntRange(0, 12).Draw(t, "series") {
		b.Series = append(b.Series, drawSeries(t, times))
	}
	for range rapid.IntRange(0, 4).Draw(t, "records") {
		b.Records = append(b.Records, delta.Record{
			Kind: drawString(t, "kind"), Key: drawString(t, "key"), Time: rapid.Int64().Draw(t, "time"),
			Body: rapid.SliceOfN(rapid.Byte(), 0, 30).Draw(t, "body"),
		})
	}
	return b
}

func TestDecodeBringsBackEveryBit(t *testing.T) {
	codec, err := delta.NewCodec(delta.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		want := drawBatch(t)
		payload, err := codec.Encode([]byte("before"), want)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(payload), "before") {
			t.Fatal("what was in dst is gone")
		}
		got, err := codec.Decode(payload[len("before"):])
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got, sameBits()); d != "" {
			t.Fatalf("decoded batch (-want +got):\n%s", d)
		}
	})
}

// scrapes are n scrapes of a plausible node: counters, gauges with decimals,
// histograms, and sums with all their digits.
func scrapes(n int) delta.Batch {
	var b delta.Batch
	at := func(i int) int64 { return 1_780_000_000_000 + int64(i)*15_000 + int64(i%3) }
	add := func(meta delta.Meta, labels []delta.Label, value func(i int) float64) {
		s := delta.Series{Labels: labels, Meta: meta}
		for i := range n {
			s.Samples = append(s.Samples, delta.Sample{Time: at(i), Value: value(i)})
		}
		b.Series = append(b.Series, s)
	}
	label := func(name string, pairs ...string) []delta.Label {
		l := []delta.Label{{Name: "__name__", Value: name}, {Name: "instance", Value: "edge-1:9100"}, {Name: "job", Value: "node"}}
		for i := 0; i < len(pairs); i += 2 {
			l = append(l, delta.Label{Name: pairs[i], Value: pairs[i+1]})
		}
		return l
	}
	for cpu := range 8 {
		for m, mode := range []string{"idle", "iowait", "nice", "system", "user"} {
			add(delta.Meta{Type: delta.Counter, Unit: "seconds", Help: "Seconds the CPUs spent in each mode."},
				label("node_cpu_seconds_total", "kcpu", fmt.Sprint(cpu), "mode", mode),
				func(i int) float64 { return float64(1234567*(m+1)+cpu*7919+i*(150+m)) / 100 })
		}
	}
	for route := range 20 {
		for bucket := range 12 {
			add(delta.Meta{Type: delta.Histogram, Help: "Time to answer."}, label("edge_request_seconds_bucket", "le", fmt.Sprint(0.005*math.Pow(2, float64(bucket))), "route", fmt.Sprintf("/r/%d", route)),
				func(i int) float64 { return float64(route*100 + bucket*13 + i*bucket) })
		}
		add(delta.Meta{Type: delta.Histogram, Help: "Time to answer."}, label("edge_request_seconds_sum", "route", fmt.Sprintf("/r/%d", route)),
			func(i int) float64 { return math.Sqrt(float64(route*1000+i)) * 1.1 })
	}
	for i := range 400 {
		add(delta.Meta{Type: delta.Gauge}, label(fmt.Sprintf("node_subsystem%d_value_%d", i/40, i%40)), func(k int) float64 { return float64((i*37+k)%1000) / 10 })
	}
	return b
}

// Sizes are held loosely: they are to catch a column that fell out of its coding,
// not to be a benchmark.
func TestBlocksAreSmall(t *testing.T) {
	for _, tc := range []struct {
		scrapes int
		most    float64 // bytes for a sample
	}{{1, 3.5}, {12, 0.6}} {
		b := scrapes(tc.scrapes)
		payload, err := delta.Encode(nil, b)
		if err != nil {
			t.Fatal(err)
		}
		if per := float64(len(payload)) / float64(b.Samples()); per > tc.most {
			t.Errorf("%d scrapes: %.2f bytes a sample, want at most %.2f", tc.scrapes, per, tc.most)
		}
	}
}

func TestEncodeRefusesWhatIsNotASeries(t *testing.T) {
	label := func(pairs ...string) delta.Batch {
		var s delta.Series
		for i := 0; i < len(pairs); i += 2 {
			s.Labels = append(s.Labels, delta.Label{Name: pairs[i], Value: pairs[i+1]})
		}
		return delta.Batch{Series: []delta.Series{s}}
	}
	for name, b := range map[string]delta.Batch{
		"no labels":     label(),
		"no name":       label("job", "a"),
		"empty name":    label("__name__", ""),
		"not sorted":    label("__name__", "m", "b", "1", "a", "2"),
		"not unique":    label("__name__", "m", "a", "1", "a", "2"),
		"unnamed label": label("", "x", "__name__", "m"),
	} {
		dst := []byte("kept")
		got, err := delta.Encode(dst, b)
		if !errors.Is(err, delta.ErrInvalid) || string(got) != "kept" {
			t.Errorf("%s: error %v, returned %q", name, err, got)
		}
	}
}

// What the encoder refuses under a limit the decoder refuses as well, and what
// fits exactly passes both.
func TestLimitsHoldBothDirections(t *testing.T) {
	b := scrapes(3)
	b.Records = []delta.Record{{Kind: "k", Key: "1"}}
	labelBytes := 0
	for _, s := range b.Series {
		n := 0
		for _, l := range s.Labels {
			n += len(l.Name) + len(l.Value)
		}
		labelBytes = max(labelBytes, n)
	}
	payload, err := delta.Encode(nil, b)
	if err != nil {
		t.Fatal(err)
	}
	exact := delta.Limits{Bytes: smallestBytes(t, b), Series: len(b.Series), Samples: b.Samples(), LabelBytes: labelBytes}
	for _, tc := range []struct {
		name   string
		change func(*delta.Limits)
		want   error
	}{
		{"exact", func(*delta.Limits) {}, nil},
		{"bytes", func(l *delta.Limits) { l.Bytes-- }, delta.ErrLimit},
		{"series", func(l *delta.Limits) { l.Series-- }, delta.ErrLimit},
		{"samples", func(l *delta.Limits) { l.Samples-- }, delta.ErrLimit},
		{"label bytes", func(l *delta.Limits) { l.LabelBytes-- }, delta.ErrLimit},
		{"zero", func(l *delta.Limits) { l.Series = 0 }, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			lim := exact
			tc.change(&lim)
			codec, err := delta.NewCodec(lim)
			if lim.Series == 0 {
				if err == nil {
					t.Error("limits that refuse everything were accepted")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := codec.Encode(nil, b); !errors.Is(err, tc.want) {
				t.Errorf("encode: %v, want %v", err, tc.want)
			}
			if _, err := codec.Decode(payload); !errors.Is(err, tc.want) {
				t.Errorf("decode: %v, want %v", err, tc.want)
			}
		})
	}
}

// smallestBytes finds the lowest limit that the encoder accepts b under.
func smallestBytes(t *testing.T, b delta.Batch) int64 {
	t.Helper()
	lim := delta.DefaultLimits()
	lo, hi := int64(1), lim.Bytes
	for lo < hi {
		lim.Bytes = (lo + hi) / 2
		codec, err := delta.NewCodec(lim)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := codec.Encode(nil, b); err == nil {
			hi = lim.Bytes
		} else {
			lo = lim.Bytes + 1
		}
	}
	return lo
}

func BenchmarkEncodeScrape(b *testing.B) {
	codec, err := delta.NewCodec(delta.DefaultLimits())
	if err != nil {
		b.Fatal(err)
	}
	batch := scrapes(1)
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		if dst, err = codec.Encode(dst[:0], batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(dst))/float64(batch.Samples()), "bytes/sample")
}

func BenchmarkDecodeScrape(b *testing.B) {
	codec, err := delta.NewCodec(delta.DefaultLimits())
	if err != nil {
		b.Fatal(err)
	}
	payload, err := codec.Encode(nil, scrapes(1))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := codec.Decode(payload); err != nil {
			b.Fatal(err)
		}
	}
}
