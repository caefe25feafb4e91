package delta

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// A prob is an adaptive probability that the next bit is a one: 22 bits of
// probability above 10 bits that count how often it was adapted.
type prob uint32

// even is a probability that has seen nothing.
const even prob = 1 << 31

// unlearn makes probabilities forget what they saw.
func unlearn(ps []prob) {
	for i := range ps {
		ps[i] = even
	}
}

const (
	probBits  = 16
	countMask = 1<<10 - 1
	settled   = 250 // adaptations after which a probability moves at its slowest
)

// p is the probability in units of 1/65536, never 0.
func (p prob) p() uint32 { return uint32(p)>>16 | 1 }

// learned is the probability moved toward a bit that was seen, ever slower until
// limit adaptations.
func (p prob) learned(bit, limit uint32) prob {
	v := uint32(p)
	n := v & countMask
	// The distance to the bit: without a branch, for nobody can foresee it.
	end := -bit & (1<<22 - 1)
	away := v>>10 ^ end
	away -= uint32(uint64(away) * uint64(reciprocals[n]) >> 16)
	if n < limit {
		n++
	}
	return prob((away^end)<<10 | n)
}

// reciprocals[n] is the share of the way, in 1/65536, that the n-th adaptation
// of a probability goes.
var reciprocals = func() (r [countMask + 1]uint32) {
	for n := range r {
		r[n] = uint32(65536 * 2 / (2*n + 3))
	}
	return r
}()

// A coder is a binary arithmetic coder in either direction: writing, each call
// codes the bit it is given; reading, it ignores that and returns the bit that
// was written. So a model is written once and both sides follow it in step.
//
// It works on the interval [lo, hi]; a one takes its lower part.
type coder struct {
	lo, hi  uint64
	at      uint64 // reading: the number that lies in the interval
	buf     []byte // writing: what was written; reading: what is left to read
	beyond  int    // reading: bytes taken from behind the end, as zeros
	reading bool
	err     error
}

func newWriter(dst []byte) coder { return coder{hi: ^uint64(0), buf: dst} }

func newReader(src []byte) coder {
	c := coder{hi: ^uint64(0), buf: src, reading: true}
	c.at = c.take(8)
	return c
}

// fail keeps the first thing that was wrong.
func (c *coder) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
	}
}

// take reads n bytes, at most 8.
func (c *coder) take(n int) (v uint64) {
	if len(c.buf) >= 8 {
		v = binary.BigEndian.Uint64(c.buf) >> (64 - 8*n)
		c.buf = c.buf[n:]
		return v
	}
	for range n {
		v <<= 8
		if len(c.buf) > 0 {
			v |= uint64(c.buf[0])
			c.buf = c.buf[1:]
		} else if c.beyond++; c.beyond > 8 {
			// The last eight bytes may be implied zeros; more than that was never
			// written.
			c.fail("values are cut short")
		}
	}
	return v
}

// shift moves out the leading bytes that lo and hi agree on.
func (c *coder) shift() {
	n := bits.LeadingZeros64(c.lo^c.hi) / 8
	if c.reading {
		c.at = c.at<<(8*n) | c.take(n)
	} else {
		c.buf = binary.BigEndian.AppendUint64(c.buf, c.lo)
		c.buf = c.buf[:len(c.buf)-8+n]
	}
	c.lo <<= 8 * n
	c.hi = c.hi<<(8*n) | (1<<(8*n) - 1)
}

// raw codes one bit whose probability of being a one is p16/65536.
func (c *coder) raw(p16 uint32, bit uint32) uint32 {
	mid := c.lo + (c.hi-c.lo)>>probBits*uint64(p16)
	if c.reading {
		bit = 0
		if c.at <= mid {
			bit = 1
		}
	}
	one := -uint64(bit)
	c.hi = mid&one | c.hi&^one
	c.lo = c.lo&one | (mid+1)&^one
	if (c.lo^c.hi)>>56 == 0 {
		c.shift()
	}
	return bit
}

// bit codes one bit under an adaptive probability. It is raw and learned in one,
// for it is where most of the time goes.
func (c *coder) bit(p *prob, bit uint32) uint32 {
	v := *p
	lo, hi := c.lo, c.hi
	mid := lo + (hi-lo)>>probBits*uint64(v.p())
	if c.reading {
		bit = 0
		if c.at <= mid {
			bit = 1
		}
	}
	one := -uint64(bit)
	hi = mid&one | hi&^one
	lo = lo&one | (mid+1)&^one
	c.lo, c.hi = lo, hi
	*p = v.learned(bit, settled)
	if (lo^hi)>>56 == 0 {
		c.shift()
	}
	return bit
}

// tree codes a number of n bits, most significant first, each under the
// probability that the bits before it choose. ps has 1<<n entries. It is bit again
// and again, without a way through memory between two.
func (c *coder) tree(ps []prob, n int, v uint32) uint32 {
	lo, hi, node := c.lo, c.hi, uint32(1)
	for i := n - 1; i >= 0; i-- {
		p := ps[node]
		mid := lo + (hi-lo)>>probBits*uint64(p.p())
		bit := v >> i & 1
		if c.reading {
			bit = 0
			if c.at <= mid {
				bit = 1
			}
		}
		one := -uint64(bit)
		hi = mid&one | hi&^one
		lo = lo&one | (mid+1)&^one
		ps[node] = p.learned(bit, settled)
		node = node<<1 | bit
		if (lo^hi)>>56 == 0 {
			c.lo, c.hi = lo, hi
			c.shift()
			lo, hi = c.lo, c.hi
		}
	}
	c.lo, c.hi = lo, hi
	return node - 1<<n
}

// flat codes n bits, at most 64, that no model knows anything about.
func (c *coder) flat(n int, v uint64) uint64 {
	if n > 32 {
		high := c.flat(n-32, v>>32)
		return high<<32 | c.flat(32, v&(1<<32-1))
	}
	if n == 0 {
		return 0
	}
	step := (c.hi - c.lo) >> n
	if step == 0 { // the interval is nearly closed: bit by bit it cannot fail
		var out uint64
		for i := n - 1; i >= 0; i-- {
			out = out<<1 | uint64(c.raw(1<<(probBits-1), uint32(v>>i&1)))
		}
		return out
	}
	if c.reading {
		v = min((c.at-c.lo)/step, 1<<n-1)
	}
	c.lo += step * v
	c.hi = c.lo + step - 1
	if (c.lo^c.hi)>>56 == 0 {
		c.shift()
	}
	return v
}

// finish ends writing with as few bytes as tell the interval apart.
func (c *coder) finish() []byte {
	for n := 1; n <= 8; n++ {
		rest := uint64(1)<<(64-8*n) - 1
		v := (c.lo + rest) &^ rest
		if v >= c.lo && v <= c.hi {
			for i := range n {
				c.buf = append(c.buf, byte(v>>(56-8*i)))
			}
			break
		}
	}
	return c.buf
}

// A number is the adaptive model of counts and distances that come seldom: how
// many bits they have is learned, the bits are not.
type number [128]prob

func (c *coder) number(m *number, v uint64) uint64 {
	n := int(c.tree(m[:], 7, uint32(bits.Len64(v))))
	if n <= 1 {
		return uint64(n)
	}
	if n > 64 {
		c.fail("number of %d bits", n)
		return 0
	}
	return 1<<(n-1) | c.flat(n-1, v&(1<<(n-1)-1))
}

func (c *coder) signed(m *number, v int64) int64 { return unzigzag(c.number(m, zigzag(v))) }

// end reports whether reading used up exactly what was written.
func (c *coder) end() error {
	if len(c.buf) > 0 || c.beyond > 7 {
		c.fail("values end %d bytes early", len(c.buf)-max(c.beyond-7, 0))
	}
	return c.err
}
