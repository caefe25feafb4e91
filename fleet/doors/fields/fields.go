// Package fields walks the fields of a protobuf message in place: it copies
// nothing, keeps nothing and allocates nothing, so that what a message holds can be
// counted and bounded before memory is taken for it.
package fields

import (
	"errors"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// ErrMalformed means that the bytes are not a protobuf message.
var ErrMalformed = errors.New("message is not protobuf, or is cut short")

// A Reader walks one message. After Next has returned true the exported fields
// describe the field at hand.
type Reader struct {
	Number protowire.Number
	Type   protowire.Type
	Bytes  []byte // of a length-delimited field; shares memory with the message
	Bits   uint64 // of a varint, fixed32 or fixed64 field

	rest []byte
	err  error
}

// Read begins at the first field of msg.
func Read(msg []byte) Reader { return Reader{rest: msg} }

// Next goes to the next field; false at the end and at the first error.
func (r *Reader) Next() bool {
	if len(r.rest) == 0 || r.err != nil {
		return false
	}
	num, typ, n := protowire.ConsumeTag(r.rest)
	if n < 0 {
		return r.fail()
	}
	r.Number, r.Type, r.Bytes, r.Bits = num, typ, nil, 0
	rest := r.rest[n:]
	switch typ {
	case protowire.VarintType:
		r.Bits, n = protowire.ConsumeVarint(rest)
	case protowire.Fixed64Type:
		r.Bits, n = protowire.ConsumeFixed64(rest)
	case protowire.Fixed32Type:
		var bits uint32
		bits, n = protowire.ConsumeFixed32(rest)
		r.Bits = uint64(bits)
	case protowire.BytesType:
		r.Bytes, n = protowire.ConsumeBytes(rest)
	default:
		return r.fail() // groups: no format read here has any
	}
	if n < 0 {
		return r.fail()
	}
	r.rest = rest[n:]
	return true
}

func (r *Reader) fail() bool {
	r.err = ErrMalformed
	return false
}

// Err is why Next returned false before the end; [ErrMalformed] or nil.
func (r *Reader) Err() error { return r.err }

// Is reports whether the field at hand has this number and is length-delimited.
func (r *Reader) Is(num protowire.Number) bool {
	return r.Number == num && r.Type == protowire.BytesType
}

// Double is the field at hand as a double, to the bit.
func (r *Reader) Double() float64 { return math.Float64frombits(r.Bits) }

// Varints calls fn with each element of the field at hand, a repeated varint,
// packed or not.
func (r *Reader) Varints(fn func(uint64)) error {
	if r.Type == protowire.VarintType {
		fn(r.Bits)
		return nil
	}
	for list := r.Bytes; len(list) > 0; {
		v, n := protowire.ConsumeVarint(list)
		if n < 0 {
			return ErrMalformed
		}
		fn(v)
		list = list[n:]
	}
	return nil
}

// Doubles calls fn with each element of the field at hand, a repeated double,
// packed or not.
func (r *Reader) Doubles(fn func(float64)) error {
	if r.Type == protowire.Fixed64Type {
		fn(r.Double())
		return nil
	}
	for list := r.Bytes; len(list) > 0; {
		v, n := protowire.ConsumeFixed64(list)
		if n < 0 {
			return ErrMalformed
		}
		fn(math.Float64frombits(v))
		list = list[n:]
	}
	return nil
}
