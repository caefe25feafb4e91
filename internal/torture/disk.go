package torture

import (
	"context"
	"errors"
	"strings"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/queue"
)

// errDied is what a process sees of the commit that it dies in.
var errDied = errors.New("the agent died")

// A disk is what of a node survives its agent: state, and the blocks that wait for
// the centre. It keeps the promises of buffer/queue.
type disk struct {
	state   map[string][]byte
	waiting []*block // oldest first
	blocks  int      // ever made
}

// A block is what one commit has to tell the centre.
type block struct {
	number  int
	records []delta.Record
	created int64 // true time
	sent    int64 // when last; 0: never
	acked   bool
	spoilt  bool // garbage was put in
}

// An opening is a disk as one agent has it, until it dies.
type opening struct {
	*disk
	now    func() int64
	full   bool // commits are refused
	partly bool // what is not revenue is refused
	dying  int  // the next commit kills the agent: before it is durable, or behind
	dead   bool
	bug    bug
	stored func([]delta.Record) // called with what a durable commit has to tell
}

const (
	diesBefore = 1 + iota
	diesBehind
)

// Commit implements sli.Committer.
func (o *opening) Commit(_ context.Context, c queue.Commit) error {
	switch {
	case o.dead:
		return errDied
	case o.full:
		return queue.ErrFull
	case o.dying == diesBefore:
		o.dead = true
		return errDied
	}
	for k, v := range c.State {
		if o.bug == bugCursor && k == cursorKey && o.blocks%10 == 0 || o.bug == bugWatch && strings.HasPrefix(k, incidentsPrefix) {
			continue
		}
		if v == nil {
			delete(o.state, k)
		} else {
			o.state[k] = v
		}
	}
	var records []delta.Record
	telemetry := false
	for _, e := range c.Entries {
		if e.Lane == buffer.Revenue {
			records = append(records, e.Batch.Records...)
		} else {
			telemetry = true
		}
	}
	if len(records) > 0 {
		o.blocks++
		o.waiting = append(o.waiting, &block{number: o.blocks, records: records, created: o.now()})
	}
	o.stored(records)
	switch {
	case o.dying == diesBehind:
		o.dead = true
		return errDied
	case o.partly && telemetry:
		return &queue.PartialError{Err: queue.ErrFull}
	}
	return nil
}

// incidentsPrefix is where the node's incidents keep their state.
const incidentsPrefix = "incidents/"

// loadAll returns the keys that begin with a prefix.
func (o *opening) loadAll(prefix string) (map[string][]byte, error) {
	if o.dead {
		return nil, errDied
	}
	out := map[string][]byte{}
	for k, v := range o.state {
		if strings.HasPrefix(k, prefix) {
			out[k] = v
		}
	}
	return out, nil
}

func (o *opening) load(key string) ([]byte, error) {
	if o.dead {
		return nil, errDied
	}
	return o.state[key], nil
}
