// Package ledger keeps the service level objectives of the fleet: their
// definitions, and for each node the good and total of every minute. It has set
// semantics: of several buckets for one minute the highest revision wins, so
// repeats, replays and any order of arrival come to the same.
//
// It is bitemporal: what was known at an earlier time can be asked for, and what
// changed after a minute had settled is listed with its cause. A minute nobody has
// told of is pending. The ledger never fills it in.
package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/zstd"

	"ghostlight/fleet/store"
)

// The kinds of record that the ledger takes.
const (
	KindObjective = "slo.objective"
	KindBucket    = "slo.bucket"
)

// Settle is how long after its end a minute's bucket may still arrive or be revised
// as a matter of course. What was known of a minute before that is not kept apart
// from what was known then; all later changes are.
const Settle = time.Minute

// Ahead is how far ahead of the centre's clock a minute may be. Buckets of later
// ones are parked until their minute has come.
const Ahead = 2 * time.Minute

// ErrUnknown means that no node has sent an objective of this name.
var ErrUnknown = errors.New("objective is unknown")

// Ledger is the book of objectives. Its methods may be called concurrently.
//
// Changes go through transactions of the store, one at a time: whoever has the turn
// stages in a transaction, and memory follows once it is durable.
type Ledger struct {
	store *store.Store
	now   func() time.Time
	log   *slog.Logger
	codec codec

	turn    sync.Mutex            // held from a transaction's first record until memory has followed it
	current atomic.Pointer[stage] // of the transaction that has the turn
	told    []func([]Change)      // guarded by turn
	changes []Change              // guarded by turn; of the transaction before, its memory is used again
	spare   []arrival             // guarded by turn; the same
	unsure  bool                  // guarded by turn; a commit failed, the disk may hold more than memory
	parked  parked                // guarded by turn
	fold    folding               // guarded by turn

	mu         sync.RWMutex          // guards what follows; written by who has the turn
	objectives map[string]*objective // by name
	byID       map[int64]*objective
	nodes      map[int64]*node // by number of the source
	last       int64           // number of the last arrival in memory
	arrivedMS  int64           // of that arrival: the clock of arrivals never goes back
	folded     int64           // the last hour that has rows

	refusals refusals
}

// An Option changes how a ledger is opened.
type Option func(*Ledger)

// Clock is the centre's clock; the default is [time.Now].
func Clock(now func() time.Time) Option { return func(l *Ledger) { l.now = now } }

// Log is where the ledger logs to; the default is [slog.Default].
func Log(log *slog.Logger) Option { return func(l *Ledger) { l.log = log } }

// New opens the ledger in st.
func New(ctx context.Context, st *store.Store, opts ...Option) (*Ledger, error) {
	l := &Ledger{store: st, now: time.Now, log: slog.Default(), refusals: refusals{counts: map[string]int64{}}}
	for _, opt := range opts {
		opt(l)
	}
	if err := l.open(ctx); err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	return l, nil
}

func (l *Ledger) open(ctx context.Context) (err error) {
	if l.codec, err = newCodec(); err != nil {
		return err
	}
	err = l.store.Migrate(ctx,
		// document is empty until the definition has arrived: buckets may be earlier.
		`CREATE TABLE IF NOT EXISTS objectives (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, document BLOB NOT NULL, defined_ms INTEGER NOT NULL)`,
		`CREATE TABLE IF NOT EXISTS objective_nodes (source INTEGER NOT NULL REFERENCES sources (id), objective INTEGER NOT NULL REFERENCES objectives (id),
			since INTEGER NOT NULL, PRIMARY KEY (source, objective)) WITHOUT ROWID`,
		// What came and is not folded into node_hours yet, one row for each transaction.
		`CREATE TABLE IF NOT EXISTS bucket_arrivals (id INTEGER PRIMARY KEY, arrived_ms INTEGER NOT NULL, buckets BLOB NOT NULL)`,
		// All objectives of one node in one hour, as they are now.
		`CREATE TABLE IF NOT EXISTS node_hours (hour INTEGER NOT NULL, source INTEGER NOT NULL, buckets BLOB NOT NULL, PRIMARY KEY (hour, source))`,
		// What settled minutes were before an arrival changed them.
		`CREATE TABLE IF NOT EXISTS bucket_pasts (hour INTEGER NOT NULL, source INTEGER NOT NULL, arrival INTEGER NOT NULL, arrived_ms INTEGER NOT NULL,
			buckets BLOB NOT NULL, PRIMARY KEY (hour, source, arrival))`,
		`CREATE TABLE IF NOT EXISTS bucket_parked (minute INTEGER NOT NULL, source INTEGER NOT NULL, objective INTEGER NOT NULL, bucket BLOB NOT NULL,
			PRIMARY KEY (minute, source, objective))`,
		oldTable)
	if err != nil {
		return err
	}
	if err := l.loadDefinitions(ctx); err != nil {
		return err
	}
	if err := l.migrateOld(ctx); err != nil {
		return err
	}
	return l.loadArrivals(ctx)
}

// Kinds lists the record kinds that Apply takes.
func (l *Ledger) Kinds() []string { return []string{KindObjective, KindBucket} }

// Run takes parked buckets when their minute has come and folds what rests, until
// ctx ends. Without it both happen when records come.
func (l *Ledger) Run(ctx context.Context) error {
	tick := time.NewTicker(runEvery)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := l.Tick(ctx)
		if err != nil && ctx.Err() == nil && !failing {
			l.log.Error("ledger cannot fold, will retry", "error", err)
		}
		failing = err != nil
	}
}

const runEvery = 5 * time.Second

// codec compresses rows. It may be used concurrently, but for the encoder.
type codec struct {
	encoder *zstd.Encoder
	decoder *zstd.Decoder
}

// rowMost bounds a row once decompressed.
const rowMost = 16 << 20

func newCodec() (c codec, err error) {
	c.encoder, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return c, err
	}
	c.decoder, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(rowMost))
	return c, err
}

// refusals counts what was not taken as it came, by reason.
type refusals struct {
	mu     sync.Mutex
	counts map[string]int64 // guarded by mu
}

func (r *refusals) count(reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[reason]++
}

// Refused counts, since the ledger was opened and by reason, the buckets that were
// refused (malformed, out_of_range, bad_name, unknown_node, not_the_nodes,
// bad_objective), parked (parked: their minute is still to come) or kept without
// being counted (other_indicator: the definition counts something else now).
func (l *Ledger) Refused() map[string]int64 {
	l.refusals.mu.Lock()
	defer l.refusals.mu.Unlock()
	out := make(map[string]int64, len(l.refusals.counts))
	for reason, n := range l.refusals.counts {
		out[reason] = n
	}
	return out
}
