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
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/forward"
	"ghostlight/buffer/queue"
	"ghostlight/buffer/wire"
)

// A bench is a buffer, a forwarder and a fleet with a line and a network between
// them, inside one synctest bubble.
type bench struct {
	t     *testing.T
	queue *pile
	fleet *fleet
	line  *line    // of streams
	net   *network // of requests
	opts  forward.Options
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

// lag is how long it takes to the fleet, and as long back on a stream.
const lag = 20 * time.Millisecond

// newBench makes everything; start begins to forward.
func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, queue: newPile(), fleet: newFleet(), log: &logBuffer{}}
	b.net, b.line = &network{to: b.fleet, lag: lag}, &line{to: b.fleet, latency: lag}
	q := b.queue
	b.opts = forward.Options{
		URL: "http://fleet.test/", Token: token, Queue: q, Memory: q, Dial: b.line.dial,
		Client:  &http.Client{Transport: b.net},
		Info:    func() wire.Heartbeat { return wire.Heartbeat{Session: q.session, Lanes: q.Stats(), Version: "1"} },
		Goodbye: true,
		Rand:    rand.New(rand.NewPCG(1, 2)).Float64,
		Log:     slog.New(slog.NewTextHandler(b.log, nil)),
	}
	return b
}

// onlyPosts is newBench where no stream can be had.
func onlyPosts(t *testing.T) *bench {
	t.Helper()
	b := newBench(t)
	b.line.refuse = forward.ErrNoStream
	return b
}

// both runs a test over streams and over requests.
func both(t *testing.T, test func(t *testing.T, b *bench)) {
	for name, make := range map[string]func(*testing.T) *bench{"stream": newBench, "post": onlyPosts} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { test(t, make(t)) }) })
	}
}

// start begins to forward. The test must call stop.
func (b *bench) start() {
	b.t.Helper()
	var err error
	if b.fwd, err = forward.New(b.opts); err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.fwd.Run(ctx) }()
	b.stop = func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Errorf("run: %v", err)
		}
		if n := b.queue.out(); n != 0 {
			b.t.Errorf("%d blocks were not given back", n)
		}
	}
}

// metric is a batch of one series of two samples.
func metric(name string) delta.Batch {
	return delta.Batch{Series: []delta.Series{{
		Labels:  []delta.Label{{Name: "__name__", Value: name}},
		Samples: []delta.Sample{{Time: time.Now().UnixMilli(), Value: 1}, {Time: 2, Value: 2}},
	}}}
}

// noise is a batch named like metric with a record that takes about n bytes on any
// way.
func noise(name string, n int) delta.Batch {
	b := metric(name)
	body := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(n), byte(len(name))})
	r.Read(body) //nolint:errcheck // never fails
	b.Records = []delta.Record{{Kind: "test", Key: name, Body: body}}
	return b
}

func (b *bench) add(lane buffer.Lane, name string) {
	b.queue.add(queue.Entry{Lane: lane, Batch: metric(name)})
}

func (b *bench) cut(cut bool) {
	b.net.set(func(n *network) { n.cut = cut })
	b.line.set(func(l *line) { l.cut = cut })
}

func (b *bench) hang(hang bool) {
	b.net.set(func(n *network) { n.hang = hang })
	b.line.set(func(l *line) { l.hang = hang })
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEveryBlockArrivesOnceThroughFaults(t *testing.T) {
	for seed := range uint64(5) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			both(t, func(t *testing.T, b *bench) {
				r := rand.New(rand.NewPCG(seed, 7))
				b.net.rand, b.net.delays = r, 300*time.Millisecond
				b.line.latency = time.Duration(r.IntN(300)) * time.Millisecond
				b.start()
				defer func() { b.stop() }()
				want := b.sufferFaults(rand.New(rand.NewPCG(seed, 8)))
				for deadline := time.Now().Add(10 * time.Minute); !b.queue.drained(); time.Sleep(time.Second) {
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
				b.checkBooks()
			})
		})
	}
}

// sufferFaults produces for a minute and a half while the way breaks in all
// manners, and returns the names of what it produced.
func (b *bench) sufferFaults(r *rand.Rand) (names []string) {
	for i := range 90 {
		lane := buffer.Lanes()[i%5]
		name := fmt.Sprintf("m_%s_%d", lane, i)
		names = append(names, name)
		b.add(lane, name)
		b.net.set(func(n *network) { n.cut, n.hang = i%20 > 16, i%20 == 12 })
		b.line.set(func(l *line) { l.cut, l.hang = i%20 > 16, i%20 == 12 })
		b.fleet.set(func(f *fleet) {
			f.lostState = r.IntN(9) == 0
			f.ackAfter = time.Duration(r.IntN(900)) * time.Millisecond
		})
		if r.IntN(6) == 0 && b.line.refuse == nil {
			b.line.drop()
		}
		time.Sleep(time.Second)
	}
	b.net.set(func(n *network) { n.cut, n.hang = false, false })
	b.line.set(func(l *line) { l.cut, l.hang = false, false })
	return names
}

// checkBooks compares what was produced with what the fleet has.
func (b *bench) checkBooks() {
	b.t.Helper()
	var produced int64
	for lane, s := range b.queue.Stats() {
		produced += s.Produced
		if s.Lost != nil || s.Waiting != 0 {
			b.t.Errorf("lane %s: %+v", lane, s)
		}
	}
	if produced != b.fleet.tally().samples {
		b.t.Errorf("produced %d samples, fleet has %d", produced, b.fleet.tally().samples)
	}
	duplicates := int64(0)
	for _, results := range b.fwd.Status().Blocks {
		duplicates += results[forward.ResultDuplicate]
	}
	if duplicates == 0 {
		b.t.Error("no answer was lost: the faults do not work")
	}
}

func TestOutageIsSaidOnceAndFreshDataGoesFirst(t *testing.T) {
	both(t, func(t *testing.T, b *bench) {
		b.start()
		defer func() { b.stop() }()
		time.Sleep(time.Minute)
		b.cut(true)
		for i := range 40 {
			b.add(buffer.Revenue, fmt.Sprintf("revenue_%02d", i))
			b.add(buffer.Detail, fmt.Sprintf("detail_%02d", i))
			time.Sleep(15 * time.Second)
		}
		if s := b.fwd.Status(); s.Up || !strings.Contains(s.LastError, errCut.Error()) && b.line.refuse == nil {
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
		b.cut(false)
		time.Sleep(30 * time.Second)
		if !b.queue.drained() || !b.fwd.Status().Up {
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

func TestNewRefusesBadOptions(t *testing.T) {
	good := func() forward.Options {
		return forward.Options{URL: "https://fleet.test", Token: "t", Queue: newPile(), Info: func() wire.Heartbeat { return wire.Heartbeat{} }}
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
		"no memory": func(o *forward.Options) { o.Bandwidth.PerDay = 1 },
		"bandwidth": func(o *forward.Options) { o.Bandwidth.PerSecond = -1 },
	} {
		o := good()
		breakIt(&o)
		if _, err := forward.New(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
