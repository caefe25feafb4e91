package incident

import (
	"cmp"
	"slices"
	"time"

	"ghostlight/slo"
)

// A Spell is one stretch of failing, as believed now. Times are Unix milliseconds,
// 0 where the stage is not reached.
type Spell struct {
	StartMS     int64 `json:"start_ms"` // names the spell
	FailedMS    int64 `json:"failed_ms"`
	DetectedMS  int64 `json:"detected_ms,omitempty"`
	MitigatedMS int64 `json:"mitigated_ms,omitempty"`
	ParityMS    int64 `json:"parity_ms,omitempty"`
}

// Spells lists the spells of the incident by their start. A spell of which only
// later stages are known yet has its start for its failure.
func (i Incident) Spells() []Spell {
	told := i.told()
	var out []Spell
	for _, start := range i.spellStarts() {
		s := Spell{
			StartMS: start, FailedMS: told[point{start, Failed}], DetectedMS: told[point{start, Detected}],
			MitigatedMS: told[point{start, Mitigated}], ParityMS: told[point{start, Parity}],
		}
		if s.FailedMS == 0 {
			s.FailedMS = start
		}
		out = append(out, s)
	}
	return out
}

// point is a stage of a spell.
type point struct {
	spell int64
	stage Stage
}

// told is when each stage was reached by the word of the scope's owner, or else of
// whoever has told.
func (i Incident) told() map[point]int64 {
	best := map[point]Mark{}
	owner := i.Scope.Owner()
	for _, k := range i.Marks {
		m, p := k.Fact, point{k.Fact.SpellMS, k.Fact.Stage}
		old, ok := best[p]
		switch {
		case !ok, m.Source == owner && old.Source != owner:
			best[p] = m
		case m.Source != owner && old.Source == owner:
		case m.Revision > old.Revision: // of equal ones the earliest: marks are sorted
			best[p] = m
		}
	}
	out := make(map[point]int64, len(best))
	for p, m := range best {
		out[p] = m.AtMS
	}
	return out
}

// spellStarts lists what spells there are; without a mark there is the one that the
// incident was minted with. Acknowledging or closing begins no spell.
func (i Incident) spellStarts() []int64 {
	var starts []int64
	for _, k := range i.Marks {
		if k.Fact.Stage != Acknowledged && k.Fact.Stage != Closed {
			starts = append(starts, k.Fact.SpellMS)
		}
	}
	if len(starts) == 0 {
		return []int64{i.StartMS}
	}
	slices.Sort(starts)
	return slices.Compact(starts)
}

func (i Incident) lastSpell() int64 {
	starts := i.spellStarts()
	return starts[len(starts)-1]
}

// When tells when the incident as a whole reached a stage. It failed with its first
// spell; it is mitigated or at parity once every spell is, since the last; it was
// detected and acknowledged with the first mark of either source. It is closed by a
// mark for its last spell: one that fails again is open again.
func (i Incident) When(st Stage) (ms int64, ok bool) {
	spells := i.Spells()
	switch st {
	case Failed:
		return slices.MinFunc(spells, func(a, b Spell) int { return cmp.Compare(a.FailedMS, b.FailedMS) }).FailedMS, true
	case Mitigated:
		// What is at parity sells: the stage between may never have been told.
		return latest(spells, func(s Spell) int64 { return earlier(s.MitigatedMS, s.ParityMS) })
	case Parity:
		return latest(spells, func(s Spell) int64 { return s.ParityMS })
	}
	last := i.lastSpell()
	for _, k := range i.Marks {
		if k.Fact.Stage == st && (st != Closed || k.Fact.SpellMS == last) {
			ms = earlier(ms, k.Fact.AtMS)
		}
	}
	return ms, ms != 0
}

// latest is the latest of a time of all spells, if all have it.
func latest(spells []Spell, of func(Spell) int64) (int64, bool) {
	var last int64
	for _, s := range spells {
		at := of(s)
		if at == 0 {
			return 0, false
		}
		last = max(last, at)
	}
	return last, true
}

// Open reports whether the incident goes on: neither at parity nor closed.
func (i Incident) Open() bool {
	_, parity := i.When(Parity)
	_, closed := i.When(Closed)
	return !parity && !closed
}

// Stage is the furthest stage that holds now.
func (i Incident) Stage() Stage {
	furthest := Failed
	for _, st := range Stages() {
		if _, ok := i.When(st); ok {
			furthest = st
		}
	}
	return furthest
}

// Urgency is the most urgent that the incident was ever rated; a ticket before it
// was rated at all.
func (i Incident) Urgency() slo.Urgency {
	for _, k := range i.Severities {
		if k.Fact.Urgency == slo.Page {
			return slo.Page
		}
	}
	return slo.Ticket
}

// A Waking is one time that the incident woke somebody: the first page of a spell.
type Waking struct {
	Severity
	SpellMS int64 // which spell
	OverMS  int64 // when the spell was at parity or closed, not before the page; 0: it goes on
}

// Wakings lists when the scope's owner said that the incident wakes somebody, at most
// once for each spell, the first first. What fails again wakes again.
func (i Incident) Wakings() []Waking {
	spells := i.Spells()
	closed, _ := i.When(Closed)
	var out []Waking
	for _, k := range i.Severities { // sorted by time
		if k.Fact.Urgency != slo.Page || k.Fact.Source != i.Scope.Owner() {
			continue
		}
		n := 0
		for n+1 < len(spells) && spells[n+1].StartMS <= k.Fact.AtMS {
			n++
		}
		s := spells[n]
		if slices.ContainsFunc(out, func(w Waking) bool { return w.SpellMS == s.StartMS }) {
			continue
		}
		over := s.ParityMS
		if over == 0 && n == len(spells)-1 {
			over = closed
		}
		if over != 0 {
			over = max(over, k.Fact.AtMS)
		}
		out = append(out, Waking{k.Fact, s.StartMS, over})
	}
	return out
}

// Tried lists what is believed of each heal, in the order they were tried.
func (i Incident) Tried() []Heal {
	best := map[string]Heal{}
	for _, k := range i.Heals {
		h := k.Fact
		old, ok := best[h.ID]
		if !ok || h.Revision > old.Revision || (h.Revision == old.Revision && compare(h, old) > 0) {
			best[h.ID] = h
		}
	}
	out := make([]Heal, 0, len(best))
	for _, h := range best {
		out = append(out, h)
	}
	slices.SortFunc(out, compare[Heal])
	return out
}

// Finding is what the venue's sales turned out to be; ok is false while nobody knows.
func (i Incident) Finding() (f Finding, ok bool) {
	for _, k := range i.Findings {
		if !ok || k.Fact.Revision > f.Revision || (k.Fact.Revision == f.Revision && compare(k.Fact, f) > 0) {
			f, ok = k.Fact, true
		}
	}
	return f, ok
}

// MemberIDs lists the incidents that this one gathers, sorted.
func (i Incident) MemberIDs() []string { return ids(i.Members) }

// AlsoIDs lists further ids under which this incident is known, sorted.
func (i Incident) AlsoIDs() []string { return ids(i.Also) }

func ids(set []Known[Membership]) []string {
	out := make([]string, len(set))
	for n, k := range set {
		out[n] = k.Fact.ID
	}
	slices.Sort(out)
	return out
}

// Lasted is how long the incident has lasted at now, and how much of this falls into
// planned windows and so does not count. It ends at parity, or where it was closed
// without.
func (i Incident) Lasted(now time.Time) (counted, planned time.Duration) {
	from, _ := i.When(Failed)
	to := now.UnixMilli()
	if at, ok := i.When(Parity); ok {
		to = at
	} else if at, ok := i.When(Closed); ok {
		to = at
	}
	if to <= from {
		return 0, 0
	}
	planned = time.Duration(i.plannedWithin(from, to)) * time.Millisecond
	return time.Duration(to-from)*time.Millisecond - planned, planned
}

// plannedWithin sums the planned milliseconds of [from, to), each once.
func (i Incident) plannedWithin(from, to int64) int64 {
	var sum int64
	for _, k := range i.Plans { // sorted by their start
		a, b := max(k.Fact.FromMS, from), min(k.Fact.ToMS, to)
		if b > a {
			sum += b - a
			from = b
		}
	}
	return sum
}
