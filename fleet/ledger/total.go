package ledger

import (
	"encoding/binary"

	"ghostlight/slo"
)

// A total is what an hour of one objective on one node adds up to by one definition:
// by its hash and its capacity. It spares those who need no minutes the minutes.
type total struct {
	objective int64
	hash      uint64
	capacity  int64
	sum       slo.Sum
}

// of reports whether the total is what the objective, as it is now, adds up to.
func (t *total) of(def *slo.Objective) bool {
	return def != nil && t.hash == def.Hash && t.capacity == def.Capacity
}

// appendTotals appends, for each objective that is defined: its number as uvarint, the
// hash u64 little endian, and uvarints of the capacity and of what the sum has.
func appendTotals(out []byte, k *chunk) []byte {
	for i := range k.lines {
		n := &k.lines[i]
		def := n.objective.def
		if n.held == 0 || def == nil || def.Hash == 0 {
			continue
		}
		var s slo.Sum
		n.each(k.hour, func(v version) {
			sum := n.objective.sum(&v.Bucket)
			s.Add(&sum)
		})
		out = binary.AppendUvarint(out, uint64(n.objective.id))
		out = binary.LittleEndian.AppendUint64(out, def.Hash)
		for _, v := range []int64{
			def.Capacity, s.Total, s.Bad(), int64(s.Measured), int64(s.Gap), int64(s.Coverage.Excluded),
			int64(s.Quiet), int64(s.Blind), int64(s.Coverage.Failing), int64(s.Open), s.Room, int64(s.Exceeded),
		} {
			out = binary.AppendUvarint(out, uint64(v))
		}
	}
	return out
}

// split takes a row apart: its totals, and what is compressed.
func split(row []byte) (totals, packed []byte, err error) {
	r := reader{src: row}
	version, n := r.byte(), r.uvarint()
	if r.bad || version != rowVersion || n > uint64(len(r.src)) {
		return nil, nil, errRow
	}
	return r.src[:n], r.src[n:], nil
}

// eachTotal calls yield with the totals of a row.
func eachTotal(row []byte, yield func(*total)) error {
	totals, _, err := split(row)
	if err != nil {
		return err
	}
	r := reader{src: totals}
	for len(r.src) > 0 {
		t := total{objective: int64(r.uvarint()), hash: r.u64(), capacity: int64(r.uvarint())}
		count := func() int { return int(r.uvarint()) }
		t.sum.Total = int64(r.uvarint())
		t.sum.Good = t.sum.Total - int64(r.uvarint())
		t.sum.Measured, t.sum.Gap, t.sum.Coverage.Excluded = count(), count(), count()
		t.sum.Quiet, t.sum.Blind, t.sum.Coverage.Failing, t.sum.Open = count(), count(), count(), count()
		t.sum.Room, t.sum.Exceeded = int64(r.uvarint()), count()
		if r.bad || t.sum.Good < 0 || t.sum.Good > t.sum.Total || t.sum.Measured < 0 || t.sum.Gap < 0 || t.sum.Coverage.Excluded < 0 || t.sum.Told() > 60 {
			return errRow
		}
		yield(&t)
	}
	return nil
}
