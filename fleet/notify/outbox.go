package notify

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// A page is owed to a receiver from the commit that took it until the commit after
// the receiver took it. What was told last stays, for Alertmanager must be told again
// and again. Only the first owed page of a key is ever under way to a receiver.
var tables = []string{
	`CREATE TABLE IF NOT EXISTS notify_pages (key TEXT PRIMARY KEY, body BLOB NOT NULL, changes INTEGER NOT NULL, changed_ms INTEGER NOT NULL) WITHOUT ROWID`,
	`CREATE TABLE IF NOT EXISTS notify_owed (receiver TEXT NOT NULL, key TEXT NOT NULL REFERENCES notify_pages (key), change INTEGER NOT NULL, phase TEXT NOT NULL,
		urgent INTEGER NOT NULL, since_ms INTEGER NOT NULL, attempts INTEGER NOT NULL, due_ms INTEGER NOT NULL, PRIMARY KEY (receiver, key, change)) WITHOUT ROWID`,
	`CREATE TABLE IF NOT EXISTS notify_told (receiver TEXT NOT NULL, key TEXT NOT NULL REFERENCES notify_pages (key), phase TEXT NOT NULL,
		at_ms INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (receiver, key)) WITHOUT ROWID`,
	`CREATE TABLE IF NOT EXISTS notify_log (id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, receiver TEXT NOT NULL, key TEXT NOT NULL,
		phase TEXT NOT NULL, outcome TEXT NOT NULL)`,
	`CREATE INDEX IF NOT EXISTS notify_log_by_key ON notify_log (key)`,
	`CREATE TABLE IF NOT EXISTS notify_silences (id TEXT PRIMARY KEY, to_ms INTEGER NOT NULL, body BLOB NOT NULL) WITHOUT ROWID`,
}

// parcel is an owed page.
type parcel struct {
	Page
	since    time.Time // when it was taken
	attempts int
	told     Phase // "" if the receiver was told nothing of the key
	toldAt   time.Time
}

// group is what the page goes together with.
func (p parcel) group() string {
	if p.Group != "" {
		return p.Group
	}
	return p.Key
}

// load reads what was last notified of a key; nil if nothing was.
func load(ctx context.Context, tx *sql.Tx, key string) (*Notification, int64, error) {
	var body []byte
	var changes int64
	err := tx.QueryRowContext(ctx, `SELECT body, changes FROM notify_pages WHERE key = ?`, key).Scan(&body, &changes)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	var n Notification
	return &n, changes, json.Unmarshal(body, &n)
}

// owe adds a page to what is owed to a receiver. A resolution that nobody was told of
// yet is taken back by a new failure; and only who was told of a failure is told that
// it is over.
func owe(ctx context.Context, tx *sql.Tx, receiver string, n Notification, phase Phase, change int64, now time.Time) error {
	var told, last Phase
	var lastChange, attempts int64
	err := tx.QueryRowContext(ctx, `SELECT phase FROM notify_told WHERE receiver = ? AND key = ?`, receiver, n.Key).Scan(&told)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	err = tx.QueryRowContext(ctx, `SELECT phase, change, attempts FROM notify_owed WHERE receiver = ? AND key = ? ORDER BY change DESC LIMIT 1`,
		receiver, n.Key).Scan(&last, &lastChange, &attempts)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	switch {
	case phase == Fire && last == Resolve && attempts == 0:
		_, err := tx.ExecContext(ctx, `DELETE FROM notify_owed WHERE receiver = ? AND key = ? AND change = ?`, receiver, n.Key, lastChange)
		return err
	case phase == Fire && last == Fire && attempts == 0:
		_, err := tx.ExecContext(ctx, `UPDATE notify_owed SET urgent = ? WHERE receiver = ? AND key = ? AND change = ?`, urgent(n), receiver, n.Key, lastChange)
		return err
	case phase == Resolve && last != Fire && (last != "" || told != Fire):
		return nil
	case phase == Revise && (last != "" && attempts == 0 || last == "" && told == ""):
		return nil // it goes with what is owed, or is nothing to who was told nothing
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO notify_owed VALUES (?, ?, ?, ?, ?, ?, 0, 0)`, receiver, n.Key, change, phase, urgent(n), now.UnixMilli())
	return err
}

// owed reads the pages that may go to a receiver now, the most urgent and then the
// oldest first, and when further ones may.
func (n *Notifier) owed(ctx context.Context, receiver string, now time.Time) ([]parcel, time.Time, error) {
	rows, err := n.o.Store.Read().QueryContext(ctx, `SELECT o.change, o.phase, o.since_ms, o.attempts, o.due_ms, p.body, coalesce(t.phase, ''), coalesce(t.at_ms, 0), t.body
		FROM notify_owed o JOIN notify_pages p ON p.key = o.key LEFT JOIN notify_told t ON t.receiver = o.receiver AND t.key = o.key
		WHERE o.receiver = ?1 AND o.change = (SELECT min(change) FROM notify_owed f WHERE f.receiver = o.receiver AND f.key = o.key)
		ORDER BY o.urgent DESC, o.since_ms, o.key`, receiver)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("read pages owed to %s: %w", receiver, err)
	}
	defer rows.Close()
	var out []parcel
	var next time.Time
	for rows.Next() {
		var p parcel
		var since, due, at int64
		var body, told []byte
		if err := rows.Scan(&p.Change, &p.Phase, &since, &p.attempts, &due, &body, &p.told, &at, &told); err != nil {
			return nil, time.Time{}, fmt.Errorf("read pages owed to %s: %w", receiver, err)
		}
		if t := time.UnixMilli(due); t.After(now) {
			next = sooner(next, t)
			continue
		}
		p.since, p.toldAt = time.UnixMilli(since), time.UnixMilli(at)
		if err := p.decode(body, told); err != nil {
			return nil, time.Time{}, fmt.Errorf("read pages owed to %s: %w", receiver, err)
		}
		out = append(out, p)
	}
	return out, next, rows.Err()
}

func (p *parcel) decode(body, told []byte) error {
	if err := json.Unmarshal(body, &p.Notification); err != nil || p.told != Fire {
		return err
	}
	p.Told = new(Notification)
	return json.Unmarshal(told, p.Told)
}

// firing reads the pages that a receiver holds to be firing.
func (n *Notifier) firing(ctx context.Context, receiver string) ([]Page, error) {
	rows, err := n.o.Store.Read().QueryContext(ctx, `SELECT p.changes, p.body, t.phase, t.body FROM notify_told t JOIN notify_pages p ON p.key = t.key
		WHERE t.receiver = ? AND t.phase = ? ORDER BY t.key`, receiver, Fire)
	if err != nil {
		return nil, fmt.Errorf("read what %s was told: %w", receiver, err)
	}
	defer rows.Close()
	var out []Page
	for rows.Next() {
		p := parcel{Page: Page{Phase: Fire}}
		var body, told []byte
		if err := rows.Scan(&p.Change, &body, &p.told, &told); err != nil {
			return nil, fmt.Errorf("read what %s was told: %w", receiver, err)
		}
		if err := p.decode(body, told); err != nil {
			return nil, fmt.Errorf("read what %s was told: %w", receiver, err)
		}
		out = append(out, p.Page)
	}
	return out, rows.Err()
}

// claim notes, before a try, that it is made, so that it counts even if the process
// dies in it; due says when to try again.
func (n *Notifier) claim(ctx context.Context, receiver string, list []parcel, due func(attempts int) time.Time) error {
	return n.o.Store.Write(ctx, func(tx *sql.Tx) error {
		for _, p := range list {
			_, err := tx.ExecContext(ctx, `UPDATE notify_owed SET attempts = attempts + 1, due_ms = ? WHERE receiver = ? AND key = ? AND change = ?`,
				due(p.attempts).UnixMilli(), receiver, p.Key, p.Change)
			if err != nil {
				return fmt.Errorf("claim page %s for %s: %w", p.Key, receiver, err)
			}
		}
		return nil
	})
}

// settle notes that a receiver took pages.
func (n *Notifier) settle(ctx context.Context, receiver string, list []Page, refresh bool, now time.Time) error {
	return n.o.Store.Write(ctx, func(tx *sql.Tx) error {
		for _, p := range list {
			body, err := p.encode()
			if err != nil {
				return err
			}
			_, err = tx.ExecContext(ctx, `INSERT INTO notify_told VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (receiver, key) DO UPDATE SET body = excluded.body, phase = excluded.phase,
				at_ms = CASE WHEN phase = excluded.phase THEN at_ms ELSE excluded.at_ms END`, receiver, p.Key, p.Phase, now.UnixMilli(), body)
			if err == nil && !refresh {
				err = done(ctx, tx, receiver, p, "sent", now)
			}
			if err != nil {
				return fmt.Errorf("note page %s as told to %s: %w", p.Key, receiver, err)
			}
		}
		return nil
	})
}

// done ends what is owed of one page, and logs how.
func done(ctx context.Context, tx *sql.Tx, receiver string, p Page, outcome string, now time.Time) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM notify_owed WHERE receiver = ? AND key = ? AND change = ?`, receiver, p.Key, p.Change)
	if err == nil {
		_, err = tx.ExecContext(ctx, `INSERT INTO notify_log (at_ms, receiver, key, phase, outcome) VALUES (?, ?, ?, ?, ?)`, now.UnixMilli(), receiver, p.Key, p.Phase, outcome)
	}
	return err
}

func sooner(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}
