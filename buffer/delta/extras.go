package delta

import (
	"fmt"
	"math"
	"math/bits"
)

// What exemplars and histograms cost in memory, besides their lists.
const (
	costExemplar  = 72
	costHistogram = 208
)

// appendExtras appends records, histograms and exemplars. They are few beside
// samples, so they are coded in themselves and left to zstd and its dictionary.
func (c *Codec) appendExtras(dst []byte, b *Batch) ([]byte, error) {
	if err := b.checkExtras(); err != nil {
		return dst, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if n := max(len(b.Histograms), len(b.Exemplars)); n > c.limits.Samples {
		return dst, fmt.Errorf("%w: %d histograms or exemplars, at most %d", ErrLimit, n, c.limits.Samples)
	}
	e := newEncoder(c.limits)
	for _, r := range b.Records {
		e.memory.take(costRecord + len(r.Body))
	}
	e.uvarint(uint64(len(b.Records)))
	e.uvarint(uint64(len(b.Histograms)))
	e.uvarint(uint64(len(b.Exemplars)))
	for i := range b.Histograms {
		e.histogram(&b.Histograms[i])
	}
	for i := range b.Exemplars {
		e.exemplar(&b.Exemplars[i])
	}
	e.records(b.Records)
	if err := e.memory.err(c.limits.Bytes); err != nil {
		return dst, err
	}
	return c.appendSections(dst, &c.records, e.text, e.shape)
}

// readExtras is the inverse of appendExtras.
func (c *Codec) readExtras(r *reader, b *Batch) error {
	text, shape, err := c.readSections(r)
	if err != nil {
		return err
	}
	d := newDecoder(c.limits, [sectionCount][]byte{text, shape, nil})
	records := d.shape.uvarint()
	histograms := d.shape.uvarint()
	exemplars := d.shape.uvarint()
	limit := uint64(min(c.limits.Samples, len(shape)))
	if max(records, histograms, exemplars) > limit {
		return fmt.Errorf("%w: %d records, %d histograms, %d exemplars, at most %d", ErrLimit, records, histograms, exemplars, limit)
	}
	for i := uint64(0); i < histograms && d.err() == nil; i++ {
		b.Histograms = append(b.Histograms, d.histogram())
	}
	for i := uint64(0); i < exemplars && d.err() == nil; i++ {
		b.Exemplars = append(b.Exemplars, d.exemplar())
	}
	b.Records = d.records(int(records))
	if err := d.err(); err != nil {
		return err
	}
	if rest := len(d.shape.src) + len(d.text.src); rest > 0 {
		return fmt.Errorf("%w: %d bytes are left over", ErrMalformed, rest)
	}
	return nil
}

func (e *encoder) histogram(h *NativeHistogram) {
	e.memory.take(costHistogram)
	e.uvarint(uint64(h.Series))
	e.varint(h.Time)
	e.uvarint(uint64(h.Reset))
	e.varint(int64(h.Schema))
	for _, v := range []float64{h.ZeroThreshold, h.ZeroCount, h.Count, h.Sum} {
		e.float(v)
	}
	for _, b := range []*Buckets{&h.Positive, &h.Negative} {
		e.count(len(b.Spans), 8)
		for _, s := range b.Spans {
			e.varint(int64(s.Offset))
			e.uvarint(uint64(s.Length))
		}
		e.floats(b.Counts)
	}
	e.floats(h.Bounds)
}

func (d *decoder) histogram() (h NativeHistogram) {
	d.memory.take(costHistogram)
	h.Series = d.shape.index("series", d.limits.Series)
	h.Time = d.shape.varint()
	h.Reset = ResetHint(d.shape.index("reset hint", 256))
	h.Schema = int8(d.shape.between("schema", -128, 127))
	for _, v := range []*float64{&h.ZeroThreshold, &h.ZeroCount, &h.Count, &h.Sum} {
		*v = d.float()
	}
	for _, b := range []*Buckets{&h.Positive, &h.Negative} {
		for range d.count("spans", 8) {
			b.Spans = append(b.Spans, Span{
				Offset: int32(d.shape.between("offset", math.MinInt32, math.MaxInt32)),
				Length: uint32(d.shape.between("length", 0, math.MaxUint32)),
			})
		}
		b.Counts = d.floats()
	}
	h.Bounds = d.floats()
	return h
}

func (e *encoder) exemplar(x *Exemplar) {
	e.memory.take(costExemplar)
	e.uvarint(uint64(x.Series))
	e.varint(x.Time)
	e.float(x.Value)
	e.count(len(x.Labels), costLabel)
	for _, l := range x.Labels {
		e.string(l.Name)
		e.string(l.Value)
	}
}

func (d *decoder) exemplar() (x Exemplar) {
	d.memory.take(costExemplar)
	x.Series = d.shape.index("series", d.limits.Series)
	x.Time = d.shape.varint()
	x.Value = d.float()
	for range d.count("labels", costLabel) {
		x.Labels = append(x.Labels, Label{Name: d.string(), Value: d.string()})
		if d.err() != nil {
			return Exemplar{}
		}
	}
	return x
}

// float writes a whole number shortly, and any other double by its bits, the
// lowest first for they are often zero.
func (e *encoder) float(v float64) {
	if m, ok := scaled(v, 0); ok {
		e.uvarint(zigzag(m) << 1)
		return
	}
	e.uvarint(1)
	e.uvarint(bits.Reverse64(math.Float64bits(v)))
}

func (d *decoder) float() float64 {
	u := d.shape.uvarint()
	if u&1 == 0 {
		return float64(unzigzag(u >> 1))
	}
	return math.Float64frombits(bits.Reverse64(d.shape.uvarint()))
}

func (e *encoder) floats(list []float64) {
	e.count(len(list), 8)
	for _, v := range list {
		e.float(v)
	}
}

func (d *decoder) floats() []float64 {
	var list []float64
	for range d.count("numbers", 8) {
		list = append(list, d.float())
	}
	return list
}

// between reads a number that lies in lo to hi.
func (r *reader) between(what string, lo, hi int64) int64 {
	v := r.varintOrUvarint(lo < 0)
	if r.err == nil && (v < lo || v > hi) {
		r.fail("%s %d is not in %d to %d", what, v, lo, hi)
		return 0
	}
	return v
}

func (r *reader) varintOrUvarint(signed bool) int64 {
	if signed {
		return r.varint()
	}
	return int64(r.uvarint())
}
