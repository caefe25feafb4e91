package ledger

import (
	"context"
	"database/sql"

	"ghostlight/slo"
)

// FillHours writes rows of hours as folding does, for benchmarks that need a long
// history: rows is how many different ones are packed, and repeated over the nodes.
func (l *Ledger) FillHours(ctx context.Context, from, to int64, sources []int64, rows int, draw func(objective int, minute int64) slo.Bucket) error {
	packed := make([][]byte, rows)
	for hour := from; hour < to; hour++ {
		for i := range packed {
			c := &chunk{hour: hour}
			for n := range l.objectives {
				o := l.objectives[n]
				for m := range int64(60) {
					b := draw(int(o.id), hour*60+m)
					c.take(o, version{b, (hour*60+m)*60_000 + 61_000 + (hour*60+m)*7919%3000}, 1)
				}
			}
			packed[i] = l.codec.pack(c)
		}
		err := l.store.Write(ctx, func(tx *sql.Tx) error {
			stmt, err := tx.PrepareContext(ctx, `INSERT INTO node_hours VALUES (?, ?, ?)`)
			if err != nil {
				return err
			}
			defer stmt.Close()
			for i, source := range sources {
				if _, err := stmt.ExecContext(ctx, hour, source, packed[i%rows]); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		l.folded = max(l.folded, hour)
	}
	return nil
}
