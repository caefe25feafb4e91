package delta

import "math"

// Each series has one mode byte: in its low five bits the scale of its integers,
// or one of the kinds below; above them the flags.
const (
	maxScale  = 15 // values are integers divided by ten to the power of 0 to 15
	kindFloat = 30 // values are 64 bit patterns
	kindStale = 31 // every value is the stale marker
	kindMask  = 31

	flagSame   = 1 << 5 // every value equals the first
	flagSecond = 1 << 6 // integers: changes of the step, not steps
	flagChain  = 1 << 7 // integers: the first is told from the series before it
)

// staleBits is Prometheus' stale marker: the series ended here.
const staleBits = 0x7ff0000000000002

// maxInteger bounds the integers of a scale: up to here every one is a float64.
const maxInteger = 1 << 53

// powersOfTen are exact as float64, so that a division by one is rounded once,
// like the decimal number that a person or program wrote.
func powerOfTen(scale int) float64 {
	return [maxScale + 1]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}[scale]
}

// scaled returns the integer that stands for v at a scale, if dividing it gives
// back every bit of v.
func scaled(v float64, scale int) (int64, bool) {
	p := powerOfTen(scale)
	m := math.Round(v * p)
	if !(math.Abs(m) <= maxInteger) { // false for NaN as well
		return 0, false
	}
	return int64(m), math.Float64bits(m/p) == math.Float64bits(v) && (m != 0 || math.Float64bits(v) == 0)
}

// A valueWriter builds the values section: modes, then integers that begin a
// series, then steps, then the bytes of floats, the highest of each first.
type valueWriter struct {
	modes  []byte
	firsts []byte
	steps  []byte
	floats []uint64

	lastFirst int64 // first integer of the series before, for flagChain
	lastScale int
	lastFloat uint64 // first bits of the float series before
	ints      []int64
}

// newShape forgets the series before: the next one measures something else.
func (w *valueWriter) newShape() { w.lastFirst, w.lastScale = 0, -1 }

func (w *valueWriter) series(samples []Sample) {
	if len(samples) == 0 {
		w.modes = append(w.modes, flagSame)
		return
	}
	same, stale := true, true
	first := math.Float64bits(samples[0].Value)
	for _, s := range samples {
		b := math.Float64bits(s.Value)
		same, stale = same && b == first, stale && b == staleBits
	}
	if stale {
		w.modes = append(w.modes, kindStale|flagSame)
		return
	}
	var flags byte
	if same {
		flags, samples = flagSame, samples[:1]
	}
	scale, ok := w.integers(samples)
	if !ok {
		w.floatSeries(samples, flags)
		return
	}
	w.integerSeries(scale, flags)
}

// integers fills w.ints with samples at the smallest scale that holds them all.
func (w *valueWriter) integers(samples []Sample) (scale int, ok bool) {
	for _, s := range samples {
		for {
			if _, ok := scaled(s.Value, scale); ok {
				break
			}
			if scale++; scale > maxScale {
				return 0, false
			}
		}
	}
	w.ints = w.ints[:0]
	for _, s := range samples {
		m, ok := scaled(s.Value, scale)
		if !ok {
			return 0, false
		}
		w.ints = append(w.ints, m)
	}
	return scale, true
}

func (w *valueWriter) integerSeries(scale int, flags byte) {
	first := w.ints[0]
	code := zigzag(first)
	if w.lastScale == scale {
		if c := zigzag(first - w.lastFirst); uvarintLen(c) < uvarintLen(code) {
			flags, code = flags|flagChain, c
		}
	}
	w.lastFirst, w.lastScale = first, scale
	w.firsts = appendUvarint(w.firsts, code)
	if flags&flagSame == 0 {
		flags |= w.stepSeries()
	}
	w.modes = append(w.modes, byte(scale)|flags)
}

// stepSeries writes the steps between w.ints, or their changes if those are
// shorter.
func (w *valueWriter) stepSeries() (flags byte) {
	var size, sizeSecond int
	for i, last := 1, int64(0); i < len(w.ints); i++ {
		step := w.ints[i] - w.ints[i-1]
		size += uvarintLen(zigzag(step))
		sizeSecond += uvarintLen(zigzag(step - last))
		last = step
	}
	if sizeSecond < size {
		flags = flagSecond
	}
	for i, last := 1, int64(0); i < len(w.ints); i++ {
		step := w.ints[i] - w.ints[i-1]
		w.steps = appendUvarint(w.steps, zigzag(step-last))
		if flags != 0 {
			last = step
		}
	}
	return flags
}

// floatSeries writes bit patterns, each XORed with the one before it; the first
// with the first of the float series before.
func (w *valueWriter) floatSeries(samples []Sample, flags byte) {
	w.modes = append(w.modes, kindFloat|flags)
	last := w.lastFloat
	w.lastFloat = math.Float64bits(samples[0].Value)
	for _, s := range samples {
		b := math.Float64bits(s.Value)
		w.floats = append(w.floats, b^last)
		last = b
	}
}

// section joins the columns. Floats are laid out in planes, all highest bytes
// first: neighbours share sign and exponent, and no digits.
func (w *valueWriter) section() []byte {
	out := append([]byte(nil), w.modes...)
	out = append(out, w.firsts...)
	out = append(out, w.steps...)
	for shift := 56; shift >= 0; shift -= 8 {
		for _, f := range w.floats {
			out = append(out, byte(f>>shift))
		}
	}
	return out
}
