package heal_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"ghostlight/healthscore/heal"
)

// The published vector of the audit chain. It never changes.
func TestAuditVector(t *testing.T) {
	chain := []heal.Audit{
		{
			Seq: 1, AtMS: 1795000000000, Action: "unit_restart", Reason: "journey revenue-path fails at step pay", Result: heal.Started,
			Hash: "c9fc1aac03455dfaa241e31fa283bce742303798c45a4e2f171bd1a41b107332",
		},
		{
			Seq: 2, AtMS: 1795000004200, Action: "unit_restart", Reason: "journey revenue-path fails at step pay", Result: heal.Succeeded,
			DurationMS: 4200, Prev: "c9fc1aac03455dfaa241e31fa283bce742303798c45a4e2f171bd1a41b107332", Hash: "3aeace0d0ffe6071b65cf172af2fac97c7ac01631dd4b87dce546fa1e0c24e70",
		},
	}
	if err := heal.Verify(chain); err != nil {
		t.Error(err)
	}
}

func TestVerifyFindsEveryChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		r.set("cache", true)
		r.run(2 * time.Minute)
		good := append([]heal.Audit(nil), r.chain...)
		if len(good) < 6 {
			t.Fatalf("only %d records", len(good))
		}
		if err := heal.Verify(good[2:]); err != nil {
			t.Errorf("a chain may start anywhere: %v", err)
		}
		for name, change := range map[string]func([]heal.Audit) []heal.Audit{
			"reason":     func(c []heal.Audit) []heal.Audit { c[2].Reason = "x"; return c },
			"result":     func(c []heal.Audit) []heal.Audit { c[3].Result = heal.Failed; return c },
			"time":       func(c []heal.Audit) []heal.Audit { c[0].AtMS++; return c },
			"detail":     func(c []heal.Audit) []heal.Audit { c[1].Detail += " "; return c },
			"sequence":   func(c []heal.Audit) []heal.Audit { c[1].Seq = 9; return c },
			"previous":   func(c []heal.Audit) []heal.Audit { c[4].Prev = c[2].Hash; return c },
			"dropped":    func(c []heal.Audit) []heal.Audit { return append(c[:2], c[3:]...) },
			"swapped":    func(c []heal.Audit) []heal.Audit { c[1], c[2] = c[2], c[1]; return c },
			"repeated":   func(c []heal.Audit) []heal.Audit { return append(c[:2], c[1:]...) },
			"first gone": func(c []heal.Audit) []heal.Audit { c[1].Prev = ""; return c[1:] },
		} {
			if err := heal.Verify(change(append([]heal.Audit(nil), good...))); !errors.Is(err, heal.ErrChain) {
				t.Errorf("%s: %v, want ErrChain", name, err)
			}
		}
	})
}

func ExampleVerify() {
	fmt.Println(heal.Verify([]heal.Audit{{Seq: 1, Action: "unit_restart", Result: heal.Started, Hash: "forged"}}))
	// Output: audit chain is broken: record 1 does not match its hash
}
