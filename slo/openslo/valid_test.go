package openslo_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ghostlight/internal/strictyaml"
	"ghostlight/slo"
	"ghostlight/slo/openslo"
)

// edited is a valid document of each kind with some of its lines changed.
type edited struct {
	kind     string
	old, new string
	decoded  bool
	valid    bool
}

const ratioSLO = `apiVersion: openslo/v1
kind: SLO
metadata:
  name: pages
  displayName: Pages
  labels: {team: web}
  annotations: {example.com/runbook: none}
spec:
  description: Most pages load.
  service: web
  indicator:
    metadata: {name: loads}
    spec:
      description: Loads.
      ratioMetric:
        counter: true
        good: {metricSource: {type: Prometheus, spec: {query: good_total}}}
        total: {metricSource: {type: Prometheus, spec: {query: all_total}}}
  timeWindow:
    - duration: 1w
      calendar: {startTime: 2026-01-05 12:00:00, timeZone: America/New_York}
  budgetingMethod: Timeslices
  objectives:
    - displayName: most
      target: 0.995
      timeSliceTarget: 0.95
      timeSliceWindow: 1m
  alertPolicies:
    - alertPolicyRef: paging
`

const thresholdSLO = `apiVersion: openslo/v1
kind: SLO
metadata: {name: lag}
spec:
  service: queue
  indicator:
    metadata: {name: length}
    spec:
      thresholdMetric: {metricSource: {metricSourceRef: prom, spec: {query: lag}}}
  timeWindow: [{duration: 30d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{target: 0.9, op: lte, value: 0}]
`

const compositeSLO = `apiVersion: openslo/v1
kind: SLO
metadata: {name: both}
spec:
  service: web
  timeWindow: [{duration: 30d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives:
    - {target: 0.9, indicatorRef: loads, compositeWeight: 2}
    - {target: 0.8, indicatorRef: logins}
`

const policy = `apiVersion: openslo/v1
kind: AlertPolicy
metadata: {name: paging}
spec:
  description: Pages.
  alertWhenBreaching: true
  conditions:
    - kind: AlertCondition
      metadata: {name: fast}
      spec:
        severity: page
        condition:
          kind: burnrate
          op: gt
          threshold: 14.4
          lookbackWindow: 1h
          alertAfter: 5m
  notificationTargets:
    - targetRef: desk
    - kind: AlertNotificationTarget
      metadata: {name: phone}
      spec: {target: phone}
`

const others = `apiVersion: openslo/v1
kind: Service
metadata: {name: web}
spec: {description: The shop.}
---
apiVersion: openslo/v1
kind: DataSource
metadata: {name: prom}
spec: {type: Prometheus, connectionDetails: {url: "http://x"}}
---
apiVersion: openslo/v1
kind: SLI
metadata: {name: raw}
spec: {ratioMetric: {counter: false, raw: {metricSource: {spec: {query: x}}}, rawType: success}}
---
apiVersion: openslo/v1
kind: AlertNotificationTarget
metadata: {name: desk}
spec: {target: email}
`

// The verdicts are those of OpenSLO's own library, whose rules these cases
// retell.
func TestVerdicts(t *testing.T) {
	long := strings.Repeat("x", 1051)
	base := map[string]string{"ratio": ratioSLO, "threshold": thresholdSLO, "composite": compositeSLO, "policy": policy, "others": others}
	for _, c := range []edited{
		{"ratio", "", "", true, true},
		{"threshold", "", "", true, true},
		{"composite", "", "", true, true},
		{"policy", "", "", true, true},
		{"others", "", "", true, true},

		{"ratio", "openslo/v1\n", "openslo/v1alpha\n", false, false},
		{"ratio", "openslo/v1\n", "openslo/v2alpha\n", false, false},
		{"ratio", "kind: SLO", "kind: slo", false, false},
		{"ratio", "  name: pages", "  name: 7", false, false},
		{"ratio", "  name: pages", "  name: on", false, false},
		{"ratio", "  name: pages", "  name: Pages", true, false},
		{"ratio", "  name: pages", "  name: " + strings.Repeat("a", 64), true, false},
		{"ratio", "displayName: Pages", "displayName: " + strings.Repeat("é", 63), true, true},
		{"ratio", "displayName: Pages", "displayName: " + strings.Repeat("é", 64), true, false},
		{"ratio", "{team: web}", "{team: [web, shop]}", true, true},
		{"ratio", "{team: web}", "{tEam_1.x-y: []}", true, true},
		{"ratio", "{team: web}", "{team-: web}", true, false},
		{"ratio", "{team: web}", "{team: {a: b}}", false, false},
		{"ratio", "example.com/runbook", "example..com/runbook", true, false},
		{"ratio", "example.com/runbook", "runBook.md", true, true},
		{"ratio", "runbook: none", "runbook: 1", false, false},
		{"ratio", "Most pages load.", long, true, false},
		{"ratio", "Most pages load.", long[1:], true, true},
		{"ratio", "  service: web\n", "", true, false},
		{"ratio", "  service: web\n", "  service: Any Thing\n", true, true},
		{"ratio", "    metadata: {name: loads}\n", "", true, false},
		{"ratio", "  indicator:\n", "  indicatorRef: loads\n  indicator:\n", true, false},
		{"ratio", "good: {metric", "bad: {metric", true, true},
		{"ratio", "good: {metric", "raw: {metric", true, false},
		{"ratio", "        total:", "        bad:", true, false},
		{"ratio", "{query: all_total}", "{}", true, false},
		{"ratio", "{query: all_total}", "{query: [a, b], more: 3}", true, true},
		{"ratio", "type: Prometheus, spec: {query: all", "metricSourceRef: A B, spec: {query: all", true, false},
		{"ratio", "duration: 1w", "duration: 1x", true, false},
		{"ratio", "duration: 1w", "duration: 0w", true, true}, // the library allows it; the standard does not
		{"ratio", "duration: 1w", "duration: -1w", true, false},
		{"ratio", "duration: 1w", "duration: w", false, false},
		{"ratio", "duration: 1w", "duration: 7", false, false},
		{"ratio", "duration: 1w", "isRolling: true\n      duration: 1w", true, false},
		{"ratio", "duration: 1w", "isRolling: off\n      duration: 1w", true, true},
		{"ratio", "2026-01-05 12:00:00", "2026-01-05", true, false},
		{"ratio", "America/New_York", "Local", true, false},
		{"ratio", "    - duration: 1w\n", "    - {duration: 1w, isRolling: true}\n    - duration: 1w\n", true, false},
		{"ratio", "Timeslices", "RatioTimeslices", true, true},
		{"ratio", "Timeslices", "timeslices", true, false},
		{"ratio", "      timeSliceTarget: 0.95\n", "", true, false},
		{"ratio", "timeSliceTarget: 0.95", "timeSliceTarget: 1", true, true},
		{"ratio", "timeSliceTarget: 0.95", "timeSliceTarget: 0", true, false},
		{"ratio", "      timeSliceWindow: 1m\n", "", true, false},
		{"ratio", "target: 0.995", "target: 0", true, true},
		{"ratio", "target: 0.995", "target: 1", true, false},
		{"ratio", "target: 0.995", "target: \"0.995\"", false, false},
		{"ratio", "target: 0.995", "targetPercent: 99.5", true, true},
		{"ratio", "target: 0.995", "targetPercent: 100", true, false},
		{"ratio", "target: 0.995", "target: 0.995\n      targetPercent: 99.5", true, false},
		{"ratio", "target: 0.995", "target: 0.995\n      op: gt", true, false},
		{"ratio", "target: 0.995", "target: 0.995\n      value: 0", true, false},
		{"ratio", "target: 0.995", "target: 0.995\n      compositeWeight: 0", true, true}, // of no composite
		{"ratio", "alertPolicyRef: paging", "alertPolicyRef: \"\"", true, false},
		{"ratio", "- alertPolicyRef: paging", "- {}", true, false},
		{"ratio", "- alertPolicyRef: paging", "- paging", false, false},
		{"ratio", "alertPolicyRef: paging", "alertPolicyRef: paging\n      kind: AlertPolicy", true, false},
		{"ratio", "spec:\n  description", "spec:\n  unknown: 1\n  description", false, false},

		{"threshold", "op: lte, ", "", true, false},
		{"threshold", ", value: 0", "", true, false},
		{"threshold", "op: lte", "op: eq", true, false},
		{"threshold", "thresholdMetric: {", "ratioMetric: {total: {metricSource: {spec: {a: b}}}, good: {metricSource: {spec: {a: b}}}}\n      thresholdMetric: {", true, false},
		{"composite", "compositeWeight: 2", "compositeWeight: 0", true, false},
		{"composite", "compositeWeight: 2", "compositeWeight: -1", true, false},
		{"composite", ", indicatorRef: logins", "", true, true},
		{"composite", "  service: web", "  service: web\n  indicatorRef: loads", true, false},
		{"composite", "indicatorRef: logins", "indicatorRef: No Name", true, false},

		{"policy", "    - kind: AlertCondition", "    - kind: AlertPolicy", true, false},
		{"policy", "severity: page", "severity: \"\"", true, false},
		{"policy", "threshold: 14.4", "threshold: 0", true, true},
		{"policy", "          threshold: 14.4\n", "", true, false},
		{"policy", "op: gt", "op: lt", true, true},
		{"policy", "op: gt", "op: more", true, false},
		{"policy", "kind: burnrate", "kind: latency", true, false},
		{"policy", "lookbackWindow: 1h", "lookbackWindow: \"\"", true, false},
		{"policy", "          alertAfter: 5m\n", "", true, true},
		{"policy", "alertAfter: 5m", "alertAfter: 5z", true, false},
		{"policy", "alertWhenBreaching: true", "alertWhenBreaching: \"true\"", false, false},
		{"policy", "  conditions:\n", "  conditions:\n    - conditionRef: slow\n", true, false},
		{"policy", "targetRef: desk", "targetRef: The Desk", true, false},
		{"policy", "spec: {target: phone}", "spec: {}", true, false},

		{"others", "type: Prometheus, ", "", true, false},
		{"others", ", connectionDetails: {url: \"http://x\"}", "", true, false},
		{"others", "rawType: success", "rawType: sum", true, false},
		{"others", ", rawType: success", "", true, false},
		{"others", "counter: false, raw", "counter: false, total: {metricSource: {spec: {query: x}}}, raw", true, false},
		{"others", "spec: {target: email}", "spec: {}", true, false},
	} {
		text := base[c.kind]
		if c.old != "" && !strings.Contains(text, c.old) {
			t.Fatalf("%s has no %q", c.kind, c.old)
		}
		name := fmt.Sprintf("%s with %.60q for %q", c.kind, c.new, c.old)
		decoded, valid := verdict(strings.Replace(text, c.old, c.new, 1))
		if decoded != c.decoded || valid != c.valid {
			t.Errorf("%s: decoded %v, valid %v; want %v, %v", name, decoded, valid, c.decoded, c.valid)
		}
	}
}

func verdict(text string) (decoded, valid bool) {
	var s openslo.Set
	s.Add("x", []byte(text))
	decoded, valid = true, true
	for _, d := range s.Documents() {
		decoded, valid = decoded && d.Decoded, valid && d.Valid()
	}
	return decoded, valid
}

// A set finds what its documents refer to in any of its files.
func TestSetResolvesAcrossFiles(t *testing.T) {
	var s openslo.Set
	s.Add("slo.yaml", []byte(`{"apiVersion":"openslo/v1","kind":"SLO","metadata":{"name":"a"},"spec":{"service":"s","indicatorRef":"i",
"timeWindow":[{"duration":"1h","isRolling":true}],"budgetingMethod":"Occurrences","objectives":[{"target":0.5}]}}`))
	if _, err := s.Objectives(); err == nil {
		t.Error("a reference to nothing is evaluated")
	}
	s.Add("sli.yaml", []byte(`{"apiVersion":"openslo/v1","kind":"SLI","metadata":{"name":"i"},"spec":{"ratioMetric":{
"good":{"metricSource":{"type":"prometheus","spec":{"query":"a_bucket{le=\"0.20\"}"}}},
"total":{"metricSource":{"type":"prometheus","spec":{"query":"a_count"}}}}}}`))
	got, err := s.Objectives()
	if err != nil {
		t.Fatal(err)
	}
	want := slo.Indicator{Counter: &slo.CounterIndicator{
		Good:  []slo.Selector{{Metric: "a_bucket", Matchers: []slo.Matcher{{Label: "le", Op: "=", Value: "0.2"}}}},
		Total: []slo.Selector{{Metric: "a_count"}},
	}}
	if diff := cmp.Diff(want, got[0].Indicator); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What is valid but not evaluated is refused, not called wrong.
func TestRefusedIsNotInvalid(t *testing.T) {
	var s openslo.Set
	s.Add("x.yaml", []byte(compositeSLO))
	docs := s.Documents()
	if len(docs) != 1 || !docs[0].Valid() || len(docs[0].Refused) != 1 {
		t.Fatalf("got %+v", docs)
	}
	want := &strictyaml.Error{
		File: "x.yaml", Line: 8, Column: 3, Field: "spec.objectives",
		Message: "has 2 entries; evaluated: exactly one (write another SLO for another target)",
	}
	if diff := cmp.Diff(want, docs[0].Refused[0]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
