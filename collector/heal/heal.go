// Package heal connects the heal engine to this node: what it watches, what it
// may do and where it proves what it did.
//
// A unit is restarted when a journey fails at a step other than the catalogue's,
// or edgecore does not answer, several times in a row; edgecore's cache is
// repaired when edgecore finds corrupt objects in it. Nothing here looks at the
// uplink: an unreachable centre is no reason to act.
package heal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/queue"
	"ghostlight/collector/journeys"
	"ghostlight/collector/self"
	"ghostlight/collector/store"
	"ghostlight/healthscore"
	engine "ghostlight/healthscore/heal"
)

const (
	stepEvery  = time.Second
	commitWait = 10 * time.Second
	// keepRecent is how many records the node keeps for its own page.
	keepRecent = 50
)

// Keys of the buffer's state.
const (
	stateKey  = "heal/state"
	recentKey = "heal/recent"
	countsKey = "heal/counts"
)

// A Committer stores entries and state in one transaction.
type Committer interface {
	Commit(ctx context.Context, c queue.Commit) error
}

// Limits are the guardrails of one rule.
type Limits struct {
	CoolDown time.Duration
	PerHour  int
}

// Options configure a [Healer].
type Options struct {
	DryRun bool

	Restart       engine.Action // nil: never
	RestartLimits Limits
	Failures      int // runs or scrapes in a row that must fail before a restart, at least 2

	Repair       engine.Action // nil: never
	RepairLimits Limits

	Readings         func() map[string]healthscore.Reading
	Views            func() []journeys.View
	EdgecoreFailures func() int // failed scrapes of edgecore in a row
	// Verify returns nil if the journey that failed passes now.
	Verify func(ctx context.Context) error

	Commit Committer
	Load   func(key string) ([]byte, error)
	Now    func() time.Time // nil means time.Now
	Log    *slog.Logger     // nil: silent
}

// A Healer runs the engine of one node.
type Healer struct {
	o      Options
	log    *slog.Logger
	engine *engine.Engine

	mu     sync.Mutex
	recent []engine.Audit   // oldest first, guarded by mu
	counts map[string]int64 // by "action/result", guarded by mu
}

// New restores the audit chain and builds the rules.
func New(o Options) (*Healer, error) {
	if o.Commit == nil || o.Load == nil || o.Readings == nil || o.Views == nil || o.Verify == nil {
		return nil, errors.New("heal: signals, a journey to verify by, and a buffer are needed")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.EdgecoreFailures == nil {
		o.EdgecoreFailures = func() int { return 0 }
	}
	o.Failures = max(o.Failures, 2)
	h := &Healer{o: o, log: o.Log, counts: map[string]int64{}}
	if err := h.load(recentKey, &h.recent); err != nil {
		return nil, err
	}
	if err := h.load(countsKey, &h.counts); err != nil {
		return nil, err
	}
	restore, err := o.Load(stateKey)
	if err != nil {
		return nil, fmt.Errorf("heal: read the audit chain: %w", err)
	}
	// Options.Busy stays nil, the gate always open: it waits for payments that are
	// acknowledged and not yet synced to disk, and edgecore has none at any time,
	// for it acknowledges a payment only after the fsync of its commit.
	h.engine, err = engine.NewEngine(engine.Options{
		Rules: h.rules(), DryRun: o.DryRun, Verify: o.Verify, Now: o.Now, Record: h.record, Restore: restore,
	})
	return h, err
}

func (h *Healer) load(key string, into any) error {
	raw, err := h.o.Load(key)
	if err == nil && raw != nil {
		err = json.Unmarshal(raw, into)
	}
	if err != nil {
		return fmt.Errorf("heal: read %s: %w", key, err)
	}
	return nil
}

// rules are those configured, the gentler first.
func (h *Healer) rules() []engine.Rule {
	var rules []engine.Rule
	var gentler []string
	if h.o.Repair != nil {
		rules = append(rules, engine.CacheRepair(h.o.Repair, h.o.RepairLimits.CoolDown, h.o.RepairLimits.PerHour))
		gentler = append(gentler, h.o.Repair.Name())
	}
	if h.o.Restart != nil {
		r := engine.UnitRestart(h.o.Restart, h.o.RestartLimits.CoolDown, h.o.RestartLimits.PerHour, gentler...)
		r.When = func(engine.Signals) (string, bool) { return h.needsRestart() }
		r.For = 0 // failures in a row are counted instead
		rules = append(rules, r)
	}
	return rules
}

// needsRestart says what is wrong that a restart would repair.
func (h *Healer) needsRestart() (reason string, ok bool) {
	for _, v := range h.o.Views() {
		if v.Failures >= h.o.Failures && !v.FailsAtCache {
			return fmt.Sprintf("journey %s failed %d times in a row, last at step %s: %s", v.Last.Journey, v.Failures, v.Last.FailedStep, v.Last.Error), true
		}
	}
	if n := h.o.EdgecoreFailures(); n >= h.o.Failures {
		return fmt.Sprintf("edgecore did not answer %d scrapes in a row", n), true
	}
	return "", false
}

// Run looks every second and heals until ctx ends.
func (h *Healer) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { h.engine.Run(ctx) }) //nolint:errcheck // it returns nil when ctx ends
	tick := time.NewTicker(stepEvery)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			err := h.engine.Step(ctx, h.o.Readings())
			if (err != nil) != failing && ctx.Err() == nil && !errors.Is(err, store.ErrStopping) {
				failing = err != nil
				if failing {
					h.log.Warn("healing is held back: its record cannot be stored", "err", err)
				}
			}
		}
	}
}

// record stores one record of the chain with the engine's state, and sends it up.
func (h *Healer) record(a engine.Audit, state []byte) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	recent := append(slices.Clone(h.recent), a)
	recent = recent[max(0, len(recent)-keepRecent):]
	counts := map[string]int64{}
	for k, n := range h.counts {
		counts[k] = n
	}
	if a.Result != engine.Started {
		counts[a.Action+"/"+a.Result]++
	}
	body, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("encode record: %w", err)
	}
	kept := map[string][]byte{stateKey: state}
	for key, v := range map[string]any{recentKey: recent, countsKey: counts} {
		if kept[key], err = json.Marshal(v); err != nil {
			return fmt.Errorf("encode %s: %w", key, err)
		}
	}
	rec := delta.Record{Kind: "heal.audit", Key: strconv.FormatInt(a.Seq, 10), Time: a.AtMS, Body: body}
	ctx, cancel := context.WithTimeout(context.Background(), commitWait)
	defer cancel()
	err = h.o.Commit.Commit(ctx, queue.Commit{
		Entries: []queue.Entry{{Lane: buffer.Revenue, Batch: delta.Batch{Records: []delta.Record{rec}}}}, State: kept,
	})
	if err != nil {
		return err
	}
	h.recent, h.counts = recent, counts
	h.log.Info("heal", "action", a.Action, "result", a.Result, "reason", a.Reason, "detail", a.Detail)
	return nil
}

// Recent lists the last records, newest first, and whether their chain holds.
func (h *Healer) Recent() (records []engine.Audit, chainOK bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	chainOK = engine.Verify(h.recent) == nil
	records = slices.Clone(h.recent)
	slices.Reverse(records)
	return records, chainOK
}

// Enabled reports whether there is a rule.
func (h *Healer) Enabled() bool { return h.o.Restart != nil || h.o.Repair != nil }

// Gather adds the counts of actions by result.
func (h *Healer) Gather(g *self.Gatherer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range []engine.Action{h.o.Restart, h.o.Repair} {
		if a == nil {
			continue
		}
		for _, result := range []string{engine.Succeeded, engine.Failed, engine.DryRun, engine.Refused} {
			g.Counter("ghostlight_heal_actions_total", "Actions of the node's own healing, by result.",
				float64(h.counts[a.Name()+"/"+result]), "action", a.Name(), "result", result)
		}
	}
}
