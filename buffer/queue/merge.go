package queue

import (
	"context"
	"math/bits"
	"time"

	"ghostlight/buffer"
)

const (
	// mergeTarget is how large merged blocks become, in bytes, more or less: 0.4 s of
	// a 256 kb/s uplink. One of mergeFull is left alone, one of more than mergeMax
	// never made.
	mergeTarget = 12 << 10
	mergeFull   = mergeTarget * 3 / 4
	mergeMax    = mergeTarget * 4 / 3
	// mergeSamples bounds what a merged block takes in memory: values that never
	// change take no bytes.
	mergeSamples = 1 << 16
	// mergeFrom blocks of about the same age are merged at a time, so that each is
	// written again once or twice, not every time.
	mergeFrom  = 8
	mergeParts = 32
	// mergeLook blocks are looked at in one step.
	mergeLook = 512
	// sweepEvery bounds how often all blocks are asked which dictionaries they need.
	sweepEvery = 10 * time.Minute
)

// tidy is where Tidy goes on.
type tidy struct {
	from  map[buffer.Lane]key // what is before needs no more merging
	swept time.Time
}

// Tidy merges blocks that wait and were never sent, so that a long outage takes
// less room and less of the uplink afterwards, drops dictionaries that no block
// needs, and gives room back to the disk. It returns how many blocks were merged
// into others when nothing is left to do; call it every now and then. It works in
// small transactions among those of others. An error is the disk's, or ctx's.
func (q *Queue) Tidy(ctx context.Context) (merged int, err error) {
	q.tidyMu.Lock()
	defer q.tidyMu.Unlock()
	if q.tidy.from == nil {
		q.tidy.from = map[buffer.Lane]key{}
	}
	for _, lane := range buffer.Lanes() {
		for more := true; more; {
			n := 0
			if n, more, err = q.mergeSome(ctx, lane); err != nil {
				return merged, err
			}
			merged += n
		}
	}
	for _, f := range []*file{q.revenue, q.telemetry} {
		if len(q.dicts.owing(f)) > 0 {
			if err := q.submit(ctx, &op{pages: true, done: make(chan struct{})}); err != nil {
				return merged, err
			}
		}
	}
	if err := q.sweep(ctx); err != nil {
		return merged, err
	}
	for _, f := range []*file{q.revenue, q.telemetry} {
		if err := f.giveBack(ctx); err != nil {
			return merged, err
		}
	}
	return merged, nil
}

// mergeSome merges one run of blocks, if any is due. more is false when nothing
// is left to merge.
func (q *Queue) mergeSome(ctx context.Context, lane buffer.Lane) (merged int, more bool, err error) {
	f := q.fileOf(lane)
	parts, sealed, err := q.dueBlocks(ctx, f, lane)
	if err != nil || len(parts) == 0 {
		return 0, false, err
	}
	for len(parts) > 1 {
		r, err := q.combine(parts, sealed[:len(parts)], nil, q.loadPages(ctx, lane))
		if err != nil {
			if !lasting(err) {
				return 0, false, err
			}
			break // one is damaged: it is found out when it is sent
		}
		if len(r.payload) > mergeMax {
			q.dicts.release(r.dict)
			parts = parts[:len(parts)/2]
			continue
		}
		o := &op{replace: r, done: make(chan struct{})}
		err = q.submit(ctx, o)
		q.dicts.release(r.dict)
		if err != nil || !r.done {
			return 0, r.done, err
		}
		return len(parts) - 1, true, nil
	}
	q.tidy.from[lane] = parts[len(parts)-1].id + 1
	return 0, true, nil
}

// dueBlocks reads the blocks that should be merged next.
func (q *Queue) dueBlocks(ctx context.Context, f *file, lane buffer.Lane) (parts []row, sealed [][]byte, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.usable(ctx); err != nil {
		return nil, nil, err
	}
	if f.counts[lane].Blocks < 2 {
		return nil, nil, nil
	}
	for {
		first, last := laneBounds(lane)
		rows, err := readRows(ctx, f.db, max(first, q.tidy.from[lane]), last, mergeLook)
		if err != nil {
			return nil, nil, f.recover(ctx, err)
		}
		parts, next := q.dueOf(rows)
		if len(parts) > 0 {
			if sealed, err = readSealed(ctx, f.db, parts); err != nil {
				return nil, nil, f.recover(ctx, err)
			}
			return parts, sealed, nil
		}
		if next == q.tidy.from[lane] || len(rows) < mergeLook {
			q.tidy.from[lane] = next
			return nil, nil, nil
		}
		q.tidy.from[lane] = next
	}
}

// dueOf finds in rows, oldest first, those to merge now. next is where to look the
// next time if there are none: where blocks begin that may yet get neighbours.
func (q *Queue) dueOf(rows []row) (parts []row, next key) {
	var run []row
	for _, r := range rows {
		if q.fresh(r.created) {
			break
		}
		open := r.head != "" && r.bytes < mergeFull && r.samples < mergeSamples/2 && !q.settled(r)
		if len(run) > 0 && (!open || !follows(run[len(run)-1], r)) {
			if parts := due(run); parts != nil {
				return parts, 0
			}
			run = nil
		}
		if next = r.id + 1; open {
			run = append(run, r)
		}
	}
	if len(run) > 0 {
		next = run[0].id
	}
	return due(run), next
}

// due chooses of neighbours those that are worth merging now: many of one level,
// or some that were merged before and are enough for a whole block.
func due(run []row) []row {
	for len(run) > 1 {
		n := 1
		for n < len(run) && level(run[n]) == level(run[0]) {
			n++
		}
		if level(run[0]) > 0 {
			if fit := fitting(run[:n], mergeMax); n >= mergeFrom || len(fit) < n && len(fit) > 1 {
				return fit
			}
		} else if n >= mergeFrom {
			return fitting(run[:n], 2*mergeTarget) // they shrink when merged
		}
		run = run[n:]
	}
	return nil
}

// fitting are the first of rows that have so many bytes together, at least two.
func fitting(rows []row, bytes int64) []row {
	samples := int64(0)
	for i, r := range rows {
		bytes, samples = bytes-r.bytes, samples+r.samples
		if i >= 2 && (bytes < 0 || samples > mergeSamples) || i == mergeParts {
			return rows[:i]
		}
	}
	return rows
}

// level tells single blocks from those that were merged once, twice and so on.
func level(r row) int { return bits.Len64(uint64(r.id-r.start())+1) / 3 }

// sweep drops the dictionaries that no block needs.
func (q *Queue) sweep(ctx context.Context) error {
	now := q.now()
	if since := now.Sub(q.tidy.swept); since >= 0 && since < sweepEvery {
		return nil
	}
	stored, needed := map[uint64]bool{}, map[uint64]bool{}
	for _, f := range []*file{q.revenue, q.telemetry} {
		if err := f.dictionaries(ctx, stored, needed, q.dicts.idle); err != nil {
			return err
		}
	}
	q.tidy.swept = now
	for id := range stored {
		if needed[id] {
			continue
		}
		if err := q.submit(ctx, &op{forget: id, done: make(chan struct{})}); err != nil {
			return err
		}
	}
	return nil
}

// dictionaries adds those with pages in the file that are not in use by anybody
// now, and if there are any, those that blocks need.
func (f *file) dictionaries(ctx context.Context, stored, needed map[uint64]bool, idle func(uint64) bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.usable(ctx); err != nil {
		return err
	}
	ids, err := numbers(ctx, f.db, "SELECT DISTINCT id >> 32 FROM pages")
	if err != nil {
		return f.recover(ctx, err)
	}
	for _, id := range ids {
		if idle(uint64(id)) {
			stored[uint64(id)] = true
		}
	}
	if len(stored) == 0 {
		return nil
	}
	rows, err := f.db.QueryContext(ctx, "SELECT substr(data, 1, 96) FROM blocks")
	if err != nil {
		return f.recover(ctx, err)
	}
	defer rows.Close()
	for rows.Next() {
		var data []byte
		if err := rows.Scan(&data); err != nil {
			return err
		}
		if h := headOf(data); len(h) > 0 {
			if id, ok := dictionaryOf(data[len(h):]); ok {
				needed[id] = true
			}
		}
	}
	return rows.Err()
}

func numbers(ctx context.Context, db querier, query string) (out []int64, err error) {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var n int64
		if err := rows.Scan(&n); err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	return out, rows.Err()
}
