package registry

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

const (
	judgeEvery = time.Second
	saveEvery  = 2 * time.Second
	pruneEvery = time.Hour

	keepRuns      = 90 * 24 * time.Hour // runs of journeys and their evidence
	keepDowntime  = 400 * 24 * time.Hour
	evidenceWait  = 15 * time.Minute // traces wait so long for the failed run they belong to
	evidenceSweep = time.Minute
	// EvidencePerNode bounds the batches of traces kept for one node; the oldest go
	// first.
	EvidencePerNode = 500
)

// Run judges silence and saves what changed until ctx ends, then saves once more.
func (r *Registry) Run(ctx context.Context) error {
	judge, save := time.NewTicker(judgeEvery), time.NewTicker(saveEvery)
	prune, sweep := time.NewTicker(pruneEvery), time.NewTicker(evidenceSweep)
	defer judge.Stop()
	defer save.Stop()
	defer prune.Stop()
	defer sweep.Stop()
	failed := false
	report := func(err error) {
		if err != nil && !failed && ctx.Err() == nil {
			r.log.Error("registry cannot be saved, will retry", "error", err)
		}
		failed = err != nil
	}
	for {
		select {
		case <-judge.C:
			r.judge()
		case <-save.C:
			report(r.save(ctx))
		case <-sweep.C:
			report(r.sweepEvidence(ctx))
		case <-prune.C:
			report(r.prune(ctx))
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			return r.save(last)
		}
	}
}

func (r *Registry) prune(ctx context.Context) error {
	now := r.now()
	err := r.store.Write(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM journey_runs WHERE start_ms < ?`, now.Add(-keepRuns).UnixMilli()); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM centre_down WHERE end_ms < ?`, now.Add(-keepDowntime).UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("prune registry: %w", err)
	}
	return nil
}

// sweepEvidence drops traces that no failed run has claimed, those past their
// time, and the oldest of nodes that hold too many.
func (r *Registry) sweepEvidence(ctx context.Context) error {
	now := r.now()
	err := r.store.Write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM evidence WHERE (NOT kept AND arrived_ms < ?) OR at_ms < ?`,
			now.Add(-evidenceWait).UnixMilli(), now.Add(-keepRuns).UnixMilli())
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM evidence WHERE id IN (SELECT id FROM
			(SELECT id, row_number() OVER (PARTITION BY source, kept ORDER BY at_ms DESC) AS n FROM evidence) WHERE n > ?)`, EvidencePerNode)
		return err
	})
	if err != nil {
		return fmt.Errorf("sweep evidence: %w", err)
	}
	return nil
}
