package delta

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"math"
)

// A plan is how the series of a batch lie in a frame: their numbers, their
// layout and their lists of timestamps. Its memory is used again.
type plan struct {
	want   layout
	lists  [][]int64
	hashes map[uint64]int32 // the later lists by hash; one that was missed is only told twice
	seed   maphash.Seed
	known  int // series of the book before this batch
}

// fewLists is how many lists of timestamps are searched one by one.
const fewLists = 8

// make plans for b. Series that the book lacks are added to it.
func (p *plan) make(k *book, lim Limits, b *Batch) error {
	p.want = layout{runs: p.want.runs[:0], clocks: p.want.clocks[:0]}
	p.lists, p.hashes, p.known = p.lists[:0], nil, len(k.series)
	k.series = grown(k.series, len(b.Series))
	guess, list := 0, int32(-1)
	for i := range b.Series {
		s := &b.Series[i]
		id, ok := k.find(s, guess)
		if !ok {
			if err := checkLabels(s.Labels, lim.LabelBytes); err != nil {
				return fmt.Errorf("series %d: %w", i, err)
			}
			if len(k.series) == lim.Series {
				return fmt.Errorf("%w: more than %d series", ErrLimit, lim.Series)
			}
			id = k.enter(s)
		}
		guess = int(id) + 1
		if list < 0 || !sameTimes(p.lists[list], s.Samples) {
			list = p.list(s.Samples)
		}
		p.want.add(id, list)
	}
	if cap(p.want.clocks) < len(p.lists) {
		p.want.clocks = make([]track, len(p.lists))
	}
	p.want.clocks = p.want.clocks[:len(p.lists)]
	return nil
}

// list finds or adds the list of the samples' timestamps.
func (p *plan) list(samples []Sample) int32 {
	n := len(p.lists)
	if n < fewLists {
		for i := range p.lists {
			if sameTimes(p.lists[i], samples) {
				return int32(i)
			}
		}
	} else {
		if p.hashes == nil {
			p.seed, p.hashes = maphash.MakeSeed(), map[uint64]int32{}
		}
		sum := p.hash(samples)
		if i, ok := p.hashes[sum]; ok && sameTimes(p.lists[i], samples) {
			return i
		}
		p.hashes[sum] = int32(n)
	}
	var times []int64
	if n < cap(p.lists) {
		times = p.lists[:n+1][n][:0]
	}
	for _, s := range samples {
		times = append(times, s.Time)
	}
	p.lists = append(p.lists, times)
	return int32(n)
}

func (p *plan) hash(samples []Sample) uint64 {
	var h maphash.Hash
	h.SetSeed(p.seed)
	var b [8]byte
	for _, s := range samples {
		binary.LittleEndian.PutUint64(b[:], uint64(s.Time))
		_, _ = h.Write(b[:]) // never fails
	}
	return h.Sum64()
}

func sameTimes(times []int64, samples []Sample) bool {
	if len(times) != len(samples) {
		return false
	}
	for i := range times {
		if times[i] != samples[i].Time {
			return false
		}
	}
	return true
}

// latest is the highest timestamp of all lists.
func (p *plan) latest() (t int64, ok bool) {
	t = math.MinInt64
	for _, l := range p.lists {
		for _, v := range l {
			t, ok = max(t, v), true
		}
	}
	return t, ok
}

// checkSize holds the counts of b to the limits, and the memory that it takes
// once it is decoded.
func checkSize(b *Batch, lim Limits) error {
	if len(b.Series) > lim.Series {
		return fmt.Errorf("%w: %d series, at most %d", ErrLimit, len(b.Series), lim.Series)
	}
	samples := b.Samples()
	if samples > lim.Samples {
		return fmt.Errorf("%w: %d samples, at most %d", ErrLimit, samples, lim.Samples)
	}
	if len(b.Records) > lim.Samples {
		return fmt.Errorf("%w: %d records, at most %d", ErrLimit, len(b.Records), lim.Samples)
	}
	return checkMemory(len(b.Series), samples, lim)
}

// checkMemory holds what the series of a batch take, without their labels, to
// the limit.
func checkMemory(series, samples int, lim Limits) error {
	m := meter{left: lim.Bytes}
	m.take(costSeries*series + costSample*samples)
	return m.err(lim.Bytes)
}
