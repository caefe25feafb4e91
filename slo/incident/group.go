package incident

import (
	"cmp"
	"slices"
	"time"

	"ghostlight/slo"
)

// A Group is an incident of the centre that gathers others into one, so that one
// cause wakes people once.
type Group struct {
	Incident            // what is kept: identity, members' ids, what people wrote
	Gathered []Incident // the members, by their failure
}

// Whole is the group as one incident: its stages are those of its members, at parity
// when the last of them is. It is computed anew from what is known of them, so it
// must not be kept.
func (g Group) Whole() Incident {
	i := g.Incident
	i.Marks = only(i.Marks, func(m Mark) bool { return m.Stage == Acknowledged || m.Stage == Closed })
	for _, st := range []Stage{Failed, Detected, Mitigated, Parity} {
		if at := g.reached(st); at != 0 {
			i = i.Mark(Mark{Stage: st, SpellMS: i.StartMS, AtMS: at, Source: i.Scope.Owner()})
		}
	}
	for _, m := range g.Gathered {
		i.Severities = join(i.Severities, m.Severities)
		i.Heals = join(i.Heals, m.Heals)
		i.Links = join(i.Links, m.Links)
	}
	return i
}

// reached is when the group reached a stage, 0 if it has not: failed and detected
// with its first member, the others with its last.
func (g Group) reached(st Stage) int64 {
	var first, last int64
	for _, m := range g.Gathered {
		at, ok := m.When(st)
		if !ok && (st == Mitigated || st == Parity) {
			if at, ok = m.When(Closed); !ok {
				return 0
			}
		}
		first, last = earlier(first, at), max(last, at)
	}
	if st == Failed || st == Detected {
		return first
	}
	return last
}

// GroupVenues gathers the failing objectives and journeys of each venue that fail
// within a time of the one before. What may wait until the morning is in no group: it
// goes on for hours, and must keep nothing open that woke somebody. known are the
// groups kept so far: a group that shares a member with one of them is that one, and
// keeps its id even when a member turns up that failed earlier. The order of either
// list does not matter; the stages of a group are those of the members in list. What
// stands alone is in no group.
func GroupVenues(list, known []Incident, within time.Duration) []Group {
	type venue struct{ region, venue string }
	venues := map[venue][]Incident{}
	for _, i := range byFailure(list) {
		if s := i.Scope; s.Venue != "" && (s.Cause == Objective || s.Cause == Journey) && !i.waits() {
			v := venue{s.Region, s.Venue}
			venues[v] = append(venues[v], i)
		}
	}
	var out []Group
	for v, all := range venues {
		for _, chain := range chains(all, within) {
			scopes := map[Scope]bool{}
			for _, i := range chain {
				scopes[i.Scope] = true
			}
			if len(scopes) > 1 {
				out = append(out, adopt(Scope{Region: v.region, Venue: v.venue, Cause: Several}, chain, known))
			}
		}
	}
	return inOrder(out)
}

// waits reports whether its owner says that it may wait until the morning.
func (i Incident) waits() bool { return len(i.Severities) > 0 && i.Urgency() == slo.Ticket }

// chains cuts a list sorted by failure wherever more than a time passes.
func chains(list []Incident, within time.Duration) [][]Incident {
	var out [][]Incident
	var last int64
	for n, i := range list {
		at, _ := i.When(Failed)
		if n == 0 || at-last > within.Milliseconds() {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], i)
		last = at
	}
	return out
}

// When many nodes go dark together, it is not the nodes.
const (
	DarkShare  = 0.20        // of the carrier's or the fleet's nodes: more is one incident
	DarkWithin = time.Minute // they go dark within
	DarkLeast  = 3           // nodes: of two, one is half
)

// A Population is the nodes that could go dark, so that a share means something.
type Population struct {
	Nodes    int            // of the whole fleet that are expected to be heard
	Carriers map[string]int // of them, by carrier
	// Carrier is the carrier of a node; "" when it is not known.
	Carrier func(Scope) string
}

// GroupDarkness gathers the darkness of nodes where more than [DarkShare] of the
// fleet, or of a carrier, goes dark within [DarkWithin]. Where all the nodes are of
// one carrier and the fleet has others, it is that carrier's, however many they are.
// For known see [GroupVenues].
func GroupDarkness(list, known []Incident, p Population) []Group {
	var dark []Incident
	for _, i := range byFailure(list) {
		if i.Scope.Cause == Darkness && i.Scope.Node != "" {
			dark = append(dark, i)
		}
	}
	var out []Group
	rest, groups := crowds(dark, p.Nodes)
	for _, g := range groups {
		s := Scope{Cause: Darkness}
		if c := p.common(g); c != "" && p.Carriers[c] < p.Nodes {
			s.Carrier = c
		}
		out = append(out, adopt(s, g, known))
	}
	carriers := map[string][]Incident{}
	for _, i := range rest {
		if c := p.Carrier(i.Scope); c != "" {
			carriers[c] = append(carriers[c], i)
		}
	}
	for c, list := range carriers {
		_, groups := crowds(list, p.Carriers[c])
		for _, g := range groups {
			out = append(out, adopt(Scope{Cause: Darkness, Carrier: c}, g, known))
		}
	}
	return inOrder(out)
}

// common is the carrier of all of list, "" if they have several or none.
func (p Population) common(list []Incident) string {
	c := p.Carrier(list[0].Scope)
	for _, i := range list {
		if p.Carrier(i.Scope) != c {
			return ""
		}
	}
	return c
}

// Suspects lists what may be the cause of a darkness of many nodes, the most suspect
// first: a centre that hears nobody should look at itself before it rings anyone.
func (s Scope) Suspects() []string {
	if s.Cause != Darkness || s.Venue != "" || s.Node != "" {
		return nil
	}
	if s.Carrier == "" {
		return []string{"the centre itself", "the network before it"}
	}
	return []string{"the centre itself", "carrier " + s.Carrier}
}

// crowds finds, in a list sorted by failure, the stretches in which more than the
// share of size nodes go dark within the time; rest is what is in none.
func crowds(list []Incident, size int) (rest []Incident, groups [][]Incident) {
	type node struct{ region, venue, node string }
	seen := map[node]int{}
	of := func(i Incident) node { return node{i.Scope.Region, i.Scope.Venue, i.Scope.Node} }
	to, taken := 0, 0 // list[:taken] is in rest or in a group
	for from, i := range list {
		start, _ := i.When(Failed)
		for ; to < len(list); to++ {
			if at, _ := list[to].When(Failed); at-start > DarkWithin.Milliseconds() {
				break
			}
			seen[of(list[to])]++
		}
		if n := len(seen); n >= DarkLeast && float64(n) > DarkShare*float64(size) {
			if from >= taken || len(groups) == 0 {
				rest = append(rest, list[taken:from]...)
				groups = append(groups, nil)
				taken = from
			}
			last := len(groups) - 1
			groups[last] = append(groups[last], list[taken:to]...)
			taken = to
		}
		if n := of(i); seen[n] == 1 {
			delete(seen, n)
		} else {
			seen[n]--
		}
	}
	return append(rest, list[taken:]...), groups
}

// adopt makes the group of some members, or the known one that shares a member with
// them. Several known ones turn out to be one: the earliest, under its ids and theirs.
func adopt(s Scope, members, known []Incident) Group {
	mine := map[string]bool{}
	for _, m := range members {
		mine[m.ID()] = true
		for _, id := range m.AlsoIDs() {
			mine[id] = true
		}
	}
	var g *Incident
	for _, k := range slices.SortedFunc(slices.Values(known), byStart) {
		if k.Scope != s || !slices.ContainsFunc(k.MemberIDs(), func(id string) bool { return mine[id] }) {
			continue
		}
		if g == nil {
			g = &k
			continue
		}
		both := union(*g, k)
		if id := k.ID(); id != both.ID() {
			both.Also = add(both.Also, Membership{id})
		}
		g = &both
	}
	if g == nil {
		first, _ := members[0].When(Failed)
		i := New(s, time.UnixMilli(first))
		g = &i
	}
	out := Group{Incident: *g, Gathered: members}
	var ids []Known[Membership]
	for _, m := range members {
		ids = append(ids, Known[Membership]{Fact: Membership{m.ID()}})
	}
	out.Members = join(out.Members, ids)
	return out
}

func byStart(a, b Incident) int {
	return cmp.Or(cmp.Compare(a.StartMS, b.StartMS), cmp.Compare(a.ID(), b.ID()))
}

func byFailure(list []Incident) []Incident {
	return slices.SortedFunc(slices.Values(list), func(a, b Incident) int {
		x, _ := a.When(Failed)
		y, _ := b.When(Failed)
		return cmp.Or(cmp.Compare(x, y), byStart(a, b))
	})
}

// inOrder sorts groups by their start. Two that turned out to be one known group are
// one.
func inOrder(groups []Group) []Group {
	slices.SortFunc(groups, func(a, b Group) int {
		return cmp.Or(byStart(a.Incident, b.Incident), byStart(a.Gathered[0], b.Gathered[0]))
	})
	var out []Group
	for _, g := range groups {
		if last := len(out) - 1; last >= 0 && out[last].ID() == g.ID() {
			out[last] = Group{union(out[last].Incident, g.Incident), byFailure(slices.Concat(out[last].Gathered, g.Gathered))}
			continue
		}
		out = append(out, g)
	}
	return out
}
