package demo

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What the narrator says follows from what the fleet says, once for each change.
func TestNarratorTellsChangesOnce(t *testing.T) {
	var said []string
	sold := map[string]int64{"soho": 10}
	n := &narrator{
		tell:  func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) },
		sales: func() map[string]int64 { return sold },
		nodes: map[string]*nodeStory{}, heals: map[string]int64{},
	}
	since := time.Now().Add(-60 * time.Second)
	node := fleetNode{Venue: "soho", Node: "soho-1", Live: true, Journeys: 1, Passing: 1, Samples: map[string]int64{"detail": 100}, Produced: map[string]int64{"detail": 100}}
	look := func(change func()) {
		change()
		n.node(node)
		if n.node(node) { // nothing changed: nothing is said
			t.Error("healed twice by one heal")
		}
	}
	n.fleetAnswered(true)
	look(func() {})
	look(func() { node.Passing = 0 })
	look(func() { node.Passing = 1 })
	look(func() { node.Live, node.DarkSinceMS = false, since.UnixMilli() })
	look(func() { sold = map[string]int64{"soho": 25} })
	look(func() {
		node.Live, node.DarkSinceMS, node.Produced = true, 0, map[string]int64{"detail": 150, "revenue": 30}
	})
	look(func() { node.Samples = map[string]int64{"detail": 150} })
	look(func() {
		node.Samples = map[string]int64{"detail": 148, "revenue": 30}
		node.Lost = map[string]int64{"detail": 2}
	})
	if node.Heals++; !n.node(node) {
		t.Error("a heal went unnoticed")
	}
	n.fleetAnswered(false)
	n.fleetAnswered(false)
	n.fleetAnswered(true)
	audit := []heal{
		{Node: "soho-1", Seq: 4, Action: "cache repair", Reason: "3 objects are corrupt.", Result: "failed"},
		{Node: "soho-1", Seq: 3, Action: "cache repair", Result: "started"},
		{Node: "soho-1", Seq: 2, Action: "restart edgecore-soho", Reason: "journey failed at step pay", Result: "succeeded"},
		{Node: "soho-1", Seq: 1, Action: "restart edgecore-soho", Result: "started"},
	}
	n.audit("soho", audit[2:])
	n.audit("soho", audit)
	n.audit("soho", audit)

	want := []string{
		"soho's checkout journey fails.",
		"soho's checkout journey passes again.",
		"soho is dark since " + since.Format(time.TimeOnly) + ".",
		"soho came back after 60 s in the dark; its backlog is landing.",
		"soho's backlog has landed, without a gap up to the moment it came back; it sold 15 times while it was dark.",
		"The fleet does not answer.",
		"The fleet answers again.",
		"soho's agent healed it: restart edgecore-soho worked (journey failed at step pay).",
		"soho's agent tried cache repair without success (3 objects are corrupt).",
	}
	if d := cmp.Diff(want, said); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestUnitEventsAreTold(t *testing.T) {
	var out strings.Builder
	d := &demo{opts: Options{Tell: &out}}
	d.unitEvent(Event{Unit: "fleet", State: Running})
	d.narrating.Store(true)
	for _, e := range []Event{
		{Unit: "fleet", State: Failed, How: "signal: killed"},
		{Unit: "fleet", State: Running, Again: true},
		{Unit: "edgecore-soho", State: Running, Again: true, Asked: true},
	} {
		d.unitEvent(e)
	}
	var got []string
	for line := range strings.Lines(out.String()) {
		_, sentence, _ := strings.Cut(strings.TrimSpace(line), "  ")
		got = append(got, sentence)
	}
	want := []string{"fleet ended (signal: killed).", "fleet runs again by itself.", "edgecore-soho runs again: its agent asked for a restart."}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
