package ingest

import (
	"encoding/binary"
	"fmt"
	"math"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
)

// A head is what a block's record says before the names of its series are needed.
type head struct {
	source buffer.Source
	header buffer.Header // without time range and counts
	series int
	names  uint64 // hash; of no meaning without series
	rest   reader
}

// parseHead reads the record of a block up to its names. The error wraps
// errRecord.
func parseHead(record []byte) (h head, err error) {
	src, r, err := openRecord(record, blockMagic)
	if err != nil {
		return head{}, err
	}
	h.source = src
	h.header = buffer.Header{Kind: buffer.SelfContained, Lane: buffer.Lane(r.byte()), Session: buffer.Session(r.fixed())}
	h.header.Seq = buffer.Seq(r.uvarint())
	if span := buffer.Seq(r.uvarint()); span >= h.header.Seq {
		r.fail("sequence %d and %d before it", h.header.Seq, span)
	} else if span > 0 {
		h.header.First = h.header.Seq - span
	}
	if h.series = r.count(0); h.series > 0 {
		h.names = r.fixed()
	}
	if !h.header.Lane.Valid() {
		r.fail("lane %d", h.header.Lane)
	}
	h.rest = r
	return h, r.err
}

// batch reads what the record holds; names are those of its series, without
// samples, and are shared. The error wraps errRecord.
func (h *head) batch(names []delta.Series) (delta.Batch, error) {
	r := h.rest
	var b delta.Batch
	if h.series > 0 {
		if len(names) != h.series {
			return delta.Batch{}, fmt.Errorf("%w: %d names for %d series", errRecord, len(names), h.series)
		}
		b.Series = append([]delta.Series(nil), names...)
		r.samples(b.Series)
	}
	r.records(&b)
	r.exemplars(&b)
	r.histograms(&b)
	if r.err == nil && len(r.src) > 0 {
		r.fail("%d bytes are left over", len(r.src))
	}
	if r.err != nil {
		return delta.Batch{}, r.err
	}
	h.header.MinTime, h.header.MaxTime = b.TimeRange()
	h.header.Samples, h.header.Records = uint32(b.Samples()), uint32(len(b.Records))
	return b, nil
}

// A reader reads a record; the first thing that is wrong stays in err, and then
// all it reads is zero.
type reader struct {
	src []byte
	err error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", errRecord, fmt.Sprintf(format, args...))
	}
	r.src = nil
}

func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.src)) {
		r.fail("it is cut short")
		return nil
	}
	out := r.src[:n]
	r.src = r.src[n:]
	return out
}

func (r *reader) byte() byte {
	if b := r.bytes(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

func (r *reader) fixed() uint64 {
	if b := r.bytes(8); len(b) == 8 {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (r *reader) float() float64 { return math.Float64frombits(r.fixed()) }

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.src)
	if n <= 0 {
		r.fail("it is cut short")
		return 0
	}
	r.src = r.src[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.src)
	if n <= 0 {
		r.fail("it is cut short")
		return 0
	}
	r.src = r.src[n:]
	return v
}

func (r *reader) text() string { return string(r.bytes(r.uvarint())) }

// count reads how many of something follow, each of which takes least bytes or
// more.
func (r *reader) count(least int) int {
	n := r.uvarint()
	if n > uint64(len(r.src)/max(least, 1)) && (least > 0 || n > math.MaxInt32) {
		r.fail("%d are announced where %d bytes are left", n, len(r.src))
		return 0
	}
	return int(n)
}

// samples reads the samples of all series.
func (r *reader) samples(series []delta.Series) {
	lists := make([][]int64, r.count(1))
	for n := range lists {
		lists[n] = make([]int64, r.count(1))
		before := int64(0)
		for j := range lists[n] {
			before += r.varint()
			lists[n][j] = before
		}
	}
	of, total := make([]int32, 0, len(series)), uint64(0)
	for len(of) < len(series) && r.err == nil {
		list, length := r.uvarint(), r.uvarint()
		if list >= uint64(len(lists)) || length == 0 || length > uint64(len(series)-len(of)) {
			r.fail("%d series have list %d of %d", length, list, len(lists))
			return
		}
		total += length * uint64(len(lists[list]))
		for range length {
			of = append(of, int32(list))
		}
	}
	values := r.bytes(8 * total)
	if r.err != nil {
		return
	}
	samples := make([]delta.Sample, total)
	for i := range series {
		times := lists[of[i]]
		series[i].Samples, samples = samples[:len(times):len(times)], samples[len(times):]
		for j, t := range times {
			series[i].Samples[j] = delta.Sample{Time: t, Value: math.Float64frombits(binary.LittleEndian.Uint64(values))}
			values = values[8:]
		}
	}
}

func (r *reader) records(b *delta.Batch) {
	n := r.count(4)
	if n > 0 {
		b.Records = make([]delta.Record, n)
	}
	for i := range b.Records {
		b.Records[i] = delta.Record{Kind: r.text(), Key: r.text(), Time: r.varint()}
		if body := r.bytes(r.uvarint()); len(body) > 0 {
			b.Records[i].Body = append([]byte(nil), body...)
		}
	}
}

// series reads which series of b something belongs to.
func (r *reader) series(b *delta.Batch) int {
	n := r.uvarint()
	if n >= uint64(len(b.Series)) {
		r.fail("series %d of %d", n, len(b.Series))
		return 0
	}
	return int(n)
}

func (r *reader) exemplars(b *delta.Batch) {
	n := r.count(11)
	if n > 0 {
		b.Exemplars = make([]delta.Exemplar, n)
	}
	for i := range b.Exemplars {
		x := &b.Exemplars[i]
		x.Series, x.Time, x.Value = r.series(b), r.varint(), r.float()
		if labels := r.count(2); labels > 0 {
			x.Labels = make([]delta.Label, labels)
		}
		for j := range x.Labels {
			x.Labels[j] = delta.Label{Name: r.text(), Value: r.text()}
		}
	}
}

func (r *reader) histograms(b *delta.Batch) {
	n := r.count(4 + 4*8 + 5)
	if n > 0 {
		b.Histograms = make([]delta.NativeHistogram, n)
	}
	for i := range b.Histograms {
		h := &b.Histograms[i]
		h.Series, h.Time = r.series(b), r.varint()
		h.Reset, h.Schema = delta.ResetHint(r.byte()), int8(r.byte())
		h.ZeroThreshold, h.ZeroCount, h.Count, h.Sum = r.float(), r.float(), r.float(), r.float()
		for _, buckets := range [...]*delta.Buckets{&h.Positive, &h.Negative} {
			if spans := r.count(2); spans > 0 {
				buckets.Spans = make([]delta.Span, spans)
			}
			for j := range buckets.Spans {
				buckets.Spans[j] = delta.Span{Offset: int32(r.varint()), Length: uint32(r.uvarint())}
			}
			buckets.Counts = r.floats()
		}
		h.Bounds = r.floats()
	}
}

func (r *reader) floats() []float64 {
	n := r.count(8)
	if n == 0 {
		return nil
	}
	list := make([]float64, n)
	for i := range list {
		list[i] = r.float()
	}
	return list
}
