package registry

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"ghostlight/healthscore"
	"ghostlight/synthetics"
)

var tables = []string{
	`CREATE TABLE IF NOT EXISTS nodes (source INTEGER PRIMARY KEY REFERENCES sources (id),
		first_seen INTEGER NOT NULL, last_seen INTEGER NOT NULL, goodbye INTEGER NOT NULL, heartbeat TEXT NOT NULL,
		heartbeat_at INTEGER NOT NULL, clock_offset_ns INTEGER NOT NULL, conflicts INTEGER NOT NULL, malformed INTEGER NOT NULL)`,
	`CREATE TABLE IF NOT EXISTS scores (source INTEGER PRIMARY KEY REFERENCES sources (id), at_ms INTEGER NOT NULL, body TEXT NOT NULL)`,
	// end_ms is 0 while the episode goes on.
	`CREATE TABLE IF NOT EXISTS dark_episodes (source INTEGER NOT NULL REFERENCES sources (id), start_ms INTEGER NOT NULL, end_ms INTEGER NOT NULL,
		PRIMARY KEY (source, start_ms)) WITHOUT ROWID`,
	// From a goodbye to the first sign after it; the one that goes on is in nodes.
	`CREATE TABLE IF NOT EXISTS away_episodes (source INTEGER NOT NULL REFERENCES sources (id), start_ms INTEGER NOT NULL, end_ms INTEGER NOT NULL,
		PRIMARY KEY (source, start_ms)) WITHOUT ROWID`,
	`CREATE TABLE IF NOT EXISTS centre_alive (id INTEGER PRIMARY KEY CHECK (id = 1), at_ms INTEGER NOT NULL)`,
	`CREATE TABLE IF NOT EXISTS centre_down (start_ms INTEGER PRIMARY KEY, end_ms INTEGER NOT NULL)`,
	`CREATE TABLE IF NOT EXISTS journey_runs (source INTEGER NOT NULL REFERENCES sources (id), journey TEXT NOT NULL, start_ms INTEGER NOT NULL,
		pass INTEGER NOT NULL, duration_ms REAL NOT NULL, trace_id TEXT NOT NULL, body TEXT NOT NULL,
		PRIMARY KEY (source, journey, start_ms)) WITHOUT ROWID`,
	`CREATE INDEX IF NOT EXISTS journey_runs_by_time ON journey_runs (start_ms)`,
	`CREATE INDEX IF NOT EXISTS journey_runs_failed ON journey_runs (source, trace_id) WHERE NOT pass AND trace_id <> ''`,
	`CREATE TABLE IF NOT EXISTS heals (source INTEGER NOT NULL REFERENCES sources (id), hash TEXT NOT NULL, seq INTEGER NOT NULL, at_ms INTEGER NOT NULL,
		body TEXT NOT NULL, PRIMARY KEY (source, hash)) WITHOUT ROWID`,
	`CREATE INDEX IF NOT EXISTS heals_by_time ON heals (source, at_ms)`,
}

// load reads what earlier runs of the fleet kept, and notes how long the centre
// was down since.
func (r *Registry) load(ctx context.Context) error {
	if err := r.noteDowntime(ctx); err != nil {
		return err
	}
	for _, n := range r.nodes {
		if err := r.loadNode(ctx, n); err != nil {
			return fmt.Errorf("node %s: %w", n.view.Source, err)
		}
	}
	return nil
}

func (r *Registry) noteDowntime(ctx context.Context) error {
	now := r.started.UnixMilli()
	err := r.store.Write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT OR IGNORE INTO centre_down SELECT at_ms, ? FROM centre_alive WHERE at_ms < ?`, now, now)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT OR REPLACE INTO centre_alive VALUES (1, ?)`, now)
		return err
	})
	if err != nil {
		return err
	}
	rows, err := r.store.Read().QueryContext(ctx, `SELECT start_ms, end_ms FROM centre_down ORDER BY start_ms`)
	if err != nil {
		return err
	}
	r.down, err = scanEpisodes(rows)
	return err
}

func (r *Registry) loadNode(ctx context.Context, n *node) error {
	var first, last, at, offset int64
	var hb string
	err := r.store.Read().QueryRowContext(ctx, `SELECT first_seen, last_seen, goodbye, heartbeat, heartbeat_at, clock_offset_ns, conflicts, malformed
		FROM nodes WHERE source = ?`, n.id).Scan(&first, &last, &n.watch.goodbye, &hb, &at, &offset, &n.view.Conflicts, &n.view.Malformed)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return err
	}
	// Nobody was heard in the future: the clock was set back since.
	last = min(last, r.started.UnixMilli())
	n.view.FirstSeen, n.watch.last, n.view.HeartbeatAt = fromMilli(first), fromMilli(last), fromMilli(at)
	n.view.ClockOffset = time.Duration(offset)
	n.view.ClockWrong = n.view.ClockOffset.Abs() > clockWrong
	if err := json.Unmarshal([]byte(hb), &n.view.Heartbeat); err != nil {
		return err
	}
	if err := r.loadScore(ctx, n); err != nil {
		return err
	}
	if err := r.loadRuns(ctx, n); err != nil {
		return err
	}
	return r.loadDark(ctx, n)
}

func (r *Registry) loadDark(ctx context.Context, n *node) error {
	var start, end int64
	err := r.store.Read().QueryRowContext(ctx, `SELECT start_ms, end_ms FROM dark_episodes WHERE source = ? ORDER BY start_ms DESC LIMIT 1`, n.id).Scan(&start, &end)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return err
	case end == 0:
		n.watch.open = &Episode{Start: fromMilli(start)}
	default:
		n.lastDark = Episode{fromMilli(start), fromMilli(end)}
	}
	return nil
}

func (r *Registry) loadScore(ctx context.Context, n *node) error {
	var body string
	err := r.store.Read().QueryRowContext(ctx, `SELECT body, at_ms FROM scores WHERE source = ?`, n.id).Scan(&body, &n.scored)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return err
	}
	n.scored = r.rank(n.scored)
	n.view.Score = new(healthscore.Score)
	return json.Unmarshal([]byte(body), n.view.Score)
}

func (r *Registry) loadRuns(ctx context.Context, n *node) error {
	// Runs from a future that was set right since come after all others.
	rows, err := r.store.Read().QueryContext(ctx, `SELECT body, max(CASE WHEN start_ms > ? THEN start_ms - (1 << 50) ELSE start_ms END)
		FROM journey_runs WHERE source = ? GROUP BY journey`, r.started.Add(clockTolerance).UnixMilli(), n.id)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var body string
		var at int64
		var res synthetics.Result
		if err := rows.Scan(&body, &at); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(body), &res); err != nil {
			return err
		}
		n.last[res.Journey], n.ran[res.Journey] = res, r.rank(res.StartMS)
	}
	return rows.Err()
}

// row is a node's state taken out of the lock to be stored.
type row struct {
	id       int64
	view     View
	goodbye  bool
	episodes []Episode
	aways    []Episode
}

// save stores the nodes that changed and that the centre is alive. What could not
// be stored is kept for the next time.
func (r *Registry) save(ctx context.Context) error {
	rows := r.takeDirty()
	alive := moment{r.now(), r.elapsed()}
	skipped := alive.skipped(r.alive)
	err := r.store.Write(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO centre_alive VALUES (1, ?)`, alive.wall.UnixMilli()); err != nil {
			return err
		}
		if skipped != nil {
			_, err := tx.ExecContext(ctx, `INSERT OR IGNORE INTO centre_down VALUES (?, ?)`, skipped.Start.UnixMilli(), skipped.End.UnixMilli())
			if err != nil {
				return err
			}
		}
		for _, row := range rows {
			if err := row.store(ctx, tx); err != nil {
				return err
			}
		}
		return nil
	})
	r.settle(rows, err == nil)
	if err != nil {
		return fmt.Errorf("save registry: %w", err)
	}
	r.alive = alive
	if skipped != nil {
		r.log.Warn("the centre's clock was set forward, or it slept; the time in between is its own", "by", skipped.End.Sub(skipped.Start).String())
		r.mu.Lock()
		defer r.mu.Unlock()
		r.down = append(r.down, *skipped)
	}
	return nil
}

func (r *Registry) takeDirty() []row {
	r.mu.Lock()
	defer r.mu.Unlock()
	var rows []row
	for _, src := range r.order {
		n := r.nodes[src]
		if n.dirty {
			rows = append(rows, row{n.id, n.copy(), n.watch.goodbye, slices.Clone(n.episodes), slices.Clone(n.aways)})
			n.dirty = false
		}
	}
	return rows
}

// settle drops the episodes that are stored now, or marks the rows to be tried
// again.
func (r *Registry) settle(rows []row, stored bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, row := range rows {
		n := r.nodes[row.view.Source]
		if stored {
			n.episodes, n.aways = n.episodes[len(row.episodes):], n.aways[len(row.aways):]
		} else {
			n.dirty = true
		}
	}
}

func (row row) store(ctx context.Context, tx *sql.Tx) error {
	hb, err := json.Marshal(row.view.Heartbeat)
	if err != nil {
		return err
	}
	v := row.view
	_, err = tx.ExecContext(ctx, `INSERT OR REPLACE INTO nodes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`, row.id, toMilli(v.FirstSeen), toMilli(v.LastSeen),
		row.goodbye, string(hb), toMilli(v.HeartbeatAt), int64(v.ClockOffset), v.Conflicts, v.Malformed)
	if err != nil {
		return err
	}
	for _, ep := range row.episodes {
		_, err := tx.ExecContext(ctx, `INSERT INTO dark_episodes VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET end_ms = max(end_ms, excluded.end_ms)`,
			row.id, toMilli(ep.Start), toMilli(ep.End))
		if err != nil {
			return err
		}
	}
	for _, ep := range row.aways {
		_, err := tx.ExecContext(ctx, `INSERT INTO away_episodes VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET end_ms = max(end_ms, excluded.end_ms)`,
			row.id, toMilli(ep.Start), toMilli(ep.End))
		if err != nil {
			return err
		}
	}
	return nil
}

func scanEpisodes(rows *sql.Rows) ([]Episode, error) {
	defer rows.Close()
	var out []Episode
	for rows.Next() {
		var start, end int64
		if err := rows.Scan(&start, &end); err != nil {
			return nil, err
		}
		out = append(out, Episode{fromMilli(start), fromMilli(end)})
	}
	return out, rows.Err()
}

// toMilli keeps the zero time as 0.
func toMilli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMilli(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}
