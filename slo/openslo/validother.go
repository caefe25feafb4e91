package openslo

import "fmt"

// sli checks an indicator, in a document of its own or in place.
func (f *faults) sli(path string, s sliSpec) {
	f.description(path+".description", s.Description)
	switch {
	case s.ThresholdMetric != nil && s.RatioMetric != nil:
		f.add(path+".thresholdMetric", "excludes ratioMetric: choose one of the two")
	case s.ThresholdMetric == nil && s.RatioMetric == nil:
		f.add(path, "has no metric; allowed: ratioMetric or thresholdMetric")
	}
	if s.ThresholdMetric != nil {
		f.source(path+".thresholdMetric", s.ThresholdMetric)
	}
	if s.RatioMetric != nil {
		f.ratio(path+".ratioMetric", s.RatioMetric)
	}
}

func (f *faults) ratio(path string, r *ratioMetric) {
	given := 0
	for _, m := range []*metric{r.Raw, r.Good, r.Bad} {
		if m != nil {
			given++
		}
	}
	switch {
	case r.Total != nil && r.Raw != nil:
		f.add(path+".raw", "excludes total: choose one of the two")
	case r.Total == nil && r.Raw == nil:
		f.add(path, "has neither total nor raw; allowed: total with good or bad, or raw")
	case given > 1:
		f.add(path, "has more than one of good, bad and raw; allowed: one")
	case r.Total != nil && given == 0:
		f.add(path, "has total, but neither good nor bad; allowed: one of the two")
	}
	for _, m := range []struct {
		field string
		of    *metric
	}{{"total", r.Total}, {"good", r.Good}, {"bad", r.Bad}, {"raw", r.Raw}} {
		if m.of != nil {
			f.source(path+"."+m.field, m.of)
		}
	}
	if r.Raw != nil {
		f.one(path+".rawType", r.RawType, "success", "failure")
	}
}

func (f *faults) source(path string, m *metric) {
	path += ".metricSource"
	if ref := m.MetricSource.MetricSourceRef; ref != "" {
		f.name(path+".metricSourceRef", ref)
	}
	if len(m.MetricSource.Spec) == 0 {
		f.add(path+".spec", "is empty: say what to measure")
	}
}

func (s *sliDocument) check() error {
	f := &faults{}
	f.metadata("metadata", s.Metadata)
	f.sli("spec", s.Spec)
	return f.err()
}

func (s *serviceDocument) check() error {
	f := &faults{}
	f.metadata("metadata", s.Metadata)
	f.description("spec.description", s.Spec.Description)
	return f.err()
}

func (d *dataSourceDocument) check() error {
	f := &faults{}
	f.metadata("metadata", d.Metadata)
	f.description("spec.description", d.Spec.Description)
	f.required("spec.type", d.Spec.Type, "name the kind of data source")
	if d.Spec.ConnectionDetails == nil {
		f.add("spec.connectionDetails", "is missing: say how it is reached, or write {}")
	}
	return f.err()
}

func (p *policyDocument) check() error {
	f := &faults{}
	f.metadata("metadata", p.Metadata)
	f.policy("spec", p.Spec)
	return f.err()
}

func (c *conditionDocument) check() error {
	f := &faults{}
	f.metadata("metadata", c.Metadata)
	f.condition("spec", c.Spec)
	return f.err()
}

func (t *targetDocument) check() error {
	f := &faults{}
	f.metadata("metadata", t.Metadata)
	f.target("spec", t.Spec)
	return f.err()
}

// item checks what is either a reference or written in place, and reports
// whether it is in place.
func (f *faults) item(path, refField string, ref, kind *text, m *metadata, spec bool, want string) bool {
	inPlace := kind != nil || m != nil || spec
	switch {
	case ref != nil && inPlace:
		f.add(path+"."+refField, "excludes kind, metadata and spec: choose a reference or write it in place")
		return false
	case ref == nil && !inPlace:
		f.add(path, "is empty; allowed: %s, or kind, metadata and spec", refField)
		return false
	case ref != nil:
		f.name(path+"."+refField, *ref)
		return false
	}
	if kind == nil || string(*kind) != want {
		f.add(path+".kind", "is missing or another; allowed: %s", want)
	}
	if m == nil {
		m = &metadata{}
	}
	f.metadata(path+".metadata", *m)
	if !spec {
		f.add(path+".spec", "is missing")
	}
	return spec
}

func (f *faults) policyItem(path string, p policyItem) {
	if f.item(path, "alertPolicyRef", p.AlertPolicyRef, p.Kind, p.Metadata, p.Spec != nil, kindAlertPolicy) {
		f.policy(path+".spec", *p.Spec)
	}
}

func (f *faults) policy(path string, p policySpec) {
	f.description(path+".description", p.Description)
	if len(p.Conditions) != 1 {
		f.add(path+".conditions", "has %d entries; allowed: exactly one", len(p.Conditions))
	}
	for i, c := range p.Conditions {
		at := fmt.Sprintf("%s.conditions[%d]", path, i)
		if f.item(at, "conditionRef", c.ConditionRef, c.Kind, c.Metadata, c.Spec != nil, kindCondition) {
			f.condition(at+".spec", *c.Spec)
		}
	}
	if len(p.NotificationTargets) == 0 {
		f.add(path+".notificationTargets", "is empty: name at least one")
	}
	for i, t := range p.NotificationTargets {
		at := fmt.Sprintf("%s.notificationTargets[%d]", path, i)
		if f.item(at, "targetRef", t.TargetRef, t.Kind, t.Metadata, t.Spec != nil, kindTarget) {
			f.target(at+".spec", *t.Spec)
		}
	}
}

func (f *faults) condition(path string, c conditionSpec) {
	f.description(path+".description", c.Description)
	f.required(path+".severity", c.Severity, "such as page or ticket")
	at := path + ".condition"
	f.one(at+".kind", c.Condition.Kind, "burnrate")
	if c.Condition.Kind != "burnrate" {
		return
	}
	f.one(at+".op", c.Condition.Op, "gt", "gte", "lt", "lte")
	if c.Condition.Threshold == nil {
		f.add(at+".threshold", "is missing: say how fast is too fast, such as 14.4")
	}
	f.duration(at+".lookbackWindow", c.Condition.LookbackWindow)
	if c.Condition.AlertAfter != nil {
		f.duration(at+".alertAfter", *c.Condition.AlertAfter)
	}
}

func (f *faults) target(path string, t targetSpec) {
	f.description(path+".description", t.Description)
	f.required(path+".target", t.Target, "say who is told")
}
