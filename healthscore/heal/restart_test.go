package heal_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"ghostlight/healthscore/heal"
)

func TestRestarts(t *testing.T) {
	bubble(t, "cool-downs and counts survive", func(t *testing.T) {
		limit := func(o *heal.Options) { o.Rules[0].PerHour = 2 }
		r := newRig(t, limit)
		r.set("cache", true)
		r.run(2 * time.Second)
		r.end()
		r.start(limit)
		r.run(20 * time.Second)
		r.want("cache_repair started", "cache_repair succeeded")
		r.run(20 * time.Second)
		r.end()
		r.start(limit)
		defer r.end()
		r.run(5 * time.Minute)
		r.want("cache_repair started", "cache_repair succeeded", "cache_repair started", "cache_repair succeeded", "cache_repair refused")
	})
	bubble(t, "an action cut off by a crash is recorded as such", func(t *testing.T) {
		r := newRig(t)
		r.set("cache", true)
		r.repair["cache_repair"] = func(ctx context.Context) error {
			<-ctx.Done()
			r.mu.Lock()
			defer r.mu.Unlock()
			r.full = true // killed: nothing more reaches the disk
			return ctx.Err()
		}
		r.run(5 * time.Second)
		r.end()
		r.full = false
		r.set("cache", false)
		r.start()
		defer r.end()
		synctest.Wait()
		r.want("cache_repair started", "cache_repair interrupted")
		if a := r.chain[1]; a.Reason != r.chain[0].Reason {
			t.Errorf("reason %q, want that of its start", a.Reason)
		}
	})
	bubble(t, "told to stop, the action is told too", func(t *testing.T) {
		r := newRig(t)
		r.set("cache", true)
		r.repair["cache_repair"] = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		r.run(5 * time.Second)
		r.end()
		r.want("cache_repair started", "cache_repair interrupted")
	})
	bubble(t, "a clock set back holds limits for their time, not for ever", func(t *testing.T) {
		r := newRig(t)
		r.set("cache", true)
		r.run(2 * time.Second)
		r.end()
		offset := 1000 * time.Hour
		r.start(func(o *heal.Options) { o.Now = func() time.Time { return time.Now().Add(-offset) } })
		defer r.end()
		s := heal.Signals{}
		for range 40 {
			for name, reading := range r.signals() {
				reading.At = time.Now().Add(-offset)
				s[name] = reading
			}
			if err := r.engine.Step(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			synctest.Wait()
		}
		if got := len(r.told()); got < 4 {
			t.Errorf("%d records, want the action again after its cool-down", got)
		}
	})
}
