package ics

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// horizon is what tests read: three years from 2026 on.
var horizon = Options{From: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), To: time.Date(2029, 1, 1, 0, 0, 0, 0, time.UTC)}

// calendar is a file with lines as its only event, or with whole components.
func calendar(lines ...string) string {
	body := strings.Join(lines, "\r\n")
	if !strings.HasPrefix(body, "BEGIN") && body != "" {
		body = "BEGIN:VEVENT\r\nUID:gig\r\nSUMMARY:Gig\r\n" + body + "\r\nEND:VEVENT"
	}
	return "BEGIN:VCALENDAR\r\nVERSION:2.0\r\n" + body + "\r\nEND:VCALENDAR\r\n"
}

func read(t *testing.T, file string, o Options) Calendar {
	t.Helper()
	c, err := Read(strings.NewReader(file), o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// spans writes occurrences in UTC, each as start/length.
func spans(c Calendar) []string {
	out := []string{}
	for _, o := range c.Occurrences {
		text := o.Start.Format("2006-01-02 15:04") + "/" + o.End.Sub(o.Start).String()
		if o.Cancelled {
			text += " off"
		}
		if !o.Doors.IsZero() {
			text += " doors " + o.Doors.Format("15:04")
		}
		out = append(out, text)
	}
	return out
}

func TestWhenEventsAre(t *testing.T) {
	for name, tt := range map[string]struct {
		lines []string
		want  []string
	}{
		"in UTC":             {[]string{"DTSTART:20260829T193000Z", "DTEND:20260829T230000Z"}, []string{"2026-08-29 19:30/3h30m0s"}},
		"in a zone":          {[]string{"DTSTART;TZID=Europe/London:20260829T193000", "DURATION:PT3H30M"}, []string{"2026-08-29 18:30/3h30m0s"}},
		"quoted, lower case": {[]string{`dtstart;tzid="America/New_York":20260829T193000`, "duration:PT1H"}, []string{"2026-08-29 23:30/1h0m0s"}},
		"in a global zone":   {[]string{"DTSTART;TZID=/example.org/2024_1/Europe/Berlin:20260829T193000", "DURATION:PT1H"}, []string{"2026-08-29 17:30/1h0m0s"}},
		"in Windows' zone":   {[]string{"DTSTART;TZID=W. Europe Standard Time:20260829T193000", "DURATION:PT1H"}, []string{"2026-08-29 17:30/1h0m0s"}},
		"floating":           {[]string{"DTSTART:20260829T193000", "DURATION:PT1H"}, []string{"2026-08-29 19:30/1h0m0s"}},
		"all day":            {[]string{"DTSTART;VALUE=DATE:20260829"}, []string{"2026-08-29 00:00/24h0m0s"}},
		"two days":           {[]string{"DTSTART;VALUE=DATE:20260829", "DTEND;VALUE=DATE:20260831"}, []string{"2026-08-29 00:00/48h0m0s"}},
		"folded":             {[]string{"DTSTART:2026", " 0829T1", "\t93000Z", "DURATION:P1DT1H"}, []string{"2026-08-29 19:30/25h0m0s"}},
		"doors before":       {[]string{"DTSTART:20260829T193000Z", "DURATION:PT1H", Doors + ":-PT90M"}, []string{"2026-08-29 19:30/1h0m0s doors 18:00"}},
		"doors at":           {[]string{"DTSTART;TZID=Europe/London:20260829T193000", "DURATION:PT1H", Doors + ":20260829T183000"}, []string{"2026-08-29 18:30/1h0m0s doors 17:30"}},
		"off":                {[]string{"DTSTART:20260829T193000Z", "DURATION:PT1H", "STATUS:CANCELLED"}, []string{"2026-08-29 19:30/1h0m0s off"}},
		"before the horizon": {[]string{"DTSTART:20251231T200000Z", "DURATION:PT4H"}, []string{}},
		"into the horizon":   {[]string{"DTSTART:20251231T200000Z", "DURATION:PT5H"}, []string{"2025-12-31 20:00/5h0m0s"}},

		// The clocks of Berlin go forward at 2 on 2026-03-29 and back at 3 on 2026-10-25.
		"daily over spring":            {[]string{"DTSTART;TZID=Europe/Berlin:20260328T193000", "DURATION:PT1H", "RRULE:FREQ=DAILY;COUNT=2"}, []string{"2026-03-28 18:30/1h0m0s", "2026-03-29 17:30/1h0m0s"}},
		"in the hour that is skipped":  {[]string{"DTSTART;TZID=Europe/Berlin:20260328T023000", "DURATION:PT1H", "RRULE:FREQ=DAILY;COUNT=3"}, []string{"2026-03-28 01:30/1h0m0s", "2026-03-29 01:30/1h0m0s", "2026-03-30 00:30/1h0m0s"}},
		"in the hour that comes twice": {[]string{"DTSTART;TZID=Europe/Berlin:20261024T023000", "DURATION:PT1H", "RRULE:FREQ=DAILY;COUNT=3"}, []string{"2026-10-24 00:30/1h0m0s", "2026-10-25 00:30/1h0m0s", "2026-10-26 01:30/1h0m0s"}},
		"with an end over spring":      {[]string{"DTSTART;TZID=Europe/Berlin:20260327T220000", "DTEND;TZID=Europe/Berlin:20260328T040000", "RRULE:FREQ=DAILY;COUNT=2"}, []string{"2026-03-27 21:00/6h0m0s", "2026-03-28 21:00/6h0m0s"}},
		"whole days over spring":       {[]string{"DTSTART;TZID=Europe/Berlin:20260328T120000", "DURATION:P1D"}, []string{"2026-03-28 11:00/23h0m0s"}},
		"whole days over autumn":       {[]string{"DTSTART;TZID=Europe/Berlin:20261024T120000", "DURATION:P1D"}, []string{"2026-10-24 10:00/25h0m0s"}},

		"February 29":          {[]string{"DTSTART:20240229T200000Z", "DURATION:PT1H", "RRULE:FREQ=YEARLY"}, []string{"2028-02-29 20:00/1h0m0s"}},
		"last day of February": {[]string{"DTSTART:20240229T200000Z", "DURATION:PT1H", "RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=-1"}, []string{"2026-02-28 20:00/1h0m0s", "2027-02-28 20:00/1h0m0s", "2028-02-29 20:00/1h0m0s"}},
		"never":                {[]string{"DTSTART:20240229T200000Z", "DURATION:PT1H", "RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30"}, []string{}},
		"until a time in UTC":  {[]string{"DTSTART;TZID=America/New_York:20260105T200000", "DURATION:PT1H", "RRULE:FREQ=WEEKLY;UNTIL=20260113T010000Z"}, []string{"2026-01-06 01:00/1h0m0s", "2026-01-13 01:00/1h0m0s"}},
		"until a day":          {[]string{"DTSTART;TZID=America/New_York:20260105T200000", "DURATION:PT1H", "RRULE:FREQ=WEEKLY;UNTIL=20260112"}, []string{"2026-01-06 01:00/1h0m0s", "2026-01-13 01:00/1h0m0s"}},
		"two shows a day":      {[]string{"DTSTART:20260101T150000Z", "DURATION:PT1H", "RRULE:FREQ=DAILY;BYHOUR=15,20;COUNT=3"}, []string{"2026-01-01 15:00/1h0m0s", "2026-01-01 20:00/1h0m0s", "2026-01-02 15:00/1h0m0s"}},
		"but not then":         {[]string{"DTSTART;TZID=Europe/Berlin:20260328T193000", "DURATION:PT1H", "RRULE:FREQ=DAILY;COUNT=4", "EXDATE;TZID=Europe/Berlin:20260329T193000", "EXDATE;VALUE=DATE:20260331"}, []string{"2026-03-28 18:30/1h0m0s", "2026-03-30 17:30/1h0m0s"}},
		"and then":             {[]string{"DTSTART:20260101T150000Z", "DURATION:PT1H", "RDATE:20260401T150000Z,20260301T150000Z,20260301T150000Z"}, []string{"2026-01-01 15:00/1h0m0s", "2026-03-01 15:00/1h0m0s", "2026-04-01 15:00/1h0m0s"}},
		"doors each time":      {[]string{"DTSTART;TZID=Europe/Berlin:20260328T193000", "DURATION:PT1H", "RRULE:FREQ=DAILY;COUNT=2", Doors + ";TZID=Europe/Berlin:20260328T180000"}, []string{"2026-03-28 18:30/1h0m0s doors 17:00", "2026-03-29 17:30/1h0m0s doors 16:00"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := read(t, calendar(tt.lines...), horizon)
			if diff := cmp.Diff(tt.want, spans(c)); diff != "" || len(c.Problems) > 0 {
				t.Errorf("problems %v, occurrences (-want +got):\n%s", c.Problems, diff)
			}
			if !slices.Equal(c.Whole, []string{"gig"}) {
				t.Errorf("read whole: %v", c.Whole)
			}
		})
	}
}

func TestTimesWithoutAZoneAreOnTheClockOfTheFile(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	o := horizon
	o.Zone = berlin
	gig := "BEGIN:VEVENT\nUID:gig\nSUMMARY:Gig\nDTSTART:20260829T193000\nDURATION:PT1H\nEND:VEVENT"
	for file, want := range map[string]string{
		calendar(gig): "2026-08-29 17:30/1h0m0s",
		calendar("BEGIN:VTIMEZONE\nTZID:x\nEND:VTIMEZONE", gig):                                                                                   "2026-08-29 17:30/1h0m0s",
		strings.Replace(calendar(gig), "VERSION", "X-WR-TIMEZONE:Europe/London\r\nVERSION", 1):                                                    "2026-08-29 18:30/1h0m0s",
		calendar("BEGIN:VTIMEZONE\nTZID:Ours\nX-LIC-LOCATION:Asia/Tokyo\nEND:VTIMEZONE", strings.Replace(gig, "DTSTART", "DTSTART;TZID=Ours", 1)): "2026-08-29 10:30/1h0m0s",
	} {
		if got := spans(read(t, file, o)); !slices.Equal(got, []string{want}) {
			t.Errorf("got %v, want %s of\n%s", got, want, file)
		}
	}
}

// TestSingleOccurrencesAreChanged: moved, called off, also when the rule is not in the
// file.
func TestSingleOccurrencesAreChanged(t *testing.T) {
	rule := "BEGIN:VEVENT\nUID:gig\nSEQUENCE:3\nSUMMARY:Gig\nLOCATION:soho\nDTSTART;TZID=Europe/London:20260105T200000\nDURATION:PT2H\nRRULE:FREQ=WEEKLY;COUNT=4\nEND:VEVENT"
	moved := "BEGIN:VEVENT\nUID:gig\nSUMMARY:Moved\nRECURRENCE-ID;TZID=Europe/London:20260112T200000\nDTSTART;TZID=Europe/London:20260113T210000\nDURATION:PT1H\nEND:VEVENT"
	off := "BEGIN:VEVENT\nUID:gig\nSTATUS:CANCELLED\nRECURRENCE-ID:20260119T200000Z\nEND:VEVENT"
	c := read(t, calendar(off, moved, rule), horizon)
	want := []string{"2026-01-05 20:00/2h0m0s", "2026-01-13 21:00/1h0m0s", "2026-01-19 20:00/1m0s off", "2026-01-26 20:00/2h0m0s"}
	if diff := cmp.Diff(want, spans(c)); diff != "" || len(c.Problems) > 0 || len(c.Whole) != 1 {
		t.Fatalf("problems %v, whole %v, occurrences (-want +got):\n%s", c.Problems, c.Whole, diff)
	}
	o := c.Occurrences[1]
	o.Line = 0
	london, _ := time.LoadLocation("Europe/London")
	want1 := Occurrence{
		UID: "gig", Recurrence: time.Date(2026, 1, 12, 20, 0, 0, 0, london).UTC(), Sequence: 3, Name: "Moved",
		Start: time.Date(2026, 1, 13, 21, 0, 0, 0, time.UTC), End: time.Date(2026, 1, 13, 22, 0, 0, 0, time.UTC),
	}
	if diff := cmp.Diff(want1, o); diff != "" {
		t.Errorf("the moved one (-want +got):\n%s", diff)
	}
	alone := read(t, calendar(moved), horizon)
	if len(alone.Occurrences) != 1 || len(alone.Whole) != 0 || len(alone.UIDs) != 1 {
		t.Errorf("without its rule: %+v", alone)
	}
}

func TestTheNewestOfTwoEntriesCounts(t *testing.T) {
	of := func(name, more string) string {
		return "BEGIN:VEVENT\nUID:gig\nSUMMARY:" + name + "\nDTSTART:20260829T193000Z\nDURATION:PT1H\n" + more + "END:VEVENT"
	}
	for name, tt := range map[string]struct {
		entries []string
		want    string
	}{
		"sequence": {[]string{of("a", "SEQUENCE:2\n"), of("b", "SEQUENCE:1\nDTSTAMP:20270101T000000Z\n")}, "a"},
		"stamp":    {[]string{of("a", "DTSTAMP:20260102T000000Z\n"), of("b", "DTSTAMP:20260101T000000Z\n")}, "a"},
		"place":    {[]string{of("a", ""), of("b", "")}, "b"},
	} {
		if c := read(t, calendar(tt.entries...), horizon); len(c.Occurrences) != 1 || c.Occurrences[0].Name != tt.want {
			t.Errorf("%s: %+v, want %s", name, c.Occurrences, tt.want)
		}
	}
}

func TestTextIsRead(t *testing.T) {
	file := "\ufeffBEGIN:VCALENDAR\nX-WR-CALNAME:Soho\\, nights\nMETHOD:PUBLISH\nBEGIN:VTODO\nUID:no\nEND:VTODO\nBEGIN:VEVENT\nUID: gig@example.org \n" +
		"SUMMARY;LANGUAGE=de:Die Gro\n ße\\nNacht\\; Teil\\, 2\nLOCATION:The Soho\\, 1 Dean Street\nDTSTART:20260829T193000Z\nDURATION:PT1H\n" +
		"BEGIN:VALARM\nTRIGGER:-PT1H\nno property at all\nEND:VALARM\nEND:VEVENT\nEND:VCALENDAR"
	c := read(t, file, horizon)
	if len(c.Occurrences) != 1 || len(c.Problems) != 0 || c.Name != "Soho, nights" {
		t.Fatalf("calendar %+v", c)
	}
	o := c.Occurrences[0]
	if o.UID != "gig@example.org" || o.Name != "Die Große Nacht; Teil, 2" || o.Location != "The Soho, 1 Dean Street" || o.Line != 7 {
		t.Errorf("occurrence %+v", o)
	}
}

// TestABadEntryIsToldAndCostsTheOthersNothing.
func TestABadEntryIsToldAndCostsTheOthersNothing(t *testing.T) {
	const good = "BEGIN:VEVENT\nUID:good\nSUMMARY:Good\nDTSTART:20260829T193000Z\nDURATION:PT1H\nEND:VEVENT"
	for _, tt := range []struct{ lines, want string }{
		{"DURATION:PT1H", "no DTSTART"},
		{"DTSTART:20260829T193000Z", "no end"},
		{"DTSTART:20260829T193000Z\nDTEND:20260829T193000Z", "ends before it starts"},
		{"DTSTART:20260829T193000Z\nDTEND:20260829T203000Z\nDURATION:PT1H", "one is allowed"},
		{"DTSTART:20260829T193000Z\nDURATION:1H", "no duration"},
		{"DTSTART:20260829T193000Z\nDURATION:PT", "no duration"},
		{"DTSTART:20260829T193000Z\nDURATION:P1H", "no duration"},
		{"DTSTART:20260829T193000Z\nDURATION:P400D", "longer than"},
		{"DTSTART:20260230T193000Z\nDURATION:PT1H", "is no time"},
		{"DTSTART:29 August\nDURATION:PT1H", "is no time"},
		{"DTSTART:18990829T193000Z\nDURATION:PT1H", "the year 1899"},
		{"DTSTART;TZID=Middle/Earth:20260829T193000\nDURATION:PT1H", `time zone "Middle/Earth" is unknown`},
		{"DTSTART:20260829T193000Z\nDURATION:PT1H\nSEQUENCE:-1", "SEQUENCE"},
		{"DTSTART:20260829T193000Z\nDURATION:PT1H\n" + Doors + ":PT1H", "before the start"},
		{"DTSTART:20260829T193000Z\nDURATION:PT1H\n" + Doors + ":20260829T203000Z", "after the start"},
		{"DTSTART:20260829T193000Z\nDURATION:PT1H\nRRULE:FREQ=HOURLY", "more often than daily"},
		{"DTSTART:20260829T193000Z\nDURATION:PT1H\nRRULE:FREQ=DAILY;BYSECOND=1,2", "too many times a day"},
		{"DTSTART:20260829T193000Z\nDURATION:PT1H\nRRULE:FREQ=DAILY;INTERVAL=100000000000", "cannot be"},
		{"DTSTART:20260829T193000Z\nDURATION:PT1H\nRRULE:FREQ=DAILY;BYMONTH=13", "bymonth"},
		{"DTSTART:20260829T193000Z\nDURATION:PT1H\nRRULE:FREQ=DAILY;BYEASTER=1", "not of RFC 5545"},
		{"DTSTART:20260829T193000Z\nDURATION:PT1H\nRRULE:FREQ=MONTHLY;BYDAY=10FR", "weekdays that there are not"},
		{"DTSTART:20260829T193000Z\nDURATION:PT1H\nRRULE:FREQ=WEEKLY;BYDAY=1FR", "weekdays that there are not"},
		{"DTSTART:20260829T193000Z\nDURATION:PT1H\nRRULE:COUNT=3", "cannot be read"},
		{"DTSTART:20260829T193000Z\nDURATION:PT1H\nRRULE:FREQ=DAILY;UNTIL=soon", "no such end"},
		{"DTSTART:20260829T193000Z\nDURATION:PT1H\nRRULE:FREQ=DAILY\nRRULE:FREQ=DAILY", "more than one RRULE"},
		{"DTSTART:20260101T000000Z\nDURATION:PT1H\nRRULE:FREQ=DAILY;BYHOUR=1,2,3,4", "more than 1000 times"},
		{"DTSTART:20260829T193000Z\nDURATION:PT1H\nEXRULE:FREQ=DAILY", "EXRULE"},
		{"DTSTART:20260829T193000Z\nDURATION:PT1H\nRDATE;VALUE=PERIOD:20260829T193000Z/PT1H", "periods"},
		{"DTSTART:20260829T193000Z\nDURATION:PT1H\nEXDATE:never", "EXDATE"},
		{"DTSTART:20260829T193000Z\nDURATION:PT1H\nRECURRENCE-ID;RANGE=THISANDFUTURE:20260829T193000Z", "RANGE"},
		{"DTSTART:20260829T193000Z\nDURATION:PT1H\nRECURRENCE-ID:20260829T193000Z\nRRULE:FREQ=DAILY", "one is allowed"},
		{"DTSTART:20260829T193000Z\nDURATION:PT1H\nthis is no property", "is no property"},
		{"DTSTART:20260829T193000Z\nDURATION:PT1H\nX-A;B", "missing property"},
		{"DTSTART:20260829T193000Z\nDURATION:PT1H\nX-A:" + strings.Repeat("x", maxLine), "more than"},
		{"DTSTART:20260829T193000Z\nDURATION:PT1H\nLOCATION:" + strings.Repeat("x", maxText+1), "bytes each"},
	} {
		c := read(t, calendar("BEGIN:VEVENT\nUID:bad\nSUMMARY:Bad\n"+tt.lines+"\nEND:VEVENT", good), horizon)
		if len(c.Problems) != 1 || c.Problems[0].UID != "bad" || c.Problems[0].Line != 3 || !strings.Contains(c.Problems[0].Reason, tt.want) {
			t.Errorf("%.120s: problems %+v, want %q", tt.lines, c.Problems, tt.want)
		}
		if len(c.Occurrences) != 1 || c.Occurrences[0].UID != "good" || !slices.Equal(c.Whole, []string{"good"}) || !slices.Equal(c.UIDs, []string{"bad", "good"}) {
			t.Errorf("%.120s: %+v", tt.lines, c)
		}
	}
	for lines, want := range map[string]string{"SUMMARY:Gig": "no UID", "UID:a": "no SUMMARY"} {
		c := read(t, calendar("BEGIN:VEVENT\n"+lines+"\nDTSTART:20260829T193000Z\nDURATION:PT1H\nEND:VEVENT", good), horizon)
		if len(c.Problems) != 1 || !strings.Contains(c.Problems[0].Reason, want) || len(c.Occurrences) != 1 {
			t.Errorf("%s: %+v", lines, c)
		}
	}
}

func TestWhatIsNoCalendarIsRefused(t *testing.T) {
	for name, file := range map[string]string{
		"nothing":        "",
		"a page":         "<!DOCTYPE html>\n<html></html>",
		"half a file":    calendar("DTSTART:20260829T193000Z")[:80],
		"crossed":        "BEGIN:VCALENDAR\nBEGIN:VEVENT\nEND:VCALENDAR\nEND:VEVENT\n",
		"text after it":  calendar() + "and more",
		"deep":           strings.Repeat("BEGIN:VCALENDAR\n", maxDepth+1),
		"too many":       calendar(strings.Repeat("BEGIN:VEVENT\nEND:VEVENT\n", MaxEntries+1)),
		"too many bytes": calendar("X-A:" + strings.Repeat("x", MaxBytes)),
	} {
		if c, err := Read(strings.NewReader(file), horizon); !errors.Is(err, ErrFile) {
			t.Errorf("%s: %v %+v", name, err, c)
		}
	}
}

// TestOccurrencesOfAFileAreBounded, and who does not fit is told.
func TestOccurrencesOfAFileAreBounded(t *testing.T) {
	var entries strings.Builder
	for n := range MaxOccurrences/1000 + 1 {
		fmt.Fprintf(&entries, "BEGIN:VEVENT\nUID:%02d\nSUMMARY:Gig\nDTSTART:20260101T000000Z\nDURATION:PT1H\nRRULE:FREQ=DAILY;COUNT=1000\nEND:VEVENT\n", n)
	}
	c := read(t, calendar(entries.String()), horizon)
	if len(c.Occurrences) != MaxOccurrences || len(c.Problems) != 1 || c.Problems[0].UID != "10" || slices.Contains(c.Whole, "10") {
		t.Errorf("%d occurrences, problems %v, whole %v", len(c.Occurrences), c.Problems, c.Whole)
	}
}

func TestRulesOfAFileAreBounded(t *testing.T) {
	var entries strings.Builder
	for n := range MaxRules + 1 {
		fmt.Fprintf(&entries, "BEGIN:VEVENT\nUID:%04d\nSUMMARY:Gig\nDTSTART:20260101T000000Z\nDURATION:PT1H\nRRULE:FREQ=DAILY;COUNT=1\nEND:VEVENT\n", n)
	}
	c := read(t, calendar(entries.String()), horizon)
	if len(c.Occurrences) != MaxRules || len(c.Problems) != 1 || c.Problems[0].UID != "1000" {
		t.Errorf("%d occurrences, problems %v", len(c.Occurrences), c.Problems)
	}
}

// BenchmarkRuleThatNeverComesTrue is what the worst rule costs.
func BenchmarkRuleThatNeverComesTrue(b *testing.B) {
	file := calendar("DTSTART:20240229T200000Z", "DURATION:PT1H", "RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30")
	for b.Loop() {
		if _, err := Read(strings.NewReader(file), horizon); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(calendar("DTSTART;TZID=Europe/Berlin:20260328T023000", "DURATION:PT1H", "RRULE:FREQ=DAILY;COUNT=3", "EXDATE:20260329T023000"))
	f.Add(calendar("DTSTART;VALUE=DATE:20240229", "RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=-1;UNTIL=20300101"))
	f.Add(calendar("RECURRENCE-ID:20260829T193000Z", "STATUS:CANCELLED", Doors+":-PT1H"))
	f.Add(calendar("DTSTART:20260101T150000Z", "DTEND:20260101T160000Z", "RDATE;VALUE=DATE:20260401,20260301", "RRULE:FREQ=MONTHLY;BYDAY=-1FR;BYSETPOS=1"))
	f.Add(calendar("BEGIN:VTIMEZONE\nTZID:\"Ours\nX-LIC-LOCATION:Asia/Tokyo\nEND:VTIMEZONE"))
	f.Add("BEGIN:VCALENDAR\nX;Y=\"\\\n \\;:z\nEND:VCALENDAR")
	f.Fuzz(func(t *testing.T, file string) {
		c, err := Read(strings.NewReader(file), horizon)
		if err != nil {
			if !errors.Is(err, ErrFile) {
				t.Errorf("error %v", err)
			}
			return
		}
		if len(c.Occurrences) > MaxOccurrences || len(c.Problems) > maxProblems {
			t.Errorf("%d occurrences, %d problems", len(c.Occurrences), len(c.Problems))
		}
		for _, o := range c.Occurrences {
			if o.UID == "" || !o.End.After(o.Start) || o.Doors.After(o.Start) || !o.End.After(horizon.From) || !o.Start.Before(horizon.To) || o.Line < 1 {
				t.Errorf("occurrence %+v", o)
			}
			if _, ok := slices.BinarySearch(c.UIDs, o.UID); !ok {
				t.Errorf("%q is not among %q", o.UID, c.UIDs)
			}
		}
		again, err := Read(strings.NewReader(file), horizon)
		if diff := cmp.Diff(c, again); diff != "" || err != nil {
			t.Errorf("%v, read twice (-first +second):\n%s", err, diff)
		}
	})
}
