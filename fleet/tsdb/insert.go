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
	"ghostlight/fleet/classic"
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
// one of its parts, and every sample of the classic histograms that native ones
// became.
type Result struct {
	Stored  int         // in the database
	NaN     int         // ordinary NaN, which the database cannot hold
	TooOld  delta.Batch // before the retention: can never be stored
	TooNew  delta.Batch // more than Ahead in the future: can be stored later
	Invalid delta.Batch // labels that no series can have: can never be stored
}

// Insert stores the samples of batches under the identity of src: labels region,
// venue and node. A label of a batch that has such a name becomes
// exported_<name>. Native histograms become [classic] ones, of which each sample
// counts; records and exemplars are passed over. There is a result for each batch;
// after an error any part of any may be stored: insert them again.
//
// names is the [delta.NamesHash] of the series of the batches, which are the same
// in all of them; it is 0 for a single batch whose hash is not known. To insert
// several at once takes less time than one after the other.
func (d *DB) Insert(ctx context.Context, src buffer.Source, names uint64, batches ...delta.Batch) ([]Result, error) {
	results := make([]Result, len(batches))
	if len(batches) == 0 {
		return results, nil
	}
	for i := range batches[1:] {
		if n := len(batches[0].Series); names == 0 || len(batches[i+1].Series) != n {
			return nil, fmt.Errorf("insert rows of %s: batches of %d and %d series are not of the same names", src, n, len(batches[i+1].Series))
		}
	}
	if err := d.use(); err != nil {
		return nil, err
	}
	defer d.mu.RUnlock()
	select {
	case d.inserts <- struct{}{}:
		defer func() { <-d.inserts }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	now := d.now()
	w := writer{
		oldest: max(0, now.Add(-d.retention+retentionMargin).UnixMilli()),
		newest: now.Add(Ahead).UnixMilli(),
		rows:   d.rows.Get().(*[]storage.MetricRow),
	}
	defer d.giveBack(w.rows)
	// Rows of one series come in a row: VictoriaMetrics looks it up once.
	for i, name := range d.names.list(src, names, batches[0].Series) {
		for n := range batches {
			if err := w.add(&results[n], name, &batches[n].Series[i]); err != nil {
				return nil, fmt.Errorf("insert rows of %s: %w", src, err)
			}
		}
	}
	for n := range batches {
		series := classic.Series(&batches[n])
		for i, name := range d.names.list(src, 0, series) {
			if err := w.add(&results[n], name, &series[i]); err != nil {
				return nil, fmt.Errorf("insert rows of %s: %w", src, err)
			}
		}
	}
	if err := w.flush(); err != nil {
		return nil, fmt.Errorf("insert rows of %s: %w", src, err)
	}
	d.hidden.Store(true)
	return results, nil
}

// giveBack keeps the memory of rows for another insert.
func (d *DB) giveBack(rows *[]storage.MetricRow) {
	clear((*rows)[:cap(*rows)]) // or they would hold on to names
	*rows = (*rows)[:0]
	d.rows.Put(rows)
}

// A writer sorts samples into rows and refusals.
type writer struct {
	oldest, newest int64 // Unix milliseconds, both allowed
	rows           *[]storage.MetricRow
}

// add adds the samples of a series to the rows, or to what res refuses; name is
// nil if its labels cannot name a series.
func (w *writer) add(res *Result, name []byte, s *delta.Series) error {
	if len(s.Samples) == 0 {
		return nil
	}
	if name == nil {
		res.Invalid.Series = append(res.Invalid.Series, *s)
		return nil
	}
	var old, late []delta.Sample
	for _, smp := range s.Samples {
		switch {
		case smp.Time < w.oldest:
			old = append(old, smp)
		case smp.Time > w.newest:
			late = append(late, smp)
		case math.IsNaN(smp.Value) && !value.IsStaleNaN(smp.Value):
			res.NaN++
		default:
			*w.rows = append(*w.rows, storage.MetricRow{MetricNameRaw: name, Timestamp: smp.Time, Value: smp.Value})
			res.Stored++
			if len(*w.rows) >= rowsPerCall {
				if err := w.flush(); err != nil {
					return err
				}
			}
		}
	}
	res.TooOld.Series = refuse(res.TooOld.Series, s, old)
	res.TooNew.Series = refuse(res.TooNew.Series, s, late)
	return nil
}

func refuse(dst []delta.Series, s *delta.Series, samples []delta.Sample) []delta.Series {
	if len(samples) == 0 {
		return dst
	}
	return append(dst, delta.Series{Labels: s.Labels, Meta: s.Meta, Samples: samples})
}

func (w *writer) flush() error {
	if len(*w.rows) == 0 {
		return nil
	}
	err := vmstorage.AddRows(*w.rows)
	*w.rows = (*w.rows)[:0]
	return err
}
