package ingest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"ghostlight/buffer/delta"
	"ghostlight/fleet/store"
	"ghostlight/internal/sqlite"
)

// A record that its store does not take, for a reason that nobody foresaw, must
// not hold up the blocks behind it; nor may a fault that passes cost a record. So
// a failing group is first repeated. If it goes on failing each block is applied
// alone, and each record of one that still fails in a transaction of its own. A
// record that fails even so, while the same store takes another write, steps
// aside: it is kept, and tried again every hour and at every start, until the
// store takes it. Who was blamed wrongly is late, never lost.

const (
	// stuckReason marks records that step aside.
	stuckReason = "stuck"
	// blameAfter is how often in a row applying fails before a record is blamed.
	blameAfter = 5
	// stuckFor is how long it stays aside.
	stuckFor = time.Hour
	// stuckBytes bounds what is aside; beyond it records are dead letters.
	stuckBytes = 16 << 20
)

// errPanic means that a store's code broke on a record.
var errPanic = errors.New("the record broke the code that stores it")

// applyAlone applies blocks one by one, the records of those that fail one by one
// as well. The error is one that no block is to blame for.
func (i *Ingest) applyAlone(ctx context.Context, blocks []journalled) error {
	for _, b := range blocks {
		one := []journalled{b}
		if i.applyGroup(ctx, one, i.applyRecords) == nil {
			continue
		}
		if err := i.applyGroup(ctx, one, i.applyRecordsAlone); err != nil {
			return err
		}
	}
	return nil
}

// applyRecordsAlone stores each record in a transaction of its own and puts those
// aside that are to blame for failing.
func (i *Ingest) applyRecordsAlone(ctx context.Context, group []opened) error {
	dead := map[int][]asideRow{}
	for n := range group {
		var stuck []delta.Record
		var reason error
		for _, rec := range group[n].batch.Records {
			err := i.o.Store.Write(ctx, func(tx *sql.Tx) error { return i.applyRecord(ctx, tx, group[n].source, rec) })
			switch {
			case err == nil:
			case errors.Is(err, store.ErrMalformed):
				row, sealErr := i.deadRecord(group[n].header, rec, err)
				if sealErr != nil {
					return sealErr
				}
				dead[n] = append(dead[n], row)
			case ctx.Err() != nil || sqlite.IsFull(err) || i.probe(ctx, group[n]) != nil:
				return err // the store is to blame
			default:
				stuck, reason = append(stuck, rec), err
			}
		}
		group[n].aside = append(group[n].aside, dead[n]...)
		if err := i.stepAside(&group[n], stuck, reason); err != nil {
			return err
		}
	}
	i.countRecords(group, dead)
	return nil
}

// probe writes to the store what changes nothing: an error says that it takes
// nothing at all now.
func (i *Ingest) probe(ctx context.Context, b opened) error {
	return i.o.Store.Write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE sources SET venue = venue WHERE region = ? AND venue = ? AND node = ?`, b.source.Region, b.source.Venue, b.source.Node)
		return err
	})
}

// stepAside puts records aside that could not be stored for the reason given.
func (i *Ingest) stepAside(b *opened, stuck []delta.Record, reason error) error {
	if len(stuck) == 0 {
		return nil
	}
	row, err := i.setAside(b.header, stuckReason, delta.Batch{Records: stuck})
	if err != nil {
		return err
	}
	row.dueMS, row.detail = i.o.Now().Add(stuckFor).UnixMilli(), reason.Error()
	b.aside = append(b.aside, row)
	i.log.Error("records of a block cannot be stored and step aside; they are kept and tried again every hour",
		"source", b.source.String(), "block", b.id, "records", len(stuck), "error", reason)
	return nil
}

// putStuck keeps a row until its time, or as a dead letter where too much is kept
// already.
func putStuck(ctx context.Context, tx *sql.Tx, b opened, row asideRow) (kept bool, err error) {
	var held int64
	if err := tx.QueryRowContext(ctx, `SELECT coalesce(sum(length(body)), 0) FROM stuck WHERE block <> ?`, b.id).Scan(&held); err != nil {
		return false, err
	}
	if held+int64(len(row.body)) > stuckBytes {
		return false, nil
	}
	_, err = tx.ExecContext(ctx, `INSERT OR REPLACE INTO stuck VALUES (?, ?, ?, ?, ?, ?)`, b.id, b.source.String(), row.dueMS, row.records, row.detail, row.body)
	return err == nil, err
}

// unstick moves the records back into the journal whose time has come: also those
// of an earlier run of the fleet, whose build or stores were others, and those
// whose time is further off than it can be, for the clock was set back.
func (j *journal) unstick(ctx context.Context, now time.Time) (moved int, err error) {
	moved, err = j.comeBack(ctx, "stuck", `due_ms <= ?1 OR due_ms > ?2 OR block <= ?3`, now.UnixMilli(), now.Add(stuckFor).UnixMilli(), j.opened)
	if err != nil {
		return 0, fmt.Errorf("try stuck records again: %w", err)
	}
	return moved, nil
}
