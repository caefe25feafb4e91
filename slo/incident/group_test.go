package incident

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ghostlight/slo"
)

func TestFail(t *testing.T) {
	const h = 5 * time.Minute
	other := checkout
	other.Name = "token-validation"
	done, open := lasting(checkout, 0, 10), lasting(checkout, 0, 0)
	for _, tt := range []struct {
		name  string
		last  *Incident
		scope Scope
		at    int
		again bool
	}{
		{"the first", nil, checkout, 0, false},
		{"soon after parity", &done, checkout, 14, true},
		{"later", &done, checkout, 15, false},
		{"while it goes on", &open, checkout, 600, true},
		{"of another objective", &done, other, 12, false},
	} {
		got := Fail(tt.last, tt.scope, t0.Add(time.Duration(tt.at)*time.Minute), h)
		if again := tt.last != nil && got.ID() == tt.last.ID(); again != tt.again {
			t.Errorf("%s: a further spell is %v, want %v", tt.name, again, tt.again)
		}
		if !got.Open() {
			t.Errorf("%s: it is not open", tt.name)
		}
	}
	full := New(checkout, t0)
	for n := range MaxSpells {
		full = full.Mark(mark(Failed, n, n))
	}
	if got := Fail(&full, checkout, t0.Add(time.Hour*2), h); got.ID() == full.ID() {
		t.Error("an incident took more spells than it may")
	}
	if got := Fail(&full, checkout, t0.Add(time.Minute), h); got.ID() != full.ID() {
		t.Error("a failure told twice became another incident")
	}
}

func TestFold(t *testing.T) {
	const h = 5 * time.Minute
	other := checkout
	other.Name = "token-validation"
	list := []Incident{
		lasting(checkout, 0, 10), lasting(checkout, 14, 20), lasting(checkout, 24, 30), // flaps, one after the other
		lasting(checkout, 36, 40), // not
		lasting(other, 12, 13),    // another objective
	}
	var got []string
	for _, i := range Fold(list, h) {
		counted, _ := i.Lasted(t0)
		got = append(got, fmt.Sprintf("%s %v %d spells, also %d", i.Scope.Name, counted, len(i.Spells()), len(i.AlsoIDs())))
	}
	want := []string{"checkout-success 30m0s 3 spells, also 2", "token-validation 1m0s 1 spells, also 0", "checkout-success 4m0s 1 spells, also 0"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("folded (-want +got):\n%s", diff)
	}
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(rt, "n")
		s := rapid.SampledFrom([]Scope{checkout, {Region: "north", Venue: "soho", Node: "edge-1", Cause: Darkness}}).Draw(rt, "scope")
		var list []Incident
		for _, from := range rapid.SliceOfNDistinct(rapid.IntRange(0, 40), n, n, rapid.ID[int]).Draw(rt, "from") {
			to := from + rapid.IntRange(1, 8).Draw(rt, "length")
			if rapid.IntRange(0, 9).Draw(rt, "open") == 0 {
				to = 0
			}
			list = append(list, lasting(s, from, to))
		}
		one := Fold(list, h)
		if diff := cmp.Diff(one, Fold(rapid.Permutation(list).Draw(rt, "order"), h)); diff != "" {
			rt.Fatalf("the order matters:\n%s", diff)
		}
		if diff := cmp.Diff(one, Fold(one, h)); diff != "" {
			rt.Fatalf("folded twice:\n%s", diff)
		}
		for n := 1; n < len(one); n++ {
			end, ok := one[n-1].When(Parity)
			next, _ := one[n].When(Failed)
			// A node mints no other while one goes on: its end is still to arrive.
			if apart := !ok && s.Owner() == Node; !apart && (!ok || next-end < h.Milliseconds()) {
				rt.Fatalf("left apart: parity at %d (%v), failed at %d", end, ok, next)
			}
		}
	})
}

func objective(venue, name string, from, to int) Incident {
	return lasting(Scope{Region: "north", Venue: venue, Node: "edge-1", Cause: Objective, Name: name}, from, to)
}

func TestGroupVenues(t *testing.T) {
	a := objective("soho", "checkout-success", 2, 20).Rate(Severity{Urgency: slo.Page, AtMS: at(2), Source: Node})
	b := objective("soho", "token-validation", 5, 0)
	c := objective("soho", "cache-hits", 40, 0)   // long after
	d := objective("camden", "cache-hits", 3, 0)  // alone in its venue
	e := objective("soho", "tail-latency", 0, 12) // turns up late
	waits := objective("soho", "conversion", 4, 0).Rate(Severity{Urgency: slo.Ticket, AtMS: at(4), Source: Node})
	again := objective("soho", "checkout-success", 3, 0) // one objective twice is no group with itself
	groups := GroupVenues([]Incident{d, c, b, a, waits}, nil, 4*time.Minute)
	if len(groups) != 1 {
		t.Fatalf("%d groups, want 1", len(groups))
	}
	g := groups[0]
	if g.Scope != (Scope{Region: "north", Venue: "soho", Cause: Several}) {
		t.Errorf("scope %+v", g.Scope)
	}
	want := []string{a.ID(), b.ID()}
	slices.Sort(want)
	if diff := cmp.Diff(want, g.MemberIDs()); diff != "" {
		t.Errorf("members (-want +got):\n%s", diff)
	}
	if whole := g.Whole(); !whole.Open() || whole.Urgency() != slo.Page {
		t.Errorf("stage %s, urgency %s", whole.Stage(), whole.Urgency())
	}

	// Somebody takes it on; a member that failed earlier turns up; the others recover.
	kept := g.Incident.Note(Note{By: "kim", Acknowledges: true, AtMS: at(6), Source: Centre})
	b = b.Mark(mark(Parity, 5, 31))
	groups = GroupVenues([]Incident{a, b, e}, []Incident{kept}, 4*time.Minute)
	if len(groups) != 1 || groups[0].ID() != g.ID() {
		t.Fatalf("the group is another one: %+v", groups)
	}
	whole := groups[0].Whole()
	var got []int64
	for _, st := range []Stage{Failed, Acknowledged, Parity} {
		ms, _ := whole.When(st)
		got = append(got, ms)
	}
	if diff := cmp.Diff([]int64{at(0), at(6), at(31)}, got); diff != "" {
		t.Errorf("failed, acknowledged, parity (-want +got):\n%s", diff)
	}
	// A member that somebody closed as a false alarm holds up nobody.
	b = objective("soho", "token-validation", 5, 0).Mark(mark(Closed, 5, 25))
	whole = GroupVenues([]Incident{a, b}, nil, 4*time.Minute)[0].Whole()
	if ms, ok := whole.When(Parity); !ok || ms != at(25) {
		t.Errorf("parity at %d %v, want when the last was closed", ms, ok)
	}
	if groups := GroupVenues([]Incident{a, again}, nil, 4*time.Minute); len(groups) != 0 {
		t.Errorf("one objective made a group: %+v", groups)
	}
}

func TestKnownGroupsThatAreOneBecomeOne(t *testing.T) {
	a, b := objective("soho", "checkout-success", 0, 0), objective("soho", "token-validation", 1, 0)
	c, d := objective("soho", "cache-hits", 6, 0), objective("soho", "tail-latency", 7, 0)
	known := []Incident{GroupVenues([]Incident{c, d}, nil, 2*time.Minute)[0].Incident, GroupVenues([]Incident{a, b}, nil, 2*time.Minute)[0].Incident}
	between := objective("soho", "relay", 4, 0)
	groups := GroupVenues([]Incident{a, b, c, d, between}, known, 3*time.Minute)
	if len(groups) != 1 || groups[0].ID() != known[1].ID() || len(groups[0].MemberIDs()) != 5 {
		t.Fatalf("groups %+v", groups)
	}
	if diff := cmp.Diff([]string{known[0].ID()}, groups[0].AlsoIDs()); diff != "" {
		t.Errorf("also (-want +got):\n%s", diff)
	}
	// And where the one between is not known, what was one stays one.
	groups = GroupVenues([]Incident{a, b, c, d}, []Incident{groups[0].Incident}, 3*time.Minute)
	if len(groups) != 1 || len(groups[0].Gathered) != 4 {
		t.Errorf("the group fell apart: %+v", groups)
	}
}

func TestGroupDarkness(t *testing.T) {
	// 44 nodes, 10 of them of carrier a, 30 of b, 4 of c; names tell the carrier.
	node := func(carrier string, n, second int) Incident {
		return New(Scope{Region: "north", Venue: fmt.Sprint("v", n), Node: fmt.Sprintf("%s-%d", carrier, n), Cause: Darkness}, t0.Add(time.Duration(second)*time.Second))
	}
	several := func(carrier string, first, count, second, every int) []Incident {
		var out []Incident
		for n := range count {
			out = append(out, node(carrier, first+n, second+n*every))
		}
		return out
	}
	p := Population{Nodes: 44, Carriers: map[string]int{"a": 10, "b": 30, "c": 4}, Carrier: func(s Scope) string {
		c, _, _ := strings.Cut(s.Node, "-")
		return c
	}}
	for _, tt := range []struct {
		name string
		dark []Incident
		want []string
	}{
		{"one after the other", several("b", 0, 20, 0, 61), nil},
		{"one fifth of a carrier is not more", several("a", 0, 2, 0, 1), nil},
		{"two are no crowd", several("c", 0, 2, 0, 1), nil},
		{"a carrier", several("a", 0, 3, 0, 20), []string{"a: 3"}},
		{"most of a carrier, the fleet's fifth", several("b", 0, 9, 0, 5), []string{"b: 9"}},
		{"the fleet", slices.Concat(several("b", 0, 7, 0, 5), several("a", 0, 2, 3, 5)), []string{": 9"}},
		{"the fleet, and a carrier an hour later", slices.Concat(several("b", 0, 7, 0, 5), several("a", 0, 2, 3, 5), several("a", 5, 3, 3600, 5)), []string{": 9", "a: 3"}},
		{"in a long wave", several("b", 0, 18, 0, 6), []string{"b: 18"}},
		{"one node again and again", []Incident{node("a", 1, 0), node("a", 1, 10), node("a", 1, 20), node("a", 1, 30)}, nil},
		{"one node twice, and two more", []Incident{node("a", 1, 0), node("a", 1, 30), node("a", 2, 50), node("a", 3, 80)}, []string{"a: 3"}},
	} {
		dark := slices.Clone(tt.dark)
		rand.New(rand.NewPCG(1, 2)).Shuffle(len(dark), func(i, j int) { dark[i], dark[j] = dark[j], dark[i] })
		var got []string
		for _, g := range GroupDarkness(dark, nil, p) {
			got = append(got, fmt.Sprintf("%s: %d", g.Scope.Carrier, len(g.Gathered)))
			if s := g.Scope.Suspects(); len(s) != 2 || s[0] != "the centre itself" {
				t.Errorf("%s: suspects %v", tt.name, s)
			}
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
	// A carrier that all have is no cause of its own.
	p.Nodes, p.Carriers = 10, map[string]int{"a": 10}
	if g := GroupDarkness(several("a", 0, 5, 0, 1), nil, p); len(g) != 1 || g[0].Scope != (Scope{Cause: Darkness}) {
		t.Errorf("groups of a fleet with one carrier: %+v", g)
	}
	if s := checkout.Suspects(); s != nil {
		t.Errorf("one node's incident suspects %v", s)
	}
}
