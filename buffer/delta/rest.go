package delta

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
)

// ErrDictionary means that a block was coded against a dictionary, or a page of
// it, that is not there.
var ErrDictionary = errors.New("dictionary of this block is missing")

// restVersion is the first byte of payloads at rest, pageVersion that of pages.
const (
	restVersion = 2
	pageVersion = 2
)

// A Page is a part of a durable dictionary: the series numbered from First on.
// Pages follow each other without gaps; a published page never changes.
type Page struct {
	First  int    // number of its first series
	Series int    // how many it describes
	Data   []byte // what to store
}

// A Dict is a durable dictionary, and the codec of blocks that depend on nothing
// else. It grows by pages, which must be stored in the transaction of the block
// that they came with. Each page also remembers the first value of its series,
// from where all blocks start: so a block of a single scrape is small.
//
// A dictionary is named by its id, so that a block is never read with another
// one. When it is full ([ErrLimit]) or old, start another under another id, and
// drop this one when its last block is gone. Not safe for concurrent use.
type Dict struct {
	codec *Codec
	id    uint64
	book  book
	base  []track // how each series begins in every block
	state state   // of the block at hand
	plan  plan
}

// NewDict makes an empty dictionary.
func NewDict(c *Codec, id uint64) *Dict {
	d := &Dict{codec: c, id: id}
	d.state.reset(c.limits)
	return d
}

// ID is the name of the dictionary.
func (d *Dict) ID() uint64 { return d.id }

// Len is the number of series in the dictionary.
func (d *Dict) Len() int { return len(d.book.series) }

// StateBytes is the memory held between blocks, by the declared costs.
func (d *Dict) StateBytes() int64 {
	return d.state.bytes() + d.book.memory + int64(trackBytes*len(d.base))
}

// Encode appends the payload of b to dst, and keeps its labels and metadata: they
// must not be changed any more, nor be part of something large. If b has series that are new to the
// dictionary, page describes them: the payload can be read only where it is
// stored, and the dictionary assumes that it is; otherwise call [Dict.Truncate]
// with its First. After an error, which wraps [ErrInvalid] or [ErrLimit],
// dst and the dictionary are as they were.
func (d *Dict) Encode(dst []byte, b Batch) (payload []byte, page *Page, err error) {
	known := d.Len()
	payload, page, err = d.encode(dst, &b)
	if err != nil {
		d.Truncate(known)
		return dst, nil, err
	}
	return payload, page, nil
}

func (d *Dict) encode(dst []byte, b *Batch) (out []byte, page *Page, err error) {
	if err := checkSize(b, d.codec.limits); err != nil {
		return dst, nil, err
	}
	if err := d.plan.make(&d.book, d.codec.limits, b); err != nil {
		return dst, nil, err
	}
	if d.plan.known < d.Len() {
		if page, err = d.page(b); err != nil {
			return dst, nil, err
		}
	}
	d.begin()
	flags := byte(0)
	if b.hasExtras() {
		flags = frameExtras
	}
	out = appendUvarint(append(dst, restVersion, flags), d.id)
	if flags != 0 {
		if out, err = d.codec.appendExtras(out, b); err != nil {
			return dst, nil, err
		}
	}
	if out, err = d.state.appendSeries(out, &d.plan, b, false); err != nil {
		return dst, nil, err
	}
	return out, page, d.state.checkMemory(d.book.memory)
}

// begin sets the state to what every block starts from.
func (d *Dict) begin() {
	d.state.reset(d.codec.limits)
	d.state.tracks = append(d.state.tracks[:0], d.base...)
}

// page describes the series that came with b, and their first values.
func (d *Dict) page(b *Batch) (*Page, error) {
	first := make([]uint64, d.Len()-d.plan.known)
	seen := make([]bool, len(first))
	pos := 0
	for _, r := range d.plan.want.runs {
		for id := int(r.first); id < int(r.first+r.length); id++ {
			if i := id - d.plan.known; i >= 0 && !seen[i] && len(b.Series[pos].Samples) > 0 {
				first[i], seen[i] = math.Float64bits(b.Series[pos].Samples[0].Value), true
			}
			pos++
		}
	}
	data := appendUvarint([]byte{pageVersion}, d.id)
	data = appendUvarint(data, uint64(d.plan.known))
	data, err := d.codec.appendNew(data, &d.book, d.plan.known)
	if err != nil {
		return nil, err
	}
	c := newWriter(data)
	d.bases(&c, first)
	data = c.finish()
	data = binary.LittleEndian.AppendUint32(data, crc32.Checksum(data, castagnoli))
	return &Page{First: d.plan.known, Series: len(first), Data: data}, nil
}

// bases codes the first values of the series that have no base yet.
func (d *Dict) bases(c *coder, first []uint64) {
	*d.state.m = unlearned
	d.base = grown(d.base, d.Len())
	for i := range first {
		t := newTrack()
		d.state.m.value(c, &t, first[i], &place{})
		base := newTrack()
		base.bits, base.last, base.unit = t.bits, t.last, t.unit
		base.mean = base.last << 4
		base.link = d.book.leader(int32(len(d.base)))
		d.base = append(d.base, base)
	}
}

// Truncate forgets the series numbered from first on: their page was not stored.
func (d *Dict) Truncate(first int) {
	if first < d.Len() {
		d.book.truncate(first)
	}
	d.base = d.base[:min(len(d.base), first)]
}

// Add takes a stored page. Pages come in the order of First; one that is known
// already is refused like one that leaves a gap. The error wraps
// [ErrMalformed], [ErrLimit] or [ErrDictionary].
func (d *Dict) Add(data []byte) error {
	known := d.Len()
	if err := d.add(data); err != nil {
		d.Truncate(known)
		return err
	}
	return nil
}

func (d *Dict) add(data []byte) error {
	if len(data) < 8 || data[0] != pageVersion {
		return fmt.Errorf("%w: not a page of version %d", ErrMalformed, pageVersion)
	}
	body := data[:len(data)-4]
	if sum := crc32.Checksum(body, castagnoli); sum != binary.LittleEndian.Uint32(data[len(body):]) {
		return fmt.Errorf("%w: page has checksum %08x", ErrMalformed, sum)
	}
	r := reader{src: body[1:]}
	id, first := r.uvarint(), r.uvarint()
	if r.err == nil && (id != d.id || first != uint64(d.Len())) {
		return fmt.Errorf("%w: page of dictionary %d from series %d where %d of %d is next", ErrDictionary, id, first, d.Len(), d.id)
	}
	if err := d.codec.readNew(&r, &d.book); err != nil {
		return err
	}
	c := newReader(r.src)
	d.bases(&c, make([]uint64, d.Len()-int(first)))
	if err := c.end(); err != nil {
		return err
	}
	d.state.track(&d.book)
	return d.state.checkMemory(d.book.memory)
}

// Decode reads a payload at rest, of this format or of format 1. The labels of
// the batch belong to the dictionary and must not be changed. The error wraps
// [ErrDictionary], [ErrMalformed] or [ErrLimit].
func (d *Dict) Decode(payload []byte) (Batch, error) {
	if len(payload) > 0 && payload[0] == formatVersion {
		return d.codec.Decode(payload)
	}
	r := reader{src: payload}
	version, flags, id := r.byte(), r.byte(), r.uvarint()
	if r.err != nil || version != restVersion || flags&^frameExtras != 0 {
		return Batch{}, fmt.Errorf("%w: not a payload of version %d", ErrMalformed, restVersion)
	}
	if id != d.id {
		return Batch{}, fmt.Errorf("%w: it has id %d, this one %d", ErrDictionary, id, d.id)
	}
	d.begin()
	var b Batch
	if flags != 0 {
		if err := d.codec.readExtras(&r, &b); err != nil {
			return Batch{}, err
		}
	}
	var err error
	if b.Series, err = d.state.readSeries(&r, &d.book, false); err != nil {
		return Batch{}, err
	}
	return b, b.checkExtras()
}
