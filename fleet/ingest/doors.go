package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/internal/sqlite"
)

// A Part is one block to be: what a door made of a request for one lane.
type Part struct {
	Lane  buffer.Lane
	Batch delta.Batch
}

// DoorAccepted counts what one node sent through one door in one lane, ever. What
// is sent twice is counted twice.
type DoorAccepted struct {
	Source buffer.Source
	Door   string
	Lane   buffer.Lane
	Accepted
}

// doorWait is what the sender of a door is asked to wait while the centre cannot
// take more.
const doorWait = 5 * time.Second

// Admit reports whether a request of src could be taken now, so that one that
// cannot is not read. The error is a [Pressure].
func (i *Ingest) Admit(src buffer.Source) error {
	if err := i.limits.admit(src, buffer.Detail); err != nil {
		return err
	}
	if err := i.journal.room(0); err != nil {
		return &Pressure{Reason: "journal_full", After: doorWait, Says: err.Error()}
	}
	return nil
}

// Take makes what came through a door durable, as blocks of a session of the
// centre's own, and returns when it is. bytes is the size of the request as it
// travelled. A [Pressure] means that it is to be sent again: some of it may be
// stored. An error that wraps [delta.ErrLimit] or [delta.ErrInvalid] means that it
// will never be taken.
//
// A door's blocks have no names of their sender's making: what is sent twice is
// stored twice, which changes nothing, and counted twice.
func (i *Ingest) Take(ctx context.Context, src buffer.Source, door string, bytes int, parts []Part) error {
	if err := i.charge(src, bytes, parts); err != nil {
		return err
	}
	posts := make([]post, 0, len(parts))
	size := 0
	for _, part := range parts {
		p, err := i.seal(src, door, part)
		if err != nil {
			return err
		}
		posts, size = append(posts, p), size+len(p.body)+len(p.described)
	}
	if err := i.journal.room(size); err != nil {
		return &Pressure{Reason: "journal_full", After: doorWait, Says: err.Error()}
	}
	answers := make(chan outcome, len(posts))
	for n := range posts {
		posts[n].outcome = answers
		if err := i.enqueue(ctx, posts[n]); err != nil {
			return i.pressureOf(src, err)
		}
	}
	for range posts {
		o, err := i.await(answers)
		if err == nil {
			err = o.err
		}
		if err != nil {
			return i.pressureOf(src, err)
		}
	}
	return nil
}

// charge holds a request against the limits of its node.
func (i *Ingest) charge(src buffer.Source, bytes int, parts []Part) error {
	samples := 0
	for _, part := range parts {
		samples += part.Batch.Samples()
	}
	if err := i.limits.spend(src, buffer.Detail, bytes, samples); err != nil {
		return err
	}
	for _, part := range parts {
		if err := i.limits.note(src, part.Lane, 0, part.Batch.Series); err != nil {
			return err
		}
	}
	return nil
}

// seal makes a block of a part.
func (i *Ingest) seal(src buffer.Source, door string, part Part) (post, error) {
	h := buffer.Header{
		Kind: buffer.SelfContained, Lane: part.Lane, Session: i.session, Seq: buffer.Seq(i.seq.Add(1)),
		Samples: uint32(part.Batch.Samples()), Records: uint32(len(part.Batch.Records)),
	}
	h.MinTime, h.MaxTime = part.Batch.TimeRange()
	p := post{source: src, door: door, header: h, batch: part.Batch, names: delta.NamesHash(part.Batch.Series)}
	if err := i.write(&p); err != nil {
		return post{}, fmt.Errorf("keep what came by %s: %w", door, err)
	}
	return p, nil
}

// pressureOf words an error of the journal for whoever sent the request.
func (i *Ingest) pressureOf(src buffer.Source, err error) error {
	p := &Pressure{Reason: "unavailable", After: doorWait, Says: "the request could not be stored; send it again"}
	var r *refusal
	switch {
	case errors.As(err, &r):
		p.Reason, p.Says = r.reason, r.Error()
	case sqlite.IsFull(err):
		p.Reason, p.Says = "disk_full", "the fleet's disk is full; try again"
	default:
		i.log.Error("request was not taken", "source", src.String(), "error", err)
	}
	return p
}

// AcceptedByDoors lists what was taken from nodes through doors other than that of
// blocks, in no order.
func (i *Ingest) AcceptedByDoors() []DoorAccepted {
	i.journal.mu.Lock()
	defer i.journal.mu.Unlock()
	out := make([]DoorAccepted, 0, len(i.journal.doors))
	for key, a := range i.journal.doors {
		out = append(out, DoorAccepted{Source: key.source, Door: key.door, Lane: key.lane, Accepted: a})
	}
	return out
}
