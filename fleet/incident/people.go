package incident

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"ghostlight/slo/incident"
)

const (
	maxPlans = 64                   // planned windows of a venue that one incident takes
	maxPlan  = 31 * 24 * time.Hour  // length of a planned window
	farPlan  = 366 * 24 * time.Hour // how far off one may be
)

// A Plan is a planned window in which a venue's failures do not count as lost time.
type Plan struct {
	From, To time.Time
	By       string
	Text     string
}

// Acknowledge notes that somebody takes an incident on; text may be empty.
func (b *Book) Acknowledge(ctx context.Context, id, by, text string) error {
	return b.write(ctx, id, by, text, func(i incident.Incident, n incident.Note) []incident.Incident {
		n.Acknowledges = true
		return []incident.Incident{i.Note(n)}
	}, nil)
}

// Note adds what somebody writes; text is needed.
func (b *Book) Note(ctx context.Context, id, by, text string) error {
	if strings.TrimSpace(text) == "" {
		return fmt.Errorf("note on %s is %w: it says nothing", id, ErrInvalid)
	}
	return b.write(ctx, id, by, text, func(i incident.Incident, n incident.Note) []incident.Incident {
		return []incident.Incident{i.Note(n)}
	}, nil)
}

// Close ends an incident that will not come to parity, and with a group all members
// that go on; text may be empty. It fails again, it is open again.
func (b *Book) Close(ctx context.Context, id, by, text string) error {
	closed := func(i incident.Incident, at int64) incident.Incident {
		spells := i.Spells()
		return i.Mark(incident.Mark{Stage: incident.Closed, SpellMS: spells[len(spells)-1].StartMS, AtMS: at, Source: incident.Centre})
	}
	return b.write(ctx, id, by, text, func(i incident.Incident, n incident.Note) []incident.Incident {
		if text == "" {
			n.Text = "closed"
		}
		return []incident.Incident{closed(i.Note(n), n.AtMS)}
	}, closed)
}

// write changes one incident by what a person said, and its open members by member.
func (b *Book) write(ctx context.Context, id, by, text string, fn func(incident.Incident, incident.Note) []incident.Incident, member func(incident.Incident, int64) incident.Incident) error {
	by, text = strings.TrimSpace(by), strings.TrimSpace(text)
	if err := said(by, text); err != nil {
		return fmt.Errorf("what is said of %s is %w: %w", id, ErrInvalid, err)
	}
	now := b.o.Now().UnixMilli()
	err := b.o.Store.Write(ctx, func(tx *sql.Tx) error {
		r, err := resolve(ctx, tx, id)
		if err != nil {
			return err
		}
		changed := fn(r.Incident, incident.Note{By: by, Text: text, AtMS: now, Source: incident.Centre})
		if member != nil {
			members, err := byID(ctx, tx, r.MemberIDs())
			if err != nil {
				return err
			}
			for _, m := range members {
				if m.Open() {
					changed = append(changed, member(m.Incident, now))
				}
			}
		}
		for _, i := range changed {
			if _, err := b.put(ctx, tx, i, r.gathers && i.ID() == r.ID(), endOf(i)); err != nil {
				return err
			}
		}
		return nil
	})
	return b.written(id, err)
}

// written wakes whoever judges, or says what the person can do about an error.
func (b *Book) written(id string, err error) error {
	switch {
	case errors.Is(err, incident.ErrLimit), errors.Is(err, incident.ErrMalformed):
		return fmt.Errorf("what is said of %s is %w: %w", id, ErrInvalid, err)
	case err != nil:
		return fmt.Errorf("write to %s: %w", id, err)
	}
	b.hurry()
	return nil
}

func said(by, text string) error {
	switch {
	case by == "":
		return errors.New("it does not say whose it is")
	case len(by) > incident.MaxName:
		return fmt.Errorf("the name is %d bytes long; allowed: %d", len(by), incident.MaxName)
	case len(text) > incident.MaxText:
		return fmt.Errorf("the text is %d bytes long; allowed: %d", len(text), incident.MaxText)
	case !utf8.ValidString(by) || !utf8.ValidString(text):
		return errors.New("it is not UTF-8")
	}
	return nil
}

// resolve finds an incident or group by any of its ids.
func resolve(ctx context.Context, q querier, id string) (row, error) {
	found, err := byID(ctx, q, []string{id})
	if err != nil {
		return row{}, err
	}
	if len(found) == 0 {
		found, err = rows(ctx, q, `WHERE id = (SELECT gathers FROM incident_gathered WHERE member = ?)`, id)
	}
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("%w: %s", ErrUnknown, id)
	}
	if err != nil {
		return row{}, err
	}
	return found[0], nil
}

// Plan takes a planned window out of what counts: of one incident by its id, or of
// all of a venue, those to come included.
func (b *Book) Plan(ctx context.Context, what string, p Plan) error {
	p.By, p.Text = strings.TrimSpace(p.By), strings.TrimSpace(p.Text)
	text := strings.TrimSpace(p.Text + " (" + p.By + ")")
	now := b.o.Now()
	err := said(p.By, text)
	switch {
	case err != nil:
	case !p.To.After(p.From):
		err = errors.New("it ends before it begins")
	case p.To.Sub(p.From) > maxPlan:
		err = fmt.Errorf("it lasts %s; allowed: 31 days", p.To.Sub(p.From))
	case p.From.Before(now.Add(-farPlan)) || p.To.After(now.Add(farPlan)):
		err = errors.New("it is more than a year away")
	}
	if err != nil {
		return fmt.Errorf("planned window of %s is %w: %w", what, ErrInvalid, err)
	}
	plan := incident.Plan{FromMS: p.From.UnixMilli(), ToMS: p.To.UnixMilli(), Text: text}
	err = b.o.Store.Write(ctx, func(tx *sql.Tx) error {
		if strings.HasPrefix(what, "inc-") {
			r, err := resolve(ctx, tx, what)
			if err != nil {
				return err
			}
			_, err = b.put(ctx, tx, r.Incident.Plan(plan), r.gathers, endOf(r.Incident))
			return err
		}
		return b.planVenue(ctx, tx, what, plan)
	})
	return b.written(what, err)
}

func (b *Book) planVenue(ctx context.Context, tx *sql.Tx, venue string, p incident.Plan) error {
	var held int
	if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM incident_plans WHERE venue = ? AND to_ms > ?`, venue, b.o.Now().UnixMilli()).Scan(&held); err != nil {
		return err
	}
	known := false
	for _, v := range b.o.Nodes.Nodes() {
		known = known || v.Venue == venue
	}
	switch {
	case !known:
		return fmt.Errorf("%w: the fleet has no venue %q", ErrInvalid, venue)
	case held >= maxPlans:
		return fmt.Errorf("%w: the venue has %d planned windows to come; wait until some are over", ErrInvalid, held)
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO incident_plans VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`, venue, p.FromMS, p.ToMS, p.Text); err != nil {
		return err
	}
	found, err := rows(ctx, tx, `WHERE venue = ? AND gathers = 0 AND failed_ms < ? AND (ended_ms = 0 OR ended_ms > ?)`, venue, p.ToMS, p.FromMS)
	if err != nil {
		return err
	}
	for _, r := range found {
		if _, err := b.merge(ctx, tx, r.Incident); err != nil {
			return err
		}
	}
	return nil
}
