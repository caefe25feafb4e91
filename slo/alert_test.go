package slo_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ghostlight/slo"
)

var evening = time.Date(2026, 11, 25, 20, 0, 0, 0, time.UTC)

func TestWatch(t *testing.T) {
	rules := []slo.Rule{
		{Key: "now", Urgency: slo.Page},
		{Key: "after 2m", Urgency: slo.Ticket, After: 2 * time.Minute},
		{Key: "held 2m", Urgency: slo.Page, Hold: 2 * time.Minute},
	}
	w := slo.NewWatch("soho", "checkout", rules)
	var got []string
	for i, holds := range []bool{false, true, false, true, true, true, false, true, false, false, false} {
		now := evening.Add(time.Duration(i) * time.Minute)
		for _, a := range w.Step(now, func(int) bool { return holds }) {
			line := now.Format("15:04 ") + a.Rule + " " + string(a.Phase) + ", began " + a.Start.Format("15:04")
			if a.Phase == slo.Resolved {
				line += ", fired " + a.Fired.Format("15:04") + ", ended " + a.Resolved.Format("15:04")
			}
			got = append(got, line)
			if want := slo.AlertID("soho", "checkout", a.Rule, a.Start); a.ID != want {
				t.Errorf("%s: key %s, want %s", line, a.ID, want)
			}
		}
	}
	want := []string{
		"20:01 now firing, began 20:01",
		"20:01 held 2m firing, began 20:01",
		"20:02 now resolved, began 20:01, fired 20:01, ended 20:02",
		"20:03 now firing, began 20:03",
		"20:05 after 2m firing, began 20:03",
		"20:06 now resolved, began 20:03, fired 20:03, ended 20:06",
		"20:06 after 2m resolved, began 20:03, fired 20:05, ended 20:06",
		"20:07 now firing, began 20:07",
		"20:08 now resolved, began 20:07, fired 20:07, ended 20:08",
		"20:10 held 2m resolved, began 20:01, fired 20:01, ended 20:08",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if left := w.Active(); left != nil {
		t.Errorf("still active: %+v", left)
	}
}

// A clock that is set back takes alerts along: what fires keeps its key, what cleared
// still resolves after its hold, what was pending begins anew.
func TestWatchRewind(t *testing.T) {
	rules := []slo.Rule{{Key: "held", Urgency: slo.Page, Hold: 10 * time.Minute}, {Key: "waits", Urgency: slo.Page, After: 10 * time.Minute}}
	w := slo.NewWatch("soho", "checkout", rules)
	fired := w.Step(evening, func(int) bool { return true })
	w.Step(evening.Add(time.Minute), func(i int) bool { return i == 1 })
	back := evening.Add(-time.Hour)
	w.Rewind(back)
	if left := w.Active(); len(left) != 1 || left[0].ID != fired[0].ID {
		t.Errorf("after the clock was set back %+v are active, want what fired", left)
	}
	if out := w.Step(back.Add(9*time.Minute), func(i int) bool { return i == 1 }); out != nil {
		t.Errorf("resolved or fired too early: %+v", out)
	}
	out := w.Step(back.Add(10*time.Minute), func(i int) bool { return i == 1 })
	if len(out) != 1 || out[0].ID != fired[0].ID || !out[0].Resolved.Equal(back) {
		t.Errorf("after its hold: %+v, want the alert resolved at %v", out, back)
	}
	if out := w.Step(back.Add(19*time.Minute), func(i int) bool { return i == 1 }); len(out) != 1 || out[0].Rule != "waits" || !out[0].Start.Equal(back.Add(9*time.Minute)) {
		t.Errorf("what waited: %+v, want it to have begun anew", out)
	}
	w.Rewind(back.Add(time.Hour)) // forward: nothing changes
	if out := w.Step(back.Add(20*time.Minute), func(int) bool { return false }); len(out) != 1 {
		t.Errorf("a rewind forward held up a step: %+v", out)
	}
}

// The published key of an alert. It never changes: node and centre must agree.
func TestAlertIDVector(t *testing.T) {
	const want = "295e603265f93428fe0e48809b7b8eec"
	got := slo.AlertID("uk/soho/soho-1", "checkout-success", "page/3600/300", evening)
	if got != want || got != slo.AlertID("uk/soho/soho-1", "checkout-success", "page/3600/300", evening.Add(59*time.Second)) {
		t.Errorf("key %s, want %s, whatever the second", got, want)
	}
	seen := map[string]bool{}
	for _, id := range []string{
		got, slo.AlertID("uk/soho/soho-2", "checkout-success", "page/3600/300", evening), slo.AlertID("uk/soho/soho-1", "checkout", "page/3600/300", evening),
		slo.AlertID("uk/soho/soho-1", "checkout-success", "page/3600/60", evening), slo.AlertID("uk/soho/soho-1", "checkout-success", "page/3600/300", evening.Add(time.Minute)),
	} {
		seen[id] = true
	}
	if len(seen) != 5 {
		t.Errorf("%d keys for 5 alerts", len(seen))
	}
}

// A watch that is stored and restored at any moment tells what one that ran
// through tells.
func TestWatchSurvivesRestarts(t *testing.T) {
	rules := []slo.Rule{{Key: "a"}, {Key: "b", After: 2 * time.Minute}, {Key: "c", Hold: 3 * time.Minute}, {Key: "d", After: time.Minute, Hold: time.Minute}}
	rapid.Check(t, func(rt *rapid.T) {
		through, restarted := slo.NewWatch("s", "o", rules), slo.NewWatch("s", "o", rules)
		now := evening
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(-90, 150).Draw(rt, "seconds")) * time.Second)
			holds := rapid.SliceOfN(rapid.Bool(), 4, 4).Draw(rt, "holds")
			if rapid.Bool().Draw(rt, "restart") {
				raw, err := json.Marshal(restarted)
				if err != nil {
					rt.Fatal(err)
				}
				restarted = slo.NewWatch("s", "o", rules)
				if err := json.Unmarshal(raw, restarted); err != nil {
					rt.Fatal(err)
				}
			}
			want := through.Step(now, func(i int) bool { return holds[i] })
			got := restarted.Step(now, func(i int) bool { return holds[i] })
			if diff := cmp.Diff(want, got); diff != "" {
				rt.Fatalf("(-ran through +restarted):\n%s", diff)
			}
			for _, a := range got {
				if a.Phase == slo.Firing && a.Fired.Before(a.Start) || a.Phase == slo.Resolved && a.Resolved.Before(a.Fired) {
					rt.Fatalf("times run backwards: %+v", a)
				}
			}
		}
	})
}

func TestWatchOfAChangedFile(t *testing.T) {
	w := slo.NewWatch("s", "o", []slo.Rule{{Key: "old"}, {Key: "kept"}, {Key: "waits", After: time.Hour}})
	w.Step(evening, func(int) bool { return true })
	raw, err := json.Marshal(w)
	if err != nil {
		t.Fatal(err)
	}
	w = slo.NewWatch("s", "o", []slo.Rule{{Key: "kept"}})
	if err := json.Unmarshal(raw, w); err != nil {
		t.Fatal(err)
	}
	got := w.Step(evening.Add(time.Minute), func(int) bool { return true })
	if len(got) != 1 || got[0].Rule != "old" || got[0].Phase != slo.Resolved || !got[0].Withdrawn {
		t.Errorf("got %+v, want the alert of the rule that is gone, withdrawn", got)
	}
	if len(w.Active()) != 1 {
		t.Errorf("active: %+v, want the kept one", w.Active())
	}
	for _, raw := range []string{"", "[]", `{"v":2}`, `{"v":1,"alerts":[{}]}`} {
		if json.Unmarshal([]byte(raw), w) == nil {
			t.Errorf("state %q is accepted", raw)
		}
	}
	if len(w.Active()) != 1 {
		t.Error("malformed state changed the watch")
	}
}

// replay runs burn alerts over minutes of ten events each, of which bad fail,
// looking once a minute, and returns when they fired and resolved.
func replay(t *testing.T, o slo.Objective, minutes int64, bad func(minute int64) int64) (fired, resolved map[string]time.Duration) {
	t.Helper()
	w, err := slo.NewBurnWatch("soho", o, nil)
	if err != nil {
		t.Fatal(err)
	}
	fired, resolved = map[string]time.Duration{}, map[string]time.Duration{}
	first := slo.MinuteOf(evening)
	for m := range minutes {
		w.Track.Replace(first+m, slo.Sum{}, o.Sum(bucket(first+m, 1000-bad(m), 1000)))
		for _, a := range w.Step(evening.Add(time.Duration(m) * time.Minute)) {
			at := time.Duration(m) * time.Minute
			if a.Phase == slo.Firing {
				if _, again := fired[a.Rule]; again {
					t.Errorf("%s fires again after %v", a.Rule, at)
				}
				fired[a.Rule] = at
			} else {
				resolved[a.Rule] = at
			}
		}
	}
	return fired, resolved
}

// SRE Workbook, chapter 5: with its multi-window alerts a 99.9 % objective that
// fails wholly is paged for when 14.4 times the budget went in an hour, which is
// 52 s, and the alert ends five minutes after the failures do. Minutes are the
// finest this sees here.
func TestBurnAlertsOfATotalOutage(t *testing.T) {
	o := checkout(0)
	o.Target, o.Window = 0.999, slo.Window{Count: 30, Unit: slo.Day, Rolling: true}
	fired, resolved := replay(t, o, 4*1440, func(m int64) int64 {
		if m >= 3*1440 && m < 3*1440+10 {
			return 1000
		}
		return 0
	})
	began := 3 * day
	for rule, want := range map[string][2]time.Duration{
		"page/3600/300":       {0, 15 * time.Minute}, // 10 min of outage and the 5 of its short window
		"page/21600/1800":     {2 * time.Minute, 40 * time.Minute},
		"ticket/86400/7200":   {4 * time.Minute, 130 * time.Minute},
		"ticket/259200/21600": {59 * time.Minute, 370 * time.Minute}, // its long window steps hourly
	} {
		got := [2]time.Duration{fired[rule] - began, resolved[rule] - began}
		if (got[0]-want[0]).Abs() > time.Minute || (got[1]-want[1]).Abs() > time.Minute {
			t.Errorf("%s fired after %v and ended after %v, want %v and %v", rule, got[0], got[1], want[0], want[1])
		}
	}
}

// An error rate that only just spends the budget alerts nobody; one three times as
// high opens tickets and does not page.
func TestBurnAlertsOfASlowBurn(t *testing.T) {
	o := checkout(0)
	o.Target, o.Window = 0.999, slo.Window{Count: 30, Unit: slo.Day, Rolling: true}
	if fired, _ := replay(t, o, 4*1440, func(m int64) int64 { return 1 }); len(fired) > 0 {
		t.Errorf("exactly the budget alerts: %v", fired)
	}
	fired, _ := replay(t, o, 4*1440, func(m int64) int64 { return 4 })
	if len(fired) != 2 || fired["ticket/86400/7200"] == 0 && fired["ticket/259200/21600"] == 0 {
		t.Errorf("four times the budget: %v, want both tickets", fired)
	}
}

// A quiet night's only failure is no page where traffic is asked for.
func TestLowTrafficGuard(t *testing.T) {
	o := checkout(0)
	lonely := func(min int64) (alerts int) {
		o.MinTraffic = min
		w, err := slo.NewBurnWatch("soho", o, nil)
		if err != nil {
			t.Fatal(err)
		}
		first := slo.MinuteOf(evening)
		w.Track.Replace(first, slo.Sum{}, o.Sum(bucket(first, 0, 1)))
		for _, a := range w.Step(evening) {
			if a.Phase == slo.Firing {
				alerts++
			}
		}
		return alerts
	}
	if got := lonely(0); got != 3 {
		t.Errorf("without a guard %d alerts, want those of the windows up to a day", got)
	}
	if got := lonely(2); got != 0 {
		t.Errorf("with a guard of 2 events %d alerts, want none", got)
	}
}
