package slo

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Hours are opening hours, written as rules and a time zone: "Mo-Fr 18:00-02:00;
// Sa,Su 10:00-24:00; Europe/London". A rule whose end is not after its start ends
// on the next day. Empty means always open.
type Hours string

// opening is one rule.
type opening struct {
	days     [7]bool // by time.Weekday
	from, to int     // minutes since midnight; to may be beyond 24 h
}

var weekdays = []string{"Su", "Mo", "Tu", "We", "Th", "Fr", "Sa"}

// Validate reports hours that are malformed.
func (h Hours) Validate() error {
	_, _, err := h.parse()
	return err
}

func (h Hours) parse() ([]opening, *time.Location, error) {
	if h == "" {
		return nil, nil, nil
	}
	parts := strings.Split(string(h), ";")
	name := strings.TrimSpace(parts[len(parts)-1])
	zone, err := time.LoadLocation(name)
	if err != nil || name == "" || name == "Local" || len(parts) < 2 || len(parts) > 15 {
		return nil, nil, fmt.Errorf("opening hours %q; allowed: rules and an IANA time zone, such as Mo-Fr 18:00-02:00; Sa,Su 10:00-24:00; Europe/London", string(h))
	}
	var out []opening
	for _, rule := range parts[:len(parts)-1] {
		o, err := parseOpening(strings.TrimSpace(rule))
		if err != nil {
			return nil, nil, err
		}
		out = append(out, o)
	}
	return out, zone, nil
}

func parseOpening(rule string) (opening, error) {
	bad := fmt.Errorf("opening hours %q; allowed: days and times, such as Mo-Fr 18:00-02:00 or Sa,Su 10:00-24:00", rule)
	days, times, _ := strings.Cut(rule, " ")
	first, last, _ := strings.Cut(times, "-")
	var o opening
	var ok1, ok2 bool
	o.from, ok1 = clock(first)
	o.to, ok2 = clock(last)
	if !ok1 || !ok2 || o.from >= 24*60 {
		return o, bad
	}
	if o.to <= o.from {
		o.to += 24 * 60
	}
	for _, part := range strings.Split(days, ",") {
		a, b, ranged := strings.Cut(part, "-")
		if !ranged {
			b = a
		}
		i, j := slices.Index(weekdays, a), slices.Index(weekdays, b)
		if i < 0 || j < 0 {
			return o, bad
		}
		for ; i != j; i = (i + 1) % 7 {
			o.days[i] = true
		}
		o.days[j] = true
	}
	return o, nil
}

// clock reads "18:05" as minutes; "24:00" is the end of the day.
func clock(text string) (int, bool) {
	if text == "24:00" {
		return 24 * 60, true
	}
	t, err := time.Parse("15:04", text)
	return t.Hour()*60 + t.Minute(), err == nil && len(text) == 5
}

// Open reports whether the minute is within the hours.
func (h Hours) Open(minute int64) bool { return len(h.closed(minute, minute+1)) == 0 }

// closed returns the minutes of [from, to) outside the hours, in wall time of the
// zone: on a daylight saving change they open at the hour on the clock.
func (h Hours) closed(from, to int64) []Minutes {
	rules, zone, err := h.parse()
	if err != nil || len(rules) == 0 || from >= to {
		return nil
	}
	var opens []Minutes
	y, m, d := MinuteStart(from).In(zone).Date()
	for day := d - 2; ; day++ {
		midnight := time.Date(y, m, day, 0, 0, 0, 0, zone)
		if MinuteOf(midnight) > to+24*60 {
			break
		}
		for _, o := range rules {
			if o.days[time.Date(y, m, day, 12, 0, 0, 0, time.UTC).Weekday()] {
				at := func(minutes int) int64 { return MinuteOf(time.Date(y, m, day, 0, minutes, 0, 0, zone)) }
				opens = append(opens, Minutes{at(o.from), at(o.to)})
			}
		}
	}
	var out []Minutes
	at := from
	for _, o := range union(opens, from, to) {
		if o.From > at {
			out = append(out, Minutes{at, o.From})
		}
		at = o.To
	}
	if at < to {
		out = append(out, Minutes{at, to})
	}
	return out
}
