package shipped_test

import (
	"runtime"
	"testing"

	"ghostlight/synthetics"
	"ghostlight/synthetics/shipped"
)

// TestMemoryCost keeps what journeys cost the agent, which has 60 MiB for
// everything, within bounds: mostly CEL's tables, shared by all journeys.
func TestMemoryCost(t *testing.T) {
	heap := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	start := heap()
	keep := []synthetics.Journey{shipped.RevenuePath()}
	first := heap()
	for range 9 {
		keep = append(keep, shipped.RevenuePath())
	}
	ten := heap()
	firstKiB, nextKiB := (first-start)>>10, (ten-first)/9>>10
	t.Logf("the first journey holds %d KiB of heap, each further one %d KiB", firstKiB, nextKiB)
	if firstKiB > 2048 || nextKiB > 512 {
		t.Errorf("the first journey holds %d KiB and each further one %d KiB; at most 2048 and 512 are meant", firstKiB, nextKiB)
	}
	runtime.KeepAlive(keep)
}
