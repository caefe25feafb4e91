package ledger

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"ghostlight/buffer"
	"ghostlight/slo"
)

// A Selection picks some of an objective's nodes. Empty means all.
type Selection struct {
	Regions []string
	Venues  []string
	Node    buffer.Source
}

func (s Selection) selects(src buffer.Source) bool {
	return (len(s.Regions) == 0 || slices.Contains(s.Regions, src.Region)) && (len(s.Venues) == 0 || slices.Contains(s.Venues, src.Venue)) &&
		(s.Node == (buffer.Source{}) || s.Node == src)
}

// A Minute sums one minute of an objective over the selected nodes. Its counts are
// events, also where the objective counts slices of time.
type Minute struct {
	Minute int64 `json:"minute"` // minutes since the Unix epoch
	slo.Counts
	slo.Coverage
}

// Status judges an objective over [from, to), widened to whole minutes, and the
// selected nodes, as known now. A node owes nothing for the time before it first
// answered for the objective. What is pending after the objective's deadline is
// given up.
func (l *Ledger) Status(ctx context.Context, name string, sel Selection, from, to time.Time) (slo.Status, error) {
	return l.StatusAsOf(ctx, name, sel, from, to, time.Time{})
}

// StatusAsOf is [Ledger.Status] as it was known at a time; the zero time is now. It is
// exact but for minutes that had not settled then, see [Settle]: of those what was
// known may be given as pending, and never as anything else. The definition, and who
// answers for it, are today's.
func (l *Ledger) StatusAsOf(ctx context.Context, name string, sel Selection, from, to, known time.Time) (slo.Status, error) {
	first, end := slo.WholeMinutes(from, to)
	k, err := l.knowledge(ctx, name, sel, first, end, known, true)
	if err != nil {
		return slo.Status{}, fmt.Errorf("status of %s: %w", name, err)
	}
	return k.status(first, end), nil
}

// Minutes returns each minute of [from, to), widened to whole minutes, with the
// selected nodes summed up: a series for charts.
func (l *Ledger) Minutes(ctx context.Context, name string, sel Selection, from, to time.Time) ([]Minute, error) {
	first, end := slo.WholeMinutes(from, to)
	if end-first > MaxMinutes {
		return nil, fmt.Errorf("minutes of %s: %d were asked for, at most %d are given", name, end-first, MaxMinutes)
	}
	k, err := l.knowledge(ctx, name, sel, first, end, time.Time{}, false)
	if err != nil {
		return nil, fmt.Errorf("minutes of %s: %w", name, err)
	}
	out := make([]Minute, 0, end-first)
	for i, s := range slo.SumMinutes(k.def.Objective, k.spans(first, end), k.closed, first, end, k.at) {
		out = append(out, Minute{Minute: first + int64(i), Counts: s.Counts, Coverage: s.Coverage})
	}
	return out, nil
}

// MaxMinutes bounds a series of minutes: eight days.
const MaxMinutes = 8 * 24 * 60

// A Point is an objective's own window, judged at one time.
type Point struct {
	AtMS   int64      `json:"at_ms"` // where the window ends, Unix milliseconds
	Status slo.Status `json:"status"`
}

// MaxPoints bounds a history.
const MaxPoints = 2000

// History judges the objective's own window as it ended at each step of [from, to],
// all as known at one time; the zero time is now. Of a calendar window it is the part
// that had passed.
func (l *Ledger) History(ctx context.Context, name string, sel Selection, from, to time.Time, step time.Duration, known time.Time) ([]Point, error) {
	if step < time.Minute || to.Before(from) || to.Sub(from)/step >= MaxPoints {
		return nil, fmt.Errorf("history of %s: steps of %v from %v to %v; allowed: at least a minute, and %d of them at most", name, step, from, to, MaxPoints)
	}
	def, err := l.Objective(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("history of %s: %w", name, err)
	}
	first, _ := def.Window.Hourly(from)
	_, end := slo.WholeMinutes(to, to)
	k, err := l.knowledge(ctx, name, sel, first, max(first, end), known, false)
	if err != nil {
		return nil, fmt.Errorf("history of %s: %w", name, err)
	}
	var out []Point
	for at := from; !at.After(to); at = at.Add(step) {
		a, b := def.Window.Hourly(at)
		out = append(out, Point{AtMS: at.UnixMilli(), Status: k.status(a, min(b, slo.MinuteOf(at)))})
	}
	return out, nil
}

// knowledge is what is known of an objective at the selected nodes, summed up.
type knowledge struct {
	def    Definition
	sel    Selection
	closed int64 // minutes before are past their deadline
	hours  map[int64]*[60]slo.Sum
}

// knowledge reads it. With whole, hours that lie within [first, end) as a whole may be
// at their first minute altogether, where no judgement can tell.
func (l *Ledger) knowledge(ctx context.Context, name string, sel Selection, first, end int64, known time.Time, whole bool) (*knowledge, error) {
	def, err := l.Objective(ctx, name)
	if err != nil {
		return nil, err
	}
	k := &knowledge{def: def, sel: sel, hours: map[int64]*[60]slo.Sum{}}
	q := question{name: name, since: map[int64]int64{}, first: end, end: end, knownMS: forever}
	now := l.now()
	if !known.IsZero() && known.Before(now) {
		now, q.knownMS = known, known.UnixMilli()
	}
	k.closed = def.FinalMinute(now)
	for _, p := range def.Nodes {
		if id, ok := l.store.ID(p.Source); ok && sel.selects(p.Source) && p.Since < end {
			q.since[id] = max(first, p.Since)
			q.first = min(q.first, q.since[id])
		}
	}
	q.end = min(end, slo.MinuteOf(l.now().Add(Ahead))+1) // later ones are parked
	if whole && q.knownMS == forever && !def.Budgeting.Sliced() && len(def.Exclusions) == 0 && def.Hours == "" {
		q.whole = func(t *total, hour int64) bool {
			if !t.of(&def.Objective) || hour*60 < first || hour*60+60 > end || (hour*60 < k.closed && k.closed < hour*60+60) {
				return false
			}
			k.hour(hour)[0].Add(&t.sum)
			return true
		}
	}
	err = l.versions(ctx, q, func(_ int64, v *version) {
		if def.Hash != 0 && v.Hash != def.Hash {
			return
		}
		sum := slo.SumOf(&v.Bucket, def.Capacity)
		k.hour(v.Minute / 60)[v.Minute%60].Add(&sum)
	})
	return k, err
}

// hour is where the sums of an hour go.
func (k *knowledge) hour(number int64) *[60]slo.Sum {
	h := k.hours[number]
	if h == nil {
		h = new([60]slo.Sum)
		k.hours[number] = h
	}
	return h
}

func (k *knowledge) at(minute int64) slo.Sum {
	if h := k.hours[minute/60]; h != nil {
		return h[minute%60]
	}
	return slo.Sum{}
}

// told yields the minutes of [first, end) that somebody told of.
func (k *knowledge) told(first, end int64) iter.Seq2[int64, slo.Sum] {
	return func(yield func(int64, slo.Sum) bool) {
		for _, hour := range slices.Sorted(maps.Keys(k.hours)) {
			for m := max(first, hour*60); m < min(end, hour*60+60); m++ {
				if s := k.hours[hour][m%60]; s.Told() > 0 && !yield(m, s) {
					return
				}
			}
		}
	}
}

func (k *knowledge) spans(first, end int64) []slo.Span { return k.def.spans(k.sel, first, end) }

func (k *knowledge) status(first, end int64) slo.Status {
	return slo.EvaluateSums(k.def.Objective, k.spans(first, end), k.closed, k.told(first, end))
}

// spans are who of the selected nodes is expected when, within [first, end).
func (d Definition) spans(sel Selection, first, end int64) []slo.Span {
	var out []slo.Span
	for _, n := range d.Nodes {
		if sel.selects(n.Source) && n.Since < end {
			out = append(out, slo.Span{Node: n.Node, From: max(first, n.Since), To: end})
		}
	}
	return out
}
