package registry

import (
	"context"
	"fmt"
	"slices"
	"time"

	"ghostlight/buffer"
)

// A Darkness is one dark episode of one node.
type Darkness struct {
	buffer.Source
	Episode
	Duration time.Duration `json:"duration"` // within the range asked for, less the centre's own downtime
}

// Dark returns the dark episodes that touch [f.From, f.To), by node and start. An
// episode that goes on has no End and counts up to now, or to f.To if that is
// earlier.
func (r *Registry) Dark(ctx context.Context, f Filter) ([]Darkness, error) {
	// What is in memory first: an episode that is stored meanwhile is then seen
	// twice, not never.
	fresh := r.freshEpisodes()
	stored, err := r.storedEpisodes(ctx)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	to := f.To
	if to.IsZero() || to.After(now) {
		to = now
	}
	out := []Darkness{}
	for _, src := range r.order {
		if !f.selects(src) {
			continue
		}
		n := r.nodes[src]
		for _, ep := range merge(stored[n.id], fresh[n.id]) {
			end := ep.End
			if end.IsZero() {
				end = now
			}
			if d := overlap(ep.Start, end, f.From, to); d > 0 {
				out = append(out, Darkness{src, ep, d - r.downWithin(ep.Start, end, f.From, to)})
			}
		}
	}
	return out, nil
}

// downWithin is how much of the overlap of [start, end) and [from, to) the centre
// itself was not running. r.mu is held.
func (r *Registry) downWithin(start, end, from, to time.Time) time.Duration {
	if start.Before(from) {
		start = from
	}
	if end.After(to) {
		end = to
	}
	var sum time.Duration
	for _, d := range r.down {
		sum += overlap(d.Start, d.End, start, end)
	}
	return sum
}

// freshEpisodes copies, by node, the episodes that may not be stored yet.
func (r *Registry) freshEpisodes() map[int64][]Episode {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[int64][]Episode{}
	for _, n := range r.nodes {
		if len(n.episodes) > 0 {
			out[n.id] = slices.Clone(n.episodes)
		}
	}
	return out
}

// merge puts together what is stored and what is not yet; of the same start the
// one that has ended counts.
func merge(stored, fresh []Episode) []Episode {
	out := slices.Clone(stored)
	for _, ep := range fresh {
		i := slices.IndexFunc(out, func(o Episode) bool { return o.Start.UnixMilli() == ep.Start.UnixMilli() })
		switch {
		case i < 0:
			out = append(out, ep)
		case out[i].End.IsZero():
			out[i] = ep
		}
	}
	slices.SortFunc(out, func(a, b Episode) int { return a.Start.Compare(b.Start) })
	return out
}

func (r *Registry) storedEpisodes(ctx context.Context) (map[int64][]Episode, error) {
	rows, err := r.store.Read().QueryContext(ctx, `SELECT source, start_ms, end_ms FROM dark_episodes ORDER BY source, start_ms`)
	if err != nil {
		return nil, fmt.Errorf("read dark episodes: %w", err)
	}
	defer rows.Close()
	out := map[int64][]Episode{}
	for rows.Next() {
		var id, start, end int64
		if err := rows.Scan(&id, &start, &end); err != nil {
			return nil, fmt.Errorf("read dark episodes: %w", err)
		}
		out[id] = append(out[id], Episode{fromMilli(start), fromMilli(end)})
	}
	return out, rows.Err()
}
