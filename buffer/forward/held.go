package forward

import (
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/queue"
)

// maxHeld blocks wait for their next attempt at a time; more stop sending.
const maxHeld = 64

// A blockID names a block.
type blockID struct {
	lane    buffer.Lane
	session buffer.Session
	seq     buffer.Seq
}

func id(s queue.Stored) blockID { return blockID{lane: s.Lane, session: s.Session, seq: s.Seq} }

// bare is a block without its content: what the queue needs to know it by.
func bare(s queue.Stored) queue.Stored {
	s.Batch = delta.Batch{}
	return s
}

// held are blocks that failed and are kept from the queue until their next
// attempt, so that they do not crowd out the others.
type held struct {
	attempts map[blockID]int // failures in a row
	blocks   []heldBlock
}

type heldBlock struct {
	block queue.Stored
	until time.Time
}

// add keeps a block back for a time that grows with its failures, at least for
// pause.
func (h *held) add(s queue.Stored, now time.Time, pause time.Duration, random func() float64) {
	if h.attempts == nil || len(h.attempts) > 16*maxHeld {
		h.attempts = map[blockID]int{} // bounds memory; delays start anew
	}
	h.attempts[id(s)]++
	h.blocks = append(h.blocks, heldBlock{block: bare(s), until: now.Add(max(pause, delay(h.attempts[id(s)], random)))})
}

// settled forgets the failures of a block.
func (h *held) settled(s queue.Stored) { delete(h.attempts, id(s)) }

func (h *held) full() bool { return len(h.blocks) >= maxHeld }

// release gives blocks back whose time has come.
func (h *held) release(q Queue, now time.Time) {
	kept := h.blocks[:0]
	for _, b := range h.blocks {
		if now.Before(b.until) {
			kept = append(kept, b)
			continue
		}
		q.Release(b.block)
	}
	h.blocks = kept
}

// releaseAll gives all back.
func (h *held) releaseAll(q Queue) {
	for _, b := range h.blocks {
		q.Release(b.block)
	}
	h.blocks = nil
}

// next is when the first block's time comes, zero if none is held.
func (h *held) next() (first time.Time) {
	for _, b := range h.blocks {
		if first.IsZero() || b.until.Before(first) {
			first = b.until
		}
	}
	return first
}
