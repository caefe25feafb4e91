package notify

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ErrUnknown means that there is no silence of this id.
var ErrUnknown = errors.New("silence is unknown")

// A Silence holds back pages that match all of its matchers, in [From, To).
type Silence struct {
	ID       string    `json:"id"`
	Matchers []Matcher `json:"matchers"` // at least one
	From     time.Time `json:"from"`
	To       time.Time `json:"to"`
	By       string    `json:"by"`
	Comment  string    `json:"comment,omitempty"`
}

const (
	maxSilences = 1000
	keepSilence = 30 * 24 * time.Hour // after its end
)

// Silence stores a silence, and returns it with its id. It is in force when Silence
// returns.
func (n *Notifier) Silence(ctx context.Context, s Silence) (Silence, error) {
	now := n.o.Now()
	if _, err := matchers(s.Matchers); err != nil {
		return Silence{}, err
	}
	switch {
	case len(s.Matchers) == 0:
		return Silence{}, fmt.Errorf("silence is %w: it has no matcher, and would silence everything", ErrInvalid)
	case !s.To.After(s.From) || !s.To.After(now):
		return Silence{}, fmt.Errorf("silence is %w: it must end after it begins, and after now", ErrInvalid)
	case s.By == "":
		return Silence{}, fmt.Errorf("silence is %w: it does not say whose it is", ErrInvalid)
	}
	s.ID = strings.ToLower(rand.Text()[:16])
	s.From, s.To = s.From.UTC(), s.To.UTC()
	body, err := json.Marshal(s)
	if err != nil || len(body) > maxBody {
		return Silence{}, fmt.Errorf("silence is %w: %d bytes long; allowed: %d", ErrInvalid, len(body), maxBody)
	}
	err = n.o.Store.Write(ctx, func(tx *sql.Tx) error {
		var held int
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM notify_silences WHERE to_ms > ?`, now.UnixMilli()).Scan(&held); err != nil {
			return err
		}
		if held >= maxSilences {
			return fmt.Errorf("%w: there are %d silences already; expire some", ErrInvalid, held)
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO notify_silences VALUES (?, ?, ?)`, s.ID, s.To.UnixMilli(), body)
		return err
	})
	if err != nil {
		return Silence{}, fmt.Errorf("store silence: %w", err)
	}
	n.wakeAll()
	return s, nil
}

// Expire ends a silence now; what it held back and still fires is told. One that has
// ended is left as it is.
func (n *Notifier) Expire(ctx context.Context, id string) error {
	now := n.o.Now().UTC()
	err := n.o.Store.Write(ctx, func(tx *sql.Tx) error {
		var body []byte
		err := tx.QueryRowContext(ctx, `SELECT body FROM notify_silences WHERE id = ?`, id).Scan(&body)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrUnknown
		}
		if err != nil {
			return err
		}
		var s Silence
		if err := json.Unmarshal(body, &s); err != nil {
			return err
		}
		if !s.To.After(now) {
			return nil
		}
		if s.To = now; s.From.After(now) {
			s.From = now
		}
		if body, err = json.Marshal(s); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE notify_silences SET to_ms = ?, body = ? WHERE id = ?`, now.UnixMilli(), body, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("expire silence %s: %w", id, err)
	}
	n.wakeAll()
	return nil
}

// Silences lists the silences that are in force, to come, or ended of late; the one
// that ends last comes first.
func (n *Notifier) Silences(ctx context.Context) ([]Silence, error) {
	rows, err := n.o.Store.Read().QueryContext(ctx, `SELECT body FROM notify_silences`)
	if err != nil {
		return nil, fmt.Errorf("read silences: %w", err)
	}
	defer rows.Close()
	out := []Silence{}
	for rows.Next() {
		var body []byte
		var s Silence
		if err := rows.Scan(&body); err != nil {
			return nil, fmt.Errorf("read silences: %w", err)
		}
		if err := json.Unmarshal(body, &s); err != nil {
			return nil, fmt.Errorf("read silences: %w", err)
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b Silence) int { return cmp.Or(b.To.Compare(a.To), cmp.Compare(a.ID, b.ID)) })
	return out, rows.Err()
}
