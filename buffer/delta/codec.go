package delta

import (
	_ "embed" // records.dict
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

const (
	// formatVersion is the first byte of every payload.
	formatVersion = 1
	// windowSize bounds the encoder's memory and what a decoder must keep.
	windowSize = 128 << 10
)

// dictionaryID names records.dict in the frames of zstd that need it. Another content
// needs another id, beside which decoders keep this one.
const dictionaryID = 1

// recordsDictionary is a record of each kind that nodes send often, as it stands in the
// text of extras: what the next one has in common with it need not be sent. It is
// published, and never changes.
//
//go:embed records.dict
var recordsDictionary []byte

// A Codec encodes and decodes payloads under fixed limits. It is safe for
// concurrent use, and reuses its decompressors and its two compressors, which take
// 0.3 and 0.8 MiB: most of what is coded needs none, so taking turns costs little.
type Codec struct {
	limits   Limits
	decoders sync.Pool  // of *zstd.Decoder
	names    compressor // of payloads of format 1 and of descriptions
	records  compressor // of extras, with recordsDictionary
}

// NewCodec makes a codec that holds both directions to lim.
func NewCodec(lim Limits) (*Codec, error) {
	if err := lim.Validate(); err != nil {
		return nil, err
	}
	return &Codec{limits: lim, records: compressor{options: []zstd.EOption{zstd.WithEncoderDictRaw(dictionaryID, recordsDictionary)}}}, nil
}

// Encode appends the payload of b to dst. The error wraps [ErrInvalid] or
// [ErrLimit]; dst is then returned as it was.
func (c *Codec) Encode(dst []byte, b Batch) ([]byte, error) {
	e := newEncoder(c.limits)
	if err := e.batch(b); err != nil {
		return dst, err
	}
	sections := e.sections()
	if size := int64(len(sections[0]) + len(sections[1]) + len(sections[2])); size > c.limits.Bytes {
		return dst, fmt.Errorf("%w: %d bytes before compression, at most %d", ErrLimit, size, c.limits.Bytes)
	}
	z, err := c.names.take()
	if err != nil {
		return dst, err
	}
	defer c.names.giveBack()
	out := append(dst, formatVersion)
	for _, section := range sections {
		out = appendSection(out, z, section)
	}
	return out, nil
}

// Decode reads a payload. The error wraps [ErrMalformed] or [ErrLimit]; nothing
// of the payload may then be used. The batch shares no memory with payload.
func (c *Codec) Decode(payload []byte) (Batch, error) {
	if len(payload) == 0 || payload[0] != formatVersion {
		return Batch{}, fmt.Errorf("%w: does not begin with format version %d", ErrMalformed, formatVersion)
	}
	z, err := c.decoder()
	if err != nil {
		return Batch{}, err
	}
	defer c.decoders.Put(z)
	rest, budget := payload[1:], c.limits.Bytes
	var sections [sectionCount][]byte
	for i := range sections {
		sections[i], rest, err = readSection(rest, z, budget)
		if err != nil {
			return Batch{}, fmt.Errorf("section %d: %w", i, err)
		}
		budget -= int64(len(sections[i]))
	}
	if len(rest) != 0 {
		return Batch{}, fmt.Errorf("%w: %d bytes after the last section", ErrMalformed, len(rest))
	}
	return newDecoder(c.limits, sections).batch()
}

// A compressor is one of zstd, made when it is first needed.
type compressor struct {
	options []zstd.EOption

	mu sync.Mutex // held while it is taken
	z  *zstd.Encoder
}

// take returns the compressor; after an error it is not taken.
func (c *compressor) take() (*zstd.Encoder, error) {
	c.mu.Lock()
	if c.z != nil {
		return c.z, nil
	}
	z, err := zstd.NewWriter(nil, append([]zstd.EOption{
		zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderLevel(zstd.SpeedFastest), // the next costs three times the memory for 3 % less
		zstd.WithWindowSize(windowSize),
		zstd.WithLowerEncoderMem(true),
		zstd.WithEncoderCRC(false), // the block's header has one over everything
	}, c.options...)...)
	if err != nil {
		c.mu.Unlock()
		return nil, fmt.Errorf("start compressor: %w", err)
	}
	c.z = z
	return z, nil
}

func (c *compressor) giveBack() { c.mu.Unlock() }

func (c *Codec) decoder() (*zstd.Decoder, error) {
	if z, ok := c.decoders.Get().(*zstd.Decoder); ok {
		return z, nil
	}
	z, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderLowmem(true),
		zstd.WithDecoderDictRaw(dictionaryID, recordsDictionary),
		zstd.WithDecoderMaxMemory(uint64(c.limits.Bytes)))
	if err != nil {
		return nil, fmt.Errorf("start decompressor: %w", err)
	}
	return z, nil
}

// appendSection writes one section: its length, whether it is compressed, and
// its bytes, compressed where that is smaller.
func appendSection(dst []byte, z *zstd.Encoder, section []byte) []byte {
	packed := z.EncodeAll(section, nil)
	if len(packed)+2 >= len(section) {
		dst = appendUvarint(dst, uint64(len(section))<<1)
		return append(dst, section...)
	}
	dst = appendUvarint(dst, uint64(len(section))<<1|1)
	dst = appendUvarint(dst, uint64(len(packed)))
	return append(dst, packed...)
}

// readSection is the inverse of appendSection; it returns what follows it. The
// section shares no memory with src if it was compressed.
func readSection(src []byte, z *zstd.Decoder, budget int64) (section, rest []byte, err error) {
	r := reader{src: src}
	head := r.uvarint()
	size, packed := head>>1, head&1 == 1
	if r.err == nil && size > uint64(max(budget, 0)) {
		return nil, nil, fmt.Errorf("%w: %d bytes after decompression, at most %d", ErrLimit, size, budget)
	}
	if !packed {
		section = r.bytes(size)
		return section, r.src, r.err
	}
	body := r.bytes(r.uvarint())
	if r.err != nil {
		return nil, nil, r.err
	}
	// What a frame claims of itself is checked against the budget before memory
	// is taken for it.
	section, err = z.DecodeAll(body, make([]byte, 0, min(size, uint64(len(body))*16+64)))
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if uint64(len(section)) != size {
		return nil, nil, fmt.Errorf("%w: section of %d bytes where %d were announced", ErrMalformed, len(section), size)
	}
	return section, r.src, nil
}

// Encode appends the payload of b to dst under [DefaultLimits]. A caller with
// many batches keeps a [Codec] instead.
func Encode(dst []byte, b Batch) ([]byte, error) {
	c, err := NewCodec(DefaultLimits())
	if err != nil {
		return dst, err
	}
	return c.Encode(dst, b)
}

// Decode reads one payload under lim. A caller with many payloads keeps a
// [Codec] instead.
func Decode(payload []byte, lim Limits) (Batch, error) {
	c, err := NewCodec(lim)
	if err != nil {
		return Batch{}, err
	}
	return c.Decode(payload)
}
