package ledger

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"ghostlight/buffer"
	"ghostlight/slo"
	"ghostlight/slo/openslo"
)

// A Definition is an objective as a node last sent it, and who answers for it.
type Definition struct {
	slo.Objective
	DefinedMS int64         // when it was sent, node's clock, Unix milliseconds
	Nodes     []Participant // by region, venue and node
}

// A Participant is a node that keeps an objective.
type Participant struct {
	buffer.Source
	Since int64 // first minute it answers for, minutes since the Unix epoch
}

// A Selection picks some of an objective's nodes. Empty means all.
type Selection struct {
	Venues []string
	Node   buffer.Source
}

func (s Selection) selects(src buffer.Source) bool {
	return (len(s.Venues) == 0 || slices.Contains(s.Venues, src.Venue)) && (s.Node == (buffer.Source{}) || s.Node == src)
}

// A Minute sums one minute of an objective over the selected nodes.
type Minute struct {
	Minute int64 `json:"minute"` // minutes since the Unix epoch
	slo.Counts
	slo.Coverage
}

// Objectives returns every objective whose definition has arrived, by name.
func (l *Ledger) Objectives(ctx context.Context) ([]Definition, error) { return l.definitions(ctx, "") }

// Objective returns one objective, or [ErrUnknown].
func (l *Ledger) Objective(ctx context.Context, name string) (Definition, error) {
	found, err := l.definitions(ctx, name)
	if err != nil {
		return Definition{}, err
	}
	if len(found) == 0 {
		return Definition{}, fmt.Errorf("%w: %s", ErrUnknown, name)
	}
	return found[0], nil
}

// definitions reads the objectives of a name, or all for "".
func (l *Ledger) definitions(ctx context.Context, name string) ([]Definition, error) {
	rows, err := l.store.Read().QueryContext(ctx, `SELECT o.name, o.document, o.defined_ms, n.source, n.since FROM objectives o
		JOIN objective_nodes n ON n.objective = o.id WHERE length(o.document) > 0 AND (? = '' OR o.name = ?) ORDER BY o.name`, name, name)
	if err != nil {
		return nil, fmt.Errorf("read objectives: %w", err)
	}
	defer rows.Close()
	out := []Definition{}
	for rows.Next() {
		var of string
		var doc []byte
		var defined, source, since int64
		if err := rows.Scan(&of, &doc, &defined, &source, &since); err != nil {
			return nil, fmt.Errorf("read objectives: %w", err)
		}
		if len(out) == 0 || out[len(out)-1].Name != of {
			decoded, err := openslo.Decode(of, doc)
			i := slices.IndexFunc(decoded, func(o slo.Objective) bool { return o.Name == of })
			if err != nil || i < 0 {
				return nil, fmt.Errorf("read objective %s: its stored definition cannot be read: %w", of, err)
			}
			out = append(out, Definition{Objective: decoded[i], DefinedMS: defined})
		}
		if src, ok := l.store.Source(source); ok {
			last := &out[len(out)-1]
			last.Nodes = append(last.Nodes, Participant{src, since})
		}
	}
	for _, d := range out {
		slices.SortFunc(d.Nodes, func(a, b Participant) int { return compareSources(a.Source, b.Source) })
	}
	return out, rows.Err()
}

func compareSources(a, b buffer.Source) int {
	return slices.Compare([]string{a.Region, a.Venue, a.Node}, []string{b.Region, b.Venue, b.Node})
}

// Status judges an objective over [from, to), widened to whole minutes, and the
// selected nodes. A node owes nothing for the time before it first answered for
// the objective.
func (l *Ledger) Status(ctx context.Context, name string, sel Selection, from, to time.Time) (slo.Status, error) {
	def, err := l.Objective(ctx, name)
	if err != nil {
		return slo.Status{}, err
	}
	first, end := minutes(from, to)
	spans := def.spans(sel, first, end)
	buckets, failed := l.buckets(ctx, name, spans, first, end)
	status := slo.EvaluateSpans(def.Objective, spans, buckets)
	if err := *failed; err != nil {
		return slo.Status{}, fmt.Errorf("status of %s: %w", name, err)
	}
	return status, nil
}

// Minutes returns each minute of [from, to), widened to whole minutes, with the
// selected nodes summed up: a series for charts.
func (l *Ledger) Minutes(ctx context.Context, name string, sel Selection, from, to time.Time) ([]Minute, error) {
	def, err := l.Objective(ctx, name)
	if err != nil {
		return nil, err
	}
	first, end := minutes(from, to)
	if end-first > MaxMinutes {
		return nil, fmt.Errorf("minutes of %s: %d were asked for, at most %d are given", name, end-first, MaxMinutes)
	}
	spans := def.spans(sel, first, end)
	buckets, failed := l.buckets(ctx, name, spans, first, end)
	held := map[int64]map[string]slo.Bucket{}
	for node, b := range buckets {
		if held[b.Minute] == nil {
			held[b.Minute] = map[string]slo.Bucket{}
		}
		held[b.Minute][node] = b
	}
	if err := *failed; err != nil {
		return nil, fmt.Errorf("minutes of %s: %w", name, err)
	}
	out := make([]Minute, 0, end-first)
	for m := first; m < end; m++ {
		st := slo.EvaluateSpans(def.Objective, def.spans(sel, m, m+1), func(yield func(string, slo.Bucket) bool) {
			for node, b := range held[m] {
				if !yield(node, b) {
					return
				}
			}
		})
		out = append(out, Minute{Minute: m, Counts: st.Counts, Coverage: st.Coverage})
	}
	return out, nil
}

// MaxMinutes bounds a series of minutes: eight days.
const MaxMinutes = 8 * 24 * 60

// minutes widens [from, to) to whole minutes.
func minutes(from, to time.Time) (first, end int64) {
	first, end = slo.MinuteOf(from), slo.MinuteOf(to)
	if to.After(time.Unix(end*60, 0)) {
		end++
	}
	return first, max(first, end)
}

func (d Definition) spans(sel Selection, first, end int64) []slo.Span {
	var out []slo.Span
	for _, n := range d.Nodes {
		if sel.selects(n.Source) && n.Since < end {
			out = append(out, slo.Span{Node: n.String(), From: max(first, n.Since), To: end})
		}
	}
	return out
}

// buckets yields what is held for the nodes of spans in [first, end). The error
// that may have ended it early is behind the second result, valid afterwards.
func (l *Ledger) buckets(ctx context.Context, name string, spans []slo.Span, first, end int64) (iter.Seq2[string, slo.Bucket], *error) {
	failed := new(error)
	wanted := make(map[string]bool, len(spans))
	for _, sp := range spans {
		wanted[sp.Node] = true
	}
	return func(yield func(string, slo.Bucket) bool) {
		rows, err := l.store.Read().QueryContext(ctx, `SELECT source, hour, minutes FROM bucket_hours
			WHERE objective = (SELECT id FROM objectives WHERE name = ?) AND hour BETWEEN ? AND ?`, name, first/60, end/60)
		if err != nil {
			*failed = err
			return
		}
		defer rows.Close()
		for rows.Next() {
			var source, number int64
			var packed []byte
			if *failed = rows.Scan(&source, &number, &packed); *failed != nil {
				return
			}
			src, _ := l.store.Source(source)
			node := src.String()
			if !wanted[node] {
				continue
			}
			h, err := unpackHour(number, packed)
			if err != nil {
				*failed = fmt.Errorf("hour %d of %s: %w", number, node, err)
				return
			}
			if !h.each(name, func(b slo.Bucket) bool { return b.Minute < first || b.Minute >= end || yield(node, b) }) {
				return
			}
		}
		*failed = rows.Err()
	}, failed
}
