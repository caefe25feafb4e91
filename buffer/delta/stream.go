package delta

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"ghostlight/buffer"
)

// ErrResync means that a frame builds on state that the decoder does not have.
// The sender must reset its encoder; the key frame that follows makes the decoder
// whole again.
var ErrResync = errors.New("decoder lacks the state of this frame")

// A Stamp is what a frame says of itself besides its content. Time range and
// counts follow from the content.
type Stamp struct {
	Lane    buffer.Lane
	Session buffer.Session
	Seq     buffer.Seq
	First   buffer.Seq // the frame stands for all sequences from First to Seq; 0 is Seq
}

// Start is the first sequence that the frame stands for.
func (s Stamp) Start() buffer.Seq {
	if s.First == 0 {
		return s.Seq
	}
	return s.First
}

// frameVersion is in the high four bits of every frame's first byte, frameKey and
// the others below in the low ones.
const (
	frameVersion = 2 << 4
	frameKey     = 1 // needs no state, and replaces it
	frameSeries  = 2 // tells of new series
	frameExtras  = 4 // has records, exemplars or histograms
	frameAside   = 8 // is from the past, and coded against the backlog
)

// What the lane's byte says above the lane.
const (
	sessionFollows = 1 << 3
	seqFollows     = 1 << 4 // the first sequence is not the next one
	spanFollows    = 1 << 5 // the frame stands for several sequences
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// An Encoder codes frames for one connection: each builds on the ones before it,
// so they must be handed over in order and without gaps. A frame that was encoded
// and not handed over, or that the receiver answers with [ErrResync], must be
// followed by [Encoder.Reset]. Not safe for concurrent use.
type Encoder struct {
	codec *Codec
	wire  wireState
	book  book
	state state
	plan  plan
	front front
}

// NewEncoder makes the encoder of a new connection, under the limits of c and
// with its compressors.
func NewEncoder(c *Codec) *Encoder {
	e := &Encoder{codec: c}
	e.Reset()
	return e
}

// Reset makes the next frame a key frame.
func (e *Encoder) Reset() {
	e.wire, e.front = wireState{}, front{}
	e.book = book{}
	e.state.reset(e.codec.limits)
}

// StateBytes is the memory held between frames, by the declared costs.
func (e *Encoder) StateBytes() int64 { return e.state.bytes() + e.book.memory }

// Encode appends the frame of b to dst, and keeps its labels and metadata: they
// must not be changed any more, nor be part of something large. The error wraps [ErrInvalid] or
// [ErrLimit]; dst is then returned as it was, and the next frame is a key frame.
// When the series of the stream have outgrown the limits, the encoder starts
// over with a key frame by itself.
func (e *Encoder) Encode(dst []byte, at Stamp, b Batch) ([]byte, error) {
	if !at.Lane.Valid() || at.Session == 0 || at.Seq == 0 || at.First > at.Seq {
		return dst, fmt.Errorf("%w: stamp %+v", ErrInvalid, at)
	}
	if err := checkSize(&b, e.codec.limits); err != nil {
		return dst, err
	}
	key := !e.wire.open
	out, err := e.encode(dst, at, &b)
	if err != nil && !key {
		e.Reset()
		out, err = e.encode(dst, at, &b)
	}
	if err != nil {
		e.Reset()
		return dst, err
	}
	return out, nil
}

func (e *Encoder) encode(dst []byte, at Stamp, b *Batch) ([]byte, error) {
	if err := e.plan.make(&e.book, e.codec.limits, b); err != nil {
		return dst, err
	}
	e.state.track(&e.book)
	aside := false
	if latest, ok := e.plan.latest(); ok {
		aside = e.front.aside(at, latest)
	}
	out := e.wire.head(dst, at, e.flags(b, aside))
	var err error
	if e.plan.known < len(e.book.series) {
		if out, err = e.codec.appendNew(out, &e.book, e.plan.known); err != nil {
			return dst, err
		}
	}
	if b.hasExtras() {
		if out, err = e.codec.appendExtras(out, b); err != nil {
			return dst, err
		}
	}
	if out, err = e.state.appendSeries(out, &e.plan, b, aside); err != nil {
		return dst, err
	}
	if err := e.state.checkMemory(e.book.memory); err != nil {
		return dst, err
	}
	return e.wire.seal(out, len(dst)), nil
}

func (e *Encoder) flags(b *Batch, aside bool) byte {
	flags := byte(frameVersion)
	if !e.wire.open {
		flags |= frameKey
	}
	if e.plan.known < len(e.book.series) {
		flags |= frameSeries
	}
	if b.hasExtras() {
		flags |= frameExtras
	}
	if aside {
		flags |= frameAside
	}
	return flags
}

// wireState is what the head and tail of a frame build on.
type wireState struct {
	open    bool // a key frame was seen
	number  uint8
	sum     uint32 // checksum of the frame before
	session buffer.Session
	seqs    [8]buffer.Seq // last sequence of each lane
}

// head appends the head of a frame.
func (w *wireState) head(dst []byte, at Stamp, flags byte) []byte {
	lane := byte(at.Lane)
	if flags&frameKey != 0 {
		*w = wireState{open: true}
	}
	if at.Session != w.session {
		lane |= sessionFollows
		w.session, w.seqs = at.Session, [8]buffer.Seq{}
	}
	step, span := int64(at.Start()-w.seqs[at.Lane]), at.Seq-at.Start()
	if step != 1 {
		lane |= seqFollows
	}
	if span != 0 {
		lane |= spanFollows
	}
	w.seqs[at.Lane] = at.Seq
	dst = append(dst, flags, w.number, lane)
	if lane&sessionFollows != 0 {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(at.Session))
	}
	if lane&seqFollows != 0 {
		dst = appendUvarint(dst, zigzag(step))
	}
	if lane&spanFollows != 0 {
		dst = appendUvarint(dst, uint64(span))
	}
	return dst
}

// seal appends the checksum of a frame that begins at from. It continues that of
// the frame before, so that a frame is whole only in its place.
func (w *wireState) seal(frame []byte, from int) []byte {
	w.number++
	w.sum = crc32.Update(w.sum, castagnoli, frame[from:])
	return binary.LittleEndian.AppendUint32(frame, w.sum)
}

// readHead is the inverse of head.
func (w *wireState) readHead(r *reader) (at Stamp, flags byte) {
	flags = r.byte()
	r.byte() // the number, checked before
	lane := r.byte()
	if flags&frameKey != 0 {
		*w = wireState{open: true}
	}
	at.Lane = buffer.Lane(lane & 7)
	if !at.Lane.Valid() || lane>>6 != 0 {
		r.fail("lane %d", lane)
		return Stamp{}, 0
	}
	if lane&sessionFollows != 0 {
		if b := r.bytes(8); len(b) == 8 {
			w.session, w.seqs = buffer.Session(binary.LittleEndian.Uint64(b)), [8]buffer.Seq{}
		}
	}
	step := int64(1)
	if lane&seqFollows != 0 {
		step = r.varint()
	}
	start, span := w.seqs[at.Lane]+buffer.Seq(step), buffer.Seq(0)
	if lane&spanFollows != 0 {
		span = buffer.Seq(r.uvarint())
		at.First = start
	}
	at.Session, at.Seq = w.session, start+span
	w.seqs[at.Lane] = at.Seq
	if at.Session == 0 || start == 0 || at.Seq < start {
		r.fail("session %d, sequences %d to %d", at.Session, start, at.Seq)
	}
	return at, flags
}
