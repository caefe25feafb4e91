package ingest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ghostlight/buffer"
)

// parkedReason marks rows that can be stored later; every other reason but
// stuckReason is for good.
const parkedReason = "too_new"

// parkedBytes bounds what is parked of one node, whose clock may be wrong for
// good; beyond it rows are dead letters.
const parkedBytes = 16 << 20

// An asideRow is a part of a block that the stores did not take, sealed.
type asideRow struct {
	reason, detail   string
	dueMS            int64 // parked: when to try again, Unix milliseconds
	samples, records int64
	body             []byte
}

// DeadLetter is a part of an accepted block that can never be stored.
type DeadLetter struct {
	Source  buffer.Source
	Reason  string // too_old, too_new, bad_labels, bad_record, undecodable, stuck
	Detail  string
	At      time.Time // when it was found
	Samples int64
	Records int64
	Block   []byte // sealed, readable like any block; what is undecodable is as it lay in the journal
}

// putAside stores what could not be applied of a group. Rows of a block that is
// applied again replace those of the first time.
func (j *journal) putAside(ctx context.Context, group []opened, now time.Time) error {
	none := true
	for _, b := range group {
		none = none && len(b.aside) == 0
	}
	if none {
		return nil
	}
	tx, err := j.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("set rows aside: %w", err)
	}
	for _, b := range group {
		if err := putAside(ctx, tx, b, now); err != nil {
			return errors.Join(fmt.Errorf("set rows of block %d aside: %w", b.id, err), ignoreDone(tx.Rollback()))
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("set rows aside: %w", err)
	}
	return nil
}

func putAside(ctx context.Context, tx *sql.Tx, b opened, now time.Time) error {
	records := 0
	for _, row := range b.aside {
		kept, err := keepForLater(ctx, tx, b, row)
		if err != nil {
			return err
		}
		if kept {
			continue
		}
		reason := row.reason
		if row.records > 0 && row.samples == 0 {
			// Several records of a block may be dead; the place of each among
			// them is the same whenever the block is applied.
			records++
			reason = fmt.Sprintf("%s_%d", row.reason, records)
		}
		res, err := tx.ExecContext(ctx, `INSERT OR IGNORE INTO dead VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
			b.id, reason, b.source.String(), now.UnixMilli(), row.samples, row.records, row.detail, row.body)
		if err != nil {
			return err
		}
		added, err := res.RowsAffected()
		if err != nil {
			return err
		}
		if added == 0 {
			continue // counted when the block was applied the first time
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO dead_totals VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET
			samples = samples + excluded.samples, records = records + excluded.records`, b.source.String(), row.reason, row.samples, row.records)
		if err != nil {
			return err
		}
	}
	return nil
}

// keepForLater keeps a row that can be stored later, if it is one and there is
// room for it.
func keepForLater(ctx context.Context, tx *sql.Tx, b opened, row asideRow) (kept bool, err error) {
	switch row.reason {
	case stuckReason:
		return putStuck(ctx, tx, b, row)
	case parkedReason:
	default:
		return false, nil
	}
	var held int64
	err = tx.QueryRowContext(ctx, `SELECT coalesce(sum(length(body)), 0) FROM parked WHERE source = ? AND block <> ?`, b.source.String(), b.id).Scan(&held)
	if err != nil || held+int64(len(row.body)) > parkedBytes {
		return false, err
	}
	_, err = tx.ExecContext(ctx, `INSERT OR REPLACE INTO parked VALUES (?, ?, ?, ?, ?)`, b.id, b.source.String(), row.dueMS, row.samples, row.body)
	return err == nil, err
}

// unpark moves parked rows whose time has come back into the journal and returns
// how many blocks it moved.
func (j *journal) unpark(ctx context.Context, now time.Time) (moved int, err error) {
	if moved, err = j.comeBack(ctx, "parked", `due_ms <= ?1`, now.UnixMilli()); err != nil {
		return 0, fmt.Errorf("unpark: %w", err)
	}
	return moved, nil
}

// comeBack moves rows of a table into the journal, as blocks of the centre's own:
// they are applied and trimmed like any other.
func (j *journal) comeBack(ctx context.Context, table, due string, args ...any) (moved int, err error) {
	tx, err := j.db.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	which := fmt.Sprintf(`FROM %s WHERE %s ORDER BY due_ms, block LIMIT %d`, table, due, groupBlocks)
	rows, err := tx.QueryContext(ctx, `INSERT INTO blocks (source, body) SELECT source, body FROM
		(SELECT source, body, block `+which+`) ORDER BY block RETURNING id, length(body)`, args...)
	if err != nil {
		return 0, errors.Join(err, ignoreDone(tx.Rollback()))
	}
	var last, size int64
	for rows.Next() {
		var id, bytes int64
		if err = rows.Scan(&id, &bytes); err != nil {
			break
		}
		moved, last, size = moved+1, max(last, id), size+bytes
	}
	err = errors.Join(err, rows.Err(), rows.Close())
	if err == nil && moved > 0 {
		_, err = tx.ExecContext(ctx, `DELETE FROM `+table+` WHERE block IN (SELECT block `+which+`)`, args...)
	}
	if err == nil {
		err = tx.Commit()
	}
	if err != nil {
		return 0, errors.Join(err, ignoreDone(tx.Rollback()))
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.last, j.bytes, j.blocks = max(j.last, last), j.bytes+size, j.blocks+int64(moved)
	return moved, nil
}

// DeadLetters returns the latest dead letters that are still held.
func (i *Ingest) DeadLetters(ctx context.Context, limit int) ([]DeadLetter, error) {
	rows, err := i.journal.read.QueryContext(ctx, `SELECT source, reason, detail, at_ms, samples, records, body FROM dead ORDER BY block DESC, reason LIMIT ?`, limit)
	if err != nil {
		return nil, fmt.Errorf("read dead letters: %w", err)
	}
	defer rows.Close()
	var out []DeadLetter
	for rows.Next() {
		var d DeadLetter
		var source string
		var at int64
		if err := rows.Scan(&source, &d.Reason, &d.Detail, &at, &d.Samples, &d.Records, &d.Block); err != nil {
			return nil, fmt.Errorf("read dead letters: %w", err)
		}
		d.Source, d.At = parseSource(source), time.UnixMilli(at)
		out = append(out, d)
	}
	return out, rows.Err()
}

// aside counts what is parked and dead when it is asked.
type aside struct{ journal *journal }

var (
	parkedDesc = prometheus.NewDesc("ghostlight_fleet_parked_samples", "Samples too far in the future, kept until they can be stored.", nil, nil)
	stuckDesc  = prometheus.NewDesc("ghostlight_fleet_stuck_records", "Records that their store did not take, kept and tried again every hour.", nil, nil)
	damageDesc = prometheus.NewDesc("ghostlight_fleet_journal_lost_blocks", "Acknowledged blocks that could not be read any more when the journal was found damaged, ever.", nil, nil)
	deadDesc   = prometheus.NewDesc("ghostlight_fleet_dead_samples_total", "Accepted samples that can never be stored, ever, by node and reason.",
		[]string{"region", "venue", "node", "reason"}, nil)
	deadRecordsDesc = prometheus.NewDesc("ghostlight_fleet_dead_records_total", "Accepted records that can never be stored, ever, by node and reason.",
		[]string{"region", "venue", "node", "reason"}, nil)
)

// Describe implements [prometheus.Collector].
func (a *aside) Describe(ch chan<- *prometheus.Desc) {
	ch <- parkedDesc
	ch <- stuckDesc
	ch <- damageDesc
	ch <- deadDesc
	ch <- deadRecordsDesc
}

// Collect implements [prometheus.Collector].
func (a *aside) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, sum := range []struct {
		desc  *prometheus.Desc
		query string
	}{
		{parkedDesc, `SELECT coalesce(sum(samples), 0) FROM parked`},
		{stuckDesc, `SELECT coalesce(sum(records), 0) FROM stuck`},
		{damageDesc, `SELECT coalesce(sum(lost), 0) FROM damage`},
	} {
		var n float64
		if err := a.journal.read.QueryRowContext(ctx, sum.query).Scan(&n); err != nil {
			ch <- prometheus.NewInvalidMetric(sum.desc, err)
			return
		}
		ch <- prometheus.MustNewConstMetric(sum.desc, prometheus.GaugeValue, n)
	}
	rows, err := a.journal.read.QueryContext(ctx, `SELECT source, reason, samples, records FROM dead_totals`)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(deadDesc, err)
		return
	}
	defer rows.Close()
	for rows.Next() {
		var source, reason string
		var samples, records float64
		if err := rows.Scan(&source, &reason, &samples, &records); err != nil {
			ch <- prometheus.NewInvalidMetric(deadDesc, err)
			return
		}
		src := parseSource(source)
		ch <- prometheus.MustNewConstMetric(deadDesc, prometheus.CounterValue, samples, src.Region, src.Venue, src.Node, reason)
		ch <- prometheus.MustNewConstMetric(deadRecordsDesc, prometheus.CounterValue, records, src.Region, src.Venue, src.Node, reason)
	}
}
