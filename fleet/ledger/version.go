package ledger

import (
	"encoding/binary"
	"errors"

	"ghostlight/slo"
)

// A version is what a minute was from an arrival on. The bucket has no name: that
// is its place's.
type version struct {
	slo.Bucket
	arrivedMS int64 // centre's clock
}

var errRow = errors.New("stored buckets are damaged")

const (
	stateBits   = 0x03
	flagOpen    = 0x04
	flagFailing = 0x08
	flagPassing = 0x10
	flagForeign = 0x20 // a hash follows: it is not the one the reader knows
)

func flagsOf(b *slo.Bucket) byte {
	flags := byte(b.State) & stateBits
	if b.Open {
		flags |= flagOpen
	}
	if b.Failing {
		flags |= flagFailing
	}
	if b.Passing {
		flags |= flagPassing
	}
	return flags
}

func setFlags(b *slo.Bucket, flags byte) {
	b.State = slo.State(flags & stateBits)
	b.Open, b.Failing, b.Passing = flags&flagOpen != 0, flags&flagFailing != 0, flags&flagPassing != 0
}

// appendBucket appends what a bucket says, but not its objective and minute: flags
// and observed seconds, u8 each; the hash, u64 little endian, where it is not the one
// given; then uvarints of epoch, revision, bad and total.
func appendBucket(dst []byte, b *slo.Bucket, hash uint64) []byte {
	flags := flagsOf(b)
	if b.Hash != hash {
		flags |= flagForeign
	}
	dst = append(dst, flags, b.Observed)
	if b.Hash != hash {
		dst = binary.LittleEndian.AppendUint64(dst, b.Hash)
	}
	dst = binary.AppendUvarint(dst, uint64(b.Epoch))
	dst = binary.AppendUvarint(dst, uint64(b.Revision))
	dst = binary.AppendUvarint(dst, uint64(b.Total-b.Good))
	return binary.AppendUvarint(dst, uint64(b.Total))
}

// A reader reads numbers from bytes that may be damaged: after the first that
// cannot be read all are zero and bad is set.
type reader struct {
	src []byte
	bad bool
}

func (r *reader) byte() byte {
	if len(r.src) == 0 {
		r.bad = true
		return 0
	}
	b := r.src[0]
	r.src = r.src[1:]
	return b
}

func (r *reader) u64() uint64 {
	if len(r.src) < 8 {
		r.bad, r.src = true, nil
		return 0
	}
	v := binary.LittleEndian.Uint64(r.src)
	r.src = r.src[8:]
	return v
}

func (r *reader) uvarint() uint64 {
	if len(r.src) > 0 && r.src[0] < 0x80 {
		v := r.src[0]
		r.src = r.src[1:]
		return uint64(v)
	}
	v, n := binary.Uvarint(r.src)
	if n <= 0 {
		r.bad, r.src = true, nil
		return 0
	}
	r.src = r.src[n:]
	return v
}

func (r *reader) varint() int64 {
	v := r.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

// bucket reads what appendBucket wrote.
func (r *reader) bucket(hash uint64) (b slo.Bucket) {
	flags := r.byte()
	setFlags(&b, flags)
	b.Observed, b.Hash = r.byte(), hash
	if flags&flagForeign != 0 {
		b.Hash = r.u64()
	}
	b.Epoch, b.Revision = uint32(r.uvarint()), uint32(r.uvarint())
	bad := int64(r.uvarint())
	b.Total = int64(r.uvarint())
	b.Good = b.Total - bad
	return b
}
