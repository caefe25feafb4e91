package queue

import (
	"errors"
	"fmt"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
)

// A pendingBlock is a block that lacks only its sequence.
type pendingBlock struct {
	header  buffer.Header
	payload []byte
	dict    uint64 // held until the block is stored
}

// prepare encodes an entry, so that callers encode side by side and only the
// sequence is left to the commit.
func (q *Queue) prepare(e Entry) (pendingBlock, error) {
	if !e.Lane.Valid() {
		return pendingBlock{}, fmt.Errorf("lane %d is unknown", uint8(e.Lane))
	}
	payload, dict, err := q.dicts.encode(e.Lane, e.Batch)
	if errors.Is(err, delta.ErrLimit) {
		return pendingBlock{}, fmt.Errorf("%w: %w", ErrTooLarge, err)
	}
	if err != nil {
		return pendingBlock{}, err
	}
	block := pendingBlock{header: headerOf(e.Lane, e.Batch), payload: payload, dict: dict}
	if err := q.fitsAlone(block, e.Batch); err != nil {
		q.dicts.release(dict)
		return pendingBlock{}, err
	}
	return block, nil
}

// headerOf is the header of a block at rest that lacks its session and sequences.
func headerOf(lane buffer.Lane, b delta.Batch) buffer.Header {
	lo, hi := b.TimeRange()
	return buffer.Header{
		Kind: buffer.AtRest, Lane: lane, MinTime: lo, MaxTime: hi,
		Samples: uint32(b.Samples()), Records: uint32(len(b.Records)),
	}
}

// fitsAlone makes sure that a block can be sent without the dictionary as well.
// Only one that is large at rest, or whose labels are long, needs to be tried.
func (q *Queue) fitsAlone(block pendingBlock, b delta.Batch) error {
	size := len(block.payload)
	for i := range b.Series {
		for _, l := range b.Series[i].Labels {
			size += len(l.Name) + len(l.Value)
		}
	}
	if size < buffer.MaxBlockBytes/4 {
		return nil
	}
	payload, err := q.codec.Encode(nil, b)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrTooLarge, err)
	}
	if n := max(len(payload), len(block.payload)) + buffer.MergedHeaderSize; n > buffer.MaxBlockBytes {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, n, buffer.MaxBlockBytes)
	}
	return nil
}
