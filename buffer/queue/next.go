package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"ghostlight/buffer"
)

// A Stored is a block on its way to the fleet.
type Stored struct {
	Lane    buffer.Lane
	Session buffer.Session
	Seq     buffer.Seq
	Block   []byte // sealed
}

// Next hands out up to max blocks in the order in which they should be sent:
// fresh revenue, fresh health, revenue backlog, fresh detail, the rest; the newest
// first in each, with a small share for all that this order would starve. A
// block is handed out once until it is released. Next never waits for blocks:
// it returns none if there are none. Blocks that are damaged on disk are declared
// lost on the way.
func (q *Queue) Next(ctx context.Context, max int) ([]Stored, error) {
	q.nextMu.Lock()
	defer q.nextMu.Unlock()
	candidates := map[buffer.Lane][]candidate{}
	for _, f := range []*file{q.revenue, q.telemetry} {
		if err := q.candidates(ctx, f, max, candidates); err != nil {
			return nil, fmt.Errorf("next blocks: %w", err)
		}
	}
	picked, turn := choose(candidates, max, q.turn)
	q.turn = turn
	blocks := make([]Stored, 0, len(picked))
	for _, k := range picked {
		s, err := q.take(ctx, k)
		switch {
		case err == nil:
			blocks = append(blocks, s)
		case errors.Is(err, sql.ErrNoRows): // acknowledged or dropped meanwhile
		default:
			for _, s := range blocks {
				q.Release(s)
			}
			return nil, fmt.Errorf("next blocks: %w", err)
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
	now := q.now()
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
		// A clock that was set back makes young blocks look as if from the future.
		age := now.Sub(time.UnixMilli(created)).Abs()
		list = append(list, candidate{id: id, fresh: age <= freshFor})
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
func (q *Queue) take(ctx context.Context, k key) (Stored, error) {
	f := q.fileOf(k.lane())
	f.mu.Lock()
	if err := f.usable(ctx); err != nil {
		f.mu.Unlock()
		return Stored{}, err
	}
	var data []byte
	err := f.db.QueryRowContext(ctx, "SELECT data FROM blocks WHERE id = ?", k).Scan(&data)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		err = f.recover(ctx, fmt.Errorf("%s: %w", f.path, err))
	}
	if err != nil {
		f.mu.Unlock()
		return Stored{}, err
	}
	h, _, err := buffer.Open(data)
	gen, known := f.sessions[h.Session]
	if err == nil && known && makeKey(h.Lane, gen, h.Seq) == k {
		q.mu.Lock()
		q.flight.out[k] = true // under f.mu, so that evict sees it
		q.mu.Unlock()
		f.mu.Unlock()
		return Stored{Lane: h.Lane, Session: h.Session, Seq: h.Seq, Block: data}, nil
	}
	f.mu.Unlock()
	return Stored{}, q.drop(ctx, k, err)
}

// drop declares a block lost that is damaged on disk.
func (q *Queue) drop(ctx context.Context, k key, cause error) error {
	q.log.Error("block is damaged on disk: declared lost", slog.String("lane", k.lane().String()), slog.Uint64("sequence", uint64(k.seq())), slog.Any("error", cause))
	o := &op{done: make(chan struct{}), removes: []removal{{first: k, last: k, reason: LostCorrupt}}}
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
