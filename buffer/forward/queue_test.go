package forward_test

import (
	"context"
	"fmt"
	"maps"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/forward"
	"ghostlight/buffer/queue"
	"ghostlight/buffer/wire"
)

// The node's real buffer, merging while it is sent and restarted in between: what
// was produced arrives once, whichever way it goes.
func TestTheRealBufferIsEmptied(t *testing.T) {
	for name, serve := range map[string]func(*fleet) *httptest.Server{
		"stream": func(f *fleet) *httptest.Server { return overHTTP2(f) },
		"post":   func(f *fleet) *httptest.Server { return httptest.NewServer(f) },
	} {
		t.Run(name, func(t *testing.T) {
			fleet, clock := newFleet(), time.Now().Add(-time.Hour)
			server := serve(fleet)
			defer server.Close()
			o := queue.Options{Dir: t.TempDir(), DiskBudget: 16 << 20, Now: func() time.Time { return clock }}
			opened := open(t, o)
			for i := range 200 {
				append1(t, opened, buffer.Lanes()[i%3], fmt.Sprintf("old_%d", i))
			}
			clock = time.Now()
			if merged, err := opened.Tidy(t.Context()); err != nil || merged == 0 {
				t.Fatalf("%d blocks were merged, %v", merged, err)
			}
			if err := opened.Close(); err != nil {
				t.Fatal(err)
			}
			opened = open(t, o)
			defer opened.Close()
			for i := range 50 {
				append1(t, opened, buffer.Lanes()[i%3], fmt.Sprintf("new_%d", i))
			}
			f, err := forward.New(forward.Options{
				URL: server.URL, Token: token, Queue: opened, Memory: opened, Bandwidth: forward.Bandwidth{PerDay: 1 << 30},
				Info: func() wire.Heartbeat { return wire.Heartbeat{Session: opened.Session(), Lanes: opened.Stats()} },
			})
			if err != nil {
				t.Fatal(err)
			}
			runUntil(t, f, opened.Drained)
			want := map[buffer.Lane]int64{}
			for lane, s := range opened.Stats() {
				want[lane] = s.Produced
				if len(s.Lost) != 0 {
					t.Errorf("lane %s: %+v", lane, s)
				}
			}
			maps.DeleteFunc(want, func(_ buffer.Lane, n int64) bool { return n == 0 })
			if d := cmp.Diff(want, fleet.byLane); d != "" {
				t.Errorf("samples (-produced +stored):\n%s", d)
			}
			kept, err := opened.State(t.Context(), "forward.")
			if err != nil || len(kept) != 1 {
				t.Errorf("the day's bytes are not kept: %v, %v", kept, err)
			}
		})
	}
}

func open(t *testing.T, o queue.Options) *queue.Queue {
	t.Helper()
	q, err := queue.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func append1(t *testing.T, q *queue.Queue, lane buffer.Lane, name string) {
	t.Helper()
	if err := q.Append(context.Background(), queue.Commit{Entries: []queue.Entry{{Lane: lane, Batch: metric(name)}}}); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkDrain empties a buffer that merged an outage, over loopback to a fleet
// that decodes everything.
func BenchmarkDrain(b *testing.B) {
	const series, scrapes = 1000, 2000
	for range b.N {
		b.StopTimer()
		fleet, clock := newFleet(), time.Now().Add(-24*time.Hour)
		server := overHTTP2(fleet)
		q, err := queue.Open(b.Context(), queue.Options{Dir: b.TempDir(), DiskBudget: 256 << 20, Now: func() time.Time { return clock }})
		if err != nil {
			b.Fatal(err)
		}
		for i := range scrapes {
			clock = clock.Add(15 * time.Second)
			if err := q.Append(b.Context(), queue.Commit{Entries: []queue.Entry{{Lane: buffer.Detail, Batch: scrape(series, i, clock)}}}); err != nil {
				b.Fatal(err)
			}
		}
		clock = time.Now()
		if _, err := q.Tidy(b.Context()); err != nil {
			b.Fatal(err)
		}
		f, err := forward.New(forward.Options{URL: server.URL, Token: token, Queue: q, Info: func() wire.Heartbeat { return wire.Heartbeat{Session: q.Session()} }})
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		status := runUntil(b, f, q.Drained)
		b.StopTimer()
		b.ReportMetric(float64(series*scrapes*b.N)/b.Elapsed().Seconds(), "samples/s")
		b.ReportMetric(float64(status.Sent[forward.SentBlocks].Bytes)/(series*scrapes), "bytes/sample")
		b.ReportMetric(float64(status.Sent[forward.SentBlocks].Count), "blocks")
		q.Close()
		server.Close()
	}
}

// scrape is one scrape of a node: counters that go on and gauges that wander.
func scrape(series, i int, at time.Time) (b delta.Batch) {
	for n := range series {
		v := float64(i * (n % 7))
		if n%5 == 0 {
			v = float64((i*2654435761 + n*40503) % 1000)
		}
		b.Series = append(b.Series, delta.Series{
			Labels:  []delta.Label{{Name: "__name__", Value: "m"}, {Name: "n", Value: strconv.Itoa(n)}},
			Samples: []delta.Sample{{Time: at.UnixMilli(), Value: v}},
		})
	}
	return b
}
