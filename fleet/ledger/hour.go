package ledger

import (
	"encoding/binary"
	"errors"
	"math/bits"
	"slices"

	"ghostlight/slo"
)

// An hour holds the buckets of one objective on one node in one hour.
//
// Packed it is: version u8; a map of the minutes held, u64 little endian, bit i is
// minute i; the number of distinct hashes as uvarint and the hashes, u64 each; then
// for each minute held, in order: flags u8 (state in the low two bits, then open,
// failing, passing), observed seconds u8, and uvarints of the hash's index, epoch,
// revision, bad and total. The objective's name is the row's.
type hour struct {
	number int64 // hours since the Unix epoch
	held   uint64
	minute [60]slo.Bucket // without the objective's name
}

const hourVersion = 1

const (
	stateBits   = 0x03
	flagOpen    = 0x04
	flagFailing = 0x08
	flagPassing = 0x10
)

var errHour = errors.New("stored hour of buckets is damaged")

func newHour(number int64) *hour { return &hour{number: number} }

// put takes b if it supersedes what is held for its minute.
func (h *hour) put(b slo.Bucket) bool {
	i := int(b.Minute - h.number*60)
	name := b.Objective
	old := h.minute[i]
	old.Objective = name
	if h.held&(1<<i) != 0 && !b.Supersedes(old) {
		return false
	}
	b.Objective = ""
	h.minute[i] = b
	h.held |= 1 << i
	return true
}

// each calls yield with the buckets held, named, in order of time.
func (h *hour) each(objective string, yield func(slo.Bucket) bool) bool {
	for i, b := range h.minute {
		if h.held&(1<<i) == 0 {
			continue
		}
		b.Objective = objective
		if !yield(b) {
			return false
		}
	}
	return true
}

func (h *hour) pack() []byte {
	var hashes []uint64
	for i, b := range h.minute {
		if h.held&(1<<i) != 0 && !slices.Contains(hashes, b.Hash) {
			hashes = append(hashes, b.Hash)
		}
	}
	out := make([]byte, 0, 16+8*len(hashes)+12*bits.OnesCount64(h.held))
	out = append(out, hourVersion)
	out = binary.LittleEndian.AppendUint64(out, h.held)
	out = binary.AppendUvarint(out, uint64(len(hashes)))
	for _, hash := range hashes {
		out = binary.LittleEndian.AppendUint64(out, hash)
	}
	for i, b := range h.minute {
		if h.held&(1<<i) == 0 {
			continue
		}
		flags := byte(b.State) & stateBits
		for _, f := range []struct {
			on  bool
			bit byte
		}{{b.Open, flagOpen}, {b.Failing, flagFailing}, {b.Passing, flagPassing}} {
			if f.on {
				flags |= f.bit
			}
		}
		out = append(out, flags, b.Observed)
		for _, v := range []uint64{uint64(slices.Index(hashes, b.Hash)), uint64(b.Epoch), uint64(b.Revision), uint64(b.Total - b.Good), uint64(b.Total)} {
			out = binary.AppendUvarint(out, v)
		}
	}
	return out
}

func unpackHour(number int64, src []byte) (*hour, error) {
	if len(src) < 10 || src[0] != hourVersion {
		return nil, errHour
	}
	h := newHour(number)
	h.held = binary.LittleEndian.Uint64(src[1:])
	count, n := binary.Uvarint(src[9:])
	if n <= 0 || count > 60 || h.held>>60 != 0 {
		return nil, errHour
	}
	src = src[9+n:]
	if uint64(len(src)) < 8*count {
		return nil, errHour
	}
	hashes := make([]uint64, count)
	for i := range hashes {
		hashes[i] = binary.LittleEndian.Uint64(src[8*i:])
	}
	src = src[8*count:]
	for i := range h.minute {
		if h.held&(1<<i) == 0 {
			continue
		}
		var err error
		if h.minute[i], src, err = unpackMinute(src, hashes); err != nil {
			return nil, err
		}
		h.minute[i].Minute = number*60 + int64(i)
	}
	return h, nil
}

func unpackMinute(src []byte, hashes []uint64) (slo.Bucket, []byte, error) {
	if len(src) < 2 {
		return slo.Bucket{}, nil, errHour
	}
	flags := src[0]
	b := slo.Bucket{
		State: slo.State(flags & stateBits), Open: flags&flagOpen != 0, Failing: flags&flagFailing != 0, Passing: flags&flagPassing != 0,
		Observed: src[1],
	}
	src = src[2:]
	var v [5]uint64
	for i := range v {
		var n int
		if v[i], n = binary.Uvarint(src); n <= 0 {
			return slo.Bucket{}, nil, errHour
		}
		src = src[n:]
	}
	if v[0] >= uint64(len(hashes)) {
		return slo.Bucket{}, nil, errHour
	}
	b.Hash, b.Epoch, b.Revision, b.Good, b.Total = hashes[v[0]], uint32(v[1]), uint32(v[2]), int64(v[4]-v[3]), int64(v[4])
	return b, src, nil
}
