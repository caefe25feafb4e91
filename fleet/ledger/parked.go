package ledger

import (
	"context"
	"fmt"
	"math"

	"ghostlight/slo"
)

// parked knows when the first of the buckets whose minute is still to come is due.
type parked struct{ first int64 }

// parkedMost bounds what one node may park: two days of twelve objectives.
const parkedMost = 40_000

// park keeps a bucket until its minute comes: the node's clock is ahead, or ours is
// behind.
func (l *Ledger) park(ctx context.Context, st *stage, source int64, o *objective, b slo.Bucket) error {
	var held []byte
	var count int64
	err := st.tx.QueryRowContext(ctx, `SELECT count(*) FROM bucket_parked WHERE source = ?`, source).Scan(&count)
	if err != nil {
		return fmt.Errorf("count parked buckets: %w", err)
	}
	if count >= parkedMost {
		return l.refuse("parked_too_many", fmt.Errorf("bucket %s is ahead of the clock, and so are %d others of its node; set the node's clock", b.Key(), count))
	}
	rows, err := st.tx.QueryContext(ctx, `SELECT bucket FROM bucket_parked WHERE minute = ? AND source = ? AND objective = ?`, b.Minute, source, o.id)
	if err != nil {
		return fmt.Errorf("look up parked bucket: %w", err)
	}
	defer rows.Close()
	if rows.Next() {
		if err := rows.Scan(&held); err != nil {
			return fmt.Errorf("look up parked bucket: %w", err)
		}
	}
	if err := rows.Close(); err != nil {
		return fmt.Errorf("look up parked bucket: %w", err)
	}
	if old, err := slo.DecodeBucket(held); err == nil && !b.Supersedes(old) {
		return nil
	}
	l.refusals.count("parked")
	body, err := b.AppendBinary(nil)
	if err != nil {
		return l.refuse("malformed", err)
	}
	_, err = st.tx.ExecContext(ctx, `INSERT INTO bucket_parked VALUES (?, ?, ?, ?) ON CONFLICT (minute, source, objective) DO UPDATE SET bucket = excluded.bucket`,
		b.Minute, source, o.id, body)
	if err != nil {
		return fmt.Errorf("park bucket: %w", err)
	}
	l.parked.first = min(l.parked.first, b.Minute)
	return nil
}

// unparkMost bounds what a transaction takes from what is parked.
const unparkMost = 5000

// unpark stages the parked buckets that are due.
func (l *Ledger) unpark(ctx context.Context, st *stage) error {
	due := (st.arrivedMS + Ahead.Milliseconds()) / 60_000
	if l.parked.first > due {
		return nil
	}
	rows, err := st.tx.QueryContext(ctx, `SELECT minute, source, objective, bucket FROM bucket_parked WHERE minute <= ? ORDER BY minute, source, objective LIMIT ?`, due, unparkMost)
	if err != nil {
		return fmt.Errorf("read parked buckets: %w", err)
	}
	defer rows.Close()
	var taken []arrival
	for rows.Next() {
		var minute, id int64
		var a arrival
		var body []byte
		if err := rows.Scan(&minute, &a.source, &id, &body); err != nil {
			return fmt.Errorf("read parked buckets: %w", err)
		}
		if a.objective = l.numbered(st, id); a.objective == nil {
			return fmt.Errorf("read parked buckets: objective %d is gone", id)
		}
		if a.bucket, err = slo.DecodeBucket(body); err != nil {
			return fmt.Errorf("read parked bucket: %w", err)
		}
		taken = append(taken, a)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read parked buckets: %w", err)
	}
	if err := rows.Close(); err != nil {
		return fmt.Errorf("read parked buckets: %w", err)
	}
	for _, a := range taken {
		_, err := st.tx.ExecContext(ctx, `DELETE FROM bucket_parked WHERE minute = ? AND source = ? AND objective = ?`, a.bucket.Minute, a.source, a.objective.id)
		if err != nil {
			return fmt.Errorf("take parked bucket: %w", err)
		}
	}
	st.arrivals = append(st.arrivals, taken...)
	if len(taken) < unparkMost {
		l.parked.first = due + 1 // too early at worst: then nothing is found
	}
	return nil
}

// numbered is the objective of a number, also one first heard of in the transaction.
func (l *Ledger) numbered(st *stage, id int64) *objective {
	if o := l.byID[id]; o != nil {
		return o
	}
	for _, o := range st.fresh {
		if o.id == id {
			return o
		}
	}
	return nil
}

func (l *Ledger) loadParked(ctx context.Context) error {
	err := l.store.Read().QueryRowContext(ctx, `SELECT coalesce(min(minute), ?) FROM bucket_parked`, int64(math.MaxInt64)).Scan(&l.parked.first)
	if err != nil {
		return fmt.Errorf("read parked buckets: %w", err)
	}
	return nil
}

// Parked counts the buckets whose minute is still to come.
func (l *Ledger) Parked(ctx context.Context) (n int64, err error) {
	if err := l.store.Read().QueryRowContext(ctx, `SELECT count(*) FROM bucket_parked`).Scan(&n); err != nil {
		return 0, fmt.Errorf("count parked buckets: %w", err)
	}
	return n, nil
}
