package delta

import (
	"fmt"
	"math"
)

// A valueReader reads the values section. Modes tell how many integers and
// floats there are; floats take the end of the section, eight bytes each.
type valueReader struct {
	modes  []byte
	firsts reader
	steps  reader
	planes []byte
	floats int // floats in the section
	next   int // the next float

	lastFirst int64
	lastFloat uint64
}

// readValues fills in the values of all series. Shapes come in the order they
// were written.
func readValues(section []byte, shapes []shapeSeries, series []Series) error {
	if len(section) < len(series) {
		return fmt.Errorf("%w: %d bytes of values for %d series", ErrMalformed, len(section), len(series))
	}
	r := valueReader{modes: section[:len(series)]}
	firsts, steps := 0, 0
	k := 0
	for _, s := range shapes {
		for _, i := range s.series {
			mode, n := r.modes[k], len(series[i].Samples)
			k++
			if err := checkMode(mode); err != nil {
				return err
			}
			if mode&flagSame != 0 {
				n = min(n, 1)
			}
			switch kind := mode & kindMask; {
			case n == 0 || kind == kindStale:
			case kind == kindFloat:
				r.floats += n
			default:
				firsts++
				steps += n - 1
			}
		}
	}
	if err := r.split(section[len(series):], firsts, steps); err != nil {
		return err
	}
	k = 0
	for _, s := range shapes {
		r.lastFirst = 0
		for _, i := range s.series {
			r.series(r.modes[k], series[i].Samples)
			k++
		}
	}
	if r.firsts.err != nil {
		return r.firsts.err
	}
	return r.steps.err
}

// checkMode refuses modes that no encoder writes.
func checkMode(mode byte) error {
	kind := mode & kindMask
	ok := kind <= maxScale ||
		kind == kindFloat && mode&(flagSecond|flagChain) == 0 ||
		mode == kindStale|flagSame
	if !ok {
		return fmt.Errorf("%w: mode %#02x", ErrMalformed, mode)
	}
	return nil
}

// split finds where the columns begin: the varints of both integer columns, then
// the planes.
func (r *valueReader) split(rest []byte, firsts, steps int) error {
	planes := 8 * r.floats
	if planes > len(rest) {
		return fmt.Errorf("%w: %d floats in %d bytes", ErrMalformed, r.floats, len(rest))
	}
	rest, r.planes = rest[:len(rest)-planes], rest[len(rest)-planes:]
	end, seen := 0, 0
	for ; end < len(rest) && seen < firsts; end++ {
		if rest[end] < 0x80 {
			seen++
		}
	}
	r.firsts.src, r.steps.src = rest[:end], rest[end:]
	count := 0
	for _, b := range r.steps.src {
		if b < 0x80 {
			count++
		}
	}
	if seen != firsts || count != steps || len(rest) > 0 && rest[len(rest)-1] >= 0x80 {
		return fmt.Errorf("%w: %d and %d integers where modes ask for %d and %d", ErrMalformed, seen, count, firsts, steps)
	}
	return nil
}

func (r *valueReader) series(mode byte, samples []Sample) {
	if len(samples) == 0 {
		return
	}
	coded := samples
	if mode&flagSame != 0 {
		coded = samples[:1]
	}
	switch kind := mode & kindMask; kind {
	case kindStale:
		coded[0].Value = math.Float64frombits(staleBits)
	case kindFloat:
		r.floatSeries(coded)
	default:
		r.integerSeries(mode, int(kind), coded)
	}
	for i := len(coded); i < len(samples); i++ {
		samples[i].Value = coded[0].Value
	}
}

func (r *valueReader) integerSeries(mode byte, scale int, samples []Sample) {
	m := r.firsts.varint()
	if mode&flagChain != 0 {
		m += r.lastFirst
	}
	r.lastFirst = m
	p := powerOfTen(scale)
	samples[0].Value = float64(m) / p
	var step int64
	for i := 1; i < len(samples); i++ {
		v := r.steps.varint()
		if mode&flagSecond != 0 {
			v += step
		}
		step = v
		m += step
		samples[i].Value = float64(m) / p
	}
}

func (r *valueReader) floatSeries(samples []Sample) {
	last := r.lastFloat
	for i := range samples {
		var b uint64
		for plane := range 8 {
			b = b<<8 | uint64(r.planes[plane*r.floats+r.next])
		}
		r.next++
		b ^= last
		if i == 0 {
			r.lastFloat = b
		}
		samples[i].Value = math.Float64frombits(b)
		last = b
	}
}
