package app

import (
	"context"
	"log/slog"
	"time"

	"ghostlight/fleet/burn"
	"ghostlight/fleet/incident"
)

const (
	auditBack  = 24 * time.Hour // of changes that are told again after a start
	auditEvery = 5 * time.Second
)

// audit hands the pages of nodes to who audits them, until ctx ends. What is told
// again after a start changes nothing there.
func audit(ctx context.Context, book *incident.Book, room *burn.Room, log *slog.Logger) error {
	var seen int64
	since := time.Now().Add(-auditBack)
	pause := time.NewTicker(auditEvery)
	defer pause.Stop()
	for {
		changed := book.Changed()
		list, last, err := book.Changes(ctx, seen, since)
		if err == nil {
			err = room.Heard(ctx, burn.PagesOf(list)...)
		}
		if err == nil {
			seen = last
		} else if ctx.Err() == nil {
			log.Error("pages cannot be audited, will retry", "error", err)
			changed = nil // try again at the next tick
		}
		select {
		case <-ctx.Done():
			return nil
		case <-pause.C:
		}
		if changed != nil {
			select {
			case <-ctx.Done():
				return nil
			case <-changed:
			}
		}
	}
}
