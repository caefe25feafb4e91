package delta

import (
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// everything is compared.
var everything = cmp.Exporter(func(reflect.Type) bool { return true })

// drawTracks draws series of which some are like the one before, and some are like
// nothing that coding could have made.
func drawTracks(t *rapid.T) []track {
	list := make([]track, rapid.IntRange(0, 20).Draw(t, "series"))
	prob := rapid.Map(rapid.Uint32(), func(v uint32) prob { return prob(v) })
	for i := range list {
		list[i] = newTrack()
		switch rapid.IntRange(0, 2).Draw(t, "sort") {
		case 0:
			continue
		case 1:
			if i > 0 {
				list[i] = list[i-1]
			}
		}
		k := &list[i]
		k.bits, k.last = rapid.Uint64().Draw(t, "bits"), rapid.Int64().Draw(t, "last")
		k.step, k.rate, k.mean = rapid.Int64().Draw(t, "step"), rapid.Int64().Draw(t, "rate"), rapid.Int64().Draw(t, "mean")
		k.unit = unit{
			kind: rapid.Uint8Range(0, unitBits).Draw(t, "kind"), scale: rapid.Uint8Range(0, maxScale).Draw(t, "scale"),
			shift: rapid.Uint8Range(0, 63).Draw(t, "shift"), exact: rapid.Bool().Draw(t, "exact"),
		}
		for g := range k.cost {
			k.cost[g] = rapid.Uint16().Draw(t, "cost")
		}
		for j := range k.flag {
			k.flag[j], k.whole[j] = prob.Draw(t, "flag"), prob.Draw(t, "whole")
		}
		k.hist, k.zeros, k.count = rapid.Byte().Draw(t, "hist"), rapid.Byte().Draw(t, "zeros"), rapid.Byte().Draw(t, "count")
		k.link = rapid.Int32Range(-1, int32(i)-1).Draw(t, "link")
	}
	return list
}

// drawModel changes a model here and there.
func drawModel(t *rapid.T, m *model) {
	change := func(ps []prob) {
		if rapid.IntRange(0, 3).Draw(t, "seen") == 0 {
			ps[rapid.IntRange(0, len(ps)-1).Draw(t, "at")] = prob(rapid.Uint32().Draw(t, "probability"))
		}
	}
	m.tables(change)
	for _, h := range []*habit{&m.sample, &m.frame} {
		h.mix[rapid.IntRange(0, 2).Draw(t, "link")][rapid.IntRange(0, 3).Draw(t, "age")][rapid.IntRange(0, 2).Draw(t, "weight")] = rapid.Int32().Draw(t, "weight")
	}
}

// A state comes back to the bit, whatever it holds.
func TestPackedStateComesBack(t *testing.T) {
	lim := DefaultLimits()
	rapid.Check(t, func(t *rapid.T) {
		var s state
		s.reset(lim)
		s.tracks = drawTracks(t)
		drawModel(t, &s.fresh)
		s.lay.known = prob(rapid.Uint32().Draw(t, "known"))
		s.lay.slot[1][2], s.lay.numbers[4][127], s.lay.lists[1] = prob(rapid.Uint32().Draw(t, "slot")), 1, 2
		s.nextSlot, s.lastSlot = rapid.IntRange(0, layoutSlots-1).Draw(t, "next"), rapid.IntRange(0, layoutSlots-1).Draw(t, "last")
		s.layouts[s.lastSlot] = layout{runs: []strip{{1, 2, 0}}, series: 2, clocks: drawTracks(t), past: drawTracks(t), names: 7, named: true}
		if rapid.Bool().Draw(t, "backlog") {
			s.back = &backlog{tracks: drawTracks(t), model: unlearned, idle: rapid.IntRange(0, backlogIdle).Draw(t, "idle")}
			drawModel(t, &s.back.model)
		}
		want := s
		want.tracks = slices.Clone(s.tracks)
		k := s.pack()
		got := k.unpack(lim)
		if got.m != &got.fresh || got.backward {
			t.Fatal("the state is turned to the backlog")
		}
		want.m, got.m = nil, nil
		if d := cmp.Diff(&want, got, everything); d != "" {
			t.Fatalf("state (-want +got):\n%s", d)
		}
	})
}
