package delta

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// A Decoder reads the frames of one connection. Not safe for concurrent use.
type Decoder struct {
	codec  *Codec
	wire   wireState
	book   book
	state  *state
	told   [][]byte // descriptions of series as they came, the book in small
	packed *packed  // the state in small; while it is set, book and state are not there
}

// NewDecoder makes the decoder of a new connection, under the limits of c and
// with its decompressors.
func NewDecoder(c *Codec) *Decoder {
	d := &Decoder{codec: c}
	d.reset()
	return d
}

func (d *Decoder) reset() {
	d.wire, d.book, d.told, d.packed = wireState{}, book{}, nil, nil
	if d.state == nil {
		d.state = new(state)
	}
	d.state.reset(d.codec.limits)
}

// StateBytes is the memory held between frames: by the declared costs, or what it
// takes once compacted.
func (d *Decoder) StateBytes() int64 {
	n := d.book.memory
	for _, s := range d.told {
		n += int64(cap(s))
	}
	if d.packed != nil {
		return n + d.packed.bytes()
	}
	return n + d.state.bytes()
}

// Compact packs the state and gives up what can be made again, at the cost of some
// microseconds for each hundred series, and as many when the next frame comes. For
// connections that idle.
func (d *Decoder) Compact() {
	if d.packed == nil {
		d.packed = d.state.pack()
		d.book, d.state = book{}, nil
	}
}

// Recycle says that the batch that the last Decode returned is not used any more:
// the next one takes its memory, which is most of what decoding costs.
func (d *Decoder) Recycle() {
	if d.state != nil {
		d.state.lent = false
	}
}

// NamesHash is [NamesHash] of b, which the last Decode returned and nobody changed.
// It is remembered while scrapes have the same series in the same order.
func (d *Decoder) NamesHash(b Batch) uint64 {
	if d.state == nil || d.state.current == nil {
		return NamesHash(b.Series)
	}
	l := d.state.current
	if !l.named {
		l.names, l.named = NamesHash(b.Series), true
	}
	return l.names
}

// Decode reads one frame. The labels of the batch belong to the decoder and must
// not be changed; nothing else shares memory with it or with frame.
//
// The error wraps [ErrResync], [ErrMalformed] or [ErrLimit]. After any error the
// decoder takes nothing but a key frame. The stamp is set even then if the frame is
// whole and says it: the frame was refused for its content.
func (d *Decoder) Decode(frame []byte) (Stamp, Batch, error) {
	at, b, err := d.decode(frame)
	if err != nil {
		d.reset()
		return at, Batch{}, err
	}
	return at, b, nil
}

func (d *Decoder) decode(frame []byte) (Stamp, Batch, error) {
	const least = 3 + 1 + 4
	if len(frame) < least || frame[0]&0xf0 != frameVersion {
		return Stamp{}, Batch{}, fmt.Errorf("%w: not a frame of version %d", ErrMalformed, frameVersion>>4)
	}
	key := frame[0]&frameKey != 0
	if !key && (!d.wire.open || frame[1] != d.wire.number) {
		return Stamp{}, Batch{}, fmt.Errorf("%w: frame %d where %d is next", ErrResync, frame[1], d.wire.number)
	}
	body, tail := frame[:len(frame)-4], binary.LittleEndian.Uint32(frame[len(frame)-4:])
	sum := d.wire.sum
	if key {
		sum = 0
	}
	if sum = crc32.Update(sum, castagnoli, body); sum != tail {
		return Stamp{}, Batch{}, fmt.Errorf("%w: checksum %08x where the frame says %08x", ErrMalformed, sum, tail)
	}
	if key {
		d.reset()
		if frame[1] != 0 {
			return Stamp{}, Batch{}, fmt.Errorf("%w: key frame with number %d", ErrMalformed, frame[1])
		}
	}
	r := reader{src: body}
	at, flags := d.wire.readHead(&r)
	d.wire.sum = sum
	d.wire.number++
	b, err := d.content(&r, flags)
	return at, b, err
}

// content reads what follows the head of a frame.
func (d *Decoder) content(r *reader, flags byte) (b Batch, err error) {
	if err := d.wake(); err != nil {
		return Batch{}, err
	}
	if flags&frameSeries != 0 {
		if err := d.newSeries(r); err != nil {
			return Batch{}, err
		}
	}
	if flags&frameExtras != 0 {
		if err := d.codec.readExtras(r, &b); err != nil {
			return Batch{}, err
		}
	}
	if b.Series, err = d.state.readSeries(r, &d.book, flags&frameAside != 0); err != nil {
		return Batch{}, err
	}
	if err := d.state.checkMemory(d.book.memory); err != nil {
		return Batch{}, err
	}
	return b, b.checkExtras()
}

// newSeries reads the description of series that the stream has not seen.
func (d *Decoder) newSeries(r *reader) error {
	from := r.src
	if err := d.codec.readNew(r, &d.book); err != nil {
		return err
	}
	if n := len(from) - len(r.src); r.err == nil {
		d.told = append(d.told, append([]byte(nil), from[:n]...))
	}
	d.state.track(&d.book)
	return d.state.checkMemory(d.book.memory)
}

// wake makes book and state again after Compact.
func (d *Decoder) wake() error {
	if d.packed == nil {
		return nil
	}
	for _, told := range d.told {
		if err := d.codec.readNew(&reader{src: told}, &d.book); err != nil {
			return err
		}
	}
	d.state, d.packed = d.packed.unpack(d.codec.limits), nil
	return nil
}
