package torture

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/fleet/burn"
	fleet "ghostlight/fleet/incident"
	"ghostlight/fleet/notify"
	"ghostlight/slo"
	"ghostlight/slo/incident"
)

// A register is the centre's real book of incidents, and who is told of them.
type register struct {
	f    *feed
	rng  *rand.Rand
	book *fleet.Book
	seen int64 // changes up to this one were told to who audits pages
	told map[string]*tale
}

// A tale is what was told under one key.
type tale struct {
	status notify.Status
	again  int // how often it failed again behind its end
	wide   bool
}

// open continues what the life before has stored.
func (r *register) open(ctx context.Context, c *centre) (err error) {
	o := fleet.Options{
		Store: c.store, Nodes: signs{r.f}, Calendar: signs{r.f}, Ledger: c.ledger, Sales: tills{r.f}, DarkAfter: darkAfter,
		Pager: r, Now: r.f.time, Log: slog.New(slog.DiscardHandler),
	}
	if r.f.bug == bugWithin {
		o.Within = time.Millisecond
	}
	if r.book, err = fleet.New(ctx, o); err != nil || r.f.bug != bugKeys {
		return err
	}
	return c.store.Write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM incident_pages`)
		return err
	})
}

// apply takes what a node says of an incident.
func (r *register) apply(ctx context.Context, tx *sql.Tx, src buffer.Source, rec delta.Record) error {
	if r.f.bug == bugEnd {
		if is, err := incident.Decode(rec.Body); err == nil && !is.Open() {
			return nil
		}
	}
	return r.book.Apply(ctx, tx, src, rec)
}

// Notify implements [fleet.Pager]. Whoever is told may die before it says so.
func (r *register) Notify(_ context.Context, n notify.Notification) error {
	t := r.told[n.Key]
	if t == nil {
		t = &tale{wide: n.Scope.Venue == "" && n.Scope.Cause == incident.Objective}
		r.told[n.Key] = t
	}
	if t.status == notify.Resolved && n.Status == notify.Firing {
		t.again++
	}
	if t.status != n.Status {
		r.f.logf("people are told under %s: %s of %v is %s, since %s", n.Key, n.What, n.Scope, n.Status, r.f.clock(n.Since.UnixMilli()))
	}
	t.status = n.Status
	if !r.f.healed && r.rng.IntN(6) == 0 {
		return errUnheard
	}
	return nil
}

// Log implements [fleet.Pager].
func (r *register) Log(context.Context, string) ([]notify.Entry, error) { return nil, nil }

// step lets the book judge and tell.
func (r *register) step(ctx context.Context) error {
	if err := r.book.Step(ctx); err != nil && !errors.Is(err, errUnheard) {
		return fmt.Errorf("the book of incidents: %w", err)
	}
	return nil
}

// alerts takes alerts of many nodes into the book.
func (r *register) alerts(ctx context.Context, list []burn.Alert) error {
	out := make([]fleet.Alert, len(list))
	for i, a := range list {
		out[i] = fleet.Alert{Alert: a.Alert, Region: a.Region, Venue: a.Venue, Event: a.Event}
	}
	return r.book.Alerts(ctx, out)
}

// judge looks whether the book has what happened, told each cause under one key, and
// holds nothing for open that is over.
func (r *register) judge(ctx context.Context) error {
	list, _, err := r.book.Changes(ctx, 0, time.Time{})
	if err != nil {
		return err
	}
	held := map[string]incident.Incident{}
	for _, is := range list {
		held[is.ID()] = is
	}
	r.judgeHeld(held)
	r.judgeDark(list)
	items, err := r.book.List(ctx, fleet.Filter{Limit: 100_000})
	if err != nil {
		return err
	}
	r.judgeKeys(items)
	return r.judgeMTTR(ctx, list)
}

// judgeHeld compares what the book has of nodes with what they have on disk.
func (r *register) judgeHeld(held map[string]incident.Incident) {
	for id, is := range r.f.paged {
		got, ok := held[id]
		switch {
		case !ok:
			r.f.problem("the book has no incident %s of %v", id, is.Scope)
		case !slices.Equal(got.Spells(), is.Spells()) || !slices.Equal(got.Wakings(), is.Wakings()) || got.Open() != is.Open():
			r.f.problem("the book has of incident %s of %v %+v, the node has %+v on disk", id, is.Scope, got.Spells(), is.Spells())
		}
	}
}

// judgeDark compares the times that nodes were dark with their incidents: each is one
// spell, and is over, as all nodes were heard again and what waited there is here. Of two
// between two looks the book is shown the later.
func (r *register) judgeDark(list []incident.Incident) {
	for _, n := range r.f.nodes {
		spells := map[int64]bool{}
		for _, is := range list {
			if is.Scope.Cause != incident.Darkness || !is.Scope.Within(n.source.Region, n.source.Venue, n.source.Node) {
				continue
			}
			for _, s := range is.Spells() {
				if spells[s.StartMS] {
					r.f.problem("%s: the darkness since %s is in two incidents", n.source, r.f.clock(s.StartMS))
				}
				spells[s.StartMS] = true
			}
			if is.Open() {
				r.f.problem("%s: it is heard and all is here, its darkness %s since %s goes on in the book: %+v", n.source, is.ID(), r.f.clock(is.StartMS), is.Spells())
			}
		}
		for _, d := range n.presence.dark {
			r.f.Dark++
			if n.presence.shown[d.from] && !spells[d.from] {
				r.f.problem("%s: the book does not know that it was dark from %s to %s", n.source, r.f.clock(d.from), r.f.clock(d.to))
			}
			delete(spells, d.from)
		}
		for at := range spells {
			r.f.problem("%s: the book has it dark since %s, and it was not", n.source, r.f.clock(at))
		}
	}
}

// judgeKeys looks whether each cause was told under one key, or under those of its
// parts that were told before they were known to be one; what was told last is whether
// it goes on; and nothing was told to fail again but what did.
func (r *register) judgeKeys(items []fleet.Item) {
	of := map[string]fleet.Item{} // by any id of its parts
	for _, i := range items {
		r.f.Causes++
		for _, id := range idsOf(i) {
			if was, ok := of[id]; ok && was.ID != i.ID {
				r.f.problem("%s is part of two causes, %s and %s", id, was.ID, i.ID)
			}
			of[id] = i
		}
		switch {
		case i.Page != "" && r.told[i.Page] == nil:
			r.f.problem("%s of %v has the key %s, which nobody was told", i.ID, i.Scope, i.Page)
		case i.Page == "" && (i.Scope.Venue != "" || i.Scope.Cause != incident.Objective):
			r.f.problem("nobody was told of %s of %v", i.ID, i.Scope)
		}
	}
	keys := map[string]int{} // by cause
	for key, t := range r.told {
		i, ok := of[key]
		if !ok {
			r.f.problem("key %s was told, and is of nothing that the book has", key)
			continue
		}
		keys[i.ID]++
		if fires := t.status == notify.Firing; fires != i.Open() {
			r.f.problem("key %s was last told to be %s; %s of %v goes on: %v", key, t.status, i.ID, i.Scope, i.Open())
		}
		if most := spellsOf(i); t.again >= most {
			r.f.problem("key %s of %v was told %d times to fail again, it has %d spells", key, i.Scope, t.again, most)
		}
	}
	for id, n := range keys {
		if parts := len(idsOf(of[id])); n > 1 && parts < n+1 {
			r.f.problem("%s was told under %d keys; it has %d parts", id, n, parts)
		}
		r.f.Keys += n
	}
}

// idsOf are the ids that a cause, or a part of it, is known by.
func idsOf(i fleet.Item) []string {
	out := append([]string{i.ID}, i.AlsoIDs()...)
	for _, m := range i.Gathered {
		out = append(append(out, m.ID()), m.AlsoIDs()...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// spellsOf is how often a cause failed at most: each spell of each of its parts.
func spellsOf(i fleet.Item) int {
	if len(i.Gathered) == 0 {
		return len(i.Spells())
	}
	n := 0
	for _, m := range i.Gathered {
		n += len(m.Spells())
	}
	return n
}

// judgeMTTR counts the outages by itself: the incidents that wake somebody, of one
// venue, of which each fails within ten minutes of the one before, are one.
func (r *register) judgeMTTR(ctx context.Context, list []incident.Incident) error {
	m, err := r.book.MTTR(ctx, fleet.Filter{})
	if err != nil {
		return err
	}
	all := outagesOf(list, len(r.f.nodes))
	want := incident.Promise{}
	open := 0
	for _, o := range all {
		switch took := o.ended - o.failed; {
		case o.ended == 0 && r.f.now-o.failed > (15*time.Minute).Milliseconds(), o.ended != 0 && took > (15*time.Minute).Milliseconds():
			want.Total++
		case o.ended == 0:
			want.Pending++
		default:
			want.Total, want.Good = want.Total+1, want.Good+1
		}
		if o.ended == 0 {
			open++
		}
	}
	r.f.Outages += len(all)
	if m.Summary.N != len(all) || m.Summary.Open != open || m.Promise != want {
		r.f.problem("the time to restore rests on %d outages, %d open, %+v; the oracle has %d, %d open, %+v", m.Summary.N, m.Summary.Open, m.Promise, len(all), open, want)
		for _, o := range all {
			r.f.logf("the oracle's outage of %s: %s to %s, open %v: %v", o.where, r.f.clock(o.failed), r.f.clock(o.ended), o.ended == 0, o.names)
		}
		items, err := r.book.List(ctx, fleet.Filter{Limit: 100_000, Urgency: slo.Page})
		if err != nil {
			return err
		}
		for _, i := range items {
			at, _ := i.When(incident.Failed)
			end, _ := i.When(incident.Parity)
			r.f.logf("the book's outage of %v: %s to %s, open %v, %d gathered", i.Scope, r.f.clock(at), r.f.clock(end), i.Open(), len(i.Gathered))
		}
	}
	return nil
}
