package burn

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"ghostlight/buffer"
	"ghostlight/slo"
)

// TestWatchesRestUnseen: two centres hear the same, one judges every watch at every
// step, the other those that anything happened to. Their alerts are the same to the
// second, whatever comes late and though the clock is corrected; and most do rest.
func TestWatchesRestUnseen(t *testing.T) {
	rested := 0
	for seed := range uint64(3) {
		lazy, eager := newRig(t), newRig(t)
		for _, r := range []*rig{lazy, eager} {
			rng := rand.New(rand.NewPCG(seed, 8))
			o := define(t, 0.95, false)
			nodes := []buffer.Source{bar, door, kiosk, tent}
			r.promise(o, nodes...)
			r.steps(1, nil)
			good, revision := int64(10), uint32(0)
			for range 300 {
				r.ms.Add([]int64{10_000, 10_000, 10_000, 20_000, 60_000, -15_000, 400_000}[rng.IntN(7)])
				if rng.IntN(40) == 0 {
					good = rng.Int64N(11) // an outage begins, or ends
				}
				for range max(0, rng.IntN(4)-2) {
					revision++
					age := time.Duration(rng.Int64N(3)) * time.Minute
					if rng.IntN(6) == 0 {
						age = time.Duration(rng.Int64N(400)) * time.Minute
					}
					r.sells(nodes[rng.IntN(4)], o, r.now().Add(-age), 1, revision, good, 10)
				}
				if rng.IntN(80) == 0 {
					r.restart()
				}
				r.load()
				for _, w := range r.room.promises["checkout"].watches {
					if r == eager {
						w.moved = true
					} else if w.rests(r.now()) {
						rested++
					}
				}
				if err := r.room.Step(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, r := range []*rig{lazy, eager} { // those of one step come in no order
			slices.SortFunc(r.told, func(a, b Alert) int {
				return cmp.Or(strings.Compare(a.ID, b.ID), strings.Compare(string(a.Phase), string(b.Phase)))
			})
		}
		if diff := gocmp.Diff(eager.told, lazy.told); diff != "" || len(lazy.told) == 0 {
			t.Fatalf("seed %d: %d alerts (-all judged +those that moved):\n%s", seed, len(lazy.told), diff)
		}
		if diff := gocmp.Diff(active(eager), active(lazy)); diff != "" {
			t.Fatalf("seed %d: what is active (-all judged +those that moved):\n%s", seed, diff)
		}
	}
	if rested < 50 {
		t.Errorf("a watch rested %d times", rested)
	}
}

// active are the alerts of each watch, pending ones too.
func active(r *rig) map[string][]slo.Alert {
	out := map[string][]slo.Alert{}
	for scope, w := range r.room.promises["checkout"].watches {
		out[scope] = w.alerts().Active()
	}
	return out
}

// TestRulesAreJudgedAsTheyLoad: after a restart a rule that looks an hour back pages as
// soon as that hour is loaded; one that looks further back says nothing until it knows.
func TestRulesAreJudgedAsTheyLoad(t *testing.T) {
	r := newRig(t)
	o := define(t, 0.99, false)
	r.promise(o, bar, door)
	const days = 4
	r.sells(bar, o, begin, days*24*60, 1, 10, 10)
	r.ms.Add(days * 24 * time.Hour.Milliseconds())
	r.sells(door, o, r.now().Add(-20*time.Minute), 20, 1, 0, 1000)
	r.restart()
	after := map[string]int{} // hours loaded when a rule fired
	for hours := 0; ; hours++ {
		if err := r.room.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, a := range r.told {
			if _, ok := after[a.Rule]; !ok {
				after[a.Rule] = hours
			}
		}
		if more, err := r.room.Load(t.Context()); err != nil {
			t.Fatal(err)
		} else if !more {
			break
		}
	}
	// One hour is to come and one goes on; those before hold the windows.
	want := map[string]int{"page/3600/300": 2 + 1, "page/21600/1800": 2 + 6, "ticket/86400/7200": 2 + 24, "ticket/259200/21600": 2 + 72}
	if diff := gocmp.Diff(want, after); diff != "" {
		t.Errorf("hours loaded when a rule fired (-want +got):\n%s", diff)
	}
}
