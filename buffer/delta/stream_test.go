package delta_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
)

func newCodec(t testing.TB, lim delta.Limits) *delta.Codec {
	t.Helper()
	c, err := delta.NewCodec(lim)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func stamp(seq int) delta.Stamp {
	return delta.Stamp{Lane: buffer.Detail, Session: 7, Seq: buffer.Seq(seq)}
}

// drawExtras adds histograms and exemplars to the series of a batch.
func drawExtras(t *rapid.T, b *delta.Batch) {
	if len(b.Series) == 0 {
		return
	}
	series := rapid.IntRange(0, len(b.Series)-1)
	buckets := func(what string) (out delta.Buckets) {
		for range rapid.IntRange(0, 3).Draw(t, what) {
			n := rapid.IntRange(0, 4).Draw(t, "length")
			out.Spans = append(out.Spans, delta.Span{Offset: rapid.Int32().Draw(t, "offset"), Length: uint32(n)})
			for range n {
				out.Counts = append(out.Counts, drawValue(t))
			}
		}
		return out
	}
	for range rapid.IntRange(0, 2).Draw(t, "histograms") {
		b.Histograms = append(b.Histograms, delta.NativeHistogram{
			Series: series.Draw(t, "series"), Time: rapid.Int64().Draw(t, "time"),
			Reset: delta.ResetHint(rapid.IntRange(0, 3).Draw(t, "reset")), Schema: int8(rapid.IntRange(-53, 8).Draw(t, "schema")),
			ZeroThreshold: drawValue(t), ZeroCount: drawValue(t), Count: drawValue(t), Sum: drawValue(t),
			Positive: buckets("positive"), Negative: buckets("negative"),
			Bounds: rapid.SliceOfN(rapid.Float64(), 0, 3).Draw(t, "bounds"),
		})
	}
	for range rapid.IntRange(0, 2).Draw(t, "exemplars") {
		b.Exemplars = append(b.Exemplars, delta.Exemplar{
			Series: series.Draw(t, "series"), Time: rapid.Int64().Draw(t, "time"), Value: drawValue(t),
			Labels: []delta.Label{{Name: "trace_id", Value: drawString(t, "trace")}},
		})
	}
}

// drawLife draws a few batches of which each has something of the one before:
// the same series with new values, some of them gone, some of them new.
func drawLife(t *rapid.T) []delta.Batch {
	var life []delta.Batch
	for range rapid.IntRange(1, 6).Draw(t, "batches") {
		b := drawBatch(t)
		if n := len(life); n > 0 && rapid.Bool().Draw(t, "goes on") {
			for _, s := range life[n-1].Series {
				if rapid.IntRange(0, 5).Draw(t, "gone") == 0 {
					continue
				}
				next := delta.Series{Labels: s.Labels, Meta: s.Meta}
				for _, smp := range s.Samples {
					smp.Time += rapid.SampledFrom([]int64{15_000, 15_001, 0, -90_000}).Draw(t, "step")
					if rapid.Bool().Draw(t, "changes") {
						smp.Value = rapid.SampledFrom([]float64{smp.Value + 1, smp.Value * 2, -smp.Value, smp.Value + 0.1, drawValue(t)}).Draw(t, "next")
					}
					next.Samples = append(next.Samples, smp)
				}
				b.Series = append(b.Series, next)
			}
		}
		drawExtras(t, &b)
		life = append(life, b)
	}
	return life
}

func TestStreamBringsBackEveryBit(t *testing.T) {
	codec := newCodec(t, delta.DefaultLimits())
	rapid.Check(t, func(t *rapid.T) {
		enc, dec := delta.NewEncoder(codec), delta.NewDecoder(codec)
		for i, want := range drawLife(t) {
			at := delta.Stamp{
				Lane:    rapid.SampledFrom(buffer.Lanes()).Draw(t, "lane"),
				Session: buffer.Session(rapid.Uint64Range(1, 3).Draw(t, "session")),
				Seq:     buffer.Seq(rapid.Uint64Range(1, 1<<40).Draw(t, "sequence")),
			}
			if at.Seq > 1 && rapid.Bool().Draw(t, "merged") {
				at.First = buffer.Seq(rapid.Uint64Range(1, uint64(at.Seq)-1).Draw(t, "first"))
			}
			if rapid.IntRange(0, 4).Draw(t, "reset") == 0 {
				enc.Reset()
			}
			frame, err := enc.Encode([]byte("before"), at, want)
			if err != nil {
				t.Fatalf("batch %d: %v", i, err)
			}
			if !strings.HasPrefix(string(frame), "before") {
				t.Fatal("what was in dst is gone")
			}
			if rapid.Bool().Draw(t, "idle") {
				dec.Compact()
			}
			gotAt, got, err := dec.Decode(frame[len("before"):])
			if err != nil {
				t.Fatalf("batch %d: %v", i, err)
			}
			if d := cmp.Diff(want, got, sameBits()); d != "" || gotAt != at {
				t.Fatalf("batch %d of stamp %+v, got %+v (-want +got):\n%s", i, at, gotAt, d)
			}
			if rapid.Bool().Draw(t, "recycle") {
				dec.Recycle()
			}
		}
	})
}

// A frame that stands for several sequences costs a byte, and the sequence after
// them is the next one.
func TestMergedFramesAreStamped(t *testing.T) {
	codec := newCodec(t, delta.DefaultLimits())
	enc, dec := delta.NewEncoder(codec), delta.NewDecoder(codec)
	var sizes []int
	for i, at := range []delta.Stamp{
		{Seq: 1}, {Seq: 2}, {First: 3, Seq: 50}, {Seq: 51}, {First: 52, Seq: 52}, {First: 53, Seq: 1<<64 - 1}, {First: 1, Seq: 1<<64 - 1},
	} {
		at.Lane, at.Session = buffer.Detail, 7
		frame, err := enc.Encode(nil, at, delta.Batch{})
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := dec.Decode(frame)
		if err != nil {
			t.Fatal(err)
		}
		if at.First == at.Seq {
			at.First = 0
		}
		if got != at {
			t.Errorf("frame %d: stamp %+v, want %+v", i, got, at)
		}
		sizes = append(sizes, len(frame))
	}
	if d := cmp.Diff(sizes[1:5], []int{sizes[1], sizes[1] + 1, sizes[1], sizes[1]}); d != "" {
		t.Errorf("sizes (-got +want):\n%s", d)
	}
	if _, err := enc.Encode(nil, delta.Stamp{Lane: buffer.Detail, Session: 7, First: 3, Seq: 2}, delta.Batch{}); !errors.Is(err, delta.ErrInvalid) {
		t.Errorf("first behind last: %v", err)
	}
}

// A batch keeps its memory until it is given back.
func TestRecycle(t *testing.T) {
	codec := newCodec(t, delta.DefaultLimits())
	enc, dec := delta.NewEncoder(codec), delta.NewDecoder(codec)
	var got [4]delta.Batch
	for k := range got {
		frame, err := enc.Encode(nil, stamp(k+1), long(50, k))
		if err != nil {
			t.Fatal(err)
		}
		if _, got[k], err = dec.Decode(frame); err != nil {
			t.Fatal(err)
		}
		if k >= 2 {
			dec.Recycle()
		}
	}
	for k := range 2 {
		if d := cmp.Diff(long(50, k), got[k], sameBits()); d != "" {
			t.Errorf("batch %d changed after it was decoded (-want +got):\n%s", k, d)
		}
	}
	if d := cmp.Diff(long(50, 3), got[3], sameBits()); d != "" || &got[2].Series[0] != &got[3].Series[0] {
		t.Errorf("last batch, in the memory of the one before: (-want +got):\n%s", d)
	}
}

// long is a batch of n series of which some change, at scrape k.
func long(n, k int) delta.Batch {
	var b delta.Batch
	for i := range n {
		b.Series = append(b.Series, delta.Series{
			Labels:  []delta.Label{{Name: "__name__", Value: "m"}, {Name: "i", Value: fmt.Sprint(i)}},
			Samples: []delta.Sample{{Time: int64(k) * 15_000, Value: float64(i + k*(i%7))}},
		})
	}
	return b
}

func TestTenThousandSeries(t *testing.T) {
	codec := newCodec(t, delta.DefaultLimits())
	enc, dec, dict := delta.NewEncoder(codec), delta.NewDecoder(codec), delta.NewDict(codec, 9)
	for k := range 3 {
		want := long(10_000, k)
		for i := range want.Series { // and each with timestamps of its own
			want.Series[i].Samples[0].Time += int64(i % (1 + 5000*(k%2)))
		}
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
	}
}

// A decoder that missed a frame says so, refuses everything but a key frame, and
// is whole again after it.
func TestResync(t *testing.T) {
	codec := newCodec(t, delta.DefaultLimits())
	enc, dec := delta.NewEncoder(codec), delta.NewDecoder(codec)
	frames := make([][]byte, 6)
	for k := range frames {
		if k == 4 {
			enc.Reset()
		}
		var err error
		if frames[k], err = enc.Encode(nil, stamp(k+1), long(50, k)); err != nil {
			t.Fatal(err)
		}
	}
	for k, want := range []error{nil, nil, errSkip, delta.ErrResync, nil, nil} {
		if want == errSkip {
			continue
		}
		_, got, err := dec.Decode(frames[k])
		if !errors.Is(err, want) {
			t.Fatalf("frame %d: %v, want %v", k, err, want)
		}
		if err == nil && !cmp.Equal(long(50, k), got, sameBits()) {
			t.Errorf("frame %d decodes to something else", k)
		}
	}
	if _, _, err := dec.Decode(frames[1]); !errors.Is(err, delta.ErrResync) {
		t.Errorf("an old frame: %v", err)
	}
	if _, _, err := delta.NewDecoder(codec).Decode(frames[1]); !errors.Is(err, delta.ErrResync) {
		t.Errorf("a new decoder: %v", err)
	}
}

var errSkip = errors.New("skip")

// A batch that cannot be encoded leaves nothing behind: the next frame is a key
// frame.
func TestEncoderRecoversFromRefusedBatches(t *testing.T) {
	lim := delta.DefaultLimits()
	lim.Series = 100
	codec := newCodec(t, lim)
	enc, dec := delta.NewEncoder(codec), delta.NewDecoder(codec)
	bad := long(3, 0)
	bad.Series[2].Labels = []delta.Label{{Name: "x", Value: "no name"}}
	lost := long(2, 0)
	lost.Exemplars = []delta.Exemplar{{Series: 2}}
	for i, tc := range []struct {
		b    delta.Batch
		want error
	}{{long(60, 1), nil}, {bad, delta.ErrInvalid}, {long(60, 2), nil}, {long(101, 3), delta.ErrLimit}, {long(60, 3), nil}, {lost, delta.ErrInvalid}, {long(60, 4), nil}} {
		frame, err := enc.Encode(nil, stamp(i+1), tc.b)
		if !errors.Is(err, tc.want) || err != nil && len(frame) > 0 {
			t.Fatalf("batch %d: %v, want %v; %d bytes", i, err, tc.want, len(frame))
		}
		if err != nil {
			continue
		}
		if _, got, err := dec.Decode(frame); err != nil || !cmp.Equal(tc.b, got, sameBits()) {
			t.Fatalf("batch %d: %v", i, err)
		}
	}
}

// Series that come and go never take more than the limit: the encoder starts
// over by itself, and the decoder agrees.
func TestStateIsBounded(t *testing.T) {
	lim := delta.DefaultLimits()
	lim.State = 400 << 10
	codec := newCodec(t, lim)
	enc, dec := delta.NewEncoder(codec), delta.NewDecoder(codec)
	keys := 0
	for k := range 40 {
		b := long(200, k)
		for i := range b.Series {
			b.Series[i].Labels = []delta.Label{{Name: "__name__", Value: fmt.Sprintf("m_%d_%d", k, i)}}
		}
		frame, err := enc.Encode(nil, stamp(k+1), b)
		if err != nil {
			t.Fatal(err)
		}
		keys += int(frame[0] & 1)
		if _, got, err := dec.Decode(frame); err != nil || !cmp.Equal(b, got, sameBits()) {
			t.Fatalf("frame %d: %v", k, err)
		}
		if enc.StateBytes() > lim.State || dec.StateBytes() > lim.State+64<<10 {
			t.Fatalf("frame %d: %d and %d bytes of state, at most %d", k, enc.StateBytes(), dec.StateBytes(), lim.State)
		}
	}
	if keys < 2 || keys > 20 {
		t.Errorf("%d key frames in 40", keys)
	}
	lim.State = 60 << 10
	if _, err := delta.NewEncoder(newCodec(t, lim)).Encode(nil, stamp(1), long(1000, 1)); !errors.Is(err, delta.ErrLimit) {
		t.Errorf("a batch that no state holds: %v", err)
	}
}

// An idle connection of a usual node costs the centre little.
func TestIdleStateIsSmall(t *testing.T) {
	codec := newCodec(t, delta.DefaultLimits())
	enc, dec := delta.NewEncoder(codec), delta.NewDecoder(codec)
	b := scrapes(3)
	for i := range 600 { // some 1300 series
		s := b.Series[i]
		s.Labels = append(slices.Clone(s.Labels), delta.Label{Name: "venue_part", Value: "bar"})
		b.Series = append(b.Series, s)
	}
	frame, err := enc.Encode(nil, stamp(1), b)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := dec.Decode(frame); err != nil {
		t.Fatal(err)
	}
	dec.Compact()
	t.Logf("%d bytes for %d series", dec.StateBytes(), len(b.Series))
	if n := dec.StateBytes(); n > 64<<10 {
		t.Errorf("%d bytes for %d series when idle, want at most 64 KiB", n, len(b.Series))
	}
}
