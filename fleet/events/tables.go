package events

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"ghostlight/fleet/store"
)

// table is as the first version made it; columns are what came later.
const table = `CREATE TABLE IF NOT EXISTS events (
	id TEXT PRIMARY KEY, name TEXT NOT NULL, venues TEXT NOT NULL, start_ms INTEGER NOT NULL, end_ms INTEGER NOT NULL)`

var columns = []struct{ name, kind string }{
	{"doors_ms", "INTEGER NOT NULL DEFAULT 0"},
	{"on_ms", "INTEGER NOT NULL DEFAULT 0"},
	{"off_ms", "INTEGER NOT NULL DEFAULT 0"},
	{"origin", "TEXT NOT NULL DEFAULT ''"},
	{"source", "TEXT NOT NULL DEFAULT ''"},
	{"uid", "TEXT NOT NULL DEFAULT ''"},
	{"recurrence_ms", "INTEGER NOT NULL DEFAULT 0"},
	{"sequence", "INTEGER NOT NULL DEFAULT 0"},
	{"cancelled_ms", "INTEGER NOT NULL DEFAULT 0"},
	{"entry", "TEXT NOT NULL DEFAULT ''"},
}

// migrate makes the table, or makes of an older one what it is now. Events that are
// older than their origin were started by hand.
func migrate(ctx context.Context, st *store.Store) error {
	return st.Write(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, table); err != nil {
			return fmt.Errorf("create tables: %w", err)
		}
		for _, c := range columns {
			var there bool
			if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM pragma_table_info('events') WHERE name = ?`, c.name).Scan(&there); err != nil {
				return fmt.Errorf("create tables: %w", err)
			}
			if there {
				continue
			}
			if _, err := tx.ExecContext(ctx, fmt.Sprintf(`ALTER TABLE events ADD COLUMN %s %s`, c.name, c.kind)); err != nil {
				return fmt.Errorf("create tables: %w", err)
			}
		}
		_, err := tx.ExecContext(ctx, `UPDATE events SET origin = ?, doors_ms = start_ms, on_ms = start_ms - ?,
			off_ms = CASE WHEN end_ms = 0 THEN 0 ELSE end_ms + ? END WHERE origin = ''`, Hand, OnBefore.Milliseconds(), OffAfter.Milliseconds())
		if err == nil {
			_, err = tx.ExecContext(ctx, `CREATE UNIQUE INDEX IF NOT EXISTS events_entries ON events (source, uid, recurrence_ms) WHERE uid <> ''`)
		}
		if err != nil {
			return fmt.Errorf("create tables: %w", err)
		}
		return nil
	})
}

// put stores events, in one transaction.
func put(ctx context.Context, st *store.Store, events []Event) error {
	return st.Write(ctx, func(tx *sql.Tx) error {
		stmt, err := tx.PrepareContext(ctx, `INSERT INTO events
			(id, name, venues, start_ms, end_ms, doors_ms, on_ms, off_ms, origin, source, uid, recurrence_ms, sequence, cancelled_ms, entry)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (id) DO UPDATE SET name = excluded.name, venues = excluded.venues, start_ms = excluded.start_ms, end_ms = excluded.end_ms,
			doors_ms = excluded.doors_ms, on_ms = excluded.on_ms, off_ms = excluded.off_ms, sequence = excluded.sequence,
			cancelled_ms = excluded.cancelled_ms, entry = excluded.entry`)
		if err != nil {
			return err
		}
		defer stmt.Close()
		for _, e := range events {
			venues, err := json.Marshal(e.Venues)
			if err != nil {
				return err
			}
			_, err = stmt.ExecContext(ctx, e.ID, e.Name, string(venues), e.StartMS, e.EndMS, e.DoorsMS, e.OnMS, e.OffMS,
				e.Origin, e.Source, e.UID, e.RecurrenceMS, e.Sequence, e.CancelledMS, e.Entry)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// read returns all events.
func read(ctx context.Context, st *store.Store) ([]Event, error) {
	rows, err := st.Read().QueryContext(ctx, `SELECT id, name, venues, start_ms, end_ms, doors_ms, on_ms, off_ms,
		origin, source, uid, recurrence_ms, sequence, cancelled_ms, entry FROM events`)
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	defer rows.Close()
	var out []Event
	for rows.Next() {
		var e Event
		var venues string
		err := rows.Scan(&e.ID, &e.Name, &venues, &e.StartMS, &e.EndMS, &e.DoorsMS, &e.OnMS, &e.OffMS,
			&e.Origin, &e.Source, &e.UID, &e.RecurrenceMS, &e.Sequence, &e.CancelledMS, &e.Entry)
		if err != nil {
			return nil, fmt.Errorf("read events: %w", err)
		}
		if err := json.Unmarshal([]byte(venues), &e.Venues); err != nil {
			return nil, fmt.Errorf("read event %s: %w", e.ID, err)
		}
		out = append(out, e)
	}
	return out, rows.Err()
}
