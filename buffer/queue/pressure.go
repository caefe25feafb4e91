package queue

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
)

const (
	// evictBatch blocks are dropped before the file is measured again.
	evictBatch = 32
	// sampleEvery records of logs one is left.
	sampleEvery = 8
	// reliefSteps bounds how often one commit takes blocks apart; the next goes on.
	reliefSteps = 32
	// reliefBytes are taken apart in one step.
	reliefBytes = 4 * mergeTarget
	// reliefMost is freed by one commit, in bytes.
	reliefMost = 256 << 10
)

// A measure is one way to make room, in one lane.
type measure struct {
	lane   buffer.Lane
	reason string
	name   string                          // of the mark how far it got; it is never taken twice
	span   time.Duration                   // blocks must reach over so much time for it to tell
	shape  func(b delta.Batch) delta.Batch // what it leaves; nil drops the block
}

// measures are what a node gives up when its disk budget is used up, from the right:
// the least missed first.
func measures() []measure {
	thinned := func(lane buffer.Lane, name string, step time.Duration) measure {
		return measure{lane: lane, reason: LostThinned, name: name, span: step, shape: func(b delta.Batch) delta.Batch { return thin(b, step.Milliseconds()) }}
	}
	dropped := func(lane buffer.Lane) measure { return measure{lane: lane, reason: LostBudget} }
	return []measure{
		{lane: buffer.Logs, reason: LostSampled, name: "logs sampled", shape: func(b delta.Batch) delta.Batch { return sample(b, sampleEvery) }},
		dropped(buffer.Logs),
		dropped(buffer.Traces),
		thinned(buffer.Detail, "detail 1m", time.Minute),
		thinned(buffer.Detail, "detail 5m", 5*time.Minute),
		dropped(buffer.Detail),
		thinned(buffer.Health, "health 1m", time.Minute),
		thinned(buffer.Health, "health 5m", 5*time.Minute),
		dropped(buffer.Health),
	}
}

// relief is how far each measure got: the last block it was taken against.
type relief map[string]key

const reliefMark = "relief"

// readRelief reads the mark of a file. One that cannot be read means that what was
// thinned is looked at again.
func readRelief(ctx context.Context, f *file) (relief, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := relief{}
	err := readMark(ctx, f.db, reliefMark, &r)
	if errors.Is(err, errDamaged) {
		return relief{}, nil
	}
	return r, err
}

// relieve brings the file back within budget, and a little below so that not every
// commit has to. What may be with the fleet already is not dropped: a loss is
// declared only of what nobody has.
func (q *Queue) relieve(c *change, budget int64) error {
	used, err := c.used()
	if err != nil || used <= budget {
		return err
	}
	goal, before := budget-min(budget/32, reliefMost), c.losses()
	steps := 0
	for _, m := range measures() {
		from, _ := laneBounds(m.lane)
		for more := true; more && used > goal; {
			switch {
			case m.shape == nil:
				from, more, err = q.dropSome(c, m, from)
			case steps == reliefSteps && used <= budget+budget/32:
				goal = used // enough for one commit
			case steps == reliefSteps:
				more = false
			default:
				steps++
				more, err = q.shapeSome(c, m)
			}
			if err != nil {
				return err
			}
			if used, err = c.used(); err != nil {
				return err
			}
		}
	}
	q.tellLosses(c, before, budget)
	if c.relief == nil {
		return nil
	}
	return writeMark(c.ctx, c.tx, reliefMark, c.relief)
}

// dropSome drops up to evictBatch blocks from a key on. next is where to go on;
// more is false when the lane has no others.
func (q *Queue) dropSome(c *change, m measure, from key) (next key, more bool, err error) {
	_, last := laneBounds(m.lane)
	rows, err := readRows(c.ctx, c.tx, from, last, evictBatch)
	if err != nil || len(rows) == 0 {
		return last, false, err
	}
	for _, r := range rows {
		if q.protected(r.id) {
			continue
		}
		if _, err := c.tx.ExecContext(c.ctx, "DELETE FROM blocks WHERE id = ?", r.id); err != nil {
			return from, false, err
		}
		c.forget(r, m.reason)
	}
	return rows[len(rows)-1].id + 1, len(rows) == evictBatch, nil
}

// shapeSome takes a measure against the next blocks that it was not taken against.
// more is false when there are none.
func (q *Queue) shapeSome(c *change, m measure) (more bool, err error) {
	_, last := laneBounds(m.lane)
	rows, err := readRows(c.ctx, c.tx, c.reached(q, m), last, 2*mergeParts)
	if err != nil {
		return false, err
	}
	parts, next := q.shapeable(rows, m)
	if len(parts) == 0 {
		return next != 0 && c.reach(q, m, next), nil
	}
	sealed, err := readSealed(c.ctx, c.tx, parts)
	if err != nil {
		return false, err
	}
	own := func(dict uint64) ([]page, error) {
		return readPages(c.ctx, c.tx, makePageID(dict, 0), makePageID(dict+1, 0)-1)
	}
	for len(parts) > 0 {
		r, err := q.combine(parts, sealed[:len(parts)], m.shape, own)
		if err != nil {
			if !lasting(err) {
				return false, err
			}
			break // one is damaged: it is found out when it is sent
		}
		fits := len(r.payload) <= mergeMax || len(parts) == 1
		if fits && smaller(r) {
			err = c.put(r, m.reason)
		}
		q.dicts.release(r.dict)
		if err != nil || fits {
			return c.reach(q, m, parts[len(parts)-1].id+1), err
		}
		parts = parts[:(len(parts)+1)/2]
	}
	return c.reach(q, m, rows[len(rows)-1].id+1), nil
}

// smaller reports whether a replacement has less in it than what it replaces.
func smaller(r *replacement) bool {
	samples, records := int64(0), int64(0)
	for _, p := range r.parts {
		samples, records = samples+p.samples, records+p.records
	}
	return int64(r.header.Samples) < samples || int64(r.header.Records) < records
}

// shapeable finds the first blocks in rows to take a measure against. If there are
// none, next is where to look then, or 0 if younger blocks must come first.
func (q *Queue) shapeable(rows []row, m measure) (parts []row, next key) {
	size, samples := int64(0), int64(0)
	for _, r := range rows {
		if q.fresh(r.created) {
			break
		}
		size, samples = size+r.bytes, samples+r.samples
		open := r.head != "" && !q.settled(r)
		if full := len(parts) == mergeParts || size > reliefBytes || samples > 2*mergeSamples; len(parts) > 0 && (full || !open || !follows(parts[len(parts)-1], r)) {
			if tells(parts, m) {
				return parts, 0
			}
			parts, size, samples = nil, r.bytes, r.samples
		}
		if open {
			parts = append(parts, r)
		}
		if next = r.id + 1; len(parts) > 0 {
			next = parts[0].id
		}
	}
	if tells(parts, m) {
		return parts, 0
	}
	if len(rows) == 0 || next == rows[0].id {
		return nil, 0
	}
	return nil, next
}

// tells reports whether a measure against blocks can have any effect.
func tells(parts []row, m measure) bool {
	if len(parts) == 0 {
		return false
	}
	first, _ := parts[0].head.times()
	_, last := parts[len(parts)-1].head.times()
	return time.Duration(last-first)*time.Millisecond >= m.span
}

// reached is where a measure goes on.
func (c *change) reached(q *Queue, m measure) key {
	from, _ := laneBounds(m.lane)
	if c.relief != nil {
		return max(from, c.relief[m.name])
	}
	return max(from, q.relief[m.name])
}

// reach notes how far a measure got. It returns true.
func (c *change) reach(q *Queue, m measure, next key) bool {
	if c.relief == nil {
		c.relief = relief{}
		for name, k := range q.relief {
			c.relief[name] = k
		}
	}
	c.relief[m.name] = next
	return true
}

// losses are those of each lane by reason, samples and records together.
func (c *change) losses() map[buffer.Lane]map[string]int64 {
	out := map[buffer.Lane]map[string]int64{}
	for _, lane := range c.f.lanes {
		n := c.lane(lane)
		out[lane] = map[string]int64{}
		for _, lost := range []map[string]int64{n.Lost, n.Records.Lost} {
			for reason, n := range lost {
				out[lane][reason] += n
			}
		}
	}
	return out
}

// tellLosses logs what the budget cost.
func (q *Queue) tellLosses(c *change, before map[buffer.Lane]map[string]int64, budget int64) {
	for lane, reasons := range c.losses() {
		for reason, n := range reasons {
			if n -= before[lane][reason]; n > 0 {
				q.log.Warn("disk budget is used up: what is least missed is given up", slog.String("lane", lane.String()), slog.String("reason", reason), slog.Int64("samples_and_records", n), slog.Int64("budget_bytes", budget))
			}
		}
	}
}

func (q *Queue) protected(k key) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.flight.protected(k)
}

// used is how many bytes of the file hold something.
func (c *change) used() (int64, error) {
	pages, free, size, err := c.f.pages(c.ctx, c.tx)
	return (pages - free) * size, err
}
