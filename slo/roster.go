package slo

import (
	"cmp"
	"slices"
)

// A Span is what is expected of one node: buckets for each minute from From to
// before To.
type Span struct {
	Node     string
	From, To int64 // minutes since the Unix epoch
}

// A roster knows how many minutes are expected of all nodes together in any time,
// at a cost that does not grow with that time.
type roster struct {
	at    []int64 // when nodes come and go, in order
	count []int64 // nodes expected from at[i] on
	sum   []int64 // minutes expected before at[i]
}

func newRoster(spans []Span) roster {
	type step struct{ at, by int64 }
	var steps []step
	for _, s := range spans {
		if s.From < s.To {
			steps = append(steps, step{s.From, 1}, step{s.To, -1})
		}
	}
	slices.SortFunc(steps, func(a, b step) int { return cmp.Compare(a.at, b.at) })
	var r roster
	var count, sum int64
	for i, s := range steps {
		if i > 0 {
			sum += count * (s.at - steps[i-1].at)
		}
		count += s.by
		if n := len(r.at); n > 0 && r.at[n-1] == s.at {
			r.count[n-1] = count
			continue
		}
		r.at, r.count, r.sum = append(r.at, s.at), append(r.count, count), append(r.sum, sum)
	}
	return r
}

// before is how many minutes are expected before m.
func (r roster) before(m int64) int64 {
	i, exact := slices.BinarySearch(r.at, m)
	if exact {
		return r.sum[i]
	}
	if i == 0 {
		return 0
	}
	return r.sum[i-1] + r.count[i-1]*(m-r.at[i-1])
}

// expected is how many minutes are expected in [from, to).
func (r roster) expected(from, to int64) int64 { return r.before(max(from, to)) - r.before(from) }

// excluded is how many of them fall into spans, which are in order.
func (r roster) excluded(spans []Minutes, from, to int64) int64 {
	var n int64
	for _, s := range spans {
		if s.From >= to {
			break
		}
		if s.To > from {
			n += r.expected(max(s.From, from), min(s.To, to))
		}
	}
	return n
}

// bounds is the time in which anything is expected.
func (r roster) bounds() (from, to int64) {
	if len(r.at) == 0 {
		return 0, 0
	}
	return r.at[0], r.at[len(r.at)-1]
}
