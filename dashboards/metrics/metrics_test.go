package metrics_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"ghostlight/dashboards/metrics"
)

func TestNamesFollowPrometheus(t *testing.T) {
	name := regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	seen := map[string]bool{}
	for _, m := range metrics.All() {
		if seen[m.Name] {
			t.Errorf("%s is listed twice", m.Name)
		}
		seen[m.Name] = true
		if !name.MatchString(m.Name) {
			t.Errorf("%s is no metric name", m.Name)
		}
		if strings.HasSuffix(m.Name, "_total") != (m.Kind == metrics.Counter) {
			t.Errorf("%s is a %s: counters, and nothing else, end in _total", m.Name, m.Kind)
		}
		for _, l := range m.Labels {
			if !name.MatchString(l) || slices.Contains(metrics.CommonLabels(), l) || l == "le" {
				t.Errorf("%s: label %q is no name or one that every series has", m.Name, l)
			}
		}
	}
}

func TestFind(t *testing.T) {
	for series, want := range map[string]string{
		"up": "up", "edgecore_payment_duration_seconds_bucket": "edgecore_payment_duration_seconds",
		"edgecore_payment_duration_seconds_count": "edgecore_payment_duration_seconds",
	} {
		if m, ok := metrics.Find(series); !ok || m.Name != want {
			t.Errorf("Find(%s) = %s, %v", series, m.Name, ok)
		}
	}
	for _, series := range []string{"down", "edgecore_payment_duration_seconds", "up_total", "edgecore_orders_total_bucket"} {
		if m, ok := metrics.Find(series); ok {
			t.Errorf("Find(%s) = %s", series, m.Name)
		}
	}
}
