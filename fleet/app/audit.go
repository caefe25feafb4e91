package app

import (
	"context"
	"log/slog"
	"time"

	"ghostlight/buffer"
	"ghostlight/fleet/burn"
	"ghostlight/fleet/incident"
	"ghostlight/slo"
	scopes "ghostlight/slo/incident"
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
			err = room.Heard(ctx, pagesOf(list)...)
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

// pagesOf are the pages that nodes raised because an objective of theirs burnt.
func pagesOf(list []scopes.Incident) []burn.Page {
	var out []burn.Page
	for _, i := range list {
		s := i.Scope
		if s.Node == "" || s.Cause != scopes.Objective || i.Urgency() != slo.Page {
			continue
		}
		p := burn.Page{Source: buffer.Source{Region: s.Region, Venue: s.Venue, Node: s.Node}, IncidentID: i.ID(), Objective: s.Name}
		var ok bool
		if p.FiredMS, ok = i.When(scopes.Detected); !ok {
			p.FiredMS, _ = i.When(scopes.Failed)
		}
		p.ResolvedMS, _ = i.When(scopes.Parity)
		out = append(out, p)
	}
	return out
}
