package incident

import (
	"context"
	"database/sql"
	"time"

	"ghostlight/fleet/registry"
	"ghostlight/slo"
	"ghostlight/slo/incident"
)

// darkness opens the incidents of nodes that are dark where they should be on, and
// notes which are heard again. A node that said goodbye is not dark.
func (b *Book) darkness(ctx context.Context) error {
	now := b.o.Now()
	var down []registry.Episode
	var found []incident.Incident
	done := map[*registry.View]bool{}
	nodes := b.o.Nodes.Nodes()
	for n := range nodes {
		v := &nodes[n]
		ep := v.LastDark
		if ep.Start.IsZero() || b.desk.ended[v.Source] == ep || (!ep.End.IsZero() && now.Sub(ep.End) > b.o.Recent) {
			continue
		}
		if down == nil {
			down = b.o.Nodes.Down()
		}
		i, ok, err := b.dark(ctx, v, down, now)
		if err != nil {
			return err
		}
		if ok {
			found = append(found, i)
		}
		done[v] = !ep.End.IsZero()
	}
	if err := b.store(ctx, found); err != nil {
		return err
	}
	for v, ended := range done {
		if ended {
			b.desk.ended[v.Source] = v.LastDark
		}
	}
	return nil
}

// store merges what was concluded into the book, all or nothing.
func (b *Book) store(ctx context.Context, found []incident.Incident) error {
	if len(found) == 0 {
		return nil
	}
	return b.o.Store.Write(ctx, func(tx *sql.Tx) error {
		for _, i := range found {
			if _, err := b.merge(ctx, tx, i); err != nil {
				return err
			}
		}
		return nil
	})
}

// dark is what the node's last dark episode makes of its incident, if anything.
func (b *Book) dark(ctx context.Context, v *registry.View, down []registry.Episode, now time.Time) (incident.Incident, bool, error) {
	s := incident.Scope{Region: v.Region, Venue: v.Venue, Node: v.Node, Cause: incident.Darkness}
	ep := v.LastDark
	last, err := b.last(ctx, s)
	if err != nil {
		return incident.Incident{}, false, err
	}
	spell, held := spellWithin(last, ep)
	if held && ep.End.IsZero() {
		return incident.Incident{}, false, nil
	}
	var i incident.Incident
	if held {
		i = *last
	} else {
		at, missed := b.missed(v.Venue, ep, down, now)
		if !missed {
			return incident.Incident{}, false, nil
		}
		spell = at.UnixMilli()
		i = incident.Fail(last, s, at, b.o.Flap).
			Rate(incident.Severity{Urgency: slo.Page, AtMS: now.UnixMilli(), Source: incident.Centre}).
			Mark(incident.Mark{Stage: incident.Detected, SpellMS: spell, AtMS: now.UnixMilli(), Source: incident.Centre})
		i = heardBetween(i, spell, ep.Start)
	}
	if !ep.End.IsZero() {
		i = i.Mark(incident.Mark{Stage: incident.Mitigated, SpellMS: spell, AtMS: ep.End.UnixMilli(), Source: incident.Centre})
		i = b.unexpected(i, time.UnixMilli(spell), ep.End)
	}
	return i, true, nil
}

// heardBetween ends the spells before one whose episode began with the last sign given:
// the node was heard, however shortly, while nobody judged.
func heardBetween(i incident.Incident, spell int64, sign time.Time) incident.Incident {
	for _, s := range i.Spells() {
		if s.StartMS < spell && s.MitigatedMS == 0 && s.ParityMS == 0 {
			i = i.Mark(incident.Mark{Stage: incident.Mitigated, SpellMS: s.StartMS, AtMS: max(s.StartMS, sign.UnixMilli()), Source: incident.Centre})
		}
	}
	return i
}

// last is the latest darkness of a node, nil if there is none.
func (b *Book) last(ctx context.Context, s incident.Scope) (*incident.Incident, error) {
	found, err := rows(ctx, b.o.Store.Read(), `WHERE region = ? AND venue = ? AND node = ? AND cause = ? AND gathers = 0 ORDER BY failed_ms DESC LIMIT 1`,
		s.Region, s.Venue, s.Node, string(s.Cause))
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0].Incident, nil
}

// spellWithin is the spell of i that a dark episode made.
func spellWithin(i *incident.Incident, ep registry.Episode) (startMS int64, ok bool) {
	if i == nil {
		return 0, false
	}
	for _, s := range i.Spells() {
		if s.StartMS >= ep.Start.UnixMilli() && (ep.End.IsZero() || s.StartMS <= ep.End.UnixMilli()) {
			return s.StartMS, true
		}
	}
	return 0, false
}

// missed is since when a silent node is missed: since its last sign or, where it was
// not expected on then, since it is. It is not missed where the silence had not
// lasted for as long as it may by the time that the node might be off; nor for the
// time in which the centre itself heard nobody.
func (b *Book) missed(venue string, ep registry.Episode, down []registry.Episode, now time.Time) (time.Time, bool) {
	start, end := ep.Start, ep.End
	if end.IsZero() {
		end = now
	}
	for _, d := range down {
		// It had not been silent for long when the centre stopped listening.
		if !d.Start.After(start.Add(b.o.DarkAfter)) && d.End.After(start) {
			start = d.End
		}
	}
	known := start.Add(b.o.DarkAfter)
	if known.After(end) {
		return time.Time{}, false
	}
	for _, w := range b.o.Calendar.ExpectedWindows(venue, start, end.Add(time.Millisecond)) {
		if w.To.After(known) && !w.From.After(end) {
			if w.From.After(start) {
				start = w.From
			}
			return start, true
		}
	}
	return time.Time{}, false
}

// maxUnexpected bounds the stretches of one spell in which its node was not expected.
const maxUnexpected = 32

// unexpected takes the time in which the node was not expected on out of what counts.
func (b *Book) unexpected(i incident.Incident, from, to time.Time) incident.Incident {
	at, n := from, 0
	skip := func(until time.Time) {
		if until.After(at) && n < maxUnexpected {
			i = i.Plan(incident.Plan{FromMS: at.UnixMilli(), ToMS: until.UnixMilli(), Text: "not expected on"})
			n++
		}
	}
	for _, w := range b.o.Calendar.ExpectedWindows(i.Scope.Venue, from, to) {
		skip(w.From)
		if w.To.After(at) {
			at = w.To
		}
	}
	skip(to)
	return i
}
