package torture

import (
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ghostlight/slo"
)

// The bound of the oracle is that of the rule, which it comes to by another way.
func TestSurelyIsTheWilsonBound(t *testing.T) {
	for n := int64(1); n < 400; n += 7 {
		for bad := int64(0); bad <= n; bad++ {
			if got, want := surely(float64(bad), float64(n)), slo.WilsonLower(bad, n, 3.9); !near(got, want) {
				t.Fatalf("%d of %d: %v, the rule has %v", bad, n, got, want)
			}
		}
	}
	if surely(0, 0) != 0 {
		t.Error("of nothing something is sure")
	}
}

// Three of four nodes go dark within a minute and are one outage, and so is who follows
// within a minute of the last three; two are two, and three of sixteen three.
func TestCrowds(t *testing.T) {
	dark := func(where string, second, ended int64) outage {
		return outage{where: where, failed: second * 1000, ended: ended * 1000, names: []string{where}}
	}
	list := []outage{dark("a", 0, 500), dark("b", 30, 700), dark("c", 55, 600), dark("d", 80, 300), dark("a", 900, 950), dark("b", 910, 990)}
	for nodes, want := range map[int][]string{
		4:  {"a b c d until 700", "a until 950", "b until 990"},
		16: {"a until 500", "b until 700", "c until 600", "d until 300", "a until 950", "b until 990"},
	} {
		var got []string
		for _, o := range crowds(slices.Clone(list), nodes) {
			line := ""
			for _, n := range o.names {
				line += n + " "
			}
			got = append(got, line+"until "+strconv.FormatInt(o.ended/1000, 10))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("of %d nodes (-want +got):\n%s", nodes, diff)
		}
	}
}
