package app

import (
	"context"
	"database/sql"
	"log/slog"
	"strings"

	"ghostlight/buffer"
	"ghostlight/fleet/config"
	"ghostlight/fleet/evidence"
	"ghostlight/fleet/store"
	"ghostlight/synthetics"
)

func openEvidence(ctx context.Context, cfg config.Evidence, st *store.Store, log *slog.Logger) (*evidence.Store, error) {
	return evidence.New(ctx, evidence.Options{
		Store: st, MaxAge: cfg.MaxAge.D(), MaxBytes: int64(cfg.MaxBytes), Hold: cfg.Hold.D(), HoldBytes: int64(cfg.HoldBytes), Log: log,
	})
}

// claimTrace keeps the trace of a failed run.
func claimTrace(kept *evidence.Store) func(context.Context, *sql.Tx, buffer.Source, synthetics.Result) error {
	return func(ctx context.Context, tx *sql.Tx, src buffer.Source, failed synthetics.Result) error {
		return kept.Claim(ctx, tx, src, evidence.Claim{
			TraceID: failed.TraceID, Kind: evidence.KindJourney, Name: failed.Journey, AtMS: failed.StartMS,
			Detail: strings.Trim(failed.FailedStep+": "+failed.Error, ": "),
		})
	}
}
