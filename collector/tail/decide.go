package tail

import (
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

// A Reason says why a trace or line was kept or dropped; it is a label's value.
type Reason string

// Why traces are kept. The first three are known from a single span.
const (
	Error     Reason = "error"     // a span failed or answered 5xx
	Synthetic Reason = "synthetic" // a journey of this node
	Revenue   Reason = "revenue"   // a route or attribute that earns money
	Slow      Reason = "slow"      // beyond the threshold, or the p99 of its name
	Sampled   Reason = "sampled"   // by chance, within the budget
)

// Why traces, spans and lines are dropped.
const (
	SampledOut Reason = "sampled_out" // by chance, to keep the budget
	Memory     Reason = "memory"      // decided before it was complete, to make room, and not kept by chance
	BufferFull Reason = "buffer_full" // kept, but the buffer does not take it and memory is used up
	TooLarge   Reason = "too_large"   // spans beyond what one trace may hold
	Invalid    Reason = "invalid"     // spans without a trace id
	Severity   Reason = "severity"    // lines below the floor
	Budget     Reason = "budget"      // lines beyond the bytes of a minute
)

var strength = map[Reason]int{Error: 3, Synthetic: 2, Revenue: 1}

func stronger(a, b Reason) Reason {
	if strength[b] > strength[a] {
		return b
	}
	return a
}

// A decision is what became of a trace.
type decision struct {
	keep      bool
	reason    Reason
	threshold uint64 // traces with less randomness were dropped; 0 for those always kept
	counted   bool   // among the traces received: false until the first span of one that was only expected
}

// decisions remembers the latest decisions, in two generations.
type decisions struct {
	limit      int
	young, old map[pcommon.TraceID]decision
}

func newDecisions(limit int) decisions {
	return decisions{limit: limit, young: map[pcommon.TraceID]decision{}}
}

func (c *decisions) get(id pcommon.TraceID) (decision, bool) {
	if d, ok := c.young[id]; ok {
		return d, true
	}
	d, ok := c.old[id]
	return d, ok
}

func (c *decisions) put(id pcommon.TraceID, d decision) {
	if len(c.young) >= c.limit {
		c.old, c.young = c.young, make(map[pcommon.TraceID]decision, c.limit)
	}
	c.young[id] = d
}

// take puts a fragment where its trace is. t.mu is held.
func (t *Tail) take(f fragment, now time.Time) {
	t.count.spansIn += int64(f.spans)
	if d, known := t.cache.get(f.trace); known {
		t.follow(f, d)
		return
	}
	if _, isHeld := t.hold.traces[f.trace]; !isHeld {
		t.count.tracesIn++
	}
	h, ok := t.hold.add(f, now)
	if !ok {
		t.count.drop(TooLarge, f.spans)
		return
	}
	if h.facts.always != "" {
		t.conclude(t.hold.take(f.trace), decision{keep: true, reason: h.facts.always})
	}
	for t.hold.over() {
		t.decideEarly(t.hold.oldest())
	}
}

// follow treats late spans as their trace was treated.
func (t *Tail) follow(f fragment, d decision) {
	if !d.counted {
		d.counted = true
		t.count.tracesIn++
		t.count.decided(d)
		t.cache.put(f.trace, d)
	}
	if !d.keep {
		t.count.drop(d.reason, f.spans)
		return
	}
	if !t.out.add(item{trace: f.trace, body: f.body, units: int64(f.spans), threshold: d.threshold}) {
		t.count.drop(BufferFull, f.spans)
		return
	}
	t.nudge()
}

// decideDue decides the traces that are complete, all by one probability.
func (t *Tail) decideDue(now time.Time) { t.decide(t.hold.due(now, t.o.Wait, t.o.Deadline), now) }

// decideAll decides all that is held.
func (t *Tail) decideAll(now time.Time) { t.decide(t.hold.due(now, 0, 0), now) }

func (t *Tail) decide(due []*held, now time.Time) {
	var rest []*held
	var offered int64
	slow := map[pcommon.TraceID]bool{}
	for _, h := range due {
		if t.slow(h.facts) {
			slow[h.id] = true
			continue
		}
		rest = append(rest, h)
		offered += h.bytes - heldOverhead
	}
	for _, h := range due {
		t.names.observe(h.facts.entry, h.facts.duration())
	}
	t.pace.turn(now, offered)
	for _, h := range due {
		t.hold.take(h.id)
		if slow[h.id] {
			t.conclude(h, decision{keep: true, reason: Slow})
		}
	}
	for _, h := range rest {
		t.conclude(h, t.chance(h, SampledOut))
	}
}

// decideEarly makes room: what the trace shows so far must do.
func (t *Tail) decideEarly(h *held) {
	t.hold.take(h.id)
	t.count.early++
	if t.slow(h.facts) {
		t.conclude(h, decision{keep: true, reason: Slow})
		return
	}
	t.pace.offer(h.bytes - heldOverhead)
	t.conclude(h, t.chance(h, Memory))
}

// slow reports whether the trace took longer than allowed or than nearly all
// others of its name.
func (t *Tail) slow(f facts) bool {
	d := f.duration()
	if t.o.Traces.Slow > 0 && d >= t.o.Traces.Slow && !f.long {
		return true
	}
	p99, known := t.names.p99(f.entry)
	return known && d > p99
}

// chance keeps a trace if its randomness reaches the threshold of the moment and
// that of whoever sampled it before.
func (t *Tail) chance(h *held, otherwise Reason) decision {
	threshold := max(t.pace.threshold, h.facts.upstream)
	if randomness(h.id) < t.pace.threshold {
		return decision{reason: otherwise, threshold: threshold}
	}
	t.pace.spend(h.bytes - heldOverhead)
	return decision{keep: true, reason: Sampled, threshold: threshold}
}

// conclude carries out the decision on a trace that is held no more.
func (t *Tail) conclude(h *held, d decision) {
	d.counted = true
	if d.keep {
		for i := range h.bodies {
			h.bodies[i].trace, h.bodies[i].threshold = h.id, d.threshold
		}
		if !t.out.addAll(h.bodies, h.bytes-heldOverhead) {
			d = decision{reason: BufferFull, counted: true}
		}
	}
	if !d.keep {
		t.count.drop(d.reason, h.spans)
	}
	t.count.decided(d)
	t.cache.put(h.id, d)
	t.nudge()
}
