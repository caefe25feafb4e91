package tsdb

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/VictoriaMetrics/VictoriaMetrics/app/vmstorage"
	"github.com/VictoriaMetrics/VictoriaMetrics/lib/storage"
	"github.com/prometheus/prometheus/model/value"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
)

// Ahead is how far in the future a row may lie. VictoriaMetrics allows two days;
// the margin is for the granularity of its clock.
const Ahead = 48*time.Hour - time.Minute

// retentionMargin keeps rows away from the edge of the retention, where they could
// be dropped between the check and the insert.
const retentionMargin = time.Minute

// rowsPerCall is how many rows one call hands to VictoriaMetrics.
const rowsPerCall = 8000

// A Result says what became of the samples of a batch. Every sample is in exactly
// one of its parts.
type Result struct {
	Stored  int         // in the database
	NaN     int         // ordinary NaN, which the database cannot hold
	TooOld  delta.Batch // before the retention: can never be stored
	TooNew  delta.Batch // more than Ahead in the future: can be stored later
	Invalid delta.Batch // labels that no series can have: can never be stored
}

// Insert stores the samples of a batch under the identity of src: labels region,
// venue and node. A label of the batch that has such a name becomes
// exported_<name>. Records are passed over. After an error any part of the batch
// may be stored; insert it again.
func (d *DB) Insert(ctx context.Context, src buffer.Source, batch delta.Batch) (Result, error) {
	if err := d.use(); err != nil {
		return Result{}, err
	}
	defer d.mu.RUnlock()
	select {
	case d.inserts <- struct{}{}:
		defer func() { <-d.inserts }()
	case <-ctx.Done():
		return Result{}, ctx.Err()
	}
	now := d.now()
	w := writer{
		oldest: max(0, now.Add(-d.retention+retentionMargin).UnixMilli()),
		newest: now.Add(Ahead).UnixMilli(),
		rows:   make([]storage.MetricRow, 0, min(rowsPerCall, batch.Samples())),
	}
	for _, s := range batch.Series {
		if len(s.Samples) == 0 {
			continue
		}
		name, err := d.names.raw(src, s.Labels)
		if err != nil {
			w.result.Invalid.Series = append(w.result.Invalid.Series, s)
			continue
		}
		if err := w.add(name, s); err != nil {
			return Result{}, fmt.Errorf("insert rows of %s: %w", src, err)
		}
	}
	if err := w.flush(); err != nil {
		return Result{}, fmt.Errorf("insert rows of %s: %w", src, err)
	}
	return w.result, nil
}

// A writer sorts the samples of one batch into rows and refusals.
type writer struct {
	oldest, newest int64 // Unix milliseconds, both allowed
	rows           []storage.MetricRow
	result         Result
}

func (w *writer) add(name []byte, s delta.Series) error {
	var old, late []delta.Sample
	for _, smp := range s.Samples {
		switch {
		case smp.Time < w.oldest:
			old = append(old, smp)
		case smp.Time > w.newest:
			late = append(late, smp)
		case math.IsNaN(smp.Value) && !value.IsStaleNaN(smp.Value):
			w.result.NaN++
		default:
			w.rows = append(w.rows, storage.MetricRow{MetricNameRaw: name, Timestamp: smp.Time, Value: smp.Value})
			w.result.Stored++
			if len(w.rows) >= rowsPerCall {
				if err := w.flush(); err != nil {
					return err
				}
			}
		}
	}
	w.result.TooOld.Series = refuse(w.result.TooOld.Series, s, old)
	w.result.TooNew.Series = refuse(w.result.TooNew.Series, s, late)
	return nil
}

func refuse(dst []delta.Series, s delta.Series, samples []delta.Sample) []delta.Series {
	if len(samples) == 0 {
		return dst
	}
	s.Samples = samples
	return append(dst, s)
}

func (w *writer) flush() error {
	if len(w.rows) == 0 {
		return nil
	}
	err := vmstorage.AddRows(w.rows)
	w.rows = w.rows[:0]
	return err
}
