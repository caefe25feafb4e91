package delta

import "math/bits"

// stretch is ln(p/(1-p)) of p in 1/65536, in 1/256.
func stretch(p uint32) int32 { return int32(stretches[p>>4&4095]) }

// squash is the inverse of stretch, never 0 or 65536.
func squash(x int32) uint32 {
	x = max(min(x, 2047), -2047)
	return uint32(squashes[(x+2048)&4095])
}

// The tables of both are the nearest integers to what the formulas give. They are
// computed in integers alone: both ends of a stream must agree on them whatever
// their machines make of logarithms.
var (
	stretches = stretchTable()
	squashes  = squashTable()
)

// halfStep is e^(1/512) in 1/2^62.
const halfStep = 4620702019504571461

// oddsBits is the precision of odds.
const oddsBits = 32

// odds are e^(k/512), in 1/2^32, up to e^9.02.
func odds() (t [4619]uint64) {
	const spare = 16 // more bits while errors add up
	v := uint64(1) << (oddsBits + spare)
	for k := range t {
		t[k] = (v + 1<<(spare-1)) >> spare
		high, low := bits.Mul64(v, halfStep)
		v = high<<2 | low>>62
	}
	return t
}

// stretchTable holds round(256 * ln((2i+1)/(8191-2i))), which is x as long as the
// odds are below e^((x+1/2)/256).
func stretchTable() (t [4096]int16) {
	bound, x := odds(), 0
	for i := 2048; i < 4096; i++ {
		for uint64(2*i+1)<<oddsBits >= bound[2*x+1]*uint64(8191-2*i) {
			x++
		}
		t[i], t[4095-i] = int16(x), int16(-x)
	}
	return t
}

// squashTable holds round(65536 / (1 + e^(-x/256))) for x from -2048 on.
func squashTable() (t [4096]uint16) {
	ratio := odds()
	for x := range 2048 {
		e := ratio[2*x]
		whole := e + 1<<oddsBits
		p := (e<<16 + whole/2) / whole
		t[2048+x], t[2048-x] = uint16(p), uint16(65536-p)
	}
	return t
}
