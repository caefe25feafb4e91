package delta

import (
	"encoding/binary"
	"slices"
	"unsafe"
)

// A packed is a state at rest between two frames: a third of its memory, and the
// same to the bit when it is unpacked. It never leaves the process.
type packed struct {
	layouts            [layoutSlots]layout
	nextSlot, lastSlot int
	tracks             int
	backlog            bool
	past, idle         int    // of the backlog: its tracks, and its count of frames
	data               []byte // tracks and models
}

func (k *packed) bytes() int64 {
	n := int64(unsafe.Sizeof(packed{})) + int64(cap(k.data))
	for i := range k.layouts {
		n += k.layouts[i].memory()
	}
	return n
}

// pack returns s at rest; s is of no use afterwards.
func (s *state) pack() *packed {
	k := &packed{layouts: s.layouts, nextSlot: s.nextSlot, lastSlot: s.lastSlot, tracks: len(s.tracks)}
	if s.back != nil {
		k.backlog, k.past, k.idle = true, len(s.back.tracks), s.back.idle
	}
	p := packer{buf: make([]byte, 0, 32*(k.tracks+k.past)+4096)}
	p.state(s)
	k.data = slices.Clip(slices.Clone(p.buf))
	return k
}

// unpack is the inverse of pack.
func (k *packed) unpack(lim Limits) *state {
	s := new(state)
	s.reset(lim)
	s.layouts, s.nextSlot, s.lastSlot = k.layouts, k.nextSlot, k.lastSlot
	s.tracks = make([]track, k.tracks)
	if k.backlog {
		s.back = &backlog{tracks: make([]track, k.past), model: unlearned, idle: k.idle}
	}
	p := packer{buf: k.data, reading: true}
	p.state(s)
	return s
}

// A packer walks over the numbers of a state in either direction: writing, it keeps
// what differs from a guess; reading, it makes the number anew. Eight numbers share
// a byte that says which of them differ.
type packer struct {
	buf     []byte // writing: what was written; reading: what is left to read
	reading bool
	numbers int
	flags   byte // reading: of the numbers at hand
	at      int  // writing: where theirs are
}

func (p *packer) number(v, guess uint64) uint64 {
	bit := byte(1) << (p.numbers & 7)
	if bit == 1 {
		p.begin()
	}
	p.numbers++
	if p.reading {
		if p.flags&bit == 0 {
			return guess
		}
		code, n := binary.Uvarint(p.buf)
		p.buf = p.buf[n:]
		return guess + uint64(unzigzag(code))
	}
	if v != guess {
		p.buf[p.at] |= bit
		p.buf = appendUvarint(p.buf, zigzag(int64(v-guess)))
	}
	return v
}

// begin makes or takes the flags of the next eight numbers.
func (p *packer) begin() {
	if p.reading {
		p.flags, p.buf = p.buf[0], p.buf[1:]
		return
	}
	p.at = len(p.buf)
	p.buf = append(p.buf, 0)
}

// pack walks over one number.
func pack[T ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~int32 | ~int64](p *packer, v *T, guess T) {
	*v = T(p.number(uint64(*v), uint64(guess)))
}

func (p *packer) state(s *state) {
	p.tracks(s.tracks)
	p.model(&s.fresh)
	pack(p, &s.lay.known, even)
	s.lay.tables(p.probs)
	if s.back != nil {
		p.tracks(s.back.tracks)
		p.model(&s.back.model)
	}
}

func (p *packer) probs(ps []prob) {
	for i := range ps {
		pack(p, &ps[i], even)
	}
}

func (p *packer) model(m *model) {
	m.tables(p.probs)
	p.weights(&m.sample)
	p.weights(&m.frame)
}

func (p *packer) weights(h *habit) {
	for i := range h.mix {
		for j := range h.mix[i] {
			for k := range h.mix[i][j] {
				pack(p, &h.mix[i][j][k], weights[k])
			}
		}
	}
}

// tracks guesses that each series is like the one before it, and has stood still.
func (p *packer) tracks(list []track) {
	before, lead := newTrack(), int32(0)
	for i := range list {
		t := &list[i]
		p.track(t, &before)
		guess := lead
		if lead = 0; t.link >= 0 {
			lead = int32(i) - t.link
		}
		pack(p, &lead, guess)
		if t.link = -1; lead > 0 {
			t.link = int32(i) - lead
		}
		before = *t
	}
}

// track walks over all of a track but its link.
func (p *packer) track(t, before *track) {
	code := t.unit.code()
	pack(p, &code, before.unit.code())
	t.unit = unitOf(code)
	pack(p, &t.last, 0)
	value := before.bits
	if t.unit.kind != unitSum { // whose integer does not tell the value
		value = t.value(t.unit, t.last, 0)
	}
	pack(p, &t.bits, value)
	pack(p, &t.step, 0)
	pack(p, &t.rate, t.step<<4)
	pack(p, &t.mean, t.last<<4)
	for g := range t.cost {
		pack(p, &t.cost[g], before.cost[g])
	}
	for i := range t.flag {
		pack(p, &t.flag[i], before.flag[i])
		pack(p, &t.whole[i], before.whole[i])
	}
	pack(p, &t.hist, before.hist)
	pack(p, &t.zeros, before.zeros)
	pack(p, &t.count, before.count)
}

// code is the unit as one number.
func (u unit) code() uint32 {
	code := uint32(u.kind) | uint32(u.scale)<<8 | uint32(u.shift)<<16
	if u.exact {
		code |= 1 << 24
	}
	return code
}

func unitOf(code uint32) unit {
	return unit{kind: uint8(code), scale: uint8(code >> 8), shift: uint8(code >> 16), exact: code>>24 != 0}
}
