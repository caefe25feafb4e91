package fleetsim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/queue"
	"ghostlight/buffer/wire"
)

const (
	// freshFor is how long a block counts as fresh.
	freshFor = 30 * time.Second
	// diskTime is what a commit takes.
	diskTime = 5 * time.Millisecond
	// mergeFrom to mergeParts neighbours become one block.
	mergeFrom, mergeParts = 8, 32
)

// errOff is what a disk answers to a process that is dead.
var errOff = errors.New("the node is off")

// A disk is a node's buffer: what was committed outlives everything. It counts
// what it commits for the oracle.
type disk struct {
	w    *world
	node int

	mu      sync.Mutex // guards what follows
	rng     *rand.Rand
	lanes   map[buffer.Lane][]*kept // oldest first
	truth   *books
	sold    []time.Time // when revenue was committed
	state   map[string][]byte
	dropped []kept // acknowledged, without content
	digests map[blockKey]digest
	opening *opening // nil: the node is off
}

// kept is a block on the disk.
type kept struct {
	queue.Stored
	sent bool // it may have been: it is not changed any more
	out  bool // handed out to the process that runs; not on disk
}

func (k *kept) key(node int) blockKey {
	return blockKey{node, k.Session, k.Lane, wire.Range{First: k.First, Last: k.Seq}}
}

func newDisk(w *world, node int, rng *rand.Rand) *disk {
	return &disk{
		w: w, node: node, rng: rng, lanes: map[buffer.Lane][]*kept{}, truth: newBooks(),
		state: map[string][]byte{}, digests: map[blockKey]digest{},
	}
}

// An opening is a disk as one process has it, until it dies: [forward.Queue] and
// [forward.Memory].
type opening struct {
	*disk
	session buffer.Session
	seqs    map[buffer.Lane]buffer.Seq
	changed chan struct{}
}

// open begins a session.
func (d *disk) open() *opening {
	d.mu.Lock()
	defer d.mu.Unlock()
	o := &opening{disk: d, session: buffer.Session(d.rng.Uint64() | 1), seqs: map[buffer.Lane]buffer.Seq{}, changed: make(chan struct{}, 1)}
	d.opening = o
	return o
}

// off ends the process that has the disk. If it was not stopped in order, nobody
// knows what it had sent.
func (d *disk) off() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.opening = nil
	unknown := false
	d.each(func(b *kept) { unknown = unknown || b.out })
	d.each(func(b *kept) { b.sent, b.out = b.sent || unknown, false })
}

// each visits all blocks; the caller holds mu.
func (d *disk) each(visit func(*kept)) {
	for _, lane := range buffer.Lanes() {
		for _, b := range d.lanes[lane] {
			visit(b)
		}
	}
}

// on locks the disk for the process, if it lives.
func (o *opening) on() error {
	o.mu.Lock()
	if o.opening != o {
		o.mu.Unlock()
		return errOff
	}
	return nil
}

// commit stores what was scraped.
func (o *opening) commit(batches map[buffer.Lane]delta.Batch) {
	if o.on() != nil {
		return
	}
	defer o.mu.Unlock()
	for _, lane := range buffer.Lanes() {
		b, ok := batches[lane]
		if !ok {
			continue
		}
		o.seqs[lane]++
		s := queue.Stored{Lane: lane, Session: o.session, First: o.seqs[lane], Seq: o.seqs[lane], Batch: b, Created: time.Now()}
		o.lanes[lane] = append(o.lanes[lane], &kept{Stored: s})
		o.truth.add(lane, 1, b)
	}
	o.sold = append(o.sold, time.Now())
	select {
	case o.changed <- struct{}{}:
	default:
	}
}

// tidy merges neighbours that wait and were never sent.
func (o *opening) tidy() {
	if o.on() != nil {
		return
	}
	defer o.mu.Unlock()
	for lane, blocks := range o.lanes {
		var tidied, run []*kept
		for _, b := range blocks {
			open := (!b.sent || o.w.bug == bugMergeSent) && !b.out && time.Since(b.Created) > freshFor && b.Seq-b.First < mergeParts/2
			next := len(run) > 0 && run[len(run)-1].Session == b.Session && run[len(run)-1].Seq+1 == b.First
			if len(run) > 0 && (!open || !next || len(run) == mergeParts) {
				tidied, run = append(tidied, merge(run)...), nil
			}
			if open {
				run = append(run, b)
			} else {
				tidied = append(tidied, b)
			}
		}
		o.lanes[lane] = append(tidied, merge(run)...)
	}
}

// merge makes one block of neighbours if they are worth it.
func merge(run []*kept) []*kept {
	if len(run) < mergeFrom {
		return run
	}
	batches := make([]delta.Batch, len(run))
	for i, b := range run {
		batches[i] = b.Batch
	}
	whole := run[len(run)-1].Stored
	whole.First, whole.Batch = run[0].First, delta.Merge(batches...)
	return []*kept{{Stored: whole}}
}

// A class is a step in the order of sending.
type class struct {
	lane  buffer.Lane
	fresh bool
}

func classes() []class {
	return []class{
		{buffer.Revenue, true},
		{buffer.Health, true},
		{buffer.Revenue, false},
		{buffer.Detail, true},
		{buffer.Health, false},
		{buffer.Detail, false},
	}
}

// Next hands blocks out in strict order of class, the newest of each first.
func (o *opening) Next(_ context.Context, max int, allow func(buffer.Lane, bool) bool) (out []queue.Stored, err error) {
	if err := o.on(); err != nil {
		return nil, err
	}
	defer o.mu.Unlock()
	for _, c := range classes() {
		blocks := o.lanes[c.lane]
		if len(out) == max {
			break
		}
		if len(blocks) == 0 || allow != nil && !allow(c.lane, c.fresh) {
			continue
		}
		for i := range blocks {
			b := blocks[len(blocks)-1-i]
			if o.w.bug == bugOldestFirst {
				b = blocks[i]
			}
			if b.Fresh = time.Since(b.Created) <= freshFor; b.out || b.Fresh != c.fresh && o.w.bug != bugOldestFirst {
				continue
			}
			if len(out) == max {
				break
			}
			b.out, b.sent = true, true
			o.digests[b.key(o.node)] = delta.Digest(b.Batch)
			out = append(out, b.Stored)
		}
	}
	return out, nil
}

func (o *opening) Release(s queue.Stored) {
	if o.on() != nil {
		return
	}
	defer o.mu.Unlock()
	if o.w.bug == bugForget {
		o.remove(s.Lane, func(b *kept) bool { return b.Session == s.Session && b.Seq == s.Seq })
		return
	}
	for _, b := range o.lanes[s.Lane] {
		if b.Session == s.Session && b.Seq == s.Seq {
			b.out = false
		}
	}
}

// remove deletes blocks and returns them; the caller holds mu.
func (d *disk) remove(lane buffer.Lane, gone func(*kept) bool) (removed []*kept) {
	d.lanes[lane] = slices.DeleteFunc(d.lanes[lane], func(b *kept) bool {
		if !gone(b) {
			return false
		}
		removed = append(removed, b)
		return true
	})
	return removed
}

// Ack forgets what the centre says it holds, and looks whether it does.
func (o *opening) Ack(_ context.Context, a wire.Ack) error {
	time.Sleep(diskTime)
	if err := o.on(); err != nil {
		return err
	}
	defer o.mu.Unlock()
	removed := o.remove(a.Lane, func(b *kept) bool {
		return b.Session == a.Session && slices.ContainsFunc(a.Ranges, func(r wire.Range) bool { return r.First <= b.First && b.Seq <= r.Last })
	})
	for _, b := range removed {
		b.Batch = delta.Batch{}
		o.dropped = append(o.dropped, *b)
		o.compare(b, "when it was acknowledged")
	}
	return nil
}

// compare looks whether the centre's disk holds a block that was acknowledged; the
// caller holds mu.
func (d *disk) compare(b *kept, when string) {
	key := b.key(d.node)
	if got, held := d.w.centre.journal.holds(key); !held {
		d.w.problem("%s: node %d forgot block %d-%d of lane %s, which the centre does not hold", when, d.node, b.First, b.Seq, b.Lane)
	} else if got != d.digests[key] {
		d.w.problem("%s: the centre holds another content of block %d-%d of lane %s of node %d", when, b.First, b.Seq, b.Lane, d.node)
	}
}

// compareAll does so for all that ever were.
func (d *disk) compareAll(when string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range d.dropped {
		d.compare(&d.dropped[i], when)
	}
}

// Reject never happens: the centre has a place for everything.
func (o *opening) Reject(_ context.Context, s queue.Stored, reason string) error {
	if err := o.on(); err != nil {
		return err
	}
	defer o.mu.Unlock()
	o.w.problem("node %d gave up block %d-%d of lane %s: %s", o.node, s.First, s.Seq, s.Lane, reason)
	o.remove(s.Lane, func(b *kept) bool { return b.Session == s.Session && b.Seq == s.Seq })
	return nil
}

func (o *opening) Changed() <-chan struct{} { return o.changed }

func (o *opening) State(_ context.Context, prefix string) (map[string][]byte, error) {
	if err := o.on(); err != nil {
		return nil, err
	}
	defer o.mu.Unlock()
	out := map[string][]byte{}
	if v, ok := o.state[prefix]; ok {
		out[prefix] = v
	}
	return out, nil
}

func (o *opening) Append(_ context.Context, c queue.Commit) error {
	if err := o.on(); err != nil {
		return err
	}
	defer o.mu.Unlock()
	if len(c.Entries) > 0 {
		return fmt.Errorf("forwarding produces nothing, and %d entries came", len(c.Entries))
	}
	for key, v := range c.State {
		o.state[key] = v
	}
	return nil
}

// waiting counts blocks on the disk.
func (d *disk) waiting() (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.each(func(*kept) { n++ })
	return n
}

// waitsSince reports whether a block waits that was committed before a time.
func (d *disk) waitsSince(t time.Time) (waits bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.each(func(b *kept) { waits = waits || b.Created.Before(t) })
	return waits
}

// soldBefore is when revenue was last committed before a time; zero if it never
// was.
func (d *disk) soldBefore(t time.Time) (last time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, at := range d.sold {
		if at.Before(t) {
			last = at
		}
	}
	return last
}

// newest is when the newest revenue was committed that waits; zero if none does.
func (d *disk) newest() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	if blocks := d.lanes[buffer.Revenue]; d.opening != nil && len(blocks) > 0 {
		return blocks[len(blocks)-1].Created
	}
	return time.Time{}
}
