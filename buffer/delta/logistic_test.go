package delta

import (
	"math"
	"testing"
)

// The integers give what the formulas say. No entry is nearer to a tie than
// 0.00009, so the logarithms of any machine are good enough to tell.
func TestLogisticTables(t *testing.T) {
	for i, got := range stretches {
		p := (float64(i) + 0.5) / 4096
		if want := math.Round(256 * math.Log(p/(1-p))); float64(got) != want {
			t.Errorf("stretch %d is %d, want %v", i, got, want)
		}
	}
	for x := -2047; x <= 2047; x++ {
		if want := math.Round(65536 / (1 + math.Exp(-float64(x)/256))); float64(squash(int32(x))) != want {
			t.Errorf("squash of %d is %d, want %v", x, squash(int32(x)), want)
		}
	}
}
