package slo_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"ghostlight/slo"
)

// outcome is one row of a ledger, read in order by a durable cursor.
type outcome struct {
	at   time.Time
	good bool
}

// Whatever happens to the agent, once everything was read and told the centre
// holds exactly the ledger's counts, and no revision was ever used for two
// different buckets.
func TestTallyAgainstTheLedger(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		lag := rapid.SampledFrom([]time.Duration{0, 90 * time.Second, 20 * time.Minute}).Draw(rt, "lag")
		n := newNode(rt, checkout(0), slo.TallyOptions{
			Horizon: time.Hour, Batch: rapid.IntRange(1, 30).Draw(rt, "batch"), Lag: lag,
		})
		var ledger []outcome
		cursor, read := 0, 0 // durable, and read but not yet committed
		readOn := func(most int) {
			for ; read < len(ledger) && most > 0; most-- {
				n.observe(ledger[read].at, ledger[read].good)
				read++
			}
		}
		commit := func(e slo.Emission) {
			n.store(e)
			cursor = read
		}
		rt.Repeat(map[string]func(*rapid.T){
			"sell": func(rt *rapid.T) {
				late := time.Duration(rapid.IntRange(0, 4*3600).Draw(rt, "late")) * time.Second
				if rapid.Bool().Draw(rt, "now") {
					late = 0
				}
				ledger = append(ledger, outcome{n.now.Add(-late), rapid.Bool().Draw(rt, "good")})
			},
			"time": func(rt *rapid.T) { n.pass(time.Duration(rapid.IntRange(1, 400).Draw(rt, "s")) * time.Second) },
			"clock": func(rt *rapid.T) {
				n.now = n.now.Add(time.Duration(rapid.IntRange(-600, 600).Draw(rt, "s")) * time.Second)
			},
			"read": func(rt *rapid.T) {
				readOn(rapid.IntRange(0, 5).Draw(rt, "rows"))
				n.unseen = read < len(ledger)
				if e := n.look(); !e.Empty() {
					commit(e)
				}
			},
			"hang": func(*rapid.T) {
				n.unseen = true
				if e := n.look(); !e.Empty() {
					commit(e)
				}
			},
			"full": func(*rapid.T) { // the queue refuses: the cursor does not move
				readOn(3)
				n.unseen = read < len(ledger)
				n.look()
				n.tally.Rollback()
				read = cursor
			},
			"forgetful": func(*rapid.T) { // neither commit nor rollback: tick again
				readOn(2)
				n.unseen = read < len(ledger)
				n.look()
			},
			"crash": func(rt *rapid.T) {
				if e := n.look(); rapid.Bool().Draw(rt, "after the commit") && !e.Empty() {
					commit(e)
				}
				n.boot()
				read = cursor
			},
		})
		readOn(len(ledger))
		n.unseen = false
		for range 1000 { // in which all minutes are closed, be it one at a look
			n.pass(20 * time.Second)
			if e := n.look(); !e.Empty() {
				commit(e)
			}
		}
		want := map[int64]slo.Counts{}
		for _, o := range ledger {
			c := slo.Counts{Total: 1}
			if o.good {
				c.Good = 1
			}
			m := slo.MinuteOf(o.at)
			want[m] = want[m].Add(c)
		}
		for m, c := range want {
			if b := n.centre[m]; b.Good != c.Good || b.Total != c.Total {
				rt.Fatalf("minute %d: the centre has %d/%d, the ledger %d/%d", m, b.Good, b.Total, c.Good, c.Total)
			}
		}
		for m, b := range n.centre {
			if b.Total != want[m].Total {
				rt.Fatalf("minute %d: the centre has %d events, the ledger %d", m, b.Total, want[m].Total)
			}
			if b.Open && m < slo.MinuteOf(n.now.Add(-lag-time.Minute)) {
				rt.Fatalf("minute %d is past and read, but open", m)
			}
		}
	})
}
