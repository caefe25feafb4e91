package scrape

import (
	"fmt"
	"testing"
	"time"
)

// moments are the schedules of 20 targets of a node.
func moments(t *testing.T, seed string, interval time.Duration, now time.Time) (out []Schedule) {
	t.Helper()
	for i := range 20 {
		cfg := Target{Job: "a", URL: fmt.Sprintf("http://x:%d/m", 1000+i), Interval: interval}
		tgt, err := newTarget(cfg, Options{Sink: &memory{}, Seed: seed, Log: nolog})
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, tgt.schedule(now))
	}
	return out
}

func TestANodesTargetsAreReadTogether(t *testing.T) {
	const interval = 15 * time.Second
	now := time.Unix(1_800_000_000, 123)
	node, after := NewSchedule("a", interval, now), After("a", interval, now)
	seen := map[time.Time]bool{}
	for _, s := range moments(t, "a", interval, now) {
		if w := s.Wait(now); w < 0 || w >= interval {
			t.Errorf("the first one is %v away", w)
		}
		if late := (s.next.Sub(node.next) + interval) % interval; late >= spread {
			t.Errorf("a target is read %v after the node's moment", late)
		}
		if wait := (after.next.Sub(s.next) + interval) % interval; wait > spread {
			t.Errorf("a target is read %v before what comes after it", wait)
		}
		seen[s.next] = true
	}
	if len(seen) < 15 {
		t.Errorf("20 targets have only %d moments", len(seen))
	}
}

func TestASchedule(t *testing.T) {
	const interval = 15 * time.Second
	now := time.Unix(1_800_000_000, 123)
	s := NewSchedule("a", interval, now)
	first := s.next
	later := NewSchedule("a", interval, now.Add(7*time.Second))
	if moved := later.next.Sub(first) % interval; moved != 0 {
		t.Errorf("asked later it has moved by %v", moved)
	}
	if short := NewSchedule("a", 5*time.Second, now); first.Sub(short.next)%(5*time.Second) != 0 {
		t.Errorf("every 5 s comes %v beside every 15 s", first.Sub(short.next))
	}
	if other := NewSchedule("b", interval, now); other.next.Equal(first) {
		t.Error("two nodes share their moment")
	}
	for late, want := range map[time.Duration]time.Time{
		0: first, 20 * time.Millisecond: first, -20 * time.Millisecond: first, 21 * time.Millisecond: first.Add(21 * time.Millisecond),
	} {
		if got := s.Stamp(first.Add(late)); got != want.UnixMilli() {
			t.Errorf("%v late it is stamped %v after its moment", late, got-first.UnixMilli())
		}
	}
	if s.Advance(first.Add(interval)); !s.next.Equal(first.Add(2 * interval)) {
		t.Errorf("after one that was missed comes %v, want %v", s.next.Sub(first), 2*interval)
	}
}
