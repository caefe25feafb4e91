// Package events keeps the shows that venues hold: each has a name, its venues, a
// start and an end. An event is durable before Create returns its id; ending it
// twice changes nothing. It judges nothing: reports read its window.
package events

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ghostlight/fleet/store"
)

var (
	// ErrUnknown means that no event has this id.
	ErrUnknown = errors.New("event is unknown")
	// ErrInvalid means that an event cannot be created as asked; its message says
	// what is allowed.
	ErrInvalid = errors.New("event is not valid")
)

// MaxName bounds an event's name in bytes.
const MaxName = 200

// An Event is one show.
type Event struct {
	ID      string   `json:"id"`
	Name    string   `json:"name"`
	Venues  []string `json:"venues"`   // sorted, at least one
	StartMS int64    `json:"start_ms"` // Unix milliseconds
	EndMS   int64    `json:"end_ms"`   // Unix milliseconds; 0 while it goes on
}

// Open reports whether the event has not ended.
func (e Event) Open() bool { return e.EndMS == 0 }

// Window is the event's time range, [from, to); to is now while it goes on.
func (e Event) Window(now time.Time) (from, to time.Time) {
	if e.Open() {
		return time.UnixMilli(e.StartMS), now
	}
	return time.UnixMilli(e.StartMS), time.UnixMilli(e.EndMS)
}

// A Calendar holds all events. Its methods may be called concurrently.
type Calendar struct {
	store  *store.Store
	venues []string // sorted
	now    func() time.Time
}

// New opens the calendar for a fleet that has the given venues. now is the clock;
// nil means time.Now.
func New(ctx context.Context, st *store.Store, venues []string, now func() time.Time) (*Calendar, error) {
	if now == nil {
		now = time.Now
	}
	err := st.Migrate(ctx, `CREATE TABLE IF NOT EXISTS events (
		id TEXT PRIMARY KEY, name TEXT NOT NULL, venues TEXT NOT NULL, start_ms INTEGER NOT NULL, end_ms INTEGER NOT NULL)`)
	if err != nil {
		return nil, fmt.Errorf("open events: %w", err)
	}
	sorted := slices.Clone(venues)
	slices.Sort(sorted)
	return &Calendar{store: st, venues: slices.Compact(sorted), now: now}, nil
}

// Create starts an event at its venues now. The error is [ErrInvalid] when the
// name is empty or too long, or a venue is not of this fleet.
func (c *Calendar) Create(ctx context.Context, name string, venues []string) (Event, error) {
	name = strings.TrimSpace(name)
	if name == "" || len(name) > MaxName {
		return Event{}, fmt.Errorf("%w: name must have 1 to %d bytes", ErrInvalid, MaxName)
	}
	venues = slices.Clone(venues)
	slices.Sort(venues)
	venues = slices.Compact(venues)
	if len(venues) == 0 {
		return Event{}, fmt.Errorf("%w: name at least one venue of: %s", ErrInvalid, strings.Join(c.venues, ", "))
	}
	for _, v := range venues {
		if _, ok := slices.BinarySearch(c.venues, v); !ok {
			return Event{}, fmt.Errorf("%w: venue %q is unknown; allowed: %s", ErrInvalid, v, strings.Join(c.venues, ", "))
		}
	}
	list, err := json.Marshal(venues)
	if err != nil {
		return Event{}, err
	}
	e := Event{ID: strings.ToLower(rand.Text()[:16]), Name: name, Venues: venues, StartMS: c.now().UnixMilli()}
	err = c.store.Write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO events VALUES (?, ?, ?, ?, 0)`, e.ID, e.Name, string(list), e.StartMS)
		return err
	})
	if err != nil {
		return Event{}, fmt.Errorf("create event: %w", err)
	}
	return e, nil
}

// End ends an event now and returns it; one that has ended keeps its end. The
// error is [ErrUnknown] when there is none of this id.
func (c *Calendar) End(ctx context.Context, id string) (Event, error) {
	err := c.store.Write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE events SET end_ms = max(start_ms + 1, ?) WHERE id = ? AND end_ms = 0`, c.now().UnixMilli(), id)
		return err
	})
	if err != nil {
		return Event{}, fmt.Errorf("end event %s: %w", id, err)
	}
	return c.Get(ctx, id)
}

// Get returns one event, or [ErrUnknown].
func (c *Calendar) Get(ctx context.Context, id string) (Event, error) {
	found, err := c.query(ctx, `WHERE id = ?`, id)
	if err != nil {
		return Event{}, err
	}
	if len(found) == 0 {
		return Event{}, fmt.Errorf("%w: %s", ErrUnknown, id)
	}
	return found[0], nil
}

// List returns all events, the latest start first.
func (c *Calendar) List(ctx context.Context) ([]Event, error) {
	return c.query(ctx, `ORDER BY start_ms DESC, id`)
}

func (c *Calendar) query(ctx context.Context, clause string, args ...any) ([]Event, error) {
	rows, err := c.store.Read().QueryContext(ctx, `SELECT id, name, venues, start_ms, end_ms FROM events `+clause, args...)
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	defer rows.Close()
	out := []Event{}
	for rows.Next() {
		var e Event
		var venues string
		if err := rows.Scan(&e.ID, &e.Name, &venues, &e.StartMS, &e.EndMS); err != nil {
			return nil, fmt.Errorf("read events: %w", err)
		}
		if err := json.Unmarshal([]byte(venues), &e.Venues); err != nil {
			return nil, fmt.Errorf("read event %s: %w", e.ID, err)
		}
		out = append(out, e)
	}
	return out, rows.Err()
}
