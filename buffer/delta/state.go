package delta

import (
	"fmt"
	"math"
	"unsafe"
)

// trackBytes and stateBytes are what a series and everything else in a state
// take in memory.
const (
	trackBytes = int(unsafe.Sizeof(track{}))
	stateBytes = int64(unsafe.Sizeof(state{}))
)

// A state is everything that coding the next frame depends on. Encoder and
// decoder change theirs in step, so it is the same on both sides.
type state struct {
	limits   Limits
	tracks   []track
	layouts  [layoutSlots]layout
	current  *layout // of the last frame that was read; nil if it had no series
	nextSlot int
	lastSlot int
	lay      layoutModel
	m        *model   // which of the models the frame at hand uses
	fresh    model    // of frames that are not aside
	back     *backlog // of those that are, while there are any
	backward bool     // the frame at hand is coded from its last sample to its first

	lastGroup uint32 // whether the last group of calm series moved

	scratch
}

// A scratch is memory that lives for one frame and is kept for the next.
type scratch struct {
	at     []int32 // for each series: where its steps begin, less one; 0: not in this frame
	list   []int32 // for each series: its list of timestamps
	steps  []int64 // for each sample of the frame
	before []uint8 // for each timestamp: which of the series before changed

	lent        bool     // the caller uses the memory below
	lentSeries  []Series // of the last batch that was decoded
	lentSamples []Sample
}

func (s *state) reset(lim Limits) {
	s.limits = lim
	s.tracks = s.tracks[:0]
	s.layouts = [layoutSlots]layout{}
	s.current, s.nextSlot, s.lastSlot = nil, 0, 0
	s.lay = unlearnedLayouts
	s.fresh = unlearned
	s.back, s.m, s.backward = nil, &s.fresh, false
}

// bytes is the memory that the state takes between frames, the same on both
// sides.
func (s *state) bytes() int64 {
	n := stateBytes + int64(trackBytes*len(s.tracks))
	if s.back != nil {
		n += backlogBytes + int64(trackBytes*len(s.back.tracks))
	}
	for i := range s.layouts {
		n += s.layouts[i].memory()
	}
	return n
}

func (s *state) checkMemory(dictionary int64) error {
	n := s.bytes() + dictionary
	if n > s.limits.state() {
		return fmt.Errorf("%w: %d bytes of coding state, at most %d", ErrLimit, n, s.limits.state())
	}
	return nil
}

// track makes room for the series of a book that are new to the state.
func (s *state) track(k *book) {
	s.tracks = grown(s.tracks, len(k.series))
	for id := len(s.tracks); id < len(k.series); id++ {
		t := newTrack()
		t.link = k.leader(int32(id))
		s.tracks = append(s.tracks, t)
	}
}

// values codes the values of all series. Reading, the samples are there with
// their times and get their values.
func (s *state) values(c *coder, l *layout, series []Series, lists [][]int64) error {
	s.prepare(l, lists)
	next, pos := 0, 0
	last := int32(-1)
	for _, r := range l.runs {
		if r.times != last {
			last = r.times
			s.before = append(s.before[:0], make([]uint8, len(lists[r.times]))...)
		}
		for first, end := r.first, r.first+r.length; first < end; {
			n := min(end-first, groupSize)
			group := series[pos : pos+int(n)]
			if next = s.group(c, first, r.times, group, next); c.err != nil {
				return c.err
			}
			first, pos = first+n, pos+int(n)
		}
	}
	return nil
}

func (s *state) prepare(l *layout, lists [][]int64) {
	s.lastGroup = 0
	n := 0
	for _, r := range l.runs {
		n += int(r.length) * len(lists[r.times])
	}
	if cap(s.steps) < n {
		s.steps = make([]int64, n)
	}
	s.steps = s.steps[:n]
	if cap(s.at) < len(s.tracks) {
		s.at, s.list = make([]int32, cap(s.tracks)), make([]int32, cap(s.tracks))
	}
	s.at, s.list = s.at[:len(s.tracks)], s.list[:len(s.tracks)]
	clear(s.at)
}

// groupSize is how many series in a row are passed over together while none of
// them changes.
const groupSize = 8

// group codes the values of some series in a row, numbered from first on. It
// returns where the steps of the next begin.
func (s *state) group(c *coder, first, list int32, series []Series, next int) int {
	n := len(series[0].Samples)
	calm := len(series) == groupSize && n > 0 && s.calm(first)
	if calm {
		moves := uint32(0)
		if !c.reading && s.moves(first, series) {
			moves = 1
		}
		p := &s.m.calm[s.lastGroup][min(n-1, 1)]
		s.lastGroup = c.bit(p, moves)
		calm = moves|s.lastGroup == 0
	}
	for i := range series {
		id := first + int32(i)
		if calm {
			s.pass(c, id, list, series[i].Samples, next)
		} else {
			s.series(c, id, list, series[i].Samples, next)
		}
		next += n
	}
	return next
}

// calm reports whether no series of a group has changed lately.
func (s *state) calm(first int32) bool {
	past := uint8(0)
	for i := range s.tracks[first : first+groupSize] {
		past |= s.tracks[int(first)+i].hist
	}
	return past == 0
}

func (s *state) moves(first int32, series []Series) bool {
	for i := range series {
		last := s.tracks[int(first)+i].bits
		for j := range series[i].Samples {
			if math.Float64bits(series[i].Samples[j].Value) != last {
				return true
			}
		}
	}
	return false
}

// pass is series for one that is known to keep its last value.
func (s *state) pass(c *coder, id, list int32, samples []Sample, next int) {
	s.at[id], s.list[id] = int32(next)+1, list
	clear(s.steps[next : next+len(samples)])
	if c.reading {
		v := math.Float64frombits(s.tracks[id].bits)
		for j := range samples {
			samples[j].Value = v
		}
	}
	for j := range samples {
		s.before[j] <<= 1
	}
}

// series codes the values of one series; its steps go to s.steps from next on.
func (s *state) series(c *coder, id, list int32, samples []Sample, next int) {
	t := &s.tracks[id]
	steps := s.steps[next : next+len(samples)]
	var led []int64 // steps of the series that this one follows
	if t.link >= 0 && s.at[t.link] > 0 && s.list[t.link] == list {
		led = s.steps[s.at[t.link]-1:]
		led = led[:len(samples)]
	}
	s.at[id], s.list[id] = int32(next)+1, list
	if len(samples) > 1 && s.still(c, t, samples, led, steps) {
		return
	}
	for j := range samples {
		v := &samples[s.nth(j, len(samples))].Value
		p := place{before: uint32(s.before[j])}
		if led != nil {
			p.link, p.linked = 1, led[j]
			if p.linked != 0 {
				p.link = 2
			}
		}
		now := s.m.value(c, t, math.Float64bits(*v), &p)
		s.before[j] <<= 1
		if p.changed {
			s.before[j] |= 1
		}
		if c.reading {
			*v = math.Float64frombits(now)
		}
		steps[j] = p.step
	}
}

// still codes whether a series of several samples keeps its last value through
// all of them.
func (s *state) still(c *coder, t *track, samples []Sample, led, steps []int64) bool {
	moves := uint32(0)
	if !c.reading {
		for i := range samples {
			if math.Float64bits(samples[i].Value) != t.bits {
				moves = 1
				break
			}
		}
	}
	p := place{before: uint32(s.before[0])}
	if led != nil {
		p.link = 1
		for _, step := range led {
			if step != 0 {
				p.link = 2
				break
			}
		}
	}
	if s.m.moves(c, t, &p, moves) {
		return false
	}
	for j := range samples {
		if c.reading {
			samples[j].Value = math.Float64frombits(t.bits)
		}
		s.before[j] <<= 1
		steps[j] = 0
	}
	t.hist <<= min(len(samples), 8)
	return true
}

// grown returns list with room for n, little more than that.
func grown[T any](list []T, n int) []T {
	if n <= cap(list) {
		return list
	}
	more := make([]T, len(list), n+n/16)
	copy(more, list)
	return more
}
