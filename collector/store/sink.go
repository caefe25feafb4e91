// Package store is the way into the node's buffer: every producer of the agent
// hands its telemetry to a [Sink], which removes repeated samples, sorts series
// into lanes and commits the whole as one.
//
// It guarantees that nothing is acknowledged before it is durable and that what
// is refused is counted by lane. It never batches and never retries: whoever
// produced the data decides that.
package store

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/queue"
)

// calm is how long a lane must refuse nothing before its trouble is over: at the
// edge of a full disk small commits fit between large ones that do not.
const calm = 10 * time.Second

// A Queue is the durable buffer.
type Queue interface {
	// Append stores the commit durably before it returns nil.
	Append(ctx context.Context, c queue.Commit) error
}

// A Chooser decides the lane of a metric.
type Chooser interface{ Lane(name string) buffer.Lane }

// Options configure a [Sink].
type Options struct {
	Queue Queue
	Lanes Chooser
	// Beside is asked about each batch of metrics before it is stored, without the
	// samples that are stored already. It calls put once, with what belongs into the
	// same transaction, and returns its error; nil: nothing belongs there.
	Beside func(ctx context.Context, series []delta.Series, put func(queue.Commit) error) error
	// Tap sees each batch of metrics after it is stored. It must be quick and
	// may not keep the batch; nil: nobody looks.
	Tap func(delta.Batch)
	// Traces and Logs take what comes in over OTLP and own it from then on; nil:
	// it is stored as it came.
	Traces func(ptrace.Traces)
	Logs   func(plog.Logs)
	Log    *slog.Logger // nil: silent
}

// A Sink stores metrics and records. It is safe for concurrent use.
type Sink struct {
	queue  Queue
	lanes  Chooser
	beside func(ctx context.Context, series []delta.Series, put func(queue.Commit) error) error
	tap    func(delta.Batch)
	traces func(ptrace.Traces) // nil: stored as they come
	logs   func(plog.Logs)     // likewise
	log    *slog.Logger
	gate   gate

	mu       sync.Mutex
	seen     seen                      // guarded by mu
	refused  map[buffer.Lane]int64     // samples, guarded by mu
	dropped  map[string]int64          // points that could not become samples, by reason; guarded by mu
	refusing map[buffer.Lane]time.Time // lanes in trouble and when they last refused; guarded by mu
}

// New returns a sink.
func New(o Options) (*Sink, error) {
	if o.Queue == nil || o.Lanes == nil {
		return nil, errors.New("store: queue and lanes are needed")
	}
	if o.Beside == nil {
		o.Beside = func(_ context.Context, _ []delta.Series, put func(queue.Commit) error) error {
			return put(queue.Commit{})
		}
	}
	if o.Tap == nil {
		o.Tap = func(delta.Batch) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Sink{
		queue: o.Queue, lanes: o.Lanes, beside: o.Beside, tap: o.Tap, traces: o.Traces, logs: o.Logs, log: o.Log,
		seen: newSeen(seenSeries), refused: map[buffer.Lane]int64{}, dropped: map[string]int64{}, refusing: map[buffer.Lane]time.Time{},
	}, nil
}

// Write stores the samples of one batch, those left out that repeat the series'
// last time. After an error none of them counts as stored, though those of the
// revenue lane may be: writing them again is harmless.
func (s *Sink) Write(ctx context.Context, b delta.Batch) error {
	s.mu.Lock()
	fresh, claim := s.seen.claim(b.Series)
	s.mu.Unlock()
	// Who is asked may hold locks of his own while he commits something else, so the
	// gate is entered behind them, never before.
	err := s.beside(ctx, fresh, func(c queue.Commit) error {
		return s.Commit(ctx, queue.Commit{Entries: Join(s.split(fresh), c.Entries), State: c.State})
	})
	if err != nil {
		s.release(err, fresh, claim)
		return err
	}
	s.tap(delta.Batch{Series: fresh})
	return nil
}

// Join returns entries and more together, the records of more in the entry of their
// lane where there is one, so that they make no block of their own.
func Join(entries, more []queue.Entry) []queue.Entry {
	out := slices.Clone(entries)
	for _, e := range more {
		i := slices.IndexFunc(out, func(have queue.Entry) bool { return have.Lane == e.Lane })
		if i < 0 || len(e.Batch.Series) > 0 {
			out = append(out, e)
			continue
		}
		out[i].Batch.Records = slices.Concat(out[i].Batch.Records, e.Batch.Records)
	}
	return out
}

// End makes producers that wait for a hold give up with [ErrStopping], now and
// later, so that a stop need not wait for it.
func (s *Sink) End() { s.gate.end() }

// release forgets the samples of a refused batch, but for those of the revenue
// lane where they are stored all the same: the sender may repeat the rest.
func (s *Sink) release(err error, fresh []delta.Series, claim []claimed) {
	var partial *queue.PartialError
	if errors.As(err, &partial) {
		kept := claim[:0]
		for i, one := range fresh {
			if s.lanes.Lane(name(one.Labels)) != buffer.Revenue {
				kept = append(kept, claim[i])
			}
		}
		claim = kept
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen.release(claim)
}

// Commit stores records and state as they are, in one transaction per file; see
// [queue.PartialError].
func (s *Sink) Commit(ctx context.Context, c queue.Commit) error {
	if err := s.gate.enter(ctx); err != nil {
		return err
	}
	defer s.gate.leave()
	return s.append(ctx, c.Entries, c.State)
}

// Hold keeps every producer waiting in Write and Commit until release is called;
// those at work already are waited for. Later callers wait for their turn.
func (s *Sink) Hold(ctx context.Context) (release func(), err error) { return s.gate.hold(ctx) }

// split sorts series into lanes, most important first.
func (s *Sink) split(series []delta.Series) []queue.Entry {
	byLane := map[buffer.Lane][]delta.Series{}
	for _, one := range series {
		lane := s.lanes.Lane(name(one.Labels))
		byLane[lane] = append(byLane[lane], one)
	}
	var entries []queue.Entry
	for _, lane := range buffer.Lanes() {
		if len(byLane[lane]) > 0 {
			entries = append(entries, queue.Entry{Lane: lane, Batch: delta.Batch{Series: byLane[lane]}})
		}
	}
	return entries
}

// append commits; an entry too large for one block is halved until it fits.
func (s *Sink) append(ctx context.Context, entries []queue.Entry, state map[string][]byte) error {
	if len(entries) == 0 && len(state) == 0 {
		return nil
	}
	err := s.queue.Append(ctx, queue.Commit{Entries: entries, State: state})
	if errors.Is(err, queue.ErrTooLarge) {
		if smaller, ok := halve(entries); ok {
			return s.append(ctx, smaller, state)
		}
	}
	s.note(err, entries)
	return err
}

// halve splits every entry that has more than a handful of series or records.
func halve(entries []queue.Entry) ([]queue.Entry, bool) {
	out := make([]queue.Entry, 0, 2*len(entries))
	split := false
	for _, e := range entries {
		ns, nr := len(e.Batch.Series), len(e.Batch.Records)
		if ns+nr < 2 {
			out = append(out, e)
			continue
		}
		split = true
		out = append(out,
			queue.Entry{Lane: e.Lane, Batch: delta.Batch{Series: e.Batch.Series[:ns/2], Records: e.Batch.Records[:(nr+1)/2]}},
			queue.Entry{Lane: e.Lane, Batch: delta.Batch{Series: e.Batch.Series[ns/2:], Records: e.Batch.Records[(nr+1)/2:]}})
	}
	return out, split
}

// note counts what was refused and logs when a lane's refusing begins and ends.
func (s *Sink) note(err error, entries []queue.Entry) {
	if errors.Is(err, context.Canceled) {
		return // the agent stops; nobody was told that it is stored
	}
	var partial *queue.PartialError
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range entries {
		if err == nil || e.Lane == buffer.Revenue && errors.As(err, &partial) {
			if since, ok := s.refusing[e.Lane]; ok && time.Since(since) > calm {
				delete(s.refusing, e.Lane)
				s.log.Info("telemetry is stored again", "lane", e.Lane)
			}
			continue
		}
		s.refused[e.Lane] += int64(e.Batch.Samples())
		if _, known := s.refusing[e.Lane]; !known {
			s.log.Warn("telemetry is refused", "lane", e.Lane, "err", err)
		}
		s.refusing[e.Lane] = time.Now()
	}
}

// Refused counts the samples refused since start, by lane.
func (s *Sink) Refused() map[buffer.Lane]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.refused)
}

// noteDropped counts points received over OTLP that cannot become samples. Each
// reason is logged once: a client that sends such points does so every time.
func (s *Sink) noteDropped(dropped map[string]int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for reason, n := range dropped {
		if n > 0 && s.dropped[reason] == 0 {
			s.log.Warn("metric points are dropped; later ones are only counted", "reason", reason, "points", n)
		}
		s.dropped[reason] += int64(n)
	}
}

// Dropped counts the points received over OTLP since start that could not become
// samples, by reason.
func (s *Sink) Dropped() map[string]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.dropped)
}

func name(ls []delta.Label) string {
	for _, l := range ls {
		if l.Name == "__name__" {
			return l.Value
		}
	}
	return ""
}
