package slo

// judge turns what was told into what is known, given what was expected.
type judge struct {
	o        Objective
	roster   roster
	excluded []Minutes
	closed   int64 // minutes before are past their deadline
}

// settle completes the sum of the buckets in [from, to), none of them in an
// excluded minute, with the minutes nobody has told of.
func (j judge) settle(s Sum, from, to int64) Sum {
	excluded := j.roster.excluded(j.excluded, from, to)
	missing := int(j.roster.expected(from, to)-excluded) - s.Told()
	s.Coverage.Excluded += int(excluded)
	if to <= j.closed {
		s.Gap += missing
		s.Open, s.Room = 0, 0
		return s
	}
	s.Pending = missing
	s.Room += int64(missing) * j.o.Capacity
	return s
}

// slices adds up the whole slices of [from, to). Coverage stays in minutes,
// counts become slices; a slice that is not decided yet has room for one.
func (j judge) slices(sums map[int64]Sum, from, to int64) Sum {
	n := j.o.Slice.Minutes
	var out Sum
	for i := -floorDiv(-from, n); (i+1)*n <= to; i++ {
		out = out.Plus(j.o.slice(j.settle(sums[i], i*n, (i+1)*n)))
	}
	return out
}

// sliceUnit is what one slice counts: millionths let a slice of the third method
// count as its share of good events and stay an integer, off by at most half a
// millionth.
func (m Method) sliceUnit() int64 {
	if m == RatioTimeslices {
		return 1_000_000
	}
	return 1
}

// slice turns the sum of a slice's minutes into the slice itself. Source: OpenSLO
// v1, budgeting methods Timeslices and RatioTimeslices.
func (o Objective) slice(p Sum) Sum {
	unit := o.Budgeting.sliceUnit()
	out := p
	out.Counts, out.Room = Counts{}, 0
	switch waiting := p.Pending > 0 || p.Open > 0; {
	case waiting && !o.decided(p):
		out.Room = unit
	case p.Total == 0:
		out.Counts = o.silent(p, unit)
	case o.Budgeting == Timeslices:
		out.Total = 1
		if p.ratio() >= o.Slice.Target {
			out.Good = 1
		}
	default:
		out.Total = unit
		out.Good = (p.Good*unit + p.Total/2) / p.Total
	}
	return out
}

func (c Counts) ratio() float64 { return float64(c.Good) / float64(c.Total) }

// decided reports whether what is pending in a slice cannot change what it
// counts.
func (o Objective) decided(p Sum) bool {
	if o.Budgeting != Timeslices || o.Capacity == 0 || p.Total == 0 {
		return false
	}
	most := p.Total + p.Room
	low, high := Counts{p.Good, most}, Counts{p.Good + p.Room, most}
	return low.ratio() >= o.Slice.Target || high.ratio() < o.Slice.Target
}

// silent is what a slice without events counts by the missing-data policy.
func (o Objective) silent(p Sum, unit int64) Counts {
	known := p.Measured+p.Gap > 0 // not only excluded, and expected of somebody
	switch {
	case o.Missing == MissingGood && known:
		return Counts{unit, unit}
	case o.Missing == MissingBad && p.Gap+p.Blind+p.Coverage.Failing > 0:
		return Counts{0, unit}
	}
	return Counts{}
}
