package delta

// A habit tells how likely a series changes. Three probabilities are mixed: the
// series' own, that of all series with the same recent past, and that of series
// whose neighbours did the same. Which of them to trust is learned.
type habit struct {
	hist [3][256]prob   // by link and the series' own past
	near [3][8][16]prob // by link, the three series before it, and its own habit
	mix  [3][4][3]int32 // weights of the three, in 1/65536, by link and age
}

// weights are what the three are mixed by at first.
var weights = [3]int32{20 << 10, 24 << 10, 20 << 10}

func (h *habit) tables(do func([]prob)) {
	for i := range h.hist {
		do(h.hist[i][:])
		for j := range h.near[i] {
			do(h.near[i][j][:])
		}
	}
}

func (h *habit) reset() {
	h.tables(unlearn)
	for i := range h.mix {
		for j := range h.mix[i] {
			h.mix[i][j] = weights
		}
	}
}

// change codes whether a series changes.
func (h *habit) change(c *coder, past uint8, own *prob, at *place, bit uint32) uint32 {
	hist := &h.hist[at.link][past]
	near := &h.near[at.link][at.before&7][own.p()>>12]
	w := &h.mix[at.link][min(uint32(*own)&countMask, 15)>>2]
	s0, s1, s2 := stretch(own.p()), stretch(hist.p()), stretch(near.p())
	p := squash(int32((int64(w[0])*int64(s0) + int64(w[1])*int64(s1) + int64(w[2])*int64(s2)) >> 16))
	bit = c.raw(p, bit)
	miss := int32(bit)<<16 - int32(p)
	w[0] += (s0*miss + 1<<17) >> 18
	w[1] += (s1*miss + 1<<17) >> 18
	w[2] += (s2*miss + 1<<17) >> 18
	*own = own.learned(bit, 30)
	*hist = hist.learned(bit, settled)
	*near = near.learned(bit, settled)
	return bit
}

// moves codes whether a series changes within a frame of several samples.
func (m *model) moves(c *coder, t *track, at *place, bit uint32) bool {
	return m.frame.change(c, t.hist, &t.whole[at.link], at, bit) != 0
}

// remember adds to the series' past.
func (t *track) remember(changed bool) {
	t.hist <<= 1
	if changed {
		t.hist |= 1
	}
}
