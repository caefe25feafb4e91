package evidence

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

const sweepEvery = 30 * time.Second

// Run enforces the bounds until ctx ends.
func (s *Store) Run(ctx context.Context) error {
	beat := time.NewTicker(sweepEvery)
	defer beat.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-beat.C:
		}
		err := s.sweep(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			s.o.Log.Error("evidence cannot be swept, will retry", "error", err)
		}
		failing = err != nil
	}
}

// sweep drops what nobody claimed in time, what is older than it may be, and the
// oldest of what is too much.
func (s *Store) sweep(ctx context.Context) error {
	now := s.o.Now()
	var gone []loss
	err := s.o.Store.Write(ctx, func(tx *sql.Tx) error {
		gone = nil
		for _, step := range []struct {
			why   Reason
			where string
			args  []any
		}{
			{Unclaimed, `NOT kept AND arrived_ms < ?`, []any{now.Add(-s.o.Hold).UnixMilli()}},
			{HoldFull, `id IN (SELECT id FROM (SELECT id, sum(length(body)) OVER (ORDER BY arrived_ms DESC, id DESC) AS upto
				FROM evidence_parts WHERE NOT kept) WHERE upto > ?)`, []any{s.o.HoldBytes}},
			{Expired, `kept AND (source, trace_id) IN (SELECT source, trace_id FROM evidence_claims WHERE arrived_ms < ?)`, []any{now.Add(-s.o.MaxAge).UnixMilli()}},
			{KeepFull, `kept AND (source, trace_id) IN (` + oversize + `)`, []any{s.o.MaxBytes}},
		} {
			lost, err := remove(ctx, tx, step.why, step.where, step.args...)
			if err != nil {
				return err
			}
			gone = append(gone, lost...)
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM evidence_claims WHERE arrived_ms < ?`, now.Add(-s.o.MaxAge).UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("sweep evidence: %w", err)
	}
	for _, l := range gone {
		s.dropped.add(l.kind, l.why, l.units)
	}
	return nil
}

// oversize selects the traces that are beyond the bytes allowed, counted from the
// latest claim on.
const oversize = `SELECT source, trace_id FROM (
	SELECT c.source, c.trace_id, sum(p.size) OVER (ORDER BY c.arrived_ms DESC, c.source, c.trace_id) AS upto
	FROM evidence_claims c JOIN (SELECT source, trace_id, sum(length(body)) AS size FROM evidence_parts WHERE kept GROUP BY source, trace_id) p
	ON p.source = c.source AND p.trace_id = c.trace_id) WHERE upto > ?`

// loss is what one step of a sweep removed.
type loss struct {
	kind  string
	why   Reason
	units int64
}

func remove(ctx context.Context, tx *sql.Tx, why Reason, where string, args ...any) ([]loss, error) {
	rows, err := tx.QueryContext(ctx, `SELECT kind, sum(units) FROM evidence_parts WHERE `+where+` GROUP BY kind`, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []loss
	for rows.Next() {
		l := loss{why: why}
		if err := rows.Scan(&l.kind, &l.units); err != nil {
			return nil, err
		}
		out = append(out, l)
	}
	if err := rows.Err(); err != nil || len(out) == 0 {
		return nil, err
	}
	rows.Close() //nolint:errcheck // read to the end
	_, err = tx.ExecContext(ctx, `DELETE FROM evidence_parts WHERE `+where, args...)
	return out, err
}
