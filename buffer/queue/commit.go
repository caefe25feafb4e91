package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/wire"
	"ghostlight/internal/sqlite"
)

// maxGroup bounds how many operations share one transaction, and so how long the
// first of them waits.
const maxGroup = 256

// An Entry is one batch for one lane: it becomes one block.
type Entry struct {
	Lane  buffer.Lane
	Batch delta.Batch
}

// A Commit is what one [Queue.Append] stores.
type Commit struct {
	// Entries with an empty batch are left out.
	Entries []Entry
	// State is durable key/value beside the revenue entries, committed in their
	// transaction: cursors, baselines. A nil value deletes the key.
	State map[string][]byte
}

// An op is what one caller wants written. Ops that wait at the same time are
// committed together and share one fsync.
type op struct {
	appends []pendingBlock
	state   map[string][]byte
	removes []removal
	replace *replacement // blocks to be merged
	sending *file        // whose blocks may be sent from now on
	forget  uint64       // dictionary that no block needs any more
	pages   bool         // store what pages the files are owed

	done chan struct{} // closed once err is set
	err  error
}

// A removal takes blocks out of the buffer: as acknowledged if reason is empty.
type removal struct {
	first, last key  // of one lane and generation
	exact       bool // also a block that stands for sequences before first
	reason      string
}

// adds reports whether the op stores blocks or state, or may.
func (o *op) adds() bool {
	return len(o.appends) > 0 || len(o.state) > 0 || o.replace != nil || o.pages
}

// touches reports whether the op writes to f.
func (o *op) touches(f *file) bool {
	if f.holds(buffer.Revenue) && len(o.state) > 0 {
		return true
	}
	for _, a := range o.appends {
		if f.holds(a.header.Lane) {
			return true
		}
	}
	for _, r := range o.removes {
		if f.holds(r.first.lane()) {
			return true
		}
	}
	return o.sending == f || o.forget != 0 || o.pages || o.replace != nil && f.holds(o.replace.header.Lane)
}

// holds reports whether f is the file of lane.
func (f *file) holds(lane buffer.Lane) bool {
	return (lane == buffer.Revenue) == (f.lanes[0] == buffer.Revenue)
}

// Append stores a commit: revenue entries and state first, in one transaction,
// then the other entries in another. It returns once all of it is on disk.
//
// The error is [ErrFull] if there is no room, [ErrTooLarge] or one of package
// delta's if an entry cannot be a block, a [PartialError] if only the revenue
// part was stored, or the disk's. After every error but PartialError nothing is
// stored. ctx ends the wait for the commit to begin, never the commit.
func (q *Queue) Append(ctx context.Context, c Commit) error {
	o := &op{state: c.State, done: make(chan struct{})}
	defer func() {
		for _, b := range o.appends {
			q.dicts.release(b.dict)
		}
	}()
	for i, e := range c.Entries {
		if e.Batch.Empty() {
			continue
		}
		block, err := q.prepare(e)
		if err != nil {
			return fmt.Errorf("append entry %d to lane %s: %w", i, e.Lane, err)
		}
		o.appends = append(o.appends, block)
	}
	if len(o.appends) == 0 && len(o.state) == 0 {
		return nil
	}
	if err := q.submit(ctx, o); err != nil {
		return fmt.Errorf("append: %w", err)
	}
	return nil
}

// Ack forgets the blocks that the fleet holds durably. Ranges of an unknown
// session or lane, or of blocks already gone, change nothing; nor does one that
// names a merged block only in part.
func (q *Queue) Ack(ctx context.Context, a wire.Ack) error {
	if !a.Lane.Valid() {
		return fmt.Errorf("acknowledge: lane %d is unknown", uint8(a.Lane))
	}
	gen, ok := q.fileOf(a.Lane).generation(a.Session)
	if !ok {
		return nil
	}
	o := &op{done: make(chan struct{})}
	for _, r := range a.Ranges {
		if r.Last = min(r.Last, maxSeq); r.First <= r.Last {
			o.removes = append(o.removes, removal{first: makeKey(a.Lane, gen, r.First), last: makeKey(a.Lane, gen, r.Last)})
		}
	}
	if len(o.removes) == 0 {
		return nil
	}
	if err := q.submit(ctx, o); err != nil {
		return fmt.Errorf("acknowledge lane %s: %w", a.Lane, err)
	}
	return nil
}

// Reject gives a block up: its samples are a declared loss with that reason.
func (q *Queue) Reject(ctx context.Context, s Stored, reason string) error {
	if reason == "" {
		return errors.New("reject: a loss needs a reason")
	}
	k, ok := q.key(s)
	if !ok {
		return nil
	}
	o := &op{done: make(chan struct{}), removes: []removal{{first: k, last: k, exact: true, reason: reason}}}
	if err := q.submit(ctx, o); err != nil {
		return fmt.Errorf("reject block %d of lane %s: %w", s.Seq, s.Lane, err)
	}
	return nil
}

// submit waits until o is committed. Whoever gets the writer's token commits for
// all who wait.
func (q *Queue) submit(ctx context.Context, o *op) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	q.mu.Lock()
	q.pending = append(q.pending, o)
	q.mu.Unlock()
	for {
		select {
		case <-o.done:
			return o.err
		case <-q.writer:
			q.commitPending()
			q.writer <- struct{}{}
		case <-ctx.Done():
			if q.withdraw(o) {
				return ctx.Err()
			}
			<-o.done // a commit has begun; it says what became of o
			return o.err
		}
	}
}

// withdraw takes o back if no commit has begun with it.
func (q *Queue) withdraw(o *op) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, p := range q.pending {
		if p == o {
			q.pending = append(q.pending[:i], q.pending[i+1:]...)
			return true
		}
	}
	return false
}

// commitPending commits the ops that wait, revenue first. The caller has the
// writer's token.
func (q *Queue) commitPending() {
	q.mu.Lock()
	n := min(len(q.pending), maxGroup)
	group := append([]*op(nil), q.pending[:n]...)
	q.pending = append(q.pending[:0:0], q.pending[n:]...)
	q.mu.Unlock()
	if n == 0 {
		return
	}
	if q.closed {
		for _, o := range group {
			o.err = ErrClosed
		}
	} else {
		q.commitGroup(group)
	}
	for _, o := range group {
		close(o.done)
	}
}

func (q *Queue) commitGroup(group []*op) {
	q.commitTo(q.revenue, touching(group, q.revenue))
	others := touching(group, q.telemetry)
	if len(others) > 0 && q.reserve.short() {
		// What room is left is revenue's: blocks of the other lanes may only leave.
		if q.reserve.refill(q.now()); q.reserve.short() {
			leaving, adding, spare := apart(others)
			q.finish(append(adding, spare...), q.telemetry, q.full(q.telemetry, errReserved))
			others = leaving
		}
	}
	q.commitTo(q.telemetry, others)
}

// commitTo commits group to one file. On a full disk blocks may leave and revenue
// may come with the space that was set aside; the last of that is for leaving.
func (q *Queue) commitTo(f *file, group []*op) {
	if len(group) == 0 {
		return
	}
	err := q.write(f, group)
	if !sqlite.IsFull(err) {
		q.finish(group, f, err)
		return
	}
	leaving, adding, spare := apart(group)
	q.finish(spare, f, q.full(f, err)) // the reserve is not for tidying up
	q.finish(leaving, f, q.writeReserved(f, leaving, 0))
	if f == q.revenue {
		q.finish(adding, f, q.writeReserved(f, adding, q.reserve.floor()))
		return
	}
	q.finish(adding, f, q.full(f, err))
}

var errReserved = errors.New("the last room is kept for revenue")

// touching returns the ops of group that write to f and have not failed yet.
func touching(group []*op, f *file) []*op {
	var out []*op
	for _, o := range group {
		if o.err == nil && o.touches(f) {
			out = append(out, o)
		}
	}
	return out
}

// apart tells ops that only take blocks out from those that add some, and from
// those that may as well wait.
func apart(group []*op) (leaving, adding, spare []*op) {
	for _, o := range group {
		switch {
		case len(o.appends) > 0 || len(o.state) > 0:
			adding = append(adding, o)
		case o.adds():
			spare = append(spare, o)
		default:
			leaving = append(leaving, o)
		}
	}
	return leaving, adding, spare
}

// finish gives the ops their result, counts what was turned away and tells who
// waits for blocks.
func (q *Queue) finish(group []*op, f *file, err error) {
	added := false
	for _, o := range group {
		switch {
		case err == nil:
			added = added || len(o.appends) > 0
		case f == q.telemetry && o.touches(q.revenue):
			o.err = &PartialError{Err: err}
		default:
			o.err = err
		}
	}
	if err != nil {
		f.refused(group)
		if f == q.revenue {
			q.telemetry.refused(group) // what failed here is not even tried there
		}
	}
	if added {
		select {
		case q.changed <- struct{}{}:
		default:
		}
	}
}

// writeReserved writes to a file on a full disk with the space that was set
// aside, down to floor.
func (q *Queue) writeReserved(f *file, group []*op, floor int64) error {
	if len(group) == 0 {
		return nil
	}
	for {
		err := q.write(f, group)
		if !sqlite.IsFull(err) {
			f.checkpoint() // a shorter log is room as well
			q.reserve.refill(q.now())
			return err
		}
		// The log's pages must fit into the file once more before it can be cut.
		freed, freeErr := q.reserve.spend(max(reserveStep, f.logSize()), floor, q.now())
		if freeErr != nil || freed == 0 {
			return q.full(f, errors.Join(err, freeErr))
		}
		f.checkpoint()
		q.log.Warn("disk is full: using the space set aside for revenue", slog.Int64("freed_bytes", freed), slog.Int64("left_bytes", q.reserve.size()))
	}
}

func (q *Queue) full(f *file, err error) error {
	return fmt.Errorf("%w: free some space on the disk of %s: %w", ErrFull, filepath.Dir(f.path), err)
}

// generation returns when a session was, if the file may hold blocks of it.
func (f *file) generation(s buffer.Session) (generation, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	gen, ok := f.sessions[s]
	return gen, ok
}

func (q *Queue) fileOf(lane buffer.Lane) *file {
	if lane == buffer.Revenue {
		return q.revenue
	}
	return q.telemetry
}
