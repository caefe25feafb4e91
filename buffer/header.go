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

// SelfContained blocks can be decoded without any other block.
const SelfContained Kind = 1

// Version is the block format this package writes.
const Version = 1

// HeaderSize is the length of an encoded header in bytes, CRC included.
const HeaderSize = 56

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
// length u32, CRC-32C u32 over everything before it and the payload after it.
type Header struct {
	Kind    Kind
	Lane    Lane
	Session Session
	Seq     Seq
	MinTime int64  // earliest sample or record, Unix milliseconds
	MaxTime int64  // latest sample or record, Unix milliseconds
	Samples uint32 // samples in the payload
	Records uint32 // records in the payload
}

// Seal returns header and payload as one self-checking block.
func Seal(h Header, payload []byte) []byte {
	b := make([]byte, HeaderSize, HeaderSize+len(payload))
	copy(b, magic[:])
	b[4], b[5], b[6] = Version, byte(h.Kind), byte(h.Lane)
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
	if block[4] != Version {
		return Header{}, nil, fmt.Errorf("%w: version %d, this build reads %d", ErrVersion, block[4], Version)
	}
	if size := binary.LittleEndian.Uint32(block[48:]); uint64(size) != uint64(len(block)-HeaderSize) {
		return Header{}, nil, fmt.Errorf("%w: payload of %d bytes where the header says %d", ErrCorrupt, len(block)-HeaderSize, size)
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
	if !h.Lane.Valid() || h.Seq == 0 || h.Session == 0 || h.Kind != SelfContained || h.MaxTime < h.MinTime {
		return Header{}, nil, fmt.Errorf("%w: header is out of range: %+v", ErrCorrupt, h)
	}
	return h, block[HeaderSize:], nil
}

// checksum covers the whole block except its own four bytes.
func checksum(block []byte) uint32 {
	return crc32.Update(crc32.Update(0, castagnoli, block[:52]), castagnoli, block[56:])
}
