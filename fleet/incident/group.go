package incident

import (
	"context"
	"database/sql"
	"maps"
	"slices"
	"time"

	"ghostlight/fleet/registry"
	"ghostlight/slo"
	"ghostlight/slo/incident"
)

// A cause is what people are told of once: a group of incidents, or one alone.
type cause struct {
	incident.Group
	grouped bool
}

// whole is the cause as one incident. What a group's dark venues sold it says once it
// is known of all of them: lost if it was at one.
func (c cause) whole() incident.Incident {
	if !c.grouped {
		return c.Gathered[0]
	}
	i := c.Whole()
	var sum incident.Finding
	for n, m := range c.Gathered {
		f, ok := m.Finding()
		if !ok {
			return i
		}
		if n == 0 || f.Sales == incident.Lost {
			sum.Sales = f.Sales
		}
		sum.Good, sum.Bad, sum.Pending = sum.Good+f.Good, sum.Bad+f.Bad, sum.Pending+f.Pending
		sum.AtMS, sum.Revision = max(sum.AtMS, f.AtMS), sum.Revision+f.Revision
	}
	return i.Find(sum)
}

// outage is the cause as statistics of recovery count it: as a whole, in the place of
// its first member, whose owner says how long it was heard. What waited for the morning
// by design was no outage, and the burning of many venues is made of theirs.
func (c cause) outage() (incident.Incident, bool) {
	i := c.whole()
	if i.Scope.Cause != incident.Darkness {
		i.Scope = c.Gathered[0].Scope
	}
	wide := i.Scope.Cause == incident.Objective && i.Scope.Venue == ""
	return i, !wide && i.Urgency() == slo.Page
}

// ids are all ids under which the cause may have been told, its own first.
func (c cause) ids() []string {
	var out []string
	if c.grouped {
		out = append(append(out, c.ID()), c.AlsoIDs()...)
		out = append(out, c.MemberIDs()...)
	}
	for _, m := range c.Gathered {
		out = append(append(out, m.ID()), m.AlsoIDs()...)
	}
	return out
}

// gather folds flaps and groups what belongs together, stores groups that changed,
// and returns all causes on the desk. Once in a group an incident stays in it.
func (b *Book) gather(ctx context.Context) ([]cause, error) {
	d := b.desk
	folded := incident.Fold(slices.Collect(maps.Values(d.list)), b.o.Flap)
	known := slices.Collect(maps.Values(d.groups))
	kept := map[string]incident.Incident{}
	for _, g := range incident.GroupVenues(folded, known, b.o.Within) {
		kept[g.ID()] = g.Incident
	}
	for _, g := range incident.GroupDarkness(b.freshlyDark(folded), known, b.population()) {
		kept[g.ID()] = g.Incident
	}
	joined := map[string]string{} // groups that turned out to be part of another
	for id, g := range kept {
		for _, also := range g.AlsoIDs() {
			joined[also] = id
		}
	}
	for id, g := range d.groups {
		if _, ok := kept[id]; !ok && joined[id] == "" {
			kept[id] = g
		}
	}
	causes := causesOf(folded, kept)
	return causes, b.keepGroups(ctx, causes, joined)
}

// causesOf makes the causes of folded incidents and the groups that are kept.
func causesOf(folded []incident.Incident, kept map[string]incident.Incident) []cause {
	at := map[string]int{} // by any id of the place in folded
	for n, i := range folded {
		at[i.ID()] = n
		for _, id := range i.AlsoIDs() {
			at[id] = n
		}
	}
	var out []cause
	taken := make([]bool, len(folded))
	for _, id := range slices.Sorted(maps.Keys(kept)) {
		c := cause{Group: incident.Group{Incident: kept[id]}, grouped: true}
		for n := range places(at, kept[id].MemberIDs()) {
			c.Gathered, taken[n] = append(c.Gathered, folded[n]), true
		}
		if len(c.Gathered) > 0 {
			out = append(out, c)
		}
	}
	for n, i := range folded {
		if !taken[n] {
			out = append(out, cause{Group: incident.Group{Incident: i, Gathered: []incident.Incident{i}}})
		}
	}
	return out
}

// places yields, in order, where the incidents of some ids are, each once.
func places(at map[string]int, ids []string) func(yield func(int) bool) {
	var list []int
	for _, id := range ids {
		if n, ok := at[id]; ok {
			list = append(list, n)
		}
	}
	slices.Sort(list)
	return slices.Values(slices.Compact(list))
}

// keepGroups stores the groups that changed.
func (b *Book) keepGroups(ctx context.Context, causes []cause, joined map[string]string) error {
	d := b.desk
	if !slices.ContainsFunc(causes, func(c cause) bool { return c.grouped }) {
		return nil
	}
	err := b.o.Store.Write(ctx, func(tx *sql.Tx) error {
		for _, c := range causes {
			if !c.grouped {
				continue
			}
			// What is said of a group as a whole is computed anew each time.
			if _, err := b.put(ctx, tx, c.Incident, true, endOf(c.whole())); err != nil {
				return err
			}
			held := map[string]bool{}
			for _, id := range d.groups[c.ID()].MemberIDs() {
				held[id] = true
			}
			for _, id := range c.MemberIDs() {
				if held[id] {
					continue
				}
				_, err := tx.ExecContext(ctx, `INSERT INTO incident_gathered VALUES (?, ?) ON CONFLICT (member) DO UPDATE SET gathers = excluded.gathers`, id, c.ID())
				if err != nil {
					return err
				}
			}
		}
		for old, id := range joined {
			if _, ok := d.groups[old]; !ok {
				continue
			}
			if err := supersede(ctx, tx, old, id); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, c := range causes {
		if c.grouped {
			d.groups[c.ID()] = c.Incident
		}
	}
	for old := range joined {
		delete(d.groups, old)
	}
	return nil
}

// supersede drops a group that is part of another; whoever asks for it finds that.
func supersede(ctx context.Context, tx *sql.Tx, old, id string) error {
	for _, stmt := range []string{
		`UPDATE incident_gathered SET gathers = ?2 WHERE gathers = ?1`,
		`INSERT INTO incident_gathered VALUES (?1, ?2) ON CONFLICT (member) DO UPDATE SET gathers = excluded.gathers`,
		`DELETE FROM incidents WHERE id = ?1 AND id <> ?2`,
	} {
		if _, err := tx.ExecContext(ctx, stmt, old, id); err != nil {
			return err
		}
	}
	return nil
}

// darkFresh bounds how old a darkness may be, beyond the silence itself, to be
// gathered with others: how many nodes could go dark is known of now alone.
const darkFresh = 10 * time.Minute

func (b *Book) freshlyDark(list []incident.Incident) []incident.Incident {
	old := b.o.Now().Add(-b.o.DarkAfter - darkFresh).UnixMilli()
	var out []incident.Incident
	for _, i := range list {
		if failed, _ := i.When(incident.Failed); i.Scope.Cause == incident.Darkness && failed >= old {
			out = append(out, i)
		}
	}
	return out
}

// population counts the nodes that could go dark now: those that should be on and
// have not said goodbye.
func (b *Book) population() incident.Population {
	now := b.o.Now()
	p := incident.Population{
		Carriers: map[string]int{},
		Carrier:  func(s incident.Scope) string { return b.o.Carrier(sourceOf(s)) },
	}
	expected := map[string]bool{}
	for _, v := range b.o.Nodes.Nodes() {
		if v.Presence != registry.Live && v.Presence != registry.Dark {
			continue
		}
		on, ok := expected[v.Venue]
		if !ok {
			on = len(b.o.Calendar.ExpectedWindows(v.Venue, now, now.Add(time.Millisecond))) > 0
			expected[v.Venue] = on
		}
		if on {
			p.Nodes++
			p.Carriers[b.o.Carrier(v.Source)]++
		}
	}
	return p
}
