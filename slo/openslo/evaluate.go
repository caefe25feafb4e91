package openslo

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"ghostlight/internal/strictyaml"
	"ghostlight/slo"
)

// What is refused here is valid OpenSLO that Ghostlight does not evaluate; each
// refusal says why, and what would do instead.

// evaluate turns an SLO whose references are in place into an objective.
func (s *sloDocument) evaluate() (slo.Objective, error) {
	o := slo.Objective{
		Name: string(s.Metadata.Name), DisplayName: string(s.Metadata.DisplayName), Description: string(s.Spec.Description),
		Service: string(s.Spec.Service), Budgeting: slo.Method(s.Spec.BudgetingMethod),
	}
	if o.DisplayName == "" {
		o.DisplayName = o.Name
	}
	if len(s.Spec.Objectives) != 1 {
		return o, strictyaml.Fieldf("spec.objectives", "has %d entries; evaluated: exactly one (write another SLO for another target)", len(s.Spec.Objectives))
	}
	if s.Spec.composite() {
		return o, strictyaml.Fieldf("spec.objectives[0]", "has an indicator of its own: composite SLOs are not evaluated; give each indicator an SLO")
	}
	first := s.Spec.Objectives[0]
	var errs []error
	window, err := s.Spec.TimeWindow[0].window()
	errs = append(errs, strictyaml.Under("spec.timeWindow[0]", err))
	o.Window = window
	errs = append(errs, strictyaml.Under("spec.objectives[0]", first.evaluate(&o)))
	if s.Spec.Indicator != nil {
		ind, err := s.Spec.Indicator.Spec.indicator(first)
		errs = append(errs, strictyaml.Under("spec.indicator.spec", err))
		o.Indicator = ind
	}
	for i, p := range s.Spec.AlertPolicies {
		errs = append(errs, strictyaml.Under(fmt.Sprintf("spec.alertPolicies[%d]", i), p.evaluate(&o)))
	}
	errs = append(errs, annotate(s.Metadata, &o))
	if err := errors.Join(errs...); err != nil {
		return o, err
	}
	if o.Missing != slo.MissingIgnored && !o.Budgeting.Sliced() {
		return o, strictyaml.Fieldf("metadata.annotations."+MissingData, "needs slices of time: with budgetingMethod %s no event is no event; allowed: ignore", o.Budgeting)
	}
	o.Hash = slo.IndicatorHash(o.Name, o.Indicator)
	if err := o.Validate(); err != nil {
		return o, strictyaml.Fieldf("spec", "%v", err)
	}
	o.Document, err = s.canonical(o.Target)
	return o, err
}

// evaluate reads the target and the slices.
func (e objective) evaluate(o *slo.Objective) error {
	field := "target"
	if e.Target != nil {
		o.Target = float64(*e.Target)
	} else {
		field, o.Target = "targetPercent", percent(float64(*e.TargetPercent))
	}
	if o.Target <= 0 {
		return strictyaml.Fieldf(field, "is 0, which promises nothing; evaluated: above 0")
	}
	if !o.Budgeting.Sliced() {
		return nil
	}
	d, ok := e.TimeSliceWindow.length()
	if !ok || d > 24*time.Hour || d > o.Window.Period() {
		return strictyaml.Fieldf("timeSliceWindow", "is %q; evaluated: 1m to 1d, and no longer than the time window", e.TimeSliceWindow.text)
	}
	o.Slice.Minutes = int64(d / time.Minute)
	if e.TimeSliceTarget != nil && o.Budgeting == slo.Timeslices {
		o.Slice.Target = float64(*e.TimeSliceTarget)
	}
	return nil
}

// window is the time window as the arithmetic has it. Its errors name fields
// below the window.
func (t timeWindow) window() (slo.Window, error) {
	w := slo.Window{Rolling: t.Calendar == nil}
	if !t.Duration.exact() {
		return w, strictyaml.Fieldf("duration", "is %q; evaluated: a number above 0 and one of m, h, d, w, M, Q, Y, such as 28d", t.Duration.text)
	}
	w.Count, w.Unit = t.Duration.count, slo.Unit(t.Duration.unit[0])
	if t.Calendar != nil {
		var err error
		if w.Zone, err = zone(string(t.Calendar.TimeZone)); err == nil {
			w.Start, err = time.ParseInLocation(time.DateTime, string(t.Calendar.StartTime), w.Zone)
		}
		if err != nil || w.Start.Year() < 1970 || w.Start.Second() != 0 {
			return w, strictyaml.Fieldf("calendar.startTime", "is %q; evaluated: a whole minute since 1970, such as 2026-01-01 00:00:00", t.Calendar.StartTime)
		}
	}
	if err := w.Validate(); err != nil {
		return w, strictyaml.Fieldf("duration", "is %q: %v", t.Duration.text, err)
	}
	return w, nil
}

// evaluate adds the burn alert of a policy that is in place.
func (p policyItem) evaluate(o *slo.Objective) error {
	if p.Spec == nil {
		return nil // the reference is known to lead nowhere
	}
	switch {
	case bool(p.Spec.AlertWhenNoData):
		return strictyaml.Fieldf("spec.alertWhenNoData", "is true, but a burn alert says nothing of silence: a dark node is paged for by itself; evaluated: false")
	case !bool(p.Spec.AlertWhenBreaching):
		return strictyaml.Fieldf("spec.alertWhenBreaching", "is not true: the policy would never alert; write alertWhenBreaching: true")
	}
	c := p.Spec.Conditions[0]
	if c.Spec == nil {
		return nil
	}
	t, err := c.Spec.Condition.tier(c.Spec.Severity, o.Window.Period())
	if err == nil && o.Target > 0 {
		if never := t.CanFire(o.Target); never != nil {
			err = strictyaml.Fieldf("threshold", "is %v: %v; lower it or raise the target", t.Rate, never)
		}
	}
	if err != nil {
		return strictyaml.Under("spec.conditions[0].spec.condition", err)
	}
	o.Alerts = append(o.Alerts, t)
	return nil
}

// tier is the burn alert of a condition over budgets of period, or of any period
// for 0.
func (c conditionType) tier(severity text, period time.Duration) (slo.Tier, error) {
	t := slo.Tier{Rate: float64(*c.Threshold), Urgency: slo.Ticket}
	if s := strings.ToLower(string(severity)); s == "page" || s == "critical" {
		t.Urgency = slo.Page
	}
	var ok bool
	if c.Op != "gt" && c.Op != "gte" {
		return t, strictyaml.Fieldf("op", "is %q: too slow a burn is no alert; evaluated: gt, gte", c.Op)
	}
	if t.Rate <= 0 {
		return t, strictyaml.Fieldf("threshold", "is %v, which any error exceeds; evaluated: above 0", t.Rate)
	}
	if t.Long, ok = c.LookbackWindow.length(); !ok || (period > 0 && t.Long > period) {
		return t, strictyaml.Fieldf("lookbackWindow", "is %q; evaluated: from 1m to the time window, such as 1h", c.LookbackWindow.text)
	}
	if c.AlertAfter != nil && c.AlertAfter.count > 0 {
		if t.After, ok = c.AlertAfter.length(); !ok || t.After > 24*time.Hour {
			return t, strictyaml.Fieldf("alertAfter", "is %q; evaluated: up to 1d, such as 5m", c.AlertAfter.text)
		}
	}
	t.Short = max(t.Long/12/time.Minute, 1) * time.Minute
	if t.Long > 24*time.Hour && t.Long%time.Hour != 0 {
		return t, strictyaml.Fieldf("lookbackWindow", "is %q; evaluated beyond a day: whole hours", c.LookbackWindow.text)
	}
	if period > 0 {
		t.Share = t.Rate * float64(t.Long) / float64(period)
	}
	return t, nil
}

// indicator is what is counted. Its errors name fields below the SLI's spec.
func (s sliSpec) indicator(o objective) (slo.Indicator, error) {
	if s.ThresholdMetric != nil {
		return gauge(s.ThresholdMetric.MetricSource, o)
	}
	r := s.RatioMetric
	switch {
	case r.Raw != nil:
		return slo.Indicator{}, strictyaml.Fieldf("ratioMetric.raw", "is a ratio already, which cannot be summed over nodes and time; evaluated: total with good or bad")
	case r.Counter != nil && !bool(*r.Counter):
		return slo.Indicator{}, strictyaml.Fieldf("ratioMetric.counter", "is false, but what is counted only ever grows; evaluated: true")
	}
	if strings.EqualFold(string(r.Total.MetricSource.Type), prometheusType) {
		return r.counters()
	}
	if r.Good == nil {
		return slo.Indicator{}, strictyaml.Fieldf("ratioMetric.bad", "is not what %s sources count; evaluated: good, total", sourceType)
	}
	good, err := r.Good.MetricSource.source("good")
	if err != nil {
		return slo.Indicator{}, strictyaml.Under("ratioMetric.good.metricSource", err)
	}
	total, err := r.Total.MetricSource.source("total")
	if err != nil {
		return slo.Indicator{}, strictyaml.Under("ratioMetric.total.metricSource", err)
	}
	if good.String() != total.String() {
		return slo.Indicator{}, strictyaml.Fieldf("ratioMetric.good", "counts %s, but total counts %s; evaluated: the same source", good, total)
	}
	return total, nil
}

const (
	sourceType     = "ghostlight"
	prometheusType = "prometheus"
)

// sourceFields are the fields of a ghostlight source's spec beside count; a
// source has one of them.
func sourceFields() []string {
	return []string{"baseline", "contact", "journey", "outcomes", "recovery", "velocity"}
}

// source is the indicator whose events of the given count this source names.
func (m metricSource) source(count string) (slo.Indicator, error) {
	if m.Type != sourceType {
		return slo.Indicator{}, strictyaml.Fieldf("type", "is %q: a node asks no data source and counts by itself; evaluated: %s, %s", m.Type, sourceType, prometheusType)
	}
	var name, value string
	for _, key := range slices.Sorted(maps.Keys(m.Spec)) {
		is, ok := m.Spec[key].(string)
		switch {
		case !ok:
			return slo.Indicator{}, strictyaml.Fieldf("spec."+key, "must be text")
		case key == "count" && is != count:
			return slo.Indicator{}, strictyaml.Fieldf("spec.count", "is %q; allowed here: %s", is, count)
		case key == "count":
		case !slices.Contains(sourceFields(), key):
			return slo.Indicator{}, strictyaml.Fieldf("spec."+key, "is unknown; allowed: count and one of %s", strings.Join(sourceFields(), ", "))
		case name != "":
			return slo.Indicator{}, strictyaml.Fieldf("spec."+key, "excludes %s: choose one of the two", name)
		default:
			name, value = key, is
		}
	}
	if _, given := m.Spec["count"]; !given {
		return slo.Indicator{}, strictyaml.Fieldf("spec", "has no count; allowed here: count: %s", count)
	}
	if name == "" {
		return slo.Indicator{}, strictyaml.Fieldf("spec", "names nothing to count; allowed: one of %s", strings.Join(sourceFields(), ", "))
	}
	return named(name, value)
}

// named is the indicator that one field of a source's spec names.
func named(name, value string) (slo.Indicator, error) {
	var ind slo.Indicator
	switch d, err := time.ParseDuration(value); name {
	case "outcomes":
		ind.Outcome = &slo.OutcomeIndicator{Kind: value}
	case "journey":
		if !slo.ValidName(value) {
			return ind, strictyaml.Fieldf("spec.journey", "is %q; allowed: the name of a journey, 1 to 63 characters of a-z, 0-9 and '-'", value)
		}
		ind.Journey = &slo.JourneyIndicator{Name: value}
	case "contact":
		if value != "node" {
			return ind, strictyaml.Fieldf("spec.contact", "is %q; allowed: node", value)
		}
		ind.Contact = &slo.ContactIndicator{}
	case "baseline":
		days, err := strconv.Atoi(strings.TrimSuffix(value, "d"))
		if err != nil || value != strconv.Itoa(days)+"d" {
			return ind, strictyaml.Fieldf("spec.baseline", "is %q; allowed: days, such as 28d", value)
		}
		ind.Baseline = &slo.BaselineIndicator{Days: days}
	default:
		if err != nil || d%time.Second != 0 {
			return ind, strictyaml.Fieldf("spec."+name, "is %q; allowed: a time, such as 15m", value)
		}
		if name == "velocity" {
			ind.Velocity = &slo.VelocityIndicator{Seconds: int64(d / time.Second)}
		} else {
			ind.Recovery = &slo.RecoveryIndicator{Seconds: int64(d / time.Second)}
		}
	}
	if err := ind.Validate(); err != nil {
		return ind, strictyaml.Fieldf("spec."+name, "is %q: %v", value, err)
	}
	return ind, nil
}
