package slo_test

import (
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
