package forward_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ghostlight/buffer"
	"ghostlight/buffer/forward"
	"ghostlight/buffer/queue"
	"ghostlight/buffer/wire"
)

// everyClass adds a block of each lane that is fresh and one that is not.
func (b *bench) everyClass(name string) {
	for _, lane := range buffer.Lanes() {
		b.queue.addOld(lane, 1, metric(fmt.Sprintf("%s_%s_old", name, lane)))
		b.add(lane, fmt.Sprintf("%s_%s_fresh", name, lane))
	}
}

// spendTo sends incompressible revenue until a share of the day's bytes is used.
func (b *bench) spendTo(share float64) {
	b.t.Helper()
	for i := range 10_000 {
		s := b.fwd.Status().Bandwidth
		left := share*float64(s.DayBudget) - float64(s.DayBytes)
		if left <= 0 {
			return
		}
		// What a block takes beside its noise is less than 2000 bytes.
		b.queue.add(queue.Entry{Lane: buffer.Revenue, Batch: noise(fmt.Sprintf("spend_%v_%d", share, i), int(max(min(left-2000, 20_000), 1)))})
		time.Sleep(200 * time.Millisecond)
	}
	b.t.Fatalf("the budget is not used up: %+v", b.fwd.Status())
}

func TestADaysBudgetWithholdsMoreAndMore(t *testing.T) {
	for _, tc := range []struct {
		share    float64
		waits    string // what is not sent, of "lane_age"
		withheld map[buffer.Lane]string
	}{
		{0.60, "", nil},
		{0.72, "traces_old traces_fresh logs_old logs_fresh", map[buffer.Lane]string{buffer.Traces: "all", buffer.Logs: "all"}},
		{0.87, "detail_old traces_old traces_fresh logs_old logs_fresh", map[buffer.Lane]string{buffer.Detail: "backlog", buffer.Traces: "all", buffer.Logs: "all"}},
		{0.96, "detail_old detail_fresh traces_old traces_fresh logs_old logs_fresh", map[buffer.Lane]string{buffer.Detail: "all", buffer.Traces: "all", buffer.Logs: "all"}},
		{1.00, "health_old health_fresh detail_old detail_fresh traces_old traces_fresh logs_old logs_fresh", map[buffer.Lane]string{buffer.Health: "all", buffer.Detail: "all", buffer.Traces: "all", buffer.Logs: "all"}},
	} {
		t.Run(fmt.Sprint(tc.share), func(t *testing.T) {
			both(t, func(t *testing.T, b *bench) {
				b.opts.Bandwidth.PerDay = 2 << 20
				time.Sleep(23*time.Hour + 45*time.Minute)
				b.start()
				defer func() { b.stop() }()
				b.spendTo(tc.share)
				b.everyClass("c")
				time.Sleep(20 * time.Second)
				got, all := b.fleet.names(), []string{}
				for _, lane := range buffer.Lanes() {
					for _, age := range []string{"old", "fresh"} {
						if name := fmt.Sprintf("%s_%s", lane, age); !slices.Contains(got, "c_"+name) {
							all = append(all, name)
						}
					}
				}
				if d := cmp.Diff(strings.Fields(tc.waits), all); d != "" {
					t.Errorf("what waits (-want +got):\n%s", d)
				}
				if d := cmp.Diff(tc.withheld, b.fwd.Status().Bandwidth.Withheld); d != "" {
					t.Errorf("withheld (-want +got):\n%s", d)
				}
				told := b.fleet.told()
				if d := cmp.Diff(tc.withheld, told[len(told)-1].Bandwidth.Withheld); d != "" {
					t.Errorf("reported (-want +got):\n%s", d)
				}
				time.Sleep(15 * time.Minute)
				if !b.queue.drained() {
					t.Errorf("not sent the next day: %+v", b.fwd.Status())
				}
			})
		})
	}
}

func TestARestartRemembersTheDay(t *testing.T) {
	both(t, func(t *testing.T, b *bench) {
		b.opts.Bandwidth.PerDay = 1 << 20
		b.start()
		b.spendTo(0.5)
		used := b.fwd.Status().Bandwidth.DayBytes
		kept := string(b.queue.state["forward.bandwidth"]) // as a death would leave it
		b.stop()
		if n := b.queue.commits; n < 10 || n > 110 {
			t.Errorf("%d commits for half a day's bytes", n)
		}
		b.start()
		time.Sleep(time.Second)
		again := b.fwd.Status().Bandwidth.DayBytes
		b.stop()
		if again < used || again > used+4<<10 {
			t.Errorf("%d bytes used after a stop, %d before", again, used)
		}
		b.queue.state["forward.bandwidth"] = []byte(kept)
		b.start()
		defer func() { b.stop() }()
		time.Sleep(time.Second)
		if again := b.fwd.Status().Bandwidth.DayBytes; again < used || again > used+1<<20/100 {
			t.Errorf("%d bytes used after a death, %d before", again, used)
		}
	})
}

func TestDamagedMemoryBeginsTheDayAnew(t *testing.T) {
	inStream(t, func(t *testing.T, b *bench) {
		b.queue.state["forward.bandwidth"] = []byte("{")
		b.opts.Bandwidth.PerDay = 1 << 20
		b.start()
		defer func() { b.stop() }()
		time.Sleep(time.Second)
		if s := b.fwd.Status(); !s.Up || s.Bandwidth.DayBytes > 1000 || s.Bandwidth.DayBytes == 0 {
			t.Errorf("status %+v", s.Bandwidth)
		}
	})
}

func TestARateIsKeptAndFreshDataIsNotHeldUpByBacklog(t *testing.T) {
	const rate = 4 << 10
	both(t, func(t *testing.T, b *bench) {
		b.opts.Bandwidth = forward.Bandwidth{PerSecond: rate}
		for i := range 20 {
			b.queue.addOld(buffer.Detail, 10, noise(fmt.Sprintf("old_%d", i), 12<<10))
		}
		began := time.Now()
		b.start()
		defer func() { b.stop() }()
		var late time.Duration
		for i := range 12 {
			time.Sleep(3 * time.Second)
			name, at := fmt.Sprintf("fresh_%d", i), time.Now()
			b.queue.add(queue.Entry{Lane: buffer.Revenue, Batch: noise(name, 500)})
			time.Sleep(2 * time.Second)
			arrived, ok := b.fleet.at(name)
			if !ok {
				t.Fatalf("%s was not sent within 2 s", name)
			}
			late = max(late, arrived.Sub(at))
		}
		if late > time.Second {
			t.Errorf("fresh data came %s late", late)
		}
		var sent int64
		for _, n := range b.fwd.Status().Sent {
			sent += n.Bytes
		}
		// What was saved at the start may go at once.
		if most := int64(rate*time.Since(began).Seconds()) + 16<<10; sent > most || sent < most*6/10 {
			t.Errorf("%d bytes were sent in %s, want at most %d and most of them", sent, time.Since(began), most)
		}
	})
}

func TestWithoutBudgetsNothingIsReported(t *testing.T) {
	inStream(t, func(t *testing.T, b *bench) {
		b.start()
		defer func() { b.stop() }()
		time.Sleep(time.Second)
		if d := cmp.Diff((*wire.Bandwidth)(nil), b.fleet.told()[0].Bandwidth); d != "" {
			t.Error(d)
		}
	})
}

func TestTriesThatReachNobodyCostNothing(t *testing.T) {
	inStream(t, func(t *testing.T, b *bench) {
		b.opts.Bandwidth.PerDay = 1 << 20
		b.line.mute = errCut
		b.start()
		defer func() { b.stop() }()
		time.Sleep(time.Hour)
		if s := b.fwd.Status(); s.Bandwidth.DayBytes != 0 || len(s.Sent) != 0 {
			t.Errorf("%d bytes were spent on nothing: %+v", s.Bandwidth.DayBytes, s.Sent)
		}
		if n := b.line.dialed(); n < 500 {
			t.Errorf("%d tries in an hour", n)
		}
	})
}
