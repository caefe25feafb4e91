package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"time"

	"ghostlight/buffer"
	"ghostlight/slo"
)

// A Reading is what [Ledger.Load] is to tell of a stretch of hours.
type Reading struct {
	From, To   int64                  // hours since the Unix epoch, [From, To)
	Objectives func(name string) bool // which are wanted
	Whole      func(name string) bool // of which only whole hours are wanted; nil: of none
	Begin      func()                 // called first; nothing changes from then until Load returns
	Each       func(Hour)
}

// An Hour is what some nodes of a venue hold of an hour. More of it may follow.
type Hour struct {
	buffer.Source // without its node
	Of            *slo.Objective
	Hour          int64        // since the Unix epoch
	Whole         bool         // the first minute stands for all
	Is            *[60]slo.Sum // by minute; not to be kept
}

// Load tells what is held while nothing changes, so that whoever also subscribed
// hears of each minute once: until Begin by its changes, then by Each, afterwards by
// its changes again. Records wait meanwhile; ask for little. Its functions must
// neither write nor wait for somebody who does.
func (l *Ledger) Load(ctx context.Context, r Reading) error {
	l.turn.Lock()
	defer l.turn.Unlock()
	r.Begin()
	g := gathering{each: r.Each, sums: map[*objective]*[60]slo.Sum{}, wanted: map[int64]bool{}, whole: map[int64]bool{}}
	for id, o := range l.byID {
		if o.def != nil && r.Objectives(o.name) {
			g.wanted[id] = true
			if r.Whole != nil && r.Whole(o.name) {
				g.whole[id] = true
			}
		}
	}
	inMemory := l.gatherMemory(&g, r)
	rows, err := l.store.Read().QueryContext(ctx, `SELECT hour, source, buckets FROM node_hours WHERE hour >= ? AND hour < ? ORDER BY hour, source`, r.From, r.To)
	if err != nil {
		return fmt.Errorf("read hours from %d: %w", r.From, err)
	}
	defer rows.Close()
	for rows.Next() {
		var at spot
		var row sql.RawBytes
		if err := rows.Scan(&at.hour, &at.source, &row); err != nil {
			return fmt.Errorf("read hours from %d: %w", r.From, err)
		}
		if inMemory[at] {
			continue
		}
		src, _ := l.store.Source(at.source)
		g.turnTo(src, at.hour)
		if err := l.gatherRow(&g, row); err != nil {
			return fmt.Errorf("read hour %d of %s: %w", at.hour, src, err)
		}
	}
	g.flush()
	return rows.Err()
}

// gatherRow gathers a row: the totals of those objectives whose hours may be told as a
// whole, and of the others minutes.
func (l *Ledger) gatherRow(g *gathering, row []byte) (err error) {
	var done []int64
	if len(g.whole) > 0 {
		err = eachTotal(row, func(t *total) {
			if o := l.byID[t.objective]; g.whole[t.objective] && t.of(o.def) {
				g.sumsOf(o)[0].Add(&t.sum)
				done = append(done, t.objective)
			}
		})
		if err != nil || len(done) == len(g.wanted) {
			return err
		}
	}
	g.packed, err = l.codec.sums(g.packed, row, func(id int64) (*slo.Objective, *[60]slo.Sum) {
		if !g.wanted[id] || slices.Contains(done, id) {
			return nil, nil
		}
		return l.byID[id].def, g.sumsOf(l.byID[id])
	})
	return err
}

// gatherMemory gathers the chunks, and returns which they are.
func (l *Ledger) gatherMemory(g *gathering, r Reading) map[spot]bool {
	out := map[spot]bool{}
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, source := range slices.Sorted(maps.Keys(l.nodes)) {
		for _, c := range l.nodes[source].chunks {
			if c.hour < r.From || c.hour >= r.To {
				continue
			}
			out[spot{c.hour, source}] = true
			src, _ := l.store.Source(source)
			g.turnTo(src, c.hour)
			for i := range c.lines {
				if o := c.lines[i].objective; g.wanted[o.id] {
					c.lines[i].each(c.hour, func(v version) { g.add(o, &v) })
				}
			}
		}
	}
	return out
}

// A gathering adds up the nodes of a venue, which are numbered in a row as a rule;
// where they are not it tells of them in parts.
type gathering struct {
	each   func(Hour)
	wanted map[int64]bool // objectives, by number
	whole  map[int64]bool // of those, whose hours may be told as a whole
	venue  buffer.Source
	hour   int64
	sums   map[*objective]*[60]slo.Sum
	packed []byte // the memory of the last row, used again
}

// turnTo says whose hour comes next.
func (g *gathering) turnTo(src buffer.Source, hour int64) {
	if src.Node = ""; src != g.venue || hour != g.hour {
		g.flush()
		g.venue, g.hour = src, hour
	}
}

func (g *gathering) sumsOf(o *objective) *[60]slo.Sum {
	sums := g.sums[o]
	if sums == nil {
		sums = new([60]slo.Sum)
		g.sums[o] = sums
	}
	return sums
}

func (g *gathering) add(o *objective, v *version) {
	sum := o.sum(&v.Bucket)
	g.sumsOf(o)[v.Minute-g.hour*60].Add(&sum)
}

func (g *gathering) flush() {
	for o, sums := range g.sums {
		told, whole := false, g.whole[o.id]
		for i := range sums {
			if sums[i].Told() == 0 {
				continue
			}
			told = true
			if whole && i > 0 { // of a chunk in memory, or of a row whose totals are by another definition
				sums[0].Add(&sums[i])
			}
		}
		if told {
			g.each(Hour{g.venue, o.def, g.hour, whole, sums})
			*sums = [60]slo.Sum{}
		}
	}
}

// A Sum is a minute of an objective at the selected nodes: what was told of it.
type Sum struct {
	Minute int64
	slo.Sum
}

// Sums returns what was told of the minutes of [from, to), in order; those of which
// nothing was are left out. The spans say who was expected.
func (l *Ledger) Sums(ctx context.Context, name string, sel Selection, from, to time.Time) (Definition, []slo.Span, []Sum, error) {
	first, end := slo.WholeMinutes(from, to)
	k, err := l.knowledge(ctx, name, sel, first, end, time.Time{}, false)
	if err != nil {
		return Definition{}, nil, nil, fmt.Errorf("sums of %s: %w", name, err)
	}
	var out []Sum
	for m, s := range k.told(first, end) {
		out = append(out, Sum{m, s})
	}
	return k.def, k.spans(first, end), out, nil
}
