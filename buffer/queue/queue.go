// Package queue is a node's durable, prioritised buffer between what produces
// telemetry and what sends it.
//
// It guarantees that what [Queue.Append] acknowledged is on disk, survives the
// death of the process and the loss of power, and is forgotten only after the
// fleet acknowledged it or as a loss that is declared, counted and has a reason.
// For every lane, always: produced = acknowledged + lost + waiting, in samples and
// in records. Revenue is never thinned or dropped to make room.
//
// It never changes a block that may have been sent, never uses a sequence twice,
// never overtakes fresh data with old, and never fails for good because a file is
// damaged or a disk is full. DESIGN.md beside it tells how.
package queue

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/wire"
)

var (
	// ErrFull means that there is no room on disk. Nothing of the commit was
	// stored; the caller keeps its cursor and tries again later.
	ErrFull = errors.New("buffer is full")
	// ErrTooLarge means that one entry exceeds what a block may hold. Trying
	// again does not help; the caller must split it.
	ErrTooLarge = errors.New("entry is too large for a block")
	// ErrClosed means that the queue was closed.
	ErrClosed = errors.New("buffer is closed")
)

// A PartialError means that the revenue entries and the state of a commit are
// stored durably but its other entries are not. A caller that repeats the whole
// commit changes nothing but counts: the same facts under the same keys.
type PartialError struct{ Err error }

func (e *PartialError) Error() string {
	return fmt.Sprintf("revenue entries are stored, the others are not: %v", e.Err)
}

// Unwrap returns why the other entries are not stored.
func (e *PartialError) Unwrap() error { return e.Err }

// Options configure a queue.
type Options struct {
	// Dir holds the queue's files; it is made if it is missing. The caller makes
	// sure that no other process uses it.
	Dir string
	// DiskBudget bounds the file of all lanes but revenue, in bytes; at least
	// [MinDiskBudget].
	DiskBudget int64
	// RevenueReserve is set aside on the file system for the revenue file, in
	// bytes; 0 sets nothing aside.
	RevenueReserve int64
	// Now is the node's clock; nil means time.Now.
	Now func() time.Time
	// Log gets what changes: a quarantined file, a full disk; nil discards.
	Log *slog.Logger
}

// MinDiskBudget is the smallest disk budget: room for a few scrapes.
const MinDiskBudget = 256 << 10

func (o Options) validate() error {
	switch {
	case o.Dir == "":
		return errors.New("buffer has no folder")
	case o.DiskBudget < MinDiskBudget:
		return fmt.Errorf("buffer's disk budget of %d bytes is too small: at least %d", o.DiskBudget, MinDiskBudget)
	case o.RevenueReserve < 0:
		return fmt.Errorf("buffer's revenue reserve of %d bytes is negative", o.RevenueReserve)
	}
	return nil
}

// A Queue is a node's durable buffer. Its methods are safe for concurrent use.
type Queue struct {
	now       func() time.Time
	log       *slog.Logger
	codec     *delta.Codec
	dicts     *dictionaries
	session   buffer.Session
	gen       generation // of this opening
	revenue   *file
	telemetry *file
	budget    int64
	reserve   *reserve
	changed   chan struct{}

	writer chan struct{} // holds one token: who takes it commits for all
	closed bool          // guarded by writer
	relief relief        // likewise: how far the disk budget got

	tidyMu sync.Mutex // one Tidy at a time; guards tidy
	tidy   tidy

	mu      sync.Mutex // guards what follows; never held during I/O
	pending []*op      // waiting for the next commit
	flight  flight

	nextMu sync.Mutex // one Next at a time; guards turn
	turn   int
}

// Open opens the buffer in o.Dir and draws a session. A damaged file is renamed
// aside and what is intact in it is kept. The error says what a person can do.
func Open(ctx context.Context, o Options) (*Queue, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	q := &Queue{now: o.Now, log: o.Log, budget: o.DiskBudget, changed: make(chan struct{}, 1), writer: make(chan struct{}, 1)}
	if q.now == nil {
		q.now = time.Now
	}
	if q.log == nil {
		q.log = slog.New(slog.DiscardHandler)
	}
	q.flight = newFlight()
	var err error
	if q.codec, err = delta.NewCodec(delta.DefaultLimits()); err != nil {
		return nil, err
	}
	if q.session, err = drawSession(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make buffer folder: %w", err)
	}
	if err := q.openFiles(ctx, o); err != nil {
		q.closeFiles()
		return nil, fmt.Errorf("open buffer in %s: %w", o.Dir, err)
	}
	q.writer <- struct{}{}
	return q, nil
}

func (q *Queue) openFiles(ctx context.Context, o Options) (err error) {
	if q.revenue, err = openFile(ctx, filepath.Join(o.Dir, "revenue.db"), []buffer.Lane{buffer.Revenue}, q.now, q.log); err != nil {
		return err
	}
	others := []buffer.Lane{buffer.Health, buffer.Detail, buffer.Traces, buffer.Logs}
	if q.telemetry, err = openFile(ctx, filepath.Join(o.Dir, "telemetry.db"), others, q.now, q.log); err != nil {
		return err
	}
	q.gen = max(q.revenue.lastGen, q.telemetry.lastGen) + 1
	if q.gen > maxGeneration {
		return fmt.Errorf("this folder was opened %d times; move it aside and start with a new one", maxGeneration)
	}
	q.dicts = newDictionaries(q.codec, q.revenue, q.telemetry)
	if err := q.dicts.open(q.Quarantined() == 0); err != nil {
		return err
	}
	for _, f := range []*file{q.revenue, q.telemetry} {
		q.flight.adopt(f)
		if err := f.begin(ctx, q.gen, q.session); err != nil {
			return err
		}
	}
	if q.relief, err = readRelief(ctx, q.telemetry); err != nil {
		return err
	}
	q.reserve, err = openReserve(filepath.Join(o.Dir, "revenue.reserve"), o.RevenueReserve)
	return err
}

func drawSession() (buffer.Session, error) {
	var b [8]byte
	for {
		if _, err := rand.Read(b[:]); err != nil {
			return 0, fmt.Errorf("draw session: %w", err)
		}
		if s := buffer.Session(binary.LittleEndian.Uint64(b[:])); s != 0 {
			return s, nil
		}
	}
}

// Session is the number this opening of the buffer drew.
func (q *Queue) Session() buffer.Session { return q.session }

// Restarts counts how often this folder was opened before.
func (q *Queue) Restarts() int64 { return int64(q.gen) - 1 }

// Changed receives after blocks were added: once for any number of them. It has
// room for one signal, so one goroutine should listen.
func (q *Queue) Changed() <-chan struct{} { return q.changed }

// Stats counts every lane over the life of the folder.
func (q *Queue) Stats() map[buffer.Lane]wire.LaneStats {
	stats := make(map[buffer.Lane]wire.LaneStats)
	for _, f := range []*file{q.revenue, q.telemetry} {
		for lane, c := range f.snapshot() {
			stats[lane] = wire.LaneStats{
				Produced: c.Produced, Lost: maps.Clone(c.Lost), Refused: c.Refused,
				Waiting: c.Waiting, Blocks: c.Blocks, Bytes: c.Bytes,
				Records: wire.RecordStats{Produced: c.Records.Produced, Lost: maps.Clone(c.Records.Lost), Waiting: c.Records.Waiting},
			}
		}
	}
	return stats
}

// Quarantined counts the damaged files renamed aside since the buffer was opened,
// at its opening included.
func (q *Queue) Quarantined() int64 {
	return q.revenue.quarantined.Load() + q.telemetry.quarantined.Load()
}

// Drained reports whether no block waits in any lane.
func (q *Queue) Drained() bool {
	for _, s := range q.Stats() {
		if s.Blocks > 0 {
			return false
		}
	}
	return true
}

// State returns the durable keys that begin with prefix, with their values.
func (q *Queue) State(ctx context.Context, prefix string) (map[string][]byte, error) {
	return q.revenue.state(ctx, prefix)
}

// Close waits for the commit under way and closes the files. Blocks in flight
// stay in the buffer.
func (q *Queue) Close() error {
	<-q.writer
	defer func() { q.writer <- struct{}{} }()
	if q.closed {
		return nil
	}
	// Pages that are owed to a file are in the other: worth an attempt, not an error.
	if len(q.dicts.owing(q.revenue))+len(q.dicts.owing(q.telemetry)) > 0 {
		q.commitGroup([]*op{{pages: true}})
	}
	q.closed = true
	return q.closeFiles()
}

func (q *Queue) closeFiles() error {
	var errs []error
	for _, f := range []*file{q.revenue, q.telemetry} {
		if f != nil {
			errs = append(errs, f.close())
		}
	}
	if q.reserve != nil {
		errs = append(errs, q.reserve.close())
	}
	return errors.Join(errs...)
}
