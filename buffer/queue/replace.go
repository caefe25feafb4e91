package queue

import (
	"context"
	"fmt"
	"slices"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
)

// A replacement is one block in the place of neighbours of its lane and session
// that were never sent. It stands for all their sequences.
type replacement struct {
	parts   []row // oldest first
	header  buffer.Header
	payload []byte
	dict    uint64 // held until it is stored
	done    bool   // by the transaction
}

// readSealed returns the sealed blocks of neighbours.
func readSealed(ctx context.Context, db querier, parts []row) ([][]byte, error) {
	rows, err := db.QueryContext(ctx, "SELECT data FROM blocks WHERE id BETWEEN ? AND ? ORDER BY id", parts[0].id, parts[len(parts)-1].id)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out [][]byte
	for rows.Next() {
		var data []byte
		if err := rows.Scan(&data); err != nil {
			return nil, err
		}
		out = append(out, data)
	}
	return out, rows.Err()
}

// combine makes one block of neighbours. shape takes out of the batch what there is
// no room for; nil leaves all. The caller releases the dictionary.
func (q *Queue) combine(parts []row, sealed [][]byte, shape func(delta.Batch) delta.Batch, load func(uint64) ([]page, error)) (*replacement, error) {
	if len(sealed) != len(parts) {
		return nil, fmt.Errorf("%w: %d blocks where %d were", buffer.ErrCorrupt, len(sealed), len(parts))
	}
	batches := make([]delta.Batch, len(parts))
	var last buffer.Header
	for i, data := range sealed {
		h, payload, err := buffer.Open(data)
		if err != nil {
			return nil, err
		}
		if batches[i], err = q.decode(h, payload, load); err != nil {
			return nil, err
		}
		last = h
	}
	b := delta.Merge(batches...)
	if shape != nil {
		b = shape(b)
	}
	r := &replacement{parts: parts, header: headerOf(last.Lane, b)}
	r.header.Session, r.header.First, r.header.Seq = last.Session, parts[0].start().seq(), last.Seq
	var err error
	r.payload, r.dict, err = q.dicts.encode(last.Lane, b)
	return r, err
}

// replace carries a replacement out unless a part was sent, acknowledged, dropped
// or replaced itself since it was read.
func (q *Queue) replace(c *change, r *replacement) error {
	r.done = false
	rows, err := readRows(c.ctx, c.tx, r.parts[0].id, r.parts[len(r.parts)-1].id, len(r.parts)+1)
	if err != nil || !slices.Equal(rows, r.parts) || slices.ContainsFunc(rows, q.settled) {
		return err
	}
	r.done = true
	return c.put(r, "")
}

// put writes a replacement; what it lacks is lost for the reason.
func (c *change) put(r *replacement, reason string) error {
	last := r.parts[len(r.parts)-1]
	if _, err := c.tx.ExecContext(c.ctx, "DELETE FROM blocks WHERE id BETWEEN ? AND ?", r.parts[0].id, last.id); err != nil {
		return err
	}
	data := buffer.Seal(r.header, r.payload)
	_, err := c.tx.ExecContext(c.ctx, "INSERT INTO blocks (id, session, samples, created, data) VALUES (?, ?, ?, ?, ?)",
		last.id, int64(r.header.Session), r.header.Samples, last.created, data)
	if err != nil {
		return err
	}
	n := c.lane(r.header.Lane)
	n.replaced(r.parts, row{samples: int64(r.header.Samples), records: int64(r.header.Records), bytes: int64(len(data))}, reason)
	c.counts[r.header.Lane] = n
	return nil
}

// settled reports whether a block must stay as it is.
func (q *Queue) settled(r row) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.flight.settled(r.id)
}

// follows reports whether b is the next block of a's session.
func follows(a, b row) bool { return b.start() == a.id+1 && b.id.gen() == a.id.gen() }
