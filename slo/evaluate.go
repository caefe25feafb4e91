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
	Gap      int `json:"gap"`      // the node attests that nothing will come
	Pending  int `json:"pending"`  // nothing has come yet: the node may be dark
	Excluded int `json:"excluded"` // planned: does not count
	Quiet    int `json:"quiet"`    // no events, watched throughout, journey passing
	Blind    int `json:"blind"`    // no events, but nobody can vouch for it
	Failing  int `json:"failing"`  // no events while the journey failed
	Open     int `json:"open"`     // told so far; more of the minute may come
}

// A Status is an objective judged over one window. Its numbers are finite.
type Status struct {
	Counts
	Coverage Coverage `json:"coverage"`
	Known    bool     `json:"known"` // there were events: SLI and BudgetLeft mean something
	SLI      float64  `json:"sli"`   // good/total so far, 0 when not Known
	Lower    float64  `json:"lower"` // the final SLI cannot be below, 0 when not bounded
	Upper    float64  `json:"upper"` // the final SLI cannot be above, 1 when not bounded
	Verdict  Verdict  `json:"verdict"`
	Final    bool     `json:"final"` // nothing is pending
	// BudgetLeft is the share of the error budget of the events so far that is
	// unspent: 1 untouched, 0 spent, negative overspent.
	BudgetLeft float64 `json:"budget_left"`
	// CapacityExceeded counts minutes that held more events than the declared
	// capacity. The bounds rest on that capacity: correct it.
	CapacityExceeded int `json:"capacity_exceeded,omitempty"`
}

// A Span is what is expected of one node: buckets for each minute from From to
// before To.
type Span struct {
	Node     string
	From, To int64 // minutes since the Unix epoch
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
	var s sum
	s.capacity = o.Capacity
	for _, latest := range newest(o, spans, buckets) {
		s.add(latest)
	}
	expected := 0
	for _, sp := range spans {
		expected += int(max(0, sp.To-sp.From))
	}
	s.pend(expected)
	return s.status(o.Target)
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

// sum adds up the minutes of a window.
type sum struct {
	Counts
	Coverage
	capacity int64 // per minute, 0 unknown
	told     int   // minutes with a bucket
	room     int64 // events that may still come, when capacity is known
	exceeded int
}

func (s *sum) add(b Bucket) {
	s.told++
	switch b.State {
	case Gap:
		s.Gap++
		return
	case Excluded:
		s.Excluded++
		return
	}
	s.Measured++
	s.Counts = s.Counts.Add(Counts{b.Good, b.Total})
	if s.capacity > 0 && b.Total > s.capacity {
		s.exceeded++
	}
	if b.Open {
		s.Open++
		s.room += max(0, s.capacity-b.Total)
		return
	}
	switch b.Silence() {
	case Quiet:
		s.Quiet++
	case Blind:
		s.Blind++
	case Failing:
		s.Failing++
	}
}

// pend counts the expected minutes nobody has told of.
func (s *sum) pend(expected int) {
	s.Pending = expected - s.told
	s.room += int64(s.Pending) * s.capacity
}

func (s *sum) status(target float64) Status {
	st := Status{
		Counts: s.Counts, Coverage: s.Coverage, Known: s.Total > 0, Upper: 1, Verdict: Undetermined,
		Final: s.Pending == 0 && s.Open == 0, CapacityExceeded: s.exceeded,
	}
	if st.Known {
		st.SLI = float64(s.Good) / float64(s.Total)
		st.BudgetLeft = 1 - s.ErrorRatio()/(1-target)
	}
	if most := s.Total + s.room; most > 0 && (st.Final || s.capacity > 0) {
		st.Lower = float64(s.Good) / float64(most)
		st.Upper = float64(s.Good+s.room) / float64(most)
		switch {
		case st.Lower >= target:
			st.Verdict = Met
		case st.Upper < target:
			st.Verdict = Missed
		}
	}
	return st
}
