// Package sli keeps the node's SLI buckets: it counts whatever an objective of this
// node may count and stores what the tallies have to tell.
//
// It guarantees that a bucket, the tally's state and what they were counted from (the
// cursor of outcomes, the last reading of a counter, the guests still waited for) are
// stored in one transaction: an event is counted exactly once, however often the
// agent dies. Minutes nobody watched become declared gaps; outcomes miss nothing, for
// edgecore keeps them; what a counter grew by while nobody read it is counted once
// it is read. Objectives that only the centre can count are announced, no more. See
// DESIGN.md beside it.
package sli

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/queue"
	"ghostlight/collector/self"
	"ghostlight/collector/store"
	"ghostlight/slo"
)

// statePrefix is where the tallies' state lives among the buffer's keys.
const statePrefix = "sli/"

// tickEvery is how often the tallies look at the clock; they tell the open
// minute every ten seconds and a closed one at once. They look tickBehind a full second:
// by then the ledger was read past the end of a minute, so that all objectives close it
// in one commit.
const (
	tickEvery  = time.Second
	tickBehind = 300 * time.Millisecond
)

// A Committer stores entries and state in one transaction.
type Committer interface {
	Commit(ctx context.Context, c queue.Commit) error
}

// An Outcome is one real fact that an objective may count.
type Outcome struct {
	At      time.Time
	Kind    string
	Good    bool
	Paid    bool   // a payment that was captured, not one that the issuer declined
	Checkin string // id of the check-in it belongs to, if any; it stays on the node
}

// Options configure a [Book].
type Options struct {
	Objectives []slo.Objective
	Commit     Committer
	// Load returns the stored value of a key, or nil.
	Load func(key string) ([]byte, error)
	// OutcomesSeen says how long ago edgecore's ledger was read to its end; false: it
	// is not, or that was too long ago.
	OutcomesSeen func() (ago time.Duration, ok bool)
	// Evidence is what the journeys say now; name "" asks for all of them.
	Evidence func(name string) slo.Evidence
	// Told is called with the buckets of one objective once they are stored, in the
	// order in which they were. It may call Buckets, and nothing that counts. nil:
	// nobody asks.
	Told func(o slo.Objective, buckets []slo.Bucket)
	Now  func() time.Time // nil means time.Now
	// Elapsed is how long ago New was, by a clock that nobody can set; nil: as the
	// monotonic readings of Now have it.
	Elapsed func() time.Duration
	Log     *slog.Logger // nil: silent
}

// A Book holds the tallies of all objectives. It is safe for concurrent use.
type Book struct {
	o     Options
	start time.Time // for elapsed time
	log   *slog.Logger

	mu      sync.Mutex
	meters  []*meter // those that the node counts; guarded by mu, held over the commit
	byPlace []*meter // by place in Options.Objectives, nil for the centre's; never changes
	index   *index   // guarded by mu
	clock   clock    // guarded by mu
	refused map[string]int64
	failing bool   // guarded by mu
	news    []told // stored and not told yet, guarded by mu

	telling sync.Mutex // held while Told is called; never taken under mu
}

// told is what Options.Told is to hear.
type told struct {
	objective slo.Objective
	buckets   []slo.Bucket
}

// New restores the tallies.
func New(o Options) (*Book, error) {
	if o.Commit == nil || o.Load == nil {
		return nil, errors.New("sli: somewhere to commit to and to load from is needed")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.OutcomesSeen == nil {
		o.OutcomesSeen = func() (time.Duration, bool) { return 0, false }
	}
	if o.Evidence == nil {
		o.Evidence = func(string) slo.Evidence { return slo.NoEvidence }
	}
	b := &Book{o: o, start: o.Now(), log: o.Log, index: newIndex(), refused: map[string]int64{}}
	for _, obj := range o.Objectives {
		m, err := b.newMeter(obj)
		if err != nil {
			return nil, err
		}
		b.byPlace = append(b.byPlace, m)
		if m != nil {
			b.meters = append(b.meters, m)
		}
	}
	return b, nil
}

// lookAtLedger is a look at what outcomes are counted from.
func (b *Book) lookAtLedger() slo.Look {
	ago, seen := b.o.OutcomesSeen()
	return slo.Look{SourceSeen: seen, Unread: ago, Journey: b.o.Evidence("")}
}

// elapsed is how long ago the book was made, whatever the wall clock was set to.
func (b *Book) elapsed(now time.Time) time.Duration {
	if b.o.Elapsed != nil {
		return b.o.Elapsed()
	}
	return now.Sub(b.start)
}

// announce stores the definition of every objective, so that the centre knows
// what the buckets mean and waits for them, and in the same commit that the tallies
// have begun: whoever dies then owes an answer for the time since.
func (b *Book) announce(ctx context.Context) error {
	var records []delta.Record
	now := b.o.Now().UnixMilli()
	for _, o := range b.o.Objectives {
		records = append(records, delta.Record{Kind: "slo.objective", Key: o.Name, Time: now, Body: o.Document})
	}
	if len(records) == 0 {
		return nil
	}
	defer b.tell()
	b.mu.Lock()
	defer b.mu.Unlock()
	entries := []queue.Entry{{Lane: buffer.Revenue, Batch: delta.Batch{Records: records}}}
	return b.commit(b.meters, queue.Commit{Entries: entries}, b.put(ctx))
}

// Run announces the objectives and lets time pass for the tallies until ctx ends.
func (b *Book) Run(ctx context.Context) error {
	announced := b.announce(ctx) == nil
	begin := (time.Second + tickBehind - time.Duration(b.o.Now().Nanosecond())) % time.Second
	select {
	case <-ctx.Done():
		return nil
	case <-time.After(begin):
	}
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			err := b.Tick(ctx)
			if !announced && err == nil {
				announced = b.announce(ctx) == nil // there was no room before
			}
		}
	}
}

// Tick lets time pass once, as Run does every second: for who keeps time himself.
func (b *Book) Tick(ctx context.Context) error {
	defer b.tell()
	b.mu.Lock()
	defer b.mu.Unlock()
	err := b.commit(b.meters, queue.Commit{}, b.put(ctx))
	b.note(ctx, err)
	return err
}

// Outcomes counts the outcomes and stores buckets and extra, which holds the
// record of the outcomes and the cursor, as one. After an error nothing was
// counted and the cursor must not move.
func (b *Book) Outcomes(ctx context.Context, outcomes []Outcome, extra queue.Commit) error {
	defer b.tell()
	b.mu.Lock()
	defer b.mu.Unlock()
	var touched []*meter
	for _, m := range b.meters {
		reader, ok := m.source.(ledgerReader)
		if !ok {
			continue
		}
		touched = append(touched, m)
		if err := reader.read(m.tally, outcomes, b.o.Now()); err != nil {
			return errors.Join(err, rollback(touched))
		}
	}
	return b.commit(touched, extra, b.put(ctx))
}

// Journey counts one run that ended at the given time and stores it with extra.
// After an error the run waits in memory and is stored by the next commit.
func (b *Book) Journey(ctx context.Context, name string, at time.Time, pass bool, extra queue.Commit) error {
	defer b.tell()
	b.mu.Lock()
	defer b.mu.Unlock()
	var touched []*meter
	for _, m := range b.meters {
		s, ok := m.source.(*journeySource)
		if !ok || s.name != name {
			continue
		}
		if !s.add(run{at, pass}) {
			b.log.Warn("a journey's run is not counted: too many wait to be stored", "journey", name)
			continue
		}
		touched = append(touched, m)
	}
	err := b.commit(touched, extra, b.put(ctx))
	b.note(ctx, err)
	return err
}

// Series counts what a batch of series tells and calls put once, with what belongs
// into the same transaction: the buckets, and how far the counters were read. It
// returns put's error. What cannot be counted never keeps a batch from being stored.
func (b *Book) Series(ctx context.Context, series []delta.Series, put func(queue.Commit) error) error {
	defer b.tell()
	b.mu.Lock()
	touched, err := b.read(series)
	if err != nil {
		b.note(ctx, errors.Join(err, rollback(touched)))
		touched = nil
	}
	if len(touched) == 0 {
		b.mu.Unlock() // most batches are nobody's, and wait for nobody
		return put(queue.Commit{})
	}
	defer b.mu.Unlock()
	asked := false
	err = b.commit(touched, queue.Commit{}, func(c queue.Commit) error {
		asked = true
		return put(c)
	})
	if asked {
		return err
	}
	b.note(ctx, err)
	return put(queue.Commit{})
}

// Settle stores everything counted so far, the open minute included.
func (b *Book) Settle(ctx context.Context) error {
	defer b.tell()
	b.mu.Lock()
	defer b.mu.Unlock()
	// With nothing outstanding this only makes the tallies forget when they last
	// told the open minute, so that they tell it now.
	if err := rollback(b.meters); err != nil {
		return err
	}
	return b.commit(b.meters, queue.Commit{}, b.put(ctx))
}

// put stores a commit that is not empty.
func (b *Book) put(ctx context.Context) func(queue.Commit) error {
	return func(c queue.Commit) error {
		if len(c.Entries) == 0 && len(c.State) == 0 {
			return nil
		}
		return b.o.Commit.Commit(ctx, c)
	}
}

// tell tells what was stored, in order. The caller does not hold mu.
func (b *Book) tell() {
	if b.o.Told == nil {
		return
	}
	b.telling.Lock()
	defer b.telling.Unlock()
	for {
		b.mu.Lock()
		news := b.news
		b.news = nil
		b.mu.Unlock()
		if len(news) == 0 {
			return
		}
		for _, n := range news {
			b.o.Told(n.objective, n.buckets)
		}
	}
}

// note logs when storing buckets begins and ceases to fail; what else was in the
// commit is not its matter, nor is that the agent stops. The caller holds mu.
func (b *Book) note(ctx context.Context, err error) {
	if ctx.Err() != nil || errors.Is(err, store.ErrStopping) {
		return
	}
	var partial *queue.PartialError
	if errors.As(err, &partial) {
		err = nil
	}
	if failing := err != nil; failing != b.failing {
		b.failing = failing
		if failing {
			b.log.Warn("SLI buckets cannot be stored and are kept in memory", "err", err)
		} else {
			b.log.Info("SLI buckets are stored again")
		}
	}
}

// refuse counts a reading that cannot be true. The first of an objective and reason
// is logged. The caller holds mu.
func (b *Book) refuse(objective, reason string) {
	if b.refused[reason]++; b.refused[reason] == 1 {
		b.log.Warn("a reading for an objective cannot be true and is not counted; later ones are only counted as refused", "objective", objective, "reason", reason)
	}
}

// Gather adds what the book knows of itself.
func (b *Book) Gather(g *self.Gatherer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for reason, n := range self.Sorted(b.refused) {
		g.Counter("ghostlight_sli_readings_refused_total", "Readings for objectives that were not counted, by reason.", float64(n), "reason", reason)
	}
}

// Objectives lists the definitions, those that only the centre counts among them.
func (b *Book) Objectives() []slo.Objective { return b.o.Objectives }

// Buckets returns the buckets of objective i for the minutes from to before to; none
// if only the centre counts it.
func (b *Book) Buckets(i int, from, to int64) ([]slo.Bucket, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.byPlace[i] == nil {
		return nil, nil
	}
	return b.byPlace[i].tally.Buckets(from, to)
}
