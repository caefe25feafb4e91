package statustest

import (
	"cmp"
	"context"
	"slices"
	"time"

	"ghostlight/buffer"
	"ghostlight/fleet/ledger"
	"ghostlight/slo"
)

// ledgerBook answers as [ledger.Ledger] does. A bucket arrived when its minute was
// over, or when its node was heard again after it.
type ledgerBook struct{ f *Fleet }

func (l ledgerBook) Objectives(context.Context) ([]ledger.Definition, error) {
	return slices.Clone(l.f.Defs), l.f.Err
}

func (l ledgerBook) find(name string) (ledger.Definition, error) {
	for _, d := range l.f.Defs {
		if d.Name == name {
			return d, l.f.Err
		}
	}
	return ledger.Definition{}, ledger.ErrUnknown
}

// arrived is when a bucket of a node reached the centre.
func (l ledgerBook) arrived(node string, b slo.Bucket) time.Time {
	if at, ok := l.f.late[lateKey{node, b.Objective, b.Minute, b.Revision}]; ok {
		return at
	}
	end := slo.MinuteStart(b.Minute + 1).Add(5 * time.Second)
	for _, d := range l.f.Darks {
		if d.Source.String() == node && !d.End.IsZero() && end.After(d.Start) && end.Before(d.End) {
			return d.End.Add(12 * time.Second)
		}
	}
	return end
}

// lateKey is a bucket that arrived when it was said to.
type lateKey struct {
	node, objective string
	minute          int64
	revision        uint32
}

// Revise tells a minute anew, with the counts of b, at a time.
func (f *Fleet) Revise(objective, node string, b slo.Bucket, arrives time.Time) {
	list := f.Buckets[objective][node]
	i := slices.IndexFunc(list, func(old slo.Bucket) bool { return old.Minute == b.Minute })
	anew := list[i]
	anew.Revision, anew.Good, anew.Total = anew.Revision+1, b.Good, b.Total
	if f.late == nil {
		f.late = map[lateKey]time.Time{}
	}
	f.late[lateKey{node, objective, b.Minute, anew.Revision}] = arrives
	f.Buckets[objective][node] = append(list, anew)
}

func (l ledgerBook) evaluate(def ledger.Definition, sel ledger.Selection, first, end int64, known time.Time) slo.Status {
	var spans []slo.Span
	for _, p := range def.Nodes {
		if selects(sel, p.Source) && p.Since < end {
			spans = append(spans, slo.Span{Node: p.String(), From: max(first, p.Since), To: end})
		}
	}
	return slo.EvaluateSpans(def.Objective, spans, func(yield func(string, slo.Bucket) bool) {
		for node, buckets := range l.f.Buckets[def.Name] {
			for _, b := range buckets {
				if !known.IsZero() && l.arrived(node, b).After(known) {
					continue
				}
				if !yield(node, b) {
					return
				}
			}
		}
	})
}

func selects(sel ledger.Selection, src buffer.Source) bool {
	return picks(sel.Venues, sel.Node, src) && (len(sel.Regions) == 0 || slices.Contains(sel.Regions, src.Region))
}

func (l ledgerBook) Status(ctx context.Context, name string, sel ledger.Selection, from, to time.Time) (slo.Status, error) {
	return l.StatusAsOf(ctx, name, sel, from, to, time.Time{})
}

func (l ledgerBook) StatusAsOf(_ context.Context, name string, sel ledger.Selection, from, to, known time.Time) (slo.Status, error) {
	def, err := l.find(name)
	if err != nil {
		return slo.Status{}, err
	}
	return l.evaluate(def, sel, slo.MinuteOf(from), slo.MinuteOf(to.Add(time.Minute-1)), known), nil
}

func (l ledgerBook) History(_ context.Context, name string, sel ledger.Selection, from, to time.Time, step time.Duration, known time.Time) ([]ledger.Point, error) {
	def, err := l.find(name)
	if err != nil {
		return nil, err
	}
	var out []ledger.Point
	for at := from; !at.After(to); at = at.Add(step) {
		first, end := def.Window.Hourly(at)
		out = append(out, ledger.Point{AtMS: at.UnixMilli(), Status: l.evaluate(def, sel, first, min(end, slo.MinuteOf(at)), known)})
	}
	return out, nil
}

func (l ledgerBook) Revisions(_ context.Context, q ledger.RevisionFilter) ([]ledger.Revision, error) {
	var out []ledger.Revision
	for _, def := range l.f.Defs {
		for _, p := range def.Nodes {
			if def.Name != q.Objective || !selects(q.Selection, p.Source) {
				continue
			}
			for _, b := range l.f.Buckets[def.Name][p.String()] {
				if at := l.arrived(p.String(), b); at.Sub(slo.MinuteStart(b.Minute+1)) > time.Minute {
					out = append(out, ledger.Revision{Source: p.Source, Objective: def.Name, Minute: b.Minute, ArrivedMS: at.UnixMilli(), Cause: "reconnected", Is: b})
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b ledger.Revision) int {
		return cmp.Or(cmp.Compare(b.ArrivedMS, a.ArrivedMS), cmp.Compare(b.Minute, a.Minute))
	})
	return out, l.f.Err
}

func (l ledgerBook) Minutes(_ context.Context, name string, sel ledger.Selection, from, to time.Time) ([]ledger.Minute, error) {
	def, err := l.find(name)
	if err != nil {
		return nil, err
	}
	var out []ledger.Minute
	for m := slo.MinuteOf(from); m < slo.MinuteOf(to.Add(time.Minute-1)); m++ {
		st := l.evaluate(def, sel, m, m+1, time.Time{})
		out = append(out, ledger.Minute{Minute: m, Counts: st.Counts, Coverage: st.Coverage})
	}
	return out, nil
}
