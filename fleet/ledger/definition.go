package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"sync/atomic"

	"ghostlight/buffer"
	"ghostlight/slo"
	"ghostlight/slo/openslo"
)

// A Definition is an objective as a node last sent it, and who answers for it.
type Definition struct {
	slo.Objective
	DefinedMS int64         // when it was sent, node's clock, Unix milliseconds
	Nodes     []Participant // by region, venue and node; not to be changed
}

// A Participant is a node that keeps an objective.
type Participant struct {
	buffer.Source
	Since int64 // first minute it answers for, minutes since the Unix epoch
}

// An objective is a name in the ledger. Its number, name and, once it has one, what
// it counts are those of a definition.
type objective struct {
	id        int64
	name      string
	def       *slo.Objective // nil until it has arrived; replaced, never changed
	definedMS int64
	since     map[int64]int64 // by node
	nodes     atomic.Pointer[[]Participant]
}

func newObjective(id int64, name string) *objective {
	return &objective{id: id, name: name, since: map[int64]int64{}}
}

// central reports whether only the centre can count it.
func (o *objective) central() bool { return o.def != nil && o.def.Indicator.Central() }

// sum is what a bucket adds to the objective as it is defined now: nothing while it
// is not, or where the bucket counts something else.
func (o *objective) sum(b *slo.Bucket) slo.Sum {
	if o.def == nil || (o.def.Hash != 0 && b.Hash != o.def.Hash) {
		return slo.Sum{}
	}
	return slo.SumOf(b, o.def.Capacity)
}

// definition is what is known of o; l.mu is held.
func (l *Ledger) definition(o *objective) Definition {
	nodes := o.nodes.Load()
	if nodes == nil {
		list := make([]Participant, 0, len(o.since))
		for id, since := range o.since {
			if src, ok := l.store.Source(id); ok {
				list = append(list, Participant{src, since})
			}
		}
		slices.SortFunc(list, func(a, b Participant) int { return compareSources(a.Source, b.Source) })
		nodes = &list
		o.nodes.Store(nodes)
	}
	return Definition{Objective: *o.def, DefinedMS: o.definedMS, Nodes: *nodes}
}

func compareSources(a, b buffer.Source) int {
	return slices.Compare([]string{a.Region, a.Venue, a.Node}, []string{b.Region, b.Venue, b.Node})
}

// Objectives returns every objective whose definition has arrived, by name.
func (l *Ledger) Objectives(context.Context) ([]Definition, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	out := []Definition{}
	for _, o := range l.objectives {
		if o.def != nil {
			out = append(out, l.definition(o))
		}
	}
	slices.SortFunc(out, func(a, b Definition) int { return compareNames(a.Name, b.Name) })
	return out, nil
}

func compareNames(a, b string) int { return slices.Compare([]byte(a), []byte(b)) }

// Objective returns one objective, or [ErrUnknown].
func (l *Ledger) Objective(_ context.Context, name string) (Definition, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	o := l.objectives[name]
	if o == nil || o.def == nil {
		return Definition{}, fmt.Errorf("%w: %s", ErrUnknown, name)
	}
	return l.definition(o), nil
}

// A queryer reads: the pool of the store, or a transaction of it.
type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// loadDefinitions reads all objectives, and who answers for them.
func (l *Ledger) loadDefinitions(ctx context.Context) error {
	return l.readDefinitions(ctx, l.store.Read())
}

func (l *Ledger) readDefinitions(ctx context.Context, q queryer) error {
	byID, err := readObjectives(ctx, q)
	if err != nil {
		return err
	}
	rows, err := q.QueryContext(ctx, `SELECT objective, source, since FROM objective_nodes`)
	if err != nil {
		return fmt.Errorf("read who answers for objectives: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, source, since int64
		if err := rows.Scan(&id, &source, &since); err != nil {
			return fmt.Errorf("read who answers for objectives: %w", err)
		}
		if o := byID[id]; o != nil {
			o.since[source] = since
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read who answers for objectives: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.adopt(byID)
	return nil
}

func readObjectives(ctx context.Context, q queryer) (map[int64]*objective, error) {
	rows, err := q.QueryContext(ctx, `SELECT id, name, document, defined_ms FROM objectives`)
	if err != nil {
		return nil, fmt.Errorf("read objectives: %w", err)
	}
	defer rows.Close()
	out := map[int64]*objective{}
	for rows.Next() {
		o := newObjective(0, "")
		var doc []byte
		if err := rows.Scan(&o.id, &o.name, &doc, &o.definedMS); err != nil {
			return nil, fmt.Errorf("read objectives: %w", err)
		}
		if len(doc) > 0 {
			decoded, err := openslo.Decode(o.name, doc)
			i := slices.IndexFunc(decoded, func(d slo.Objective) bool { return d.Name == o.name })
			if err != nil || i < 0 {
				return nil, fmt.Errorf("read objective %s: its stored definition cannot be read: %w", o.name, err)
			}
			o.def = &decoded[i]
		}
		out[o.id] = o
	}
	return out, rows.Err()
}

// adopt takes what the disk says of objectives; those known already stay the same
// objects, for chunks point to them. l.mu is held.
func (l *Ledger) adopt(byID map[int64]*objective) {
	if l.objectives == nil {
		l.objectives, l.byID, l.nodes = map[string]*objective{}, map[int64]*objective{}, map[int64]*node{}
	}
	for id, read := range byID {
		if o := l.byID[id]; o != nil {
			o.def, o.definedMS, o.since = read.def, read.definedMS, read.since
			o.nodes.Store(nil)
			continue
		}
		l.objectives[read.name], l.byID[id] = read, read
	}
}
