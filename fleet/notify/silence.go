package notify

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// silence holds back what a silence covers. A page that is over by the time its
// silence ends is never told; one that goes on is told then. Who was told of a page
// before it was silenced is told that it is over.
func (c *courier) silence(ctx context.Context, now time.Time, in []parcel) ([]parcel, error) {
	stored, err := c.n.Silences(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]quiet, len(stored))
	for i, s := range stored {
		list[i].Silence = s
		if list[i].match, err = matchers(s.Matchers); err != nil {
			return nil, fmt.Errorf("silence %s: %w", s.ID, err)
		}
	}
	var out, over []parcel
	for _, p := range in {
		until := silencedUntil(list, p, now)
		switch {
		case until.IsZero():
			out = append(out, p)
		case p.Status == Resolved:
			over = append(over, p)
		default:
			c.again(until)
		}
	}
	return out, c.drop(ctx, now, over)
}

// quiet is a silence ready to be matched.
type quiet struct {
	Silence
	match func(labels map[string]string) bool
}

// silencedUntil is when the silences that cover a page end; zero if none does. One
// that covered all of what is over covers what is told of it afterwards.
func silencedUntil(list []quiet, p parcel, now time.Time) time.Time {
	var until time.Time
	if p.Phase == Resolve {
		return until
	}
	labels := p.Labels()
	for _, s := range list {
		if !s.match(labels) {
			continue
		}
		active := !now.Before(s.From) && now.Before(s.To)
		covered := p.Status == Resolved && !p.Since.Before(s.From) && !p.Until.After(s.To)
		if (active || covered) && s.To.After(until) {
			until = s.To
		}
	}
	return until
}

// drop ends what is owed of silenced pages that are over, their resolution included
// unless the receiver was told of them before.
func (c *courier) drop(ctx context.Context, now time.Time, list []parcel) error {
	if len(list) == 0 {
		return nil
	}
	err := c.n.o.Store.Write(ctx, func(tx *sql.Tx) error {
		for _, p := range list {
			if err := done(ctx, tx, c.route.Name, p.Page, "silenced", now); err != nil {
				return err
			}
			if p.told == Fire {
				continue
			}
			// Only a resolution may follow at once: it was of this page.
			_, err := tx.ExecContext(ctx, `DELETE FROM notify_owed WHERE receiver = ?1 AND key = ?2 AND phase = ?3
				AND change = (SELECT min(change) FROM notify_owed WHERE receiver = ?1 AND key = ?2)`, c.route.Name, p.Key, Resolve)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("drop silenced pages of %s: %w", c.route.Name, err)
	}
	c.n.metrics.silenced.WithLabelValues(c.route.Name).Add(float64(len(list)))
	c.again(now) // what comes after them may go
	return nil
}
