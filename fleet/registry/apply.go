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
	KindRun   = "journey.run"
	KindScore = "health.score"
	KindHeal  = "heal.audit"
)

// Kinds lists the record kinds that Apply takes.
func (r *Registry) Kinds() []string {
	return []string{KindRun, KindScore, KindHeal}
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
		if err := r.claim(ctx, tx, src, res); err != nil {
			return fmt.Errorf("store journey run of %s: %w", src, err)
		}
	}
	at := r.rank(res.StartMS)
	r.update(src, func(n *node) {
		if last, ok := n.ran[res.Journey]; !ok || at > last {
			n.last[res.Journey], n.ran[res.Journey] = res, at
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
	at := r.rank(rec.Time)
	_, err := tx.ExecContext(ctx, `INSERT INTO scores VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET at_ms = excluded.at_ms, body = excluded.body
		WHERE excluded.at_ms > at_ms`, id, at, string(rec.Body))
	if err != nil {
		return fmt.Errorf("store score of %s: %w", src, err)
	}
	r.update(src, func(n *node) {
		if n.view.Score == nil || at > n.scored {
			n.view.Score, n.scored = &score, at
			r.announce()
		}
	})
	return nil
}

// rank orders what a node says of itself by its own clock, but never above now: a
// clock that ran ahead must not make its last word the node's last for days once
// it is set right. Both are Unix milliseconds.
func (r *Registry) rank(at int64) int64 { return min(at, r.now().UnixMilli()) }

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
