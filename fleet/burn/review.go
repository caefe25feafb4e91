package burn

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"ghostlight/buffer/wire"
	"ghostlight/fleet/ledger"
	"ghostlight/slo"
)

const (
	lateAfter  = 2                // minutes after which a change is late, and what it changes is reviewed
	quietFor   = 2 * time.Minute  // from what asks for a review until the review: the rest may be on its way
	wideFor    = time.Hour        // the same of regions and the fleet, which cost more
	openFor    = 10 * time.Minute // between reviews while data is to come
	reviewMost = 48 * 60          // minutes reviewed at once
)

// A stretch is [from, to) in minutes since the Unix epoch; the zero stretch is empty.
type stretch struct{ from, to int64 }

func (s stretch) join(t stretch) stretch {
	if s == (stretch{}) {
		return t
	}
	return stretch{min(s.from, t.from), max(s.to, t.to)}
}

// pageTiers are the burn alerts that wake somebody.
func pageTiers(o slo.Objective) (out []slo.Tier) {
	for _, t := range o.BurnTiers() {
		if t.Urgency == slo.Page {
			out = append(out, t)
		}
	}
	return out
}

// pageMinutes is how far back they look, and those of shows.
func pageMinutes(o slo.Objective) int64 {
	longest := time.Hour
	for _, t := range pageTiers(o) {
		longest = max(longest, t.Long)
	}
	return int64(longest/time.Minute) + o.Slice.Minutes
}

// isLate notes what a late change may have changed: all windows that hold the minute,
// and those a little before, which were complete only when it lacked already.
func (p *promise) isLate(m *member, minute int64) {
	p.late = true
	s := stretch{minute - lateAfter - 1, minute + p.back + 1}
	if !p.def.Indicator.Central() {
		m.late = m.late.join(s)
	}
	for _, w := range m.watches {
		if w.show == nil {
			w.late = w.late.join(s)
		}
	}
}

// keepReview asks for a review, or widens the one that is asked for.
func keepReview(ctx context.Context, tx *sql.Tx, at place, s stretch, due time.Time) error {
	if at.Venue == "" {
		due = due.Add(wideFor - quietFor)
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO burn_reviews VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (region, venue, node, objective) DO UPDATE SET
		from_minute = CASE WHEN excluded.from_minute < burn_reviews.from_minute THEN excluded.from_minute ELSE burn_reviews.from_minute END,
		to_minute = CASE WHEN excluded.to_minute > burn_reviews.to_minute THEN excluded.to_minute ELSE burn_reviews.to_minute END,
		due_ms = CASE WHEN excluded.due_ms < burn_reviews.due_ms THEN excluded.due_ms ELSE burn_reviews.due_ms END`,
		at.Region, at.Venue, at.Node, at.objective, s.from, s.to, due.UnixMilli())
	return err
}

// birthMost is how far back a scope is reviewed that is watched for the first time, in
// minutes.
const birthMost = 7 * 24 * 60

// born has scopes reviewed that are watched for the first time: a venue is a scope of
// many nodes once its second is heard of, and what that one tells then of the time
// before is late for a watch that was not there.
func (r *Room) born(ctx context.Context, now time.Time) error {
	fresh := map[place]stretch{}
	r.mu.Lock()
	for _, p := range r.promises {
		if p.born {
			continue
		}
		known := len(fresh)
		for at, spans := range p.places {
			to := place{at, p.def.Name}
			if r.places[to] {
				continue
			}
			s := stretch{slo.MinuteOf(now), slo.MinuteOf(now) + 1}
			for _, span := range spans {
				s.from = min(s.from, span.From)
			}
			fresh[to] = stretch{max(s.from, s.to-birthMost), s.to}
		}
		p.born = len(fresh) == known
	}
	r.mu.Unlock()
	if len(fresh) == 0 {
		return nil
	}
	err := r.o.Store.Write(ctx, func(tx *sql.Tx) error {
		for at, s := range fresh {
			if _, err := tx.ExecContext(ctx, `INSERT INTO burn_places VALUES (?, ?, ?) ON CONFLICT DO NOTHING`, at.Region, at.Venue, at.objective); err != nil {
				return err
			}
			if err := keepReview(ctx, tx, at, s, now.Add(quietFor)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store %d scopes that are watched for the first time: %w", len(fresh), err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for at := range fresh {
		r.places[at] = true
	}
	return nil
}

// readPlaces reads which scopes were ever watched.
func (r *Room) readPlaces(ctx context.Context) error {
	rows, err := r.o.Store.Read().QueryContext(ctx, `SELECT region, venue, objective FROM burn_places`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var at place
		if err := rows.Scan(&at.Region, &at.Venue, &at.objective); err != nil {
			return err
		}
		r.places[at] = true
	}
	return rows.Err()
}

// Review reviews the pages of one scope and objective, if any is due, and reports
// whether more may be.
func (r *Room) Review(ctx context.Context) (more bool, err error) {
	now := r.o.Now()
	var at place
	var s stretch
	err = r.o.Store.Read().QueryRowContext(ctx, `SELECT region, venue, node, objective, from_minute, to_minute FROM burn_reviews
		WHERE due_ms <= ? ORDER BY due_ms LIMIT 1`, now.UnixMilli()).Scan(&at.Region, &at.Venue, &at.Node, &at.objective, &s.from, &s.to)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read reviews: %w", err)
	}
	// Beyond now there is nothing to review yet.
	part := stretch{s.from, min(s.to, s.from+reviewMost, slo.MinuteOf(now)+1)}
	found, err := r.replay(ctx, at, part, now)
	if errors.Is(err, ledger.ErrUnknown) {
		found, err = &replayed{}, nil
	}
	if err == nil {
		err = r.o.Store.Write(ctx, func(tx *sql.Tx) error { return r.judge(ctx, tx, at, s, part, found, now) })
	}
	if err != nil {
		return false, fmt.Errorf("review %s in %s: %w", at.objective, scopeOf(at.Source), err)
	}
	return true, nil
}

// judge stores what a review found, and what of it is to be reviewed again.
func (r *Room) judge(ctx context.Context, tx *sql.Tx, at place, asked, part stretch, found *replayed, now time.Time) error {
	pages, err := readPages(ctx, tx, `objective = ? AND region = ? AND venue = ? AND node = ? AND fired_ms < ? AND (resolved_ms = 0 OR resolved_ms >= ?) ORDER BY fired_ms, id`,
		at.objective, at.Region, at.Venue, at.Node, startMS(part.to+coverMinutes), startMS(part.from-coverMinutes))
	if err != nil {
		return err
	}
	missed, waits := found.missed(pages)
	for _, p := range pages {
		f := slo.MinuteOf(time.UnixMilli(p.FiredMS))
		if p.Mark == Missed {
			if err := dropCovered(ctx, tx, p, pages); err != nil {
				return err
			}
			continue
		}
		if f < part.from || f >= part.to {
			continue
		}
		mark, why := found.mark(p.Page, f)
		waits = waits || mark == Open
		if mark == p.Mark && why == p.Why {
			continue
		}
		if _, err := tx.ExecContext(ctx, `UPDATE burn_pages SET mark = ?, why = ?, at_ms = ? WHERE id = ?`, mark, why, now.UnixMilli(), p.id()); err != nil {
			return err
		}
	}
	if err := keepMissed(ctx, tx, at, part, missed, now); err != nil {
		return err
	}
	return rest(ctx, tx, at, asked, part, waits, now)
}

// dropCovered drops a page that was missed until one was heard of that covers it.
func dropCovered(ctx context.Context, tx *sql.Tx, missed Audited, pages []Audited) error {
	from, to := slo.MinuteOf(time.UnixMilli(missed.FiredMS)), int64(forever)
	if missed.ResolvedMS > 0 {
		to = slo.MinuteOf(time.UnixMilli(missed.ResolvedMS))
	}
	if !slices.ContainsFunc(pages, func(p Audited) bool { return p.covers(missed.Event, from, to) }) {
		return nil
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM burn_pages WHERE id = ? AND mark = 'missed'`, missed.id())
	return err
}

func startMS(minute int64) int64 { return slo.MinuteStart(minute).UnixMilli() }

// keepMissed makes the missed pages of a stretch those given.
func keepMissed(ctx context.Context, tx *sql.Tx, at place, part stretch, missed []Page, now time.Time) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM burn_pages WHERE objective = ? AND region = ? AND venue = ? AND node = ? AND mark = 'missed' AND fired_ms >= ? AND fired_ms < ?`,
		at.objective, at.Region, at.Venue, at.Node, startMS(part.from), startMS(part.to))
	for _, p := range missed {
		if err != nil {
			break
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO burn_pages VALUES (?, '', ?, ?, ?, ?, ?, ?, ?, ?, 'missed', ?, ?) ON CONFLICT (id) DO NOTHING`,
			p.AlertID, p.Region, p.Venue, p.Node, p.Event, p.Objective, p.Rule, p.FiredMS, p.ResolvedMS, "with all data in its rule held, and nobody was paged", now.UnixMilli())
	}
	return err
}

// rest takes what was reviewed off the list, but for what waits for data.
func rest(ctx context.Context, tx *sql.Tx, at place, asked, part stretch, waits bool, now time.Time) error {
	const which = ` WHERE region = ? AND venue = ? AND node = ? AND objective = ? AND from_minute = ? AND to_minute = ?`
	key := []any{at.Region, at.Venue, at.Node, at.objective, asked.from, asked.to}
	switch {
	case waits:
		_, err := tx.ExecContext(ctx, `UPDATE burn_reviews SET due_ms = ?`+which, append([]any{now.Add(openFor).UnixMilli()}, key...)...)
		return err
	case part.to < asked.to && part.to > part.from && part.to <= slo.MinuteOf(now):
		_, err := tx.ExecContext(ctx, `UPDATE burn_reviews SET from_minute = ?`+which, append([]any{part.to}, key...)...)
		return err
	case part.to < asked.to:
		_, err := tx.ExecContext(ctx, `UPDATE burn_reviews SET from_minute = ?, due_ms = ?`+which, append([]any{max(part.from, part.to-1), now.Add(openFor).UnixMilli()}, key...)...)
		return err
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM burn_reviews`+which, key...)
	return err
}

// showsOf are the shows at a scope that are watched within a stretch.
func (r *Room) showsOf(at place, o slo.Objective, s stretch) (out []wire.Show) {
	if !o.PerEvent || at.Venue == "" || r.o.Shows == nil {
		return nil
	}
	for _, show := range r.o.Shows.Shows(at.Venue, slo.MinuteStart(s.from)).Shows {
		if slo.MinuteOf(startOf(show)) < s.to && slo.MinuteOf(endOf(show).Add(afterShow)) > s.from && slo.MinuteOf(startOf(show)) < slo.MinuteOf(endOf(show)) {
			out = append(out, show)
		}
	}
	return out
}
