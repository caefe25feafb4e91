package incident

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"ghostlight/slo"
	"ghostlight/slo/incident"
)

// An Alert is a burn alert of many nodes: it fired, or it resolved. Empty parts of
// its place mean all; Event is the id of the show, if it is of one show's budget.
type Alert struct {
	slo.Alert
	Region, Venue, Event string
}

// Alerts takes what fired and resolved. While any alert of an objective fires in a
// place, the incident of that place goes on. Repeats change nothing.
func (b *Book) Alerts(ctx context.Context, list []Alert) error {
	err := b.o.Store.Write(ctx, func(tx *sql.Tx) error {
		for _, a := range list {
			if err := b.alert(ctx, tx, a); err != nil {
				return fmt.Errorf("take alert %s: %w", a.ID, err)
			}
		}
		return nil
	})
	if err == nil {
		b.hurry()
	}
	return err
}

func (b *Book) alert(ctx context.Context, tx *sql.Tx, a Alert) error {
	var id string
	var resolved int64
	err := tx.QueryRowContext(ctx, `SELECT incident, resolved_ms FROM incident_alerts WHERE alert = ?`, a.ID).Scan(&id, &resolved)
	known := !errors.Is(err, sql.ErrNoRows)
	switch {
	case err != nil && known:
		return err
	case resolved != 0 || (a.Phase != slo.Firing && a.Phase != slo.Resolved):
		return nil
	}
	var i incident.Incident
	if known {
		found, err := rows(ctx, tx, `WHERE id = ?`, id)
		if err != nil || len(found) == 0 {
			return err
		}
		i = found[0].Incident
	} else if i, err = b.begins(ctx, tx, a); err != nil {
		return err
	}
	if a.Phase == slo.Resolved {
		resolved = max(1, a.Resolved.UnixMilli())
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO incident_alerts VALUES (?, ?, ?) ON CONFLICT (alert) DO UPDATE SET resolved_ms = excluded.resolved_ms`, a.ID, i.ID(), resolved)
	if err != nil {
		return err
	}
	if resolved != 0 {
		if i, err = ends(ctx, tx, i); err != nil {
			return err
		}
	}
	_, err = b.merge(ctx, tx, i)
	return err
}

// begins is the incident that an alert is of: the one of its place that goes on, or a
// new failure of it.
func (b *Book) begins(ctx context.Context, tx *sql.Tx, a Alert) (incident.Incident, error) {
	s := incident.Scope{Region: a.Region, Venue: a.Venue, Cause: incident.Objective, Name: a.Objective}
	found, err := rows(ctx, tx, `WHERE region = ? AND venue = ? AND node = '' AND cause = ? AND gathers = 0 ORDER BY failed_ms DESC`, s.Region, s.Venue, string(s.Cause))
	if err != nil {
		return incident.Incident{}, err
	}
	var last *incident.Incident
	for _, r := range found {
		if r.Scope == s {
			last = &r.Incident
			break
		}
	}
	var i incident.Incident
	if last != nil && last.Open() {
		i = *last // another rule of it
	} else {
		i = incident.Fail(last, s, a.Start, b.o.Flap)
	}
	spells := i.Spells()
	return i.Rate(incident.Severity{Urgency: a.Urgency, AtMS: a.Fired.UnixMilli(), Source: incident.Centre, Rule: a.Rule, Event: a.Event}).
		Mark(incident.Mark{Stage: incident.Detected, SpellMS: spells[len(spells)-1].StartMS, AtMS: a.Fired.UnixMilli(), Source: incident.Centre}), nil
}

// ends marks the end of the incident once none of its alerts fires: when the last of
// them resolved, things were well.
func ends(ctx context.Context, tx *sql.Tx, i incident.Incident) (incident.Incident, error) {
	var firing, last int64
	err := tx.QueryRowContext(ctx, `SELECT coalesce(sum(CASE WHEN resolved_ms = 0 THEN 1 ELSE 0 END), 0), coalesce(max(resolved_ms), 0) FROM incident_alerts WHERE incident = ?`,
		i.ID()).Scan(&firing, &last)
	if err != nil || firing > 0 {
		return i, err
	}
	for _, s := range i.Spells() {
		if s.ParityMS == 0 {
			at := max(last, s.FailedMS)
			i = i.Mark(incident.Mark{Stage: incident.Mitigated, SpellMS: s.StartMS, AtMS: at, Source: incident.Centre}).
				Mark(incident.Mark{Stage: incident.Parity, SpellMS: s.StartMS, AtMS: at, Source: incident.Centre})
		}
	}
	return i, nil
}
