package tail

import (
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

// The vectors are those of OpenTelemetry's specification of th.
func TestThresholdsAreThoseOfTheSpecification(t *testing.T) {
	for _, tc := range []struct {
		chance float64
		want   string
	}{{1, "0"}, {0.5, "8"}, {0.25, "c"}, {0.75, "4"}, {0.125, "e"}, {1.0 / 4096, "fff"}} {
		if got := encodeThreshold(thresholdOf(tc.chance)); got != tc.want {
			t.Errorf("chance %v is th:%s, want %s", tc.chance, got, tc.want)
		}
		if back := upstreamThreshold("ot=th:" + tc.want); back != thresholdOf(tc.chance) {
			t.Errorf("th:%s is read as %x, want %x", tc.want, back, thresholdOf(tc.chance))
		}
	}
	if got := encodeThreshold(0x00400000000000); got != "004" {
		t.Errorf("leading zeros are lost: %s", got)
	}
	if thresholdOf(0) >= everything || thresholdOf(-1) != thresholdOf(0) {
		t.Error("a chance of 0 keeps nothing at all")
	}
}

func TestTracestate(t *testing.T) {
	for _, tc := range []struct {
		in   string
		t    uint64
		want string
	}{
		{"", 0, "ot=th:0"},
		{"", everything / 2, "ot=th:8"},
		{"vendor=x,ot=rv:01234567890abc;th:c", everything / 2, "ot=th:c;rv:01234567890abc,vendor=x"}, // what was dropped before stays dropped
		{"ot=th:4, a=b", everything / 2, "ot=th:8,a=b"},
		{"ot=th:zz", 0, "ot=th:0"},
	} {
		if got := withThreshold(tc.in, tc.t); got != tc.want {
			t.Errorf("%q with %x became %q, want %q", tc.in, tc.t, got, tc.want)
		}
	}
}

func TestRandomnessIsTheLow56Bits(t *testing.T) {
	var id pcommon.TraceID
	for i := range id {
		id[i] = 0xff
	}
	if got := randomness(id); got != everything-1 {
		t.Errorf("randomness %x", got)
	}
}

func TestP99(t *testing.T) {
	var s sketch
	for i := range 99 {
		s.observe(time.Duration(i+1) * time.Millisecond)
		if _, known := s.p99(); known {
			t.Fatalf("told after %d observations", i+1)
		}
	}
	for i := range 10_000 {
		s.observe(time.Duration(i%1000+1) * time.Millisecond)
	}
	if p, _ := s.p99(); p < 990*time.Millisecond || p > 1400*time.Millisecond {
		t.Errorf("p99 of 1 to 1000 ms is told as %s", p)
	}
	names := newSketches()
	for i := range 1000 {
		names.observe(time.Duration(i).String(), time.Millisecond)
	}
	if len(names.byName) != maxSketches {
		t.Errorf("%d names are remembered, %d are allowed", len(names.byName), maxSketches)
	}
	if _, known := names.p99("another"); !known {
		t.Error("names beyond the bound have no p99 in common")
	}
}
