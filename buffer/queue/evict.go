package queue

import (
	"log/slog"

	"ghostlight/buffer"
)

// evictBatch blocks are dropped before the file is measured again.
const evictBatch = 32

// evict drops the oldest blocks from the least important lane up until the file
// is within budget, and a little below so that not every commit has to. What may
// be with the fleet already stays: a loss is declared only of what nobody has.
func (q *Queue) evict(c *change, budget int64) error {
	used, err := c.used()
	if err != nil || used <= budget {
		return err
	}
	dropped := map[buffer.Lane]int64{}
	for _, lane := range []buffer.Lane{buffer.Logs, buffer.Traces, buffer.Detail, buffer.Health} {
		first, last := laneBounds(lane)
		for used > budget-budget/32 {
			next, n, err := q.evictSome(c, first, last)
			if err != nil {
				return err
			}
			dropped[lane] += n
			if first = next; first > last {
				break
			}
			if used, err = c.used(); err != nil {
				return err
			}
		}
	}
	for lane, samples := range dropped {
		q.log.Warn("disk budget is used up: oldest blocks dropped", slog.String("lane", lane.String()), slog.Int64("samples", samples), slog.Int64("budget_bytes", budget))
	}
	return nil
}

// evictSome drops up to evictBatch blocks from first on. next is where to go on;
// it is beyond last when the lane has no more.
func (q *Queue) evictSome(c *change, first, last key) (next key, samples int64, err error) {
	rows, err := c.rows(first, last, evictBatch)
	if err != nil || len(rows) == 0 {
		return last + 1, 0, err
	}
	for _, r := range rows {
		if q.protected(r.id) {
			continue
		}
		if _, err := c.tx.ExecContext(c.ctx, "DELETE FROM blocks WHERE id = ?", r.id); err != nil {
			return 0, 0, err
		}
		c.forget(r, LostBudget)
		samples += r.samples
	}
	return rows[len(rows)-1].id + 1, samples, nil
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
