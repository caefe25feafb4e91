package scrape

import (
	"slices"
	"strings"
	"testing"
	"time"

	"ghostlight/buffer/delta"
)

func TestNewRefuses(t *testing.T) {
	for name, targets := range map[string][]Target{
		"no scheme":    {{Job: "a", URL: "x:1/metrics", Interval: time.Second}},
		"listed twice": {{Job: "a", URL: "http://x/1", Interval: time.Second}, {Job: "a", URL: "http://x:80/2", Interval: time.Second}},
	} {
		if _, err := New(Options{Targets: targets, Sink: &memory{}}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := New(Options{}); err == nil {
		t.Error("accepted no sink")
	}
}

func FuzzParse(f *testing.F) {
	f.Add("a 1\n# TYPE b counter\nb_total{x=\"y\"} 2 3\n", "text/plain")
	f.Add("# TYPE a histogram\na_bucket{le=\"1\"} 1\n# EOF\n", "application/openmetrics-text")
	f.Add("\x00{}", "")
	f.Fuzz(func(t *testing.T, body, contentType string) {
		c := newCache([]delta.Label{{Name: "job", Value: "x"}}, false)
		for ts := range int64(2) {
			res, err := c.parse([]byte(body), contentType, ts, 100)
			if err != nil {
				res.series = nil
			}
			for _, s := range c.appendStale(res.series, ts, err != nil) {
				if nameOf(s.Labels) == "" || len(s.Samples) != 1 || !slices.IsSortedFunc(s.Labels, func(a, b delta.Label) int { return strings.Compare(a.Name, b.Name) }) {
					t.Fatalf("series %v of %q", s, body)
				}
			}
			c.commit()
		}
	})
}
