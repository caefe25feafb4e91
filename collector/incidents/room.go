package incidents

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/queue"
	"ghostlight/buffer/wire"
	"ghostlight/collector/journeys"
	engine "ghostlight/healthscore/heal"
	"ghostlight/slo"
)

const (
	// stepEvery is how often the room looks: an outcome that is enough to fire does
	// so within it.
	stepEvery = time.Second
	// commitWait bounds one try to store what changed.
	commitWait = 10 * time.Second
	// DefaultFlap is how soon after its end a failure of the same thing is the same
	// incident: twice what an alert takes to see that the failure before has ended.
	DefaultFlap = 10 * time.Minute
	// keepEnded is how many incidents are kept after their end, for the page and so
	// that a flap finds what it belongs to.
	keepEnded = 32
)

// A Committer stores entries and state in one transaction.
type Committer interface {
	Commit(ctx context.Context, c queue.Commit) error
}

// A Book knows the buckets of the node's objectives.
type Book interface {
	Objectives() []slo.Objective
	// Buckets returns those of objective i for the minutes from to before to.
	Buckets(i int, from, to int64) ([]slo.Bucket, error)
}

// Options configure a [Room].
type Options struct {
	Source buffer.Source
	Book   Book
	Views  func() []journeys.View // nil: no journeys
	// Edgecore says whether edgecore answers, if that is known. nil: none is watched.
	Edgecore func() (up, known bool)
	// Backlog says since when edgecore's oldest sale waits for its settlement: the
	// moment of the reading when none does. It is not known where edgecore does not
	// tell. nil: never.
	Backlog func() (oldest time.Time, known bool)
	Heals   func() []engine.Audit // newest first; nil: none
	// Failures is how many runs of a journey must fail in a row, at least 2.
	Failures int
	Flap     time.Duration // 0 means [DefaultFlap]

	Commit Committer
	// Load returns the stored keys that begin with prefix.
	Load func(prefix string) (map[string][]byte, error)
	Now  func() time.Time // nil means time.Now
	Log  *slog.Logger     // nil: silent
}

func (o Options) withDefaults() (Options, error) {
	if o.Book == nil || o.Commit == nil || o.Load == nil {
		return o, errors.New("incidents: a book, and somewhere to commit to and to load from, are needed")
	}
	if o.Views == nil {
		o.Views = func() []journeys.View { return nil }
	}
	if o.Heals == nil {
		o.Heals = func() []engine.Audit { return nil }
	}
	if o.Flap == 0 {
		o.Flap = DefaultFlap
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Failures = max(o.Failures, 2)
	return o, nil
}

// A Room watches the objectives and journeys of one node. It is safe for concurrent
// use.
type Room struct {
	o   Options
	log *slog.Logger

	stepping sync.Mutex // held over a step and its commit
	failing  bool       // the last commit failed; guarded by stepping

	mu       sync.Mutex // never held over a commit
	at       time.Time  // of the last step, guarded by mu
	promises []*promise // by place of their objective, those that the node counts; guarded by mu
	calendar wire.Calendar
	misfits  map[string]bool   // shows that cannot be watched and were said to be so, guarded by mu
	entries  []*entry          // oldest first, guarded by mu
	pending  map[string][]byte // stored alerts not taken up yet; used by New alone
	dirty    changes           // guarded by mu
}

// New restores alerts, incidents and calendar and reads the buckets they go by.
func New(o Options) (*Room, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	r := &Room{o: o, log: o.Log, misfits: map[string]bool{}, pending: map[string][]byte{}, dirty: newChanges()}
	stored, err := o.Load(prefix)
	if err != nil {
		return nil, fmt.Errorf("incidents: read what is stored: %w", err)
	}
	now := wall(o.Now())
	for i, obj := range o.Book.Objectives() {
		if obj.Indicator.Central() {
			continue
		}
		p, err := newPromise(o.Source.String(), i, obj)
		if err != nil {
			return nil, fmt.Errorf("incidents: %w", err)
		}
		r.promises = append(r.promises, p)
	}
	return r, r.restore(stored, now)
}

// wall is t without the reading of a clock that nobody can set: what is compared
// with it may come from before a restart.
func wall(t time.Time) time.Time { return t.Round(0) }

// Run looks every second until ctx ends.
func (r *Room) Run(ctx context.Context) error {
	tick := time.NewTicker(stepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			r.Step(ctx) //nolint:errcheck // said once; what was not stored is stored by a later step
		}
	}
}

// Step looks once, and stores what changed. After an error it is kept in memory and
// stored by a later step.
func (r *Room) Step(ctx context.Context) error {
	r.stepping.Lock()
	defer r.stepping.Unlock()
	now := wall(r.o.Now())
	seen := r.look()
	r.mu.Lock()
	err := r.step(now, seen)
	c, taken, encodeErr := r.collect()
	r.mu.Unlock()
	if err = errors.Join(err, encodeErr, r.commit(ctx, c, taken)); err != nil {
		r.note(ctx, err)
		return err
	}
	r.note(ctx, nil)
	return nil
}

// step lets time pass to now. The caller holds mu.
func (r *Room) step(now time.Time, seen sight) error {
	err := r.keepTime(now)
	r.syncShows(now)
	var fired []slo.Alert
	for _, p := range r.promises {
		if p.ready {
			fired = append(fired, r.watch(p, now)...)
		}
	}
	r.burns(now, fired)
	r.journeys(now, seen)
	r.evidence(seen)
	r.stages(now, seen)
	r.forget()
	return err
}

// keepTime goes back with a clock that was set back: windows never do, so they are
// made anew, and once more when time comes to what was passed over then. An objective
// whose buckets cannot be read is tried again with the next step, and holds up no
// other. The caller holds mu.
func (r *Room) keepTime(now time.Time) error {
	back := now.Before(r.at)
	var failed []error
	for _, p := range r.promises {
		if back {
			p.rewind(now)
		}
		if !p.ready || slo.MinuteOf(now)+1 < p.burn.Track.Now() || slo.MinuteOf(now) >= p.read {
			p.ready = false
			if err := p.load(r.o.Book, now); err != nil {
				failed = append(failed, fmt.Errorf("incidents: read the buckets of %s: %w", p.o.Name, err))
				continue
			}
		}
		p.fold(now)
	}
	for _, e := range r.entries {
		if back {
			e.rewind(now)
		}
	}
	r.at = now
	return errors.Join(failed...)
}

// Told takes buckets that were stored. It is the Told of a book.
func (r *Room) Told(o slo.Objective, buckets []slo.Bucket) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.promises {
		if p.o.Name == o.Name {
			p.take(r.o.Book, buckets)
		}
	}
}
