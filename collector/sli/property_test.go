package sli

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"ghostlight/buffer/queue"
	"ghostlight/slo"
)

// oracle is what happened, as somebody knows who saw it all and never died.
type oracle struct {
	served, failed float64 // of the target, since it began
	readServed     float64 // as of the last stored scrape
	readFailed     float64
	known          bool // there was one
	hits           slo.Counts
	charge         slo.Counts
	guests         []visitor
}

type visitor struct {
	name   string
	at     time.Time
	bought time.Time // zero: never
}

// scraped is told of a scrape that is stored.
func (o *oracle) scraped(ratio float64) {
	if o.known {
		n := slo.Counts{Total: growth64(o.readServed, o.served) + growth64(o.readFailed, o.failed)}
		n.Good = n.Total - growth64(o.readFailed, o.failed)
		o.hits = o.hits.Add(n)
	}
	o.readServed, o.readFailed, o.known = o.served, o.failed, true
	o.charge.Total++
	if ratio > 0.2 {
		o.charge.Good++
	}
}

func growth64(last, now float64) int64 {
	if now < last {
		return int64(now)
	}
	return int64(now - last)
}

// visits by minute, good if they bought within d.
func (o *oracle) visits(d time.Duration) map[int64]slo.Counts {
	out := map[int64]slo.Counts{}
	for _, v := range o.guests {
		n := slo.Counts{Total: 1}
		if !v.bought.IsZero() && v.bought.Sub(v.at) <= d {
			n.Good = 1
		}
		m := slo.MinuteOf(v.at)
		out[m] = out[m].Add(n)
	}
	return out
}

// measured is the visits against the days before.
func (o *oracle) measured(days int64) slo.Counts {
	var out slo.Counts
	visits := o.visits(slo.BaselineTime)
	sold := map[int64]slo.Counts{}
	b := slo.NewBaseline(0)
	var minutes []int64
	for m := range visits {
		minutes = append(minutes, m)
	}
	slices.Sort(minutes)
	for _, m := range minutes {
		day := m / (24 * 60)
		var before slo.Counts
		for d := day - days; d < day; d++ {
			before = before.Add(sold[d])
		}
		if n, known := b.Measure(visits[m], before); known {
			out = out.Add(n)
		}
		sold[day] = sold[day].Add(visits[m])
	}
	return out
}

// Whatever readings come, and whenever the agent dies, its buffer is full, its target
// begins again or its ledger cannot be read: in the end the centre counts what
// happened, each event once.
func TestBookAgainstTheOracle(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		k := newKit(rt, payments, errorRate, charge, conversion, usual)
		var o oracle
		var paid slo.Counts
		scrape := func(rt *rapid.T) {
			ratio := float64(rapid.IntRange(0, 10).Draw(rt, "charge")) / 10
			err := k.scrape(map[string]float64{"up": 1, "hits_total result hit": o.served, "hits_total result error": o.failed, "charge_ratio": ratio})
			if err == nil || errors.Is(err, errStored) {
				o.scraped(ratio)
			}
			k.alive(err)
		}
		rt.Repeat(map[string]func(*rapid.T){
			"serve": func(rt *rapid.T) {
				o.served += float64(rapid.IntRange(0, 500).Draw(rt, "served"))
				o.failed += float64(rapid.IntRange(0, 50).Draw(rt, "failed"))
			},
			"reset":  func(*rapid.T) { o.served, o.failed = 0, 0 },
			"scrape": scrape,
			"miss": func(*rapid.T) {
				k.alive(k.scrape(map[string]float64{"up": 0}))
			},
			"arrive": func(rt *rapid.T) {
				for range rapid.IntRange(1, 60).Draw(rt, "guests") {
					name := fmt.Sprint("guest ", len(o.guests))
					o.guests = append(o.guests, visitor{name: name, at: k.now})
					k.checkIn(name)
					if rapid.Bool().Draw(rt, "buys at once") {
						o.guests[len(o.guests)-1].bought = k.now
						k.pay(name, true)
						paid = paid.Add(slo.Counts{Good: 1, Total: 1})
					}
					k.now = k.now.Add(time.Duration(rapid.IntRange(0, 30).Draw(rt, "s")) * time.Second)
				}
			},
			"buy": func(rt *rapid.T) {
				if len(o.guests) == 0 {
					return
				}
				v := &o.guests[max(0, len(o.guests)-1-rapid.IntRange(0, 30).Draw(rt, "who"))]
				if v.bought.IsZero() {
					v.bought = k.now
				}
				k.pay(v.name, true)
				paid = paid.Add(slo.Counts{Good: 1, Total: 1})
			},
			"read": func(rt *rapid.T) { k.read(rapid.IntRange(1, 200).Draw(rt, "rows")) },
			"time": func(rt *rapid.T) { k.pass(time.Duration(rapid.IntRange(1, 300).Draw(rt, "s")) * time.Second) },
			"days": func(rt *rapid.T) { k.pass(time.Duration(rapid.IntRange(1, 8).Draw(rt, "h")) * time.Hour) },
			"hang": func(*rapid.T) { k.down = !k.down },
			"away": func(rt *rapid.T) {
				k.now = k.now.Add(time.Duration(rapid.IntRange(1, 300).Draw(rt, "min")) * time.Minute)
			},
			"crash":   func(*rapid.T) { k.boot() },
			"dying":   func(rt *rapid.T) { k.died = rapid.SampledFrom([]string{"before", "after"}).Draw(rt, "the commit") },
			"full":    func(*rapid.T) { k.m.fail = queue.ErrFull },
			"emptied": func(*rapid.T) { k.m.fail = nil },
			"flush":   func(rt *rapid.T) { k.alive(k.book.Settle(rt.Context())) },
		})
		k.m.fail, k.down, k.died = nil, false, ""
		scrape(rt)
		k.read(1 << 30)
		k.pass(2 * time.Hour)
		if err := k.book.Settle(rt.Context()); err != nil {
			rt.Fatal(err)
		}
		var bought slo.Counts
		for _, n := range o.visits(20 * time.Minute) {
			bought = bought.Add(n)
		}
		got := map[string]slo.Counts{}
		for _, b := range k.m.buckets {
			if err := b.Validate(); err != nil {
				rt.Fatalf("%+v: %v", b, err)
			}
			got[b.Objective] = got[b.Objective].Add(slo.Counts{Good: b.Good, Total: b.Total})
		}
		for name, want := range map[string]slo.Counts{
			"payments": paid, "errors": o.hits, "charge": o.charge, "conversion": bought, "usual": o.measured(2),
		} {
			if got[name] != want {
				rt.Errorf("%s counts %+v, the oracle %+v", name, got[name], want)
			}
		}
	})
}
