package forward_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
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

// inStream runs a test over a stream in virtual time.
func inStream(t *testing.T, test func(t *testing.T, b *bench)) {
	synctest.Test(t, func(t *testing.T) { test(t, newBench(t)) })
}

func TestWhatWaitsTogetherIsWrittenTogether(t *testing.T) {
	inStream(t, func(t *testing.T, b *bench) {
		b.start()
		defer func() { b.stop() }()
		time.Sleep(time.Second)
		before := b.line.wrote()
		b.add(buffer.Detail, "detail")
		time.Sleep(10 * time.Millisecond)
		b.queue.add(queue.Entry{Lane: buffer.Health, Batch: metric("health")}, queue.Entry{Lane: buffer.Revenue, Batch: metric("revenue")})
		time.Sleep(time.Second)
		if d := cmp.Diff([]string{"revenue", "health", "detail"}, b.fleet.names()); d != "" {
			t.Errorf("order (-want +got):\n%s", d)
		}
		if n := b.line.wrote() - before; n != 1 {
			t.Errorf("three lanes of a scrape took %d writes", n)
		}
		if !b.queue.drained() {
			t.Errorf("not acknowledged: %+v", b.queue.Stats())
		}
	})
}

// What a node reads at the same interval comes within a moment, and revenue waits no
// longer for it than it waits for anything.
func TestOneWriteForAllThatANodeReadsAtIntervals(t *testing.T) {
	inStream(t, func(t *testing.T, b *bench) {
		b.start()
		defer func() { b.stop() }()
		time.Sleep(time.Second)
		before, began := b.line.wrote(), time.Now()
		b.add(buffer.Detail, "scrape")
		time.Sleep(150 * time.Millisecond)
		b.add(buffer.Health, "score")
		time.Sleep(150 * time.Millisecond)
		b.add(buffer.Detail, "host")
		time.Sleep(time.Second)
		if n := b.line.wrote() - before; n != 1 {
			t.Errorf("a scrape and what came with it took %d writes", n)
		}
		if at, ok := b.fleet.at("scrape"); !ok || at.Sub(began) > 500*time.Millisecond {
			t.Errorf("the scrape arrived after %s", at.Sub(began))
		}
		began = time.Now()
		b.add(buffer.Detail, "next scrape")
		time.Sleep(300 * time.Millisecond)
		b.add(buffer.Revenue, "revenue")
		time.Sleep(time.Second)
		for _, name := range []string{"revenue", "next scrape"} {
			if at, ok := b.fleet.at(name); !ok || at.Sub(began) > 500*time.Millisecond {
				t.Errorf("%s arrived after %s", name, at.Sub(began))
			}
		}
		if n := b.line.wrote() - before; n != 2 {
			t.Errorf("revenue and what waited beside it took %d writes", n-1)
		}
	})
}

// Health, traces and logs go along with whatever goes first; where nothing does, they
// go.
func TestWhatNobodyWaitsForWaitsForCompany(t *testing.T) {
	inStream(t, func(t *testing.T, b *bench) {
		b.start()
		defer func() { b.stop() }()
		time.Sleep(time.Second)
		before, began := b.line.wrote(), time.Now()
		b.add(buffer.Traces, "trace")
		time.Sleep(3 * time.Second)
		b.add(buffer.Logs, "log")
		time.Sleep(time.Second)
		if _, ok := b.fleet.at("trace"); ok {
			t.Error("a trace went by itself at once")
		}
		b.add(buffer.Revenue, "revenue")
		time.Sleep(time.Second)
		for _, name := range []string{"trace", "log", "revenue"} {
			if at, ok := b.fleet.at(name); !ok || at.Sub(began) > 4500*time.Millisecond {
				t.Errorf("%s arrived after %s", name, at.Sub(began))
			}
		}
		if n := b.line.wrote() - before; n != 1 {
			t.Errorf("revenue and what waited for it took %d writes", n)
		}
		began = time.Now()
		b.add(buffer.Traces, "lonely trace")
		time.Sleep(15 * time.Second)
		if at, ok := b.fleet.at("lonely trace"); !ok || at.Sub(began) < 10*time.Second || at.Sub(began) > 13*time.Second {
			t.Errorf("a lonely trace arrived after %s", at.Sub(began))
		}
		began = time.Now()
		b.add(buffer.Traces, "lucky trace")
		b.add(buffer.Health, "score")
		time.Sleep(6 * time.Second)
		for _, name := range []string{"score", "lucky trace"} {
			if at, ok := b.fleet.at(name); !ok || at.Sub(began) < 4*time.Second {
				t.Errorf("%s arrived after %s", name, at.Sub(began))
			}
		}
	})
}

func TestMergedBlocksAreAcknowledgedWhole(t *testing.T) {
	both(t, func(t *testing.T, b *bench) {
		b.queue.addOld(buffer.Detail, 40, metric("merged"))
		b.queue.addOld(buffer.Detail, 1, metric("single"))
		b.start()
		defer func() { b.stop() }()
		time.Sleep(time.Minute)
		if !b.queue.drained() || len(b.fleet.names()) != 2 {
			t.Errorf("fleet has %v, the buffer %+v", b.fleet.names(), b.queue.Stats())
		}
	})
}

// On an uplink of 256 kb/s a backlog drains while scrapes go on.
func TestFreshDataOvertakesTheBacklog(t *testing.T) {
	const rate = 256_000 / 8
	inStream(t, func(t *testing.T, b *bench) {
		b.line.rate, b.line.latency = rate, 40*time.Millisecond
		for i := range 100 {
			b.queue.addOld(buffer.Detail, 10, noise(fmt.Sprintf("old_%d", i), 12<<10))
		}
		began := time.Now()
		b.start()
		defer func() { b.stop() }()
		committed := map[string]time.Time{}
		for i := range 12 {
			time.Sleep(1700 * time.Millisecond)
			name := fmt.Sprintf("fresh_%d", i)
			committed[name] = time.Now()
			b.queue.add(queue.Entry{Lane: buffer.Detail, Batch: noise(name, 1200)})
		}
		for !b.queue.drained() {
			time.Sleep(100 * time.Millisecond)
			if time.Since(began) > 2*time.Minute {
				t.Fatalf("not drained: %+v", b.queue.Stats())
			}
		}
		for name, at := range committed {
			if arrived, ok := b.fleet.at(name); !ok || arrived.Sub(at) > 1200*time.Millisecond {
				t.Errorf("%s arrived after %s", name, arrived.Sub(at))
			}
		}
		// 100 blocks of 12 KiB and what is fresh, at four fifths of the rate.
		if took, most := time.Since(began), time.Duration(1.25*(100*12<<10+12*1200)/rate*float64(time.Second)); took > most {
			t.Errorf("the backlog took %s, want at most %s", took, most)
		}
	})
}

// Many small blocks of backlog are on their way at once, but no more than half a
// second of what the uplink carries.
func TestBacklogOnItsWayIsBounded(t *testing.T) {
	const rate = 20 << 10
	inStream(t, func(t *testing.T, b *bench) {
		b.line.rate = rate
		for i := range 400 {
			b.queue.addOld(buffer.Detail, 1, noise(fmt.Sprintf("old_%d", i), 1<<10))
		}
		b.start()
		defer func() { b.stop() }()
		time.Sleep(5 * time.Second)
		most, least := 0, 400
		for range 50 {
			time.Sleep(101 * time.Millisecond)
			most, least = max(most, b.queue.out()), min(least, b.queue.out())
		}
		// Half a second and the round trip of 40 ms, of blocks of about 1.1 KiB.
		if most > rate*6/10/1024 || least < 3 {
			t.Errorf("%d to %d blocks were on their way at once", least, most)
		}
		if got := b.fwd.Status().Rate; got < rate*0.8 || got > rate*1.1 {
			t.Errorf("measured %.0f bytes a second of %d", got, rate)
		}
	})
}

func TestANodeSaysThatItLivesOnlyWhenItSaysNothingElse(t *testing.T) {
	inStream(t, func(t *testing.T, b *bench) {
		b.fleet.silence = 30 * time.Second
		b.start()
		time.Sleep(2*time.Minute + time.Second)
		quiet := b.fleet.tally()
		if quiet.beats != 3 || quiet.signs != 4 {
			t.Errorf("%d beats and %d signs in two quiet minutes, want one every 16 s, every other one answered", quiet.beats, quiet.signs)
		}
		for range 12 { // closer together than beats are
			b.add(buffer.Detail, "d")
			time.Sleep(10 * time.Second)
		}
		busy := b.fleet.tally()
		if n := busy.beats - quiet.beats; n < 1 || n > 3 || busy.signs != quiet.signs {
			t.Errorf("%d beats and %d signs in two busy minutes, want one or two beats that read the clock", n, busy.signs-quiet.signs)
		}
		s := b.fwd.Status()
		b.stop()
		if s.ClockOffset != ahead || !s.ClockKnown {
			t.Errorf("clock offset %s, want %s", s.ClockOffset, ahead)
		}
		if s.Mode != forward.ModeStream || s.Streams != 1 || s.Sent[forward.SentBeats].Count == 0 || s.Sent[forward.SentBlocks].Count != 12 {
			t.Errorf("status %+v", s)
		}
		told := b.fleet.told()
		if n := len(told); n != 2 || told[0].Goodbye || !told[1].Goodbye {
			t.Errorf("reports %+v, want one at the beginning and the farewell", told)
		}
	})
}

func TestLossesAreReportedAtOnceAndAllElseNowAndThen(t *testing.T) {
	inStream(t, func(t *testing.T, b *bench) {
		b.start()
		defer func() { b.stop() }()
		time.Sleep(time.Minute)
		if n := len(b.fleet.told()); n != 1 {
			t.Fatalf("%d reports in the first minute", n)
		}
		b.fleet.decide(func(delta.Stamp) (int, time.Duration) { return http.StatusUnprocessableEntity, 0 })
		b.add(buffer.Detail, "d")
		time.Sleep(6 * time.Second)
		told := b.fleet.told()
		if n := len(told); n != 2 || told[1].Lanes[buffer.Detail].LostTotal() != 2 {
			t.Fatalf("after a loss: %+v", told)
		}
		time.Sleep(10*time.Minute + time.Second)
		if n := len(b.fleet.told()); n != 4 {
			t.Errorf("%d reports after ten more minutes, want 4", n)
		}
	})
}

// The end of a backlog of revenue is said once: what is sold afterwards is no news.
func TestTheEndOfARevenueBacklogIsReported(t *testing.T) {
	inStream(t, func(t *testing.T, b *bench) {
		b.add(buffer.Revenue, "while dark")
		b.start()
		defer func() { b.stop() }()
		for range 60 { // as often as it is looked, and more
			b.add(buffer.Revenue, "fresh")
			time.Sleep(time.Second)
		}
		told := b.fleet.told()
		if len(told) != 2 || told[0].Lanes[buffer.Revenue].Waiting == 0 || told[1].Lanes[buffer.Revenue].Waiting != 0 {
			t.Errorf("told %+v", told)
		}
	})
}

func TestAfterAResyncEverythingComesAgainFromAKeyFrame(t *testing.T) {
	inStream(t, func(t *testing.T, b *bench) {
		b.start()
		defer func() { b.stop() }()
		b.add(buffer.Revenue, "first")
		time.Sleep(time.Second)
		b.fleet.set(func(f *fleet) { f.lostState = true })
		for i := range 5 {
			b.add(buffer.Revenue, fmt.Sprintf("r%d", i))
		}
		time.Sleep(2 * time.Second)
		if !b.queue.drained() || len(b.fleet.names()) != 6 {
			t.Errorf("fleet has %v", b.fleet.names())
		}
		if b.fleet.tally().keys != 2 || b.fleet.tally().streams != 1 {
			t.Errorf("%d key frames on %d streams, want 2 on one", b.fleet.tally().keys, b.fleet.tally().streams)
		}
	})
}

func TestARefusalPausesItsLaneOrAll(t *testing.T) {
	for status, paused := range map[int]bool{http.StatusTooManyRequests: false, http.StatusServiceUnavailable: true} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			inStream(t, func(t *testing.T, b *bench) {
				b.fleet.decide(func(at delta.Stamp) (int, time.Duration) {
					if at.Lane == buffer.Detail {
						return status, 20 * time.Second
					}
					return 0, 0
				})
				b.start()
				defer func() { b.stop() }()
				b.add(buffer.Detail, "d")
				time.Sleep(time.Second)
				b.add(buffer.Revenue, "r")
				b.fleet.decide(nil)
				time.Sleep(10 * time.Second)
				if _, sent := b.fleet.at("r"); sent == paused {
					t.Errorf("revenue sent after detail was refused: %v", sent)
				}
				if _, sent := b.fleet.at("d"); sent {
					t.Error("the refused block was sent again too early")
				}
				time.Sleep(15 * time.Second)
				if !b.queue.drained() {
					t.Errorf("not sent after the pause: %+v", b.queue.Stats())
				}
			})
		})
	}
}

func TestAFleetThatForgetsABlockIsLeft(t *testing.T) {
	inStream(t, func(t *testing.T, b *bench) {
		b.fleet.forgetful = true
		b.start()
		defer func() { b.stop() }()
		b.add(buffer.Revenue, "r")
		time.Sleep(50 * time.Second) // beats are answered
		if b.fleet.tally().streams != 1 {
			t.Errorf("left after %d streams", b.fleet.tally().streams)
		}
		b.fleet.set(func(f *fleet) { f.forgetful = false })
		time.Sleep(time.Minute)
		if !b.queue.drained() || b.fleet.tally().streams != 2 {
			t.Errorf("%d streams, buffer %+v", b.fleet.tally().streams, b.queue.Stats())
		}
	})
}

func TestADiskThatFailsStopsNothingForGood(t *testing.T) {
	both(t, func(t *testing.T, b *bench) {
		b.start()
		defer func() { b.stop() }()
		b.line.set(func(l *line) { l.latency = 2 * time.Second })
		b.add(buffer.Revenue, "before")
		time.Sleep(3 * time.Second)
		b.queue.breakDisk(errors.New("input/output error")) // before the acknowledgement
		b.queue.add(queue.Entry{Lane: buffer.Revenue, Batch: metric("meanwhile")})
		time.Sleep(time.Minute)
		b.queue.breakDisk(nil)
		time.Sleep(time.Minute)
		if !b.queue.drained() {
			t.Errorf("not drained: %+v", b.queue.Stats())
		}
		if n := b.log.count("buffer cannot be read"); n != 1 {
			t.Errorf("the disk's trouble was said %d times", n)
		}
	})
}

func TestStoppingWaitsForWhatIsOnItsWay(t *testing.T) {
	inStream(t, func(t *testing.T, b *bench) {
		b.fleet.ackAfter = time.Second
		b.opts.Goodbye = false
		b.start()
		time.Sleep(time.Second)
		b.add(buffer.Revenue, "last")
		time.Sleep(500 * time.Millisecond)
		b.stop()
		if !b.queue.drained() {
			t.Errorf("the last block was not waited for: %+v", b.fwd.Status())
		}
		if told := b.fleet.told(); slices.ContainsFunc(told, func(h wire.Heartbeat) bool { return h.Goodbye }) {
			t.Error("a farewell was said without being asked for")
		}
	})
}

func TestReportsCarryTheBandwidth(t *testing.T) {
	inStream(t, func(t *testing.T, b *bench) {
		b.opts.Bandwidth.PerDay = 1 << 20
		b.start()
		defer func() { b.stop() }()
		time.Sleep(time.Second)
		text, err := json.Marshal(b.fleet.told()[0])
		if err != nil || !strings.Contains(string(text), `"day_budget":1048576`) {
			t.Errorf("report %s, %v", text, err)
		}
	})
}
