package queue

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"os"

	"ghostlight/buffer"
	"ghostlight/internal/sqlite"
)

const (
	// deleteBatch rows are deleted by one statement.
	deleteBatch = 500
	// vacuumPages are given back to the file system after one commit at most.
	vacuumPages = 256
	// keepFree pages stay in the file for the next blocks.
	keepFree = 16
)

// A change is one transaction on one file under way, and what memory must learn
// of it once it is committed.
type change struct {
	ctx     context.Context
	tx      *sql.Tx
	f       *file
	counts  map[buffer.Lane]counts // of the lanes that change
	lastSeq map[buffer.Lane]buffer.Seq
	gone    []key
	paid    int    // pages stored of those that the file was owed
	sent    *sent  // the new mark, if it changes
	relief  relief // how far the disk budget got, if that changes
}

// write commits all that group asks of f in one transaction.
func (q *Queue) write(f *file, group []*op) error {
	if err := q.restorePages(f); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	// One caller's impatience must not undo what others wait for.
	ctx := context.Background()
	if err := f.usable(ctx); err != nil {
		return err
	}
	c := &change{ctx: ctx, f: f, counts: map[buffer.Lane]counts{}, lastSeq: map[buffer.Lane]buffer.Seq{}}
	err := inTx(ctx, f.db, func(tx *sql.Tx) error {
		c.tx = tx
		return q.apply(c, group)
	})
	if err != nil {
		return f.recover(ctx, fmt.Errorf("%s: %w", f.path, err))
	}
	for lane, n := range c.counts {
		f.counts[lane] = n
	}
	for lane, seq := range c.lastSeq {
		f.lastSeq[lane] = seq
	}
	if c.sent != nil {
		f.sent = *c.sent
	}
	if c.relief != nil {
		q.relief = c.relief
	}
	if c.paid > 0 {
		q.dicts.paid(f, c.paid)
	}
	f.publish()
	q.mu.Lock()
	for _, k := range c.gone {
		q.flight.gone(k)
	}
	q.mu.Unlock()
	if err := f.vacuum(ctx); err != nil && !sqlite.IsFull(err) {
		q.log.Warn("space could not be given back to the disk", slog.String("file", f.path), slog.Any("error", err))
	}
	return nil
}

// restorePages makes sure that a file which was rebuilt gets the pages of the
// dictionaries again that it lost.
func (q *Queue) restorePages(f *file) error {
	f.mu.Lock()
	rebuilt := f.rebuilt
	f.rebuilt = false
	f.mu.Unlock()
	if !rebuilt {
		return nil
	}
	err := q.dicts.restore(f)
	if err != nil {
		f.mu.Lock()
		f.rebuilt = true
		f.mu.Unlock()
	}
	return err
}

// apply does all work of a transaction.
func (q *Queue) apply(c *change, group []*op) error {
	sending, adding := false, false
	for _, o := range group {
		if err := q.applyOp(c, o); err != nil {
			return err
		}
		sending, adding = sending || o.sending == c.f, adding || o.adds()
	}
	if adding {
		if c.f == q.telemetry {
			if err := q.relieve(c, q.budget); err != nil {
				return err
			}
		}
		// No block without its pages; they are new only where blocks are.
		if err := c.storePages(q.dicts.owing(c.f)); err != nil {
			return err
		}
	}
	if err := q.markSent(c, sending); err != nil {
		return err
	}
	for lane, n := range c.counts {
		if err := writeCounts(c.ctx, c.tx, lane, n); err != nil {
			return err
		}
	}
	return nil
}

func (q *Queue) applyOp(c *change, o *op) error {
	for _, r := range o.removes {
		if err := c.remove(r); err != nil {
			return err
		}
	}
	for _, b := range o.appends {
		if !c.f.holds(b.header.Lane) {
			continue
		}
		if err := c.add(q.gen, q.session, b, q.now().UnixMilli()); err != nil {
			return err
		}
	}
	if o.replace != nil && c.f.holds(o.replace.header.Lane) {
		if err := q.replace(c, o.replace); err != nil {
			return err
		}
	}
	if o.forget != 0 {
		if _, err := c.tx.ExecContext(c.ctx, "DELETE FROM pages WHERE id BETWEEN ? AND ?", makePageID(o.forget, 0), makePageID(o.forget+1, 0)-1); err != nil {
			return err
		}
	}
	if c.f == q.revenue {
		return c.setState(o.state)
	}
	return nil
}

// lane returns the counts of a lane to change.
func (c *change) lane(lane buffer.Lane) counts {
	if n, ok := c.counts[lane]; ok {
		return n
	}
	return c.f.counts[lane].clone()
}

// add seals a block with the next sequence of its lane and inserts it.
func (c *change) add(gen generation, session buffer.Session, b pendingBlock, now int64) error {
	h := b.header
	seq, ok := c.lastSeq[h.Lane]
	if !ok {
		seq = c.f.lastSeq[h.Lane]
	}
	if seq++; seq > maxSeq {
		return fmt.Errorf("lane %s has used all its sequences: start again for a new session", h.Lane)
	}
	h.Session, h.Seq = session, seq
	data := buffer.Seal(h, b.payload)
	_, err := c.tx.ExecContext(c.ctx, "INSERT INTO blocks (id, session, samples, created, data) VALUES (?, ?, ?, ?, ?)",
		makeKey(h.Lane, gen, seq), int64(session), h.Samples, now, data)
	if err != nil {
		return err
	}
	c.lastSeq[h.Lane] = seq
	n := c.lane(h.Lane)
	n.added(row{samples: int64(h.Samples), records: int64(h.Records), bytes: int64(len(data))})
	c.counts[h.Lane] = n
	return nil
}

func (c *change) setState(state map[string][]byte) error {
	for k, v := range state {
		var err error
		if v == nil {
			_, err = c.tx.ExecContext(c.ctx, "DELETE FROM state WHERE key = ?", k)
		} else {
			_, err = c.tx.ExecContext(c.ctx, "INSERT INTO state (key, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", k, v)
		}
		if err != nil {
			return fmt.Errorf("set state %q: %w", k, err)
		}
	}
	return nil
}

// remove deletes a range in batches. A merged block is acknowledged as a whole or
// not at all.
func (c *change) remove(r removal) error {
	if !c.f.holds(r.first.lane()) {
		return nil
	}
	for first := r.first; first <= r.last; {
		rows, err := readRows(c.ctx, c.tx, first, r.last, deleteBatch)
		if err != nil || len(rows) == 0 {
			return err
		}
		end := rows[len(rows)-1].id
		if !r.exact && rows[0].start() < r.first {
			first, rows = rows[0].id+1, rows[1:]
		}
		if _, err := c.tx.ExecContext(c.ctx, "DELETE FROM blocks WHERE id BETWEEN ? AND ?", first, end); err != nil {
			return err
		}
		for _, row := range rows {
			c.forget(row, r.reason)
		}
		first = end + 1
	}
	return nil
}

// forget counts a deleted row.
func (c *change) forget(r row, reason string) {
	n := c.lane(r.id.lane())
	n.removed(r, reason)
	c.counts[r.id.lane()] = n
	c.gone = append(c.gone, r.id)
}

// refused counts samples turned away. They are written with the next commit.
func (f *file) refused(group []*op) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, o := range group {
		for _, b := range o.appends {
			if f.holds(b.header.Lane) {
				n := f.counts[b.header.Lane]
				n.Refused += int64(b.header.Samples)
				f.counts[b.header.Lane] = n
			}
		}
	}
	f.publish()
}

// vacuum gives free pages back to the file system once they are many.
func (f *file) vacuum(ctx context.Context) error {
	pages, free, _, err := f.pages(ctx, f.db)
	if err != nil || free < vacuumPages || free < pages/4 {
		return err
	}
	return f.incrementalVacuum(ctx)
}

func (f *file) incrementalVacuum(ctx context.Context) error {
	rows, err := f.db.QueryContext(ctx, fmt.Sprintf("PRAGMA incremental_vacuum(%d)", vacuumPages))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() { // each step frees pages
	}
	return rows.Err()
}

// giveBack gives free pages back, a few at a time, when there is nothing better to
// do.
func (f *file) giveBack(ctx context.Context) error {
	for more := true; more; {
		if err := ctx.Err(); err != nil {
			return err
		}
		var err error
		if more, err = f.giveSome(ctx); sqlite.IsFull(err) {
			return nil // it takes some room in the log to make more
		} else if err != nil {
			return err
		}
	}
	return nil
}

func (f *file) giveSome(ctx context.Context) (more bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.usable(ctx); err != nil {
		return false, err
	}
	pages, free, _, err := f.pages(ctx, f.db)
	if err != nil || free < max(keepFree, pages/16) {
		return false, err
	}
	return true, f.incrementalVacuum(ctx)
}

// checkpoint moves the write-ahead log into the file and cuts it, if there is
// room. Nothing depends on it: the next commit finds out what room there is.
func (f *file) checkpoint() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.db == nil {
		return
	}
	var busy, pages, moved int
	_ = f.db.QueryRowContext(context.Background(), "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &pages, &moved)
}

// logSize is the length of the write-ahead log in bytes.
func (f *file) logSize() int64 {
	info, err := os.Stat(f.path + "-wal")
	if err != nil {
		return 0
	}
	return info.Size()
}

// A querier is a database or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// pages returns the file's size in pages, how many are free, and their size.
func (f *file) pages(ctx context.Context, db querier) (pages, free, size int64, err error) {
	for _, p := range []struct {
		name string
		into *int64
	}{{"page_count", &pages}, {"freelist_count", &free}, {"page_size", &size}} {
		if err := db.QueryRowContext(ctx, "PRAGMA "+p.name).Scan(p.into); err != nil {
			return 0, 0, 0, err
		}
	}
	return pages, free, size, nil
}
