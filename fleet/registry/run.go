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

	keepRuns     = 90 * 24 * time.Hour // runs of journeys
	keepDowntime = 400 * 24 * time.Hour
)

// Run judges silence and saves what changed until ctx ends, then saves once more.
func (r *Registry) Run(ctx context.Context) error {
	judge, save := time.NewTicker(judgeEvery), time.NewTicker(saveEvery)
	prune := time.NewTicker(pruneEvery)
	defer judge.Stop()
	defer save.Stop()
	defer prune.Stop()
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
