package delta

import (
	"encoding/binary"
	"math"

	"github.com/cespare/xxhash/v2"
)

// Digest names the content of a batch: the same for the same batch however it was
// coded and whichever way it travelled, another one if a single bit differs. It
// holds against accidents, not against somebody who looks for two batches of one
// digest. FORMAT.md says what is hashed.
func Digest(b Batch) [16]byte { return DigestNamed(NamesHash(b.Series), b) }

// DigestNamed is Digest for who knows the [NamesHash] of b, which is most of the
// work.
func DigestNamed(names uint64, b Batch) [16]byte {
	d := newDigester()
	d.high = xxhash.NewWithSeed(1)
	d.fixed(names)
	d.number(len(b.Series))
	for i := range b.Series {
		d.samples(b.Series[i].Samples)
	}
	d.number(len(b.Histograms))
	for i := range b.Histograms {
		d.histogram(&b.Histograms[i])
	}
	d.number(len(b.Exemplars))
	for i := range b.Exemplars {
		d.exemplar(&b.Exemplars[i])
	}
	d.number(len(b.Records))
	for i := range b.Records {
		d.record(&b.Records[i])
	}
	return d.sum()
}

// NamesHash names a list of series by their labels and metadata, in order; their
// samples do not count.
func NamesHash(series []Series) uint64 {
	d := newDigester()
	d.names(series)
	d.flush()
	return d.low.Sum64()
}

// A digester hashes what it is told, under one seed or two. Small pieces are gathered
// first: to hash each by itself would take most of the time.
type digester struct {
	low, high *xxhash.Digest
	buf       []byte
}

// digestChunk is how many bytes are gathered; it fits the fastest cache.
const digestChunk = 4 << 10

func newDigester() *digester {
	return &digester{low: xxhash.New(), buf: make([]byte, 0, 2*digestChunk)}
}

func (d *digester) flush() {
	_, _ = d.low.Write(d.buf) // never fails
	if d.high != nil {
		_, _ = d.high.Write(d.buf)
	}
	d.buf = d.buf[:0]
}

// full flushes what was gathered, once that is enough.
func (d *digester) full() {
	if len(d.buf) >= digestChunk {
		d.flush()
	}
}

func (d *digester) sum() (out [16]byte) {
	d.flush()
	binary.LittleEndian.PutUint64(out[:], d.low.Sum64())
	binary.LittleEndian.PutUint64(out[8:], d.high.Sum64())
	return out
}

func (d *digester) number(n int)    { d.buf = appendUvarint(d.buf, uint64(n)) }
func (d *digester) fixed(v uint64)  { d.buf = binary.LittleEndian.AppendUint64(d.buf, v) }
func (d *digester) float(v float64) { d.fixed(math.Float64bits(v)) }

func (d *digester) string(s string) { d.buf = appendText(d.buf, s) }

func (d *digester) floats(list []float64) {
	d.number(len(list))
	for _, v := range list {
		d.float(v)
		d.full()
	}
}

// names hashes labels and metadata: of each series what differs from the one
// before it.
func (d *digester) names(series []Series) {
	buf, before := appendUvarint(d.buf, uint64(len(series))), &Series{}
	for i := range series {
		buf = appendChanged(buf, &series[i], before)
		before = &series[i]
		if len(buf) >= digestChunk {
			d.buf = buf
			d.flush()
			buf = d.buf
		}
	}
	d.buf = buf
}

// appendChanged appends how many labels s has and whether its metadata are others
// than those of the series before, which labels are others, and all these. The
// 64th and later labels count as one.
func appendChanged(buf []byte, s, before *Series) []byte {
	changed := uint64(0)
	for j := range s.Labels {
		if j >= len(before.Labels) || !sameLabel(&s.Labels[j], &before.Labels[j]) {
			changed |= 1 << min(j, 63)
		}
	}
	head := uint64(len(s.Labels)) << 1
	if !sameMeta(&s.Meta, &before.Meta) {
		head |= 1
	}
	buf = appendUvarint(appendUvarint(buf, head), changed)
	for j := range s.Labels {
		if changed>>min(j, 63)&1 != 0 {
			buf = appendText(appendText(buf, s.Labels[j].Name), s.Labels[j].Value)
		}
	}
	if head&1 != 0 {
		buf = appendText(appendText(append(buf, byte(s.Meta.Type)), s.Meta.Unit), s.Meta.Help)
	}
	return buf
}

func appendText(buf []byte, s string) []byte {
	return append(appendUvarint(buf, uint64(len(s))), s...)
}

func (d *digester) samples(samples []Sample) {
	buf := appendUvarint(d.buf, uint64(len(samples)))
	for i := range samples {
		buf = binary.LittleEndian.AppendUint64(buf, uint64(samples[i].Time))
		buf = binary.LittleEndian.AppendUint64(buf, math.Float64bits(samples[i].Value))
		if len(buf) >= digestChunk {
			d.buf = buf
			d.flush()
			buf = d.buf
		}
	}
	d.buf = buf
}

func (d *digester) histogram(h *NativeHistogram) {
	d.number(h.Series)
	d.fixed(uint64(h.Time))
	d.number(int(h.Reset))
	d.fixed(uint64(h.Schema))
	d.floats([]float64{h.ZeroThreshold, h.ZeroCount, h.Count, h.Sum})
	for _, b := range []*Buckets{&h.Positive, &h.Negative} {
		d.number(len(b.Spans))
		for _, s := range b.Spans {
			d.fixed(uint64(s.Offset))
			d.number(int(s.Length))
			d.full()
		}
		d.floats(b.Counts)
	}
	d.floats(h.Bounds)
}

func (d *digester) exemplar(x *Exemplar) {
	d.number(x.Series)
	d.fixed(uint64(x.Time))
	d.float(x.Value)
	d.number(len(x.Labels))
	for _, l := range x.Labels {
		d.string(l.Name)
		d.string(l.Value)
		d.full()
	}
}

func (d *digester) record(r *Record) {
	d.string(r.Kind)
	d.string(r.Key)
	d.fixed(uint64(r.Time))
	d.number(len(r.Body))
	d.buf = append(d.buf, r.Body...)
	d.full()
}
