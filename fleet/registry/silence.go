package registry

import (
	"context"
	"fmt"
	"slices"
	"time"

	"ghostlight/buffer"
)

// A Silence is when one node was not heard, by the centre's clock. What lies in
// neither list was time in contact: a node is silent only from its last sign before
// a stretch to its first after it.
type Silence struct {
	FirstSeen time.Time // zero: never
	Dark      []Episode // without a goodbye; one that goes on has no End
	Away      []Episode // packed up; one that goes on has no End
}

// Silences tells, of all nodes, the stretches that touch [from, to).
func (r *Registry) Silences(ctx context.Context, from, to time.Time) (map[buffer.Source]Silence, error) {
	// What is in memory first: what is stored meanwhile is then seen twice, not never.
	dark, away, first := r.freshSilences()
	storedDark, err := r.touching(ctx, `dark_episodes`, from, to)
	if err != nil {
		return nil, err
	}
	storedAway, err := r.touching(ctx, `away_episodes`, from, to)
	if err != nil {
		return nil, err
	}
	out := make(map[buffer.Source]Silence, len(r.order))
	for _, src := range r.order {
		id := r.nodes[src].id
		out[src] = Silence{FirstSeen: first[id], Dark: within(merge(storedDark[id], dark[id]), from, to), Away: within(merge(storedAway[id], away[id]), from, to)}
	}
	return out, nil
}

// freshSilences copies, by node, what may not be stored yet, and what goes on.
func (r *Registry) freshSilences() (dark, away map[int64][]Episode, first map[int64]time.Time) {
	dark = r.freshEpisodes()
	away, first = map[int64][]Episode{}, map[int64]time.Time{}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range r.nodes {
		first[n.id] = n.view.FirstSeen
		if n.watch.open != nil {
			dark[n.id] = append(dark[n.id], *n.watch.open)
		}
		away[n.id] = slices.Clone(n.aways)
		if n.watch.presence() == Away {
			away[n.id] = append(away[n.id], Episode{Start: n.watch.last})
		}
	}
	return dark, away, first
}

func (r *Registry) touching(ctx context.Context, table string, from, to time.Time) (map[int64][]Episode, error) {
	rows, err := r.store.Read().QueryContext(ctx, `SELECT source, start_ms, end_ms FROM `+table+` WHERE start_ms < ? AND (end_ms = 0 OR end_ms > ?) ORDER BY source, start_ms`,
		to.UnixMilli(), from.UnixMilli())
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", table, err)
	}
	defer rows.Close()
	out := map[int64][]Episode{}
	for rows.Next() {
		var id, start, end int64
		if err := rows.Scan(&id, &start, &end); err != nil {
			return nil, fmt.Errorf("read %s: %w", table, err)
		}
		out[id] = append(out[id], Episode{fromMilli(start), fromMilli(end)})
	}
	return out, rows.Err()
}

func within(list []Episode, from, to time.Time) []Episode {
	var out []Episode
	for _, ep := range list {
		if ep.Start.Before(to) && (ep.End.IsZero() || ep.End.After(from)) {
			out = append(out, ep)
		}
	}
	return out
}

// Down lists, in order, when the centre itself did not run, or its clock leapt over.
func (r *Registry) Down() []Episode {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.down)
}
