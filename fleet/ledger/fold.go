package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// What is folded, and when. A chunk rests when its hour is over and nothing came for
// a while; of those that came late no more than lateMost wait for that.
const (
	foldAfter = 2 * time.Minute  // after the hour's end
	restAfter = 30 * time.Second // without a change
	foldMost  = 16               // chunks a transaction
	foldLook  = 256              // chunks looked at in a transaction
	lateMost  = 4096
	tickFolds = 100 // chunks in a tick, when nothing else is to be done
)

// folding are the chunks in memory that are to be folded some time.
type folding struct {
	live, late rotation
}

// A rotation is looked through a few at a time, round and round.
type rotation struct {
	chunks []*chunk
	at     int
}

// take removes up to most of the next look chunks that ripe accepts.
func (r *rotation) take(look, most int, ripe func(*chunk) bool) (out []*chunk) {
	for look = min(look, len(r.chunks)); look > 0 && len(r.chunks) > 0 && len(out) < most; look-- {
		if r.at >= len(r.chunks) {
			r.at = 0
		}
		c := r.chunks[r.at]
		if !ripe(c) {
			r.at++
			continue
		}
		last := len(r.chunks) - 1
		r.chunks[r.at], r.chunks[last] = r.chunks[last], nil
		r.chunks = r.chunks[:last]
		out = append(out, c)
	}
	return out
}

// foldSome writes some chunks that rest as rows, and drops arrivals that no chunk
// needs any more.
func (l *Ledger) foldSome(ctx context.Context, st *stage) error {
	now := st.arrivedMS
	over := func(c *chunk) bool {
		return c.touched != st && now >= (c.hour+1)*3_600_000+foldAfter.Milliseconds()
	}
	rests := func(c *chunk) bool { return over(c) && now >= c.changedMS+restAfter.Milliseconds() }
	if len(st.arrivals) == 0 {
		return l.writeFolded(ctx, st, append(l.fold.live.take(1<<30, tickFolds, rests), l.fold.late.take(1<<30, tickFolds, rests)...))
	}
	ripe := rests
	if len(l.fold.late.chunks) > lateMost {
		ripe = over
	}
	late := l.fold.late.take(max(foldLook, len(l.fold.late.chunks)-lateMost), max(foldMost, len(l.fold.late.chunks)-lateMost), ripe)
	return l.writeFolded(ctx, st, append(late, l.fold.live.take(foldLook, max(0, foldMost-len(late)), rests)...))
}

func (l *Ledger) writeFolded(ctx context.Context, st *stage, chunks []*chunk) error {
	st.folded = chunks
	wrote := false
	for _, c := range chunks {
		if c.first == 0 {
			continue
		}
		if err := l.writeChunk(ctx, st.tx, c); err != nil {
			return err
		}
		wrote = true
	}
	if !wrote {
		return nil
	}
	return l.trim(ctx, st.tx)
}

func (l *Ledger) writeChunk(ctx context.Context, tx *sql.Tx, c *chunk) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO node_hours VALUES (?, ?, ?) ON CONFLICT (hour, source) DO UPDATE SET buckets = excluded.buckets`,
		c.hour, c.source, l.codec.pack(c))
	if err != nil {
		return fmt.Errorf("fold hour %d of node %d: %w", c.hour, c.source, err)
	}
	for from := 0; from < len(c.pasts); {
		to := from + 1
		for to < len(c.pasts) && c.pasts[to].arrival == c.pasts[from].arrival {
			to++
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO bucket_pasts VALUES (?, ?, ?, ?, ?) ON CONFLICT (hour, source, arrival) DO UPDATE SET buckets = excluded.buckets`,
			c.hour, c.source, c.pasts[from].arrival, c.pasts[from].untilMS, packPasts(c.pasts[from:to]))
		if err != nil {
			return fmt.Errorf("fold what hour %d of node %d was: %w", c.hour, c.source, err)
		}
		from = to
	}
	return nil
}

// trim drops the arrivals before the first that a chunk still needs. The last one
// stays, so that numbers never start again.
func (l *Ledger) trim(ctx context.Context, tx *sql.Tx) error {
	first := l.last
	for _, of := range []*rotation{&l.fold.live, &l.fold.late} {
		for _, c := range of.chunks {
			if c.first != 0 {
				first = min(first, c.first)
			}
		}
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM bucket_arrivals WHERE id < ?`, first); err != nil {
		return fmt.Errorf("drop folded arrivals: %w", err)
	}
	return nil
}

// forget drops the chunks that a durable transaction folded. l.mu is held.
func (l *Ledger) forget(st *stage) {
	for _, c := range st.folded {
		l.nodes[c.source].drop(c)
		if c.first != 0 {
			l.folded = max(l.folded, c.hour)
		}
	}
}

// unfold keeps what a transaction that failed wanted to fold.
func (l *Ledger) unfold(st *stage) {
	for _, c := range st.folded {
		l.enlist(c)
	}
}

func (l *Ledger) enlist(c *chunk) {
	if c.late {
		l.fold.late.chunks = append(l.fold.late.chunks, c)
		return
	}
	l.fold.live.chunks = append(l.fold.live.chunks, c)
}

// Tick takes what is parked and due, and folds what rests.
func (l *Ledger) Tick(ctx context.Context) error {
	return l.store.Write(ctx, func(tx *sql.Tx) error {
		_, err := l.join(ctx, tx)
		return err
	})
}
