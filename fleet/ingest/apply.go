package ingest

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/fleet/store"
	"ghostlight/fleet/tsdb"
	"ghostlight/internal/daemon"
)

// apply hands what the journal holds to the stores, in the order of acceptance,
// until ctx ends. It is the only caller of the stores, so "everything up to this
// id" is one number.
func (i *Ingest) apply(ctx context.Context) error {
	failing := 0 // rounds in a row
	for {
		blocks, err := i.journal.next(ctx, i.applied.Load(), groupBlocks, groupBytes)
		if err = damaged(err); errors.Is(err, errDamaged) {
			return err
		}
		switch {
		case err != nil || len(blocks) == 0:
		case failing < blameAfter:
			err = i.applyGroup(ctx, blocks, i.applyRecords)
		default:
			err = i.applyAlone(ctx, blocks)
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			i.metrics.applyFailures.Inc()
			if failing == 0 {
				i.log.Error("accepted blocks cannot be stored, will retry", "error", err)
			}
			failing++
			if !daemon.Sleep(ctx, i.o.retryEvery) {
				return nil
			}
			continue
		case failing > 0:
			failing = 0
			i.log.Info("accepted blocks are stored again")
		}
		if len(blocks) > 0 {
			continue
		}
		select {
		case <-i.work:
		case <-ctx.Done():
			return nil
		}
	}
}

// An opened block is one of a group on its way to the stores.
type opened struct {
	journalled
	content
	aside []asideRow // what the stores cannot take
}

// applyGroup stores blocks, their records by way of the function given; an error
// means that all must be applied again. Each step may be repeated: samples and
// records are sets.
func (i *Ingest) applyGroup(ctx context.Context, blocks []journalled, records func(context.Context, []opened) error) error {
	group := make([]opened, len(blocks))
	for n, b := range blocks {
		var err error
		if group[n], err = i.open(ctx, b); err != nil {
			return err
		}
		if _, err := i.o.Store.Register(ctx, group[n].source); err != nil {
			return err
		}
		if err := i.learn(ctx, &group[n]); err != nil {
			return err
		}
	}
	for _, alike := range alikes(group) {
		if err := i.insertSamples(ctx, alike); err != nil {
			return err
		}
	}
	if err := records(ctx, group); err != nil {
		return err
	}
	if err := i.journal.putAside(ctx, group, i.o.Now()); err != nil {
		return err
	}
	last := blocks[len(blocks)-1].id
	i.applied.Store(last)
	i.marks.note(i.o.Now(), last)
	i.mu.Lock()
	defer i.mu.Unlock()
	close(i.progress)
	i.progress = make(chan struct{})
	return nil
}

// alikes sorts the blocks of a group by node and names; those whose names have no
// known hash stay alone.
func alikes(group []opened) (out [][]*opened) {
	where := map[namesKey]int{}
	for n := range group {
		b := &group[n]
		if b.batch.Samples() == 0 {
			continue
		}
		key := namesKey{b.source, b.names}
		at, ok := where[key]
		if !ok || b.names == 0 {
			at = len(out)
			where[key], out = at, append(out, nil)
		}
		out[at] = append(out[at], b)
	}
	return out
}

// open returns what a journalled block holds. One that could be decoded when it
// was accepted and cannot now, because this build or its limits are others, is a
// dead letter. An error says that the journal cannot be read now.
func (i *Ingest) open(ctx context.Context, b journalled) (opened, error) {
	out := opened{journalled: b}
	if b.ready != nil {
		out.content = *b.ready
		return out, nil
	}
	src, c, err := i.parse(ctx, b)
	switch {
	case err == nil:
		out.source = src
	case errors.Is(err, errRecord), errors.Is(err, buffer.ErrCorrupt), errors.Is(err, errUndecodable):
		i.metrics.samples.WithLabelValues("dead").Add(float64(c.header.Samples))
		c.batch = delta.Batch{}
		out.aside = append(out.aside, asideRow{
			reason: "undecodable", detail: err.Error(), samples: int64(c.header.Samples), records: int64(c.header.Records), body: b.body,
		})
	default:
		return out, err
	}
	out.content = c
	return out, nil
}

// errUndecodable means that a sealed block is whole and yet cannot be read.
var errUndecodable = errors.New("block cannot be decoded")

// parse reads a block of the journal: a record, which says itself whose it is, or
// one that is sealed.
func (i *Ingest) parse(ctx context.Context, b journalled) (src buffer.Source, c content, err error) {
	if !bytes.HasPrefix(b.body, []byte(blockMagic)) {
		var payload []byte
		if c.header, payload, err = buffer.Open(b.body); err != nil {
			return b.source, c, fmt.Errorf("%w: %w", errUndecodable, err)
		}
		if c.batch, err = i.unpack(payload); err != nil {
			return b.source, c, fmt.Errorf("%w: %w", errUndecodable, err)
		}
		return b.source, c, nil
	}
	h, err := parseHead(b.body)
	if err != nil {
		return b.source, c, err
	}
	var names []delta.Series
	if h.series > 0 {
		c.names = h.names
		key := namesKey{h.source, h.names}
		names, err = i.names.get(key, func() ([]delta.Series, error) { return i.journal.readNames(ctx, key) })
		if err != nil {
			return b.source, c, err
		}
	}
	c.batch, err = h.batch(names)
	c.header = h.header
	return h.source, c, err
}

// maxLearned bounds the lists of series whose metadata are known to be kept.
const maxLearned = 4096

// learned are lists of series whose metadata are kept.
type learned map[namesKey]bool

// learn keeps what the series of a block say of themselves.
func (i *Ingest) learn(ctx context.Context, b *opened) error {
	key := namesKey{b.source, b.names}
	if len(b.batch.Series) == 0 || b.names != 0 && i.learned[key] {
		return nil
	}
	if err := i.o.Learner.Learn(ctx, b.batch.Series); err != nil {
		return err
	}
	if len(i.learned) >= maxLearned || i.learned == nil {
		i.learned = learned{}
	}
	i.learned[key] = true
	return nil
}

// unpack decodes a payload. One that breaks the decoder is not decodable.
func (i *Ingest) unpack(payload []byte) (batch delta.Batch, err error) {
	defer func() {
		if p := recover(); p != nil {
			batch, err = delta.Batch{}, fmt.Errorf("the block broke the decoder: %v", p)
		}
	}()
	return i.codec.Decode(payload)
}

// insertSamples stores the samples of blocks that have the same names.
func (i *Ingest) insertSamples(ctx context.Context, blocks []*opened) error {
	batches := make([]delta.Batch, len(blocks))
	for n, b := range blocks {
		batches[n] = b.batch
	}
	results, err := i.o.Series.Insert(ctx, blocks[0].source, blocks[0].names, batches...)
	if err != nil {
		return err
	}
	for n, b := range blocks {
		if err := i.sortOut(b, results[n]); err != nil {
			return err
		}
	}
	return nil
}

// sortOut counts what became of the samples of a block, and sets those aside that
// could not be stored.
func (i *Ingest) sortOut(b *opened, res tsdb.Result) error {
	i.metrics.samples.WithLabelValues("stored").Add(float64(res.Stored))
	i.metrics.samples.WithLabelValues("nan").Add(float64(res.NaN))
	for _, part := range []struct {
		reason string
		batch  delta.Batch
	}{{"too_old", res.TooOld}, {"bad_labels", res.Invalid}, {parkedReason, res.TooNew}} {
		if part.batch.Samples() == 0 {
			continue
		}
		row, err := i.setAside(b.header, part.reason, part.batch)
		if err != nil {
			return err
		}
		if part.reason == parkedReason {
			row.dueMS = due(part.batch)
		}
		b.aside = append(b.aside, row)
	}
	return nil
}

// due is when the first of a batch's samples can be stored, Unix milliseconds.
func due(b delta.Batch) int64 {
	lo, _ := b.TimeRange()
	if lo < math.MinInt64+tsdb.Ahead.Milliseconds() {
		return lo
	}
	return lo - tsdb.Ahead.Milliseconds() + 1
}

// setAside seals a part of a block, so that it can be read, or applied, later.
func (i *Ingest) setAside(h buffer.Header, reason string, part delta.Batch) (asideRow, error) {
	payload, err := i.codec.Encode(nil, part)
	if err != nil {
		return asideRow{}, fmt.Errorf("set aside part of block %d: %w", h.Seq, err)
	}
	h.MinTime, h.MaxTime = part.TimeRange()
	h.Samples, h.Records = uint32(part.Samples()), uint32(len(part.Records))
	result := "dead"
	if reason == parkedReason {
		result = "parked"
	}
	i.metrics.samples.WithLabelValues(result).Add(float64(part.Samples()))
	return asideRow{reason: reason, samples: int64(h.Samples), records: int64(h.Records), body: buffer.Seal(h, payload)}, nil
}

// applyRecords stores the records of all blocks in one transaction.
func (i *Ingest) applyRecords(ctx context.Context, group []opened) error {
	var dead map[int][]asideRow
	err := i.o.Store.Write(ctx, func(tx *sql.Tx) error {
		dead = map[int][]asideRow{}
		for n, b := range group {
			for _, rec := range b.batch.Records {
				err := i.applyRecord(ctx, tx, b.source, rec)
				if !errors.Is(err, store.ErrMalformed) {
					if err != nil {
						return err
					}
					continue
				}
				row, sealErr := i.deadRecord(b.header, rec, err)
				if sealErr != nil {
					return sealErr
				}
				dead[n] = append(dead[n], row)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store records: %w", err)
	}
	for n, rows := range dead {
		group[n].aside = append(group[n].aside, rows...)
	}
	i.countRecords(group, dead)
	return nil
}

// deadRecord sets one record aside that can never be stored.
func (i *Ingest) deadRecord(h buffer.Header, rec delta.Record, why error) (asideRow, error) {
	row, err := i.setAside(h, "bad_record", delta.Batch{Records: []delta.Record{rec}})
	row.detail = why.Error()
	return row, err
}

func (i *Ingest) applyRecord(ctx context.Context, tx *sql.Tx, src buffer.Source, rec delta.Record) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %s %s: %v", errPanic, rec.Kind, rec.Key, p)
		}
	}()
	a := i.appliers[rec.Kind]
	if a == nil {
		return fmt.Errorf("%w: kind %q is unknown to this version", store.ErrMalformed, rec.Kind)
	}
	return a.Apply(ctx, tx, src, rec)
}

// countRecords counts by kind; kinds nobody takes have no label, for a node could
// make up any number of them.
func (i *Ingest) countRecords(group []opened, dead map[int][]asideRow) {
	for n, b := range group {
		for _, rec := range b.batch.Records {
			if i.appliers[rec.Kind] != nil {
				i.metrics.records.WithLabelValues(rec.Kind).Inc()
			}
		}
		for range dead[n] {
			i.metrics.deadRecords.Inc()
		}
	}
}
