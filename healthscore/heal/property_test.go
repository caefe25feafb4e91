package heal_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"ghostlight/healthscore/heal"
)

// op is one thing that happens to a node.
type op struct {
	Do   string // see perform
	What string
	On   bool
	N    int
}

func drawOp(t *rapid.T) op {
	return op{
		Do:   rapid.SampledFrom([]string{"time", "time", "time", "break", "break", "busy", "full", "restart", "useless"}).Draw(t, "do"),
		What: rapid.SampledFrom([]string{"up", "journey", "cache"}).Draw(t, "what"),
		On:   rapid.Bool().Draw(t, "on"),
		N:    rapid.IntRange(0, 90).Draw(t, "n"),
	}
}

// Whatever breaks, recovers, fills up or restarts, the audit chain verifies and
// shows that every guardrail held.
func TestGuardrailsAlwaysHold(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		ops := rapid.SliceOfN(rapid.Custom(drawOp), 1, 60).Draw(rt, "ops")
		var chain []heal.Audit
		synctest.Test(t, func(t *testing.T) {
			limits := func(o *heal.Options) { o.PerHour, o.VerifyFor = 7, 20*time.Second }
			r := newRig(t, limits)
			r.fix("cache_repair", "cache")
			r.fix("unit_restart", "up", "journey")
			for _, o := range ops {
				r.perform(o, limits)
			}
			r.end()
			chain = r.chain
		})
		checkGuardrails(rt, chain, 30_000, map[string]int{"": 7, "cache_repair": 12, "unit_restart": 6})
	})
}

func (r *rig) perform(o op, limits func(*heal.Options)) {
	switch o.Do {
	case "time":
		for range o.N {
			_ = r.engine.Step(r.t.Context(), r.signals()) // fails while the disk is full
			synctest.Wait()
			time.Sleep(time.Second)
			synctest.Wait()
		}
	case "break":
		r.set(o.What, o.On)
	case "restart":
		r.end()
		r.start(limits)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch o.Do {
	case "busy":
		r.busy = o.On
	case "full":
		r.full = o.On
	case "useless":
		name := map[bool]string{true: "cache_repair", false: "unit_restart"}[o.On]
		r.repair[name] = func(ctx context.Context) error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(time.Duration(o.N) * time.Second / 2):
				return errors.New("to no avail")
			}
		}
	}
}

func checkGuardrails(t *rapid.T, chain []heal.Audit, coolDownMS int64, perHour map[string]int) {
	if err := heal.Verify(chain); err != nil {
		t.Fatal(err)
	}
	ended := map[string]int64{}
	var starts []heal.Audit
	running := ""
	for _, a := range chain {
		switch a.Result {
		case heal.Started:
			if running != "" {
				t.Fatalf("record %d starts %s while %s runs", a.Seq, a.Action, running)
			}
			if end, ok := ended[a.Action]; ok && a.AtMS-end < coolDownMS {
				t.Fatalf("record %d starts %s %d ms after its end", a.Seq, a.Action, a.AtMS-end)
			}
			running, starts = a.Action, append(starts, a)
		case heal.Succeeded, heal.Failed, heal.Interrupted:
			if running != a.Action {
				t.Fatalf("record %d ends %s while %q runs", a.Seq, a.Action, running)
			}
			running, ended[a.Action] = "", a.AtMS
		case heal.Refused:
			if running != "" || !strings.Contains(a.Detail, "allowed:") {
				t.Fatalf("record %d: %+v", a.Seq, a)
			}
		default:
			t.Fatalf("record %d has result %q", a.Seq, a.Result)
		}
	}
	for i, a := range starts {
		n := map[string]int{}
		for _, b := range starts[i:] {
			if b.AtMS-a.AtMS < time.Hour.Milliseconds() {
				n[""]++
				n[b.Action]++
			}
		}
		for of, limit := range perHour {
			if n[of] > limit {
				t.Fatalf("%d starts of %q within an hour of record %d; allowed: %d", n[of], of, a.Seq, limit)
			}
		}
	}
}
