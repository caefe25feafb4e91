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

// Validate reports every field of an SLO that this version cannot evaluate.
func (s *sloDocument) Validate() error {
	errs := []error{checkHeader(s.APIVersion), checkName(s.Metadata.Name), checkAnnotations(s.Metadata.Annotations)}
	sp := s.Spec
	switch {
	case sp.Indicator != nil && sp.IndicatorRef != "":
		errs = append(errs, strictyaml.Fieldf("spec.indicatorRef", "excludes indicator: choose one of the two"))
	case sp.Indicator != nil:
		errs = append(errs, checkIndicator("spec.indicator.spec", sp.Indicator.Spec))
	case sp.IndicatorRef == "":
		errs = append(errs, strictyaml.Fieldf("spec", "has no indicator; allowed: indicator, or indicatorRef with an SLI in the same file"))
	}
	errs = append(errs, checkWindows(sp.TimeWindow), checkMethod(sp.BudgetingMethod), checkObjectives(sp.Objectives))
	if len(sp.AlertPolicies) > 0 {
		errs = append(errs, strictyaml.Fieldf("spec.alertPolicies", "is not supported by this version: burn alerts follow from target and window; allowed: leave it out"))
	}
	return errors.Join(errs...)
}

// Validate reports every field of an SLI that this version cannot evaluate.
func (s *sliDocument) Validate() error {
	return errors.Join(checkHeader(s.APIVersion), checkName(s.Metadata.Name), checkIndicator("spec", s.Spec))
}

func checkHeader(version string) error {
	if version != apiVersion {
		return strictyaml.Fieldf("apiVersion", "is %q; allowed: %s", version, apiVersion)
	}
	return nil
}

func checkName(name string) error {
	if !slo.ValidName(name) {
		return strictyaml.Fieldf("metadata.name", "is %q; allowed: 1 to 63 characters of a-z, 0-9 and '-', neither first nor last a '-'", name)
	}
	return nil
}

func checkAnnotations(annotations map[string]string) error {
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		value, path := annotations[key], "metadata.annotations."+key
		switch {
		case !strings.HasPrefix(key, Prefix), key == Owner:
		case key == EventWindow:
			if value != "true" && value != "false" {
				errs = append(errs, strictyaml.Fieldf(path, "is %q; allowed: \"true\", \"false\"", value))
			}
		case key == CapacityPerMinute:
			if n, err := strconv.ParseInt(value, 10, 64); err != nil || n < 1 || n > maxCapacity {
				errs = append(errs, strictyaml.Fieldf(path, "is %q; allowed: a whole number from 1 to %d, in quotes", value, maxCapacity))
			}
		default:
			errs = append(errs, strictyaml.Fieldf(path, "is unknown; allowed below %s: capacity-per-minute, event-window, owner", Prefix))
		}
	}
	return errors.Join(errs...)
}

const maxCapacity = 1_000_000

func checkMethod(method string) error {
	switch method {
	case string(slo.Occurrences):
		return nil
	case "Timeslices", "RatioTimeslices":
		return strictyaml.Fieldf("spec.budgetingMethod", "%s is not supported by this version: events are counted one by one, not by slices of time; allowed: %s", method, slo.Occurrences)
	}
	return strictyaml.Fieldf("spec.budgetingMethod", "is %q; allowed: %s", method, slo.Occurrences)
}

func checkObjectives(objectives []objective) error {
	if len(objectives) != 1 {
		return strictyaml.Fieldf("spec.objectives", "has %d entries; allowed: exactly one (write another SLO for another target)", len(objectives))
	}
	var errs []error
	o, path := objectives[0], "spec.objectives[0]"
	unsupported := func(field string, given bool, why string) {
		if given {
			errs = append(errs, strictyaml.Fieldf(path+"."+field, "is not supported by this version: %s; allowed: displayName, target, targetPercent", why))
		}
	}
	unsupported("op", o.Op != "", "it compares the values of a thresholdMetric")
	unsupported("value", o.Value != nil, "it compares the values of a thresholdMetric")
	unsupported("timeSliceTarget", o.TimeSliceTarget != nil, "events are not counted by slices of time")
	unsupported("timeSliceWindow", o.TimeSliceWindow != "", "events are not counted by slices of time")
	unsupported("indicator", o.Indicator != nil, "an objective has the indicator of its SLO")
	unsupported("indicatorRef", o.IndicatorRef != "", "an objective has the indicator of its SLO")
	unsupported("compositeWeight", o.CompositeWeight != nil, "objectives are not combined")
	switch {
	case o.Target != nil && o.TargetPercent != nil:
		errs = append(errs, strictyaml.Fieldf(path+".targetPercent", "excludes target: choose one of the two"))
	case o.Target == nil && o.TargetPercent == nil:
		errs = append(errs, strictyaml.Fieldf(path, "has no target; allowed: target (such as 0.99) or targetPercent (such as 99)"))
	case o.Target != nil && !(*o.Target > 0 && *o.Target < 1):
		errs = append(errs, strictyaml.Fieldf(path+".target", "is %v; allowed: above 0 and below 1", *o.Target))
	case o.TargetPercent != nil && !(*o.TargetPercent > 0 && *o.TargetPercent < 100):
		errs = append(errs, strictyaml.Fieldf(path+".targetPercent", "is %v; allowed: above 0 and below 100", *o.TargetPercent))
	}
	return errors.Join(errs...)
}

func checkWindows(windows []timeWindow) error {
	if len(windows) != 1 {
		return strictyaml.Fieldf("spec.timeWindow", "has %d entries; allowed: exactly one", len(windows))
	}
	_, err := windows[0].window()
	return strictyaml.Under("spec.timeWindow[0]", err)
}

// window is the time window as the arithmetic has it. Its errors name fields
// below the window.
func (t timeWindow) window() (slo.Window, error) {
	var w slo.Window
	if n := len(t.Duration); n >= 2 {
		if count, err := strconv.ParseUint(t.Duration[:n-1], 10, 16); err == nil {
			w.Count, w.Unit = int(count), slo.Unit(t.Duration[n-1])
		}
	}
	if w.Count == 0 {
		return w, strictyaml.Fieldf("duration", "is %q; allowed: a number and one of m, h, d, w, M, Q, Y, such as 28d", t.Duration)
	}
	w.Rolling = t.Calendar == nil
	switch {
	case w.Rolling && (t.IsRolling == nil || !*t.IsRolling):
		return w, strictyaml.Fieldf("", "is neither rolling nor calendar; allowed: isRolling: true, or calendar with startTime and timeZone")
	case !w.Rolling && t.IsRolling != nil && *t.IsRolling:
		return w, strictyaml.Fieldf("isRolling", "excludes calendar: choose one of the two")
	}
	if t.Calendar != nil {
		zone, err := time.LoadLocation(t.Calendar.TimeZone)
		if err != nil || t.Calendar.TimeZone == "" || t.Calendar.TimeZone == "Local" {
			return w, strictyaml.Fieldf("calendar.timeZone", "is %q; allowed: a name of the IANA time zone database, such as Europe/Berlin", t.Calendar.TimeZone)
		}
		start, err := time.ParseInLocation(time.DateTime, t.Calendar.StartTime, zone)
		if err != nil || start.Year() < 1970 || start.Second() != 0 {
			return w, strictyaml.Fieldf("calendar.startTime", "is %q; allowed: a whole minute since 1970, such as 2026-01-01 00:00:00", t.Calendar.StartTime)
		}
		w.Zone, w.Start = zone, start
	}
	if err := w.Validate(); err != nil {
		return w, strictyaml.Fieldf("duration", "is %q: %v", t.Duration, err)
	}
	return w, nil
}

// checkIndicator reports what keeps the indicator at path from being counted.
func checkIndicator(path string, s sliSpec) error {
	if s.ThresholdMetric != nil {
		return strictyaml.Fieldf(path+".thresholdMetric", "is not supported by this version: events are good or bad, values are not compared; allowed: ratioMetric")
	}
	_, err := s.indicator()
	return strictyaml.Under(path, err)
}

// indicator is what is counted. Its errors name fields below the SLI's spec.
func (s sliSpec) indicator() (slo.Indicator, error) {
	r := s.RatioMetric
	switch {
	case r == nil:
		return slo.Indicator{}, strictyaml.Fieldf("", "has no ratioMetric; allowed: ratioMetric with good and total")
	case r.Bad != nil:
		return slo.Indicator{}, strictyaml.Fieldf("ratioMetric.bad", "is not supported by this version: sources count good events; allowed: good, total")
	case r.Raw != nil || r.RawType != "":
		return slo.Indicator{}, strictyaml.Fieldf("ratioMetric.raw", "is not supported by this version: a ratio cannot be summed over nodes; allowed: good, total")
	case r.Counter != nil && !*r.Counter:
		return slo.Indicator{}, strictyaml.Fieldf("ratioMetric.counter", "is false, but outcomes and journeys are counted; allowed: true")
	case r.Good == nil || r.Total == nil:
		return slo.Indicator{}, strictyaml.Fieldf("ratioMetric", "needs both good and total")
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
		return slo.Indicator{}, strictyaml.Fieldf("ratioMetric.good", "counts %s, but total counts %s; allowed: the same source", good, total)
	}
	return total, nil
}

const sourceType = "ghostlight"

// source is the indicator whose events of the given count this source names.
func (m metricSource) source(count string) (slo.Indicator, error) {
	switch {
	case m.MetricSourceRef != "":
		return slo.Indicator{}, strictyaml.Fieldf("metricSourceRef", "is not supported by this version: a node counts by itself and asks no data source; allowed: type, spec")
	case strings.EqualFold(m.Type, "prometheus"):
		return slo.Indicator{}, strictyaml.Fieldf("type", "%s is not supported by this version: counters are not turned into events; allowed: %s", m.Type, sourceType)
	case m.Type != sourceType:
		return slo.Indicator{}, strictyaml.Fieldf("type", "is %q; allowed: %s", m.Type, sourceType)
	}
	text := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(m.Spec)) {
		value, ok := m.Spec[key].(string)
		switch {
		case key != "outcomes" && key != "journey" && key != "count":
			return slo.Indicator{}, strictyaml.Fieldf("spec."+key, "is unknown; allowed: count, journey, outcomes")
		case !ok:
			return slo.Indicator{}, strictyaml.Fieldf("spec."+key, "must be text")
		}
		text[key] = value
	}
	if text["count"] != count {
		return slo.Indicator{}, strictyaml.Fieldf("spec.count", "is %q; allowed here: %s", text["count"], count)
	}
	return named(text)
}

// named is the indicator of a source's spec.
func named(spec map[string]string) (slo.Indicator, error) {
	outcomes, journey := spec["outcomes"], spec["journey"]
	switch {
	case (outcomes == "") == (journey == ""):
		return slo.Indicator{}, strictyaml.Fieldf("spec", "must name one of outcomes and journey")
	case outcomes != "" && !slices.Contains(slo.OutcomeKinds(), outcomes):
		return slo.Indicator{}, strictyaml.Fieldf("spec.outcomes", "is %q; allowed: %s", outcomes, strings.Join(slo.OutcomeKinds(), ", "))
	case outcomes != "":
		return slo.Indicator{Outcome: &slo.OutcomeIndicator{Kind: outcomes}}, nil
	}
	if !slo.ValidName(journey) {
		return slo.Indicator{}, strictyaml.Fieldf("spec.journey", "is %q; allowed: the name of a journey, 1 to 63 characters of a-z, 0-9 and '-'", journey)
	}
	return slo.Indicator{Journey: &slo.JourneyIndicator{Name: journey}}, nil
}

// objectives turns the validated SLOs into objectives.
func (d *decoder) objectives() ([]slo.Objective, error) {
	var out []slo.Objective
	for _, s := range d.slos {
		o, err := s.doc.objective()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d.name, err)
		}
		out = append(out, o)
	}
	return out, nil
}
