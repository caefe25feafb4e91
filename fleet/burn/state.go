package burn

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"ghostlight/fleet/ledger"
	"ghostlight/slo"
)

func (r *Room) migrate(ctx context.Context) error {
	return r.o.Store.Migrate(ctx,
		`CREATE TABLE IF NOT EXISTS burn_watches (scope TEXT NOT NULL, objective TEXT NOT NULL, alerts BLOB NOT NULL, PRIMARY KEY (scope, objective))`,
		// Alerts that somebody is still to be told of.
		`CREATE TABLE IF NOT EXISTS burn_outbox (id INTEGER PRIMARY KEY, alert BLOB NOT NULL)`,
		`CREATE TABLE IF NOT EXISTS burn_pages (id TEXT PRIMARY KEY, incident TEXT NOT NULL, region TEXT NOT NULL, venue TEXT NOT NULL, node TEXT NOT NULL, event TEXT NOT NULL,
			objective TEXT NOT NULL, rule TEXT NOT NULL, fired_ms INTEGER NOT NULL, resolved_ms INTEGER NOT NULL, mark TEXT NOT NULL, why TEXT NOT NULL, at_ms INTEGER NOT NULL)`,
		`CREATE INDEX IF NOT EXISTS burn_pages_by_time ON burn_pages (objective, region, venue, node, fired_ms)`,
		// Scopes of many nodes that were ever watched.
		`CREATE TABLE IF NOT EXISTS burn_places (region TEXT NOT NULL, venue TEXT NOT NULL, objective TEXT NOT NULL, PRIMARY KEY (region, venue, objective))`,
		// Minutes that are to be reviewed, from due_ms on.
		`CREATE TABLE IF NOT EXISTS burn_reviews (region TEXT NOT NULL, venue TEXT NOT NULL, node TEXT NOT NULL, objective TEXT NOT NULL,
			from_minute INTEGER NOT NULL, to_minute INTEGER NOT NULL, due_ms INTEGER NOT NULL, PRIMARY KEY (region, venue, node, objective))`)
}

// states reads the stored alerts of objectives that are not watched as they are
// defined, by objective and scope.
func (r *Room) states(ctx context.Context, defs []ledger.Definition) (map[string]map[string][]byte, error) {
	r.mu.Lock()
	news := map[string]bool{}
	for _, def := range defs {
		if !r.known(def) {
			news[def.Name] = true
		}
	}
	r.mu.Unlock()
	if len(news) == 0 {
		return nil, nil
	}
	rows, err := r.o.Store.Read().QueryContext(ctx, `SELECT scope, objective, alerts FROM burn_watches`)
	if err != nil {
		return nil, fmt.Errorf("read alerts: %w", err)
	}
	defer rows.Close()
	out := map[string]map[string][]byte{}
	for rows.Next() {
		var scope, objective string
		var alerts []byte
		if err := rows.Scan(&scope, &objective, &alerts); err != nil {
			return nil, fmt.Errorf("read alerts: %w", err)
		}
		if !news[objective] {
			continue
		}
		if out[objective] == nil {
			out[objective] = map[string][]byte{}
		}
		out[objective][scope] = alerts
	}
	return out, rows.Err()
}

// keep stores what a step came to in one transaction. After an error the states are
// stored by the next step, and the alerts are told from memory.
func (r *Room) keep(ctx context.Context, now time.Time, alerts []Alert, states []state, reviews map[place]stretch) error {
	if len(alerts) == 0 && len(states) == 0 && len(reviews) == 0 {
		return nil
	}
	err := r.o.Store.Write(ctx, func(tx *sql.Tx) error {
		for _, s := range states {
			if err := keepState(ctx, tx, s); err != nil {
				return err
			}
		}
		for _, a := range alerts {
			if err := keepAlert(ctx, tx, a, now); err != nil {
				return err
			}
		}
		for at, s := range reviews {
			if err := keepReview(ctx, tx, at, s, now.Add(quietFor)); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		return nil
	}
	r.again(alerts, states, reviews)
	return fmt.Errorf("store %d alerts: %w", len(alerts), err)
}

// again has the next step store what could not be stored.
func (r *Room) again(alerts []Alert, states []state, reviews map[place]stretch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unkept = append(r.unkept, alerts...)
	for _, s := range states {
		if p := r.promises[s.objective]; p != nil && p.watches[s.scope] != nil {
			p.watches[s.scope].kept, p.watches[s.scope].moved = "not stored", true
		}
	}
	for at, s := range reviews {
		r.late[at] = r.late[at].join(s)
	}
}

func keepState(ctx context.Context, tx *sql.Tx, s state) (err error) {
	if len(s.alerts) == 0 {
		_, err = tx.ExecContext(ctx, `DELETE FROM burn_watches WHERE scope = ? AND objective = ?`, s.scope, s.objective)
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO burn_watches VALUES (?, ?, ?) ON CONFLICT (scope, objective) DO UPDATE SET alerts = excluded.alerts`, s.scope, s.objective, s.alerts)
	return err
}

func keepAlert(ctx context.Context, tx *sql.Tx, a Alert, now time.Time) error {
	body, err := json.Marshal(a)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO burn_outbox (alert) VALUES (?)`, body); err != nil {
		return err
	}
	if a.Urgency != slo.Page {
		return nil
	}
	p := Page{AlertID: a.ID, Objective: a.Objective, Rule: a.Rule, Event: a.Event, FiredMS: a.Fired.UnixMilli()}
	p.Region, p.Venue = a.Region, a.Venue
	if a.Phase == slo.Resolved {
		p.ResolvedMS = a.Resolved.UnixMilli()
	}
	return keepPage(ctx, tx, p, now)
}

// deliverMost bounds the alerts that are told of in one call.
const deliverMost = 500

// deliver tells of what is in the outbox, oldest first.
func (r *Room) deliver(ctx context.Context) error {
	for {
		ids, alerts, err := r.outbox(ctx)
		if err != nil || len(ids) == 0 {
			return err
		}
		if r.o.Alerts != nil {
			if err := r.o.Alerts(ctx, alerts); err != nil {
				return fmt.Errorf("tell of %d alerts: %w", len(alerts), err)
			}
		}
		err = r.o.Store.Write(ctx, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, `DELETE FROM burn_outbox WHERE id BETWEEN ? AND ?`, ids[0], ids[len(ids)-1])
			return err
		})
		if err != nil {
			return fmt.Errorf("empty the outbox of alerts: %w", err)
		}
	}
}

func (r *Room) outbox(ctx context.Context) (ids []int64, alerts []Alert, err error) {
	rows, err := r.o.Store.Read().QueryContext(ctx, `SELECT id, alert FROM burn_outbox ORDER BY id LIMIT ?`, deliverMost)
	if err != nil {
		return nil, nil, fmt.Errorf("read the outbox of alerts: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		var body []byte
		var a Alert
		if err := rows.Scan(&id, &body); err != nil {
			return nil, nil, fmt.Errorf("read the outbox of alerts: %w", err)
		}
		if err := json.Unmarshal(body, &a); err != nil {
			return nil, nil, fmt.Errorf("read alert %d of the outbox: %w", id, err)
		}
		ids, alerts = append(ids, id), append(alerts, a)
	}
	return ids, alerts, rows.Err()
}
