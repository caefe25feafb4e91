package heal_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ghostlight/healthscore"
	"ghostlight/healthscore/heal"
)

func TestEngine(t *testing.T) {
	bubble(t, "restarts what does not answer, and proves it", func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		r.fix("unit_restart", "up", "journey")
		r.run(5 * time.Second)
		r.want()
		r.set("up", true)
		r.set("journey", true)
		r.run(10 * time.Second)
		r.want("unit_restart started", "unit_restart succeeded")
		if got := r.chain[0].Reason; got != "the journey fails and edgecore does not answer" {
			t.Errorf("reason %q", got)
		}
	})
	bubble(t, "an action succeeds only when the journey passes", func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		r.set("journey", true)
		r.set("up", true)
		r.run(65 * time.Second)
		r.want("unit_restart started", "unit_restart failed")
		if a := r.chain[1]; !strings.Contains(a.Detail, "still broken") || a.DurationMS != 60_000 {
			t.Errorf("got %+v, want the journey's error after a minute", a)
		}
	})
	bubble(t, "verification waits for the service to come up", func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		r.set("journey", true)
		r.repair["unit_restart"] = func(context.Context) error {
			time.AfterFunc(6500*time.Millisecond, func() { r.set("journey", false) })
			return nil
		}
		r.run(20 * time.Second)
		r.want("unit_restart started", "unit_restart succeeded")
		if got := r.chain[1].DurationMS; got != 7000 {
			t.Errorf("took %d ms, want 7000", got)
		}
	})
	bubble(t, "an action that returns an error failed", func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		r.set("cache", true)
		r.repair["cache_repair"] = func(context.Context) error { return errors.New("no answer") }
		r.run(5 * time.Second)
		r.want("cache_repair started", "cache_repair failed")
		if got := r.chain[1].Detail; got != "no answer" {
			t.Errorf("detail %q", got)
		}
	})
	bubble(t, "an action that hangs is given up", func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		r.set("cache", true)
		r.repair["cache_repair"] = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		r.run(29 * time.Second)
		r.want("cache_repair started")
		if got := r.engine.Running(); got != "cache_repair" {
			t.Errorf("running %q", got)
		}
		r.run(2 * time.Second)
		r.want("cache_repair started", "cache_repair failed")
	})
	bubble(t, "gentler actions come first, harder ones when they did not help", func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		r.set("cache", true)
		r.set("journey", true)
		r.fix("unit_restart", "cache", "journey")
		r.run(80 * time.Second)
		r.want("cache_repair started", "cache_repair failed", "unit_restart started", "unit_restart succeeded")
	})
	bubble(t, "a gentler action that cannot apply holds nothing up", func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		for _, w := range []string{"cache", "journey", "up"} {
			r.set(w, true)
		}
		r.fix("unit_restart", "up", "journey")
		r.run(8 * time.Second)
		if got := r.told(); len(got) == 0 || got[0] != "unit_restart started" {
			t.Errorf("got %q, want the restart first: a dead edgecore repairs no cache", got)
		}
	})
	bubble(t, "a short hiccup is no reason", func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		for range 5 {
			r.set("journey", true)
			r.run(2 * time.Second)
			r.set("journey", false)
			r.run(2 * time.Second)
		}
		r.want()
	})
	bubble(t, "unknown signals are no reason", func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		bad := heal.Signals{
			healthscore.JourneySuccess: {Value: 0, Known: false, At: time.Now()},
			healthscore.EdgecoreUp:     {Value: 0, Known: false, At: time.Now()},
			healthscore.CacheCorrupt:   {Value: 9, Known: false, At: time.Now()},
		}
		old := heal.Signals{healthscore.JourneySuccess: {Value: 0, Known: true, At: time.Now().Add(-4 * time.Minute)}}
		for range 10 {
			for _, s := range []heal.Signals{bad, old, nil} {
				if err := r.engine.Step(t.Context(), s); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Second)
			synctest.Wait()
		}
		r.want()
	})
	bubble(t, "evidence from before the last action is no reason for another", func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		r.set("cache", true)
		s := r.signals() // as scraped before the repair
		r.fix("cache_repair", "cache")
		for range 100 {
			if err := r.engine.Step(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			synctest.Wait()
		}
		r.want("cache_repair started", "cache_repair succeeded")
	})
	bubble(t, "Step returns while an action runs, and one runs at a time", func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		r.set("cache", true)
		r.set("journey", true)
		r.repair["cache_repair"] = func(context.Context) error { time.Sleep(20 * time.Second); return nil }
		start := time.Now()
		for range 10 {
			if err := r.engine.Step(t.Context(), r.signals()); err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("Step took %v", d)
		}
		r.run(15 * time.Second)
		r.want("cache_repair started")
	})
}

func TestNewEngineRefuses(t *testing.T) {
	r := &rig{t: t}
	ok := func() heal.Options {
		return heal.Options{
			Rules:  []heal.Rule{heal.CacheRepair(action{"a", r}, time.Second, 1), heal.UnitRestart(action{"b", r}, time.Second, 1, "a")},
			Verify: func(context.Context) error { return nil }, Now: time.Now, Record: r.record,
		}
	}
	if _, err := heal.NewEngine(ok()); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*heal.Options){
		"no verification":    func(o *heal.Options) { o.Verify = nil },
		"no record":          func(o *heal.Options) { o.Record = nil },
		"no clock":           func(o *heal.Options) { o.Now = nil },
		"negative limit":     func(o *heal.Options) { o.PerHour = -1 },
		"no action":          func(o *heal.Options) { o.Rules[0].Action = nil },
		"no condition":       func(o *heal.Options) { o.Rules[0].When = nil },
		"no cool-down":       func(o *heal.Options) { o.Rules[0].CoolDown = 0 },
		"no hourly limit":    func(o *heal.Options) { o.Rules[0].PerHour = 0 },
		"twice":              func(o *heal.Options) { o.Rules[1].Action = o.Rules[0].Action },
		"after nothing":      func(o *heal.Options) { o.Rules[1].After = []string{"c"} },
		"after itself":       func(o *heal.Options) { o.Rules[1].After = []string{"b"} },
		"malformed state":    func(o *heal.Options) { o.Restore = []byte("{") },
		"state of a version": func(o *heal.Options) { o.Restore = []byte(`{"version":2}`) },
		"state without hash": func(o *heal.Options) { o.Restore = []byte(`{"version":1,"seq":3}`) },
	} {
		o := ok()
		change(&o)
		if _, err := heal.NewEngine(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := heal.NewEngine(heal.Options{Verify: ok().Verify, Now: time.Now, Record: r.record, Restore: []byte("x")}); !errors.Is(err, heal.ErrState) {
		t.Errorf("malformed state: %v, want ErrState", err)
	}
}
