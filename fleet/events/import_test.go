package events

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ghostlight/fleet/events/ics"
)

// entryOf is a VEVENT; at is hours after the evening's begin.
func entryOf(uid, name string, at int, more ...string) string {
	start := evening.Add(time.Duration(at) * time.Hour).Format("20060102T150405Z")
	lines := append([]string{"BEGIN:VEVENT", "UID:" + uid, "SUMMARY:" + name, "DTSTART:" + start, "DURATION:PT2H", "LOCATION:Camden Town\\, London"}, more...)
	return strings.Join(append(lines, "END:VEVENT"), "\n")
}

func fileOf(entries ...string) string {
	return "BEGIN:VCALENDAR\nX-WR-CALNAME:nights\n" + strings.Join(entries, "\n") + "\nEND:VCALENDAR\n"
}

func (d *desk) take(file string, o Import) ImportResult {
	d.t.Helper()
	r, err := d.ImportICS(d.t.Context(), strings.NewReader(file), o)
	if err != nil {
		d.t.Fatal(err)
	}
	return r
}

// counts is a result without problems.
func counts(created, changed, cancelled, unchanged int) ImportResult {
	return ImportResult{Source: "nights", Created: created, Changed: changed, Cancelled: cancelled, Unchanged: unchanged, Problems: []ics.Problem{}}
}

// imports takes a file and compares what became of it.
func (d *desk) imports(file string, o Import, want ImportResult) {
	d.t.Helper()
	if diff := cmp.Diff(want, d.take(file, o)); diff != "" {
		d.t.Errorf("result (-want +got):\n%s", diff)
	}
}

// names lists the events that were not called off, by start.
func (d *desk) names() (out []string) {
	for _, e := range slices.Backward(d.all()) {
		out = append(out, fmt.Sprintf("%s %d", e.Name, (e.StartMS-in(0))/3_600_000))
	}
	return out
}

func (d *desk) expect(want ...string) {
	d.t.Helper()
	if diff := cmp.Diff(want, d.names(), cmpopts.EquateEmpty()); diff != "" {
		d.t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestAFileIsImported(t *testing.T) {
	d := newDesk(t, nil)
	file := fileOf(entryOf("gig", "Gig", 24, ics.Doors+":-PT1H", "SEQUENCE:2"), entryOf("late", "Late", 20, "RRULE:FREQ=DAILY;COUNT=2"))
	d.imports(file, Import{}, counts(3, 0, 0, 0))
	d.expect("Late 20", "Gig 24", "Late 44")
	want := Event{
		Name: "Gig", Venues: []string{"camden-town"}, StartMS: in(24 * time.Hour), EndMS: in(26 * time.Hour), DoorsMS: in(23 * time.Hour),
		OnMS: in(22 * time.Hour), OffMS: in(26*time.Hour + 30*time.Minute), Origin: ICS, Source: "nights", UID: "gig", Sequence: 2,
	}
	if diff := cmp.Diff(want, d.all()[1], ignoreIDs); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
	before := d.all()
	d.imports(file, Import{}, counts(0, 0, 0, 3)) // once more changes nothing,
	d.restart()
	d.imports(file, Import{Whole: true}, counts(0, 0, 0, 3)) // nor after a restart
	if diff := cmp.Diff(before, d.all()); diff != "" {
		t.Errorf("after importing again (-want +got):\n%s", diff)
	}
}

func TestAChangedEntryChangesItsEvent(t *testing.T) {
	d := newDesk(t, nil)
	d.imports(fileOf(entryOf("gig", "Gig", 24, "SEQUENCE:1")), Import{}, counts(1, 0, 0, 0))
	id := d.all()[0].ID
	d.imports(fileOf(entryOf("gig", "Bigger", 25, "SEQUENCE:2")), Import{}, counts(0, 1, 0, 0))
	d.imports(fileOf(entryOf("gig", "Gig", 24, "SEQUENCE:1")), Import{}, counts(0, 0, 0, 1)) // an old file
	d.expect("Bigger 25")

	// What people changed stays until the entry changes.
	s := Spec{Name: "By hand", Venues: []string{"soho"}, StartMS: in(30 * time.Hour), EndMS: in(31 * time.Hour)}
	d.must(d.Update(t.Context(), id, s))
	d.imports(fileOf(entryOf("gig", "Bigger", 25, "SEQUENCE:2")), Import{}, counts(0, 0, 0, 1))
	d.expect("By hand 30")
	d.imports(fileOf(entryOf("gig", "Biggest", 25, "SEQUENCE:2")), Import{}, counts(0, 1, 0, 0)) // not all raise it
	d.expect("Biggest 25")
	d.must(d.Cancel(t.Context(), id))
	d.imports(fileOf(entryOf("gig", "Biggest", 25, "SEQUENCE:2")), Import{}, counts(0, 0, 0, 1))
	d.expect()
	d.imports(fileOf(entryOf("gig", "On again", 26, "SEQUENCE:3")), Import{}, counts(0, 1, 0, 0))
	d.expect("On again 26")

	// Of one that has begun the start stays; one that is over is history.
	d.at = evening.Add(27 * time.Hour)
	d.imports(fileOf(entryOf("gig", "Longer", 28, "SEQUENCE:4")), Import{Venues: []string{"soho"}}, counts(0, 1, 0, 0))
	e := d.must(d.Get(t.Context(), id))
	if e.Name != "Longer" || e.StartMS != in(26*time.Hour) || e.EndMS != in(30*time.Hour) || e.Venues[0] != "camden-town" {
		t.Errorf("while it goes on: %+v", e)
	}
	d.must(d.End(t.Context(), id))
	d.at = evening.Add(29 * time.Hour)
	d.imports(fileOf(entryOf("gig", "Rewritten", 28, "SEQUENCE:5")), Import{}, counts(0, 0, 0, 1))
	d.expect("Longer 26")
}

func TestEntriesAreCalledOff(t *testing.T) {
	d := newDesk(t, nil)
	series := []string{"RRULE:FREQ=DAILY;COUNT=3"}
	d.imports(fileOf(entryOf("gig", "Gig", 24), entryOf("late", "Late", 20, series...)), Import{}, counts(4, 0, 0, 0))
	off := strings.Replace(entryOf("late", "Late", 44, "STATUS:CANCELLED"), "DTSTART", "RECURRENCE-ID:"+evening.Add(44*time.Hour).Format("20060102T150405Z")+"\nDTSTART", 1)
	d.imports(fileOf(entryOf("late", "Late", 20, series...), off), Import{}, counts(0, 0, 1, 2))
	d.expect("Late 20", "Gig 24", "Late 68")
	d.imports(fileOf(off), Import{}, counts(0, 0, 0, 0)) // by itself, and again
	d.expect("Late 20", "Gig 24", "Late 68")

	d.at = evening.Add(21 * time.Hour) // the first goes on
	d.imports(fileOf(entryOf("gig", "Gig", 24, "STATUS:CANCELLED"), entryOf("late", "Late", 20, append(series, "STATUS:CANCELLED")...)), Import{}, counts(0, 0, 3, 0))
	d.expect("Late 20")
	if e := d.all()[0]; e.EndMS != ms(d.at) {
		t.Errorf("one that went on ends %d, want %d", e.EndMS, ms(d.at))
	}
	d.imports(fileOf(entryOf("gig", "Gig", 24)), Import{}, counts(0, 1, 0, 0))
	d.expect("Late 20", "Gig 24")
}

// TestWhatVanishedIsCalledOff only where the file says all that there is, and never
// because of what could not be read.
func TestWhatVanishedIsCalledOff(t *testing.T) {
	d := newDesk(t, nil)
	a, b := entryOf("a", "A", -1), entryOf("b", "B", 24)
	c := entryOf("c", "C", 30, "RRULE:FREQ=DAILY;COUNT=3")
	d.imports(fileOf(a, b, c), Import{}, counts(5, 0, 0, 0))
	d.take(strings.Replace(fileOf(entryOf("x", "X", 40)), "nights", "days", 1), Import{Whole: true}) // another calendar
	d.expect("A -1", "B 24", "C 30", "X 40", "C 54", "C 78")
	d.imports(fileOf(c), Import{}, counts(0, 0, 0, 3)) // a part
	d.expect("A -1", "B 24", "C 30", "X 40", "C 54", "C 78")

	shorter := entryOf("c", "C", 30, "RRULE:FREQ=DAILY;COUNT=2")
	d.imports(fileOf(shorter), Import{}, counts(0, 0, 1, 2))
	d.expect("A -1", "B 24", "C 30", "X 40", "C 54")

	broken := entryOf("b", "B", 24, "SEQUENCE:first")
	if r := d.take(fileOf(broken, shorter), Import{Whole: true}); len(r.Problems) != 1 || r.Cancelled != 0 {
		t.Errorf("an entry that cannot be read: %+v", r)
	}
	nameless := "BEGIN:VEVENT\nSUMMARY:?\nEND:VEVENT"
	if r := d.take(fileOf(nameless, shorter), Import{Whole: true}); len(r.Problems) != 1 || r.Cancelled != 0 {
		t.Errorf("an entry without a UID: %+v", r)
	}
	d.imports(fileOf(shorter), Import{Whole: true}, counts(0, 0, 1, 2)) // B; A has begun
	d.expect("A -1", "C 30", "X 40", "C 54")
	d.imports(fileOf(), Import{Whole: true}, counts(0, 0, 2, 0))
	d.expect("A -1", "X 40")
}

func TestVenuesOfAFile(t *testing.T) {
	d := newDesk(t, nil)
	for location, want := range map[string]string{
		"soho": "soho", "Soho": "soho", " SOHO ": "soho", "Soho\\, 1 Dean Street": "soho", "Camden Town": "camden-town", "camden_town": "camden-town",
		"The Soho": "", "": "",
	} {
		entry := strings.Replace(entryOf(location, "Gig", 24), "LOCATION:Camden Town\\, London", "LOCATION:"+location, 1)
		r := d.take(fileOf(strings.Replace(entry, "UID:"+location, "UID:x"+fmt.Sprint(len(location), location), 1)), Import{Source: "venues " + location})
		if want == "" {
			if len(r.Problems) != 1 || !strings.Contains(r.Problems[0].Reason, "is no venue; allowed: camden-town, soho") {
				t.Errorf("%q: %+v", location, r)
			}
			continue
		}
		if list := d.all(); r.Created != 1 || !slices.ContainsFunc(list, func(e Event) bool { return e.Source == strings.TrimSpace("venues "+location) && e.Venues[0] == want }) {
			t.Errorf("%q: %+v, events %+v", location, r, list)
		}
	}
	d.take(fileOf(entryOf("both", "Both", 24)), Import{Venues: []string{"soho", "camden-town"}, Source: "both"})
	if list := d.all(); !slices.ContainsFunc(list, func(e Event) bool { return e.UID == "both" && len(e.Venues) == 2 }) {
		t.Errorf("a file for two venues: %+v", list)
	}
}

// TestABadEntryIsReported and the good ones are taken.
func TestABadEntryIsReported(t *testing.T) {
	d := newDesk(t, nil)
	long := strings.Replace(entryOf("long", "Long", 24), "PT2H", "P31D", 1)
	r := d.take(fileOf(long, entryOf("gig", strings.Repeat("ü", 150), 24), entryOf("zone", "Zone", 24, "EXDATE;TZID=Nowhere:20260101T000000")), Import{})
	want := counts(1, 0, 0, 0)
	want.Problems = []ics.Problem{
		{UID: "long", Line: 3, Reason: "it lasts longer than 30 days; make several events of it"},
		{UID: "zone", Line: 17, Reason: `EXDATE: time zone "Nowhere" is unknown; use a name such as Europe/Berlin`},
	}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
	if name := d.all()[0].Name; name != strings.Repeat("ü", 98)+"..." {
		t.Errorf("the long name became %q of %d bytes", name, len(name))
	}
}

func TestFilesAreRefused(t *testing.T) {
	d := newDesk(t, nil)
	for name, tt := range map[string]struct {
		file string
		o    Import
		want string
	}{
		"no calendar":    {"hello", Import{}, "BEGIN:VCALENDAR"},
		"half":           {fileOf(entryOf("gig", "Gig", 24))[:100], Import{}, "END:VCALENDAR"},
		"unknown venue":  {fileOf(), Import{Venues: []string{"elsewhere"}}, "is unknown"},
		"whole, unnamed": {strings.Replace(fileOf(), "nights", "", 1), Import{Whole: true}, "give its source"},
		"a long source":  {fileOf(), Import{Source: strings.Repeat("x", MaxName+1)}, "name of the calendar"},
	} {
		if _, err := d.ImportICS(t.Context(), strings.NewReader(tt.file), tt.o); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := d.ImportICS(t.Context(), iotest.ErrReader(io.ErrUnexpectedEOF), Import{}); !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, ErrInvalid) {
		t.Errorf("a broken upload: %v", err)
	}
	d.expect()
}

// TestAFileBeyondWhatIsKept: as many as there is room for are taken, the rest is told.
func TestAFileBeyondWhatIsKept(t *testing.T) {
	d := newDesk(t, nil)
	var many []Event
	for range MaxPlanned - 1 {
		many = append(many, Event{ID: newID(), Name: "Gig", Venues: []string{"soho"}, StartMS: in(time.Hour), EndMS: in(2 * time.Hour), DoorsMS: in(0), OnMS: in(0), OffMS: in(2 * time.Hour), Origin: API})
	}
	if err := d.commit(t.Context(), many...); err != nil {
		t.Fatal(err)
	}
	r := d.take(fileOf(entryOf("a", "A", 24), entryOf("b", "B", 25)), Import{})
	if r.Created != 1 || len(r.Problems) != 1 || r.Problems[0].UID != "b" || !strings.Contains(r.Problems[0].Reason, "too many events") {
		t.Errorf("result %+v", r)
	}
}

func BenchmarkImport(b *testing.B) {
	var entries []string
	for n := range 1000 {
		entries = append(entries, entryOf(fmt.Sprint("gig-", n), "An evening", n))
	}
	file := fileOf(entries...)
	for b.Loop() {
		if _, err := ics.Read(strings.NewReader(file), ics.Options{From: evening, To: evening.Add(ImportAhead)}); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(len(file)))
}
