package delta

import "fmt"

// writeBody appends the series of a batch, as planned, to the coder.
func (s *state) writeBody(c *coder, p *plan, b *Batch, aside bool) error {
	if len(b.Series) == 0 {
		return nil
	}
	l, err := s.layout(c, &p.want)
	if err != nil {
		return err
	}
	if aside {
		s.aside(l)
		defer s.ahead(l)
	} else {
		s.settle()
	}
	if _, err := s.times(c, l, p.lists); err != nil {
		return err
	}
	return s.values(c, l, b.Series, p.lists)
}

// readBody reads series; their labels come from the book.
func (s *state) readBody(c *coder, k *book, aside bool) ([]Series, error) {
	l, err := s.layout(c, nil)
	if err != nil {
		return nil, err
	}
	if aside {
		s.aside(l)
		defer s.ahead(l)
	} else {
		s.settle()
	}
	lists, err := s.times(c, l, nil)
	if err != nil {
		return nil, err
	}
	total := 0
	for _, r := range l.runs {
		if total += int(r.length) * len(lists[r.times]); total > s.limits.Samples {
			return nil, fmt.Errorf("%w: more than %d samples", ErrLimit, s.limits.Samples)
		}
	}
	if err := checkMemory(l.series, total, s.limits); err != nil {
		return nil, err
	}
	s.current = l
	series, samples := s.lend(l.series, total)
	for _, r := range l.runs {
		times := lists[r.times]
		for id := r.first; id < r.first+r.length; id++ {
			var own []Sample
			own, samples = samples[:len(times):len(times)], samples[len(times):]
			for i, t := range times {
				own[i].Time = t
			}
			series = append(series, Series{Labels: k.series[id].Labels, Meta: k.series[id].Meta, Samples: own})
		}
	}
	return series, s.values(c, l, series, lists)
}

// lend returns memory for a batch: what it lent before if that was given back,
// otherwise new.
func (s *state) lend(series, samples int) ([]Series, []Sample) {
	if s.lent || cap(s.lentSeries) < series || cap(s.lentSamples) < samples {
		s.lentSeries, s.lentSamples = make([]Series, 0, series), make([]Sample, samples)
	}
	s.lent = true
	return s.lentSeries[:0], s.lentSamples[:samples]
}
