package delta

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

func appendUvarint(dst []byte, v uint64) []byte { return binary.AppendUvarint(dst, v) }

// zigzag maps small numbers of either sign to small unsigned ones.
func zigzag(v int64) uint64 { return uint64(v)<<1 ^ uint64(v>>63) }

func unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }

// uvarintLen is the length of v as a varint, 1 to 10 bytes.
func uvarintLen(v uint64) int {
	n := 1
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}

// A reader takes values off the front of src. After the first error every value
// is zero and err stays.
type reader struct {
	src []byte
	err error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
		r.src = nil
	}
}

func (r *reader) uvarint() uint64 {
	if r.err != nil {
		return 0
	}
	v, n := binary.Uvarint(r.src)
	if n <= 0 {
		r.fail("number is cut short or too long")
		return 0
	}
	r.src = r.src[n:]
	return v
}

func (r *reader) varint() int64 { return unzigzag(r.uvarint()) }

func (r *reader) byte() byte {
	b := r.bytes(1)
	if len(b) == 0 {
		return 0
	}
	return b[0]
}

// bytes returns the next n bytes, sharing memory with src.
func (r *reader) bytes(n uint64) []byte {
	if r.err != nil {
		return nil
	}
	if n > uint64(len(r.src)) {
		r.fail("%d bytes are announced where %d are left", n, len(r.src))
		return nil
	}
	b := r.src[:n:n]
	r.src = r.src[n:]
	return b
}

// count reads a number of things of which each takes at least one byte of what
// is left, so that no memory is taken on a mere claim.
func (r *reader) count(what string) int {
	n := r.uvarint()
	if n > uint64(len(r.src)) {
		r.fail("%d %s are announced where %d bytes are left", n, what, len(r.src))
		return 0
	}
	return int(n)
}

// index reads a number below n.
func (r *reader) index(what string, n int) int {
	v := r.uvarint()
	if r.err == nil && v >= uint64(n) {
		r.fail("%s %d of %d", what, v, n)
		return 0
	}
	return int(v)
}

// terminated reads a string up to the zero behind it and undoes its escapes.
func (r *reader) terminated() []byte {
	end := bytes.IndexByte(r.src, 0)
	if r.err != nil || end < 0 {
		r.fail("string has no end")
		return nil
	}
	s := r.bytes(uint64(end))
	r.src = r.src[1:]
	if bytes.IndexByte(s, escape) < 0 {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != escape {
			out = append(out, s[i])
			continue
		}
		if i++; i == len(s) || s[i] < escape+1 || s[i] > 2*escape+1 {
			r.fail("string has a broken escape")
			return nil
		}
		out = append(out, s[i]-escape-1)
	}
	return out
}
