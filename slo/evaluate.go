package slo

import "iter"

// Verdict says whether a window keeps its objective.
type Verdict string

// The verdicts. Undetermined means that what is still pending could decide it
// either way.
const (
	Met          Verdict = "met"
	Missed       Verdict = "missed"
	Undetermined Verdict = "undetermined"
)

// Coverage says how much of a window is known, in minutes of all nodes. Measured
// includes Quiet, Blind and Failing. A minute still open counts as Measured and
// as Open.
type Coverage struct {
	Measured int `json:"measured"` // a bucket tells what happened
	Gap      int `json:"gap"`      // nothing will come: the node attests it, or it was waited for long enough
	Pending  int `json:"pending"`  // nothing has come yet: the node may be dark
	Excluded int `json:"excluded"` // planned: does not count
	Quiet    int `json:"quiet"`    // no events, watched throughout, journey passing
	Blind    int `json:"blind"`    // no events, but nobody can vouch for it
	Failing  int `json:"failing"`  // no events while the journey failed
	Open     int `json:"open"`     // told so far; more of the minute may come
}

// A Status is an objective judged over one window. Its numbers are finite.
type Status struct {
	// Counts are in the unit of the budgeting method: events, slices, or
	// millionths of slices; see [Method.Unit].
	Counts
	Coverage Coverage `json:"coverage"`
	Known    bool     `json:"known"` // something counts: SLI and BudgetLeft mean something
	SLI      float64  `json:"sli"`   // good/total so far, 0 when not Known
	Lower    float64  `json:"lower"` // the final SLI cannot be below, 0 when not bounded
	Upper    float64  `json:"upper"` // the final SLI cannot be above, 1 when not bounded
	Verdict  Verdict  `json:"verdict"`
	// Final says that nothing is pending, or it was waited for long enough. Where nobody
	// is expected yet nothing is final: whoever turns up may tell of before.
	Final bool `json:"final"`
	// Restated says that late data changed a verdict that was final. See
	// [Status.After].
	Restated bool `json:"restated,omitempty"`
	// BudgetLeft is the share of the error budget of the events so far that is
	// unspent: 1 untouched, 0 spent, negative overspent.
	BudgetLeft float64 `json:"budget_left"`
	// CapacityExceeded counts minutes that held more events than the declared
	// capacity. The bounds rest on that capacity: correct it.
	CapacityExceeded int `json:"capacity_exceeded,omitempty"`
}

// After returns s as it follows on earlier, the status of the same window before:
// restated if that was final with another verdict, or was restated itself.
func (s Status) After(earlier Status) Status {
	s.Restated = earlier.Restated || (earlier.Final && earlier.Verdict != s.Verdict)
	return s
}

// Evaluate judges o over the minutes from to before to of each node. Buckets may
// come in any order and repeat; of one minute the highest revision counts.
// Buckets of other objectives, indicators, nodes or minutes are passed over, and
// so are impossible ones.
func Evaluate(o Objective, nodes []string, from, to int64, buckets iter.Seq2[string, Bucket]) Status {
	spans := make([]Span, len(nodes))
	for i, n := range nodes {
		spans[i] = Span{Node: n, From: from, To: to}
	}
	return EvaluateSpans(o, spans, buckets)
}

// EvaluateSpans is [Evaluate] where nodes are expected for different times: a
// node that joined yesterday owes nothing for the days before. One node may have
// several spans; they must not overlap.
func EvaluateSpans(o Objective, spans []Span, buckets iter.Seq2[string, Bucket]) Status {
	from, _ := newRoster(spans).bounds()
	return EvaluateClosed(o, spans, from, buckets)
}

// EvaluateClosed is [EvaluateSpans] after the deadline of the minutes before
// closed (see [Objective.FinalMinute]): what is pending there is given up and
// becomes a gap, what is open there is taken as it is.
func EvaluateClosed(o Objective, spans []Span, closed int64, buckets iter.Seq2[string, Bucket]) Status {
	return EvaluateSums(o, spans, closed, func(yield func(int64, Sum) bool) {
		for at, b := range newest(o, spans, buckets) {
			if !yield(at.minute, o.Sum(b)) {
				return
			}
		}
	})
}

// EvaluateSums is [EvaluateClosed] of what buckets sum up to, minute by minute and in
// any order: of each node at most one bucket, within its spans.
func EvaluateSums(o Objective, spans []Span, closed int64, told iter.Seq2[int64, Sum]) Status {
	r := newRoster(spans)
	from, to := r.bounds()
	j := judge{o: o, roster: r, excluded: o.Excluded(from, to), closed: closed}
	step := int64(1)
	if o.Budgeting.Sliced() {
		step = o.Slice.Minutes
	}
	sums := map[int64]Sum{}
	for minute, sum := range told {
		i := floorDiv(minute, step)
		if !o.Budgeting.Sliced() {
			i = 0
			if minute < closed {
				i = -1
			}
		}
		if !within(j.excluded, minute) {
			sums[i] = sums[i].Plus(sum)
		}
	}
	if o.Budgeting.Sliced() {
		return j.slices(sums, from, to).status(o)
	}
	cut := min(max(closed, from), to)
	return j.settle(sums[-1], from, cut).Plus(j.settle(sums[0], cut, to)).status(o)
}

// SumMinutes completes each minute of [from, to) with what nobody has told of it,
// given what was told; the counts are events, whatever the budgeting method.
func SumMinutes(o Objective, spans []Span, closed, from, to int64, told func(minute int64) Sum) []Sum {
	j := judge{o: o, roster: newRoster(spans), excluded: o.Excluded(from, to), closed: closed}
	out := make([]Sum, 0, max(0, to-from))
	for m := from; m < to; m++ {
		var s Sum
		if !within(j.excluded, m) {
			s = told(m)
		}
		out = append(out, j.settle(s, m, m+1))
	}
	return out
}

type place struct {
	node   string
	minute int64
}

// newest picks the bucket that counts for each expected minute.
func newest(o Objective, spans []Span, buckets iter.Seq2[string, Bucket]) map[place]Bucket {
	of := make(map[string][]Span)
	for _, sp := range spans {
		of[sp.Node] = append(of[sp.Node], sp)
	}
	kept := make(map[place]Bucket)
	for node, b := range buckets {
		if b.Objective != o.Name || (o.Hash != 0 && b.Hash != o.Hash) || b.Validate() != nil {
			continue
		}
		for _, sp := range of[node] {
			if b.Minute < sp.From || b.Minute >= sp.To {
				continue
			}
			at := place{node, b.Minute}
			if old, ok := kept[at]; !ok || b.Supersedes(old) {
				kept[at] = b
			}
		}
	}
	return kept
}

// A Sum adds up minutes of one or many nodes. It is additive and reversible, so
// that a window can be kept up to date by what enters, leaves or changes.
type Sum struct {
	Counts
	Coverage
	Room     int64 // events that may still come, when capacity is known
	Exceeded int
}

// Sum is what one bucket adds. The sum of no bucket is zero.
func (o Objective) Sum(b Bucket) Sum { return SumOf(&b, o.Capacity) }

// SumOf is [Objective.Sum] for those who add up millions: it copies nothing.
func SumOf(b *Bucket, capacity int64) (s Sum) {
	switch b.State {
	case Gap:
		s.Gap = 1
		return s
	case Excluded:
		s.Coverage.Excluded = 1
		return s
	}
	s.Measured = 1
	s.Counts = Counts{b.Good, b.Total}
	if capacity > 0 && b.Total > capacity {
		s.Exceeded = 1
	}
	if b.Open {
		s.Open = 1
		s.Room = max(0, capacity-b.Total)
		return s
	}
	if b.Total > 0 {
		return s
	}
	switch b.Silence() {
	case Quiet:
		s.Quiet = 1
	case Blind:
		s.Blind = 1
	case Failing:
		s.Coverage.Failing = 1
	}
	return s
}

// AddBucket adds what [SumOf] says of b. Most minutes are measured and hold events, and
// those who read millions of them pay for no more.
func (s *Sum) AddBucket(b *Bucket, capacity int64) {
	if b.State != Measured || b.Open || b.Total == 0 || capacity > 0 {
		sum := SumOf(b, capacity)
		s.Add(&sum)
		return
	}
	s.Measured++
	s.Good, s.Total = s.Good+b.Good, s.Total+b.Total
}

// Told is how many minutes have a bucket.
func (s Sum) Told() int { return s.Measured + s.Gap + s.Coverage.Excluded }

// Plus returns s and t together.
func (s Sum) Plus(t Sum) Sum {
	s.Add(&t)
	return s
}

// Add adds t to s.
func (s *Sum) Add(t *Sum) {
	s.Good, s.Total = s.Good+t.Good, s.Total+t.Total
	s.Measured, s.Gap, s.Pending, s.Coverage.Excluded = s.Measured+t.Measured, s.Gap+t.Gap, s.Pending+t.Pending, s.Coverage.Excluded+t.Coverage.Excluded
	s.Quiet, s.Blind, s.Coverage.Failing, s.Open = s.Quiet+t.Quiet, s.Blind+t.Blind, s.Coverage.Failing+t.Coverage.Failing, s.Open+t.Open
	s.Room, s.Exceeded = s.Room+t.Room, s.Exceeded+t.Exceeded
}

// status judges the sum of a window.
func (s Sum) status(o Objective) Status {
	st := Status{
		Counts: s.Counts, Coverage: s.Coverage, Known: s.Total > 0, Upper: 1, Verdict: Undetermined,
		Final: s.Pending == 0 && s.Open == 0 && s.Coverage != (Coverage{}), CapacityExceeded: s.Exceeded,
	}
	if st.Known {
		st.SLI = float64(s.Good) / float64(s.Total)
		st.BudgetLeft = 1 - s.ErrorRatio()/(1-o.Target)
	}
	if most := s.Total + s.Room; most > 0 && (st.Final || o.Capacity > 0 || o.Budgeting.Sliced()) {
		st.Lower = float64(s.Good) / float64(most)
		st.Upper = float64(s.Good+s.Room) / float64(most)
		switch {
		case st.Lower >= o.Target:
			st.Verdict = Met
		case st.Upper < o.Target:
			st.Verdict = Missed
		}
	}
	return st
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
