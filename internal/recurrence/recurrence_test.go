package recurrence_test

import (
	"testing"
	"time"

	"github.com/teambition/rrule-go"

	"ghostlight/internal/recurrence"
)

// What is countable the engine can follow.
func TestCountable(t *testing.T) {
	for rule, want := range map[string]bool{
		"FREQ=WEEKLY;BYDAY=MO,FR":              true,
		"FREQ=MONTHLY;BYDAY=5FR":               true,
		"FREQ=MONTHLY;BYDAY=-5FR":              true,
		"FREQ=MONTHLY;BYDAY=10FR":              false,
		"FREQ=MONTHLY;BYDAY=-6MO":              false,
		"FREQ=YEARLY;BYMONTH=1;BYDAY=6MO":      false,
		"FREQ=YEARLY;BYDAY=53MO":               true,
		"FREQ=YEARLY;BYDAY=54MO":               false,
		"FREQ=WEEKLY;BYDAY=1MO":                false,
		"FREQ=MONTHLY;BYDAY=1MO,2TU;BYHOUR=20": true,
	} {
		o, err := rrule.StrToROption(rule)
		if err != nil {
			t.Fatal(err)
		}
		if got := recurrence.Countable(*o); got != want {
			t.Errorf("%s: %t", rule, got)
		} else if got {
			o.Dtstart, o.Count = time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC), 3
			r, err := rrule.NewRRule(*o)
			if err != nil || len(r.All()) == 0 {
				t.Errorf("%s: never (%v)", rule, err)
			}
		}
	}
}
