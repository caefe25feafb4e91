package registry

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"ghostlight/buffer"
	"ghostlight/healthscore/heal"
	"ghostlight/synthetics"
)

// A Run is one journey run of one node.
type Run struct {
	buffer.Source
	synthetics.Result
}

// A Heal is one audit record of one node.
type Heal struct {
	buffer.Source
	heal.Audit
}

// A Filter selects by place and time. Times are the node's clock for what the node
// reports, the centre's for darkness.
type Filter struct {
	Venues []string      // empty: all
	Node   buffer.Source // zero: all
	From   time.Time     // included; zero: from the beginning
	To     time.Time     // excluded; zero: to the end
	Limit  int           // most rows, 0: 1000
}

func (f Filter) where(column string) (string, []any) {
	clauses, args := []string{"1"}, []any{}
	if len(f.Venues) > 0 {
		clauses = append(clauses, "s.venue IN (?"+strings.Repeat(", ?", len(f.Venues)-1)+")")
		for _, v := range f.Venues {
			args = append(args, v)
		}
	}
	if f.Node != (buffer.Source{}) {
		clauses = append(clauses, "s.region = ? AND s.venue = ? AND s.node = ?")
		args = append(args, f.Node.Region, f.Node.Venue, f.Node.Node)
	}
	if !f.From.IsZero() {
		clauses, args = append(clauses, column+" >= ?"), append(args, f.From.UnixMilli())
	}
	if !f.To.IsZero() {
		clauses, args = append(clauses, column+" < ?"), append(args, f.To.UnixMilli())
	}
	return strings.Join(clauses, " AND "), args
}

func (f Filter) limit() int {
	if f.Limit <= 0 {
		return 1000
	}
	return f.Limit
}

func (f Filter) selects(src buffer.Source) bool {
	if f.Node != (buffer.Source{}) && f.Node != src {
		return false
	}
	if len(f.Venues) == 0 {
		return true
	}
	for _, v := range f.Venues {
		if v == src.Venue {
			return true
		}
	}
	return false
}

// Runs returns journey runs, the latest first.
func (r *Registry) Runs(ctx context.Context, f Filter) ([]Run, error) {
	where, args := f.where("start_ms")
	return scan(ctx, r.store.Read(), `SELECT s.region, s.venue, s.node, body FROM journey_runs JOIN sources s ON s.id = source
		WHERE `+where+` ORDER BY start_ms DESC LIMIT ?`, append(args, f.limit()), func(src buffer.Source, body []byte) (Run, error) {
		run := Run{Source: src}
		return run, json.Unmarshal(body, &run.Result)
	})
}

// Heals returns heal audits, the latest first.
func (r *Registry) Heals(ctx context.Context, f Filter) ([]Heal, error) {
	where, args := f.where("at_ms")
	return scan(ctx, r.store.Read(), `SELECT s.region, s.venue, s.node, body FROM heals JOIN sources s ON s.id = source
		WHERE `+where+` ORDER BY at_ms DESC, seq DESC LIMIT ?`, append(args, f.limit()), func(src buffer.Source, body []byte) (Heal, error) {
		h := Heal{Source: src}
		return h, json.Unmarshal(body, &h.Audit)
	})
}

func scan[T any](ctx context.Context, db *sql.DB, query string, args []any, decode func(buffer.Source, []byte) (T, error)) ([]T, error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("read registry: %w", err)
	}
	defer rows.Close()
	out := []T{}
	for rows.Next() {
		var src buffer.Source
		var body []byte
		if err := rows.Scan(&src.Region, &src.Venue, &src.Node, &body); err != nil {
			return nil, fmt.Errorf("read registry: %w", err)
		}
		item, err := decode(src, body)
		if err != nil {
			return nil, fmt.Errorf("read registry: %w", err)
		}
		out = append(out, item)
	}
	return out, rows.Err()
}
