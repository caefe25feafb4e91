package slo_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ghostlight/slo"
)

func minute(t testing.TB, zone, text string) int64 {
	t.Helper()
	loc, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	at, err := time.ParseInLocation("2006-01-02 15:04", text, loc)
	if err != nil {
		t.Fatal(err)
	}
	return slo.MinuteOf(at)
}

// spell writes spans in the wall time of a zone.
func spell(t testing.TB, zone string, spans []slo.Minutes) []string {
	t.Helper()
	loc, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for _, s := range spans {
		out = append(out, slo.MinuteStart(s.From).In(loc).Format("2006-01-02 15:04")+" to "+slo.MinuteStart(s.To).In(loc).Format("2006-01-02 15:04"))
	}
	return out
}

func TestExcluded(t *testing.T) {
	for _, c := range []struct {
		name       string
		exclusions []slo.Exclusion
		hours      slo.Hours
		zone       string
		from, to   string
		want       []string
	}{
		{
			name: "weekly, at three on the clock when clocks go forward", zone: "Europe/Berlin", from: "2026-03-22 00:00", to: "2026-04-06 00:00",
			exclusions: []slo.Exclusion{{Length: 90 * time.Minute, Rule: "DTSTART;TZID=Europe/Berlin:20260104T030000 RRULE:FREQ=WEEKLY;BYDAY=SU"}},
			want:       []string{"2026-03-22 03:00 to 2026-03-22 04:30", "2026-03-29 03:00 to 2026-03-29 04:30", "2026-04-05 03:00 to 2026-04-05 04:30"},
		},
		{
			name: "February 29 comes every fourth year", zone: "UTC", from: "2026-01-01 00:00", to: "2033-01-01 00:00",
			exclusions: []slo.Exclusion{{Length: 24 * time.Hour, Rule: "DTSTART:20240229T000000Z RRULE:FREQ=YEARLY"}},
			want:       []string{"2028-02-29 00:00 to 2028-03-01 00:00", "2032-02-29 00:00 to 2032-03-01 00:00"},
		},
		{
			name: "what began before reaches in, overlaps join, exceptions do not count", zone: "UTC", from: "2026-05-04 01:00", to: "2026-05-07 00:00",
			exclusions: []slo.Exclusion{
				{Length: 2 * time.Hour, Rule: "DTSTART:20260501T000000Z RRULE:FREQ=DAILY EXDATE:20260506T000000Z"},
				{Length: 30 * time.Minute, Rule: "DTSTART:20260504T013000Z"},
				{Length: time.Hour, Rule: "DTSTART:20260505T013000Z RRULE:FREQ=DAILY;COUNT=1"},
			},
			want: []string{"2026-05-04 01:00 to 2026-05-04 02:00", "2026-05-05 00:00 to 2026-05-05 02:30"},
		},
		{
			name: "outside opening hours over midnight", zone: "Europe/London", from: "2026-10-23 12:00", to: "2026-10-26 12:00",
			hours: "Fr,Sa 18:00-02:00; Su 12:00-24:00; Europe/London", // clocks go back on Sunday
			want:  []string{"2026-10-23 12:00 to 2026-10-23 18:00", "2026-10-24 02:00 to 2026-10-24 18:00", "2026-10-25 02:00 to 2026-10-25 12:00", "2026-10-26 00:00 to 2026-10-26 12:00"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := checkout(0)
			o.Exclusions, o.Hours = c.exclusions, c.hours
			if err := o.Validate(); err != nil {
				t.Fatal(err)
			}
			got := o.Excluded(minute(t, c.zone, c.from), minute(t, c.zone, c.to))
			if diff := cmp.Diff(c.want, spell(t, c.zone, got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestExclusionsAreRefused(t *testing.T) {
	for _, x := range []slo.Exclusion{
		{Length: time.Hour, Rule: ""},
		{Length: time.Hour, Rule: "RRULE:FREQ=DAILY"},
		{Length: time.Hour, Rule: "DTSTART:19991231T000000Z"},
		{Length: time.Hour, Rule: "DTSTART:20260101T000030Z"},
		{Length: time.Hour, Rule: "DTSTART:20260101T000000Z RRULE:FREQ=HOURLY"},
		{Length: time.Hour, Rule: "DTSTART:20260101T000000Z RRULE:FREQ=DAILY;BYMINUTE=1,2"},
		{Length: time.Hour, Rule: "DTSTART:20260101T000000Z RRULE:FREQ=SOMETIMES"},
		{Length: time.Hour, Rule: "DTSTART:20260101T000000Z RRULE:FREQ=MONTHLY;BYDAY=10FR"},
		{Length: time.Hour, Rule: "DTSTART:20260101T000000Z RRULE:FREQ=YEARLY;BYMONTH=1;BYDAY=-9MO"},
		{Length: time.Hour, Rule: "DTSTART:20260101T000000Z RRULE:FREQ=WEEKLY;BYDAY=2FR"},
		{Length: time.Hour, Rule: "DTSTART;TZID=Mars/Olympus:20260101T000000"},
		{Length: 0, Rule: "DTSTART:20260101T000000Z"},
		{Length: 90 * time.Second, Rule: "DTSTART:20260101T000000Z"},
		{Length: 800 * time.Hour, Rule: "DTSTART:20260101T000000Z"},
	} {
		if x.Validate() == nil {
			t.Errorf("%v of %q is accepted", x.Length, x.Rule)
		}
	}
	for _, h := range []slo.Hours{"x", "UTC", "Mo 10:00-12:00", "Mo 10:00-12:00; Nowhere", "Mo 24:00-25:00; UTC", "Mo 1:00-2:00; UTC", "10:00-12:00; UTC", "Mo-Mi 10:00-12:00; UTC"} {
		if h.Validate() == nil {
			t.Errorf("hours %q are accepted", h)
		}
	}
}

// An endless rule, or one that never comes, is cheap.
func TestExclusionsAreBounded(t *testing.T) {
	for _, rule := range []string{
		"DTSTART:20000101T000000Z RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
		"DTSTART:20000101T000000Z RRULE:FREQ=DAILY;BYHOUR=1,2,3,4,5,6",
	} {
		o := checkout(0)
		o.Exclusions = []slo.Exclusion{{Length: time.Hour, Rule: rule}}
		if err := o.Validate(); err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(1, func() { o.Excluded(29_000_000, 29_040_000) }); n > 1e6 {
			t.Errorf("%s: %v allocations for four weeks", rule, n)
		}
	}
}

// Excluded spans are in order, apart, and the same however time is cut up.
func TestExcludedTiles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := drawObjective(t)
		from := rapid.Int64Range(29_600_000, 29_900_000).Draw(t, "from")
		to := from + rapid.Int64Range(0, 5000).Draw(t, "length")
		cut := rapid.Int64Range(from, to).Draw(t, "cut")
		count := func(from, to int64) (n int64) {
			last := from - 1
			for _, s := range o.Excluded(from, to) {
				if s.From <= last || s.To <= s.From || s.To > to {
					t.Fatalf("%+v of %d to %d", o.Excluded(from, to), from, to)
				}
				n, last = n+s.To-s.From, s.To
			}
			return n
		}
		if whole, parts := count(from, to), count(from, cut)+count(cut, to); whole != parts {
			t.Fatalf("%d minutes in one, %d in two", whole, parts)
		}
	})
}

// A day's planned hour is not waited for, and its failures do not count.
func TestEvaluateLeavesOutWhatIsExcluded(t *testing.T) {
	o := checkout(10)
	o.Exclusions = []slo.Exclusion{{Length: 2 * time.Minute, Rule: "DTSTART:20260101T000100Z RRULE:FREQ=DAILY"}}
	from := minute(t, "UTC", "2026-06-01 00:00")
	got := slo.Evaluate(o, []string{"a", "b"}, from, from+4, seq([]told{
		{"a", bucket(from, 10, 10)},
		{"a", bucket(from+1, 0, 9)},
		{"a", bucket(from+3, 10, 10)},
		{"b", bucket(from, 10, 10)},
		{"b", bucket(from+3, 10, 10)},
	}))
	if got.Coverage.Excluded != 4 || got.Coverage.Pending != 0 || !got.Final || got.Verdict != slo.Met || got.Total != 40 {
		t.Errorf("got %+v", got)
	}
}
