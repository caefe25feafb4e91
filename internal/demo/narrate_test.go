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
	clock := time.Date(2026, 11, 22, 20, 0, 0, 0, time.Local)
	n.now = func() time.Time { return clock }
	n.broke = func(string) time.Time { return clock.Add(-13 * time.Second) }
	since := clock.Add(20 * time.Second)
	node := fleetNode{Venue: "soho", Node: "soho-1", Live: true, Journeys: 1, Passing: 1, Samples: map[string]int64{"detail": 100}, Produced: map[string]int64{"detail": 100}}
	look := func(change func()) {
		clock = clock.Add(10 * time.Second)
		n.count()
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
	look(func() { sold = map[string]int64{"soho": 12} }) // in the dark, but nobody knows yet
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
		{Node: "soho-1", Seq: 4, Action: "cache_repair", Reason: "3 cache objects are corrupt.", Result: "failed"},
		{Node: "soho-1", Seq: 3, Action: "cache_repair", Result: "started"},
		{Node: "soho-1", Seq: 2, Action: "unit_restart", Reason: "journey failed at step pay", Result: "succeeded"},
		{Node: "soho-1", Seq: 1, Action: "unit_restart", Result: "started"},
	}
	n.audit("soho", audit[2:])
	n.audit("soho", audit)
	n.audit("soho", audit)

	want := []string{
		"soho cannot sell: the test purchase of its agent fails.",
		"soho sells again: the test purchase works, 13 s after the fault.",
		"soho is dark: the centre has heard nothing of it since " + since.Format(time.TimeOnly) + " and does not guess how it is.",
		"soho is heard again after 50 s in the dark; what it kept meanwhile is on its way.",
		"All that soho kept has arrived, without a gap: it sold about 15 times while nobody could see it.",
		"The centre does not answer. The venues go on and keep what they measure.",
		"The centre answers again, after 0 s.",
		"soho healed itself: its agent restarted the checkout, because journey failed at step pay.",
		"soho tried to heal itself: its agent fetched the broken objects of the cache anew, because 3 cache objects are corrupt; that did not help.",
	}
	if d := cmp.Diff(want, said); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestUnitEventsAreTold(t *testing.T) {
	var out strings.Builder
	d := &demo{opts: Options{Tell: &out}, layout: newLayout("", DefaultBasePort, 1)}
	d.unitEvent(Event{Unit: "fleet", State: Running})
	d.narrating.Store(true)
	for _, e := range []Event{
		{Unit: "fleet", State: Failed, How: "signal: killed"},
		{Unit: "fleet", State: Running, Again: true},
		{Unit: "edgecore-soho", State: Running, Again: true, Asked: true},
	} {
		d.unitEvent(e)
	}
	d.expectEnd("agent-soho") // the scenario said so already
	for range 2 {
		d.unitEvent(Event{Unit: "agent-soho", State: Failed, How: "signal: killed"})
	}
	var got []string
	for line := range strings.Lines(out.String()) {
		_, sentence, _ := strings.Cut(strings.TrimSpace(line), "  ")
		got = append(got, sentence)
	}
	want := []string{
		"The centre (fleet) ended (signal: killed).",
		"The centre (fleet) was started again by the demo.",
		"soho's checkout (edgecore) was started again, because the venue's agent asked for it.",
		"soho's agent ended (signal: killed).",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
