package delta_test

import (
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ghostlight/buffer/delta"
)

// The same batch has one digest, whether it came by stream, from rest or, where
// that can hold it, in format 1.
func TestDigestIsTheSameHoweverABatchTravelled(t *testing.T) {
	codec := newCodec(t, delta.DefaultLimits())
	rapid.Check(t, func(t *rapid.T) {
		enc, dec, dict := delta.NewEncoder(codec), delta.NewDecoder(codec), delta.NewDict(codec, 1)
		for i, b := range drawLife(t) {
			want := delta.Digest(b)
			frame, err := enc.Encode(nil, stamp(i+1), b)
			if err != nil {
				t.Fatal(err)
			}
			_, streamed, err := dec.Decode(frame)
			if err != nil {
				t.Fatal(err)
			}
			if names := dec.NamesHash(streamed); names != delta.NamesHash(b.Series) || delta.DigestNamed(names, streamed) != want {
				t.Fatalf("batch %d: the decoder remembers the hash of other names", i)
			}
			payload, _, err := dict.Encode(nil, b)
			if err != nil {
				t.Fatal(err)
			}
			stored, err := dict.Decode(payload)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]delta.Batch{"stream": streamed, "rest": stored}
			if len(b.Histograms)+len(b.Exemplars) == 0 {
				if payload, err = codec.Encode(nil, b); err != nil {
					t.Fatal(err)
				}
				if got["format 1"], err = codec.Decode(payload); err != nil {
					t.Fatal(err)
				}
			}
			for way, g := range got {
				if delta.Digest(g) != want {
					t.Fatalf("batch %d by %s has another digest:\n%s", i, way, cmp.Diff(b, g, sameBits()))
				}
			}
		}
	})
}

// digestBatch has something of everything that a digest covers.
func digestBatch() delta.Batch {
	b := goldenBatch()
	b.Histograms = []delta.NativeHistogram{{
		Series: 1, Time: 5, Reset: delta.ResetNo, Schema: -3, ZeroThreshold: 1e-9, ZeroCount: 2, Count: 9, Sum: 4.5,
		Positive: delta.Buckets{Spans: []delta.Span{{Offset: -2, Length: 2}}, Counts: []float64{3, 4}}, Bounds: []float64{1},
	}}
	b.Exemplars = []delta.Exemplar{{Series: 2, Time: 6, Value: 0.5, Labels: []delta.Label{{Name: "trace_id", Value: "abc"}}}}
	return b
}

func TestDigestTellsBatchesApart(t *testing.T) {
	seen := map[[16]byte]string{delta.Digest(digestBatch()): "unchanged"}
	for name, change := range map[string]func(*delta.Batch){
		"value bit":    func(b *delta.Batch) { flip(&b.Series[0].Samples[1].Value) },
		"NaN payload":  func(b *delta.Batch) { flip(&b.Series[4].Samples[1].Value) },
		"sign of zero": func(b *delta.Batch) { b.Series[4].Samples[2].Value = 0 },
		"time":         func(b *delta.Batch) { b.Series[0].Samples[1].Time++ },
		"sample moved": func(b *delta.Batch) {
			b.Series[6].Samples[0], b.Series[6].Samples[1] = b.Series[6].Samples[1], b.Series[6].Samples[0]
		},
		"sample lost":     func(b *delta.Batch) { b.Series[6].Samples = b.Series[6].Samples[:2] },
		"series lost":     func(b *delta.Batch) { b.Series = b.Series[:7] },
		"series swapped":  func(b *delta.Batch) { b.Series[0], b.Series[1] = b.Series[1], b.Series[0] },
		"label value":     func(b *delta.Batch) { b.Series[1].Labels[2].Value = "/orders" },
		"label boundary":  func(b *delta.Batch) { b.Series[1].Labels[2] = delta.Label{Name: "route/", Value: "order"} },
		"type":            func(b *delta.Batch) { b.Series[3].Meta.Type = delta.Counter },
		"unit":            func(b *delta.Batch) { b.Series[3].Meta.Unit = "ms" },
		"help":            func(b *delta.Batch) { b.Series[3].Meta.Help = "" },
		"record lost":     func(b *delta.Batch) { b.Records = b.Records[:2] },
		"record body":     func(b *delta.Batch) { b.Records[1].Body = []byte{1, 0, 1, 13} },
		"record key":      func(b *delta.Batch) { b.Records[1].Key += "0" },
		"record kind":     func(b *delta.Batch) { b.Records[1].Kind += "0" },
		"record time":     func(b *delta.Batch) { b.Records[1].Time-- },
		"schema":          func(b *delta.Batch) { b.Histograms[0].Schema++ },
		"reset":           func(b *delta.Batch) { b.Histograms[0].Reset = delta.ResetYes },
		"span":            func(b *delta.Batch) { b.Histograms[0].Positive.Spans[0].Offset++ },
		"bucket":          func(b *delta.Batch) { b.Histograms[0].Positive.Counts[1]++ },
		"sides":           func(b *delta.Batch) { h := &b.Histograms[0]; h.Positive, h.Negative = h.Negative, h.Positive },
		"bounds":          func(b *delta.Batch) { b.Histograms[0].Bounds = nil },
		"histogram lost":  func(b *delta.Batch) { b.Histograms = nil },
		"exemplar series": func(b *delta.Batch) { b.Exemplars[0].Series++ },
		"exemplar value":  func(b *delta.Batch) { flip(&b.Exemplars[0].Value) },
		"exemplar label":  func(b *delta.Batch) { b.Exemplars[0].Labels[0].Value = "abd" },
		"empty":           func(b *delta.Batch) { *b = delta.Batch{} },
	} {
		b := digestBatch()
		change(&b)
		d := delta.Digest(b)
		if other, ok := seen[d]; ok {
			t.Errorf("%s has the digest of %s", name, other)
		}
		seen[d] = name
	}
}

func flip(v *float64) { *v = math.Float64frombits(math.Float64bits(*v) ^ 1) }

// A digest is kept beside what it names: it must not change with the build.
func TestDigestIsPublished(t *testing.T) {
	if got, want := delta.Digest(digestBatch()), [16]byte{0x08, 0xce, 0xfb, 0x44, 0x6c, 0xe3, 0x4a, 0xa9, 0x88, 0x91, 0xc5, 0x8f, 0xd8, 0x4e, 0x85, 0x20}; got != want {
		t.Errorf("digest %x, want %x", got, want)
	}
	if got, want := delta.NamesHash(digestBatch().Series), uint64(0x90c73827da4be610); got != want {
		t.Errorf("hash of names %#x, want %#x", got, want)
	}
}

func TestNamesComeBack(t *testing.T) {
	codec := newCodec(t, delta.DefaultLimits())
	rapid.Check(t, func(t *rapid.T) {
		series := drawBatch(t).Series
		if n := len(series); n > 0 && rapid.Bool().Draw(t, "repeat") {
			series = append(series, series[rapid.IntRange(0, n-1).Draw(t, "which")])
		}
		data, err := codec.EncodeNames([]byte("before"), series)
		if err != nil {
			t.Fatal(err)
		}
		got, err := codec.DecodeNames(data[len("before"):])
		if err != nil {
			t.Fatal(err)
		}
		var want []delta.Series
		for _, s := range series {
			want = append(want, delta.Series{Labels: s.Labels, Meta: s.Meta})
		}
		if d := cmp.Diff(want, got, sameBits()); d != "" {
			t.Fatalf("names (-want +got):\n%s", d)
		}
		if delta.NamesHash(got) != delta.NamesHash(series) {
			t.Fatal("names that came back have another hash")
		}
	})
}

func TestNamesKeepToLimits(t *testing.T) {
	series := scrapes(1).Series
	data, err := newCodec(t, delta.DefaultLimits()).EncodeNames(nil, series)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*delta.Limits){
		"series":      func(l *delta.Limits) { l.Series = len(series) - 1 },
		"bytes":       func(l *delta.Limits) { l.Bytes = 50 << 10 },
		"label bytes": func(l *delta.Limits) { l.LabelBytes = 40 },
	} {
		lim := delta.DefaultLimits()
		change(&lim)
		codec := newCodec(t, lim)
		if out, err := codec.EncodeNames([]byte("kept"), series); !errors.Is(err, delta.ErrLimit) || string(out) != "kept" {
			t.Errorf("%s: encoding: %v, %d bytes", name, err, len(out))
		}
		if _, err := codec.DecodeNames(data); !errors.Is(err, delta.ErrLimit) {
			t.Errorf("%s: decoding: %v", name, err)
		}
	}
	bad := append(series[:1:1], delta.Series{})
	if _, err := newCodec(t, delta.DefaultLimits()).EncodeNames(nil, bad); !errors.Is(err, delta.ErrInvalid) {
		t.Errorf("series without labels: %v", err)
	}
	for n := range data {
		if _, err := newCodec(t, delta.DefaultLimits()).DecodeNames(data[:n]); !errors.Is(err, delta.ErrMalformed) {
			t.Fatalf("prefix of %d bytes: %v", n, err)
		}
	}
}

func BenchmarkDigest(b *testing.B) {
	batch, names := digestScrape(), uint64(7)
	b.Run("batch", func(b *testing.B) {
		for b.Loop() {
			delta.Digest(batch)
		}
	})
	b.Run("named", func(b *testing.B) {
		for b.Loop() {
			delta.DigestNamed(names, batch)
		}
	})
}

// digestScrape is a scrape of as many series as the published data set has.
func digestScrape() delta.Batch {
	batch := scrapes(1)
	for i := range 532 {
		s := batch.Series[i]
		s.Labels = append(s.Labels[:len(s.Labels):len(s.Labels)], delta.Label{Name: "venue_part", Value: "bar"})
		batch.Series = append(batch.Series, s)
	}
	return batch
}
