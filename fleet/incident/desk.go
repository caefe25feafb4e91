package incident

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"ghostlight/buffer"
	"ghostlight/fleet/registry"
	"ghostlight/slo/incident"
)

// A desk holds the incidents that are being worked on: those that go on, those that
// changed of late, and all that share a group with one of these. Everything on it can
// be read from the store again.
type desk struct {
	loaded  bool
	seq     int64 // changes up to this one are here
	list    map[string]incident.Incident
	groups  map[string]incident.Incident
	touched map[string]int64 // when each of list changed, Unix milliseconds
	pages   map[string]page  // by id of incident or group
	told    map[string]string
	again   time.Time // when to tell even if nothing changed; zero: not
	tidied  time.Time // when what is over was last taken from the desk

	ended   map[buffer.Source]registry.Episode // the last episode dealt with to its end
	drained map[buffer.Source]time.Time        // when a node was last seen to have no revenue waiting
	checked map[string]time.Time               // when a dark venue's backlog or finding was last looked at
}

// A page is the key that an incident is told under.
type page struct {
	key string
	at  int64 // when it was first used, Unix milliseconds
}

func newDesk() *desk {
	return &desk{
		list: map[string]incident.Incident{}, groups: map[string]incident.Incident{}, touched: map[string]int64{},
		pages: map[string]page{}, told: map[string]string{}, ended: map[buffer.Source]registry.Episode{},
		drained: map[buffer.Source]time.Time{}, checked: map[string]time.Time{},
	}
}

// load brings the desk up to date with the store, and reports whether anything is new.
func (b *Book) load(ctx context.Context) (bool, error) {
	d := b.desk
	clause, arg := `WHERE changed > ? ORDER BY changed`, d.seq
	if !d.loaded {
		if err := b.o.Store.Read().QueryRowContext(ctx, `SELECT n FROM incident_changes`).Scan(&d.seq); err != nil {
			return false, fmt.Errorf("read incidents: %w", err)
		}
		clause, arg = `WHERE ended_ms = 0 OR changed_ms >= ? ORDER BY changed`, b.o.Now().Add(-b.o.Recent).UnixMilli()
	}
	found, err := rows(ctx, b.o.Store.Read(), clause, arg)
	if err != nil {
		return false, err
	}
	if err := b.lay(ctx, found); err != nil {
		return false, err
	}
	fresh := len(found) > 0 || !d.loaded
	d.loaded = true
	for _, r := range found {
		d.seq = max(d.seq, r.changed)
	}
	return fresh, nil
}

// lay puts rows on the desk, with the groups they are in and the rest of those; with
// what is heard of a failure long past, what failed beside it then.
func (b *Book) lay(ctx context.Context, found []row) error {
	d := b.desk
	var ids, missing []string
	for _, r := range found {
		id := r.ID()
		ids = append(ids, id)
		if _, known := d.list[id]; !known && !r.gathers {
			beside, err := b.beside(ctx, r.Incident)
			if err != nil {
				return err
			}
			missing = append(missing, beside...)
		}
		if r.gathers {
			d.groups[id] = r.Incident
			continue
		}
		d.list[id], d.touched[id] = r.Incident, r.changedMS
	}
	if err := b.layPages(ctx, ids); err != nil {
		return err
	}
	groups, err := b.gathering(ctx, ids)
	if err != nil {
		return err
	}
	for _, id := range groups {
		if _, ok := d.groups[id]; !ok {
			missing = append(missing, id)
		}
	}
	for _, r := range found {
		for _, id := range r.MemberIDs() {
			if _, ok := d.list[id]; !ok {
				missing = append(missing, id)
			}
		}
	}
	if len(missing) == 0 {
		return nil
	}
	more, err := byID(ctx, b.o.Store.Read(), missing)
	if err != nil || len(more) == 0 {
		return err
	}
	return b.lay(ctx, more)
}

// beside lists what else failed in a venue at the time of a failure that is so long past
// that the desk may not have it any more.
func (b *Book) beside(ctx context.Context, i incident.Incident) ([]string, error) {
	failed, _ := i.When(incident.Failed)
	if i.Scope.Venue == "" || i.Scope.Cause == incident.Darkness || failed >= b.o.Now().Add(-b.o.Recent).UnixMilli() {
		return nil, nil
	}
	within := b.o.Within.Milliseconds()
	near, err := rows(ctx, b.o.Store.Read(), `WHERE venue = ? AND region = ? AND failed_ms BETWEEN ? AND ? AND gathers = 0 AND cause <> ?`,
		i.Scope.Venue, i.Scope.Region, failed-within, failed+within, string(incident.Darkness))
	if err != nil {
		return nil, err
	}
	var out []string
	for _, r := range near {
		if _, ok := b.desk.list[r.ID()]; !ok && r.ID() != i.ID() {
			out = append(out, r.ID())
		}
	}
	return out, nil
}

func (b *Book) layPages(ctx context.Context, ids []string) error {
	for some := range slices.Chunk(ids, 500) {
		found, err := b.o.Store.Read().QueryContext(ctx, `SELECT id, page, at_ms FROM incident_pages WHERE id IN `+marks(len(some)), anys(some)...)
		if err != nil {
			return fmt.Errorf("read pages of incidents: %w", err)
		}
		for found.Next() {
			var id string
			var p page
			if err := found.Scan(&id, &p.key, &p.at); err != nil {
				found.Close()
				return fmt.Errorf("read pages of incidents: %w", err)
			}
			b.desk.pages[id] = p
		}
		if err := found.Close(); err != nil {
			return fmt.Errorf("read pages of incidents: %w", err)
		}
	}
	return nil
}

// gathering lists the groups that some incidents are in.
func (b *Book) gathering(ctx context.Context, ids []string) ([]string, error) {
	var out []string
	for some := range slices.Chunk(ids, 500) {
		found, err := b.o.Store.Read().QueryContext(ctx, `SELECT DISTINCT gathers FROM incident_gathered WHERE member IN `+marks(len(some)), anys(some)...)
		if err != nil {
			return nil, fmt.Errorf("read groups of incidents: %w", err)
		}
		for found.Next() {
			var id string
			if err := found.Scan(&id); err != nil {
				found.Close()
				return nil, fmt.Errorf("read groups of incidents: %w", err)
			}
			out = append(out, id)
		}
		if err := found.Close(); err != nil {
			return nil, fmt.Errorf("read groups of incidents: %w", err)
		}
	}
	return out, nil
}

// clear takes from the desk what is over and changed last before a time.
func (d *desk) clear(before time.Time) {
	old := before.UnixMilli()
	stays := map[string]bool{}
	for id, i := range d.list {
		stays[id] = i.Open() || d.touched[id] >= old
	}
	for id, g := range d.groups {
		members := g.MemberIDs()
		if !slices.ContainsFunc(members, func(m string) bool { return stays[m] }) {
			delete(d.groups, id)
			delete(d.pages, id)
			continue
		}
		for _, m := range members {
			stays[m] = true
		}
	}
	for id := range d.list {
		if !stays[id] {
			delete(d.list, id)
			delete(d.touched, id)
			delete(d.checked, id)
			delete(d.pages, id)
		}
	}
	held := map[string]bool{}
	for p := range maps.Values(d.pages) {
		held[p.key] = true
	}
	maps.DeleteFunc(d.told, func(key, _ string) bool { return !held[key] })
}
