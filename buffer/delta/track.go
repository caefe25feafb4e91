package delta

import (
	"math"
	"math/bits"
)

// How the values of a series are told apart from their neighbours in time.
const (
	unitInteger = 0 // integers of a decimal scale and a power of two
	unitSum     = 1 // a float that steps were added to, each a decimal
	unitBits    = 2 // the bit pattern as an integer
)

// A unit is how the values of one series become integers.
type unit struct {
	kind  uint8
	scale uint8 // decimal digits behind the point, 0 to maxScale
	shift uint8 // trailing zero bits that all integers have
	exact bool  // unitInteger: the integer alone gives the value, no ulps follow
}

// predictors guess the next integer of a series.
const (
	guessLast = iota // the last integer
	guessStep        // plus the last step
	guessRate        // plus the mean step
	guessMean        // the mean integer
	guessLink        // plus the step of the series this one follows
	guesses
)

// A track is all that is remembered of one series: its last value, how it is
// written, and how it has behaved.
type track struct {
	bits  uint64 // the last value
	last  int64  // its integer
	step  int64
	rate  int64 // mean step, in 1/16
	mean  int64 // mean integer, in 1/16
	unit  unit
	cost  [guesses]uint16 // mean size of what a guess left to code, in 1/16 bit
	flag  [3]prob         // that it changes: link unknown, link still, link changed
	whole [3]prob         // the same of a frame of several samples
	hist  uint8           // whether it changed, the last eight times
	zeros uint8           // trailing zero bits that the last integers had in common
	count uint8           // changes that zeros is the minimum of
	link  int32           // the series it follows, -1 for none
}

func newTrack() track {
	t := track{link: -1, unit: unit{exact: true}}
	for i := range t.flag {
		t.flag[i], t.whole[i] = even, even
	}
	for i := range t.cost {
		t.cost[i] = 8 << 4
	}
	return t
}

// integer returns what stands for v in the unit, the ulps between what that
// gives back and v, and whether the unit can hold v.
func (t *track) integer(u unit, v uint64) (q int64, ulps int64, ok bool) {
	switch u.kind {
	case unitInteger:
		f := math.Float64frombits(v)
		if n := int64(f); u.scale == 0 && float64(n) == f && n <= maxInteger && n >= -maxInteger { // most are whole
			return n >> u.shift, 0, n&(1<<u.shift-1) == 0 && (n != 0 || v == 0)
		}
		p := powerOfTen(int(u.scale))
		m := math.Round(f * p)
		if !(math.Abs(m) <= maxInteger) {
			return 0, 0, false
		}
		q = int64(m)
		if q&(1<<u.shift-1) != 0 {
			return 0, 0, false
		}
		ulps = int64(v) - int64(math.Float64bits(m/p))
		if u.exact {
			ok = ulps == 0
		} else {
			ok = ulps >= -3 && ulps <= 3
		}
		return q >> u.shift, ulps, ok && (q != 0 || v == 0)
	case unitSum:
		p := powerOfTen(int(u.scale))
		last := t.base()
		n := math.Round((math.Float64frombits(v) - last) * p)
		if !(math.Abs(n) <= maxInteger) {
			return 0, 0, false
		}
		// As the decoder will: from the integer, which knows no -0.
		ulps = int64(v) - int64(math.Float64bits(last+float64(int64(n))/p))
		return t.last + int64(n), ulps, ulps >= -maxUlps && ulps <= maxUlps
	default:
		return int64(v), 0, true
	}
}

// sumScale is the scale of what is added to sums: clocks count nanoseconds.
const sumScale = 9

// maxUlps bounds how far rounding may have carried a sum away from its parts.
const maxUlps = 1 << 12

// holds reports whether the unit can hold v.
func (t *track) holds(u unit, v uint64) bool {
	_, _, ok := t.integer(u, v)
	return ok
}

// base is the float that a sum goes on from: after a marker, zero.
func (t *track) base() float64 {
	if isOdd(t.bits) {
		return 0
	}
	return math.Float64frombits(t.bits)
}

// value is the inverse of integer.
func (t *track) value(u unit, q, ulps int64) uint64 {
	switch u.kind {
	case unitInteger:
		return math.Float64bits(float64(q<<u.shift)/powerOfTen(int(u.scale))) + uint64(ulps)
	case unitSum:
		return math.Float64bits(t.base()+float64(q-t.last)/powerOfTen(int(u.scale))) + uint64(ulps)
	default:
		return uint64(q)
	}
}

// guess is what predictor g says the next integer is; linked is the step of the
// series this one follows.
func (t *track) guess(g int, linked int64) int64 {
	switch g {
	case guessStep:
		return t.last + t.step
	case guessRate:
		return t.last + (t.rate+8)>>4
	case guessMean:
		return (t.mean + 8) >> 4
	case guessLink:
		return t.last + linked
	default:
		return t.last
	}
}

// best is the predictor that did best so far.
func (t *track) best(haveLink bool) int {
	n := guesses
	if !haveLink {
		n = guessLink
	}
	g := 0
	for i := 1; i < n; i++ {
		if t.cost[i] < t.cost[g] {
			g = i
		}
	}
	return g
}

// size16 is about how many bits an integer takes, in 1/16.
func size16(r int64) uint16 {
	u := zigzag(r)
	n := bits.Len64(u)
	return uint16(n<<4) | uint16(u<<(64-n)>>59&15) // the four bits below the highest
}

// moved remembers that the series went on to q.
func (t *track) moved(q int64, linked int64, haveLink bool) {
	step := q - t.last
	t.missed(guessLast, step)
	t.missed(guessStep, step-t.step)
	t.missed(guessRate, step-(t.rate+8)>>4)
	t.missed(guessMean, q-(t.mean+8)>>4)
	if haveLink {
		t.missed(guessLink, step-linked)
	}
	t.rate += (step<<4 - t.rate) >> 3
	t.mean += (q<<4 - t.mean) >> 2
	t.step, t.last = step, q
	switch t.unit.kind {
	case unitInteger:
		t.narrow(q)
	case unitBits:
		t.count++
	}
}

// missed remembers how far a guess lay from what came.
func (t *track) missed(guess int, by int64) {
	t.cost[guess] += uint16((int32(size16(by)) - int32(t.cost[guess])) >> 3)
}

// narrow drops zero bits that the last integers all ended in.
func (t *track) narrow(q int64) {
	z := uint8(min(bits.TrailingZeros64(uint64(q)), 63))
	if t.count == 0 {
		t.zeros = z
	}
	t.zeros = min(t.zeros, z)
	if t.count++; t.count < 8 {
		return
	}
	t.count = 0
	if by := t.zeros; by > 0 && by < 40 {
		t.unit.shift += by
		t.last >>= by
		t.step >>= by
		t.rate >>= by
		t.mean >>= by
		for g := range t.cost {
			t.cost[g] -= min(t.cost[g], uint16(by)<<4)
		}
	}
}

// turn makes the track speak in another unit from its last value on.
func (t *track) turn(u unit) {
	t.unit = u
	t.step, t.rate, t.count = 0, 0, 0
	switch u.kind {
	case unitSum:
		t.last = 0
	default:
		var ok bool
		if t.last, _, ok = t.integer(u, t.bits); !ok {
			t.last = 0
		}
	}
	t.mean = t.last << 4
	for g := range t.cost {
		t.cost[g] = max(t.cost[g], 12<<4)
	}
}

// fit finds the unit to turn to for v. Only the encoder asks; it may choose as
// it likes, as long as the unit holds v.
func (t *track) fit(v uint64) unit {
	f := math.Float64frombits(v)
	for scale := range maxDigits + 1 {
		if m, ok := scaled(f, scale); ok {
			return t.integerUnit(f, scale, m)
		}
	}
	// A product or quotient of decimals may be an ulp or two off.
	for scale := 2; scale < maxDigits-1; scale++ {
		if u := (unit{kind: unitInteger, scale: uint8(scale)}); t.holds(u, v) && math.Abs(f)*powerOfTen(scale) < 1<<45 {
			return u
		}
	}
	if u := (unit{kind: unitSum, scale: sumScale}); t.holds(u, v) {
		return u
	}
	for scale := maxDigits + 1; scale <= maxScale; scale++ {
		if m, ok := scaled(f, scale); ok && m < 1<<46 && m > -1<<46 {
			return unit{kind: unitInteger, scale: uint8(scale), exact: true}
		}
	}
	return unit{kind: unitBits, exact: true}
}

// maxDigits is how many decimals are looked for before a value is thought to
// be a sum.
const maxDigits = 9

// integerUnit is the unit for f, which is m at the given scale: no coarser than
// what the series has needed so far, if that holds f as well.
func (t *track) integerUnit(f float64, scale int, m int64) unit {
	u := unit{kind: unitInteger, scale: uint8(scale), exact: true}
	if t.unit.kind != unitInteger {
		return u
	}
	u.exact = t.unit.exact
	if int(t.unit.scale) > scale {
		if finer, ok := scaled(f, int(t.unit.scale)); ok {
			u.scale, m = t.unit.scale, finer
		}
	}
	if m != 0 {
		u.shift = min(t.unit.shift, uint8(bits.TrailingZeros64(uint64(m))))
	}
	return u
}

// better reports whether a series that was left to bit patterns has a better
// unit by now; it looks only now and then.
func (t *track) better(v uint64) bool {
	return t.unit.kind == unitBits && t.count&15 == 15 && t.fit(v).kind != unitBits
}
