package heal_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"ghostlight/healthscore"
	"ghostlight/healthscore/heal"
)

var errBroken = errors.New("still broken")

// rig is a node with an engine on it, in synctest's time.
type rig struct {
	t      *testing.T
	mu     sync.Mutex
	chain  []heal.Audit
	state  []byte
	full   bool // Record fails
	calls  []string
	broken map[string]bool // what is wrong: "up", "journey", "cache"
	repair map[string]func(context.Context) error
	busy   bool
	engine *heal.Engine
	stop   context.CancelFunc
	done   chan error
}

type action struct {
	name string
	rig  *rig
}

func (a action) Name() string { return a.name }

func (a action) Do(ctx context.Context) error {
	a.rig.mu.Lock()
	a.rig.calls = append(a.rig.calls, a.name)
	do := a.rig.repair[a.name]
	a.rig.mu.Unlock()
	if do == nil {
		return nil
	}
	return do(ctx)
}

func newRig(t *testing.T, change ...func(*heal.Options)) *rig {
	r := &rig{t: t, broken: map[string]bool{}, repair: map[string]func(context.Context) error{}}
	r.start(change...)
	return r
}

// start runs an engine on what an earlier one stored.
func (r *rig) start(change ...func(*heal.Options)) {
	opts := heal.Options{
		Rules: []heal.Rule{
			heal.CacheRepair(action{"cache_repair", r}, 30*time.Second, 12),
			heal.UnitRestart(action{"unit_restart", r}, 30*time.Second, 6, "cache_repair"),
		},
		Verify: func(context.Context) error {
			if r.is("journey") {
				return errBroken
			}
			return nil
		},
		Busy: func() bool {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.busy
		},
		Now:     time.Now,
		Record:  r.record,
		Restore: r.state,
	}
	for _, f := range change {
		f(&opts)
	}
	e, err := heal.NewEngine(opts)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(r.t.Context())
	r.engine, r.stop, r.done = e, cancel, make(chan error, 1)
	go func() { r.done <- e.Run(ctx) }()
}

// end stops the engine and waits for it.
func (r *rig) end() {
	r.t.Helper()
	r.stop()
	if err := <-r.done; err != nil {
		r.t.Errorf("Run: %v", err)
	}
}

func (r *rig) record(a heal.Audit, state []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.full {
		return errors.New("disk full")
	}
	r.chain, r.state = append(r.chain, a), state
	return nil
}

func (r *rig) is(what string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.broken[what]
}

func (r *rig) set(what string, broken bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.broken[what] = broken
}

func (r *rig) fix(name string, what ...string) {
	r.repair[name] = func(context.Context) error {
		for _, w := range what {
			r.set(w, false)
		}
		return nil
	}
}

func (r *rig) signals() heal.Signals {
	now := time.Now()
	yes := func(what string) healthscore.Reading {
		v := 1.0
		if r.is(what) {
			v = 0
		}
		return healthscore.Reading{Value: v, Known: true, At: now}
	}
	s := heal.Signals{healthscore.EdgecoreUp: yes("up"), healthscore.JourneySuccess: yes("journey")}
	corrupt := healthscore.Reading{Known: true, At: now}
	if r.is("cache") {
		corrupt.Value = 3
	}
	s[healthscore.CacheCorrupt] = corrupt
	return s
}

// run steps once a second for d.
func (r *rig) run(d time.Duration) {
	r.t.Helper()
	for range int(d / time.Second) {
		if err := r.engine.Step(r.t.Context(), r.signals()); err != nil {
			r.t.Fatal(err)
		}
		synctest.Wait()
		time.Sleep(time.Second)
		synctest.Wait()
	}
}

// told is the chain in short; it must verify.
func (r *rig) told() []string {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := heal.Verify(r.chain); err != nil {
		r.t.Error(err)
	}
	var out []string
	for _, a := range r.chain {
		out = append(out, a.Action+" "+a.Result)
	}
	return out
}

func (r *rig) want(want ...string) {
	r.t.Helper()
	if diff := cmp.Diff(want, r.told()); diff != "" {
		r.t.Errorf("audit (-want +got):\n%s", diff)
	}
}

func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}
