package slo_test

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"ghostlight/slo"
)

// A clock that is set beyond the horizon and back makes the tally of a journey forget
// what it told of minutes that come again. What it tells of them then is news still.
func TestRevisionsOutliveAFarJump(t *testing.T) {
	n := newNode(t, journey(), slo.TallyOptions{})
	n.run(2 * time.Minute)
	for range 20 { // the disk is full for a while, which uses revisions up
		n.pass(10 * time.Second)
		n.look()
		n.tally.Rollback()
	}
	n.now = n.now.Add(60 * time.Hour)
	n.run(2 * time.Minute)
	n.now = n.now.Add(-60 * time.Hour)
	n.boot()
	n.tick()
	at := n.now.Add(time.Minute)
	n.observe(at, true)
	n.run(5 * time.Minute)
	if b := n.centre[slo.MinuteOf(at)]; b.Total != 1 || b.Open {
		t.Errorf("the run's minute is %+v at the centre, want 1 of 1, closed", b)
	}
}

// A clock that leaps far ahead, while the agent runs or while it does not, and is set
// back within the horizon takes no count with it. Once it is believed, there or back,
// what was held goes.
func TestCountsOutliveAFarJump(t *testing.T) {
	for _, boots := range []bool{false, true} {
		for _, back := range []bool{false, true} {
			t.Run(fmt.Sprintf("boots %v, back %v", boots, back), func(t *testing.T) { leap(t, boots, back) })
		}
	}
}

func leap(t *testing.T, boots, back bool) {
	n := newNode(t, journey(), slo.TallyOptions{})
	hourly := func(hours int) {
		for range hours {
			n.pass(time.Hour)
			n.tick()
		}
	}
	set := func(d time.Duration) {
		n.now = n.now.Add(d)
		if boots {
			n.boot()
		}
	}
	hourly(60)
	at := n.now.Add(10 * time.Second)
	n.observe(at, true)
	n.run(20 * time.Second)
	set(60 * time.Hour)
	n.run(time.Minute)
	set(70 * time.Hour) // and once more, before the first leap is believed
	n.run(time.Minute)
	if back {
		set(-130*time.Hour - 2*time.Minute)
		n.run(10 * time.Second)
		n.observe(at, true)
		n.run(3 * time.Minute)
		if b := n.centre[slo.MinuteOf(at)]; b.Total != 2 || b.Open {
			t.Errorf("the minute that came twice is %+v at the centre, want 2 of 2, closed", b)
		}
	}
	hourly(400)
	if len(n.disk) > 55 {
		t.Errorf("%d keys are kept for a horizon of 48 hours", len(n.disk))
	}
}

// The clock runs hours ahead for a while, then leaps far ahead, and is set right both
// times: what the first lead had counted ahead comes again, and is counted on.
func TestCountsAheadOutliveAFarJump(t *testing.T) {
	n := newNode(t, journey(), slo.TallyOptions{})
	n.run(time.Minute)
	at := n.now.Add(3 * time.Hour)
	n.now = at
	n.observe(at, true)
	n.run(20 * time.Second)
	n.now = at.Add(-170 * time.Minute)
	n.run(time.Minute)
	for _, d := range []time.Duration{60 * time.Hour, -60 * time.Hour} {
		n.now = n.now.Add(d)
		n.run(2 * time.Minute)
	}
	n.now = at
	n.observe(at, true)
	n.run(3 * time.Minute)
	if b := n.centre[slo.MinuteOf(at)]; b.Total != 2 || b.Open {
		t.Errorf("the minute that came twice is %+v at the centre, want 2 of 2, closed", b)
	}
}

// What a tally of before stored of where it is goes on: its next minute is closed first.
func TestHeadOfVersionOne(t *testing.T) {
	n := newNode(t, journey(), slo.TallyOptions{})
	n.run(time.Minute)
	raw := []byte{1}
	for _, v := range []int64{998, 999, slo.MinuteStart(999).UnixMilli()} {
		raw = binary.AppendVarint(raw, v)
	}
	for key := range n.disk {
		if strings.HasSuffix(key, "/head") {
			n.disk[key] = binary.AppendUvarint(raw, 7)
		}
	}
	n.boot()
	n.tick()
	n.run(2 * time.Minute)
	if b := n.centre[998]; b.Epoch != 7 || b.Open || b.State != slo.Gap {
		t.Errorf("the minute that was open is %+v, want a gap in epoch 7", b)
	}
}
