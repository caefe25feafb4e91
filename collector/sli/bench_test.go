package sli

import (
	"fmt"
	"testing"
	"time"

	"ghostlight/buffer/delta"
	"ghostlight/buffer/queue"
	"ghostlight/slo"
)

// BenchmarkSeries is a scrape of a node: 740 series, of which a few dozen concern
// the objectives, every 15 s.
func BenchmarkSeries(b *testing.B) {
	k := newKit(b, payments, walks, latency, errorRate, charge, conversion, usual, contact, recovery)
	var series []delta.Series
	add := func(text string) { series = append(series, one("edge", text, 0, k.now)) }
	for i := range 700 {
		add(fmt.Sprintf("other_%d_total code 200", i))
	}
	for i := range 20 {
		add(fmt.Sprintf("pay_seconds_bucket le %d", i))
		add(fmt.Sprintf("hits_total result r%d", i))
	}
	add("pay_seconds_count")
	add("charge_ratio")
	b.ReportAllocs()
	for n := range b.N {
		k.now = k.now.Add(15 * time.Second)
		for i := range series {
			series[i].Samples[0] = delta.Sample{Time: k.now.UnixMilli(), Value: float64(n)}
		}
		if err := k.book.Series(b.Context(), series, func(queue.Commit) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkTick is a second in which nothing happens.
func BenchmarkTick(b *testing.B) {
	k := newKit(b, payments, walks, latency, errorRate, charge, conversion, usual, contact, recovery)
	k.must(map[string]float64{"hits_total result hit": 1, "charge_ratio": 1})
	k.m.buckets = map[string]slo.Bucket{}
	b.ReportAllocs()
	for range b.N {
		k.now = k.now.Add(time.Second)
		if err := k.book.Tick(b.Context()); err != nil {
			b.Fatal(err)
		}
		clear(k.m.buckets)
	}
}
