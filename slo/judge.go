package slo

// Judge judges [from, to) by what the track holds, as [EvaluateSums] from scratch
// would, closed included. It reports false where the track does not hold it: of what is
// older than a day it holds events by the hour, and of what is older than its longest
// window nothing.
func (t *Track) Judge(from, to, closed int64) (Status, bool) {
	if !t.started || from >= to || from < t.oldest() || to > t.now+dayMinutes {
		return Status{}, false
	}
	j := judge{o: t.o, roster: t.roster, excluded: t.planned(from, to), closed: closed}
	if t.o.Budgeting.Sliced() {
		return t.judgeSlices(j, from, to), true
	}
	cut := min(max(closed, from), to)
	over, held := t.told(from, cut)
	open, held2 := t.told(cut, to)
	return j.settle(over, from, cut).Plus(j.settle(open, cut, to)).status(t.o), held && held2
}

// told sums up what was told of [from, to), if the track holds it: whole hours, and
// minutes on either side.
func (t *Track) told(from, to int64) (Sum, bool) {
	first, last := -floorDiv(-from, 60)*60, floorDiv(to, 60)*60
	if first > last {
		first, last = to, to
	}
	if (from < first && from < t.detailed()) || (last < to && last < t.detailed()) {
		return Sum{}, false
	}
	var w window
	t.byMinute(&w.sum, from, first, 1)
	t.hourly(&w, first, last, 1)
	t.byMinute(&w.sum, last, to, 1)
	return sumFrom(w.sum), true
}

// judgeSlices adds up the whole slices of [from, to) since anybody was expected.
func (t *Track) judgeSlices(j judge, from, to int64) Status {
	since, _ := t.roster.bounds()
	n := t.o.Slice.Minutes
	var sum Sum
	for i := -floorDiv(-max(from, since), n); (i+1)*n <= to; i++ {
		sum = sum.Plus(t.o.slice(j.settle(t.toldOf(i), i*n, (i+1)*n)))
	}
	return sum.status(t.o)
}

// detailed is the first minute that is held by itself.
func (t *Track) detailed() int64 { return t.now - t.keep }

// Minutes completes each minute of [from, to) as [SumMinutes] does. It reports false
// where the track does not hold them one by one.
func (t *Track) Minutes(from, to, closed int64) ([]Sum, bool) {
	if !t.started || from < t.detailed() || to > t.now+dayMinutes {
		return nil, false
	}
	j := judge{o: t.o, roster: t.roster, excluded: t.planned(from, to), closed: closed}
	out := make([]Sum, 0, max(0, to-from))
	for m := from; m < to; m++ {
		var told vector
		t.byMinute(&told, m, m+1, 1)
		out = append(out, j.settle(sumFrom(told), m, m+1))
	}
	return out, true
}
