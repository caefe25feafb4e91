package incidents_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"ghostlight/buffer/queue"
	"ghostlight/buffer/wire"
	"ghostlight/collector/incidents"
	"ghostlight/collector/self"
	"ghostlight/slo"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type committer func(queue.Commit) error

func (c committer) Commit(_ context.Context, q queue.Commit) error { return c(q) }

type nobody struct{}

func (nobody) Objectives() []slo.Objective { return []slo.Objective{checkout()} }

func (nobody) Buckets(int, int64, int64) ([]slo.Bucket, error) {
	return nil, errors.New("hour 9: tally state is malformed")
}

// A running room steps each second, ends when it is told to, and says once each that
// storing and reading fail.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var full atomic.Bool
		var commits atomic.Int64
		full.Store(true)
		o := incidents.Options{
			Source: source, Book: nobody{}, Log: slog.New(slog.NewTextHandler(&log, nil)),
			Load: func(string) (map[string][]byte, error) { return nil, nil },
			Commit: committer(func(queue.Commit) error {
				commits.Add(1)
				if full.Load() {
					return queue.ErrFull
				}
				return nil
			}),
		}
		room, err := incidents.New(o)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- room.Run(ctx) }()
		room.Calendar(wire.Calendar{Shows: []wire.Show{}})
		time.Sleep(5500 * time.Millisecond) // virtual
		if n := commits.Load(); n != 5 {
			t.Errorf("%d tries to store in 5.5 s, want one each second", n)
		}
		full.Store(false)
		time.Sleep(5 * time.Second)
		if n := commits.Load(); n != 6 {
			t.Errorf("%d commits, want one more", n)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if n := strings.Count(log.String(), "level=WARN"); n != 1 {
			t.Errorf("%d warnings, want 1:\n%s", n, log.String())
		}
	})
}

func TestGather(t *testing.T) {
	w := newWorld(t)
	got := func() map[string]float64 {
		g := self.NewGatherer(w.now.UnixMilli(), "soho-1")
		w.room.Gather(g)
		out := map[string]float64{}
		for _, s := range g.Batch().Series {
			name := s.Labels[0].Value
			if last := s.Labels[len(s.Labels)-1]; last.Name == "urgency" {
				name += " " + last.Value
			}
			out[name] = s.Samples[0].Value
		}
		return out
	}
	w.run(5 * time.Minute)
	for name, v := range got() {
		if v != 0 {
			t.Errorf("%s is %v while all is well", name, v)
		}
	}
	w.down = true
	w.run(5 * time.Minute)
	m := got()
	if m["ghostlight_incidents_open"] != 2 || m["ghostlight_alerts_firing page"] < 1 || m["ghostlight_alerts_firing ticket"] < 1 {
		t.Errorf("in an outage: %v", m)
	}
}
