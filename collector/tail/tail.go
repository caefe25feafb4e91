package tail

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"ghostlight/buffer"
)

// Bounds of what is remembered besides the spans themselves.
const (
	tick         = time.Second
	maxHeld      = 4096 // traces held at once
	maxDecided   = 4096 // decisions remembered at least; twice as many at most
	maxFolds     = 512  // distinct log lines held at once
	maxTrace     = 256 << 10
	batchBytes   = 192 << 10 // of one stored record, before it is compressed
	eager        = batchBytes
	heldOverhead = 256 // counted for each trace beside its spans
	foldOverhead = 256
	itemOverhead = 128
)

// A Sink stores one OTLP message durably.
type Sink interface {
	// Evidence stores body, OTLP protobuf, before it returns nil. After an error
	// it is not stored and may be given again.
	Evidence(ctx context.Context, lane buffer.Lane, kind string, body []byte, at time.Time) error
}

// The kinds of record that are stored.
const (
	KindTraces = "otlp.traces"
	KindLogs   = "otlp.logs"
)

// Options configure a [Tail]. All durations and sizes must be above 0.
type Options struct {
	Sink     Sink
	Wait     time.Duration // a trace without a new span for so long is decided
	Deadline time.Duration // and at the latest so long after its first span
	Batch    time.Duration // between two records of what was kept
	Memory   int64         // bytes of spans and lines held, all together
	Traces   Traces
	Logs     Logs
	// Allow are globs of attribute keys that may leave the node beside
	// [DefaultAttributes].
	Allow []string
	Now   func() time.Time // nil: time.Now
	Log   *slog.Logger     // nil: silent
}

// Traces says which traces are kept.
type Traces struct {
	Budget            int64         // bytes a minute, uncompressed, for traces that nothing else keeps
	Slow              time.Duration // a trace that takes so long is kept; 0: only those beyond the p99 of their name
	LongRoutes        []string      // globs of routes that are long by nature, exempt from Slow
	RevenueRoutes     []string      // globs of routes whose traces are always kept
	RevenueAttributes []string      // globs of attribute keys whose traces are always kept
}

// Logs says which lines are kept.
type Logs struct {
	Budget   int64               // bytes a minute, uncompressed, for lines below error
	Severity plog.SeverityNumber // lines below it are dropped; those that tell none count as info
	Fold     time.Duration       // how long a repeated line is counted before it is stored
}

// A Tail holds, decides and stores. It is safe for concurrent use.
type Tail struct {
	o       Options
	privacy *privacy
	routes  routes
	seed    maphash.Seed  // of the keys of folds
	wake    chan struct{} // buffered; something is worth storing at once
	storing sync.Mutex    // held while a batch is stored, so that batches stay in order

	mu     sync.Mutex
	hold   hold             // guarded by mu
	cache  decisions        // guarded by mu
	pace   pace             // guarded by mu
	names  sketches         // guarded by mu
	folds  map[uint64]*fold // guarded by mu
	turn   int64            // numbers the folds; guarded by mu
	lines  bucket           // of bytes of log lines; guarded by mu
	out    outbox           // guarded by mu
	folded int64            // bytes in folds; guarded by mu
	count  counts           // guarded by mu
	stored time.Time        // when a batch was stored last; guarded by mu
}

// New checks the options.
func New(o Options) (*Tail, error) {
	if o.Sink == nil {
		return nil, errors.New("tail: a sink is needed")
	}
	if o.Wait <= 0 || o.Deadline < o.Wait || o.Batch <= 0 || o.Logs.Fold <= 0 {
		return nil, errors.New("tail: wait, deadline, batch and fold must be above 0, the deadline not below the wait")
	}
	if o.Memory < 64<<10 || o.Traces.Budget <= 0 || o.Logs.Budget <= 0 {
		return nil, errors.New("tail: memory must be at least 64 KiB and budgets above 0")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	p, err := newPrivacy(o.Allow)
	if err != nil {
		return nil, fmt.Errorf("tail: %w", err)
	}
	r, err := newRoutes(o.Traces)
	if err != nil {
		return nil, fmt.Errorf("tail: %w", err)
	}
	now := o.Now()
	return &Tail{
		o: o, privacy: p, routes: r, seed: maphash.MakeSeed(), wake: make(chan struct{}, 1),
		hold: newHold(o.Memory / 2), cache: newDecisions(maxDecided), names: newSketches(),
		pace: newPace(o.Traces.Budget, now), lines: newBucket(o.Logs.Budget, now), folds: map[uint64]*fold{},
		out: outbox{limit: o.Memory / 4}, count: newCounts(), stored: now,
	}, nil
}

// Run decides and stores until ctx ends. What is still held then stays held until
// [Tail.Flush].
func (t *Tail) Run(ctx context.Context) error {
	beat := time.NewTicker(tick)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.wake:
			t.store(ctx) //nolint:errcheck // kept for the next beat; the sink counts and logs
			continue
		case <-beat.C:
		}
		now := t.o.Now()
		t.mu.Lock()
		t.decideDue(now)
		t.unfoldDue(now)
		due := now.Sub(t.stored) >= t.o.Batch
		t.mu.Unlock()
		if due {
			t.store(ctx) //nolint:errcheck // as above
		}
	}
}

// Flush decides everything that is held and stores what is kept. It returns the
// sink's error; what was not stored stays in memory.
func (t *Tail) Flush(ctx context.Context) error {
	now := t.o.Now()
	t.mu.Lock()
	t.decideAll(now)
	t.unfoldAll()
	t.mu.Unlock()
	return t.store(ctx)
}

// Expect announces a trace that is kept whatever it holds, before its first span:
// that of a journey that begins.
func (t *Tail) Expect(id pcommon.TraceID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, known := t.cache.get(id); known {
		return
	}
	d := decision{keep: true, reason: Synthetic}
	if h := t.hold.take(id); h != nil {
		t.conclude(h, d)
		return
	}
	t.cache.put(id, d)
}

// store writes what waits, record by record, until nothing is left or the sink
// refuses.
func (t *Tail) store(ctx context.Context) error {
	t.storing.Lock()
	defer t.storing.Unlock()
	t.mu.Lock()
	t.stored = t.o.Now()
	t.mu.Unlock()
	for _, lane := range []buffer.Lane{buffer.Traces, buffer.Logs} {
		for {
			t.mu.Lock()
			batch := t.out.peek(lane)
			t.mu.Unlock()
			if len(batch) == 0 {
				break
			}
			kind, body, err := pack(lane, batch)
			if err == nil {
				err = t.o.Sink.Evidence(ctx, lane, kind, body, t.o.Now())
			}
			if err != nil {
				return err
			}
			t.mu.Lock()
			t.out.drop(lane, len(batch))
			t.count.stored(lane, batch)
			t.mu.Unlock()
		}
	}
	return nil
}

// nudge asks Run to store early. t.mu is held.
func (t *Tail) nudge() {
	if t.out.bytes < eager {
		return
	}
	select {
	case t.wake <- struct{}{}:
	default:
	}
}
