package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"
	"strings"
)

// forever is the knowledge of now.
const forever = math.MaxInt64

// A question is what a query wants to know: of one objective the minutes of
// [first, end) of some nodes, as known at a time.
type question struct {
	name       string
	since      map[int64]int64 // first minute wanted, by node
	first, end int64
	knownMS    int64
	whole      func(t *total, hour int64) bool // takes an hour of a node altogether, if it can; nil: none
}

func (q question) wants(source int64, v *version) bool {
	since, ok := q.since[source]
	return ok && v.Minute >= since && v.Minute < q.end && v.arrivedMS <= q.knownMS
}

// A spot is an hour of a node.
type spot struct{ hour, source int64 }

// A picture is what memory holds of a spot.
type picture struct {
	line  line
	pasts []past
	first int64
}

// versions calls yield with what was known of each minute, no minute twice, in no
// order. Memory is looked at first: what is folded meanwhile is on disk as well, and
// passed over there; disk is read as of one moment.
func (l *Ledger) versions(ctx context.Context, q question, yield func(source int64, v *version)) error {
	if q.first >= q.end || len(q.since) == 0 {
		return nil
	}
	id, pictures := l.pictures(q)
	for at, p := range pictures {
		p.line.each(at.hour, func(v version) {
			if q.wants(at.source, &v) {
				yield(at.source, &v)
			}
		})
		for i := range p.pasts {
			if q.wants(at.source, &p.pasts[i].version) && p.pasts[i].untilMS > q.knownMS {
				yield(at.source, &p.pasts[i].version)
			}
		}
	}
	tx, err := l.store.Read().BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // nothing was written
	if q.knownMS != forever {
		if err := l.readPasts(ctx, tx, id, q, pictures, yield); err != nil {
			return err
		}
	}
	return l.readRows(ctx, tx, id, q, pictures, yield)
}

// pictures copies what memory holds, and looks the objective's number up.
func (l *Ledger) pictures(q question) (int64, map[spot]picture) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	out := map[spot]picture{}
	o := l.objectives[q.name]
	if o == nil {
		return 0, out
	}
	for source := range q.since {
		n := l.nodes[source]
		if n == nil {
			continue
		}
		for _, c := range n.chunks {
			if c.hour < q.first/60 || c.hour > q.end/60 {
				continue
			}
			p := picture{first: c.first}
			if found := c.find(o); found != nil {
				p.line = *found
				p.line.entries = slices.Clone(found.entries)
			}
			for _, was := range c.pasts {
				if was.objective == o.id && q.knownMS != forever {
					p.pasts = append(p.pasts, was)
				}
			}
			out[spot{c.hour, source}] = p
		}
	}
	return o.id, out
}

// readPasts yields what was known then of minutes that became others since.
func (l *Ledger) readPasts(ctx context.Context, tx *sql.Tx, objective int64, q question, pictures map[spot]picture, yield func(int64, *version)) error {
	rows, err := tx.QueryContext(ctx, `SELECT hour, source, arrival, arrived_ms, buckets FROM bucket_pasts WHERE hour BETWEEN ? AND ? AND arrived_ms > ?`,
		q.first/60, q.end/60, q.knownMS)
	if err != nil {
		return fmt.Errorf("read what was known: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var at spot
		var arrival, untilMS int64
		var row []byte
		if err := rows.Scan(&at.hour, &at.source, &arrival, &untilMS, &row); err != nil {
			return fmt.Errorf("read what was known: %w", err)
		}
		if p, ok := pictures[at]; ok && p.first != 0 && arrival >= p.first {
			continue
		}
		pasts, err := unpackPasts(at.hour, arrival, untilMS, row)
		if err != nil {
			return fmt.Errorf("read what hour %d of node %d was: %w", at.hour, at.source, err)
		}
		for i := range pasts {
			if pasts[i].objective == objective && q.wants(at.source, &pasts[i].version) {
				yield(at.source, &pasts[i].version)
			}
		}
	}
	return rows.Err()
}

// readRows yields what the rows hold, but for what pictures show newer.
func (l *Ledger) readRows(ctx context.Context, tx *sql.Tx, objective int64, q question, pictures map[spot]picture, yield func(int64, *version)) error {
	rows, err := queryRows(ctx, tx, q)
	if err != nil {
		return fmt.Errorf("read hours: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var at spot
		var row sql.RawBytes
		if err := rows.Scan(&at.hour, &at.source, &row); err != nil {
			return fmt.Errorf("read hours: %w", err)
		}
		if _, ok := pictures[at]; ok {
			continue
		}
		if _, ok := q.since[at.source]; !ok {
			continue
		}
		if taken, err := q.takes(objective, at.hour, row); taken || err != nil {
			if err != nil {
				return fmt.Errorf("read hour %d of node %d: %w", at.hour, at.source, err)
			}
			continue
		}
		err := l.codec.unpack(at.hour, row, func(id int64) bool { return id == objective }, func(_ int64, v *version) {
			if q.wants(at.source, v) {
				yield(at.source, v)
			}
		})
		if err != nil {
			return fmt.Errorf("read hour %d of node %d: %w", at.hour, at.source, err)
		}
	}
	return rows.Err()
}

// takes reports whether the question was content with an hour's total.
func (q question) takes(objective, hour int64, row []byte) (taken bool, err error) {
	if q.whole == nil {
		return false, nil
	}
	err = eachTotal(row, func(t *total) {
		if t.objective == objective {
			taken = q.whole(t, hour)
		}
	})
	return taken, err
}

// fewNodes are looked up one by one; of more, all rows of the time are read.
const fewNodes = 200

func queryRows(ctx context.Context, tx *sql.Tx, q question) (*sql.Rows, error) {
	from, to := q.first/60, (q.end-1)/60
	if len(q.since) > fewNodes {
		return tx.QueryContext(ctx, `SELECT hour, source, buckets FROM node_hours WHERE hour BETWEEN ? AND ?`, from, to)
	}
	args := []any{from, to}
	for source := range q.since {
		args = append(args, source)
	}
	places := strings.TrimSuffix(strings.Repeat("?, ", len(q.since)), ", ")
	return tx.QueryContext(ctx, `WITH RECURSIVE hours (hour) AS (SELECT ? UNION ALL SELECT hour + 1 FROM hours WHERE hour < ?)
		SELECT n.hour, n.source, n.buckets FROM hours h CROSS JOIN node_hours n WHERE n.hour = h.hour AND n.source IN (`+places+`)`, args...)
}
