package burn

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"ghostlight/buffer"
	"ghostlight/fleet/ledger"
	"ghostlight/slo"
	"ghostlight/slo/incident"
)

// A Mark says what a page turned out to be.
type Mark string

// The marks.
const (
	Open   Mark = "open"   // data is still to come
	Right  Mark = "right"  // with all data in, its rule held when it fired
	Wrong  Mark = "wrong"  // it did not
	Missed Mark = "missed" // its rule held, and nobody was paged
)

// A Page is what somebody was woken by. Source is its scope, empty parts mean all;
// what is not known is empty, and without a rule any of the objective's is meant.
type Page struct {
	buffer.Source
	AlertID    string `json:"alert_id,omitempty"`
	IncidentID string `json:"incident_id,omitempty"`
	Event      string `json:"event,omitempty"` // id of the show
	Objective  string `json:"objective"`
	Rule       string `json:"rule,omitempty"`
	FiredMS    int64  `json:"fired_ms"`    // Unix milliseconds
	ResolvedMS int64  `json:"resolved_ms"` // 0: it fires
}

// Audited is a page, or one that should have been, and what it was.
type Audited struct {
	Page
	Scope string `json:"scope"` // of its alert, as text
	Mark  Mark   `json:"mark"`
	Why   string `json:"why"`
	AtMS  int64  `json:"at_ms"` // when it was marked so
}

func (p Page) id() string {
	if p.AlertID != "" {
		return p.AlertID
	}
	return p.IncidentID
}

// scope is that of the page's alert.
func (p Page) scope() string {
	if p.Event != "" {
		return showScope(scopeOf(p.Source), p.Event)
	}
	return scopeOf(p.Source)
}

// PagesOf are the pages that incidents of nodes raised because objectives burnt: one
// for each time that somebody was woken. The first is known by the incident, those of
// later spells by their spell, too. Nodes of before told no rule.
func PagesOf(list []incident.Incident) []Page {
	var out []Page
	for _, i := range list {
		s := i.Scope
		if s.Node == "" || s.Cause != incident.Objective {
			continue
		}
		for n, w := range i.Wakings() {
			p := Page{
				Source: buffer.Source{Region: s.Region, Venue: s.Venue, Node: s.Node}, IncidentID: i.ID(),
				Event: w.Event, Objective: s.Name, Rule: w.Rule, FiredMS: w.AtMS, ResolvedMS: w.OverMS,
			}
			if n > 0 {
				p.AlertID = fmt.Sprintf("%s/%d", i.ID(), w.SpellMS)
			}
			out = append(out, p)
		}
	}
	return out
}

// Heard takes pages that nodes sent, to be audited; those of the room itself are
// taken without. One that is known is brought up to date. A page needs an id, an
// objective and the time at which it fired.
func (r *Room) Heard(ctx context.Context, pages ...Page) error {
	now := r.o.Now()
	err := r.o.Store.Write(ctx, func(tx *sql.Tx) error {
		for _, p := range pages {
			if p.id() == "" || p.Objective == "" || p.FiredMS <= 0 {
				return fmt.Errorf("page %q of objective %q fired at %d: all three are needed", p.id(), p.Objective, p.FiredMS)
			}
			if err := keepPage(ctx, tx, p, now); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("take pages to audit: %w", err)
	}
	return nil
}

func keepPage(ctx context.Context, tx *sql.Tx, p Page, now time.Time) error {
	known := p
	err := tx.QueryRowContext(ctx, `SELECT event, rule, fired_ms, resolved_ms FROM burn_pages WHERE id = ? AND mark <> 'missed'`, p.id()).
		Scan(&known.Event, &known.Rule, &known.FiredMS, &known.ResolvedMS)
	switch {
	case err == nil && p.ResolvedMS == 0:
		p.ResolvedMS = known.ResolvedMS // what is over stays over
	case err != nil && !errors.Is(err, sql.ErrNoRows):
		return err
	}
	if err == nil && p == known {
		return nil
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO burn_pages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'open', ?, ?)
		ON CONFLICT (id) DO UPDATE SET incident = excluded.incident, event = excluded.event, rule = excluded.rule, fired_ms = excluded.fired_ms, resolved_ms = excluded.resolved_ms,
		mark = CASE WHEN burn_pages.mark = 'missed' THEN 'open' ELSE burn_pages.mark END, why = CASE WHEN burn_pages.mark = 'missed' THEN excluded.why ELSE burn_pages.why END`,
		p.id(), p.IncidentID, p.Region, p.Venue, p.Node, p.Event, p.Objective, p.Rule, p.FiredMS, p.ResolvedMS, notReviewed, now.UnixMilli())
	if err != nil {
		return err
	}
	from := slo.MinuteOf(time.UnixMilli(p.FiredMS))
	to := from + 1
	if p.ResolvedMS > 0 {
		to = max(to, min(from+reviewMost, slo.MinuteOf(time.UnixMilli(p.ResolvedMS))))
	}
	return keepReview(ctx, tx, place{p.Source, p.Objective}, stretch{from - 1, to + 1}, now.Add(quietFor))
}

const notReviewed = "not reviewed yet"

// An AuditFilter picks pages. What is empty picks all.
type AuditFilter struct {
	Regions, Venues []string
	Objective       string
	Marks           []Mark
	From, To        time.Time // of firing, [From, To)
	Limit           int       // 0: MaxAudited
}

// MaxAudited bounds what one call returns.
const MaxAudited = 1000

// Audit lists pages and what they turned out to be, the latest first.
func (r *Room) Audit(ctx context.Context, f AuditFilter) ([]Audited, error) {
	where, args := []string{"1 = 1"}, []any{}
	in := func(column string, n int, value func(i int) any) {
		if n == 0 {
			return
		}
		where = append(where, column+" IN ("+strings.TrimSuffix(strings.Repeat("?, ", n), ", ")+")")
		for i := range n {
			args = append(args, value(i))
		}
	}
	in("region", len(f.Regions), func(i int) any { return f.Regions[i] })
	in("venue", len(f.Venues), func(i int) any { return f.Venues[i] })
	in("mark", len(f.Marks), func(i int) any { return string(f.Marks[i]) })
	if f.Objective != "" {
		in("objective", 1, func(int) any { return f.Objective })
	}
	if !f.From.IsZero() {
		where, args = append(where, "fired_ms >= ?"), append(args, f.From.UnixMilli())
	}
	if !f.To.IsZero() {
		where, args = append(where, "fired_ms < ?"), append(args, f.To.UnixMilli())
	}
	if f.Limit <= 0 || f.Limit > MaxAudited {
		f.Limit = MaxAudited
	}
	out, err := readPages(ctx, r.o.Store.Read(), strings.Join(where, " AND ")+` ORDER BY fired_ms DESC, id LIMIT ?`, append(args, f.Limit)...)
	if err != nil {
		return nil, fmt.Errorf("read the audit of pages: %w", err)
	}
	return out, nil
}

// A queryer reads: the pool of the store, or a transaction of it.
type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func readPages(ctx context.Context, q queryer, where string, args ...any) ([]Audited, error) {
	rows, err := q.QueryContext(ctx, `SELECT id, incident, region, venue, node, event, objective, rule, fired_ms, resolved_ms, mark, why, at_ms FROM burn_pages WHERE `+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := []Audited{}
	for rows.Next() {
		var a Audited
		err := rows.Scan(&a.AlertID, &a.IncidentID, &a.Region, &a.Venue, &a.Node, &a.Event, &a.Objective, &a.Rule, &a.FiredMS, &a.ResolvedMS, &a.Mark, &a.Why, &a.AtMS)
		if err != nil {
			return nil, err
		}
		if a.Scope = a.scope(); a.AlertID == a.IncidentID {
			a.AlertID = "" // it is known by its incident alone
		}
		out = append(out, a)
	}
	return out, rows.Err()
}

// selection is the scope as the ledger is asked for it.
func selection(at buffer.Source) (sel ledger.Selection) {
	switch {
	case at.Node != "":
		sel.Node = at
	case at.Venue != "":
		sel.Regions, sel.Venues = []string{at.Region}, []string{at.Venue}
	case at.Region != "":
		sel.Regions = []string{at.Region}
	}
	return sel
}
