package forward

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestAWindowBeginsWithOneBlock(t *testing.T) {
	var w window
	if n := w.room(); n != 1 {
		t.Fatalf("room for %d blocks at the start", n)
	}
	f := w.leave(10_000, true, time.Unix(0, 0))
	if n := w.room(); n != 0 {
		t.Errorf("room for %d blocks beside the first", n)
	}
	w.gone(f)
	if n := w.room(); n != 1 {
		t.Errorf("room for %d blocks after the first was given back", n)
	}
}

// A lone fresh block takes a round trip: that says nothing of the uplink.
func TestFreshBlocksDoNotSlowTheWindowDown(t *testing.T) {
	var w window
	now := time.Unix(0, 0)
	w.acknowledged([]flight{w.leave(100_000, true, now)}, now.Add(time.Second))
	before := w.rate
	for range 20 {
		w.acknowledged([]flight{w.leave(100, false, now)}, now.Add(time.Second))
	}
	if w.rate != before {
		t.Errorf("rate %.0f after fresh blocks, %.0f before", w.rate, before)
	}
	w.acknowledged([]flight{w.leave(400_000, false, now)}, now.Add(time.Second))
	if w.rate <= before {
		t.Error("a fresh block that shows a better uplink changes nothing")
	}
}

// An uplink of a rate and a delay, on which backlog never runs out: what waits in
// front of it is never more than half a second or one block, and it never idles
// for long.
func TestTheWindowFitsAnyUplink(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := float64(rapid.IntRange(2<<10, 10<<20).Draw(t, "rate"))
		trip := time.Duration(rapid.IntRange(1, 800).Draw(t, "trip")) * time.Millisecond
		size := rapid.IntRange(500, 16<<10).Draw(t, "size")
		var w window
		type sent struct {
			flight
			lands time.Time
		}
		var way []sent
		now, free := time.Unix(0, 0), time.Unix(0, 0) // free: when the uplink is through with all
		busy := time.Duration(0)
		end := now.Add(2 * time.Minute)
		for warm := now.Add(time.Minute); now.Before(end); {
			for w.room() > 0 && len(way) < maxUnacked {
				if now.After(warm) {
					if wait := free.Sub(now); wait > backlogTime+backlogTime/5 && len(way) > 0 {
						t.Fatalf("a block waits for %s behind %d others", wait, len(way))
					}
				}
				takes := time.Duration(float64(size) / rate * float64(time.Second))
				free = later(free, now).Add(takes)
				if now.After(warm) {
					busy += takes
				}
				way = append(way, sent{w.leave(size, true, now), free.Add(trip)})
			}
			now = way[0].lands
			w.acknowledged([]flight{way[0].flight}, now)
			way = way[1:]
		}
		block := time.Duration(float64(size) / rate * float64(time.Second))
		// One block at a time is allowed to be all there is.
		if share := busy.Seconds() / 60; share < 0.6 && trip < block/2 {
			t.Fatalf("the uplink is used to %.2f: a block takes %s, the trip %s", share, block, trip)
		}
	})
}

func TestTheClockBelievesTheShortestTrip(t *testing.T) {
	var c clock
	if _, known := c.offset(); known {
		t.Error("known before any reading")
	}
	node := time.Unix(1000, 0)
	read := func(trip, there time.Duration) {
		// The fleet is an hour ahead.
		c.note(node, node.Add(trip), node.Add(time.Hour+there).UnixMilli())
	}
	read(2*time.Second, 1900*time.Millisecond)
	read(20*time.Millisecond, 10*time.Millisecond)
	read(4*time.Second, 0)
	if got, _ := c.offset(); got != time.Hour {
		t.Errorf("offset %s, want 1h", got)
	}
	for range clockReadings {
		read(400*time.Millisecond, 300*time.Millisecond)
	}
	if got, _ := c.offset(); got != time.Hour+100*time.Millisecond {
		t.Errorf("offset %s, want that of the last readings", got)
	}
}
