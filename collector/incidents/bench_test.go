package incidents_test

import (
	"testing"
	"time"

	"ghostlight/slo"
)

// BenchmarkStep is one look at a node that has sold for a day, well and in an outage.
func BenchmarkStep(b *testing.B) {
	for name, down := range map[string]bool{"well": false, "outage": true} {
		b.Run(name, func(b *testing.B) {
			w := newWorld(b)
			for m := range int64(60 * 24) {
				w.put(slo.MinuteOf(evening)-1-m, 8, 0)
			}
			w.down = down
			w.run(5 * time.Minute)
			for b.Loop() {
				w.now = w.now.Add(time.Second)
				w.step()
			}
		})
	}
}
