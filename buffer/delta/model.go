package delta

import "math/bits"

// A model is what is learned of all series together: it serves those that have
// no past of their own yet, and gives each the company of its neighbours.
type model struct {
	sample habit      // that a series changes from one sample to the next
	calm   [2][2]prob // that a group of series at rest stays so, by the group before it and whether frames are long
	frame  habit      // that it changes within a frame of several
	same   [4]prob    // that a changed value is in its series' unit
	how    [16]prob   // what else it is
	units  [8]prob    // the unit it turns to
	scales [32]prob
	shift  number
	zero   [guesses][24]prob
	sign   [guesses][24]prob
	length [lengthContexts][16]prob
	longer [8][64]prob
	ulps   [3][16]prob
}

const lengthContexts = 40

// tables hands all probabilities to do, in the order of the model.
func (m *model) tables(do func([]prob)) {
	m.sample.tables(do)
	for i := range m.calm {
		do(m.calm[i][:])
	}
	m.frame.tables(do)
	do(m.same[:])
	do(m.how[:])
	do(m.units[:])
	do(m.scales[:])
	do(m.shift[:])
	for i := range m.zero {
		do(m.zero[i][:])
		do(m.sign[i][:])
	}
	for i := range m.length {
		do(m.length[i][:])
	}
	for i := range m.longer {
		do(m.longer[i][:])
	}
	for i := range m.ulps {
		do(m.ulps[i][:])
	}
}

// unlearned is a model that has seen nothing.
var unlearned = func() (m model) {
	m.tables(unlearn)
	m.sample.reset()
	m.frame.reset()
	return m
}()

// What becomes of a value that is not in its series' unit.
const (
	howStale = iota // the stale marker, for once
	howOnce         // a bit pattern, for once
	howTurn         // the series turns to another unit
)

// A place is where a value stands in its frame.
type place struct {
	link    int    // 0: follows no series, or one that is not here; 1: one that stood still; 2: one that moved
	linked  int64  // its step
	before  uint32 // which of the three series before changed at this time
	changed bool   // set: whether this one did
	step    int64  // set: its step
}

// value codes one value of a series and remembers it.
func (m *model) value(c *coder, t *track, v uint64, at *place) uint64 {
	var bit uint32
	if v != t.bits {
		bit = 1
	}
	at.changed = m.sample.change(c, t.hist, &t.flag[at.link], at, bit) != 0
	t.remember(at.changed)
	at.step = 0
	if !at.changed {
		return t.bits
	}
	u := t.unit
	var q, ulps int64
	fits := uint32(0)
	if !c.reading {
		var ok bool
		if q, ulps, ok = t.integer(u, v); ok && !isOdd(v) && !t.better(v) {
			fits = 1
		}
	}
	if c.bit(&m.same[u.kind], fits) == 0 {
		if v, done := m.unusual(c, t, v); done {
			t.bits = v
			return v
		}
		u = t.unit
		if !c.reading {
			q, ulps, _ = t.integer(u, v)
		}
	}
	last := t.last
	q = m.integer(c, t, q, at)
	if !u.exact {
		ulps = m.ulp(c, u, ulps)
	}
	if c.reading {
		v = t.value(u, q, ulps)
	}
	t.bits = v
	at.step = q - last
	t.moved(q, at.linked, at.link != 0)
	return v
}

// isOdd reports values that no unit should be bent for.
func isOdd(v uint64) bool {
	return v&^(1<<63) >= 0x7ff0000000000000
}

// unusual codes a value outside its unit; done says that it is complete.
func (m *model) unusual(c *coder, t *track, v uint64) (_ uint64, done bool) {
	how, u := uint32(howTurn), t.unit
	if !c.reading {
		switch {
		case v == staleBits:
			how = howStale
		case isOdd(v) || v == 1<<63:
			how = howOnce
		default:
			u = t.fit(v)
		}
	}
	switch c.tree(m.how[:], 2, how) {
	case howStale:
		return staleBits, true
	case howOnce:
		return c.flat(64, v), true
	case howTurn:
		m.unit(c, t, u)
	default:
		c.fail("value of no known sort")
	}
	return 0, false
}

// unit codes the unit that a series turns to.
func (m *model) unit(c *coder, t *track, u unit) {
	exact := uint32(0)
	if u.exact {
		exact = 1
	}
	packed := c.tree(m.units[:], 3, uint32(u.kind)<<1|exact)
	u.kind, u.exact = uint8(packed>>1), packed&1 != 0
	u.scale = uint8(c.tree(m.scales[:], 4, uint32(u.scale)))
	u.shift = uint8(c.number(&m.shift, uint64(u.shift)))
	if u.kind > unitBits || u.shift > 63 || u.kind == unitSum && u.exact {
		c.fail("unit %+v", u)
	}
	u.kind, u.shift = min(u.kind, unitBits), min(u.shift, 63)
	t.turn(u)
}

// integer codes q against the best guess.
func (m *model) integer(c *coder, t *track, q int64, at *place) int64 {
	g := t.best(at.link != 0)
	guess := t.guess(g, at.linked)
	r := q - guess
	expect := min(int(t.cost[g]+4)>>3, 2*lengthContexts-1)
	ctx := expect
	if ctx > 24 {
		ctx = 24 + (ctx-24)/4
	}
	if ctx >= lengthContexts {
		ctx = lengthContexts - 1
	}
	small := min(expect/2, 23)
	zero := uint32(0)
	if r == 0 {
		zero = 1
	}
	if c.bit(&m.zero[g][small], zero) != 0 {
		return guess
	}
	neg := uint32(0)
	if r < 0 {
		neg = 1
	}
	neg = c.bit(&m.sign[g][small], neg)
	size := uint64(r)
	if neg != 0 {
		size = -size
	}
	size--
	n := m.size(c, ctx, uint32(min(bits.Len64(size), 63)))
	if n > 1 {
		size = 1<<(n-1) | c.flat(int(n)-1, size&(1<<(n-1)-1))
	} else {
		size = uint64(n)
	}
	size++
	if neg != 0 {
		size = -size
	}
	return guess + int64(size)
}

// size codes how many bits a number has: those of 15 and more share a table.
func (m *model) size(c *coder, ctx int, n uint32) uint32 {
	const long = 15
	if short := c.tree(m.length[ctx][:], 4, min(n, long)); short < long {
		return short
	}
	return c.tree(m.longer[ctx/5][:], 6, n)
}

func (m *model) ulp(c *coder, u unit, ulps int64) int64 {
	z := zigzag(ulps)
	n := c.tree(m.ulps[u.kind][:], 4, uint32(bits.Len64(z)))
	if n <= 1 {
		return unzigzag(uint64(n))
	}
	return unzigzag(1<<(n-1) | c.flat(int(n)-1, z&(1<<(n-1)-1)))
}
