package slo_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ghostlight/slo"
)

func TestTallyCountsIntoTheEventsMinute(t *testing.T) {
	n := newNode(t, checkout(0), slo.TallyOptions{})
	n.journey = slo.JourneyPassing
	n.tick()
	n.observe(n.now.Add(59*time.Second), true)
	n.observe(n.now.Add(60*time.Second), false)
	n.run(2 * time.Minute)
	n.want(1000, 1003, map[int64]fact{
		1000: {1, 1, 60, slo.Measured, slo.NotSilent, false},
		1001: {0, 1, 60, slo.Measured, slo.NotSilent, false},
		1002: {0, 0, 0, slo.Measured, slo.Blind, true},
	})
}

func TestTallyRevisesTheOpenMinuteEveryTenSeconds(t *testing.T) {
	n := newNode(t, checkout(0), slo.TallyOptions{})
	n.tick()
	var at []time.Duration
	for second := 1; second <= 60; second++ {
		n.pass(time.Second)
		switch second {
		case 12, 13, 19, 35:
			n.observe(n.now, true)
		case 22, 24: // the second comes when these ten seconds have told of one
			n.observe(n.now, false)
		case 44:
			n.journey = slo.JourneyPassing
		case 58:
			n.journey = slo.JourneyFailing
		}
		for _, b := range n.tick().Buckets {
			if b.Minute == 1000 && b.Open {
				at = append(at, n.elapsed)
			}
		}
	}
	// Nothing was watched at the first look; at the second, that is news. That it is
	// watched on is not.
	want := []time.Duration{1 * time.Second, 20 * time.Second, 22 * time.Second, 30 * time.Second, 40 * time.Second, 50 * time.Second, 58 * time.Second}
	if diff := cmp.Diff(want, at); diff != "" {
		t.Errorf("open minute told at (-want +got):\n%s", diff)
	}
}

func TestTallyRevisesMinutesForLateOutcomes(t *testing.T) {
	n := newNode(t, checkout(0), slo.TallyOptions{})
	n.tick()
	n.observe(n.now, true)
	n.run(5 * time.Minute)
	before := n.centre[1000]
	n.observe(slo.MinuteStart(1000), false)
	n.pass(time.Second)
	n.tick()
	after := n.centre[1000]
	if after.Good != 1 || after.Total != 2 || after.Revision <= before.Revision || after.Open {
		t.Errorf("revised %+v to %+v", before, after)
	}
}

func TestTallyTellsQuietFailingAndBlindApart(t *testing.T) {
	n := newNode(t, checkout(0), slo.TallyOptions{})
	n.tick()
	n.journey = slo.JourneyPassing
	n.run(time.Minute) // 1000: passing, watched throughout
	n.journey = slo.JourneyFailing
	n.run(time.Minute) // 1001: it began well, then failed
	n.journey = slo.NoEvidence
	n.run(2 * time.Minute) // 1002 holds the last failing look; 1003 nothing
	n.journey = slo.JourneyPassing
	n.run(time.Minute) // 1004
	n.unseen = true
	n.run(20 * time.Second) // 1005: the source is away for 20 s and comes back
	n.unseen = false
	n.run(2 * time.Minute)
	got := map[int64]slo.Silence{}
	for m := int64(1000); m < 1007; m++ {
		got[m] = n.centre[m].Silence()
	}
	want := map[int64]slo.Silence{
		1000: slo.Quiet, 1001: slo.Failing, 1002: slo.Failing, 1003: slo.Blind, 1004: slo.Quiet, 1005: slo.Blind, 1006: slo.Quiet,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTallyKeepsUnreadOutcomeMinutesOpen(t *testing.T) {
	n := newNode(t, checkout(0), slo.TallyOptions{})
	n.tick()
	n.run(time.Minute)
	n.unseen, n.journey = true, slo.JourneyFailing
	n.run(3 * time.Minute) // edgecore hangs
	for m := int64(1001); m < 1004; m++ {
		if b := n.centre[m]; !b.Open || b.Total != 0 {
			t.Errorf("minute %d while unread: %+v, want open and empty", m, b)
		}
	}
	n.observe(slo.MinuteStart(1002), true) // it comes back, and its ledger held a sale
	n.unseen, n.journey = false, slo.JourneyPassing
	n.run(time.Minute)
	n.want(1001, 1004, map[int64]fact{
		1001: {0, 0, 0, slo.Measured, slo.Failing, false},
		1002: {1, 1, 0, slo.Measured, slo.NotSilent, false},
		1003: {0, 0, 0, slo.Measured, slo.Failing, false},
	})
}

func TestTallyAfterAbsence(t *testing.T) {
	for _, c := range []struct {
		o       slo.Objective
		state   slo.State
		silence slo.Silence
	}{
		{journey(), slo.Gap, slo.NotSilent},    // nobody ran it: nothing will come
		{checkout(0), slo.Measured, slo.Blind}, // the source kept the facts: there were none
	} {
		t.Run(c.o.Indicator.String(), func(t *testing.T) {
			n := newNode(t, c.o, slo.TallyOptions{})
			n.tick()
			n.observe(n.now, true)
			n.run(time.Minute)
			n.now = n.now.Add(3*time.Minute + 30*time.Second)
			n.boot()
			n.tick()
			n.run(time.Minute)
			n.want(1000, 1005, map[int64]fact{
				1000: {1, 1, 60, slo.Measured, slo.NotSilent, false},
				1001: {0, 0, 0, c.state, c.silence, false},
				1002: {0, 0, 0, c.state, c.silence, false},
				1003: {0, 0, 0, c.state, c.silence, false},
				1004: {0, 0, 30, slo.Measured, slo.Blind, false},
			})
		})
	}
}

func TestTallyAttestsALongAbsenceInBatches(t *testing.T) {
	n := newNode(t, journey(), slo.TallyOptions{Batch: 100, Absence: 5 * time.Hour})
	n.tick()
	n.run(time.Minute)
	n.now = n.now.Add(10 * time.Hour)
	n.boot()
	for range 5 {
		if e := n.tick(); len(e.Buckets) > 102 {
			t.Fatalf("one look told %d buckets", len(e.Buckets))
		}
		n.pass(10 * time.Second)
	}
	now := slo.MinuteOf(n.now)
	for m := now - 299; m < now; m++ {
		if n.centre[m].State != slo.Gap {
			t.Fatalf("minute %d of the last five hours: %+v, want a gap", m-now, n.centre[m])
		}
	}
	if b, ok := n.centre[now-310]; ok {
		t.Errorf("older than the longest attested absence, but told: %+v", b)
	}
}

func TestTallyCountsOutcomesLongAfterItForgotTheHour(t *testing.T) {
	n := newNode(t, checkout(0), slo.TallyOptions{Horizon: time.Hour})
	n.tick()
	n.observe(n.now, true)
	n.run(6 * time.Hour)
	n.boot()
	n.observe(slo.MinuteStart(1000), false)
	n.observe(slo.MinuteStart(1000).Add(-72*time.Hour), true) // before this agent's life
	n.pass(time.Second)
	n.tick()
	if b := n.centre[1000]; b.Good != 1 || b.Total != 2 {
		t.Errorf("minute 1000: %+v, want 1 good of 2", b)
	}
	if b := n.centre[1000-72*60]; b.Good != 1 || b.Total != 1 {
		t.Errorf("three days before: %+v, want 1 good of 1", b)
	}
}

func TestTallyTellsTheMinuteOfACrashAfterALongAbsence(t *testing.T) {
	n := newNode(t, checkout(0), slo.TallyOptions{Absence: time.Hour})
	n.tick()
	n.run(20 * time.Second)
	n.pass(time.Second)
	n.observe(n.now, true)
	n.tick()
	n.pass(time.Second)
	n.observe(n.now, true) // stored with its cursor, but the open minute was told a second ago
	if e := n.tick(); len(e.Buckets) != 0 || len(e.State) == 0 {
		t.Fatalf("got %+v, want state alone", e)
	}
	n.now = n.now.Add(10 * time.Hour)
	n.boot()
	n.tick()
	if b := n.centre[1000]; b.Total != 2 || b.Open {
		t.Errorf("minute of the crash: %+v, want its sales, closed", b)
	}
}

func TestTallyForgetsJourneyHoursBeyondTheHorizon(t *testing.T) {
	n := newNode(t, journey(), slo.TallyOptions{Horizon: 2 * time.Hour})
	n.tick()
	n.run(8 * time.Hour)
	if len(n.disk) > 5 { // head, this hour, and the two of the horizon; one at the edge
		t.Errorf("%d keys stored: %v", len(n.disk), slices.Sorted(maps.Keys(n.disk)))
	}
	for k, v := range n.disk {
		if len(v) > 600 {
			t.Errorf("%s holds %d bytes", k, len(v))
		}
	}
}

func TestTallyClock(t *testing.T) {
	t.Run("set forward: a new epoch, and minutes that never were", func(t *testing.T) {
		n := newNode(t, journey(), slo.TallyOptions{})
		n.tick()
		n.run(time.Minute)
		n.now = n.now.Add(5 * time.Minute)
		n.run(time.Minute)
		if e := n.centre[1003]; e.State != slo.Gap || e.Epoch != 2 {
			t.Errorf("jumped-over minute: %+v, want a gap of epoch 2", e)
		}
		if b := n.centre[1000]; b.Epoch != 1 || b.Observed != 60 {
			t.Errorf("minute before the jump: %+v", b)
		}
	})
	t.Run("set back: the minutes come again and are revised", func(t *testing.T) {
		n := newNode(t, journey(), slo.TallyOptions{})
		n.tick()
		n.observe(n.now, true)
		n.run(4 * time.Minute)
		n.now = n.now.Add(-4 * time.Minute)
		n.pass(10 * time.Second)
		n.tick()
		n.observe(n.now, false)
		n.run(5 * time.Minute)
		if b := n.centre[1000]; b.Epoch != 2 || b.Good != 1 || b.Total != 2 || b.Open {
			t.Errorf("minute seen twice: %+v, want both its runs, epoch 2, closed", b)
		}
	})
	t.Run("slewed: not set", func(t *testing.T) {
		n := newNode(t, journey(), slo.TallyOptions{})
		n.tick()
		for range 12 {
			n.pass(10 * time.Second)
			n.now = n.now.Add(5 * time.Millisecond)
			n.tick()
		}
		if b := n.centre[1001]; b.Epoch != 1 || b.Observed != 60 {
			t.Errorf("%+v, want epoch 1, watched throughout", b)
		}
	})
	t.Run("set back while the agent did not run", func(t *testing.T) {
		n := newNode(t, journey(), slo.TallyOptions{})
		n.tick()
		n.run(3 * time.Minute)
		n.now = n.now.Add(-2 * time.Minute)
		n.boot()
		n.tick()
		n.observe(n.now, true)
		n.run(2 * time.Minute)
		if b := n.centre[1001]; b.Epoch != 2 || b.Total != 1 || b.Open {
			t.Errorf("%+v, want the new run in epoch 2, closed", b)
		}
	})
}

func TestTallyErrors(t *testing.T) {
	boom := errors.New("boom")
	bad := checkout(0)
	bad.Target = 1
	if _, err := slo.NewTally(bad, slo.TallyOptions{}); !errors.Is(err, slo.ErrTarget) {
		t.Errorf("target 1: %v", err)
	}
	if _, err := slo.NewTally(checkout(0), slo.TallyOptions{Horizon: -1}); err == nil {
		t.Error("negative horizon is accepted")
	}
	load := func(v []byte, err error) slo.TallyOptions {
		return slo.TallyOptions{Load: func(string) ([]byte, error) { return v, err }}
	}
	if _, err := slo.NewTally(checkout(0), load(nil, boom)); !errors.Is(err, boom) {
		t.Errorf("unreadable head: %v", err)
	}
	for _, raw := range [][]byte{{}, {9}, {1}, {1, 2, 2, 2, 1, 0}} {
		if _, err := slo.NewTally(checkout(0), load(raw, nil)); !errors.Is(err, slo.ErrState) {
			t.Errorf("head %v: %v, want ErrState", raw, err)
		}
	}
	for _, raw := range [][]byte{{9}, {1, 60, 16, 1, 1, 1, 0}, {1, 0, 16, 1, 1, 0, 1}, {1, 0, 16, 1, 1, 1, 0, 0, 16, 1, 1, 1, 0}, {1, 0}} {
		first := true
		tally, err := slo.NewTally(checkout(0), slo.TallyOptions{Load: func(string) ([]byte, error) {
			if first {
				first = false
				return nil, nil
			}
			return raw, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		if err := tally.Observe(time.Unix(0, 0), true); !errors.Is(err, slo.ErrState) {
			t.Errorf("hour %v: %v, want ErrState", raw, err)
		}
	}
}

func TestTallyBucketsForTheNodesOwnPage(t *testing.T) {
	n := newNode(t, checkout(0), slo.TallyOptions{})
	n.tick()
	n.observe(n.now, true)
	n.run(2 * time.Minute)
	n.observe(n.now, false) // not told yet
	got, err := n.tally.Buckets(990, 1010)
	if err != nil {
		t.Fatal(err)
	}
	var text []string
	for _, b := range got {
		text = append(text, fmt.Sprintf("%d: %d/%d open %v", b.Minute, b.Good, b.Total, b.Open))
	}
	want := []string{"1000: 1/1 open false", "1001: 0/0 open false", "1002: 0/1 open true"}
	if diff := cmp.Diff(want, text); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A minute whose events are known only later stays open for so long, and is told as
// closed then.
func TestLag(t *testing.T) {
	n := newNode(t, checkout(0), slo.TallyOptions{Lag: 3 * time.Minute})
	n.journey = slo.JourneyPassing
	n.run(2 * time.Minute)
	n.observe(slo.MinuteStart(1000), true)
	n.run(90 * time.Second)
	n.want(1000, 1001, map[int64]fact{1000: {Good: 1, Total: 1, Observed: 50, State: slo.Measured, Open: true}})
	n.run(time.Minute)
	n.want(1000, 1002, map[int64]fact{
		1000: {Good: 1, Total: 1, Observed: 50, State: slo.Measured},
		1001: {Observed: 60, State: slo.Measured, Silence: slo.Quiet, Open: true},
	})
}

// Counts that cannot be true are refused and change nothing.
func TestAddRefusesWhatCannotBe(t *testing.T) {
	n := newNode(t, checkout(0), slo.TallyOptions{})
	if err := n.tally.Add(1000, slo.Counts{Good: 3, Total: slo.MaxCount}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []slo.Counts{{Good: -1, Total: 1}, {Good: 2, Total: 1}, {Total: slo.MaxCount + 1}, {Total: 1}} {
		if err := n.tally.Add(1000, c); !errors.Is(err, slo.ErrCounts) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	n.tick()
	if b := n.centre[1000]; b.Good != 3 || b.Total != slo.MaxCount {
		t.Errorf("the minute is %+v", b)
	}
}

// An agent that comes to a venue which sells already learns of what was sold before,
// and that nothing was between: nobody waits for those minutes.
func TestOutcomesFromBeforeTheAgent(t *testing.T) {
	for _, late := range []bool{false, true} { // before or after the first look
		n := newNode(t, checkout(0), slo.TallyOptions{})
		if late {
			n.tick()
		}
		for _, ago := range []int{300, 120} {
			n.observe(n.now.Add(-time.Duration(ago)*time.Minute), true)
		}
		n.run(time.Minute)
		n.run(time.Minute)
		var told int64
		for m := slo.MinuteOf(n.now) - 302; m < slo.MinuteOf(n.now); m++ {
			b, ok := n.centre[m]
			if !ok || b.Open || b.State != slo.Measured {
				t.Errorf("late %v: minute %d is %+v", late, m, b)
			}
			told += b.Total
		}
		if told != 2 {
			t.Errorf("late %v: %d outcomes are told, want 2", late, told)
		}
	}
}

// After a long absence minutes are closed a day at a look. What was counted into one
// of them meanwhile stays, and what is kept of them goes once they are closed.
func TestCountsIntoALongAbsenceStay(t *testing.T) {
	n := newNode(t, journey(), slo.TallyOptions{})
	n.journey = slo.JourneyPassing
	n.run(time.Minute)
	before := slo.MinuteOf(n.now)
	n.pass(7 * 24 * time.Hour)
	n.boot()
	if oldest := n.tally.Oldest(); oldest > before {
		t.Errorf("after a restart minutes from %d can be counted into, want %d", oldest, before)
	}
	want := map[int64]int64{}
	for m := before + 10; m < slo.MinuteOf(n.now); m += 30 {
		want[m] = 3
		if err := n.tally.Add(m, slo.Counts{Good: 2, Total: 3}); err != nil {
			t.Fatal(err)
		}
	}
	n.run(5 * time.Minute)
	n.boot()
	n.run(time.Minute)
	got := map[int64]int64{}
	for m, b := range n.centre {
		if b.Total > 0 {
			got[m] = b.Total
		}
		if b.Open && m < slo.MinuteOf(n.now) {
			t.Errorf("minute %d is open still: %+v", m, b)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events by minute (-want +got):\n%s", diff)
	}
	if len(n.disk) > 80 { // a leap holds those of half a horizon for a while
		t.Errorf("%d keys are kept for a horizon of 48 hours", len(n.disk))
	}
	if oldest := n.tally.Oldest(); oldest < slo.MinuteOf(n.now.Add(-50*time.Hour)) {
		t.Errorf("minutes from %d can be counted into, though they are closed and forgotten", oldest)
	}
}
