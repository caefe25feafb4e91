package store

import (
	"hash/maphash"

	"ghostlight/buffer/delta"
)

// seenSeries is how many series are remembered at least, and half of the most.
const seenSeries = 50_000

// seen remembers the last time of each series, so that the same sample delivered
// twice, by a client that repeats a request or by two scrapes in one millisecond,
// counts once. It forgets the series not seen for longest once there are too
// many.
type seen struct {
	seed       maphash.Seed
	limit      int
	young, old map[uint64]int64      // series to its last time
	batch      map[sampleID]struct{} // of the batch at hand; kept for its memory
}

type sampleID struct {
	series uint64
	time   int64
}

// claimed is a series' last time before a batch, to put back.
type claimed struct {
	series uint64
	last   int64
	known  bool
}

func newSeen(limit int) seen {
	return seen{
		seed: maphash.MakeSeed(), limit: limit,
		young: map[uint64]int64{}, old: map[uint64]int64{}, batch: map[sampleID]struct{}{},
	}
}

// claim returns series without the samples that are already stored or repeated,
// and what release needs if storing them fails.
func (s *seen) claim(series []delta.Series) (fresh []delta.Series, undo []claimed) {
	clear(s.batch)
	fresh = make([]delta.Series, 0, len(series))
	undo = make([]claimed, 0, len(series))
	for _, one := range series {
		id := delta.HashLabels(s.seed, one.Labels)
		last, known := s.last(id)
		kept := one.Samples
		for i, smp := range one.Samples {
			if s.repeats(id, smp.Time, last, known) {
				kept = s.others(id, one.Samples, i, last, known)
				break
			}
			s.batch[sampleID{id, smp.Time}] = struct{}{}
		}
		if len(kept) > 0 {
			undo = append(undo, claimed{id, last, known})
			fresh = append(fresh, delta.Series{Labels: one.Labels, Meta: one.Meta, Samples: kept})
		}
	}
	s.remember(fresh, undo)
	return fresh, undo
}

// others is samples less those that repeat; all before from are known not to.
func (s *seen) others(id uint64, samples []delta.Sample, from int, last int64, known bool) []delta.Sample {
	kept := append([]delta.Sample(nil), samples[:from]...)
	for _, smp := range samples[from:] {
		if s.repeats(id, smp.Time, last, known) {
			continue
		}
		s.batch[sampleID{id, smp.Time}] = struct{}{}
		kept = append(kept, smp)
	}
	return kept
}

func (s *seen) repeats(id uint64, at, last int64, known bool) bool {
	_, twice := s.batch[sampleID{id, at}]
	return twice || known && at == last
}

// remember notes the last time of each series, in the order of undo.
func (s *seen) remember(fresh []delta.Series, undo []claimed) {
	for i, one := range fresh {
		for _, smp := range one.Samples {
			s.set(undo[i].series, smp.Time)
		}
	}
}

// release puts back what claim changed, latest first.
func (s *seen) release(undo []claimed) {
	for i := len(undo) - 1; i >= 0; i-- {
		u := undo[i]
		if u.known {
			s.young[u.series] = u.last
			continue
		}
		delete(s.young, u.series)
		delete(s.old, u.series)
	}
}

func (s *seen) last(id uint64) (int64, bool) {
	if t, ok := s.young[id]; ok {
		return t, true
	}
	t, ok := s.old[id]
	return t, ok
}

func (s *seen) set(id uint64, at int64) {
	if len(s.young) >= s.limit {
		s.old, s.young = s.young, map[uint64]int64{}
	}
	s.young[id] = at
}
