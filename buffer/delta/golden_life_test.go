package delta_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"math"
	"os"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
)

// The published files of format 2. They never change.
const (
	goldenStreamFile = "testdata/v2.stream" // frames, each behind its length as a uvarint
	goldenPageFile   = "testdata/v2.page"
	goldenRestFile   = "testdata/v2.block" // sealed, and coded against the page
	goldenNamesFile  = "testdata/v2.names"
)

const goldenDict = 77

// A goldenFrame is one frame of the published stream.
type goldenFrame struct {
	at delta.Stamp
	b  delta.Batch
}

// goldenLife holds what a stream meets: a key frame, series that are new, records
// and all else, a backlog that is merged and newest first, a second session. It is
// made of whole numbers and quotients, which are the same on every machine.
func goldenLife() []goldenFrame {
	const detail, revenue = buffer.Detail, buffer.Revenue
	records := delta.Batch{Records: goldenBatch().Records}
	return []goldenFrame{
		{delta.Stamp{Lane: detail, Session: 5, Seq: 900}, digestBatch()},
		{delta.Stamp{Lane: detail, Session: 5, Seq: 901}, wander(400, 1, 20)},
		{delta.Stamp{Lane: revenue, Session: 5, Seq: 1}, records},
		{delta.Stamp{Lane: detail, Session: 5, Seq: 902}, wander(401, 1, 24)},
		{delta.Stamp{Lane: detail, Session: 5, First: 880, Seq: 899}, wander(380, 20, 20)},
		{delta.Stamp{Lane: detail, Session: 5, Seq: 903}, wander(402, 1, 24)},
		{delta.Stamp{Lane: detail, Session: 5, First: 860, Seq: 879}, wander(360, 20, 20)},
		{delta.Stamp{Lane: detail, Session: 5, Seq: 904}, delta.Batch{}},
		{delta.Stamp{Lane: detail, Session: 6, Seq: 1}, wander(403, 3, 22)},
	}
}

// wander is scrapes from..from+scrapes of n series of which each is coded in
// another way.
func wander(from, scrapes, n int) delta.Batch {
	var b delta.Batch
	for i := range n {
		s := delta.Series{
			Labels: []delta.Label{{Name: "__name__", Value: "edge_wander_bucket"}, {Name: "le", Value: strconv.Itoa(i)}},
			Meta:   delta.Meta{Type: delta.Type(i % 7), Help: "Of kind " + strconv.Itoa(i%8)},
		}
		for k := from; k < from+scrapes; k++ {
			s.Samples = append(s.Samples, delta.Sample{Time: 1_790_000_000_000 + int64(k)*15_000 + int64(k*k%7), Value: wanderValue(i, k)})
		}
		b.Series = append(b.Series, s)
	}
	return b
}

func wanderValue(i, k int) float64 {
	x := float64(k*k%101 + i)
	switch i % 8 {
	case 0:
		return float64(k*(i+1) + k*k%5) // a counter
	case 1:
		return 4096 * float64(k+k%3) // one in big steps
	case 2:
		return x / 100 // decimals
	case 3:
		return x * 0.1 // a product, an ulp off now and then
	case 4:
		sum := 0.1
		for j := 350; j <= k; j++ {
			sum += float64(j*j%9973) / 1e9 // nanoseconds
		}
		return sum
	case 5:
		return math.Float64frombits(0x3ff0_0000_0000_0000 + uint64(k)*0x0123_4567_89ab_cdef%(1<<52)) // no unit at all
	case 6:
		return []float64{7, math.Float64frombits(staleBits), math.NaN(), math.Copysign(0, -1), 7, 7, -7}[k%7]
	default:
		return float64(i) // one that stays
	}
}

// published returns a published file, which is written only with -update and only
// if there is none.
func published(t testing.TB, path string, now []byte) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && *writeGolden {
		data, err = now, os.WriteFile(path, now, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// encodeLife encodes the golden life, a frame each.
func encodeLife(t testing.TB) [][]byte {
	t.Helper()
	enc := delta.NewEncoder(newCodec(t, delta.DefaultLimits()))
	var out [][]byte
	for i, f := range goldenLife() {
		frame, err := enc.Encode(nil, f.at, f.b)
		if err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
		out = append(out, frame)
	}
	return out
}

// joined puts the length of each frame before it; split is the inverse, and cuts
// what is no frame short.
func joined(frames [][]byte) (out []byte) {
	for _, f := range frames {
		out = append(binary.AppendUvarint(out, uint64(len(f))), f...)
	}
	return out
}

func split(data []byte) (frames [][]byte) {
	for len(data) > 0 {
		n, used := binary.Uvarint(data)
		if used <= 0 {
			return frames
		}
		data = data[used:]
		n = min(n, uint64(len(data)))
		frames, data = append(frames, data[:n:n]), data[n:]
	}
	return frames
}

func goldenFrames(t testing.TB) [][]byte {
	t.Helper()
	return split(published(t, goldenStreamFile, nil))
}

func TestGoldenStream(t *testing.T) {
	now := encodeLife(t)
	old := split(published(t, goldenStreamFile, joined(now)))
	for name, frames := range map[string][][]byte{"published": old, "encoded now": now, "compacted": old} {
		dec := delta.NewDecoder(newCodec(t, delta.DefaultLimits()))
		var got []goldenFrame
		for i, f := range frames {
			if name == "compacted" {
				dec.Compact()
			}
			at, b, err := dec.Decode(f)
			if err != nil {
				t.Fatalf("%s: frame %d: %v", name, i, err)
			}
			got = append(got, goldenFrame{at, b})
		}
		if d := cmp.Diff(goldenLife(), got, sameBits(), cmp.AllowUnexported(goldenFrame{})); d != "" {
			t.Errorf("%s stream (-want +got):\n%s", name, d)
		}
	}
	const aside = 8
	var flags []byte
	for _, f := range now {
		flags = append(flags, f[0]&aside)
	}
	if want := []byte{0, 0, 0, 0, aside, 0, aside, 0, 0}; !bytes.Equal(flags, want) {
		t.Errorf("frames aside are %v, want %v", flags, want)
	}
}

// goldenRest is the batch of the published block: all kinds of values, and extras.
func goldenRest() delta.Batch {
	b := digestBatch()
	b.Series = append(b.Series, wander(400, 12, 16).Series...)
	return b
}

func TestGoldenRest(t *testing.T) {
	codec, want := newCodec(t, delta.DefaultLimits()), goldenRest()
	payload, page, err := delta.NewDict(codec, goldenDict).Encode(nil, want)
	if err != nil {
		t.Fatal(err)
	}
	lo, hi := want.TimeRange()
	sealed := buffer.Seal(buffer.Header{
		Kind: buffer.AtRest, Lane: buffer.Detail, Session: 5, First: 7, Seq: 9,
		MinTime: lo, MaxTime: hi, Samples: uint32(want.Samples()), Records: uint32(len(want.Records)),
	}, payload)
	for name, now := range map[string]struct{ page, block []byte }{
		"published":   {published(t, goldenPageFile, page.Data), published(t, goldenRestFile, sealed)},
		"encoded now": {page.Data, sealed},
	} {
		dict := delta.NewDict(codec, goldenDict)
		if err := dict.Add(now.page); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_, payload, err := buffer.Open(now.block)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := dict.Decode(payload)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if d := cmp.Diff(want, got, sameBits()); d != "" {
			t.Errorf("%s block (-want +got):\n%s", name, d)
		}
	}
}

func TestGoldenNames(t *testing.T) {
	codec, want := newCodec(t, delta.DefaultLimits()), goldenRest().Series
	for i := range want {
		want[i].Samples = nil
	}
	now, err := codec.EncodeNames(nil, want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := codec.DecodeNames(published(t, goldenNamesFile, now))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got, sameBits()); d != "" {
		t.Errorf("names (-want +got):\n%s", d)
	}
}
