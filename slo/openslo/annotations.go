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

// Prefix is that of Ghostlight's own annotations.
const Prefix = "ghostlight.dev/"

// Annotations that this package reads on an SLO; any other below [Prefix] is
// refused.
const (
	EventWindow       = Prefix + "event-window"        // "true": also judged for each show on its own
	CapacityPerMinute = Prefix + "capacity-per-minute" // most events a minute of one node can hold
	MinTraffic        = Prefix + "min-traffic"         // events a long window must hold before it may alert
	MissingData       = Prefix + "missing-data"        // what a slice of time without events is: ignore, good or bad
	Exclusions        = Prefix + "exclusions"          // planned time, a line each: a duration and an RFC 5545 rule
	OpeningHours      = Prefix + "opening-hours"       // outside them nothing counts
	FinalAfter        = Prefix + "final-after"         // how long a pending minute is waited for
	Audience          = Prefix + "audience"            // whom it is promised to
	Owner             = Prefix + "owner"               // whom to ask
)

const (
	maxCapacity   = 1_000_000
	maxExclusions = 20
	maxFree       = 200 // characters of a free text
)

// readers set what an annotation says; their errors read on from its name.
var readers = map[string]func(value string, o *slo.Objective) error{
	EventWindow: func(v string, o *slo.Objective) error {
		o.PerEvent = v == "true"
		if v != "true" && v != "false" {
			return fmt.Errorf("is %q; allowed: \"true\", \"false\"", v)
		}
		return nil
	},
	CapacityPerMinute: func(v string, o *slo.Objective) error { return whole(v, &o.Capacity) },
	MinTraffic:        func(v string, o *slo.Objective) error { return whole(v, &o.MinTraffic) },
	MissingData: func(v string, o *slo.Objective) error {
		if v != "ignore" && v != "good" && v != "bad" {
			return fmt.Errorf("is %q; allowed: ignore, good, bad", v)
		}
		if v != "ignore" {
			o.Missing = slo.Missing(v)
		}
		return nil
	},
	Exclusions: readExclusions,
	OpeningHours: func(v string, o *slo.Objective) error {
		o.Hours = slo.Hours(v)
		return described(o.Hours.Validate(), v)
	},
	FinalAfter: readFinalAfter,
	Audience:   func(v string, o *slo.Objective) error { return free(v, &o.Audience) },
	Owner:      func(v string, o *slo.Objective) error { return free(v, &o.Owner) },
}

// described makes an error of slo read on from a field's name.
func described(err error, value string) error {
	if err != nil {
		return fmt.Errorf("is %q: %w", value, err)
	}
	if value == "" {
		return errors.New("is empty: leave it out")
	}
	return nil
}

func whole(v string, to *int64) error {
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < 1 || n > maxCapacity {
		return fmt.Errorf("is %q; allowed: a whole number from 1 to %d, in quotes", v, maxCapacity)
	}
	*to = n
	return nil
}

func free(v string, to *string) error {
	if v == "" || len(v) > maxFree {
		return fmt.Errorf("is %d characters long; allowed: 1 to %d", len(v), maxFree)
	}
	*to = v
	return nil
}

func readFinalAfter(v string, o *slo.Objective) error {
	days, ok := strings.CutSuffix(v, "d")
	n, err := strconv.Atoi(days)
	if !ok || err != nil || n < 1 || n > 366 {
		return fmt.Errorf("is %q; allowed: 1d to 366d", v)
	}
	o.FinalAfter = time.Duration(n) * 24 * time.Hour
	return nil
}

func readExclusions(v string, o *slo.Objective) error {
	for line := range strings.Lines(v) {
		length, rule, _ := strings.Cut(strings.TrimSpace(line), " ")
		if length == "" {
			continue
		}
		d, err := time.ParseDuration(length)
		if err != nil {
			return fmt.Errorf("has the line %q; allowed: a duration and a rule, such as 30m DTSTART;TZID=Europe/Berlin:20260105T030000 RRULE:FREQ=WEEKLY", strings.TrimSpace(line))
		}
		o.Exclusions = append(o.Exclusions, slo.Exclusion{Length: d, Rule: strings.Join(strings.Fields(rule), " ")})
		if err := o.Exclusions[len(o.Exclusions)-1].Validate(); err != nil {
			return fmt.Errorf("has the line %q: %w", strings.TrimSpace(line), err)
		}
	}
	if n := len(o.Exclusions); n == 0 || n > maxExclusions {
		return fmt.Errorf("has %d lines; allowed: 1 to %d", n, maxExclusions)
	}
	return nil
}

// annotate reads our annotations of an SLO into o.
func annotate(m metadata, o *slo.Objective) error {
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(m.Annotations)) {
		if !strings.HasPrefix(key, Prefix) {
			continue
		}
		read, known := readers[key]
		if !known {
			errs = append(errs, strictyaml.Fieldf("metadata.annotations."+key, "is unknown; allowed below %s: %s", Prefix, strings.Join(annotationNames(), ", ")))
			continue
		}
		if err := read(string(m.Annotations[key]), o); err != nil {
			errs = append(errs, strictyaml.Fieldf("metadata.annotations."+key, "%v", err))
		}
	}
	return errors.Join(errs...)
}

func annotationNames() []string {
	var out []string
	for key := range readers {
		out = append(out, strings.TrimPrefix(key, Prefix))
	}
	slices.Sort(out)
	return out
}

// unannotated refuses our annotations where nothing reads them.
func unannotated(m metadata) error {
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(m.Annotations)) {
		if strings.HasPrefix(key, Prefix) {
			errs = append(errs, strictyaml.Fieldf("metadata.annotations."+key, "is read on documents of kind SLO only: move it there"))
		}
	}
	return errors.Join(errs...)
}
