package delta_test

import (
	"testing"

	"ghostlight/buffer/delta"
)

// BenchmarkScrapes codes scrapes one by one, as a node does: for the stream, at rest,
// and back at the centre, where the decoder is compacted between two of them or not.
func BenchmarkScrapes(b *testing.B) {
	codec, node := newCodec(b, delta.DefaultLimits()), newVenue(3)
	scrapes, frames, samples := make([]delta.Batch, 120), make([][]byte, 120), 0
	enc, dict := delta.NewEncoder(codec), delta.NewDict(codec, 1)
	for k := range scrapes {
		scrapes[k] = node.scrape()
		samples += scrapes[k].Samples()
		var err error
		if frames[k], err = enc.Encode(nil, stamp(k+1), scrapes[k]); err != nil {
			b.Fatal(err)
		}
	}
	report := func(b *testing.B) {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*samples), "ns/sample")
	}
	b.Run("stream", func(b *testing.B) {
		for b.Loop() {
			enc.Reset()
			for k := range scrapes {
				if _, err := enc.Encode(nil, stamp(k+1), scrapes[k]); err != nil {
					b.Fatal(err)
				}
			}
		}
		report(b)
	})
	b.Run("rest", func(b *testing.B) {
		for b.Loop() {
			for k := range scrapes {
				if _, _, err := dict.Encode(nil, scrapes[k]); err != nil {
					b.Fatal(err)
				}
			}
		}
		report(b)
	})
	for name, compact := range map[string]bool{"decode": false, "compacted": true} {
		b.Run(name, func(b *testing.B) {
			dec := delta.NewDecoder(codec)
			for b.Loop() {
				for k := range frames {
					if _, _, err := dec.Decode(frames[k]); err != nil {
						b.Fatal(err)
					}
					if dec.Recycle(); compact {
						dec.Compact()
					}
				}
			}
			report(b)
		})
	}
}
