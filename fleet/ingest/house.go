package ingest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"ghostlight/buffer"
)

// trimRows is how many blocks one transaction deletes, so that commits of new ones
// do not wait long.
const trimRows = 500

// markEvery is how far apart marks are kept.
const markEvery = time.Second

// keepHouse trims the journal, frees parked rows and prunes what is only kept for
// a while, until ctx ends.
func (i *Ingest) keepHouse(ctx context.Context) error {
	trim, unpark := time.NewTicker(i.o.TrimEvery), time.NewTicker(unparkEvery)
	defer trim.Stop()
	defer unpark.Stop()
	for {
		var err error
		select {
		case <-trim.C:
			err = i.trim(ctx)
		case <-unpark.C:
			err = i.unpark(ctx)
		case <-ctx.Done():
			return nil
		}
		if err != nil && ctx.Err() == nil {
			i.log.Error("journal housekeeping failed, will retry", "error", err)
		}
	}
}

// trim makes the stores durable and deletes the blocks that were applied long
// enough before.
func (i *Ingest) trim(ctx context.Context) error {
	mark := i.marks.before(i.o.Now().Add(-i.o.BarrierAge))
	if mark <= i.journal.trimmed {
		return nil
	}
	if err := i.o.Series.Barrier(ctx); err != nil {
		return fmt.Errorf("barrier: %w", err)
	}
	i.metrics.barriers.Inc()
	if err := i.journal.trim(ctx, mark); err != nil {
		return err
	}
	return i.journal.prune(ctx)
}

// marks remember up to which block was applied when, until a barrier has asked.
type marks struct {
	mu   sync.Mutex
	list []mark // guarded by mu; both parts ascend
}

type mark struct {
	at time.Time
	id int64
}

// note adds that everything up to id was applied by now. Marks are kept a second
// apart: fewer only delay the trimming.
func (m *marks) note(now time.Time, id int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := len(m.list); n > 1 && now.Sub(m.list[n-2].at) < markEvery {
		m.list[n-1] = mark{now, id}
		return
	}
	m.list = append(m.list, mark{now, id})
}

// before returns the id up to which everything was applied at t, and forgets
// what was before.
func (m *marks) before(t time.Time) (id int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for n < len(m.list) && !m.list[n].at.After(t) {
		n++
	}
	if n == 0 {
		return 0
	}
	m.list = m.list[n-1:]
	return m.list[0].id
}

func (i *Ingest) unpark(ctx context.Context) error {
	parked, err := i.journal.unpark(ctx, i.o.Now())
	stuck, stuckErr := i.journal.unstick(ctx, i.o.Now())
	if parked > 0 {
		i.log.Info("parked rows can be stored now", "blocks", parked)
	}
	if parked+stuck > 0 {
		select {
		case i.work <- struct{}{}:
		default:
		}
	}
	return errors.Join(err, stuckErr)
}

// trim deletes the blocks up to mark.
func (j *journal) trim(ctx context.Context, mark int64) error {
	for {
		var count, size int64
		tx, err := j.db.BeginTx(ctx, nil)
		if err != nil {
			return fmt.Errorf("trim journal: %w", err)
		}
		err = tx.QueryRowContext(ctx, `SELECT count(*), coalesce(sum(length(body)), 0) FROM (SELECT body FROM blocks WHERE id <= ? ORDER BY id LIMIT ?)`,
			mark, trimRows).Scan(&count, &size)
		if err == nil {
			_, err = tx.ExecContext(ctx, `DELETE FROM blocks WHERE id IN (SELECT id FROM blocks WHERE id <= ? ORDER BY id LIMIT ?)`, mark, trimRows)
		}
		if err == nil && count < trimRows {
			_, err = tx.ExecContext(ctx, `INSERT OR REPLACE INTO trimmed VALUES (1, ?)`, mark)
		}
		if err == nil {
			err = tx.Commit()
		}
		if err != nil {
			return errors.Join(fmt.Errorf("trim journal: %w", err), ignoreDone(tx.Rollback()))
		}
		j.mu.Lock()
		j.bytes -= size
		j.blocks -= count
		j.mu.Unlock()
		if count < trimRows {
			break
		}
	}
	j.trimmed = mark
	if err := j.trimNames(ctx, mark); err != nil {
		return err
	}
	if _, err := j.db.ExecContext(ctx, `PRAGMA incremental_vacuum(1000)`); err != nil {
		return fmt.Errorf("trim journal: %w", err)
	}
	return nil
}

// prune gives up digests beyond the last digestsPerLane of each lane, and the
// oldest dead letters beyond deadBytes. Both only of blocks that will not be
// applied again.
func (j *journal) prune(ctx context.Context) error {
	for _, full := range j.fullLanes() {
		_, err := j.db.ExecContext(ctx, `DELETE FROM digests WHERE source = ?1 AND lane = ?2 AND block <= ?3 AND block <=
			(SELECT block FROM digests WHERE source = ?1 AND lane = ?2 ORDER BY block DESC LIMIT 1 OFFSET ?4)`,
			full.source.String(), full.lane, j.trimmed, digestsPerLane)
		if err != nil {
			return fmt.Errorf("prune digests: %w", err)
		}
		j.mu.Lock()
		j.fresh[full.source][full.lane] = 0
		j.mu.Unlock()
	}
	_, err := j.db.ExecContext(ctx, `DELETE FROM dead WHERE block <= ? AND rowid IN (SELECT id FROM
		(SELECT rowid AS id, sum(length(body)) OVER (ORDER BY rowid DESC) AS size FROM dead) WHERE size > ?)`, j.trimmed, deadBytes)
	if err != nil {
		return fmt.Errorf("prune dead letters: %w", err)
	}
	return nil
}

// fullLanes lists the lanes that have taken digestsPerLane blocks or more since
// their digests were pruned.
func (j *journal) fullLanes() []laneOf {
	j.mu.Lock()
	defer j.mu.Unlock()
	var out []laneOf
	for src, lanes := range j.fresh {
		for lane, n := range lanes {
			if n >= digestsPerLane {
				out = append(out, laneOf{src, lane})
			}
		}
	}
	return out
}

type laneOf struct {
	source buffer.Source
	lane   buffer.Lane
}
