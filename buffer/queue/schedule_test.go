package queue

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"ghostlight/buffer"
)

func TestChoose(t *testing.T) {
	fresh := func(ids ...key) (c []candidate) {
		for _, k := range ids {
			c = append(c, candidate{id: k, fresh: true})
		}
		return c
	}
	old := func(ids ...key) (c []candidate) {
		for _, k := range ids {
			c = append(c, candidate{id: k})
		}
		return c
	}
	type lanes = map[buffer.Lane][]candidate
	for _, tc := range []struct {
		name  string
		from  lanes
		max   int
		turn  int
		allow func(buffer.Lane, bool) bool
		want  []key
	}{
		{"nothing", lanes{}, 4, 0, nil, nil},
		{"none wanted", lanes{buffer.Revenue: fresh(1)}, 0, 0, nil, nil},
		{"fresh revenue, fresh health, old revenue, fresh detail, the rest", lanes{
			buffer.Revenue: append(fresh(10), old(9)...), buffer.Health: append(fresh(20), old(19)...),
			buffer.Detail: append(fresh(30), old(29)...), buffer.Logs: fresh(50),
		}, 7, 0, nil, []key{10, 20, 9, 30, 19, 29, 50}},
		{"old health before old detail before traces before logs", lanes{
			buffer.Logs: fresh(50), buffer.Traces: old(40), buffer.Detail: old(30), buffer.Health: old(20),
		}, 4, 0, nil, []key{20, 30, 40, 50}},
		{"every eighth is shared among those behind, in turn", lanes{
			buffer.Revenue: fresh(9, 8, 7, 6, 5, 4, 3, 2, 1), buffer.Detail: old(31, 30), buffer.Logs: old(51, 50),
		}, 3, 6, nil, []key{9, 31, 8}},
		{"the next share goes to the next", lanes{
			buffer.Revenue: fresh(9, 8), buffer.Detail: old(31, 30), buffer.Logs: old(51, 50),
		}, 2, 15, nil, []key{51, 9}},
		{"a share with nobody behind", lanes{buffer.Revenue: fresh(9)}, 1, 7, nil, []key{9}},
		{"classes that are not allowed wait", lanes{
			buffer.Revenue: append(fresh(10), old(9)...), buffer.Detail: append(fresh(30), old(29)...), buffer.Logs: old(50),
		}, 9, 0, func(lane buffer.Lane, fresh bool) bool {
			return lane != buffer.Logs && (lane == buffer.Revenue || fresh)
		}, []key{10, 9, 30}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			picked, turn := choose(tc.from, tc.max, tc.turn, tc.allow)
			var got []key
			for _, c := range picked {
				got = append(got, c.id)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("picked (-want +got):\n%s", d)
			}
			if turn != tc.turn+len(got) {
				t.Errorf("turn %d after %d and %d picks", turn, tc.turn, len(got))
			}
		})
	}
}

func TestKeysOrderByLaneGenerationSequence(t *testing.T) {
	last := key(-1)
	for _, lane := range buffer.Lanes() {
		lo, hi := laneBounds(lane)
		for _, gen := range []generation{1, 2, maxGeneration} {
			for _, seq := range []buffer.Seq{1, 2, maxSeq} {
				k := makeKey(lane, gen, seq)
				if k.lane() != lane || k.gen() != gen || k.seq() != seq {
					t.Errorf("key of %s %d %d is read as %s %d %d", lane, gen, seq, k.lane(), k.gen(), k.seq())
				}
				if k <= last || k < lo || k > hi {
					t.Errorf("key of %s %d %d is out of order", lane, gen, seq)
				}
				last = k
			}
		}
	}
}
