package ingest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
)

// What the journal keeps is made to be written and read with little work: a block
// is the hash of its names, its distinct lists of timestamps, and its values as
// they are, eight bytes each. The names, which seldom change, are kept once for
// all blocks of a node that have them. Both begin with a magic of four bytes and a
// version, go on with the node that they are of, and end in a CRC-32C over all of
// it, so that each can be told from damage wherever it is found. DESIGN.md has the
// layout.
const (
	blockMagic = "GLJB"
	namesMagic = "GLJN"

	recordVersion = 1
	recordLeast   = 4 + 1 + 4 // magic, version, checksum
)

// errRecord means that bytes of the journal are not what was written.
var errRecord = errors.New("journal record is damaged")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// beginRecord appends the beginning of a record of a node.
func beginRecord(dst []byte, magic string, src buffer.Source) []byte {
	return appendText(append(append(dst, magic...), recordVersion), src.String())
}

// endRecord appends the checksum.
func endRecord(record []byte) []byte {
	return binary.LittleEndian.AppendUint32(record, crc32.Checksum(record, castagnoli))
}

// openRecord checks a record and returns whose it is and what follows.
func openRecord(record []byte, magic string) (buffer.Source, reader, error) {
	if len(record) < recordLeast || string(record[:4]) != magic {
		return buffer.Source{}, reader{}, fmt.Errorf("%w: no %s in %d bytes", errRecord, magic, len(record))
	}
	if record[4] != recordVersion {
		return buffer.Source{}, reader{}, fmt.Errorf("%w: version %d, this build reads %d", errRecord, record[4], recordVersion)
	}
	body, tail := record[:len(record)-4], binary.LittleEndian.Uint32(record[len(record)-4:])
	if sum := crc32.Checksum(body, castagnoli); sum != tail {
		return buffer.Source{}, reader{}, fmt.Errorf("%w: checksum %08x where the record says %08x", errRecord, sum, tail)
	}
	r := reader{src: body[5:]}
	src := parseSource(r.text())
	return src, r, r.err
}

// appendBlock appends the record of a block to dst. names is the hash of the names
// of its series, under which the journal holds them.
func appendBlock(dst []byte, src buffer.Source, h buffer.Header, names uint64, b *delta.Batch) []byte {
	dst = beginRecord(dst, blockMagic, src)
	dst = append(dst, byte(h.Lane))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(h.Session))
	dst = binary.AppendUvarint(dst, uint64(h.Seq))
	dst = binary.AppendUvarint(dst, uint64(h.Seq-h.Start()))
	dst = binary.AppendUvarint(dst, uint64(len(b.Series)))
	if len(b.Series) > 0 {
		dst = binary.LittleEndian.AppendUint64(dst, names)
		dst = appendTimes(dst, b.Series)
		for i := range b.Series {
			for _, s := range b.Series[i].Samples {
				dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(s.Value))
			}
		}
	}
	return endRecord(appendExtras(dst, b))
}

// maxTimesTried is how many lists of timestamps a series is compared with.
const maxTimesTried = 8

// appendTimes appends the distinct lists of timestamps and which one each series
// has, as runs.
func appendTimes(dst []byte, series []delta.Series) []byte {
	type run struct{ list, length int }
	var lists []int // a series that has it
	var runs []run
	last := -1
	for i := range series {
		list := -1
		if last >= 0 && sameTimes(&series[i], &series[lists[last]]) {
			list = last
		}
		for n := max(0, len(lists)-maxTimesTried); list < 0 && n < len(lists); n++ {
			if sameTimes(&series[i], &series[lists[n]]) {
				list = n
			}
		}
		if list < 0 {
			list, lists = len(lists), append(lists, i)
		}
		if list == last {
			runs[len(runs)-1].length++
		} else {
			runs, last = append(runs, run{list, 1}), list
		}
	}
	dst = binary.AppendUvarint(dst, uint64(len(lists)))
	for _, i := range lists {
		dst = binary.AppendUvarint(dst, uint64(len(series[i].Samples)))
		before := int64(0)
		for _, s := range series[i].Samples {
			dst = binary.AppendVarint(dst, s.Time-before)
			before = s.Time
		}
	}
	for _, r := range runs {
		dst = binary.AppendUvarint(dst, uint64(r.list))
		dst = binary.AppendUvarint(dst, uint64(r.length))
	}
	return dst
}

func sameTimes(a, b *delta.Series) bool {
	if len(a.Samples) != len(b.Samples) {
		return false
	}
	for i := range a.Samples {
		if a.Samples[i].Time != b.Samples[i].Time {
			return false
		}
	}
	return true
}

// appendExtras appends what is not samples.
func appendExtras(dst []byte, b *delta.Batch) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(b.Records)))
	for i := range b.Records {
		r := &b.Records[i]
		dst = binary.AppendVarint(appendText(appendText(dst, r.Kind), r.Key), r.Time)
		dst = append(binary.AppendUvarint(dst, uint64(len(r.Body))), r.Body...)
	}
	dst = binary.AppendUvarint(dst, uint64(len(b.Exemplars)))
	for i := range b.Exemplars {
		x := &b.Exemplars[i]
		dst = appendFloat(binary.AppendVarint(binary.AppendUvarint(dst, uint64(x.Series)), x.Time), x.Value)
		dst = binary.AppendUvarint(dst, uint64(len(x.Labels)))
		for _, l := range x.Labels {
			dst = appendText(appendText(dst, l.Name), l.Value)
		}
	}
	dst = binary.AppendUvarint(dst, uint64(len(b.Histograms)))
	for i := range b.Histograms {
		dst = appendHistogram(dst, &b.Histograms[i])
	}
	return dst
}

func appendHistogram(dst []byte, h *delta.NativeHistogram) []byte {
	dst = binary.AppendVarint(binary.AppendUvarint(dst, uint64(h.Series)), h.Time)
	dst = append(dst, byte(h.Reset), byte(h.Schema))
	for _, v := range [...]float64{h.ZeroThreshold, h.ZeroCount, h.Count, h.Sum} {
		dst = appendFloat(dst, v)
	}
	for _, b := range [...]*delta.Buckets{&h.Positive, &h.Negative} {
		dst = binary.AppendUvarint(dst, uint64(len(b.Spans)))
		for _, s := range b.Spans {
			dst = binary.AppendUvarint(binary.AppendVarint(dst, int64(s.Offset)), uint64(s.Length))
		}
		dst = appendFloats(dst, b.Counts)
	}
	return appendFloats(dst, h.Bounds)
}

func appendFloats(dst []byte, list []float64) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(list)))
	for _, v := range list {
		dst = appendFloat(dst, v)
	}
	return dst
}

func appendFloat(dst []byte, v float64) []byte {
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// recordBytes is about how long the record of a block of so many samples will be.
func recordBytes(samples int, b *delta.Batch) int {
	n := 256 + 8*samples + 64*len(b.Exemplars)
	for i := range b.Records {
		n += 64 + len(b.Records[i].Body)
	}
	return n
}
