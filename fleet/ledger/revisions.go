package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"ghostlight/buffer"
	"ghostlight/slo"
)

// A Revision is a change of a minute after it had settled.
type Revision struct {
	buffer.Source
	Objective string      `json:"objective"`
	Minute    int64       `json:"minute"`     // minutes since the Unix epoch
	ArrivedMS int64       `json:"arrived_ms"` // centre's clock
	Cause     Cause       `json:"cause"`
	Was       *slo.Bucket `json:"was,omitempty"` // nil: nothing was known
	Is        slo.Bucket  `json:"is"`
}

// A RevisionFilter picks revisions of one objective.
type RevisionFilter struct {
	Objective string
	Selection
	From, To time.Time // of the minutes that changed, [From, To) widened to whole minutes
	Limit    int       // 0: MaxRevisions
}

// MaxRevisions bounds what one call returns.
const MaxRevisions = 10_000

// Revisions lists what changed after it had settled, the latest arrival first. Of the
// versions that a minute had before it settled none is listed.
func (l *Ledger) Revisions(ctx context.Context, f RevisionFilter) ([]Revision, error) {
	first, end := slo.WholeMinutes(f.From, f.To)
	def, err := l.Objective(ctx, f.Objective)
	if err != nil {
		return nil, fmt.Errorf("revisions of %s: %w", f.Objective, err)
	}
	q := question{name: f.Objective, since: map[int64]int64{}, first: first, end: min(end, slo.MinuteOf(l.now().Add(Ahead))+1), knownMS: forever}
	for _, p := range def.Nodes {
		if id, ok := l.store.ID(p.Source); ok && f.selects(p.Source) {
			q.since[id] = first
		}
	}
	found, err := l.revisions(ctx, def, q)
	if err != nil {
		return nil, fmt.Errorf("revisions of %s: %w", f.Objective, err)
	}
	slices.SortFunc(found, func(a, b Revision) int {
		return cmp.Or(cmp.Compare(b.ArrivedMS, a.ArrivedMS), compareSources(a.Source, b.Source), cmp.Compare(b.Minute, a.Minute), cmp.Compare(b.Is.Revision, a.Is.Revision))
	})
	if f.Limit <= 0 {
		f.Limit = MaxRevisions
	}
	return found[:min(len(found), f.Limit)], nil
}

// moment is a minute of a node.
type moment struct{ source, minute int64 }

// revisions puts the pasts of each minute between its first version and its last.
func (l *Ledger) revisions(ctx context.Context, def Definition, q question) (out []Revision, err error) {
	id, pasts, err := l.pasts(ctx, q)
	if err != nil {
		return nil, err
	}
	err = l.versions(ctx, q, func(source int64, v *version) {
		was := pasts[moment{source, v.Minute}]
		if len(was) == 0 && settling(*v) {
			return
		}
		src, _ := l.store.Source(source)
		add := func(is version, cause Cause, before *slo.Bucket) {
			is.Objective = def.Name
			out = append(out, Revision{Source: src, Objective: def.Name, Minute: v.Minute, ArrivedMS: is.arrivedMS, Cause: cause, Was: before, Is: is.Bucket})
		}
		chain := make([]version, 0, len(was)+1)
		for _, p := range was {
			chain = append(chain, p.version)
		}
		chain = append(chain, *v)
		if !settling(chain[0]) {
			l.mu.RLock()
			cause := firstWord(l.byID[id], chain[0])
			l.mu.RUnlock()
			add(chain[0], cause, nil)
		}
		for i, p := range was {
			before := p.Bucket
			before.Objective = def.Name
			add(chain[i+1], p.cause, &before)
		}
	})
	return out, err
}

// pasts are what the minutes of a question were, in order of arrival.
func (l *Ledger) pasts(ctx context.Context, q question) (int64, map[moment][]past, error) {
	byMoment := map[moment][]past{}
	seen := map[spot]int64{} // the first arrival whose pasts were in memory
	l.mu.RLock()
	o := l.objectives[q.name]
	for source := range q.since {
		n := l.nodes[source]
		if n == nil {
			continue
		}
		for _, c := range n.chunks {
			if c.first != 0 {
				seen[spot{c.hour, source}] = c.first
			}
			for _, p := range c.pasts {
				if p.objective == o.id && q.wants(source, &p.version) {
					byMoment[moment{source, p.Minute}] = append(byMoment[moment{source, p.Minute}], p)
				}
			}
		}
	}
	l.mu.RUnlock()
	rows, err := queryPasts(ctx, l.store.Read(), q)
	if err != nil {
		return 0, nil, fmt.Errorf("read what minutes were: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var at spot
		var arrival, untilMS int64
		var row []byte
		if err := rows.Scan(&at.hour, &at.source, &arrival, &untilMS, &row); err != nil {
			return 0, nil, fmt.Errorf("read what minutes were: %w", err)
		}
		if first, ok := seen[at]; ok && arrival >= first {
			continue
		}
		list, err := unpackPasts(at.hour, arrival, untilMS, row)
		if err != nil {
			return 0, nil, fmt.Errorf("read what hour %d of node %d was: %w", at.hour, at.source, err)
		}
		for _, p := range list {
			if p.objective == o.id && q.wants(at.source, &p.version) {
				byMoment[moment{at.source, p.Minute}] = append(byMoment[moment{at.source, p.Minute}], p)
			}
		}
	}
	for _, list := range byMoment {
		slices.SortFunc(list, func(a, b past) int {
			return cmp.Or(cmp.Compare(a.arrival, b.arrival), cmp.Compare(a.Revision, b.Revision))
		})
	}
	return o.id, byMoment, rows.Err()
}

func queryPasts(ctx context.Context, q queryer, of question) (*sql.Rows, error) {
	from, to := of.first/60, (of.end-1)/60
	const columns = `SELECT hour, source, arrival, arrived_ms, buckets FROM bucket_pasts WHERE hour BETWEEN ? AND ?`
	if len(of.since) > fewNodes || len(of.since) == 0 {
		return q.QueryContext(ctx, columns, from, to)
	}
	args := []any{from, to}
	for source := range of.since {
		args = append(args, source)
	}
	return q.QueryContext(ctx, columns+` AND source IN (`+strings.TrimSuffix(strings.Repeat("?, ", len(of.since)), ", ")+`)`, args...)
}
