package ledger

import (
	"context"
	"database/sql"
	"encoding/binary"
	"fmt"

	"ghostlight/slo"
)

// oldTable is where buckets were before arrivals were kept: a row for each objective,
// node and hour. New opens it to move them.
const oldTable = `CREATE TABLE IF NOT EXISTS bucket_hours (objective INTEGER NOT NULL REFERENCES objectives (id), source INTEGER NOT NULL REFERENCES sources (id),
	hour INTEGER NOT NULL, minutes BLOB NOT NULL, PRIMARY KEY (objective, source, hour)) WITHOUT ROWID`

const oldVersion = 1

// unpackOld reads a row of it: version u8; a map of the minutes held, u64 little
// endian; the number of distinct hashes as uvarint and the hashes, u64 each; then for
// each minute held flags u8, observed seconds u8, and uvarints of the hash's index,
// epoch, revision, bad and total.
func unpackOld(hour int64, src []byte) ([]slo.Bucket, error) {
	if len(src) < 10 || src[0] != oldVersion {
		return nil, errRow
	}
	held := binary.LittleEndian.Uint64(src[1:])
	r := reader{src: src[9:]}
	count := r.uvarint()
	if count > 60 || held>>60 != 0 {
		return nil, errRow
	}
	var hashes [60]uint64
	for i := range count {
		hashes[i] = r.u64()
	}
	var out []slo.Bucket
	for i := range minutesOf(held) {
		b := slo.Bucket{Minute: hour*60 + int64(i)}
		setFlags(&b, r.byte())
		b.Observed = r.byte()
		index := r.uvarint()
		b.Epoch, b.Revision = uint32(r.uvarint()), uint32(r.uvarint())
		bad := int64(r.uvarint())
		b.Total = int64(r.uvarint())
		b.Good = b.Total - bad
		if r.bad || index >= count || !possible(&b) {
			return nil, errRow
		}
		b.Hash = hashes[index]
		out = append(out, b)
	}
	return out, nil
}

// migrateOld moves the old rows, some hours in a transaction: it may die between any
// two. When their buckets came is not known; they count as come at the end of their
// minute.
func (l *Ledger) migrateOld(ctx context.Context) error {
	for {
		moved := false
		err := l.store.Write(ctx, func(tx *sql.Tx) (err error) {
			moved, err = l.moveOld(ctx, tx)
			return err
		})
		if err != nil {
			return fmt.Errorf("move buckets to the new table: %w", err)
		}
		if !moved {
			return nil
		}
	}
}

const moveMost = 500 // hours of nodes a transaction

func (l *Ledger) moveOld(ctx context.Context, tx *sql.Tx) (bool, error) {
	chunks, err := oldPlaces(ctx, tx)
	if err != nil || len(chunks) == 0 {
		return false, err
	}
	for _, c := range chunks {
		if err := l.readChunk(ctx, tx, c); err != nil {
			return false, err
		}
		if err := l.readOld(ctx, tx, c); err != nil {
			return false, err
		}
		if err := l.writeChunk(ctx, tx, c); err != nil {
			return false, err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM bucket_hours WHERE objective IN (SELECT id FROM objectives) AND source = ? AND hour = ?`, c.source, c.hour); err != nil {
			return false, err
		}
	}
	return true, nil
}

func oldPlaces(ctx context.Context, tx *sql.Tx) (out []*chunk, err error) {
	rows, err := tx.QueryContext(ctx, `SELECT DISTINCT source, hour FROM bucket_hours LIMIT ?`, moveMost)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		c := &chunk{}
		if err := rows.Scan(&c.source, &c.hour); err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, rows.Err()
}

func (l *Ledger) readOld(ctx context.Context, tx *sql.Tx, c *chunk) error {
	rows, err := tx.QueryContext(ctx, `SELECT objective, minutes FROM bucket_hours WHERE objective IN (SELECT id FROM objectives) AND source = ? AND hour = ?`, c.source, c.hour)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		var row []byte
		if err := rows.Scan(&id, &row); err != nil {
			return err
		}
		buckets, err := unpackOld(c.hour, row)
		if err != nil || l.byID[id] == nil {
			return fmt.Errorf("hour %d of node %d and objective %d: %w", c.hour, c.source, id, errRow)
		}
		for _, b := range buckets {
			c.take(l.byID[id], version{b, (b.Minute + 1) * 60_000}, 0)
		}
	}
	return rows.Err()
}
