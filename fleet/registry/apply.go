package registry

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/fleet/store"
	"ghostlight/healthscore"
	"ghostlight/healthscore/heal"
	"ghostlight/synthetics"
)

// The kinds of record that the registry takes.
const (
	KindRun    = "journey.run"
	KindScore  = "health.score"
	KindHeal   = "heal.audit"
	KindTraces = "otlp.traces"
	KindLogs   = "otlp.logs" // counted by whoever applies it, never kept
)

// Kinds lists the record kinds that Apply takes.
func (r *Registry) Kinds() []string {
	return []string{KindRun, KindScore, KindHeal, KindTraces, KindLogs}
}

// Apply stores what one record of src says as part of tx; a repeat changes
// nothing. An error that wraps [store.ErrMalformed] means that the record can
// never be stored; nothing of it is.
func (r *Registry) Apply(ctx context.Context, tx *sql.Tx, src buffer.Source, rec delta.Record) error {
	id, ok := r.store.ID(src)
	if !ok {
		return fmt.Errorf("store %s of %s: %w", rec.Kind, src, ErrUnknown)
	}
	switch rec.Kind {
	case KindRun:
		return r.applyRun(ctx, tx, src, id, rec)
	case KindScore:
		return r.applyScore(ctx, tx, src, id, rec)
	case KindHeal:
		return applyHeal(ctx, tx, id, rec)
	case KindTraces:
		return r.applyTraces(ctx, tx, id, rec)
	case KindLogs:
		return nil
	}
	return fmt.Errorf("%w: kind %q is not the registry's", store.ErrMalformed, rec.Kind)
}

func (r *Registry) applyRun(ctx context.Context, tx *sql.Tx, src buffer.Source, id int64, rec delta.Record) error {
	var res synthetics.Result
	if err := json.Unmarshal(rec.Body, &res); err != nil {
		return fmt.Errorf("%w: journey run: %w", store.ErrMalformed, err)
	}
	if res.Journey == "" || res.StartMS <= 0 {
		return fmt.Errorf("%w: journey run of %q at %d", store.ErrMalformed, res.Journey, res.StartMS)
	}
	_, err := tx.ExecContext(ctx, `INSERT OR IGNORE INTO journey_runs VALUES (?, ?, ?, ?, ?, ?, ?)`,
		id, res.Journey, res.StartMS, res.Pass, res.DurationMS, res.TraceID, string(rec.Body))
	if err != nil {
		return fmt.Errorf("store journey run of %s: %w", src, err)
	}
	if !res.Pass && res.TraceID != "" {
		if err := keepEvidence(ctx, tx, id, res.TraceID); err != nil {
			return fmt.Errorf("store journey run of %s: %w", src, err)
		}
	}
	r.update(src, func(n *node) {
		if old, ok := n.last[res.Journey]; !ok || res.StartMS > old.StartMS {
			n.last[res.Journey] = res
			r.announce()
		}
	})
	return nil
}

func (r *Registry) applyScore(ctx context.Context, tx *sql.Tx, src buffer.Source, id int64, rec delta.Record) error {
	var score healthscore.Score
	if err := json.Unmarshal(rec.Body, &score); err != nil {
		return fmt.Errorf("%w: health score: %w", store.ErrMalformed, err)
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO scores VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET at_ms = excluded.at_ms, body = excluded.body
		WHERE excluded.at_ms > at_ms`, id, rec.Time, string(rec.Body))
	if err != nil {
		return fmt.Errorf("store score of %s: %w", src, err)
	}
	r.update(src, func(n *node) {
		if n.view.Score == nil || score.AtMS > n.view.Score.AtMS {
			n.view.Score = &score
			r.announce()
		}
	})
	return nil
}

// update changes what is shown of src. One that is configured no more has nothing
// to show; what it had sent before is stored all the same.
func (r *Registry) update(src buffer.Source, fn func(*node)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n, ok := r.nodes[src]; ok {
		fn(n)
	}
}

func applyHeal(ctx context.Context, tx *sql.Tx, id int64, rec delta.Record) error {
	var audit heal.Audit
	if err := json.Unmarshal(rec.Body, &audit); err != nil {
		return fmt.Errorf("%w: heal audit: %w", store.ErrMalformed, err)
	}
	if audit.Hash == "" {
		return fmt.Errorf("%w: heal audit %d has no hash", store.ErrMalformed, audit.Seq)
	}
	_, err := tx.ExecContext(ctx, `INSERT OR IGNORE INTO heals VALUES (?, ?, ?, ?, ?)`, id, audit.Hash, audit.Seq, audit.AtMS, string(rec.Body))
	if err != nil {
		return fmt.Errorf("store heal audit: %w", err)
	}
	return nil
}

// applyTraces holds a batch of traces until the failed run that it belongs to is
// known, or until it has waited long enough: run and traces travel in different
// lanes and may arrive in either order.
func (r *Registry) applyTraces(ctx context.Context, tx *sql.Tx, id int64, rec delta.Record) error {
	ids, err := traceIDs(rec.Body)
	if err != nil {
		return fmt.Errorf("%w: traces: %w", store.ErrMalformed, err)
	}
	res, err := tx.ExecContext(ctx, `INSERT OR IGNORE INTO evidence (source, key, at_ms, arrived_ms, kept, body) VALUES (?, ?, ?, ?, 0, ?)`,
		id, rec.Key, rec.Time, r.now().UnixMilli(), rec.Body)
	if err != nil {
		return fmt.Errorf("store traces: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return err
	}
	batch, err := res.LastInsertId()
	if err != nil {
		return err
	}
	for _, trace := range ids {
		if _, err := tx.ExecContext(ctx, `INSERT OR IGNORE INTO evidence_traces VALUES (?, ?, ?)`, id, trace, batch); err != nil {
			return fmt.Errorf("store traces: %w", err)
		}
	}
	_, err = tx.ExecContext(ctx, `UPDATE evidence SET kept = 1 WHERE id = ? AND EXISTS (SELECT 1 FROM evidence_traces t
		JOIN journey_runs j ON j.source = t.source AND j.trace_id = t.trace_id AND NOT j.pass AND j.trace_id <> '' WHERE t.evidence = evidence.id)`, batch)
	return err
}

// keepEvidence keeps the batches that hold spans of a failed run's trace.
func keepEvidence(ctx context.Context, tx *sql.Tx, id int64, trace string) error {
	_, err := tx.ExecContext(ctx, `UPDATE evidence SET kept = 1 WHERE id IN (SELECT evidence FROM evidence_traces WHERE source = ? AND trace_id = ?)`, id, trace)
	return err
}
