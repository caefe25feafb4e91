package delta

import (
	"fmt"
	"slices"
)

// A layout is which series a frame has, in which order, and which of them share
// their timestamps. A scrape's layout seldom changes, so frames refer to it.
type layout struct {
	runs   []strip
	series int
	clocks []track // for each list of timestamps, how its time goes
	past   []track // clocks of the backlog; nil if there is none
	names  uint64  // NamesHash of its series, if named
	named  bool
}

// A strip is a number of series in a row, numbered in a row, that share a list of
// timestamps.
type strip struct {
	first  int32 // number of the first series
	length int32
	times  int32 // which list of timestamps
}

// layoutSlots is how many layouts a state remembers; the oldest makes room.
const layoutSlots = 8

// What layouts cost in memory.
const (
	costRun   = 12
	costClock = trackBytes
)

func (l *layout) memory() int64 {
	return int64(costRun*len(l.runs) + costClock*(len(l.clocks)+len(l.past)))
}

// add appends one series to the layout.
func (l *layout) add(id, times int32) {
	l.series++
	if n := len(l.runs) - 1; n >= 0 {
		if r := &l.runs[n]; r.first+r.length == id && r.times == times {
			r.length++
			return
		}
	}
	l.runs = append(l.runs, strip{first: id, length: 1, times: times})
}

func (l *layout) sameRuns(o *layout) bool {
	if len(l.runs) != len(o.runs) || len(l.clocks) != len(o.clocks) {
		return false
	}
	for i := range l.runs {
		if l.runs[i] != o.runs[i] {
			return false
		}
	}
	return true
}

// layoutModel is what is learned of layouts.
type layoutModel struct {
	known   prob
	slot    [layoutSlots][layoutSlots]prob // after which slot comes which
	numbers [5]number
	lists   number // how many timestamps a list has
}

func (m *layoutModel) tables(do func([]prob)) {
	for i := range m.slot {
		do(m.slot[i][:])
	}
	for i := range m.numbers {
		do(m.numbers[i][:])
	}
	do(m.lists[:])
}

// unlearnedLayouts is a model that has seen nothing.
var unlearnedLayouts = func() (m layoutModel) {
	m.known = even
	m.tables(unlearn)
	return m
}()

// layout codes which layout the frame has: one that is remembered, or a new one
// that takes the place of the oldest. Writing, want is the layout of the batch.
func (s *state) layout(c *coder, want *layout) (*layout, error) {
	slot := -1
	if !c.reading {
		for i := range s.layouts {
			if s.layouts[i].series > 0 && s.layouts[i].sameRuns(want) {
				slot = i
				break
			}
		}
	}
	known := uint32(0)
	if slot >= 0 {
		known = 1
	}
	m := &s.lay
	if c.bit(&m.known, known) != 0 {
		slot = int(c.tree(m.slot[s.lastSlot][:], 3, uint32(max(slot, 0))))
		s.lastSlot = slot
		if s.layouts[slot].series == 0 {
			c.fail("layout %d is not known", slot)
		}
		return &s.layouts[slot], c.err
	}
	slot = s.nextSlot
	s.nextSlot = (slot + 1) % layoutSlots
	s.lastSlot = slot
	l, err := s.newLayout(c, want)
	if err != nil {
		return nil, err
	}
	s.layouts[slot] = *l
	return &s.layouts[slot], nil
}

// newLayout codes the runs of a layout.
func (s *state) newLayout(c *coder, want *layout) (*layout, error) {
	m := &s.lay
	if c.reading {
		want = &layout{}
	}
	clocks := c.number(&m.numbers[0], uint64(len(want.clocks)))
	runs := c.number(&m.numbers[1], uint64(len(want.runs)))
	if c.err != nil {
		return nil, c.err
	}
	if limit := uint64(s.limits.Series); runs == 0 || clocks == 0 || clocks > runs || runs > limit {
		return nil, fmt.Errorf("%w: %d runs with %d lists of timestamps", ErrMalformed, runs, clocks)
	}
	l := &layout{runs: slices.Clone(want.runs), series: want.series}
	var next, times int32
	for i := range int(runs) {
		var r strip
		if !c.reading {
			r = want.runs[i]
		}
		first := int64(next) + c.signed(&m.numbers[2], int64(r.first)-int64(next))
		length := c.number(&m.numbers[3], uint64(r.length-1)&(1<<32-1)) + 1
		list := int64(times) + c.signed(&m.numbers[4], int64(r.times)-int64(times))
		if c.err != nil {
			return nil, c.err
		}
		if first < 0 || length > uint64(len(s.tracks)) || first+int64(length) > int64(len(s.tracks)) || list < 0 || list >= int64(clocks) {
			return nil, fmt.Errorf("%w: run of %d series from %d of %d", ErrMalformed, length, first, len(s.tracks))
		}
		if c.reading {
			l.runs = append(l.runs, strip{first: int32(first), length: int32(length), times: int32(list)})
			if l.series += int(length); l.series > s.limits.Series {
				return nil, fmt.Errorf("%w: more than %d series", ErrLimit, s.limits.Series)
			}
		}
		next, times = int32(first)+int32(length), int32(list)
	}
	l.clocks = make([]track, clocks)
	for i := range l.clocks {
		l.clocks[i] = newTrack()
		l.clocks[i].unit.kind = unitBits
	}
	return l, nil
}

// times codes all lists of timestamps. Writing, lists are the batch's.
func (s *state) times(c *coder, l *layout, lists [][]int64) ([][]int64, error) {
	if c.reading {
		lists = make([][]int64, len(l.clocks))
	}
	budget := s.limits.Samples
	for i := range l.clocks {
		n := int(min(c.number(&s.lay.lists, uint64(len(lists[i]))), 1<<40))
		if budget -= n; budget < 0 {
			return nil, fmt.Errorf("%w: more than %d timestamps", ErrLimit, s.limits.Samples)
		}
		if c.reading {
			lists[i] = make([]int64, n)
		}
		clock := &l.clocks[i]
		for j := range lists[i] {
			at := &lists[i][s.nth(j, n)]
			*at = s.m.integer(c, clock, *at, &place{})
			clock.moved(*at, 0, false)
		}
		if c.err != nil {
			return nil, c.err
		}
	}
	return lists, nil
}
