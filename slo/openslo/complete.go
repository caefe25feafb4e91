package openslo

import (
	"errors"
	"fmt"

	"ghostlight/internal/strictyaml"
)

// find is the valid document of a kind and name, nil where there is none.
func (s *Set) find(kind string, name text) *entry {
	for _, d := range s.docs {
		if d.Valid() && d.Kind == kind && d.Name == string(name) {
			return d
		}
	}
	return nil
}

func missing(field, kind string, name text) error {
	return strictyaml.Fieldf(field, "names %q, but no file read with this one has a valid %s of that name", name, kind)
}

// complete returns a copy of an SLO with everything it refers to in its place.
func (s *Set) complete(from *sloDocument) (*sloDocument, error) {
	full := *from
	sp := &full.Spec
	var errs []error
	if sp.IndicatorRef != nil {
		if d := s.find(kindSLI, *sp.IndicatorRef); d != nil {
			sp.Indicator, sp.IndicatorRef = &indicator{Metadata: d.sli.Metadata, Spec: d.sli.Spec}, nil
		} else {
			errs = append(errs, missing("spec.indicatorRef", kindSLI, *sp.IndicatorRef))
		}
	}
	if sp.Indicator != nil {
		in := *sp.Indicator
		spec, err := s.inPlace(in.Spec)
		errs = append(errs, strictyaml.Under("spec.indicator.spec", err))
		in.Spec = spec
		sp.Indicator = &in
	}
	sp.AlertPolicies = nil
	for i, p := range from.Spec.AlertPolicies {
		p, err := s.completePolicy(p)
		errs = append(errs, strictyaml.Under(fmt.Sprintf("spec.alertPolicies[%d]", i), err))
		sp.AlertPolicies = append(sp.AlertPolicies, p)
	}
	return &full, errors.Join(errs...)
}

// completePolicy puts a policy and its condition in place. Its targets stay as
// they are: whom Ghostlight tells is not the objective's affair.
func (s *Set) completePolicy(p policyItem) (policyItem, error) {
	if ref := p.AlertPolicyRef; ref != nil {
		d := s.find(kindAlertPolicy, *ref)
		if d == nil {
			return p, missing("alertPolicyRef", kindAlertPolicy, *ref)
		}
		kind := text(kindAlertPolicy)
		p = policyItem{Kind: &kind, Metadata: &d.policy.Metadata, Spec: &d.policy.Spec}
	}
	spec := *p.Spec
	c := spec.Conditions[0]
	if ref := c.ConditionRef; ref != nil {
		d := s.find(kindCondition, *ref)
		if d == nil {
			return p, missing("spec.conditions[0].conditionRef", kindCondition, *ref)
		}
		kind := text(kindCondition)
		spec.Conditions = []conditionItem{{Kind: &kind, Metadata: &d.condition.Metadata, Spec: &d.condition.Spec}}
	}
	p.Spec = &spec
	return p, nil
}

// inPlace returns a copy of an SLI's spec whose sources say themselves of what
// type they are. Of a data source only that matters: a node asks none.
func (s *Set) inPlace(spec sliSpec) (sliSpec, error) {
	var errs []error
	fill := func(field string, m **metric) {
		if *m == nil || (*m).MetricSource.MetricSourceRef == "" {
			return
		}
		of := **m
		ref := of.MetricSource.MetricSourceRef
		d := s.find(kindDataSource, ref)
		if d == nil {
			errs = append(errs, missing(field+".metricSource.metricSourceRef", kindDataSource, ref))
			return
		}
		of.MetricSource.Type, of.MetricSource.MetricSourceRef = d.data.Spec.Type, ""
		*m = &of
	}
	fill("thresholdMetric", &spec.ThresholdMetric)
	if spec.RatioMetric != nil {
		r := *spec.RatioMetric
		fill("ratioMetric.good", &r.Good)
		fill("ratioMetric.bad", &r.Bad)
		fill("ratioMetric.total", &r.Total)
		spec.RatioMetric = &r
	}
	return spec, errors.Join(errs...)
}
