package incident

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"ghostlight/slo/incident"
)

// An incident is one row, a group of them too. The columns beside body are for
// finding it. changed rises by one with each change of any row, in the order of
// commits, so that whoever remembers it finds what is new.
var tables = []string{
	`CREATE TABLE IF NOT EXISTS incidents (id TEXT PRIMARY KEY, region TEXT NOT NULL, venue TEXT NOT NULL, node TEXT NOT NULL, cause TEXT NOT NULL,
		gathers INTEGER NOT NULL, failed_ms BIGINT NOT NULL, ended_ms BIGINT NOT NULL, changed BIGINT NOT NULL, changed_ms BIGINT NOT NULL, body BLOB NOT NULL)`,
	`CREATE INDEX IF NOT EXISTS incidents_by_venue ON incidents (venue, failed_ms)`,
	`CREATE INDEX IF NOT EXISTS incidents_by_failure ON incidents (failed_ms)`,
	`CREATE INDEX IF NOT EXISTS incidents_open ON incidents (ended_ms) WHERE ended_ms = 0`,
	`CREATE INDEX IF NOT EXISTS incidents_changed ON incidents (changed)`,
	`CREATE INDEX IF NOT EXISTS incidents_by_change ON incidents (changed_ms)`,
	`CREATE TABLE IF NOT EXISTS incident_changes (id INTEGER PRIMARY KEY CHECK (id = 1), n BIGINT NOT NULL)`,
	`INSERT INTO incident_changes VALUES (1, 0) ON CONFLICT DO NOTHING`,
	// The members of groups; the body of a group does not list them, for there may be
	// thousands. A member may be a group that turned out to be part of another.
	`CREATE TABLE IF NOT EXISTS incident_gathered (member TEXT PRIMARY KEY, gathers TEXT NOT NULL)`,
	`CREATE INDEX IF NOT EXISTS incident_gathered_by ON incident_gathered (gathers)`,
	// Under which key people are told of an incident or group: once it has one it
	// keeps it, unless that is the key of another that it only seemed to be part of.
	`CREATE TABLE IF NOT EXISTS incident_pages (id TEXT PRIMARY KEY, page TEXT NOT NULL, at_ms BIGINT NOT NULL)`,
	`CREATE TABLE IF NOT EXISTS incident_alerts (alert TEXT PRIMARY KEY, incident TEXT NOT NULL, resolved_ms BIGINT NOT NULL)`,
	`CREATE INDEX IF NOT EXISTS incident_alerts_of ON incident_alerts (incident)`,
	`CREATE TABLE IF NOT EXISTS incident_plans (venue TEXT NOT NULL, from_ms BIGINT NOT NULL, to_ms BIGINT NOT NULL, note TEXT NOT NULL,
		PRIMARY KEY (venue, from_ms, to_ms, note))`,
}

// A row is an incident as it is stored.
type row struct {
	incident.Incident
	gathers   bool
	changed   int64
	changedMS int64
}

const rowColumns = `body, gathers, changed, changed_ms`

// querier is a pool or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// rows reads the incidents that a clause selects.
func rows(ctx context.Context, q querier, clause string, args ...any) ([]row, error) {
	found, err := q.QueryContext(ctx, `SELECT `+rowColumns+` FROM incidents `+clause, args...)
	if err != nil {
		return nil, fmt.Errorf("read incidents: %w", err)
	}
	defer found.Close()
	var out []row
	for found.Next() {
		var r row
		var body []byte
		if err := found.Scan(&body, &r.gathers, &r.changed, &r.changedMS); err != nil {
			return nil, fmt.Errorf("read incidents: %w", err)
		}
		if r.Incident, err = incident.Decode(body); err != nil {
			return nil, fmt.Errorf("read incidents: %w", err)
		}
		out = append(out, r)
	}
	if err := errors.Join(found.Err(), found.Close()); err != nil {
		return nil, fmt.Errorf("read incidents: %w", err)
	}
	for n := range out {
		if err := out[n].fill(ctx, q); err != nil {
			return nil, fmt.Errorf("read members of %s: %w", out[n].ID(), err)
		}
	}
	return out, nil
}

// fill reads the members of a group.
func (r *row) fill(ctx context.Context, q querier) error {
	if !r.gathers {
		return nil
	}
	found, err := q.QueryContext(ctx, `SELECT member FROM incident_gathered WHERE gathers = ? AND member IN (SELECT id FROM incidents) ORDER BY member`, r.ID())
	if err != nil {
		return err
	}
	defer found.Close()
	var ids []incident.Known[incident.Membership]
	for found.Next() {
		var id string
		if err := found.Scan(&id); err != nil {
			return err
		}
		ids = append(ids, incident.Known[incident.Membership]{Fact: incident.Membership{ID: id}})
	}
	r.Members = ids
	return found.Err()
}

// byID reads the incidents of some ids; those that are not held are absent.
func byID(ctx context.Context, q querier, ids []string) ([]row, error) {
	const most = 500 // parameters of one statement
	var out []row
	for len(ids) > 0 {
		some := ids[:min(most, len(ids))]
		ids = ids[len(some):]
		found, err := rows(ctx, q, `WHERE id IN `+marks(len(some)), anys(some)...)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	return out, nil
}

// marks is a list of n placeholders.
func marks(n int) string { return `(?` + strings.Repeat(`, ?`, n-1) + `)` }

func anys(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}

// merge joins i with what is stored of it as part of tx, and notes when what is new
// became known here. It reports whether anything is new.
func (b *Book) merge(ctx context.Context, tx *sql.Tx, i incident.Incident) (bool, error) {
	return b.put(ctx, tx, i, false, 0)
}

// put is merge; of a group it is told when its members ended.
func (b *Book) put(ctx context.Context, tx *sql.Tx, i incident.Incident, gathers bool, endedMS int64) (bool, error) {
	id, now := i.ID(), b.o.Now()
	i.Members = nil
	var stored []byte
	var ended int64
	err := tx.QueryRowContext(ctx, `SELECT body, ended_ms FROM incidents WHERE id = ?`, id).Scan(&stored, &ended)
	switch {
	case errors.Is(err, sql.ErrNoRows):
	case err != nil:
		return false, fmt.Errorf("store %s: %w", id, err)
	default:
		old, err := incident.Decode(stored)
		if err != nil {
			return false, fmt.Errorf("store %s: what is stored of it: %w", id, err)
		}
		if i, err = incident.Merge(old, i); err != nil {
			return false, fmt.Errorf("store %s: %w", id, err)
		}
	}
	if i, err = b.planned(ctx, tx, i); err != nil {
		return false, fmt.Errorf("store %s: %w", id, err)
	}
	body, err := i.Arrive(now).Encode()
	if err != nil {
		return false, fmt.Errorf("store %s: %w", id, err)
	}
	failed, _ := i.When(incident.Failed)
	if !gathers {
		endedMS = endOf(i)
	}
	if bytes.Equal(body, stored) && endedMS == ended {
		return false, nil
	}
	_, err = tx.ExecContext(ctx, `UPDATE incident_changes SET n = n + 1`)
	if err == nil {
		_, err = tx.ExecContext(ctx, `INSERT INTO incidents VALUES (?, ?, ?, ?, ?, ?, ?, ?, (SELECT n FROM incident_changes), ?, ?)
			ON CONFLICT (id) DO UPDATE SET failed_ms = excluded.failed_ms, ended_ms = excluded.ended_ms, changed = excluded.changed,
			changed_ms = excluded.changed_ms, body = excluded.body`,
			id, i.Scope.Region, i.Scope.Venue, i.Scope.Node, string(i.Scope.Cause), gathers, failed, endedMS, now.UnixMilli(), body)
	}
	if err != nil {
		return false, fmt.Errorf("store %s: %w", id, err)
	}
	return true, nil
}

// planned adds the planned windows of its venue that the incident touches.
func (b *Book) planned(ctx context.Context, tx *sql.Tx, i incident.Incident) (incident.Incident, error) {
	if i.Scope.Venue == "" {
		return i, nil
	}
	failed, _ := i.When(incident.Failed)
	end := endOf(i)
	if end == 0 {
		end = max(failed, b.o.Now().UnixMilli())
	}
	found, err := tx.QueryContext(ctx, `SELECT from_ms, to_ms, note FROM incident_plans WHERE venue = ? AND from_ms <= ? AND to_ms > ? ORDER BY from_ms, to_ms, note LIMIT ?`,
		i.Scope.Venue, end, failed, maxPlans)
	if err != nil {
		return i, err
	}
	defer found.Close()
	for found.Next() {
		var p incident.Plan
		if err := found.Scan(&p.FromMS, &p.ToMS, &p.Text); err != nil {
			return i, err
		}
		i = i.Plan(p)
	}
	return i, found.Err()
}

// endOf is when an incident was over, 0 while it is open.
func endOf(i incident.Incident) int64 {
	if at, ok := i.When(incident.Parity); ok {
		return at
	}
	at, _ := i.When(incident.Closed)
	return at
}

const (
	keep     = 400 * 24 * time.Hour // after the last change of what is over
	keepMost = 200_000              // incidents that are over
)

// prune forgets what has long been over.
func (b *Book) prune(ctx context.Context) error {
	err := b.o.Store.Write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM incidents WHERE ended_ms > 0 AND (changed_ms < ? OR
			changed <= (SELECT coalesce(max(changed), 0) FROM (SELECT changed FROM incidents WHERE ended_ms > 0 ORDER BY changed DESC LIMIT 1 OFFSET ?) AS over))`,
			b.o.Now().Add(-keep).UnixMilli(), keepMost)
		if err != nil {
			return err
		}
		for _, stmt := range []string{
			`DELETE FROM incident_gathered WHERE gathers NOT IN (SELECT id FROM incidents)`,
			`DELETE FROM incident_pages WHERE id NOT IN (SELECT id FROM incidents) AND id NOT IN (SELECT member FROM incident_gathered)`,
			`DELETE FROM incident_alerts WHERE incident NOT IN (SELECT id FROM incidents)`,
		} {
			if _, err := tx.ExecContext(ctx, stmt); err != nil {
				return err
			}
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM incident_plans WHERE to_ms < ?`, b.o.Now().Add(-keep).UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("prune incidents: %w", err)
	}
	return nil
}
