package queue_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ghostlight/buffer"
	"ghostlight/buffer/queue"
	"ghostlight/buffer/wire"
)

// day is how many scrapes a node makes of itself in 24 h.
const day = 24 * 60 * 4

func benchQueue(b *testing.B, dir string, c *clock) *queue.Queue {
	b.Helper()
	q, err := queue.Open(b.Context(), queue.Options{Dir: dir, DiskBudget: 256 << 20, Now: c.now})
	if err != nil {
		b.Fatal(err)
	}
	return q
}

// outage fills a buffer with scrapes while nobody takes anything.
func outage(b *testing.B, q *queue.Queue, c *clock, n *node, scrapes int) (samples int64) {
	b.Helper()
	for range scrapes {
		c.add(15 * time.Second)
		commit := queue.Commit{Entries: n.scrape()}
		if err := q.Append(b.Context(), commit); err != nil {
			b.Fatal(err)
		}
		for _, e := range commit.Entries {
			samples += int64(e.Batch.Samples())
		}
	}
	return samples
}

// onDisk closes a buffer and sums its databases.
func onDisk(b *testing.B, q *queue.Queue, dir string) (size int64) {
	b.Helper()
	if err := q.Close(); err != nil {
		b.Fatal(err)
	}
	for _, f := range []string{"revenue.db", "telemetry.db"} {
		info, err := os.Stat(filepath.Join(dir, f))
		if err != nil {
			b.Fatal(err)
		}
		size += info.Size()
	}
	return size
}

func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkOutage buffers a day without uplink: what a sample costs on disk as it
// comes and once it is merged, and in CPU.
func BenchmarkOutage(b *testing.B) {
	n := newNode(b)
	for b.Loop() {
		n.next = 0
		dir, c := b.TempDir(), newClock()
		q := benchQueue(b, dir, c)
		from := cpu(b)
		samples := outage(b, q, c, n, day)
		b.ReportMetric(float64(cpu(b)-from)/float64(samples), "commit-cpu-ns/sample")
		b.ReportMetric(float64(onDisk(b, q, dir))/float64(samples), "disk-B/sample")
		q = benchQueue(b, dir, c)
		c.add(time.Minute)
		from = cpu(b)
		if _, err := q.Tidy(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(cpu(b)-from)/float64(samples), "merge-cpu-ns/sample")
		b.ReportMetric(float64(onDisk(b, q, dir))/float64(samples), "merged-disk-B/sample")
	}
}

// BenchmarkDrain takes a day's backlog out as a sender does that never waits.
func BenchmarkDrain(b *testing.B) {
	for _, merged := range []bool{false, true} {
		b.Run(map[bool]string{false: "single", true: "merged"}[merged], func(b *testing.B) {
			n := newNode(b)
			for b.Loop() {
				b.StopTimer()
				n.next = 0
				dir, c := b.TempDir(), newClock()
				q := benchQueue(b, dir, c)
				samples := outage(b, q, c, n, day)
				c.add(time.Minute)
				if merged {
					if _, err := q.Tidy(b.Context()); err != nil {
						b.Fatal(err)
					}
				}
				b.StartTimer()
				from := time.Now()
				if got := drain(b, q); got != samples {
					b.Fatalf("%d of %d samples came out", got, samples)
				}
				b.ReportMetric(float64(samples)/time.Since(from).Seconds(), "samples/s")
				if err := q.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func drain(b *testing.B, q *queue.Queue) (samples int64) {
	b.Helper()
	for {
		blocks, err := q.Next(b.Context(), 64, nil)
		if err != nil {
			b.Fatal(err)
		}
		if len(blocks) == 0 {
			return samples
		}
		acks := map[buffer.Lane]*wire.Ack{}
		for _, s := range blocks {
			a := acks[s.Lane]
			if a == nil {
				a = &wire.Ack{Session: s.Session, Lane: s.Lane}
				acks[s.Lane] = a
			}
			a.Ranges = append(a.Ranges, wire.Range{First: s.First, Last: s.Seq})
			samples += int64(s.Batch.Samples())
		}
		for _, a := range acks {
			if err := q.Ack(b.Context(), *a); err != nil {
				b.Fatal(err)
			}
		}
	}
}
