package heal_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"ghostlight/healthscore/heal"
)

func TestGuardrails(t *testing.T) {
	bubble(t, "cool-down", func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		r.set("cache", true) // the repair does not help, but the journey passes
		r.run(59 * time.Second)
		r.want("cache_repair started", "cache_repair succeeded", "cache_repair started", "cache_repair succeeded")
		if d := r.chain[2].AtMS - r.chain[0].AtMS; d < 30_000 {
			t.Errorf("%d ms apart, want the cool-down of 30 s", d)
		}
	})
	bubble(t, "hourly limit, refused once, free again after the hour", func(t *testing.T) {
		r := newRig(t, func(o *heal.Options) { o.Rules[0].PerHour = 2 })
		defer r.end()
		r.set("cache", true)
		r.run(10 * time.Minute)
		r.want("cache_repair started", "cache_repair succeeded", "cache_repair started", "cache_repair succeeded", "cache_repair refused")
		if got := r.chain[4].Detail; got != "it ran 2 times within the hour; allowed: 2" {
			t.Errorf("detail %q", got)
		}
		r.run(51 * time.Minute)
		if got := len(r.chain); got < 7 {
			t.Errorf("%d records after the hour, want more", got)
		}
	})
	bubble(t, "storm stop over all actions", func(t *testing.T) {
		r := newRig(t, func(o *heal.Options) { o.PerHour = 3; o.VerifyFor = 5 * time.Second })
		defer r.end()
		r.set("cache", true)
		r.set("journey", true)
		r.run(30 * time.Minute)
		starts := 0
		for _, s := range r.told() {
			if strings.HasSuffix(s, " started") {
				starts++
			}
		}
		if starts != 3 {
			t.Errorf("%d actions, want 3:\n%s", starts, strings.Join(r.told(), "\n"))
		}
		last := r.chain[len(r.chain)-1]
		if last.Result != heal.Refused || !strings.Contains(last.Detail, "storm stop") {
			t.Errorf("last record %+v, want a refusal by the storm stop", last)
		}
	})
	bubble(t, "dry run does nothing and says so at the pace of the real thing", func(t *testing.T) {
		r := newRig(t, func(o *heal.Options) { o.DryRun = true })
		defer r.end()
		r.set("cache", true)
		r.run(59 * time.Second)
		r.want("cache_repair dry_run", "cache_repair dry_run")
		if len(r.calls) > 0 {
			t.Errorf("it did %v", r.calls)
		}
	})
	bubble(t, "a payment in flight is waited for", func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		r.set("cache", true)
		r.busy = true
		r.run(5 * time.Second)
		r.want()
		r.busy = false
		r.run(time.Second)
		r.want("cache_repair started", "cache_repair succeeded")
	})
	bubble(t, "but not for ever", func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		r.set("cache", true)
		r.busy = true
		r.run(12 * time.Second)
		r.want("cache_repair started", "cache_repair succeeded")
		if got := r.chain[0].Detail; got != "a payment was still in flight after 10s" {
			t.Errorf("detail %q", got)
		}
	})
	bubble(t, "nothing unrecorded is done", func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		r.set("cache", true)
		r.full = true
		var last error
		for range 5 {
			last = r.engine.Step(t.Context(), r.signals())
			time.Sleep(time.Second)
			synctest.Wait()
		}
		if last == nil || len(r.calls) > 0 {
			t.Errorf("Step: %v; done: %v; want an error and nothing done", last, r.calls)
		}
		r.full = false
		time.Sleep(time.Second)
		_ = r.engine.Step(t.Context(), r.signals()) // tells of the failure before
		synctest.Wait()
		r.want("cache_repair started", "cache_repair succeeded")
	})
	bubble(t, "a result is recorded before anything else is done", func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		r.set("cache", true)
		r.repair["cache_repair"] = func(context.Context) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.full = true
			return nil
		}
		for range 100 {
			_ = r.engine.Step(t.Context(), r.signals())
			time.Sleep(time.Second)
			synctest.Wait()
		}
		if diff := cmp.Diff([]string{"cache_repair"}, r.calls); diff != "" {
			t.Errorf("done (-want +got):\n%s", diff)
		}
		r.mu.Lock()
		r.full = false
		r.mu.Unlock()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		r.want("cache_repair started", "cache_repair succeeded")
	})
}
