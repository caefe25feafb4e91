package queue

import (
	"fmt"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
)

// A Stored is a block on its way to the fleet.
type Stored struct {
	Lane    buffer.Lane
	Session buffer.Session
	// The block stands for all sequences from First to Seq; they are the same unless
	// it was merged of several.
	First, Seq buffer.Seq
	// Batch is what it holds. Its labels are the queue's and must not be changed.
	Batch   delta.Batch
	Created time.Time // when it was committed, by the node's clock; of a merged one the last
	Fresh   bool      // just now, as the order of sending has it
}

// Seal returns the block as one that needs no dictionary, for a POST.
func (s Stored) Seal(c *delta.Codec) ([]byte, error) {
	payload, err := c.Encode(nil, s.Batch)
	if err != nil {
		return nil, fmt.Errorf("seal block %d of lane %s: %w", s.Seq, s.Lane, err)
	}
	h := headerOf(s.Lane, s.Batch)
	h.Kind, h.Session, h.First, h.Seq = buffer.SelfContained, s.Session, s.First, s.Seq
	return buffer.Seal(h, payload), nil
}
