package tail

import (
	"bytes"
	"container/list"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

// A fragment is the spans of one trace that came together, encoded.
type fragment struct {
	trace pcommon.TraceID
	body  []byte // OTLP TracesData of these spans alone
	spans int
	facts facts
}

// facts are what decides a trace. Merging them in any order gives the same.
type facts struct {
	always     Reason // the most telling reason to keep it; "" for none
	start, end uint64 // of all spans, Unix nanoseconds
	entryAt    uint64 // start of the span that began first
	entryID    pcommon.SpanID
	entry      string // and its name
	long       bool   // a route that is long by nature
	upstream   uint64 // the greatest threshold that a sender sampled with
}

// merge adds the facts of further spans of the trace.
func (f *facts) merge(g facts) {
	f.always = stronger(f.always, g.always)
	f.start, f.end = min(f.start, g.start), max(f.end, g.end)
	if g.entryAt < f.entryAt || g.entryAt == f.entryAt && bytes.Compare(g.entryID[:], f.entryID[:]) < 0 {
		f.entryAt, f.entryID, f.entry = g.entryAt, g.entryID, g.entry
	}
	f.long = f.long || g.long
	f.upstream = max(f.upstream, g.upstream)
}

// duration is the time from the first span's start to the last one's end.
func (f facts) duration() time.Duration {
	if f.end <= f.start {
		return 0
	}
	return time.Duration(f.end - f.start)
}

// held is a trace that is not decided yet.
type held struct {
	id          pcommon.TraceID
	bodies      []item
	spans       int
	bytes       int64
	first, last time.Time // when its first and its latest span came
	facts       facts
	at          *list.Element
}

// hold keeps undecided traces, bounded by bytes and by count.
type hold struct {
	limit  int64
	bytes  int64
	spans  int64
	traces map[pcommon.TraceID]*held
	order  *list.List // of *held, the oldest first
}

func newHold(limit int64) hold {
	return hold{limit: limit, traces: map[pcommon.TraceID]*held{}, order: list.New()}
}

// add joins a fragment to its trace. It reports false, and takes nothing, when the
// trace is as large as one may be.
func (h *hold) add(f fragment, now time.Time) (*held, bool) {
	tr := h.traces[f.trace]
	size := int64(len(f.body))
	switch {
	case tr != nil && tr.bytes+size > maxTrace:
		return tr, false
	case tr == nil:
		tr = &held{id: f.trace, first: now, facts: f.facts, bytes: heldOverhead}
		tr.at = h.order.PushBack(tr)
		h.traces[f.trace] = tr
		h.bytes += heldOverhead
	default:
		tr.facts.merge(f.facts)
	}
	tr.bodies = append(tr.bodies, item{body: f.body, units: int64(f.spans)})
	tr.spans, tr.bytes, tr.last = tr.spans+f.spans, tr.bytes+size, now
	h.bytes, h.spans = h.bytes+size, h.spans+int64(f.spans)
	return tr, true
}

// take removes a trace; nil if it is not held.
func (h *hold) take(id pcommon.TraceID) *held {
	tr := h.traces[id]
	if tr == nil {
		return nil
	}
	delete(h.traces, id)
	h.order.Remove(tr.at)
	h.bytes, h.spans = h.bytes-tr.bytes, h.spans-int64(tr.spans)
	return tr
}

// over reports whether more is held than may be.
func (h *hold) over() bool { return h.bytes > h.limit || len(h.traces) > maxHeld }

// oldest is the trace held for longest; nil if none is.
func (h *hold) oldest() *held {
	front := h.order.Front()
	if front == nil {
		return nil
	}
	tr, _ := front.Value.(*held)
	return tr
}

// due lists the traces that are silent for wait or older than deadline, the
// oldest first.
func (h *hold) due(now time.Time, wait, deadline time.Duration) []*held {
	var out []*held
	for e := h.order.Front(); e != nil; e = e.Next() {
		if tr, ok := e.Value.(*held); ok && (now.Sub(tr.last) >= wait || now.Sub(tr.first) >= deadline) {
			out = append(out, tr)
		}
	}
	return out
}
