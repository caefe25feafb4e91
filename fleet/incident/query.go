package incident

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"ghostlight/buffer"
	"ghostlight/slo"
	"ghostlight/slo/incident"
)

// A Filter selects incidents. What is empty selects all.
type Filter struct {
	Venues  []string
	Node    buffer.Source
	Open    bool        // only what goes on
	Urgency slo.Urgency // only what is that urgent
	From    time.Time   // only what was not over before
	To      time.Time   // only what failed before
	Limit   int         // most that are listed; 0: 500

	// Of [Book.MTTR] alone.
	Within  time.Duration // the time allowed to recover; 0: 15 minutes
	Horizon time.Duration // up to which the mean counts; 0: the longest observation
}

const (
	defaultLimit = 500
	mostRows     = 20_000 // incidents that one question may touch, the latest
)

// An Item is one incident as people see it: flaps are folded, and what has one cause
// is one.
type Item struct {
	incident.Incident                     // of a group: as a whole
	ID                string              `json:"id"`
	Page              string              `json:"page,omitempty"`     // the key that people were told under; empty: they were not
	Gathered          []incident.Incident `json:"gathered,omitempty"` // of a group: its members by their failure
}

// List lists incidents, the latest failure first. A group is listed where any of its
// members is selected.
func (b *Book) List(ctx context.Context, f Filter) ([]Item, error) {
	causes, err := b.causes(ctx, f)
	if err != nil {
		return nil, err
	}
	if f.Limit <= 0 {
		f.Limit = defaultLimit
	}
	out := []Item{}
	for _, c := range causes {
		item := c.item()
		if (f.Open && !item.Open()) || (f.Urgency != "" && item.Urgency() != f.Urgency) {
			continue
		}
		out = append(out, item)
	}
	slices.SortFunc(out, func(x, y Item) int {
		a, _ := x.When(incident.Failed)
		b, _ := y.When(incident.Failed)
		return cmp.Or(cmp.Compare(b, a), cmp.Compare(x.ID, y.ID))
	})
	out = out[:min(len(out), f.Limit)]
	return out, b.pagesOf(ctx, out)
}

func (c cause) item() Item {
	item := Item{Incident: c.whole(), ID: c.Incident.ID()}
	if c.grouped {
		item.Gathered = c.Gathered
	}
	return item
}

// pagesOf fills in the keys that items were told under.
func (b *Book) pagesOf(ctx context.Context, items []Item) error {
	for n := range items {
		err := b.o.Store.Read().QueryRowContext(ctx, `SELECT coalesce((SELECT page FROM incident_pages WHERE id = ?), '')`, items[n].ID).Scan(&items[n].Page)
		if err != nil {
			return fmt.Errorf("read page of %s: %w", items[n].ID, err)
		}
	}
	return nil
}

// selected reads the incidents that a filter selects, groups left out.
func (b *Book) selected(ctx context.Context, f Filter) ([]incident.Incident, error) {
	clause, args := `WHERE gathers = 0`, []any{}
	and := func(condition string, values ...any) {
		clause, args = clause+` AND `+condition, append(args, values...)
	}
	if len(f.Venues) > 0 {
		and(`venue IN `+marks(len(f.Venues)), anys(f.Venues)...)
	}
	if f.Node != (buffer.Source{}) {
		and(`region = ? AND venue = ? AND node = ?`, f.Node.Region, f.Node.Venue, f.Node.Node)
	}
	if f.Open {
		and(`ended_ms = 0`)
	}
	if !f.From.IsZero() {
		and(`(ended_ms = 0 OR ended_ms >= ?)`, f.From.UnixMilli())
	}
	if !f.To.IsZero() {
		and(`failed_ms < ?`, f.To.UnixMilli())
	}
	found, err := rows(ctx, b.o.Store.Read(), clause+` ORDER BY failed_ms DESC LIMIT ?`, append(args, mostRows)...)
	return plain(found), err
}

func plain(list []row) []incident.Incident {
	out := make([]incident.Incident, len(list))
	for n, r := range list {
		out[n] = r.Incident
	}
	return out
}

// causes are what a filter selects, folded and in their groups.
func (b *Book) causes(ctx context.Context, f Filter) ([]cause, error) {
	list, err := b.selected(ctx, f)
	if err != nil {
		return nil, err
	}
	return b.causesWith(ctx, list)
}

// causesWith adds to incidents the groups they are in, and the rest of those.
func (b *Book) causesWith(ctx context.Context, list []incident.Incident) ([]cause, error) {
	var ids []string
	held := map[string]bool{}
	for _, i := range list {
		ids, held[i.ID()] = append(ids, i.ID()), true
	}
	gathering, err := b.gathering(ctx, ids)
	if err != nil {
		return nil, err
	}
	slices.Sort(gathering)
	groups, err := byID(ctx, b.o.Store.Read(), slices.Compact(gathering))
	if err != nil {
		return nil, err
	}
	kept := map[string]incident.Incident{}
	var missing []string
	for _, g := range groups {
		kept[g.ID()] = g.Incident
		for _, id := range g.MemberIDs() {
			if !held[id] {
				missing, held[id] = append(missing, id), true
			}
		}
	}
	more, err := byID(ctx, b.o.Store.Read(), missing)
	if err != nil {
		return nil, err
	}
	return causesOf(incident.Fold(append(list, plain(more)...), b.o.Flap), kept), nil
}
