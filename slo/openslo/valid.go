package openslo

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"ghostlight/internal/strictyaml"
	"ghostlight/slo"
)

// What is checked here is what OpenSLO itself asks of a document, no more and no
// less, so that the verdict is that of its official library. Whether Ghostlight
// can evaluate a valid document is another question, answered in evaluate.go.

// faults collects what is wrong with a document, field by field.
type faults struct{ list []error }

func (f *faults) add(path, format string, args ...any) {
	f.list = append(f.list, strictyaml.Fieldf(path, format, args...))
}

func (f *faults) err() error { return errors.Join(f.list...) }

const maxDescription = 1050

func (f *faults) description(path string, t text) {
	if n := utf8.RuneCountInString(string(t)); n > maxDescription {
		f.add(path, "is %d characters long; allowed: %d", n, maxDescription)
	}
}

func (f *faults) required(path string, t text, what string) {
	if t == "" {
		f.add(path, "is missing: %s", what)
	}
}

// name checks a name or a reference to one.
func (f *faults) name(path string, t text) {
	if !slo.ValidName(string(t)) {
		f.add(path, "is %q; allowed: 1 to 63 characters of a-z, 0-9 and '-', neither first nor last a '-'", t)
	}
}

var (
	labelKey      = regexp.MustCompile(`^[a-zA-Z0-9]([-._a-zA-Z0-9]{0,61}[a-zA-Z0-9])?$`)
	annotationKey = regexp.MustCompile(`^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*/)?[a-zA-Z0-9]([-._a-zA-Z0-9]{0,61}[a-zA-Z0-9])?$`)
)

func (f *faults) metadata(path string, m metadata) {
	f.name(path+".name", m.Name)
	if n := utf8.RuneCountInString(string(m.DisplayName)); n > 63 {
		f.add(path+".displayName", "is %d characters long; allowed: 63", n)
	}
	for _, key := range slices.Sorted(maps.Keys(m.Labels)) {
		if !labelKey.MatchString(key) {
			f.add(path+".labels."+key, "is no name of a label; allowed: 1 to 63 letters, digits, '-', '.' and '_', first and last a letter or digit")
		}
	}
	for _, key := range slices.Sorted(maps.Keys(m.Annotations)) {
		if prefix, _, ok := strings.Cut(key, "/"); !annotationKey.MatchString(key) || (ok && len(prefix) > 253) {
			f.add(path+".annotations."+key, "is no name of an annotation; allowed: 1 to 63 letters, digits, '-', '.' and '_', with a domain and '/' in front if need be")
		}
	}
}

// duration checks a shorthand that was given.
func (f *faults) duration(path string, s shorthand) {
	if !s.valid() {
		f.add(path, "is %q; allowed: a number and one of m, h, d, w, M, Q, Y, such as 28d", s.text)
	}
}

// one checks a choice of words.
func (f *faults) one(path string, t text, allowed ...string) {
	if !slices.Contains(allowed, string(t)) {
		f.add(path, "is %q; allowed: %s", t, strings.Join(allowed, ", "))
	}
}

func (s *sloDocument) check() error {
	f := &faults{}
	f.metadata("metadata", s.Metadata)
	sp := &s.Spec
	f.description("spec.description", sp.Description)
	f.required("spec.service", sp.Service, "name the service that promises this")
	f.indicators(sp)
	f.one("spec.budgetingMethod", sp.BudgetingMethod, slo.Methods()...)
	if len(sp.TimeWindow) != 1 {
		f.add("spec.timeWindow", "has %d entries; allowed: exactly one", len(sp.TimeWindow))
	}
	for i, w := range sp.TimeWindow {
		f.timeWindow(fmt.Sprintf("spec.timeWindow[%d]", i), w)
	}
	for i, o := range sp.Objectives {
		f.objective(fmt.Sprintf("spec.objectives[%d]", i), o, sp)
	}
	for i, p := range sp.AlertPolicies {
		f.policyItem(fmt.Sprintf("spec.alertPolicies[%d]", i), p)
	}
	return f.err()
}

// composite reports whether objectives have indicators of their own.
func (s *sloSpec) composite() bool {
	return slices.ContainsFunc(s.Objectives, func(o objective) bool { return o.Indicator != nil || o.IndicatorRef != nil })
}

// indicators checks who has the indicator: the SLO or, in a composite one, its
// objectives.
func (f *faults) indicators(s *sloSpec) {
	own := s.Indicator != nil || s.IndicatorRef != nil
	switch {
	case s.composite() && own:
		f.add("spec", "has an indicator, and so have its objectives: choose one of the two places")
	case !s.composite() && !own:
		f.add("spec", "has no indicator; allowed: indicator, or indicatorRef with the name of an SLI")
	}
	f.indicator("spec", s.Indicator, s.IndicatorRef)
}

func (f *faults) indicator(path string, in *indicator, ref *text) {
	switch {
	case in != nil && ref != nil:
		f.add(path+".indicatorRef", "excludes indicator: choose one of the two")
	case in != nil:
		f.metadata(path+".indicator.metadata", in.Metadata)
		f.sli(path+".indicator.spec", in.Spec)
	case ref != nil:
		f.name(path+".indicatorRef", *ref)
	}
}

func (f *faults) timeWindow(path string, w timeWindow) {
	rolling := w.IsRolling != nil && bool(*w.IsRolling)
	switch {
	case rolling && w.Calendar != nil:
		f.add(path+".isRolling", "excludes calendar: choose one of the two")
	case !rolling && w.Calendar == nil:
		f.add(path, "is neither rolling nor calendar; allowed: isRolling: true, or calendar with startTime and timeZone")
	}
	f.duration(path+".duration", w.Duration)
	if w.Calendar == nil {
		return
	}
	if _, err := time.Parse(time.DateTime, string(w.Calendar.StartTime)); err != nil {
		f.add(path+".calendar.startTime", "is %q; allowed: date and time, such as 2026-01-01 00:00:00", w.Calendar.StartTime)
	}
	if _, err := zone(string(w.Calendar.TimeZone)); err != nil {
		f.add(path+".calendar.timeZone", "is %q; allowed: a name of the IANA time zone database, such as Europe/Berlin", w.Calendar.TimeZone)
	}
}

func zone(name string) (*time.Location, error) {
	if name == "" || name == "Local" {
		return nil, errors.New("no time zone")
	}
	return time.LoadLocation(name)
}

func (f *faults) objective(path string, o objective, s *sloSpec) {
	switch {
	case o.Target != nil && o.TargetPercent != nil:
		f.add(path+".targetPercent", "excludes target: choose one of the two")
	case o.Target == nil && o.TargetPercent == nil:
		f.add(path, "has no target; allowed: target (such as 0.99) or targetPercent (such as 99)")
	case o.Target != nil && !(*o.Target >= 0 && *o.Target < 1):
		f.add(path+".target", "is %v; allowed: from 0 to below 1", *o.Target)
	case o.TargetPercent != nil && !(*o.TargetPercent >= 0 && *o.TargetPercent < 100):
		f.add(path+".targetPercent", "is %v; allowed: from 0 to below 100", *o.TargetPercent)
	}
	f.comparison(path, o, s)
	f.slices(path, o, s.BudgetingMethod)
	if !s.composite() {
		return
	}
	f.indicator(path, o.Indicator, o.IndicatorRef)
	if o.CompositeWeight != nil && !(*o.CompositeWeight > 0) {
		f.add(path+".compositeWeight", "is %v; allowed: above 0", *o.CompositeWeight)
	}
}

// comparison checks op and value, which belong to a thresholdMetric. Whether a
// referenced SLI has one is not known here.
func (f *faults) comparison(path string, o objective, s *sloSpec) {
	if s.Indicator == nil {
		return
	}
	if s.Indicator.Spec.RatioMetric != nil {
		const why = "is not allowed with a ratioMetric: it compares the values of a thresholdMetric; leave it out"
		if o.Op != "" {
			f.add(path+".op", why)
		}
		if o.Value != nil {
			f.add(path+".value", why)
		}
	}
	if s.Indicator.Spec.ThresholdMetric != nil {
		f.one(path+".op", o.Op, slo.Operators()...)
		if o.Value == nil {
			f.add(path+".value", "is missing: say what the thresholdMetric is compared with")
		}
	}
}

func (f *faults) slices(path string, o objective, method text) {
	if !slo.Method(method).Sliced() {
		return
	}
	if slo.Method(method) == slo.Timeslices {
		if o.TimeSliceTarget == nil {
			f.add(path+".timeSliceTarget", "is missing: say what share of good events makes a slice good, such as 0.95")
		} else if !(*o.TimeSliceTarget > 0 && *o.TimeSliceTarget <= 1) {
			f.add(path+".timeSliceTarget", "is %v; allowed: above 0 up to 1", *o.TimeSliceTarget)
		}
	}
	if o.TimeSliceWindow == nil {
		f.add(path+".timeSliceWindow", "is missing: say how long a slice is, such as 5m")
		return
	}
	f.duration(path+".timeSliceWindow", *o.TimeSliceWindow)
}
