// Package sli keeps the node's SLI buckets: it feeds the tallies of all
// objectives with outcomes and journey results and stores what they have to tell.
//
// It guarantees that a bucket, the tally's state and, for outcomes, the cursor
// they were read to are stored in one transaction: an outcome is counted exactly
// once, however often the agent dies. Minutes in which no journey was run become
// declared gaps; outcomes miss nothing, for edgecore keeps them.
package sli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/queue"
	"ghostlight/collector/store"
	"ghostlight/slo"
)

// statePrefix is where the tallies' state lives among the buffer's keys.
const statePrefix = "sli/"

// tickEvery is how often the tallies look at the clock; they tell the open
// minute every ten seconds and a closed one at once.
const tickEvery = time.Second

// A Committer stores entries and state in one transaction.
type Committer interface {
	Commit(ctx context.Context, c queue.Commit) error
}

// An Outcome is one real fact that an objective may count.
type Outcome struct {
	At   time.Time
	Kind string
	Good bool
}

// Options configure a [Book].
type Options struct {
	Objectives []slo.Objective
	Commit     Committer
	// Load returns the stored value of a key, or nil.
	Load func(key string) ([]byte, error)
	// OutcomesSeen says whether edgecore's ledger is read to its end now.
	OutcomesSeen func() bool
	// Evidence is what the journeys say now; name "" asks for all of them.
	Evidence func(name string) slo.Evidence
	Now      func() time.Time // nil means time.Now
	Log      *slog.Logger     // nil: silent
}

// A Book holds the tallies of all objectives. It is safe for concurrent use.
type Book struct {
	o       Options
	start   time.Time // for elapsed time
	log     *slog.Logger
	mu      sync.Mutex
	tallies []*slo.Tally         // guarded by mu, held over the commit
	runs    map[*slo.Tally][]run // not stored yet, guarded by mu
	failing bool                 // guarded by mu
}

// run is one run of a journey.
type run struct {
	at   time.Time
	pass bool
}

// mostRuns bounds the runs that wait for a full buffer to have room: a run each
// second for an hour.
const mostRuns = 3600

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
		o.OutcomesSeen = func() bool { return false }
	}
	if o.Evidence == nil {
		o.Evidence = func(string) slo.Evidence { return slo.NoEvidence }
	}
	b := &Book{o: o, start: o.Now(), log: o.Log, runs: map[*slo.Tally][]run{}}
	for _, obj := range o.Objectives {
		t, err := slo.NewTally(obj, slo.TallyOptions{Load: func(key string) ([]byte, error) { return o.Load(statePrefix + key) }})
		if err != nil {
			return nil, err
		}
		b.tallies = append(b.tallies, t)
	}
	return b, nil
}

// announce stores the definition of every objective, so that the centre knows
// what the buckets mean.
func (b *Book) announce(ctx context.Context) error {
	var records []delta.Record
	now := b.o.Now().UnixMilli()
	for _, t := range b.tallies {
		o := t.Objective()
		records = append(records, delta.Record{Kind: "slo.objective", Key: o.Name, Time: now, Body: o.Document})
	}
	if len(records) == 0 {
		return nil
	}
	return b.o.Commit.Commit(ctx, queue.Commit{Entries: []queue.Entry{{Lane: buffer.Revenue, Batch: delta.Batch{Records: records}}}})
}

// Run announces the objectives and lets time pass for the tallies until ctx ends.
func (b *Book) Run(ctx context.Context) error {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	announced := b.announce(ctx) == nil
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			b.mu.Lock()
			err := b.commit(ctx, b.tallies, queue.Commit{})
			b.note(ctx, err)
			b.mu.Unlock()
			if !announced && err == nil {
				announced = b.announce(ctx) == nil // there was no room before
			}
		}
	}
}

// Outcomes counts the outcomes and stores buckets and extra, which holds the
// record of the outcomes and the cursor, as one. After an error nothing was
// counted and the cursor must not move.
func (b *Book) Outcomes(ctx context.Context, outcomes []Outcome, extra queue.Commit) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var touched []*slo.Tally
	for _, t := range b.tallies {
		ind := t.Objective().Indicator.Outcome
		if ind == nil {
			continue
		}
		touched = append(touched, t)
		for _, o := range outcomes {
			if o.Kind != ind.Kind {
				continue
			}
			if err := t.Observe(o.At, o.Good); err != nil {
				rollback(touched)
				return err
			}
		}
	}
	return b.commit(ctx, touched, extra)
}

// Journey counts one run that ended at the given time and stores it with extra.
// After an error the run waits in memory and is stored by the next commit.
func (b *Book) Journey(ctx context.Context, name string, at time.Time, pass bool, extra queue.Commit) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var touched []*slo.Tally
	for _, t := range b.tallies {
		ind := t.Objective().Indicator.Journey
		if ind == nil || ind.Name != name {
			continue
		}
		if len(b.runs[t]) >= mostRuns {
			b.log.Warn("a journey's run is not counted: too many wait to be stored", "journey", name)
			continue
		}
		b.runs[t] = append(b.runs[t], run{at, pass})
		touched = append(touched, t)
	}
	err := b.commit(ctx, touched, extra)
	b.note(ctx, err)
	return err
}

// Settle stores everything counted so far, the open minute included.
func (b *Book) Settle(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	// With nothing outstanding this only makes the tallies forget when they last
	// told the open minute, so that they tell it now.
	rollback(b.tallies)
	return b.commit(ctx, b.tallies, queue.Commit{})
}

func rollback(tallies []*slo.Tally) {
	for _, t := range tallies {
		t.Rollback()
	}
}

// commit counts the runs that wait, takes one look with the given tallies and
// stores what they tell with extra. If it is not stored the tallies are as
// before. The caller holds mu.
func (b *Book) commit(ctx context.Context, tallies []*slo.Tally, extra queue.Commit) error {
	c, told, err := b.collect(tallies, extra)
	if err == nil && (len(c.Entries) > 0 || len(c.State) > 0) {
		err = b.o.Commit.Commit(ctx, c)
	}
	var partial *queue.PartialError
	if err != nil && !errors.As(err, &partial) {
		rollback(tallies)
		return err
	}
	// Buckets and state ride in the revenue lane, which is stored.
	for _, t := range told {
		t.Commit()
		delete(b.runs, t)
	}
	return err
}

// collect puts together what the tallies tell and extra; told are the tallies
// that have something to store. The caller holds mu.
func (b *Book) collect(tallies []*slo.Tally, extra queue.Commit) (c queue.Commit, told []*slo.Tally, err error) {
	now := b.o.Now()
	state := maps.Clone(extra.State)
	if state == nil {
		state = map[string][]byte{}
	}
	var buckets []delta.Record
	for _, t := range tallies {
		for _, r := range b.runs[t] {
			if err := t.Observe(r.at, r.pass); err != nil {
				return queue.Commit{}, nil, err
			}
		}
		e, err := t.Tick(b.look(t, now))
		if err != nil {
			return queue.Commit{}, nil, err
		}
		if e.Empty() {
			continue
		}
		told = append(told, t)
		for _, bucket := range e.Buckets {
			body, err := bucket.AppendBinary(nil)
			if err != nil {
				return queue.Commit{}, nil, fmt.Errorf("bucket %s: %w", bucket.Key(), err)
			}
			buckets = append(buckets, delta.Record{Kind: "slo.bucket", Key: bucket.Key(), Time: now.UnixMilli(), Body: body})
		}
		for k, v := range e.State {
			state[statePrefix+k] = v
		}
	}
	return queue.Commit{Entries: addRevenue(extra.Entries, buckets), State: state}, told, nil
}

// addRevenue puts the buckets into the revenue entry, so that they make no block
// of their own.
func addRevenue(entries []queue.Entry, buckets []delta.Record) []queue.Entry {
	out := append([]queue.Entry(nil), entries...)
	if len(buckets) == 0 {
		return out
	}
	for i := range out {
		if out[i].Lane == buffer.Revenue {
			out[i].Batch.Records = append(append([]delta.Record(nil), out[i].Batch.Records...), buckets...)
			return out
		}
	}
	return append(out, queue.Entry{Lane: buffer.Revenue, Batch: delta.Batch{Records: buckets}})
}

func (b *Book) look(t *slo.Tally, now time.Time) slo.Look {
	l := slo.Look{Wall: now, Elapsed: now.Sub(b.start)}
	if ind := t.Objective().Indicator.Journey; ind != nil {
		l.SourceSeen, l.Journey = true, b.o.Evidence(ind.Name)
	} else {
		l.SourceSeen, l.Journey = b.o.OutcomesSeen(), b.o.Evidence("")
	}
	return l
}

// note logs when storing buckets begins and ceases to fail; what else was in the
// commit is not its matter, nor is that the agent stops.
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

// Objectives lists the definitions.
func (b *Book) Objectives() []slo.Objective { return b.o.Objectives }

// Buckets returns the buckets of objective i for the minutes from to before to.
func (b *Book) Buckets(i int, from, to int64) ([]slo.Bucket, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tallies[i].Buckets(from, to)
}
