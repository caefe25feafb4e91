package ledger

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"

	"ghostlight/slo"
)

const rowVersion = 2 // 1 was an hour of one objective

// usualDelay is about when a bucket arrives, milliseconds after its minute began.
const usualDelay = 62_000

// pack is a row of node_hours: version u8, the totals (see appendTotals) with their
// length before them as uvarint and, compressed, the arrivals that most
// objectives share (a map of minutes, u64; for each a varint of its delay less than
// or above usualDelay), then for each objective its number and the length of what
// follows as uvarints and: a map of the minutes held, u64 little endian, bit i is
// minute i; the number of distinct hashes as uvarint and the hashes, u64 each; then
// column by column, minute by minute: the hash's index if there are several, flags u8,
// observed u8, varint of epoch less the one before, uvarints of revision, bad and
// total, and a varint of how much later than the shared one its arrival was.
func (c codec) pack(k *chunk) []byte {
	shared := newShared(k)
	out := shared.append(make([]byte, 0, 4096))
	var column []byte
	for i := range k.lines {
		n := &k.lines[i]
		if n.held == 0 {
			continue
		}
		column = appendLine(column[:0], k.hour, n, shared)
		out = binary.AppendUvarint(out, uint64(n.objective.id))
		out = binary.AppendUvarint(out, uint64(len(column)))
		out = append(out, column...)
	}
	totals := appendTotals(nil, k)
	row := binary.AppendUvarint(append(make([]byte, 0, len(totals)+len(out)/3), rowVersion), uint64(len(totals)))
	return c.encoder.EncodeAll(out, append(row, totals...))
}

// shared are the arrivals that the objectives of a node have in common: its buckets
// of one minute come in one block.
type shared struct {
	held  uint64
	delay [60]int64
}

func newShared(k *chunk) *shared {
	s := &shared{}
	for i := range k.lines {
		n := &k.lines[i]
		if n.held&^s.held == 0 {
			continue
		}
		n.each(k.hour, func(v version) {
			if at := v.Minute - k.hour*60; s.held&(1<<at) == 0 {
				s.held |= 1 << at
				s.delay[at] = v.arrivedMS - v.Minute*60_000
			}
		})
	}
	return s
}

func (s *shared) append(out []byte) []byte {
	out = binary.LittleEndian.AppendUint64(out, s.held)
	for i := range minutesOf(s.held) {
		out = binary.AppendVarint(out, s.delay[i]-usualDelay)
	}
	return out
}

// minutesOf yields the minutes of a map, in order.
func minutesOf(held uint64) func(yield func(int) bool) {
	return func(yield func(int) bool) {
		for held != 0 {
			if !yield(bits.TrailingZeros64(held)) {
				return
			}
			held &= held - 1
		}
	}
}

func appendLine(out []byte, hour int64, n *line, s *shared) []byte {
	var of [60]version
	var hashes []uint64
	n.each(hour, func(v version) {
		of[v.Minute-hour*60] = v
		if !slices.Contains(hashes, v.Hash) {
			hashes = append(hashes, v.Hash)
		}
	})
	out = binary.LittleEndian.AppendUint64(out, n.held)
	out = binary.AppendUvarint(out, uint64(len(hashes)))
	for _, h := range hashes {
		out = binary.LittleEndian.AppendUint64(out, h)
	}
	if len(hashes) > 1 {
		for i := range minutesOf(n.held) {
			out = append(out, byte(slices.Index(hashes, of[i].Hash)))
		}
	}
	for i := range minutesOf(n.held) {
		out = append(out, flagsOf(&of[i].Bucket))
	}
	for i := range minutesOf(n.held) {
		out = append(out, of[i].Observed)
	}
	epoch := int64(0)
	for i := range minutesOf(n.held) {
		out = binary.AppendVarint(out, int64(of[i].Epoch)-epoch)
		epoch = int64(of[i].Epoch)
	}
	for _, value := range []func(*slo.Bucket) int64{
		func(b *slo.Bucket) int64 { return int64(b.Revision) }, func(b *slo.Bucket) int64 { return b.Total - b.Good }, func(b *slo.Bucket) int64 { return b.Total },
	} {
		for i := range minutesOf(n.held) {
			out = binary.AppendUvarint(out, uint64(value(&of[i].Bucket)))
		}
	}
	for i := range minutesOf(n.held) {
		out = binary.AppendVarint(out, of[i].arrivedMS-of[i].Minute*60_000-s.delay[i])
	}
	return out
}

// unpack calls yield with each minute held of the objectives that want accepts.
func (c codec) unpack(hour int64, row []byte, want func(objective int64) bool, yield func(objective int64, v *version)) error {
	_, packed, err := split(row)
	if err != nil {
		return err
	}
	src, err := c.decoder.DecodeAll(packed, nil)
	if err != nil {
		return fmt.Errorf("%w: %w", errRow, err)
	}
	r := reader{src: src}
	s := shared{held: r.u64()}
	if s.held>>60 != 0 {
		return errRow
	}
	for i := range minutesOf(s.held) {
		s.delay[i] = r.varint() + usualDelay
	}
	for len(r.src) > 0 && !r.bad {
		id, n := int64(r.uvarint()), r.uvarint()
		if r.bad || n > uint64(len(r.src)) {
			return errRow
		}
		of := reader{src: r.src[:n]}
		r.src = r.src[n:]
		if !want(id) {
			continue
		}
		if err := of.line(hour, &s, func(v *version) { yield(id, v) }); err != nil {
			return err
		}
	}
	if r.bad {
		return errRow
	}
	return nil
}

// line reads what appendLine wrote.
func (r *reader) line(hour int64, s *shared, yield func(*version)) error {
	held, count := r.u64(), r.uvarint()
	if held>>60 != 0 || held&^s.held != 0 || count == 0 || count > 60 {
		return errRow
	}
	var of [60]version
	var hashes [60]uint64
	for i := range count {
		hashes[i] = r.u64()
	}
	for i := range minutesOf(held) {
		of[i].Hash = hashes[0]
		if count > 1 {
			of[i].Hash = hashes[min(59, r.byte())]
		}
		of[i].Minute = hour*60 + int64(i)
	}
	for i := range minutesOf(held) {
		setFlags(&of[i].Bucket, r.byte())
	}
	for i := range minutesOf(held) {
		of[i].Observed = r.byte()
	}
	epoch := int64(0)
	for i := range minutesOf(held) {
		epoch += r.varint()
		of[i].Epoch = uint32(epoch)
	}
	for i := range minutesOf(held) {
		of[i].Revision = uint32(r.uvarint())
	}
	for i := range minutesOf(held) {
		of[i].Good = -int64(r.uvarint())
	}
	for i := range minutesOf(held) {
		of[i].Total = int64(r.uvarint())
		of[i].Good += of[i].Total
	}
	for i := range minutesOf(held) {
		of[i].arrivedMS = of[i].Minute*60_000 + s.delay[i] + r.varint()
	}
	if r.bad || len(r.src) > 0 {
		return errRow
	}
	for i := range minutesOf(held) {
		if !possible(&of[i].Bucket) {
			return errRow
		}
		yield(&of[i])
	}
	return nil
}

// possible is [slo.Bucket.Validate] of a bucket without name.
func possible(b *slo.Bucket) bool {
	return b.State >= slo.Measured && b.State <= slo.Excluded && b.Good >= 0 && b.Good <= b.Total && b.Total <= slo.MaxCount && b.Observed <= 60 && b.Revision > 0
}
