package ics

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A length is how long something lasts: days on the calendar, and time.
type length struct {
	days  int
	exact time.Duration
}

func (l length) after(t time.Time) time.Time {
	if l.days > 0 {
		t = instant(clock(t).AddDate(0, 0, l.days), t.Location())
	}
	return t.Add(l.exact)
}

// most is more than it ever lasts.
func (l length) most() time.Duration { return time.Duration(l.days+2)*24*time.Hour + l.exact }

// maxDays bounds a length; the fleet's calendar takes less.
const maxDays = 366

// length is how long an entry lasts. With a DTEND it is always the same time, with
// DURATION or whole days the same on the calendar. Source: RFC 5545, 3.6.1 and 3.8.5.3.
func (z *zones) length(b block, start moment) (l length, err error) {
	end, hasEnd := b.get("DTEND")
	lasts, hasDuration := b.get("DURATION")
	switch {
	case hasEnd && hasDuration:
		return l, errors.New("it has a DTEND and a DURATION; one is allowed")
	case hasDuration:
		if l, err = parseLength("DURATION", lasts.value); err != nil {
			return l, err
		}
	case hasEnd:
		m, err := z.moment(end, end.value)
		if err != nil {
			return l, err
		}
		if m.date && start.date {
			l.days = int(m.wall.Sub(start.wall) / (24 * time.Hour))
		} else {
			l.exact = m.at().Sub(start.at())
		}
	case start.date:
		l.days = 1
	default:
		return l, errors.New("it has no end: give DTEND or DURATION")
	}
	if l.days <= 0 && l.exact <= 0 {
		return l, errors.New("it ends before it starts, or as it does")
	}
	if l.most() > maxDays*24*time.Hour {
		return l, fmt.Errorf("it lasts longer than %d days", maxDays-2)
	}
	return l, nil
}

var duration = regexp.MustCompile(`^\+?P(?:(\d{1,4})W|(?:(\d{1,4})D)?(?:T(?:(\d{1,5})H)?(?:(\d{1,6})M)?(?:(\d{1,6})S)?)?)$`)

// parseLength reads a DURATION that is not negative. Source: RFC 5545, 3.3.6.
func parseLength(name, text string) (length, error) {
	parts := duration.FindStringSubmatch(strings.TrimSpace(text))
	if parts == nil || !strings.ContainsAny(text, "0123456789") || strings.HasSuffix(text, "T") {
		return length{}, fmt.Errorf("%s: %s is no duration; allowed: such as PT3H30M, P2D or P1W", name, clip(text))
	}
	n := func(i int) int {
		v, _ := strconv.Atoi(parts[i]) // no digits are none of it
		return v
	}
	return length{
		days:  7*n(1) + n(2),
		exact: time.Duration(n(3))*time.Hour + time.Duration(n(4))*time.Minute + time.Duration(n(5))*time.Second,
	}, nil
}
