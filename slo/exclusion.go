package slo

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/teambition/rrule-go"

	"ghostlight/internal/recurrence"
)

// An Exclusion is planned time that comes again: a maintenance window, a day off.
type Exclusion struct {
	Length time.Duration // of each occurrence, in whole minutes
	// Rule says when occurrences start, as iCalendar has it: a DTSTART and an
	// RRULE, with RDATE and EXDATE where needed, separated by spaces or newlines.
	// Source: RFC 5545, 3.8.5.
	Rule string
}

// Limits of an exclusion: rules also arrive from nodes and must stay cheap.
const (
	maxRule      = 1000          // bytes
	maxHours     = 6             // of BYHOUR
	ruleLifetime = 50 * 366 * 24 // hours; an endless rule ends
	maxExclusion = 31 * 24 * time.Hour
)

// Validate reports an exclusion that is malformed or too costly.
func (x Exclusion) Validate() error {
	if x.Length < time.Minute || x.Length > maxExclusion || x.Length%time.Minute != 0 {
		return fmt.Errorf("exclusion of %v; allowed: whole minutes from 1m to 744h", x.Length)
	}
	_, err := x.set()
	return err
}

// set parses the rule.
func (x Exclusion) set() (*rrule.Set, error) {
	if len(x.Rule) > maxRule {
		return nil, fmt.Errorf("exclusion rule of %d bytes; allowed: %d", len(x.Rule), maxRule)
	}
	s, err := rrule.StrSliceToRRuleSet(strings.Fields(x.Rule))
	if err != nil {
		return nil, fmt.Errorf("exclusion rule %q: %w; allowed: DTSTART and RRULE of RFC 5545, such as DTSTART;TZID=Europe/Berlin:20260105T030000 RRULE:FREQ=WEEKLY", x.Rule, err)
	}
	start, r := s.GetDTStart(), s.GetRRule()
	if !strings.Contains(x.Rule, "DTSTART") || start.Year() < 2000 || start.Second() != 0 {
		return nil, fmt.Errorf("exclusion rule %q needs a DTSTART on a whole minute since 2000", x.Rule)
	}
	if r == nil {
		return s, nil
	}
	if err := cheap(r.OrigOptions); err != nil {
		return nil, fmt.Errorf("exclusion rule %q %w", x.Rule, err)
	}
	if until := start.Add(ruleLifetime * time.Hour); r.GetUntil().IsZero() || r.GetUntil().After(until) {
		r.Until(until)
	}
	return s, nil
}

func cheap(o rrule.ROption) error {
	switch {
	case o.Freq > rrule.DAILY:
		return errors.New("repeats more often than daily; allowed: DAILY, WEEKLY, MONTHLY, YEARLY, with BYHOUR for several times a day")
	case len(o.Byminute) > 1 || len(o.Bysecond) > 0 || len(o.Byhour) > maxHours:
		return fmt.Errorf("has too many times a day; allowed: at most %d of BYHOUR, one BYMINUTE, no BYSECOND", maxHours)
	case !recurrence.Countable(o):
		return errors.New("counts weekdays that there are not; allowed: BYDAY to the 5th of a month, or the 53rd of a year")
	}
	return nil
}

// minutes returns the spans of [from, to) that are excluded.
func (x Exclusion) minutes(from, to int64) []Minutes {
	s, err := x.set()
	if err != nil {
		return nil // Validate said so when it was read
	}
	var out []Minutes
	for _, t := range s.Between(MinuteStart(from).Add(-x.Length), MinuteStart(to), true) {
		start := MinuteOf(t)
		out = append(out, Minutes{start, start + int64(x.Length/time.Minute)})
	}
	return out
}

// Minutes is a span of minutes since the Unix epoch, To not included.
type Minutes struct{ From, To int64 }

// Excluded returns the minutes of [from, to) that do not count, because they are
// planned or outside opening hours, in order and apart from each other.
func (o Objective) Excluded(from, to int64) []Minutes {
	spans := o.Hours.closed(from, to)
	for _, x := range o.Exclusions {
		spans = append(spans, x.minutes(from, to)...)
	}
	return union(spans, from, to)
}

// union sorts and joins spans, cut to [from, to).
func union(spans []Minutes, from, to int64) []Minutes {
	slices.SortFunc(spans, func(a, b Minutes) int { return int(min(1, max(-1, a.From-b.From))) })
	var out []Minutes
	for _, s := range spans {
		s.From, s.To = max(s.From, from), min(s.To, to)
		switch n := len(out); {
		case s.From >= s.To:
		case n > 0 && s.From <= out[n-1].To:
			out[n-1].To = max(out[n-1].To, s.To)
		default:
			out = append(out, s)
		}
	}
	return out
}

// within reports whether one of spans, in order, holds m.
func within(spans []Minutes, m int64) bool {
	i, exact := slices.BinarySearchFunc(spans, m, func(s Minutes, m int64) int { return int(min(1, max(-1, s.From-m))) })
	return exact || (i > 0 && m < spans[i-1].To)
}
