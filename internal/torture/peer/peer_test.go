package peer

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ghostlight/slo"
)

func objective() Objective {
	selector := func(good string) slo.Selector {
		s := slo.Selector{Metric: "sold_total", Matchers: []slo.Matcher{{Label: "venue", Op: "=", Value: "soho"}}}
		if good != "" {
			s.Matchers = append(s.Matchers, slo.Matcher{Label: "good", Op: "=", Value: good})
		}
		return s
	}
	return Objective{
		ID: "sold-soho", Service: "checkout", Target: 0.99, Days: 28, Bad: selector("false"), Total: selector(""),
		Tiers: slo.Tiers(28 * 24 * time.Hour),
	}
}

func TestRulesAlertOverEachPairOfWindows(t *testing.T) {
	groups := Rules(objective())
	var recorded, alerts []string
	for _, g := range groups {
		for _, r := range g.Rules {
			if r.Record != "" {
				recorded = append(recorded, r.Record)
				continue
			}
			alerts = append(alerts, r.Labels["sloth_severity"])
			for _, name := range strings.FieldsFunc(r.Expr, func(c rune) bool { return c == '(' || c == '{' }) {
				if strings.HasPrefix(name, "slo:") && !slices.Contains(recorded, name) {
					t.Errorf("the alert for a %s looks at %s, which nothing records", r.Labels["sloth_severity"], name)
				}
			}
		}
	}
	want := []string{"5m", "1h", "30m", "6h", "2h", "1d", "3d", "28d"}
	for i := range want {
		want[i] = "slo:sli_error:ratio_rate" + want[i]
	}
	if diff := cmp.Diff(want, recorded); diff != "" {
		t.Errorf("recorded (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"page", "ticket"}, alerts); diff != "" {
		t.Errorf("alerts (-want +got):\n%s", diff)
	}
	page := groups[1].Rules[0].Expr
	for _, part := range []string{"ratio_rate1h", "ratio_rate5m", "ratio_rate6h", "ratio_rate30m", "13.44", "5.6"} {
		if !strings.Contains(page, part) {
			t.Errorf("the page's condition lacks %s: %s", part, page)
		}
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{24 * time.Hour: "1d", 6 * time.Hour: "6h", 90 * time.Minute: "90m", 15 * time.Second: "15s"} {
		if got := Duration(d); got != want {
			t.Errorf("%v is written %s, want %s", d, got, want)
		}
	}
}

func TestStaleIsPrometheusMarker(t *testing.T) {
	if v := Stale(); !math.IsNaN(v) || math.Float64bits(v) != 0x7ff0000000000002 {
		t.Errorf("%#x", math.Float64bits(v))
	}
}

func TestLabelsAreInOrder(t *testing.T) {
	if diff := cmp.Diff(Labels{"__name__", "x", "a", "1", "b", "2"}, Of("b", "2", "__name__", "x", "a", "1")); diff != "" {
		t.Error(diff)
	}
}
