// Package recurrence guards the engine of iCalendar's recurrence rules against rules
// that it takes and cannot follow. Source: RFC 5545, 3.3.10.
package recurrence

import (
	"slices"

	"github.com/teambition/rrule-go"
)

// Countable reports whether the weekdays that a rule counts can be: the fifth of a
// month at most, or the 53rd of a year. The engine panics on others.
func Countable(o rrule.ROption) bool {
	most := 0
	switch {
	case o.Freq == rrule.MONTHLY, o.Freq == rrule.YEARLY && len(o.Bymonth) > 0:
		most = 5
	case o.Freq == rrule.YEARLY:
		most = 53
	}
	return !slices.ContainsFunc(o.Byweekday, func(d rrule.Weekday) bool { return d.N() > most || d.N() < -most })
}
