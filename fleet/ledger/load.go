package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// chunkOf is the chunk of a node's hour: the one in memory, else made of its row.
func (l *Ledger) chunkOf(ctx context.Context, q rower, source, hour int64) (*chunk, error) {
	n := l.nodes[source]
	if n != nil {
		if c := n.chunk(hour); c != nil {
			return c, nil
		}
	}
	c := &chunk{source: source, hour: hour, changedMS: l.now().UnixMilli()}
	c.late = c.changedMS >= (hour+1)*3_600_000
	if hour <= l.folded {
		if err := l.readChunk(ctx, q, c); err != nil {
			return nil, err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if n == nil {
		n = &node{id: source}
		l.nodes[source] = n
	}
	n.chunks = append(n.chunks, c)
	l.enlist(c)
	return c, nil
}

// A rower reads one row: the pool of the store, or a transaction of it.
type rower interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func (l *Ledger) readChunk(ctx context.Context, q rower, c *chunk) error {
	var row []byte
	err := q.QueryRowContext(ctx, `SELECT buckets FROM node_hours WHERE hour = ? AND source = ?`, c.hour, c.source).Scan(&row)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err == nil {
		err = l.codec.unpack(c.hour, row, func(id int64) bool { return l.byID[id] != nil }, func(id int64, v *version) {
			c.on(l.byID[id]).put(*v, int(v.Minute-c.hour*60), 0, 0)
		})
	}
	if err != nil {
		return fmt.Errorf("read hour %d of node %d: %w", c.hour, c.source, err)
	}
	return nil
}

// loadArrivals brings memory to where the disk is, when the ledger is opened.
func (l *Ledger) loadArrivals(ctx context.Context) error {
	err := l.store.Read().QueryRowContext(ctx, `SELECT coalesce(max(hour), -1) FROM node_hours`).Scan(&l.folded)
	if err != nil {
		return fmt.Errorf("read hours: %w", err)
	}
	if err := l.readArrivals(ctx, l.store.Read(), l.store.Read()); err != nil {
		return err
	}
	return l.loadParked(ctx)
}

// catchUp is loadArrivals after a commit of which nobody knows whether it happened.
func (l *Ledger) catchUp(ctx context.Context, tx *sql.Tx) error {
	if err := l.readDefinitions(ctx, tx); err != nil {
		return err
	}
	if err := tx.QueryRowContext(ctx, `SELECT coalesce(max(hour), -1) FROM node_hours`).Scan(&l.folded); err != nil {
		return fmt.Errorf("read hours: %w", err)
	}
	if err := l.readArrivals(ctx, tx, tx); err != nil {
		return err
	}
	if err := l.loadParked(ctx); err != nil {
		return err
	}
	l.unsure = false
	return nil
}

// readMost bounds the rows of arrivals that are held at once.
const readMost = 64

// readArrivals enters the arrivals that memory does not have yet.
func (l *Ledger) readArrivals(ctx context.Context, q queryer, one rower) error {
	for {
		stages, err := l.nextArrivals(ctx, q)
		if err != nil || len(stages) == 0 {
			return err
		}
		for _, st := range stages {
			for _, a := range st.arrivals {
				if _, err := l.chunkOf(ctx, one, a.source, a.bucket.Minute/60); err != nil {
					return err
				}
			}
			for _, told := range l.follow(st) {
				told.to(told.changes)
			}
		}
	}
}

func (l *Ledger) nextArrivals(ctx context.Context, q queryer) (out []*stage, err error) {
	rows, err := q.QueryContext(ctx, `SELECT id, arrived_ms, buckets FROM bucket_arrivals WHERE id > ? ORDER BY id LIMIT ?`, l.last, readMost)
	if err != nil {
		return nil, fmt.Errorf("read arrivals: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		st := &stage{}
		var row []byte
		if err := rows.Scan(&st.id, &st.arrivedMS, &row); err != nil {
			return nil, fmt.Errorf("read arrivals: %w", err)
		}
		if st.arrivals, err = l.unpackArrivals(row); err != nil {
			return nil, fmt.Errorf("read arrival %d: %w", st.id, err)
		}
		out = append(out, st)
	}
	return out, rows.Err()
}
