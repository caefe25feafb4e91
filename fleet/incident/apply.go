package incident

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/fleet/store"
	"ghostlight/slo/incident"
)

// Kinds lists the record kinds that Apply takes.
func (b *Book) Kinds() []string { return []string{incident.Kind} }

// Apply merges what src says of one of its own incidents as part of tx; order and
// repeats change nothing. An error that wraps [store.ErrMalformed] means that the
// record can never be stored; nothing of it is.
func (b *Book) Apply(ctx context.Context, tx *sql.Tx, src buffer.Source, rec delta.Record) error {
	i, err := incident.Heard(rec.Key, rec.Body, src.Region, src.Venue, src.Node)
	if err != nil {
		return fmt.Errorf("%w: %w", store.ErrMalformed, err)
	}
	_, err = b.merge(ctx, tx, i)
	if errors.Is(err, incident.ErrLimit) || errors.Is(err, incident.ErrMalformed) {
		return fmt.Errorf("%w: %w", store.ErrMalformed, err)
	}
	return err
}
