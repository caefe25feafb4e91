package forward_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/forward"
	"ghostlight/buffer/queue"
	"ghostlight/buffer/wire"
)

func TestHalfOpenLinkIsNoticed(t *testing.T) {
	both(t, func(t *testing.T, b *bench) {
		b.start()
		defer func() { b.stop() }()
		time.Sleep(11 * time.Second)
		b.hang(true)
		b.add(buffer.Revenue, "r")
		time.Sleep(21 * time.Second)
		if s := b.fwd.Status(); s.Up || !strings.Contains(s.LastError, "no progress") {
			t.Errorf("status 21 s after the link went silent: %+v", s)
		}
		b.hang(false)
		time.Sleep(26 * time.Second) // a try under way may have to give up first
		if !b.fwd.Status().Up || !b.queue.drained() {
			t.Errorf("not recovered: %+v %+v", b.fwd.Status(), b.queue.Stats())
		}
	})
}

func TestAnswersDecideWhatBecomesOfABlock(t *testing.T) {
	for _, tc := range []struct {
		name   string
		status int
		after  time.Duration
		want   wire.LaneStats
		tries  int // within ten seconds, at least
	}{
		{"bad block", http.StatusBadRequest, 0, wire.LaneStats{Produced: 2, Lost: map[string]int64{"refused": 2}}, 1},
		{"clone", http.StatusConflict, 0, wire.LaneStats{Produced: 2, Lost: map[string]int64{"conflict": 2}}, 1},
		{"token", http.StatusUnauthorized, 0, wire.LaneStats{Produced: 2, Waiting: 2, Blocks: 1}, 2},
		{"wrong address", http.StatusNotFound, 0, wire.LaneStats{Produced: 2, Waiting: 2, Blocks: 1}, 2},
		{"server error", http.StatusInternalServerError, 0, wire.LaneStats{Produced: 2, Waiting: 2, Blocks: 1}, 3},
		{"journal full", http.StatusServiceUnavailable, 0, wire.LaneStats{Produced: 2, Waiting: 2, Blocks: 1}, 3},
		{"pause", http.StatusTooManyRequests, 30 * time.Second, wire.LaneStats{Produced: 2, Waiting: 2, Blocks: 1}, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			both(t, func(t *testing.T, b *bench) {
				var count atomic.Int64
				b.fleet.decide(func(delta.Stamp) (int, time.Duration) { count.Add(1); return tc.status, tc.after })
				b.start()
				defer func() { b.stop() }()
				b.add(buffer.Revenue, "r")
				time.Sleep(10 * time.Second)
				if d := cmp.Diff(tc.want, b.queue.Stats()[buffer.Revenue]); d != "" {
					t.Errorf("stats (-want +got):\n%s", d)
				}
				if tries := int(count.Load()); tries < tc.tries || tc.tries == 1 && tries > 1 || tries > 30 {
					t.Errorf("%d tries in ten seconds, want about %d", tries, tc.tries)
				}
				if !b.fwd.Status().Up {
					t.Error("the fleet answers and yet is taken for down")
				}
				b.fleet.decide(nil)
				b.add(buffer.Health, "h")
				time.Sleep(30 * time.Second)
				if !b.queue.drained() {
					t.Errorf("not drained after the fleet recovered: %+v", b.queue.Stats())
				}
			})
		})
	}
}

func TestOneBadBlockDoesNotHoldUpOthers(t *testing.T) {
	both(t, func(t *testing.T, b *bench) {
		b.fleet.decide(func(at delta.Stamp) (int, time.Duration) {
			if at.Lane == buffer.Revenue && at.Seq > 5 {
				return http.StatusInternalServerError, 0
			}
			return 0, 0
		})
		for i := range 15 {
			b.add(buffer.Revenue, fmt.Sprintf("r%d", i))
			b.add(buffer.Detail, fmt.Sprintf("d%d", i))
		}
		b.start()
		defer func() { b.stop() }()
		time.Sleep(time.Minute)
		if got := len(b.fleet.names()); got != 20 {
			t.Errorf("%d blocks arrived past ten that cannot, want 20", got)
		}
	})
}

func TestRequestsSayEveryFiveSecondsThatTheNodeLivesAndGoodbye(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := onlyPosts(t)
		b.start()
		time.Sleep(24 * time.Second)
		status := b.fwd.Status()
		b.stop()
		reports := b.fleet.told()
		if n := len(reports); n != 6 {
			t.Errorf("%d heartbeats in 24 s and at the end, want 5 and one", n)
		}
		for i, h := range reports {
			if h.Goodbye != (i == len(reports)-1) || h.Session != b.queue.session || h.SentMS == 0 {
				t.Errorf("heartbeat %d: %+v", i, h)
			}
		}
		if !status.ClockKnown || status.ClockOffset.Round(time.Second) != ahead {
			t.Errorf("clock offset %s, known %v; want %s", status.ClockOffset, status.ClockKnown, ahead)
		}
		if status.Mode != forward.ModePost || status.Sent[forward.SentReports].Count != 5 {
			t.Errorf("status %+v", status)
		}
	})
}

// Not even by the format that needs nothing else: it would wait for ever.
func TestABlockThatCannotBeCodedIsDeclaredLost(t *testing.T) {
	both(t, func(t *testing.T, b *bench) {
		twice := metric("twice")
		twice.Series = append(twice.Series, delta.Series{Labels: []delta.Label{{Name: "", Value: "no name"}}, Samples: twice.Series[0].Samples})
		b.queue.add(queue.Entry{Lane: buffer.Detail, Batch: twice})
		b.add(buffer.Detail, "good")
		b.start()
		defer func() { b.stop() }()
		time.Sleep(time.Minute)
		want := wire.LaneStats{Produced: 6, Lost: map[string]int64{forward.LostRefused: 4}}
		if d := cmp.Diff(want, b.queue.Stats()[buffer.Detail]); d != "" {
			t.Errorf("stats (-want +got):\n%s", d)
		}
	})
}
