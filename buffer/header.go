package buffer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// Session is a random number that a node's buffer draws each time it opens.
// Sequences count within a session, so a restored backup can never be mistaken
// for the continuation of what it was copied from.
type Session uint64

// Seq numbers the blocks of one lane in one session, from 1, without gaps.
type Seq uint64

// Kind says how a block's payload is coded.
type Kind uint8

const (
	// SelfContained blocks can be decoded without anything else.
	SelfContained Kind = 1
	// AtRest blocks need the dictionary of the buffer that they lie in. They never
	// travel.
	AtRest Kind = 2
)

// Version is the newest block format; blocks that need nothing of it are written
// as version 1, and both are read.
const Version = 2

// HeaderSize is the length of an encoded header in bytes, CRC included;
// MergedHeaderSize is that of a block of version 2.
const (
	HeaderSize       = 56
	MergedHeaderSize = HeaderSize + 8
)

// MaxBlockBytes bounds a sealed block; a longer one is refused unread.
const MaxBlockBytes = 4 << 20

var (
	// ErrCorrupt means that the bytes are not what was sealed: torn, flipped or
	// not a block at all.
	ErrCorrupt = errors.New("block is corrupt")
	// ErrVersion means that the block is intact but of a format this build
	// cannot read.
	ErrVersion = errors.New("block version is not supported")
)

var (
	magic      = [4]byte{'G', 'L', 'B', 'K'}
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// A Header describes one sealed block.
//
// On disk and on the wire it is HeaderSize bytes, little endian: magic "GLBK",
// version u8, kind u8, lane u8, zero u8, session u64, sequence u64, first and
// last timestamp i64 (Unix milliseconds), samples u32, records u32, payload
// length u32, CRC-32C u32 over everything before it and all that follows it. In
// version 2 the first sequence u64 follows, then the payload.
type Header struct {
	Kind    Kind
	Lane    Lane
	Session Session
	Seq     Seq
	First   Seq    // the block stands for all sequences from First to Seq; 0 is Seq
	MinTime int64  // earliest sample or record, Unix milliseconds
	MaxTime int64  // latest sample or record, Unix milliseconds
	Samples uint32 // samples in the payload
	Records uint32 // records in the payload
}

// Start is the first sequence that the block stands for: its own, unless it was
// merged of several.
func (h Header) Start() Seq {
	if h.First == 0 {
		return h.Seq
	}
	return h.First
}

// Seal returns header and payload as one self-checking block.
func Seal(h Header, payload []byte) []byte {
	b := make([]byte, HeaderSize, MergedHeaderSize+len(payload))
	copy(b, magic[:])
	b[4], b[5], b[6] = 1, byte(h.Kind), byte(h.Lane)
	if h.Start() != h.Seq {
		b[4] = 2
		b = binary.LittleEndian.AppendUint64(b, uint64(h.First))
	}
	binary.LittleEndian.PutUint64(b[8:], uint64(h.Session))
	binary.LittleEndian.PutUint64(b[16:], uint64(h.Seq))
	binary.LittleEndian.PutUint64(b[24:], uint64(h.MinTime))
	binary.LittleEndian.PutUint64(b[32:], uint64(h.MaxTime))
	binary.LittleEndian.PutUint32(b[40:], h.Samples)
	binary.LittleEndian.PutUint32(b[44:], h.Records)
	binary.LittleEndian.PutUint32(b[48:], uint32(len(payload)))
	b = append(b, payload...)
	binary.LittleEndian.PutUint32(b[52:], checksum(b))
	return b
}

// Open checks a sealed block and returns its header and payload; the payload
// shares memory with block. The error is [ErrCorrupt] or [ErrVersion].
func Open(block []byte) (Header, []byte, error) {
	if len(block) < HeaderSize || [4]byte(block[:4]) != magic {
		return Header{}, nil, fmt.Errorf("%w: no block header in %d bytes", ErrCorrupt, len(block))
	}
	head := HeaderSize
	switch block[4] {
	case 1:
	case 2:
		head = MergedHeaderSize
	default:
		return Header{}, nil, fmt.Errorf("%w: version %d, this build reads up to %d", ErrVersion, block[4], Version)
	}
	if size := binary.LittleEndian.Uint32(block[48:]); int64(size) != int64(len(block)-head) {
		return Header{}, nil, fmt.Errorf("%w: payload of %d bytes where the header says %d", ErrCorrupt, len(block)-head, size)
	}
	if got, want := checksum(block), binary.LittleEndian.Uint32(block[52:]); got != want {
		return Header{}, nil, fmt.Errorf("%w: checksum %08x where the header says %08x", ErrCorrupt, got, want)
	}
	h := Header{
		Kind:    Kind(block[5]),
		Lane:    Lane(block[6]),
		Session: Session(binary.LittleEndian.Uint64(block[8:])),
		Seq:     Seq(binary.LittleEndian.Uint64(block[16:])),
		MinTime: int64(binary.LittleEndian.Uint64(block[24:])),
		MaxTime: int64(binary.LittleEndian.Uint64(block[32:])),
		Samples: binary.LittleEndian.Uint32(block[40:]),
		Records: binary.LittleEndian.Uint32(block[44:]),
	}
	if head == MergedHeaderSize {
		if h.First = Seq(binary.LittleEndian.Uint64(block[HeaderSize:])); h.First == 0 || h.First >= h.Seq {
			return Header{}, nil, fmt.Errorf("%w: sequences %d to %d", ErrCorrupt, h.First, h.Seq)
		}
	}
	if !h.Lane.Valid() || h.Seq == 0 || h.Session == 0 || (h.Kind != SelfContained && h.Kind != AtRest) || h.MaxTime < h.MinTime {
		return Header{}, nil, fmt.Errorf("%w: header is out of range: %+v", ErrCorrupt, h)
	}
	return h, block[head:], nil
}

// checksum covers the whole block except its own four bytes.
func checksum(block []byte) uint32 {
	return crc32.Update(crc32.Update(0, castagnoli, block[:52]), castagnoli, block[HeaderSize:])
}
