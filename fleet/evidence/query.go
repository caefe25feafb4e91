package evidence

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"ghostlight/buffer"
)

// ErrUnknown means that nobody claimed the trace, or that its time is over.
var ErrUnknown = errors.New("no evidence of that trace is kept")

// A Trace is a claimed trace and what has come of it.
type Trace struct {
	buffer.Source
	Claim
	Spans []Span // by start; none: they have not come yet, or were dropped on the way
	Lines []Line // by time
	Bytes int64
	// UntilMS is when it is dropped for its age, the centre's clock, if the space
	// lasts.
	UntilMS int64
}

// A Listed is one entry of [Store.List].
type Listed struct {
	buffer.Source
	Claim
	Spans, Lines int64 // that have come
}

// Get reads one trace. Where several nodes claim the same trace id, venue picks; an
// empty venue takes the latest claim.
func (s *Store) Get(ctx context.Context, traceID, venue string) (Trace, error) {
	var t Trace
	var source, arrived int64
	err := s.o.Store.Read().QueryRowContext(ctx, `SELECT c.source, s.region, s.venue, s.node, c.trace_id, c.kind, c.name, c.at_ms, c.detail, c.arrived_ms
		FROM evidence_claims c JOIN sources s ON s.id = c.source WHERE c.trace_id = ?1 AND (?2 = '' OR s.venue = ?2) ORDER BY c.arrived_ms DESC LIMIT 1`,
		traceID, venue).Scan(&source, &t.Region, &t.Venue, &t.Node, &t.TraceID, &t.Kind, &t.Name, &t.AtMS, &t.Detail, &arrived)
	if errors.Is(err, sql.ErrNoRows) {
		return t, fmt.Errorf("trace %s: %w", traceID, ErrUnknown)
	}
	if err != nil {
		return t, fmt.Errorf("read trace %s: %w", traceID, err)
	}
	t.UntilMS = arrived + s.o.MaxAge.Milliseconds()
	rows, err := s.o.Store.Read().QueryContext(ctx, `SELECT kind, body FROM evidence_parts WHERE source = ? AND trace_id = ? ORDER BY id`, source, traceID)
	if err != nil {
		return t, fmt.Errorf("read trace %s: %w", traceID, err)
	}
	defer rows.Close()
	for rows.Next() {
		var kind string
		var body []byte
		if err := rows.Scan(&kind, &body); err != nil {
			return t, fmt.Errorf("read trace %s: %w", traceID, err)
		}
		if err := t.read(kind, body); err != nil {
			return t, fmt.Errorf("read trace %s: %w", traceID, err)
		}
	}
	t.order()
	return t, rows.Err()
}

// A Filter selects claims.
type Filter struct {
	Venue  string // empty: all
	FromMS int64  // when it happened, included; 0: from the beginning
	ToMS   int64  // excluded; 0: to the end
	Limit  int    // at most so many; 0: 100
}

// List lists what is claimed, the latest first.
func (s *Store) List(ctx context.Context, f Filter) ([]Listed, error) {
	if f.Limit <= 0 {
		f.Limit = 100
	}
	rows, err := s.o.Store.Read().QueryContext(ctx, `SELECT s.region, s.venue, s.node, c.trace_id, c.kind, c.name, c.at_ms, c.detail,
		coalesce((SELECT sum(units) FROM evidence_parts p WHERE p.source = c.source AND p.trace_id = c.trace_id AND p.kind = 'otlp.traces'), 0),
		coalesce((SELECT sum(units) FROM evidence_parts p WHERE p.source = c.source AND p.trace_id = c.trace_id AND p.kind = 'otlp.logs'), 0)
		FROM evidence_claims c JOIN sources s ON s.id = c.source
		WHERE (?1 = '' OR s.venue = ?1) AND c.at_ms >= ?2 AND (?3 = 0 OR c.at_ms < ?3) ORDER BY c.at_ms DESC LIMIT ?4`, f.Venue, f.FromMS, f.ToMS, f.Limit)
	if err != nil {
		return nil, fmt.Errorf("list evidence: %w", err)
	}
	defer rows.Close()
	out := []Listed{}
	for rows.Next() {
		var l Listed
		if err := rows.Scan(&l.Region, &l.Venue, &l.Node, &l.TraceID, &l.Kind, &l.Name, &l.AtMS, &l.Detail, &l.Spans, &l.Lines); err != nil {
			return nil, fmt.Errorf("list evidence: %w", err)
		}
		out = append(out, l)
	}
	return out, rows.Err()
}
