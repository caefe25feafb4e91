package incident

import (
	"context"
	"time"

	"ghostlight/buffer"
	"ghostlight/fleet/registry"
	"ghostlight/slo"
	"ghostlight/slo/incident"
)

// Changes lists the incidents, groups left out, that changed after a number and not
// before a time, and the number to ask with next.
func (b *Book) Changes(ctx context.Context, after int64, since time.Time) ([]incident.Incident, int64, error) {
	found, err := rows(ctx, b.o.Store.Read(), `WHERE gathers = 0 AND changed > ? AND changed_ms >= ? ORDER BY changed`, after, since.UnixMilli())
	if err != nil {
		return nil, 0, err
	}
	for _, r := range found {
		after = r.changed
	}
	return plain(found), after, nil
}

// A Place is a node and a minute in which an outage of its may have failed.
type Place struct {
	buffer.Source
	Minute int64 // since the Unix epoch
}

// Touched lists where the incidents of nodes failed that changed after a number, and
// where the outages that they are part of did, and the number to ask with next time.
// With open it lists those that go on, too.
func (b *Book) Touched(ctx context.Context, after int64, open bool) ([]Place, int64, error) {
	clause := `WHERE gathers = 0 AND node <> '' AND changed > ?`
	if open {
		clause = `WHERE gathers = 0 AND node <> '' AND (changed > ? OR ended_ms = 0)`
	}
	found, err := rows(ctx, b.o.Store.Read(), clause, after)
	if err != nil {
		return nil, 0, err
	}
	for _, r := range found {
		after = max(after, r.changed)
	}
	list := plain(found)
	causes, err := b.causesWith(ctx, list)
	if err != nil {
		return nil, 0, err
	}
	for _, c := range causes {
		if i, ok := c.outage(); ok {
			list = append(list, i)
		}
	}
	seen := map[Place]bool{}
	var out []Place
	for _, i := range list {
		failed, _ := i.When(incident.Failed)
		p := Place{sourceOf(i.Scope), slo.MinuteOf(time.UnixMilli(failed))}
		if !seen[p] && p.Node != "" {
			seen[p] = true
			out = append(out, p)
		}
	}
	return out, after, nil
}

// Outages are those of one node that failed in [from, to), as an objective of recovery
// sees them: what has one cause is one, as in [Book.MTTR], and planned time is taken
// out.
func (b *Book) Outages(ctx context.Context, src buffer.Source, from, to time.Time) ([]slo.Outage, error) {
	found, err := rows(ctx, b.o.Store.Read(), `WHERE gathers = 0 AND region = ? AND venue = ? AND node = ? AND failed_ms >= ? AND failed_ms < ? ORDER BY failed_ms`,
		src.Region, src.Venue, src.Node, from.UnixMilli(), to.UnixMilli())
	if err != nil {
		return nil, err
	}
	causes, err := b.causesWith(ctx, plain(found))
	if err != nil {
		return nil, err
	}
	var out []slo.Outage
	for _, c := range causes {
		i, ok := c.outage()
		at, _ := i.When(incident.Failed)
		failed := time.UnixMilli(at)
		if !ok || sourceOf(i.Scope) != src || failed.Before(from) || !failed.Before(to) {
			continue
		}
		now := b.o.Now()
		if last, dark := b.contact(i.Scope); dark && i.Scope.Owner() == incident.Node && last.Before(now) {
			now = last
		}
		o := slo.Outage{Failed: failed}
		counted, _ := i.Lasted(now)
		if _, ok := i.When(incident.Parity); ok {
			o.Parity = failed.Add(counted)
		} else {
			o.SeenTil = failed.Add(counted)
		}
		out = append(out, o)
	}
	return out, nil
}

// contact tells statistics how long a scope's owner was heard.
func (b *Book) contact(s incident.Scope) (time.Time, bool) {
	v, err := b.o.Nodes.Node(sourceOf(s))
	return v.LastSeen, err == nil && v.Presence == registry.Dark
}
