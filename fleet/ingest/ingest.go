package ingest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/wire"
	"ghostlight/fleet/store"
	"ghostlight/fleet/tsdb"
)

// A SeriesStore keeps samples.
type SeriesStore interface {
	// Insert stores the samples of batches of one node and reports those it cannot,
	// for each batch. names is the [delta.NamesHash] of their series, which are the
	// same in all; it is 0 for one batch whose hash is not known. After an error
	// any part of them may be stored; inserting again changes nothing.
	Insert(ctx context.Context, src buffer.Source, names uint64, batches ...delta.Batch) ([]tsdb.Result, error)
	// Barrier returns nil when everything inserted at least
	// [Options].BarrierAge before is durable.
	Barrier(ctx context.Context) error
}

// An Applier stores records of some kinds.
type Applier interface {
	// Kinds are the record kinds that it takes.
	Kinds() []string
	// Apply stores one record as part of tx; a repeat changes nothing. An error
	// that wraps [store.ErrMalformed] means that the record can never be stored,
	// and then nothing of it is; after any other error it is tried again.
	Apply(ctx context.Context, tx *sql.Tx, src buffer.Source, rec delta.Record) error
}

// A Learner keeps what series say of themselves.
type Learner interface {
	// Learn notes the types, units and helps of series durably.
	Learn(ctx context.Context, series []delta.Series) error
}

// Nodes is told of the signs of life that arrive.
type Nodes interface {
	Heard(src buffer.Source) error
	Heartbeat(src buffer.Source, hb wire.Heartbeat) (received time.Time, err error)
	Conflict(src buffer.Source) error
	Malformed(src buffer.Source) error
	// Beat notes a sign of life that tells the node's clock, Unix milliseconds.
	Beat(src buffer.Source, sentMS int64) (received time.Time, err error)
}

// A Calendar is what the nodes of a venue are told of its shows.
type Calendar interface {
	// Shows is the calendar as it is now; it is cheap, and within the limits of
	// package wire.
	Shows(venue string, now time.Time) wire.Calendar
	// Changed is closed at the next change of any venue's calendar.
	Changed() <-chan struct{}
}

// Options make an Ingest.
type Options struct {
	Dir          string // where the journal is
	Store        *store.Store
	Series       SeriesStore
	Nodes        Nodes
	Appliers     []Applier
	Learner      Learner
	Calendar     Calendar // nil: nodes are told of no shows
	Identify     Identifier
	BlockBytes   int64         // largest block taken; 0: buffer.MaxBlockBytes
	Silence      time.Duration // after which a node is dark, which its stream is told; 0: 15 s
	Decode       delta.Limits  // of a block's payload; zero: delta.DefaultLimits
	JournalBytes int64         // of blocks not yet applied for good; 0: 1 GiB
	Limits       NodeLimits    // of each node
	TrimEvery    time.Duration // 0: 30 s
	BarrierAge   time.Duration // how old an insert must be for a barrier to cover it
	Metrics      prometheus.Registerer
	Now          func() time.Time // nil: time.Now
	Log          *slog.Logger     // nil: slog.Default

	retryEvery     time.Duration // between attempts to apply; 0: 1 s
	showsEvery     time.Duration // 0: showsEvery
	streamsPerNode int           // 0: streamsPerNode
	ackTogether    time.Duration // 0: ackTogether
}

// Ingest is the door of the centre. Make it with New; it takes blocks while Run
// runs.
type Ingest struct {
	o        Options
	codec    *delta.Codec
	journal  *journal
	metrics  *metrics
	appliers map[string]Applier
	log      *slog.Logger
	limits   *limiter
	session  buffer.Session // of the blocks that doors make
	seq      atomic.Uint64  // the last of them

	posts   chan post
	ended   chan struct{}       // closed when Run has stopped taking posts
	bodies  *semaphore.Weighted // bytes of posted blocks being read or waiting for their commit
	decode  *semaphore.Weighted // blocks being decoded
	batches *semaphore.Weighted // memory of decoded blocks that wait for their commit
	streams streams

	work    chan struct{} // capacity 1: there is something to apply
	applied atomic.Int64  // every block up to this id is applied; only the applier writes
	marks   marks         // when it was
	names   nameCache     // of blocks that are read from the journal
	learned learned       // only the applier uses it

	mu       sync.Mutex
	progress chan struct{} // guarded by mu; closed and replaced when applied grows
	told     map[told]bool // guarded by mu; refusals that were logged
}

// told is bounded by the nodes configured times the reasons there are.
type told struct {
	source buffer.Source
	reason string
}

const (
	maxPosts        = 128
	maxBodies       = 64 << 20
	maxBatches      = 64 << 20
	defaultJournal  = 1 << 30
	defaultTrim     = 30 * time.Second
	defaultSilence  = 15 * time.Second
	maxSeq          = 1 << 62
	groupBlocks     = 64      // blocks in one commit, and in one round of applying
	groupBytes      = 8 << 20 // their bytes, but for one block
	digestsPerLane  = 512     // kept for each lane of each node
	deadBytes       = 64 << 20
	unparkEvery     = 10 * time.Second
	retryApplyEvery = time.Second
)

// New opens the journal in o.Dir. What it holds is applied again by Run.
func New(ctx context.Context, o Options) (*Ingest, error) {
	if o.Store == nil || o.Series == nil || o.Nodes == nil || o.Identify == nil || o.Metrics == nil || o.Learner == nil {
		return nil, errors.New("open ingest: store, series, nodes, learner, identifier and metrics are needed")
	}
	o = o.withDefaults()
	codec, err := delta.NewCodec(o.Decode)
	if err != nil {
		return nil, fmt.Errorf("open ingest: %w", err)
	}
	i := &Ingest{
		o: o, codec: codec, log: o.Log, appliers: map[string]Applier{},
		posts: make(chan post, maxPosts), ended: make(chan struct{}),
		bodies: semaphore.NewWeighted(max(maxBodies, o.BlockBytes)), decode: semaphore.NewWeighted(int64(runtime.NumCPU())),
		batches: semaphore.NewWeighted(maxBatches), streams: streams{most: o.streamsPerNode, open: map[buffer.Source][]*stream{}},
		work: make(chan struct{}, 1), progress: make(chan struct{}), told: map[told]bool{},
		session: buffer.Session(rand.Uint64() | 1),
	}
	for _, a := range o.Appliers {
		for _, kind := range a.Kinds() {
			if i.appliers[kind] != nil {
				return nil, fmt.Errorf("open ingest: two rooms take records of kind %s", kind)
			}
			i.appliers[kind] = a
		}
	}
	if i.journal, err = openJournal(ctx, o.Dir, codec, o.JournalBytes, o.Now(), o.Log); err != nil {
		return nil, fmt.Errorf("open ingest: %w", err)
	}
	i.applied.Store(i.journal.trimmed)
	if i.metrics, err = newMetrics(o.Metrics, i); err != nil {
		return nil, errors.Join(fmt.Errorf("open ingest: %w", err), i.journal.close())
	}
	i.limits = newLimiter(o.Limits, o.Now, i.metrics.overflow)
	return i, nil
}

func (o Options) withDefaults() Options {
	if o.BlockBytes <= 0 || o.BlockBytes > buffer.MaxBlockBytes {
		o.BlockBytes = buffer.MaxBlockBytes
	}
	if o.Decode == (delta.Limits{}) {
		o.Decode = delta.DefaultLimits()
	}
	if o.Silence <= 0 {
		o.Silence = defaultSilence
	}
	if o.JournalBytes <= 0 {
		o.JournalBytes = defaultJournal
	}
	if o.TrimEvery <= 0 {
		o.TrimEvery = defaultTrim
	}
	if o.retryEvery <= 0 {
		o.retryEvery = retryApplyEvery
	}
	if o.showsEvery <= 0 {
		o.showsEvery = showsEvery
	}
	if o.streamsPerNode <= 0 {
		o.streamsPerNode = streamsPerNode
	}
	if o.ackTogether <= 0 {
		o.ackTogether = ackTogether
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return o
}

// Run takes, applies and trims until ctx ends. Blocks acknowledged by then are in
// the journal; those not applied are when it runs again. An error says that the
// journal is damaged.
func (i *Ingest) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return i.commitPosts(ctx) })
	group.Go(func() error { return i.apply(ctx) })
	group.Go(func() error { return i.keepHouse(ctx) })
	group.Go(func() error { i.tellShows(ctx); return nil })
	return group.Wait()
}

// Close closes the journal; Run must have returned.
func (i *Ingest) Close() error { return i.journal.close() }

// Accepted counts the distinct blocks and samples taken from each node, ever.
func (i *Ingest) Accepted() map[buffer.Source]map[buffer.Lane]Accepted {
	i.journal.mu.Lock()
	defer i.journal.mu.Unlock()
	out := make(map[buffer.Source]map[buffer.Lane]Accepted, len(i.journal.accepted))
	for src, lanes := range i.journal.accepted {
		out[src] = make(map[buffer.Lane]Accepted, len(lanes))
		for lane, a := range lanes {
			out[src][lane] = a
		}
	}
	return out
}

// Settle returns when everything acknowledged before the call is applied, so that
// queries see it; or with ctx's error.
func (i *Ingest) Settle(ctx context.Context) error {
	last := i.journal.lastID()
	for {
		i.mu.Lock()
		progress := i.progress
		i.mu.Unlock()
		if i.applied.Load() >= last {
			return nil
		}
		select {
		case <-progress:
		case <-ctx.Done():
			return fmt.Errorf("wait for accepted blocks to be stored: %w", ctx.Err())
		}
	}
}

// commitPosts commits what is posted, as much at once as waits.
func (i *Ingest) commitPosts(ctx context.Context) error {
	defer close(i.ended)
	for {
		select {
		case p := <-i.posts:
			if err := i.commitGroup(ctx, p); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// commitGroup commits a post and all that wait by now. The error is errDamaged.
func (i *Ingest) commitGroup(ctx context.Context, first post) error {
	posts, size := []post{first}, len(first.body)
gather:
	for len(posts) < groupBlocks && size < groupBytes {
		select {
		case p := <-i.posts:
			posts, size = append(posts, p), size+len(p.body)
		default:
			break gather
		}
	}
	start := time.Now()
	// A commit that has begun is finished even when the fleet stops.
	outcomes, err := i.journal.commit(context.WithoutCancel(ctx), posts)
	i.metrics.commitSeconds.Observe(time.Since(start).Seconds())
	for n, p := range posts {
		if err != nil {
			p.outcome <- outcome{of: p.header, size: p.size, err: err}
		} else {
			p.outcome <- outcomes[n]
		}
	}
	select {
	case i.work <- struct{}{}:
	default:
	}
	if err = damaged(err); errors.Is(err, errDamaged) {
		return err
	}
	return nil
}
