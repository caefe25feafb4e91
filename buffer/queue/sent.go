package queue

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"ghostlight/buffer"
)

// exactFrom blocks must wait before it is worth writing down exactly which of
// them may have been sent.
const exactFrom = 8

// A sent mark says, after a restart, which blocks of a file may be with the fleet
// and so must stay as they are. It is stored before the first block is handed out
// as "all that exist", which needs no write for each that follows, and made exact
// by a commit once nothing is out: a backlog that grows while the fleet cannot be
// reached can be merged and thinned, whatever becomes of the process.
type sent struct {
	All   bool                `json:"all,omitempty"`
	Below map[buffer.Lane]key `json:"below,omitempty"` // all blocks of the lane up to this one
	Keys  []key               `json:"keys,omitempty"`  // and these
}

const sentMark = "sent"

// readSent returns the mark of a file. One that cannot be read says all.
func readSent(ctx context.Context, db querier) (sent, error) {
	var s sent
	err := readMark(ctx, db, sentMark, &s)
	if errors.Is(err, errDamaged) {
		return sent{All: true}, nil
	}
	return s, err
}

func writeSent(ctx context.Context, tx *sql.Tx, s sent) error { return writeMark(ctx, tx, sentMark, s) }

// readMark reads a mark into v, which stays as it is if there is none. A mark that
// is no JSON is damaged.
func readMark(ctx context.Context, db querier, name string, v any) error {
	var text []byte
	err := db.QueryRowContext(ctx, "SELECT value FROM marks WHERE name = ?", name).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("%w: mark %q: %w", errDamaged, name, err)
	}
	return nil
}

func writeMark(ctx context.Context, tx *sql.Tx, name string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO marks (name, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", name, string(text))
	return err
}

// noteSending makes the file say that all its blocks may be sent, before any is.
func (q *Queue) noteSending(ctx context.Context, f *file) error {
	f.mu.Lock()
	all := f.sent.All
	f.mu.Unlock()
	if all {
		return nil
	}
	return q.submit(ctx, &op{sending: f, done: make(chan struct{})})
}

// markSent writes the mark if it changes with this transaction.
func (q *Queue) markSent(c *change, sending bool) error {
	switch {
	case sending:
		c.sent = &sent{All: true}
	case c.f.sent.All && c.blocks() >= exactFrom:
		q.mu.Lock()
		exact, quiet := q.flight.exact(c.f)
		q.mu.Unlock()
		if !quiet {
			return nil
		}
		c.sent = &exact
	default:
		return nil
	}
	return writeSent(c.ctx, c.tx, *c.sent)
}

// blocks is how many blocks the file holds with this transaction.
func (c *change) blocks() (n int64) {
	for _, lane := range c.f.lanes {
		n += c.lane(lane).Blocks
	}
	return n
}
