package delta_test

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
)

// smallLimits are what bytes of unknown origin are decoded under.
func smallLimits() delta.Limits {
	return delta.Limits{Bytes: 1 << 20, Series: 1000, Samples: 5000, LabelBytes: 4096, State: 1 << 20}
}

// A stream sums up the frames that a decoder took, so that damage can be dressed
// up with the checksum and number that belong there.
type stream struct {
	sum    uint32
	number byte
}

func (s *stream) took(frame []byte) {
	s.sum = binary.LittleEndian.Uint32(frame[len(frame)-4:])
	s.number++
}

// dress returns a frame of the given body that is whole to its checksum.
func (s stream) dress(body []byte) []byte {
	f := append([]byte(nil), body...)
	sum := s.sum
	if len(f) > 1 {
		f[0] = 2<<4 | f[0]&0xf
		f[1] = s.number
		if f[0]&1 != 0 { // a key frame
			f[1], sum = 0, 0
		}
	}
	return binary.LittleEndian.AppendUint32(f, crc32.Update(sum, crc32.MakeTable(crc32.Castagnoli), f))
}

// checkDecoded holds what came of bytes of unknown origin to the limits, and to
// the errors that are promised.
func checkDecoded(t *testing.T, b delta.Batch, err error, allowed ...error) {
	t.Helper()
	lim := smallLimits()
	if err != nil {
		for _, want := range append(allowed, delta.ErrMalformed, delta.ErrLimit) {
			if errors.Is(err, want) {
				return
			}
		}
		t.Errorf("error of no known kind: %v", err)
	}
	if len(b.Series) > lim.Series || b.Samples() > 2*lim.Samples || max(len(b.Records), len(b.Exemplars), len(b.Histograms)) > lim.Samples {
		t.Errorf("%d series, %d samples, %d records are beyond the limits", len(b.Series), b.Samples(), len(b.Records))
	}
}

// A replay makes decoders that took the golden frames up to some.
type replay struct {
	codec  *delta.Codec
	frames [][]byte
}

func newReplay(t testing.TB) replay {
	t.Helper()
	return replay{newCodec(t, smallLimits()), goldenFrames(t)}
}

// before returns a decoder that took the frames before the n-th.
func (r replay) before(t *testing.T, n int) (*delta.Decoder, stream) {
	t.Helper()
	dec, s := delta.NewDecoder(r.codec), stream{}
	for i, f := range r.frames[:n] {
		if _, _, err := dec.Decode(f); err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
		s.took(f)
	}
	return dec, s
}

// A frame that is cut short or has a bit flipped is refused, wherever it stands.
func TestEveryPrefixAndBitFlipOfAFrameIsNoticed(t *testing.T) {
	golden := newReplay(t)
	for n, frame := range golden.frames {
		dec, _ := golden.before(t, n)
		refuse := func(damaged []byte, what string, where int) {
			_, _, err := dec.Decode(damaged)
			if !errors.Is(err, delta.ErrMalformed) && !errors.Is(err, delta.ErrResync) {
				t.Errorf("frame %d, %s %d: %v", n, what, where, err)
			}
		}
		for i := range frame {
			refuse(frame[:i], "prefix of", i)
		}
		for bit := range len(frame) * 8 {
			dec, _ = golden.before(t, n)
			flipped := append([]byte(nil), frame...)
			flipped[bit/8] ^= 1 << (bit % 8)
			refuse(flipped, "bit", bit)
		}
		if _, _, err := dec.Decode(frame); n > 0 && !errors.Is(err, delta.ErrResync) {
			t.Errorf("frame %d after damage: %v", n, err)
		}
	}
}

// Damage that the checksum does not show decodes to something or is refused; it
// takes no more memory than is allowed.
func TestFramesDamagedBehindTheirChecksum(t *testing.T) {
	golden := newReplay(t)
	for n, frame := range golden.frames {
		body := frame[:len(frame)-4]
		try := func(damaged []byte) {
			dec, s := golden.before(t, n)
			_, b, err := dec.Decode(s.dress(damaged))
			checkDecoded(t, b, err, delta.ErrResync)
			if most := smallLimits().State + 64<<10; dec.StateBytes() > most {
				t.Errorf("%d bytes of state, at most %d", dec.StateBytes(), most)
			}
		}
		for i := range body {
			try(body[:i])
		}
		for bit := range len(body) * 8 {
			flipped := append([]byte(nil), body...)
			flipped[bit/8] ^= 1 << (bit % 8)
			try(flipped)
		}
	}
}

func goldenDictOf(t testing.TB) *delta.Dict {
	t.Helper()
	dict := delta.NewDict(newCodec(t, smallLimits()), goldenDict)
	if err := dict.Add(published(t, goldenPageFile, nil)); err != nil {
		t.Fatal(err)
	}
	return dict
}

func TestEveryPrefixAndBitFlipOfAPageIsNoticed(t *testing.T) {
	page := published(t, goldenPageFile, nil)
	dict := delta.NewDict(newCodec(t, smallLimits()), goldenDict)
	refuse := func(damaged []byte, what string, where int) {
		if err := dict.Add(damaged); !errors.Is(err, delta.ErrMalformed) && !errors.Is(err, delta.ErrDictionary) || dict.Len() != 0 {
			t.Errorf("%s %d: %v, %d series", what, where, err, dict.Len())
		}
	}
	for i := range page {
		refuse(page[:i], "prefix of", i)
	}
	for bit := range len(page) * 8 {
		flipped := append([]byte(nil), page...)
		flipped[bit/8] ^= 1 << (bit % 8)
		refuse(flipped, "bit", bit)
	}
	if err := dict.Add(page); err != nil {
		t.Errorf("the page itself, after all that: %v", err)
	}
}

func TestPagesDamagedBehindTheirChecksum(t *testing.T) {
	page := published(t, goldenPageFile, nil)
	body := page[:len(page)-4]
	for bit := range len(body) * 8 {
		flipped := append([]byte(nil), body...)
		flipped[bit/8] ^= 1 << (bit % 8)
		addAnything(t, flipped)
	}
	for i := range body {
		addAnything(t, body[:i])
	}
}

// addAnything adds a page of the given body, and codes a batch with what came of
// it.
func addAnything(t *testing.T, body []byte) {
	dict := delta.NewDict(newCodec(t, smallLimits()), goldenDict)
	data := binary.LittleEndian.AppendUint32(append([]byte(nil), body...), crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
	err := dict.Add(data)
	checkDecoded(t, delta.Batch{}, err, delta.ErrDictionary)
	if err != nil {
		if dict.Len() != 0 {
			t.Errorf("%d series of a page that was refused", dict.Len())
		}
		return
	}
	want := wander(1, 2, 9)
	payload, _, err := dict.Encode(nil, want)
	if errors.Is(err, delta.ErrLimit) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	got, err := dict.Decode(payload)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got, sameBits()); d != "" {
		t.Errorf("with a page of %d series (-want +got):\n%s", dict.Len(), d)
	}
}

func TestDamagedBlocksAtRest(t *testing.T) {
	block := published(t, goldenRestFile, nil)
	for n := range block {
		if _, _, err := buffer.Open(block[:n]); !errors.Is(err, buffer.ErrCorrupt) {
			t.Errorf("prefix of %d bytes: %v", n, err)
		}
	}
	for bit := range len(block) * 8 {
		flipped := append([]byte(nil), block...)
		flipped[bit/8] ^= 1 << (bit % 8)
		if _, _, err := buffer.Open(flipped); !errors.Is(err, buffer.ErrCorrupt) && !errors.Is(err, buffer.ErrVersion) {
			t.Errorf("bit %d flipped: %v", bit, err)
		}
	}
	_, payload, err := buffer.Open(block)
	if err != nil {
		t.Fatal(err)
	}
	dict := goldenDictOf(t)
	for n := range payload {
		b, err := dict.Decode(payload[:n])
		checkDecoded(t, b, err, delta.ErrDictionary)
	}
	for bit := range len(payload) * 8 {
		flipped := append([]byte(nil), payload...)
		flipped[bit/8] ^= 1 << (bit % 8)
		b, err := dict.Decode(flipped)
		checkDecoded(t, b, err, delta.ErrDictionary)
	}
	if got, err := dict.Decode(payload); err != nil || !cmp.Equal(goldenRest(), got, sameBits()) {
		t.Errorf("the block itself, after all that: %v", err)
	}
}

// What a frame's content is damaged to decodes alike on both sides of it: the
// decoder's state after any frame that it took is one that an encoder could have.
func TestRandomDamageOfStreams(t *testing.T) {
	golden := newReplay(t)
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(0, len(golden.frames)-1).Draw(rt, "frame")
		body := append([]byte(nil), golden.frames[n][:len(golden.frames[n])-4]...)
		for range rapid.IntRange(1, 6).Draw(rt, "damages") {
			body[rapid.IntRange(0, len(body)-1).Draw(rt, "at")] = rapid.Byte().Draw(rt, "byte")
		}
		dec, s := golden.before(t, n)
		damaged := s.dress(body)
		_, b, err := dec.Decode(damaged)
		checkDecoded(t, b, err, delta.ErrResync)
		if err != nil {
			return
		}
		s.took(damaged)
		for _, f := range golden.frames[n+1:] {
			_, b, err := dec.Decode(s.dress(f[:len(f)-4]))
			checkDecoded(t, b, err, delta.ErrResync)
			if err != nil {
				return
			}
			s.took(s.dress(f[:len(f)-4]))
		}
	})
}
