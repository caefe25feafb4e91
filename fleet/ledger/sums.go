package ledger

import (
	"fmt"
	"math/bits"

	"ghostlight/slo"
)

// sums adds the minutes of a row to what of says: the sums of an objective by its
// number, or nil. What sums do not need, such as arrivals, it passes over: a start reads
// all nodes' hours of a day. The memory of packed is used, and returned to be used again.
func (c codec) sums(packed, row []byte, of func(objective int64) (*slo.Objective, *[60]slo.Sum)) ([]byte, error) {
	_, src, err := split(row)
	if err != nil {
		return packed, err
	}
	if packed, err = c.decoder.DecodeAll(src, packed[:0]); err != nil {
		return packed, fmt.Errorf("%w: %w", errRow, err)
	}
	r := reader{src: packed}
	held := r.u64()
	if held>>60 != 0 {
		return packed, errRow
	}
	r.skip(bits.OnesCount64(held))
	for len(r.src) > 0 && !r.bad {
		id, n := int64(r.uvarint()), r.uvarint()
		if r.bad || n > uint64(len(r.src)) {
			return packed, errRow
		}
		line := reader{src: r.src[:n]}
		r.src = r.src[n:]
		if def, sums := of(id); sums != nil && !line.sums(held, def, sums) {
			return packed, errRow
		}
	}
	if r.bad {
		return packed, errRow
	}
	return packed, nil
}

// sums is reader.line without what sums do not need. It reports false for what
// appendLine cannot have written.
func (r *reader) sums(shared uint64, def *slo.Objective, to *[60]slo.Sum) bool {
	held, count := r.u64(), r.uvarint()
	if held>>60 != 0 || held&^shared != 0 || count == 0 || count > 60 {
		return false
	}
	var hashes [60]uint64
	for i := range count {
		hashes[i] = r.u64()
	}
	n := bits.OnesCount64(held)
	which := r.bytes(n * min(1, int(count-1))) // there is no column for one hash
	flags, observed := r.bytes(n), r.bytes(n)
	r.skip(2 * n) // epochs and revisions
	var bad [60]int64
	for k := range n {
		bad[k] = int64(r.uvarint())
	}
	k := 0
	for i := range minutesOf(held) {
		b := slo.Bucket{Total: int64(r.uvarint()), Hash: hashes[0], Revision: 1}
		if r.bad {
			return false
		}
		if count > 1 {
			b.Hash = hashes[min(59, which[k])]
		}
		b.Good, b.Observed = b.Total-bad[k], observed[k]
		setFlags(&b, flags[k])
		k++
		if !possible(&b) {
			return false
		}
		if def.Hash == 0 || b.Hash == def.Hash {
			to[i].AddBucket(&b, def.Capacity)
		}
	}
	return true
}

// bytes reads the next n.
func (r *reader) bytes(n int) []byte {
	if n > len(r.src) {
		r.bad, r.src = true, nil
		return make([]byte, n)
	}
	out := r.src[:n]
	r.src = r.src[n:]
	return out
}

// skip passes over n varints.
func (r *reader) skip(n int) {
	for i, b := range r.src {
		if n == 0 {
			r.src = r.src[i:]
			return
		}
		if b < 0x80 {
			n--
		}
	}
	r.src, r.bad = nil, r.bad || n > 0
}
