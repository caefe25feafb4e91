package buffer_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ghostlight/buffer"
)

func header(t *rapid.T) buffer.Header {
	lo := rapid.Int64().Draw(t, "min")
	return buffer.Header{
		Kind:    buffer.SelfContained,
		Lane:    rapid.SampledFrom(buffer.Lanes()).Draw(t, "lane"),
		Session: buffer.Session(rapid.Uint64Min(1).Draw(t, "session")),
		Seq:     buffer.Seq(rapid.Uint64Min(1).Draw(t, "seq")),
		MinTime: lo,
		MaxTime: rapid.Int64Min(lo).Draw(t, "max"),
		Samples: rapid.Uint32().Draw(t, "samples"),
		Records: rapid.Uint32().Draw(t, "records"),
	}
}

func TestOpenReturnsWhatWasSealed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, payload := header(t), rapid.SliceOf(rapid.Byte()).Draw(t, "payload")
		gotHeader, gotPayload, err := buffer.Open(buffer.Seal(h, payload))
		if err != nil {
			t.Fatal(err)
		}
		if gotHeader != h || string(gotPayload) != string(payload) {
			t.Fatalf("opened %+v with %d bytes, sealed %+v with %d", gotHeader, len(gotPayload), h, len(payload))
		}
	})
}

func TestEveryPrefixAndBitFlipIsRefused(t *testing.T) {
	block := buffer.Seal(buffer.Header{Kind: buffer.SelfContained, Lane: buffer.Revenue, Session: 7, Seq: 9, MinTime: 1, MaxTime: 2, Samples: 3}, []byte("twelve sales"))
	for n := range len(block) {
		if _, _, err := buffer.Open(block[:n]); !errors.Is(err, buffer.ErrCorrupt) {
			t.Fatalf("prefix of %d bytes: %v", n, err)
		}
	}
	for bit := range len(block) * 8 {
		flipped := append([]byte(nil), block...)
		flipped[bit/8] ^= 1 << (bit % 8)
		if _, _, err := buffer.Open(flipped); err == nil {
			t.Fatalf("bit %d flipped and accepted", bit)
		}
	}
	if _, _, err := buffer.Open(append(block, 0)); !errors.Is(err, buffer.ErrCorrupt) {
		t.Fatalf("trailing byte: %v", err)
	}
}

func TestAnotherVersionSaysSo(t *testing.T) {
	block := buffer.Seal(buffer.Header{Kind: buffer.SelfContained, Lane: buffer.Logs, Session: 1, Seq: 1}, nil)
	block[4]++
	if _, _, err := buffer.Open(block); !errors.Is(err, buffer.ErrVersion) {
		t.Fatalf("got %v, want %v", err, buffer.ErrVersion)
	}
}

func TestLaneNames(t *testing.T) {
	in := map[buffer.Lane]int{buffer.Revenue: 1, buffer.Logs: 5}
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var out map[buffer.Lane]int
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(in, out); diff != "" {
		t.Error(diff)
	}
	if _, err := buffer.ParseLane("gold"); err == nil {
		t.Error("an unknown lane was accepted")
	}
}

func TestSourceValidate(t *testing.T) {
	good := buffer.Source{Region: "eu-west", Venue: "soho", Node: "soho-1"}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []buffer.Source{{}, {"eu", "so/ho", "n"}, {"eu", "soho", "../n"}, {"eu", "Soho", "n"}, {"eu", "soho", ".."}} {
		if err := bad.Validate(); err == nil {
			t.Errorf("%+v accepted", bad)
		}
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(buffer.Seal(buffer.Header{Kind: buffer.SelfContained, Lane: buffer.Detail, Session: 1, Seq: 1}, []byte("x")))
	f.Add([]byte("GLBK"))
	f.Fuzz(func(t *testing.T, block []byte) {
		h, payload, err := buffer.Open(block)
		if err == nil && string(buffer.Seal(h, payload)) != string(block) {
			t.Fatal("a block was opened that Seal would not write")
		}
	})
}
