package ics

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/teambition/rrule-go"

	"ghostlight/internal/recurrence"
)

// Limits of a rule: it comes from whoever made the file and must stay cheap.
const (
	maxRule     = 500 // bytes
	maxInterval = 1_000
	maxHours    = 6     // of BYHOUR
	maxDates    = 1_000 // that an entry names one by one
	maxStarts   = 1_000 // of one entry within the horizon
)

// readRepeats reads how an entry comes again.
func (z *zones) readRepeats(e *entry, b block) error {
	for _, p := range b.props {
		var err error
		switch p.name {
		case "RRULE":
			if e.rule != nil {
				return errors.New("it has more than one RRULE; make several entries of it")
			}
			err = z.readRule(e, p)
		case "EXRULE":
			err = errors.New("EXRULE: it is not read; name the dates with EXDATE")
		case "RDATE":
			e.more, err = z.dates(e.more, p, e.start.zone)
		case "EXDATE":
			e.except, err = z.dates(e.except, p, e.start.zone)
		}
		if err != nil {
			return err
		}
	}
	if e.repeats() && !e.recurrence.IsZero() {
		return errors.New("it changes one occurrence (RECURRENCE-ID) and comes again by itself; one is allowed")
	}
	return nil
}

// dates adds the times of an RDATE or EXDATE; those without a zone are on the clock
// of the start.
func (z *zones) dates(list []moment, p property, clock *time.Location) ([]moment, error) {
	if strings.EqualFold(p.param("VALUE"), "PERIOD") {
		return list, fmt.Errorf("%s: periods are not read; name the starts", p.name)
	}
	in := &zones{floating: clock, known: z.known}
	for value := range strings.SplitSeq(p.value, ",") {
		m, err := in.moment(p, value)
		if err != nil {
			return list, err
		}
		if list = append(list, m); len(list) > maxDates {
			return list, fmt.Errorf("%s: more than %d dates", p.name, maxDates)
		}
	}
	return list, nil
}

// readRule reads an RRULE. Times within it are on the clock of the start.
func (z *zones) readRule(e *entry, p property) error {
	bad := func(why string) error {
		return fmt.Errorf("RRULE: %s %s; allowed: DAILY, WEEKLY, MONTHLY or YEARLY, at most %d hours a day, INTERVAL to %d", clip(p.value), why, maxHours, maxInterval)
	}
	if len(p.value) > maxRule {
		return bad(fmt.Sprintf("has more than %d bytes", maxRule))
	}
	var parts []string
	var until string
	for part := range strings.SplitSeq(strings.ToUpper(strings.Trim(strings.TrimSpace(p.value), ";")), ";") {
		if value, ok := strings.CutPrefix(part, "UNTIL="); ok {
			until = value
			continue
		}
		parts = append(parts, part)
	}
	o, err := rrule.StrToROption(strings.Join(parts, ";"))
	switch {
	case err != nil:
		return bad("cannot be read: " + err.Error())
	case !o.Dtstart.IsZero() || len(o.Byeaster) > 0:
		return bad("has parts that are not of RFC 5545")
	case o.Freq > rrule.DAILY:
		return bad("repeats more often than daily")
	case len(o.Byhour) > maxHours || len(o.Byminute) > 1 || len(o.Bysecond) > 1:
		return bad("has too many times a day")
	case !recurrence.Countable(*o):
		return bad("counts weekdays that there are not")
	case o.Interval < 0 || o.Interval > maxInterval || o.Count < 0:
		return bad("has an interval or a count that cannot be")
	}
	if until != "" {
		in := &zones{floating: e.start.zone, known: z.known}
		last, err := in.moment(property{name: "RRULE"}, until)
		if err != nil {
			return bad("has no such end: " + err.Error())
		}
		o.Until = clock(last.at().In(e.start.zone))
		if last.date {
			o.Until = last.wall.Add(24*time.Hour - time.Second) // that day, too
		}
	}
	e.rule = o
	return nil
}

// farYears moves a rule near the end of the years that its engine counts, 9999, and
// back: where a rule never comes true it is searched no further. The calendar
// repeats every 400 years, to the weekday.
const farYears = 19 * 400

// starts are when the entry begins by its rule and its dates, from a time on and
// before another, in order.
func (e entry) starts(from, to time.Time) ([]time.Time, error) {
	var out []time.Time
	add := func(m moment) {
		if at := m.at(); !at.Before(from) && at.Before(to) && !e.excepts(m) {
			out = append(out, at)
		}
	}
	for _, m := range e.more {
		add(m)
	}
	if e.rule == nil {
		add(e.start)
	} else if err := e.walk(to, add, func() bool { return len(out) <= maxStarts }); err != nil {
		return nil, err
	}
	slices.SortFunc(out, time.Time.Compare)
	out = slices.CompactFunc(out, time.Time.Equal)
	if len(out) > maxStarts {
		return nil, fmt.Errorf("it comes again more than %d times within the time that is read", maxStarts)
	}
	return out, nil
}

// walk calls add with each start by the rule before a time, while more asks for it.
// The engine is not ours: a rule that it fails on is one more that is not read.
func (e entry) walk(to time.Time, add func(moment), more func() bool) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("RRULE: it cannot be followed: %v", r)
		}
	}()
	o := *e.rule
	o.Dtstart = e.start.wall.AddDate(farYears, 0, 0)
	if !o.Until.IsZero() {
		o.Until = o.Until.AddDate(farYears, 0, 0)
	}
	r, err := rrule.NewRRule(o)
	if err != nil {
		return fmt.Errorf("RRULE: %w", err)
	}
	next := r.Iterator()
	for t, ok := next(); ok && more(); t, ok = next() {
		m := moment{wall: t.AddDate(-farYears, 0, 0), zone: e.start.zone}
		if !m.at().Before(to) {
			return nil
		}
		add(m)
	}
	return nil
}

// excepts reports whether an EXDATE takes a start out: it is the same time, or the
// day.
func (e entry) excepts(m moment) bool {
	return slices.ContainsFunc(e.except, func(x moment) bool {
		if x.date {
			return clock(m.at().In(e.start.zone)).Format(time.DateOnly) == x.wall.Format(time.DateOnly)
		}
		return x.at().Equal(m.at())
	})
}
