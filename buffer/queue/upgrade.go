package queue

import (
	"context"
	"database/sql"
)

// upgrade makes a file of version 1 one of this version, in place: its blocks
// stay as they are and are read for ever. Any of them may have been sent.
func (f *file) upgrade(ctx context.Context) error {
	return inTx(ctx, f.db, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, schema[len(schemaV1):]); err != nil {
			return err
		}
		for _, lane := range f.lanes {
			c, err := readCounts(ctx, tx, lane)
			if err != nil {
				return err
			}
			first, last := laneBounds(lane)
			var records int64
			if err := eachRow(ctx, tx, first, last, -1, func(r row) error { records += r.records; return nil }); err != nil {
				return err
			}
			c.Records = tally{Produced: records, Waiting: records}
			if err := writeCounts(ctx, tx, lane, c); err != nil {
				return err
			}
		}
		if err := writeSent(ctx, tx, sent{All: true}); err != nil {
			return err
		}
		return setVersion(ctx, tx)
	})
}
