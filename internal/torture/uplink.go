package torture

import (
	"slices"

	"ghostlight/buffer/delta"
	"ghostlight/fleet/ledger"
	"ghostlight/slo"
)

const (
	// freshFor is how long a block counts as fresh, resendAfter how long its
	// answer is waited for, perStep how many blocks an uplink carries in a step.
	freshFor    = 30_000
	resendAfter = 60_000
	perStep     = 300
)

// A post is a block on its way to the centre.
type post struct {
	due   int64
	node  *node
	block *block
}

// send sends what is fresh and then the backlog, the newest of each first.
func (n *node) send() {
	if n.agent == nil || n.is(Offline) {
		return
	}
	n.disk.waiting = slices.DeleteFunc(n.disk.waiting, func(b *block) bool { return b.acked })
	n.sign()
	sent := 0
	for _, b := range slices.Backward(n.disk.waiting) {
		if b.sent > 0 && n.f.now-b.sent < resendAfter {
			continue
		}
		if sent++; sent > perStep {
			return
		}
		b.sent, b.acked = n.f.now, n.f.bug == bugAckEarly
		if n.is(Garbage) && !b.spoilt {
			b.spoilt = true
			b.records = slices.Insert(b.records, n.rng.IntN(len(b.records)+1), n.garbage())
		}
		n.f.centre.posts = append(n.f.centre.posts, post{n.f.now + n.delay(), n, b})
		if n.is(Repeat) && n.rng.IntN(5) == 0 {
			n.f.Repeats++
			n.f.centre.posts = append(n.f.centre.posts, post{n.f.now + n.delay(), n, b})
		}
	}
}

// garbage is a record that can never be stored.
func (n *node) garbage() delta.Record {
	good := slo.Bucket{Objective: "payments", Hash: n.f.objectives[0].Hash, Minute: n.f.now / 60_000, Revision: 1 << 30, Good: 1, Total: 2, State: slo.Measured}
	body, err := good.AppendBinary(nil)
	if err != nil {
		n.f.problem("garbage cannot be made: %v", err)
	}
	r := delta.Record{Kind: ledger.KindBucket, Key: good.Key(), Time: n.f.now, Body: body}
	at := len(body) - len(good.Objective)
	switch n.rng.IntN(5) {
	case 0:
		r.Body = body[:n.rng.IntN(len(body)-len(good.Objective))] // cut short
	case 1:
		body[at-1], body[at-2] = 1, 2 // more good than there are
	case 2:
		body[2] = 9 // no such state
	case 3:
		r.Body = append(body[:at], "No Such Name"...)
	case 4:
		r = delta.Record{Kind: ledger.KindObjective, Key: "payments", Time: n.f.now, Body: []byte(`{"kind":"SLO"}`)}
	}
	return r
}

// delay is how long a block is under way.
func (n *node) delay() int64 {
	if n.is(Reorder) {
		return int64(n.rng.ExpFloat64() * 40_000)
	}
	return n.rng.Int64N(2_000)
}

// answered hears of a block that the centre holds, unless the answer is lost.
func (n *node) answered(b *block) {
	if n.agent == nil || n.is(Offline) || n.is(Repeat) && n.rng.IntN(4) == 0 {
		return
	}
	b.acked = true
}
