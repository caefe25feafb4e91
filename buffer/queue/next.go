package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
)

// Next hands out up to max blocks in the order in which they should be sent:
// fresh revenue, fresh health, revenue backlog, fresh detail, the rest; the newest
// first in each, with a small share for all that this order would starve. A
// block is handed out once until it is released. Next never waits for blocks:
// it returns none if there are none. Blocks that are damaged on disk are declared
// lost on the way.
//
// allow, if it is not nil, is asked before the first block of each class is picked,
// and shuts out the classes for which it says no.
func (q *Queue) Next(ctx context.Context, max int, allow func(lane buffer.Lane, fresh bool) bool) ([]Stored, error) {
	q.nextMu.Lock()
	defer q.nextMu.Unlock()
	q.setHanding(true)
	defer q.setHanding(false)
	candidates := map[buffer.Lane][]candidate{}
	for _, f := range []*file{q.revenue, q.telemetry} {
		if err := q.candidates(ctx, f, max, candidates); err != nil {
			return nil, fmt.Errorf("next blocks: %w", err)
		}
	}
	picked, turn := choose(candidates, max, q.turn, allow)
	q.turn = turn
	blocks, err := q.takeAll(ctx, picked)
	if err != nil {
		for _, s := range blocks {
			q.Release(s)
		}
		return nil, fmt.Errorf("next blocks: %w", err)
	}
	return blocks, nil
}

func (q *Queue) setHanding(handing bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.flight.handing = handing
}

// takeAll takes the blocks that were picked, but for those that were acknowledged
// or dropped meanwhile.
func (q *Queue) takeAll(ctx context.Context, picked []candidate) (blocks []Stored, err error) {
	for _, c := range picked {
		if err := q.noteSending(ctx, q.fileOf(c.id.lane())); err != nil {
			return blocks, err
		}
		s, err := q.take(ctx, c)
		switch {
		case err == nil:
			blocks = append(blocks, s)
		case !errors.Is(err, sql.ErrNoRows):
			return blocks, err
		}
	}
	return blocks, nil
}

// candidates adds the newest blocks of each of the file's lanes that are not out
// already, at most max each.
func (q *Queue) candidates(ctx context.Context, f *file, max int, into map[buffer.Lane][]candidate) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.usable(ctx); err != nil {
		return err
	}
	for _, lane := range f.lanes {
		if f.counts[lane].Blocks == 0 {
			continue
		}
		list, err := q.newest(ctx, f, lane, max)
		if err != nil {
			return f.recover(ctx, fmt.Errorf("%s: %w", f.path, err))
		}
		into[lane] = list
	}
	return nil
}

func (q *Queue) newest(ctx context.Context, f *file, lane buffer.Lane, max int) ([]candidate, error) {
	q.mu.Lock()
	out := len(q.flight.out)
	q.mu.Unlock()
	lo, hi := laneBounds(lane)
	rows, err := f.db.QueryContext(ctx, "SELECT id, created FROM blocks WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT ?", lo, hi, max+out)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []candidate
	for rows.Next() && len(list) < max {
		var id key
		var created int64
		if err := rows.Scan(&id, &created); err != nil {
			return nil, err
		}
		if q.isOut(id) {
			continue
		}
		list = append(list, candidate{id: id, created: created, fresh: q.fresh(created)})
	}
	return list, rows.Err()
}

func (q *Queue) isOut(k key) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.flight.out[k]
}

// take reads one block and marks it as out. The error is sql.ErrNoRows if it is
// gone or was damaged.
func (q *Queue) take(ctx context.Context, c candidate) (Stored, error) {
	f := q.fileOf(c.id.lane())
	f.mu.Lock()
	data, err := f.block(ctx, c.id)
	if err != nil {
		f.mu.Unlock()
		return Stored{}, err
	}
	h, payload, err := buffer.Open(data)
	if gen, known := f.sessions[h.Session]; err == nil && (!known || makeKey(h.Lane, gen, h.Seq) != c.id) {
		err = fmt.Errorf("%w: it is block %d of lane %s, session %d", buffer.ErrCorrupt, h.Seq, h.Lane, h.Session)
	}
	if err == nil {
		q.mu.Lock()
		q.flight.out[c.id] = true // under f.mu, so that no transaction changes it
		q.mu.Unlock()
	}
	f.mu.Unlock()
	if err != nil {
		return Stored{}, q.drop(ctx, c.id, err)
	}
	s := Stored{Lane: h.Lane, Session: h.Session, First: h.Start(), Seq: h.Seq, Created: time.UnixMilli(c.created), Fresh: c.fresh}
	if s.Batch, err = q.decode(h, payload, q.loadPages(ctx, h.Lane)); err == nil {
		return s, nil
	}
	q.Release(s)
	if !lasting(err) {
		return Stored{}, err
	}
	return Stored{}, q.drop(ctx, c.id, err)
}

// block reads a sealed block. The caller holds mu.
func (f *file) block(ctx context.Context, k key) (data []byte, err error) {
	if err := f.usable(ctx); err != nil {
		return nil, err
	}
	err = f.db.QueryRowContext(ctx, "SELECT data FROM blocks WHERE id = ?", k).Scan(&data)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		err = f.recover(ctx, fmt.Errorf("%s: %w", f.path, err))
	}
	return data, err
}

// decode reads a payload and makes sure that it holds what its header says.
func (q *Queue) decode(h buffer.Header, payload []byte, load func(dict uint64) ([]page, error)) (delta.Batch, error) {
	b, err := q.dicts.decode(payload, load)
	if err == nil && (b.Samples() != int(h.Samples) || len(b.Records) != int(h.Records)) {
		err = fmt.Errorf("%w: %d samples and %d records where the header says %d and %d", buffer.ErrCorrupt, b.Samples(), len(b.Records), h.Samples, h.Records)
	}
	return b, err
}

// lasting reports whether err says that a block can never be read, rather than
// that the disk is in trouble.
func lasting(err error) bool {
	for _, e := range []error{buffer.ErrCorrupt, buffer.ErrVersion, delta.ErrMalformed, delta.ErrDictionary, delta.ErrLimit} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// drop declares a block lost that is damaged on disk.
func (q *Queue) drop(ctx context.Context, k key, cause error) error {
	q.log.Error("block is damaged on disk: declared lost", slog.String("lane", k.lane().String()), slog.Uint64("sequence", uint64(k.seq())), slog.Any("error", cause))
	o := &op{done: make(chan struct{}), removes: []removal{{first: k, last: k, exact: true, reason: LostCorrupt}}}
	if err := q.submit(ctx, o); err != nil {
		return err
	}
	return sql.ErrNoRows
}

// Release gives a block back that was not acknowledged: Next will hand it out
// again. It stays safe from the disk budget, for the fleet may hold it.
func (q *Queue) Release(s Stored) {
	k, ok := q.key(s)
	if !ok {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.flight.release(k)
}

// key is where a block is kept.
func (q *Queue) key(s Stored) (key, bool) {
	if !s.Lane.Valid() || s.Seq > maxSeq {
		return 0, false
	}
	gen, ok := q.fileOf(s.Lane).generation(s.Session)
	return makeKey(s.Lane, gen, s.Seq), ok
}
