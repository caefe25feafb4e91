package incident

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"ghostlight/fleet/ledger"
	"ghostlight/fleet/notify"
	"ghostlight/internal/webui"
	"ghostlight/slo"
	"ghostlight/slo/incident"
)

// tell takes each cause to the pager under its key. The key is stored first: whoever
// dies in between tells the same key again. A cause has more keys than one only where
// several of its incidents were told before it was known that they are one; each of
// these is then told of the whole, so that none stays open.
func (b *Book) tell(ctx context.Context, causes []cause) error {
	if b.o.Pager == nil {
		return nil
	}
	defs, err := b.o.Ledger.Objectives(ctx)
	if err != nil {
		return fmt.Errorf("tell of incidents: %w", err)
	}
	due, fresh := b.due(causes, defs)
	if err := b.keepPages(ctx, fresh); err != nil {
		return err
	}
	var errs []error
	for _, c := range due {
		whole := c.whole()
		for _, p := range b.keys(c) {
			if err := b.notify(ctx, c, whole, p.key, defs); err != nil {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// due picks the causes to be told of now, and gives a key to those that had none of
// their own. What seemed one and turned out to be two, once the end of the first was
// here, shared a key: it stays that of the cause that it is named by.
func (b *Book) due(causes []cause, defs []ledger.Definition) (due []cause, fresh map[string]page) {
	now := b.o.Now()
	crowd := b.population().Nodes >= incident.DarkLeast
	fresh = map[string]page{}
	of := map[string]int{} // which cause an id is of
	for n, c := range causes {
		for _, id := range c.ids() {
			of[id] = n
		}
	}
	for at, c := range causes {
		foreign := func(p page) bool {
			n, ok := of[p.key]
			return ok && n != at
		}
		ids, keys := c.ids(), slices.DeleteFunc(b.keys(c), foreign)
		if len(keys) == 0 {
			if until := b.settles(c); crowd && now.Before(until) {
				b.desk.again = sooner(b.desk.again, until)
				continue
			}
			if until := b.explained(c, causes, defs); now.Before(until) {
				b.desk.again = sooner(b.desk.again, until)
				continue
			}
			keys = []page{{ids[0], now.UnixMilli()}}
		}
		for _, id := range ids {
			if p, ok := b.desk.pages[id]; !ok || foreign(p) {
				fresh[id] = keys[0]
			}
		}
		due = append(due, c)
	}
	return due, fresh
}

// settles is until when a lone node's darkness is kept back, because it may be that
// of many.
func (b *Book) settles(c cause) time.Time {
	whole := c.whole()
	detected, ok := whole.When(incident.Detected)
	if c.grouped || !ok || whole.Scope.Cause != incident.Darkness {
		return time.Time{}
	}
	return time.UnixMilli(detected).Add(b.o.Settle)
}

// narrowFirst is how long the burning of many venues waits for that of each to be told.
const narrowFirst = 30 * time.Second

// explained is until when the burning of many venues wakes nobody by itself: people
// are told of a venue in which the same objective, or the journey that it counts, fails
// as urgently, or were until a moment ago.
func (b *Book) explained(c cause, causes []cause, defs []ledger.Definition) time.Time {
	wide := c.whole()
	if !isWide(c) {
		return time.Time{}
	}
	now := b.o.Now()
	detected, _ := wide.When(incident.Detected)
	until := time.UnixMilli(detected).Add(narrowFirst)
	for _, o := range causes {
		for _, m := range o.Gathered {
			if m.Scope.Venue == "" || (wide.Scope.Region != "" && m.Scope.Region != wide.Scope.Region) || !accounts(m.Scope, wide.Scope.Name, defs) ||
				(m.Urgency() != slo.Page && wide.Urgency() == slo.Page) {
				continue
			}
			over, ok := m.When(incident.Parity)
			if !ok || !wide.Open() {
				return now.Add(b.o.Within) // looked at again by then
			}
			if rest := time.UnixMilli(over).Add(b.o.Within); rest.After(until) {
				until = rest
			}
		}
	}
	return until
}

// isWide reports whether a cause is the burning of many venues.
func isWide(c cause) bool {
	s := c.Gathered[0].Scope
	return !c.grouped && s.Cause == incident.Objective && s.Venue == ""
}

// accounts reports whether what fails in a scope is what an objective counts.
func accounts(s incident.Scope, objective string, defs []ledger.Definition) bool {
	switch s.Cause {
	case incident.Objective:
		return s.Name == objective
	case incident.Journey:
		return slices.ContainsFunc(defs, func(d ledger.Definition) bool {
			return d.Name == objective && d.Indicator.Journey != nil && d.Indicator.Journey.Name == s.Name
		})
	}
	return false
}

// keys are the keys that any part of the cause was given, the first first.
func (b *Book) keys(c cause) []page {
	seen := map[string]page{}
	for _, id := range c.ids() {
		if p, ok := b.desk.pages[id]; ok {
			if old, held := seen[p.key]; !held || p.at < old.at {
				seen[p.key] = p
			}
		}
	}
	return slices.SortedFunc(maps.Values(seen), func(x, y page) int { return cmp.Or(cmp.Compare(x.at, y.at), cmp.Compare(x.key, y.key)) })
}

func (b *Book) keepPages(ctx context.Context, fresh map[string]page) error {
	if len(fresh) == 0 {
		return nil
	}
	err := b.o.Store.Write(ctx, func(tx *sql.Tx) error {
		for id, p := range fresh {
			if _, err := tx.ExecContext(ctx, `INSERT INTO incident_pages VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET page = excluded.page, at_ms = excluded.at_ms`, id, p.key, p.at); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store keys of pages: %w", err)
	}
	maps.Copy(b.desk.pages, fresh)
	return nil
}

// notify takes a cause to the pager under one of its keys, unless nothing changed.
func (b *Book) notify(ctx context.Context, c cause, whole incident.Incident, key string, defs []ledger.Definition) error {
	n := notify.Of(whole)
	n.Key = key
	// Receivers know a page by its labels: they stay those of the first.
	n.Scope = b.scopeOf(key, whole.Scope)
	if s := n.Scope; s.Venue != "" {
		n.Group = s.Region + "/" + s.Venue
	}
	n.Until = later(n.Until, n.Since)
	n.What = what(c, n.Scope, defs)
	if n.Still = still(c, n.Scope, defs); n.Still != nil {
		n.What = subject(n.Scope, defs)
	}
	body, err := json.Marshal(n)
	if err != nil {
		return fmt.Errorf("tell of %s: %w", key, err)
	}
	if b.desk.told[key] == string(body) {
		return nil
	}
	b.state(ctx, &n)
	if err := b.o.Pager.Notify(ctx, n); err != nil {
		return fmt.Errorf("tell of %s: %w", key, err)
	}
	b.desk.told[key] = string(body)
	return nil
}

// scopeOf is the scope of the incident or group that gave a key its name. A group
// that became part of another has the same scope as that.
func (b *Book) scopeOf(key string, otherwise incident.Scope) incident.Scope {
	if i, ok := b.desk.list[key]; ok {
		return i.Scope
	}
	if g, ok := b.desk.groups[key]; ok {
		return g.Scope
	}
	return otherwise
}

// state adds the facts that others know.
func (b *Book) state(ctx context.Context, n *notify.Notification) {
	f := b.o.Facts(ctx, n.Scope, n.Since)
	if n.Status == notify.Firing {
		n.AtRisk = f.AtRisk
	}
	if n.Carrier == "" {
		n.Carrier = f.Carrier
	}
	n.LastHeard, n.LastWords, n.Battery, n.Contact = f.LastHeard, f.LastWords, f.Battery, f.Contact
	if b.o.PublicURL != "" {
		n.URL = strings.TrimSuffix(b.o.PublicURL, "/") + "/incidents/" + n.Key
	}
}

// what says what fails: the first, and what else does; "" where the scope says it.
func what(c cause, s incident.Scope, defs []ledger.Definition) string {
	if !c.grouped {
		if s.Cause != incident.Objective {
			return ""
		}
		return subject(s, defs)
	}
	if c.Scope.Cause == incident.Darkness {
		venues := map[string]bool{}
		for _, m := range c.Gathered {
			venues[m.Scope.Venue] = true
		}
		return webui.Plural(len(c.Gathered), "node", "nodes") + " of " + webui.Plural(len(venues), "venue", "venues")
	}
	list := strings.Join(others(c, s, defs), ", ")
	switch {
	case s.Cause == incident.Several:
		return list
	case list == "":
		return subject(s, defs)
	}
	return subject(s, defs) + " (with " + list + ")"
}

// still is what goes on of a cause of which what it is told under is restored.
func still(c cause, s incident.Scope, defs []ledger.Definition) *notify.Failure {
	told, open := false, c
	open.Gathered = nil
	for _, m := range c.Gathered {
		told = told || m.Scope == s
		if m.Open() {
			open.Gathered = append(open.Gathered, m)
		}
	}
	if !told || len(open.Gathered) == 0 || slices.ContainsFunc(open.Gathered, func(m incident.Incident) bool { return m.Scope == s }) {
		return nil
	}
	first := slices.MinFunc(open.Gathered, func(x, y incident.Incident) int {
		a, _ := x.When(incident.Failed)
		b, _ := y.When(incident.Failed)
		return cmp.Compare(a, b)
	})
	since, _ := first.When(incident.Failed)
	return &notify.Failure{Cause: first.Scope.Cause, What: what(open, first.Scope, defs), Since: time.UnixMilli(since).UTC()}
}

// others names what fails in a group besides the scope it is told under.
func others(c cause, s incident.Scope, defs []ledger.Definition) []string {
	if !c.grouped {
		return nil
	}
	var out []string
	for _, m := range c.Gathered {
		if m.Scope != s {
			out = append(out, subject(m.Scope, defs))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// subject names what fails: objectives as their definitions do.
func subject(s incident.Scope, defs []ledger.Definition) string {
	switch s.Cause {
	case incident.Objective:
		if i := slices.IndexFunc(defs, func(d ledger.Definition) bool { return d.Name == s.Name }); i >= 0 {
			return cmp.Or(defs[i].DisplayName, s.Name)
		}
	case incident.Journey:
		return "journey " + s.Name
	case incident.Darkness:
		return s.Venue + "/" + s.Node
	}
	return s.Name
}

// sooner is the earlier of two times, where zero is none.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// later keeps what a clock that was set back says was over before it began from
// being refused; zero stays zero.
func later(until, since time.Time) time.Time {
	if !until.IsZero() && until.Before(since) {
		return since
	}
	return until
}
