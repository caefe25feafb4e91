package delta_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
)

// FuzzStream decodes frames that are whole to their checksums, each behind its
// length.
func FuzzStream(f *testing.F) {
	var bodies [][]byte
	for _, frame := range goldenFrames(f) {
		bodies = append(bodies, frame[:len(frame)-4])
	}
	f.Add(joined(bodies))
	f.Add(joined(bodies[:2]))
	f.Fuzz(func(t *testing.T, data []byte) {
		dec, s := delta.NewDecoder(newCodec(t, smallLimits())), stream{}
		for _, body := range split(data) {
			frame := s.dress(body)
			_, b, err := dec.Decode(frame)
			checkDecoded(t, b, err, delta.ErrResync)
			if s.took(frame); err != nil {
				s = stream{}
			} else if frame[0]&1 != 0 {
				s.number = 1
			}
			dec.Compact()
		}
	})
}

func FuzzPage(f *testing.F) {
	page := published(f, goldenPageFile, nil)
	f.Add(page[:len(page)-4])
	f.Fuzz(addAnything)
}

func FuzzRest(f *testing.F) {
	_, payload, err := buffer.Open(published(f, goldenRestFile, nil))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(payload)
	f.Fuzz(func(t *testing.T, payload []byte) {
		dict := goldenDictOf(t)
		b, err := dict.Decode(payload)
		checkDecoded(t, b, err, delta.ErrDictionary)
		if err != nil {
			return
		}
		again, _, err := dict.Encode(nil, b)
		if errors.Is(err, delta.ErrLimit) {
			return
		}
		if err != nil {
			t.Fatalf("what was decoded cannot be encoded: %v", err)
		}
		got, err := dict.Decode(again)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(b, got, sameBits()); d != "" {
			t.Errorf("decoded, encoded and decoded again (-first +second):\n%s", d)
		}
	})
}

func FuzzNames(f *testing.F) {
	f.Add(published(f, goldenNamesFile, nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		codec := newCodec(t, smallLimits())
		series, err := codec.DecodeNames(data)
		checkDecoded(t, delta.Batch{Series: series}, err)
		if err != nil {
			return
		}
		again, err := codec.EncodeNames(nil, series)
		if err != nil {
			t.Fatalf("what was decoded cannot be encoded: %v", err)
		}
		got, err := codec.DecodeNames(again)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(series, got, sameBits()); d != "" {
			t.Errorf("decoded, encoded and decoded again (-first +second):\n%s", d)
		}
	})
}
