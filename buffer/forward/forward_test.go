package forward_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
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

// A bench is a queue, a forwarder and a fleet with a network between them, inside
// one synctest bubble.
type bench struct {
	t     *testing.T
	queue *queue.Queue
	fleet *fleet
	net   *network
	fwd   *forward.Forwarder
	log   *logBuffer
	stop  func()
}

type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), s)
}

// newBench opens everything; start begins to forward.
func newBench(t *testing.T) *bench {
	t.Helper()
	q, err := queue.Open(t.Context(), queue.Options{Dir: t.TempDir(), DiskBudget: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, queue: q, fleet: newFleet(), log: &logBuffer{}}
	b.net = &network{to: b.fleet}
	b.useClient(&http.Client{Transport: b.net})
	return b
}

// useClient makes the forwarder send through client.
func (b *bench) useClient(client *http.Client) {
	b.t.Helper()
	q := b.queue
	var err error
	b.fwd, err = forward.New(forward.Options{
		URL: "http://fleet.test/", Token: token, Queue: q,
		Client:  client,
		Info:    func() wire.Heartbeat { return wire.Heartbeat{Session: q.Session(), Lanes: q.Stats(), Version: "1"} },
		Goodbye: true,
		Rand:    rand.New(rand.NewPCG(1, 2)).Float64,
		Log:     slog.New(slog.NewTextHandler(b.log, nil)),
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) start() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.fwd.Run(ctx) }()
	b.stop = func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Errorf("run: %v", err)
		}
		if err := b.queue.Close(); err != nil {
			b.t.Error(err)
		}
	}
}

func (b *bench) add(lane buffer.Lane, name string) {
	b.t.Helper()
	s := delta.Series{Labels: []delta.Label{{Name: "__name__", Value: name}}, Samples: []delta.Sample{{Time: time.Now().UnixMilli(), Value: 1}, {Time: 2, Value: 2}}}
	err := b.queue.Append(context.Background(), queue.Commit{Entries: []queue.Entry{{Lane: lane, Batch: delta.Batch{Series: []delta.Series{s}}}}})
	if err != nil {
		b.t.Fatal(err)
	}
}

// addRecord appends a block of one record.
func (b *bench) addRecord(lane buffer.Lane, body []byte) {
	b.t.Helper()
	batch := delta.Batch{Records: []delta.Record{{Kind: "test", Key: "1", Body: body}}}
	if err := b.queue.Append(context.Background(), queue.Commit{Entries: []queue.Entry{{Lane: lane, Batch: batch}}}); err != nil {
		b.t.Fatal(err)
	}
}

func TestEveryBlockArrivesOnceThroughFaults(t *testing.T) {
	for seed := range uint64(5) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				b.net.rand, b.net.delays = rand.New(rand.NewPCG(seed, 7)), 300*time.Millisecond
				b.start()
				defer func() { b.stop() }()
				var want []string
				for i := range 90 {
					lane := buffer.Lanes()[i%5]
					name := fmt.Sprintf("m_%s_%d", lane, i)
					want = append(want, name)
					b.add(lane, name)
					b.net.set(func(n *network) { n.cut, n.hang = i%20 > 16, i%20 == 12 })
					time.Sleep(time.Second)
				}
				b.net.set(func(n *network) { n.cut, n.hang = false, false })
				for deadline := time.Now().Add(10 * time.Minute); !b.queue.Drained(); time.Sleep(time.Second) {
					if time.Now().After(deadline) {
						t.Fatalf("not drained: %+v, %+v", b.queue.Stats(), b.fwd.Status())
					}
				}
				got := b.fleet.names()
				slices.Sort(got)
				slices.Sort(want)
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("blocks of the fleet (-produced +stored):\n%s", d)
				}
				var produced int64
				for lane, s := range b.queue.Stats() {
					produced += s.Produced
					if s.Lost != nil || s.Waiting != 0 {
						t.Errorf("lane %s: %+v", lane, s)
					}
				}
				if produced != b.fleet.samples {
					t.Errorf("produced %d samples, fleet has %d", produced, b.fleet.samples)
				}
				duplicates := int64(0)
				for _, results := range b.fwd.Status().Blocks {
					duplicates += results[forward.ResultDuplicate]
				}
				if duplicates == 0 {
					t.Error("no answer was lost: the faults do not work")
				}
			})
		})
	}
}

func TestOutageIsSaidOnceAndFreshDataGoesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.start()
		defer func() { b.stop() }()
		time.Sleep(time.Minute)
		b.net.set(func(n *network) { n.cut = true })
		for i := range 40 {
			b.add(buffer.Revenue, fmt.Sprintf("revenue_%02d", i))
			b.add(buffer.Detail, fmt.Sprintf("detail_%02d", i))
			time.Sleep(15 * time.Second)
		}
		if s := b.fwd.Status(); s.Up || !strings.Contains(s.LastError, errCut.Error()) {
			t.Errorf("status during the outage: %+v", s)
		}
		for _, s := range b.queue.Stats() {
			if s.Produced != s.Waiting {
				t.Errorf("something left the buffer during the outage: %+v", s)
			}
		}
		if n := b.log.count("unreachable"); n != 1 {
			t.Errorf("the outage was said %d times", n)
		}
		b.add(buffer.Detail, "detail_new")
		b.add(buffer.Revenue, "revenue_new")
		b.net.set(func(n *network) { n.cut = false })
		time.Sleep(30 * time.Second)
		if !b.queue.Drained() || !b.fwd.Status().Up {
			t.Fatalf("not drained after the outage: %+v %+v", b.queue.Stats(), b.fwd.Status())
		}
		got := b.fleet.names()
		if i := slices.Index(got, "revenue_new"); i > 3 {
			t.Errorf("fresh revenue arrived as number %d", i)
		}
		if i := slices.Index(got, "revenue_00"); i < 30 {
			t.Errorf("the oldest revenue arrived as number %d, before the newer", i)
		}
		if n := b.log.count("is reachable"); n != 2 {
			t.Errorf("the fleet's being reachable was said %d times, want at the start and after the outage", n)
		}
	})
}

func TestHalfOpenLinkIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.start()
		defer func() { b.stop() }()
		time.Sleep(11 * time.Second)
		b.net.set(func(n *network) { n.hang = true })
		b.add(buffer.Revenue, "r")
		time.Sleep(21 * time.Second)
		if s := b.fwd.Status(); s.Up || !strings.Contains(s.LastError, "no progress") {
			t.Errorf("status 21 s after the link went silent: %+v", s)
		}
		b.net.set(func(n *network) { n.hang = false })
		time.Sleep(16 * time.Second) // a probe under way may have to give up first
		if !b.fwd.Status().Up || !b.queue.Drained() {
			t.Errorf("not recovered: %+v %+v", b.fwd.Status(), b.queue.Stats())
		}
	})
}

func TestAnswersDecideWhatBecomesOfABlock(t *testing.T) {
	for _, tc := range []struct {
		name   string
		status int
		header http.Header
		want   wire.LaneStats
		tries  int // within ten seconds, at least
	}{
		{"bad block", http.StatusBadRequest, nil, wire.LaneStats{Produced: 2, Lost: map[string]int64{"refused": 2}}, 1},
		{"clone", http.StatusConflict, nil, wire.LaneStats{Produced: 2, Lost: map[string]int64{"conflict": 2}}, 1},
		{"token", http.StatusUnauthorized, nil, wire.LaneStats{Produced: 2, Waiting: 2, Blocks: 1}, 2},
		{"wrong address", http.StatusNotFound, nil, wire.LaneStats{Produced: 2, Waiting: 2, Blocks: 1}, 2},
		{"server error", http.StatusInternalServerError, nil, wire.LaneStats{Produced: 2, Waiting: 2, Blocks: 1}, 3},
		{"journal full", http.StatusServiceUnavailable, nil, wire.LaneStats{Produced: 2, Waiting: 2, Blocks: 1}, 3},
		{"pause", http.StatusTooManyRequests, http.Header{"Retry-After": {"30"}}, wire.LaneStats{Produced: 2, Waiting: 2, Blocks: 1}, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				var count atomic.Int64
				b.fleet.decide(func(buffer.Header) (int, http.Header) { count.Add(1); return tc.status, tc.header })
				b.start()
				defer func() { b.stop() }()
				b.add(buffer.Revenue, "r")
				time.Sleep(10 * time.Second)
				got := b.queue.Stats()[buffer.Revenue]
				if got.Blocks > 0 {
					got.Bytes = 0
				}
				if d := cmp.Diff(tc.want, got); d != "" {
					t.Errorf("stats (-want +got):\n%s", d)
				}
				if tries := int(count.Load()); tries < tc.tries || tc.tries == 1 && tries > 1 || tries > 30 {
					t.Errorf("%d tries in ten seconds, want about %d", tries, tc.tries)
				}
				if !b.fwd.Status().Up {
					t.Error("the fleet answers heartbeats and yet is taken for down")
				}
				b.fleet.decide(nil)
				b.add(buffer.Health, "h")
				time.Sleep(30 * time.Second)
				if !b.queue.Drained() {
					t.Errorf("not drained after the fleet recovered: %+v", b.queue.Stats())
				}
			})
		})
	}
}

func TestOneBadBlockDoesNotHoldUpOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.fleet.decide(func(h buffer.Header) (int, http.Header) {
			if h.Lane == buffer.Revenue && h.Seq > 5 {
				return http.StatusInternalServerError, nil
			}
			return 0, nil
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

func TestHeartbeatsGoOutEveryFiveSecondsAndSayGoodbye(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.start()
		time.Sleep(61 * time.Second)
		status := b.fwd.Status()
		b.stop()
		if n := len(b.fleet.beats); n != 14 {
			t.Errorf("%d heartbeats in 61 s and at the end, want 13 and one", n)
		}
		for i, h := range b.fleet.beats {
			if h.Goodbye != (i == len(b.fleet.beats)-1) || h.Session != b.queue.Session() || h.SentMS == 0 {
				t.Errorf("heartbeat %d: %+v", i, h)
			}
		}
		if !status.ClockKnown || status.ClockOffset.Round(time.Second) != time.Minute {
			t.Errorf("clock offset %s, known %v; want 1m", status.ClockOffset, status.ClockKnown)
		}
	})
}

func TestNewRefusesBadOptions(t *testing.T) {
	good := func() forward.Options {
		return forward.Options{URL: "https://fleet.test", Token: "t", Queue: &queue.Queue{}, Info: func() wire.Heartbeat { return wire.Heartbeat{} }}
	}
	if _, err := forward.New(good()); err != nil {
		t.Fatal(err)
	}
	for name, breakIt := range map[string]func(*forward.Options){
		"no scheme": func(o *forward.Options) { o.URL = "fleet.test" },
		"no token":  func(o *forward.Options) { o.Token = "" },
		"no queue":  func(o *forward.Options) { o.Queue = nil },
		"no info":   func(o *forward.Options) { o.Info = nil },
		"negative":  func(o *forward.Options) { o.Heartbeat = -1 },
	} {
		o := good()
		breakIt(&o)
		if _, err := forward.New(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
