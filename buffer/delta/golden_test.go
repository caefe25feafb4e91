package delta_test

import (
	"errors"
	"flag"
	"math"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
)

const goldenFile = "testdata/v1.block"

// goldenBatch holds every column of the format and every coding of a value. The
// block made of it is published: it never changes.
func goldenBatch() delta.Batch {
	label := func(name, route string) []delta.Label {
		return []delta.Label{{Name: "__name__", Value: name}, {Name: "job", Value: "edge"}, {Name: "route", Value: route}}
	}
	at := func(values ...float64) (s []delta.Sample) {
		for i, v := range values {
			s = append(s, delta.Sample{Time: 1_780_000_000_000 + int64(i)*15_000, Value: v})
		}
		return s
	}
	requests := delta.Meta{Type: delta.Counter, Help: "Requests answered."}
	latency := delta.Meta{Type: delta.Gauge, Unit: "seconds", Help: "Time to answer."}
	stale := math.Float64frombits(staleBits)
	return delta.Batch{
		Series: []delta.Series{
			{Labels: label("edge_requests_total", "/pay"), Meta: requests, Samples: at(100, 110, 120)},
			{Labels: label("edge_requests_total", "/order"), Meta: requests, Samples: at(101, 101, 101)},
			{Labels: label("edge_requests_total", "/check\x00in\x01"), Meta: requests, Samples: at(stale, stale, stale)},
			{Labels: label("edge_latency_seconds", "/pay"), Meta: latency, Samples: at(0.125, 0.25, 0.128)},
			{Labels: label("edge_latency_seconds", "/order"), Meta: latency, Samples: at(math.Pi, math.Float64frombits(0x7ff8dead00000001), math.Copysign(0, -1))},
			{Labels: label("edge_latency_seconds", "/check\x00in\x01"), Meta: latency, Samples: at(math.Inf(1), math.Inf(1), math.Inf(1))},
			{Labels: []delta.Label{{Name: "__name__", Value: "up"}}, Samples: []delta.Sample{{Time: 1_780_000_030_000, Value: 1}, {Time: 1_780_000_000_000, Value: 0}, {Time: 1_780_000_000_000, Value: 0}}},
			{Labels: []delta.Label{{Name: "__name__", Value: "quiet"}}},
		},
		Records: []delta.Record{
			{Kind: "slo.bucket", Key: "checkout/29666666", Time: 1_780_000_000_000, Body: []byte{1, 0, 1, 60}},
			{Kind: "slo.bucket", Key: "checkout/29666667", Time: 1_780_000_060_000, Body: []byte{1, 0, 1, 12}},
			{Kind: "heal.audit", Key: "7", Time: 1_780_000_045_000},
		},
	}
}

func goldenBlock(t testing.TB) []byte {
	t.Helper()
	block, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	return block
}

var writeGolden = flag.Bool("update", false, "write the golden block of a new format version, if there is none yet")

func TestGoldenBlock(t *testing.T) {
	want := goldenBatch()
	payload, err := delta.Encode(nil, want)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(goldenFile); *writeGolden && errors.Is(err, os.ErrNotExist) {
		lo, hi := want.TimeRange()
		block := buffer.Seal(buffer.Header{
			Kind: buffer.SelfContained, Lane: buffer.Detail, Session: 0x1122334455667788, Seq: 42,
			MinTime: lo, MaxTime: hi, Samples: uint32(want.Samples()), Records: uint32(len(want.Records)),
		}, payload)
		if err := os.WriteFile(goldenFile, block, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	h, golden, err := buffer.Open(goldenBlock(t))
	if err != nil {
		t.Fatal(err)
	}
	wantHeader := buffer.Header{
		Kind: buffer.SelfContained, Lane: buffer.Detail, Session: 0x1122334455667788, Seq: 42,
		MinTime: 1_780_000_000_000, MaxTime: 1_780_000_060_000, Samples: 21, Records: 3,
	}
	if d := cmp.Diff(wantHeader, h); d != "" {
		t.Errorf("header (-want +got):\n%s", d)
	}
	for name, p := range map[string][]byte{"published": golden, "encoded now": payload} {
		got, err := delta.Decode(p, delta.DefaultLimits())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if d := cmp.Diff(want, got, sameBits()); d != "" {
			t.Errorf("%s payload (-want +got):\n%s", name, d)
		}
	}
}

func TestEveryPrefixAndBitFlipOfABlockIsNoticed(t *testing.T) {
	block := goldenBlock(t)
	for n := range block {
		if _, _, err := buffer.Open(block[:n]); !errors.Is(err, buffer.ErrCorrupt) {
			t.Errorf("prefix of %d bytes: %v", n, err)
		}
	}
	for bit := range len(block) * 8 {
		flipped := append([]byte(nil), block...)
		flipped[bit/8] ^= 1 << (bit % 8)
		if _, _, err := buffer.Open(flipped); !errors.Is(err, buffer.ErrCorrupt) && !errors.Is(err, buffer.ErrVersion) {
			t.Errorf("bit %d of byte %d flipped: %v", bit%8, bit/8, err)
		}
	}
}

// The payload has no checksum of its own: what is damaged behind the header's
// back may decode, but never panics and always says what kind of error it is.
func TestDamagedPayloadsAreErrorsOrBatches(t *testing.T) {
	_, payload, err := buffer.Open(goldenBlock(t))
	if err != nil {
		t.Fatal(err)
	}
	for n := range payload {
		if _, err := delta.Decode(payload[:n], delta.DefaultLimits()); !errors.Is(err, delta.ErrMalformed) {
			t.Errorf("prefix of %d bytes: %v", n, err)
		}
	}
	if _, err := delta.Decode(append(append([]byte(nil), payload...), 0), delta.DefaultLimits()); !errors.Is(err, delta.ErrMalformed) {
		t.Errorf("a byte too many: %v", err)
	}
	sections, err := delta.Sections(goldenBatch())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range [][]byte{payload, delta.Uncompressed(sections[:]...)} {
		for bit := range len(p) * 8 {
			flipped := append([]byte(nil), p...)
			flipped[bit/8] ^= 1 << (bit % 8)
			decodeAnything(t, flipped)
		}
	}
}

func TestDamagedSectionsAreErrorsOrBatches(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		sections, err := delta.Sections(drawBatch(rt))
		if err != nil {
			rt.Fatal(err)
		}
		for range rapid.IntRange(1, 5).Draw(rt, "damages") {
			s := &sections[rapid.IntRange(0, len(sections)-1).Draw(rt, "section")]
			if len(*s) == 0 {
				continue
			}
			at := rapid.IntRange(0, len(*s)-1).Draw(rt, "at")
			switch rapid.IntRange(0, 2).Draw(rt, "damage") {
			case 0:
				(*s)[at] = rapid.Byte().Draw(rt, "byte")
			case 1:
				*s = append((*s)[:at:at], (*s)[at+1:]...)
			case 2:
				*s = append((*s)[:at:at], append([]byte{rapid.Byte().Draw(rt, "byte")}, (*s)[at:]...)...)
			}
		}
		decodeAnything(t, delta.Uncompressed(sections[:]...))
	})
}

// decodeAnything decodes bytes of unknown origin under small limits and holds
// the result to them.
func decodeAnything(t *testing.T, payload []byte) {
	lim := delta.Limits{Bytes: 1 << 20, Series: 1000, Samples: 5000, LabelBytes: 4096}
	b, err := delta.Decode(payload, lim)
	if err != nil {
		if !errors.Is(err, delta.ErrMalformed) && !errors.Is(err, delta.ErrLimit) {
			t.Errorf("error of no known kind: %v", err)
		}
		return
	}
	if len(b.Series) > lim.Series || b.Samples() > lim.Samples || len(b.Records) > lim.Samples {
		t.Errorf("%d series, %d samples, %d records are beyond the limits", len(b.Series), b.Samples(), len(b.Records))
	}
	again, err := delta.Encode(nil, b)
	if err != nil {
		t.Fatalf("what was decoded cannot be encoded: %v", err)
	}
	got, err := delta.Decode(again, delta.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(b, got, sameBits()); d != "" {
		t.Errorf("decoded, encoded and decoded again (-first +second):\n%s", d)
	}
}

func FuzzDecode(f *testing.F) {
	_, payload, err := buffer.Open(goldenBlock(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(payload)
	for _, b := range []delta.Batch{{}, scrapes(1), {Records: goldenBatch().Records}} {
		p, err := delta.Encode(nil, b)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p)
	}
	f.Fuzz(decodeAnything)
}

// FuzzSections damages what lies behind the compression, where FuzzDecode seldom
// gets.
func FuzzSections(f *testing.F) {
	small := scrapes(2)
	small.Series = append(small.Series[:3], small.Series[60:70]...)
	for _, b := range []delta.Batch{{}, goldenBatch(), small} {
		s, err := delta.Sections(b)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(s[0], s[1], s[2])
	}
	f.Fuzz(func(t *testing.T, text, shape, values []byte) {
		decodeAnything(t, delta.Uncompressed(text, shape, values))
	})
}
