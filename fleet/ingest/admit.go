package ingest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/internal/sqlite"
)

// admit makes a post of a decoded block of an agent, if it may be taken; names is
// the hash of those of its series. The caller holds a token of decode, so that what waits for room is bounded too, and
// gives the post's size back to batches when it is answered or given up.
func (i *Ingest) admit(ctx context.Context, src buffer.Source, header buffer.Header, names uint64, batch delta.Batch) (post, error) {
	if header.Seq > maxSeq {
		return post{}, refuse(http.StatusBadRequest, "sequence", "sequence %d is out of range", header.Seq)
	}
	p := post{source: src, header: header, batch: batch, names: names, size: min(batchBytes(&batch), maxBatches)}
	if err := i.limits.note(src, header.Lane, p.names, batch.Series); err != nil {
		return post{}, refuse(http.StatusTooManyRequests, "node_limit", "%w", err)
	}
	wait, cancel := context.WithTimeout(ctx, queueTimeout)
	defer cancel()
	if err := i.batches.Acquire(wait, p.size); err != nil {
		return post{}, refuse(http.StatusServiceUnavailable, "busy", "too many blocks are being taken; try again")
	}
	err := i.write(&p)
	if err != nil {
		err = refuse(http.StatusUnprocessableEntity, "payload", "block %d of lane %s cannot be kept: %w", header.Seq, header.Lane, err)
	} else if err = i.journal.room(len(p.body) + len(p.described)); err != nil {
		err = refuse(http.StatusServiceUnavailable, "journal_full", "%w", err)
	}
	if err != nil {
		i.batches.Release(p.size)
		return post{}, err
	}
	p.digest = delta.DigestNamed(names, batch)
	return p, nil
}

// write makes what the journal keeps of a block. The error wraps
// [delta.ErrInvalid] or [delta.ErrLimit].
func (i *Ingest) write(p *post) error {
	if h, most := p.header, uint32(i.o.Decode.Samples); h.Samples > most || h.Records > most {
		return fmt.Errorf("%w: %d samples and %d records, at most %d of each", delta.ErrLimit, h.Samples, h.Records, most)
	}
	if len(p.batch.Series) > 0 && !i.journal.holdsNames(p.key()) {
		if err := p.describe(i.codec); err != nil {
			return err
		}
	}
	p.body = appendBlock(make([]byte, 0, recordBytes(int(p.header.Samples), &p.batch)), p.source, p.header, p.names, &p.batch)
	return nil
}

// enqueue queues a block for its commit.
func (i *Ingest) enqueue(ctx context.Context, p post) error {
	wait := time.NewTimer(queueTimeout)
	defer wait.Stop()
	select {
	case i.posts <- p:
	case <-i.ended:
		return errStopping
	case <-ctx.Done():
		return refuse(http.StatusServiceUnavailable, "cut_short", "the request was given up")
	case <-wait.C:
		return refuse(http.StatusServiceUnavailable, "busy", "too many blocks are being taken; try again")
	}
	return nil
}

// errStopping means that the block may or may not be durable.
var errStopping = refuse(http.StatusServiceUnavailable, "stopping", "the fleet is stopping; try again")

// await waits for what became of a block that was queued.
func (i *Ingest) await(answered <-chan outcome) (outcome, error) {
	select {
	case o := <-answered:
		return o, nil
	case <-i.ended:
	}
	// A group that was committed before the end has been answered.
	select {
	case o := <-answered:
		return o, nil
	default:
		return outcome{}, errStopping
	}
}

// settled counts what became of a block of an agent; the error is nil if it is
// durable, now or since before.
func (i *Ingest) settled(o outcome) error {
	switch {
	case errors.Is(o.err, errConflict), errors.Is(o.err, errOverlap):
		reason := "conflict"
		if errors.Is(o.err, errOverlap) {
			reason = "overlap"
		}
		return refuse(http.StatusConflict, reason, "block %d of lane %s in session %d: %w", o.of.Seq, o.of.Lane, o.of.Session, o.err)
	case sqlite.IsFull(o.err):
		return refuse(http.StatusServiceUnavailable, "disk_full", "the fleet's disk is full; try again")
	case o.err != nil:
		return o.err
	}
	result := "accepted"
	if o.duplicate {
		result = "duplicate"
	}
	i.metrics.blocks.WithLabelValues(o.of.Lane.String(), result).Inc()
	return nil
}
