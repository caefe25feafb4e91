package incidents

import (
	"bytes"
	"time"

	"ghostlight/slo"
	"ghostlight/slo/incident"
)

// An entry is one incident of this node and where its last spell stands.
type entry struct {
	incident incident.Incident
	body     []byte // its encoding
	goes     bool   // it goes on
	ended    int64  // when it was at parity, 0 while it is not
	place
}

// place is where the last spell of an incident stands. Times are Unix milliseconds.
type place struct {
	Spell int64    `json:"spell"`
	By    *trigger `json:"by,omitempty"` // the quickest of its alerts to see an end; nil: a journey
	// SellMS is since when sales are possible again, ClearMS since when nothing is
	// left behind either, as was last seen; 0 while they are not.
	SellMS    int64 `json:"sell_ms,omitempty"`
	ClearMS   int64 `json:"clear_ms,omitempty"`
	Mitigated bool  `json:"mitigated,omitempty"`
}

// newEntry is the entry of an incident that can be told.
func newEntry(i incident.Incident, p place) (*entry, error) {
	body, err := i.Encode()
	if err != nil {
		return nil, err
	}
	e := &entry{body: body, place: p}
	e.hold(i)
	return e, nil
}

// hold keeps the incident, and of what follows from its facts what is asked for all
// the time.
func (e *entry) hold(i incident.Incident) {
	e.incident, e.goes = i, i.Open()
	e.ended, _ = i.When(incident.Parity)
}

// set takes what has become of the incident and reports whether that is news. What
// could not be told is left out: an incident of too many facts keeps those it has.
func (e *entry) set(i incident.Incident) bool {
	body, err := i.Encode()
	if err != nil || bytes.Equal(body, e.body) {
		return false
	}
	e.body = body
	e.hold(i)
	return true
}

func (e *entry) open() bool { return e.goes }

// endedMS is when the incident was at parity, 0 while it is not.
func (e *entry) endedMS() int64 { return e.ended }

// page reports whether the incident wakes somebody.
func (e *entry) page() bool { return e.incident.Urgency() == slo.Page }

// rate says whom the last spell wakes, and by which alert, unless that is said.
func (e *entry) rate(u slo.Urgency, at time.Time, by *trigger) incident.Incident {
	for _, k := range e.incident.Severities {
		if k.Fact.Urgency == u && k.Fact.AtMS >= e.Spell {
			return e.incident
		}
	}
	return e.incident.Rate(severity(u, max(e.Spell, at.UnixMilli()), by))
}

// severity says whom an alert wakes; without one it is a journey.
func severity(u slo.Urgency, ms int64, by *trigger) incident.Severity {
	s := incident.Severity{Urgency: u, AtMS: ms, Source: incident.Node}
	if by != nil {
		s.Rule, s.Event = by.Rule, by.Event
	}
	return s
}

// mitigate marks that sales are possible again. A spell that relapsed before it was
// over is mitigated anew.
func (e *entry) mitigate(ms int64) incident.Incident {
	var again uint32
	for _, k := range e.incident.Marks {
		if k.Fact.Stage == incident.Mitigated && k.Fact.SpellMS == e.Spell {
			again++
		}
	}
	if again >= mostRelapses {
		return e.incident
	}
	return e.mark(incident.Mitigated, ms, again)
}

// mostRelapses bounds the marks of one spell: the last is then as good as the next.
const mostRelapses = 32

// mark marks a stage of the last spell, not before the spell.
func (e *entry) mark(st incident.Stage, ms int64, revision uint32) incident.Incident {
	return e.incident.Mark(incident.Mark{Stage: st, SpellMS: e.Spell, AtMS: max(ms, e.Spell), Source: incident.Node, Revision: revision})
}

// rewind takes the entry along with a clock that was set back.
func (e *entry) rewind(now time.Time) {
	e.SellMS, e.ClearMS = min(e.SellMS, now.UnixMilli()), min(e.ClearMS, now.UnixMilli())
}

// latestMS is the time of the incident's latest fact.
func (e *entry) latestMS() int64 {
	last := e.incident.StartMS
	for _, k := range e.incident.Marks {
		last = max(last, k.Fact.AtMS)
	}
	for _, k := range e.incident.Severities {
		last = max(last, k.Fact.AtMS)
	}
	for _, k := range e.incident.Heals {
		last = max(last, k.Fact.AtMS)
	}
	for _, k := range e.incident.Links {
		last = max(last, k.Fact.AtMS)
	}
	return last
}

// scope is that of incidents of this node.
func (r *Room) scope(cause incident.Cause, name string) incident.Scope {
	s := r.o.Source
	return incident.Scope{Region: s.Region, Venue: s.Venue, Node: s.Node, Cause: cause, Name: name}
}

// last is the latest incident of a scope, nil without any. The caller holds mu.
func (r *Room) last(s incident.Scope) *entry {
	for i := len(r.entries) - 1; i >= 0; i-- {
		if r.entries[i].incident.Scope == s {
			return r.entries[i]
		}
	}
	return nil
}

// fail opens an incident of a failure that began at start, or takes up the last one
// of its scope again. The caller holds mu.
func (r *Room) fail(s incident.Scope, last *entry, start, detected time.Time, u slo.Urgency, by *trigger) *entry {
	var before *incident.Incident
	if last != nil {
		before = &last.incident
		if ended := last.endedMS(); start.UnixMilli() <= ended {
			start = time.UnixMilli(ended + 1)
		}
	}
	is := incident.Fail(before, s, start, r.o.Flap)
	spell := start.UnixMilli()
	is = is.Mark(incident.Mark{Stage: incident.Detected, SpellMS: spell, AtMS: max(spell, detected.UnixMilli()), Source: incident.Node})
	is = is.Rate(severity(u, max(spell, detected.UnixMilli()), by))
	e, err := newEntry(is, place{Spell: spell, By: by})
	if err != nil {
		r.log.Error("an incident cannot be told", "scope", s.Name, "err", err)
		return nil
	}
	r.touch(e, true)
	r.log.Warn("incident", "id", is.ID(), "cause", string(s.Cause), "name", s.Name, "failed", start.UTC().Format(time.RFC3339))
	if last != nil && is.ID() == last.incident.ID() {
		*last = *e
		return last
	}
	r.entries = append(r.entries, e)
	return e
}

// forget keeps of the incidents that have ended the latest few. The caller holds mu.
func (r *Room) forget() {
	ended := 0
	for i := len(r.entries) - 1; i >= 0; i-- {
		e := r.entries[i]
		if e.open() {
			continue
		}
		if ended++; ended > keepEnded {
			r.dirty.drop(e)
			r.entries = append(r.entries[:i], r.entries[i+1:]...)
		}
	}
}
