package events

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ghostlight/fleet/store"
)

// A desk is a calendar whose clock a test sets, in a folder that outlives it.
type desk struct {
	*Calendar
	t   *testing.T
	dir string
	st  *store.Store
	at  time.Time
	o   Options
}

var evening = time.Date(2026, 8, 29, 18, 0, 0, 0, time.UTC)

func newDesk(t *testing.T, change func(*Options)) *desk {
	t.Helper()
	d := &desk{t: t, dir: t.TempDir(), at: evening, o: Options{Venues: []string{"soho", "camden-town", "soho"}}}
	if change != nil {
		change(&d.o)
	}
	d.open()
	t.Cleanup(func() {
		if err := d.st.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func (d *desk) open() {
	d.t.Helper()
	var err error
	if d.st, err = store.Open(d.t.Context(), d.dir); err != nil {
		d.t.Fatal(err)
	}
	d.o.Store, d.o.Now = d.st, func() time.Time { return d.at }
	if d.Calendar, err = New(d.t.Context(), d.o); err != nil {
		d.t.Fatal(err)
	}
}

// restart closes everything and opens it again.
func (d *desk) restart() {
	d.t.Helper()
	if err := d.st.Close(); err != nil {
		d.t.Fatal(err)
	}
	d.open()
}

// must is an event that a call returned without an error.
func (d *desk) must(e Event, err error) Event {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
	return e
}

func (d *desk) all() []Event {
	d.t.Helper()
	list, err := d.List(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	return list
}

func ms(t time.Time) int64 { return t.UnixMilli() }

// in is a time so long after the evening's begin, in Unix milliseconds.
func in(d time.Duration) int64 { return ms(evening.Add(d)) }

func TestByHand(t *testing.T) {
	d := newDesk(t, nil)
	gig := d.must(d.Create(t.Context(), " Gig ", []string{"soho", "camden-town", "soho"}))
	want := Event{ID: gig.ID, Name: "Gig", Venues: []string{"camden-town", "soho"}, StartMS: in(0), DoorsMS: in(0), OnMS: in(-time.Hour), Origin: Hand}
	if diff := cmp.Diff(want, gig); diff != "" || gig.ID == "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
	d.at = d.at.Add(time.Minute)
	if from, to := gig.Window(d.at); !gig.Open(d.at) || !from.Equal(evening) || !to.Equal(d.at) {
		t.Errorf("window of an open event: %s to %s", from, to)
	}
	later := d.must(d.Create(t.Context(), "Later", []string{"soho"}))
	ended := d.must(d.End(t.Context(), gig.ID))
	if ended.EndMS != in(time.Minute) || ended.OffMS != in(31*time.Minute) || ended.Open(d.at) {
		t.Errorf("ended %+v", ended)
	}
	d.at = d.at.Add(time.Hour)
	again := d.must(d.End(t.Context(), gig.ID))
	if diff := cmp.Diff(ended, again); diff != "" {
		t.Errorf("ended twice (-first +second):\n%s", diff)
	}
	if _, to := again.Window(d.at); ms(to) != in(time.Minute) {
		t.Errorf("window of an ended event ends %s", to)
	}
	d.restart()
	if diff := cmp.Diff([]Event{later, ended}, d.all()); diff != "" {
		t.Errorf("after a restart (-want +got):\n%s", diff)
	}
}

// TestAPlannedEventFromPlanToEnd has the phases that reports read.
func TestAPlannedEventFromPlanToEnd(t *testing.T) {
	d := newDesk(t, nil)
	e := d.must(d.Plan(t.Context(), Spec{Name: "Gig", Venues: []string{"soho"}, StartMS: in(24 * time.Hour), EndMS: in(27 * time.Hour), DoorsMS: in(23 * time.Hour)}))
	want := Event{
		ID: e.ID, Name: "Gig", Venues: []string{"soho"}, StartMS: in(24 * time.Hour), EndMS: in(27 * time.Hour),
		DoorsMS: in(23 * time.Hour), OnMS: in(22 * time.Hour), OffMS: in(27*time.Hour + 30*time.Minute), Origin: API,
	}
	if diff := cmp.Diff(want, e); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
	for _, tt := range []struct {
		after time.Duration
		phase Phase
		to    time.Duration // end of the window
	}{
		{0, Planned, 24 * time.Hour},
		{24*time.Hour - time.Millisecond, Planned, 24 * time.Hour},
		{24 * time.Hour, Ongoing, 24 * time.Hour},
		{25 * time.Hour, Ongoing, 25 * time.Hour},
		{27 * time.Hour, Over, 27 * time.Hour},
		{99 * time.Hour, Over, 27 * time.Hour},
	} {
		now := evening.Add(tt.after)
		from, to := e.Window(now)
		if got := e.Phase(now); got != tt.phase || e.Open(now) != (tt.phase == Ongoing) || ms(from) != e.StartMS || ms(to) != in(tt.to) {
			t.Errorf("after %s: %s, window %s to %s", tt.after, got, from, to)
		}
	}

	// It is changed, begins early, and ends early.
	spec := Spec{Name: "Big gig", Venues: []string{"camden-town"}, EndMS: in(28 * time.Hour), OffMS: in(30 * time.Hour), OnMS: in(20 * time.Hour)}
	e = d.must(d.Update(t.Context(), e.ID, spec))
	if e.Name != "Big gig" || e.StartMS != in(24*time.Hour) || e.DoorsMS != e.StartMS || e.OnMS != in(20*time.Hour) || e.OffMS != in(30*time.Hour) {
		t.Errorf("changed: %+v", e)
	}
	d.at = evening.Add(10 * time.Hour)
	e = d.must(d.Begin(t.Context(), e.ID))
	if e.StartMS != ms(d.at) || e.DoorsMS != ms(d.at) || e.OnMS != ms(d.at) || !e.Open(d.at) {
		t.Errorf("begun: %+v", e)
	}
	d.at = evening.Add(11 * time.Hour)
	if again := d.must(d.Begin(t.Context(), e.ID)); again.StartMS != e.StartMS {
		t.Errorf("begun twice: %+v", again)
	}
	e = d.must(d.End(t.Context(), e.ID))
	if e.EndMS != ms(d.at) || e.OffMS != in(13*time.Hour) {
		t.Errorf("ended: %+v", e)
	}
	if _, err := d.Update(t.Context(), e.ID, spec); !errors.Is(err, ErrInvalid) {
		t.Errorf("an event that is over is changed: %v", err)
	}
	d.restart()
	if diff := cmp.Diff([]Event{e}, d.all()); diff != "" {
		t.Errorf("after a restart (-want +got):\n%s", diff)
	}
}

func TestCalledOff(t *testing.T) {
	d := newDesk(t, nil)
	e := d.must(d.Plan(t.Context(), Spec{Name: "Gig", Venues: []string{"soho"}, StartMS: in(time.Hour)}))
	if _, err := d.End(t.Context(), e.ID); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "cancel it") {
		t.Errorf("an event that has not begun is ended: %v", err)
	}
	off := d.must(d.Cancel(t.Context(), e.ID))
	d.at = d.at.Add(2 * time.Hour)
	if again := d.must(d.Cancel(t.Context(), e.ID)); !cmp.Equal(off, again) || off.Phase(d.at) != Cancelled || off.CancelledMS != in(0) {
		t.Errorf("called off %+v, then %+v", off, again)
	}
	if from, to := off.Window(d.at); !from.Equal(to) || off.Open(d.at) {
		t.Errorf("it has a window from %s to %s", from, to)
	}
	for name, call := range map[string]func() (Event, error){
		"begin":  func() (Event, error) { return d.Begin(t.Context(), e.ID) },
		"end":    func() (Event, error) { return d.End(t.Context(), e.ID) },
		"update": func() (Event, error) { return d.Update(t.Context(), e.ID, Spec{Name: "Gig", Venues: []string{"soho"}}) },
	} {
		if _, err := call(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s of one that was called off: %v", name, err)
		}
	}
	going := d.must(d.Create(t.Context(), "Gig", []string{"soho"}))
	if _, err := d.Cancel(t.Context(), going.ID); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "end it") {
		t.Errorf("an event that goes on is cancelled: %v", err)
	}
	cancelled, err := d.Cancelled(t.Context())
	if err != nil || len(cancelled) != 1 || len(d.all()) != 1 {
		t.Errorf("listed %v and %v (%v)", d.all(), cancelled, err)
	}
}

func TestEventsAreRefused(t *testing.T) {
	d := newDesk(t, nil)
	good := Spec{Name: "Gig", Venues: []string{"soho"}, StartMS: in(0), EndMS: in(time.Hour)}
	for _, tt := range []struct {
		change func(*Spec)
		want   string
	}{
		{func(s *Spec) { s.Name = " " }, "name"},
		{func(s *Spec) { s.Name = strings.Repeat("x", MaxName+1) }, "name"},
		{func(s *Spec) { s.Name = "two\nlines" }, "name"},
		{func(s *Spec) { s.Name = "\xff" }, "name"},
		{func(s *Spec) { s.Venues = nil }, "at least one venue of: camden-town, soho"},
		{func(s *Spec) { s.Venues = []string{"soho", "elsewhere"} }, `"elsewhere" is unknown; allowed: camden-town, soho`},
		{func(s *Spec) { s.StartMS = 1 }, "year 2000"},
		{func(s *Spec) { s.EndMS = 1 << 62 }, "year 2000"},
		{func(s *Spec) { s.EndMS = s.StartMS }, "ends before it starts"},
		{func(s *Spec) { s.EndMS = s.StartMS + MaxLength.Milliseconds() + 1 }, "longer than 30 days"},
		{func(s *Spec) { s.DoorsMS = s.StartMS + 1 }, "must follow each other"},
		{func(s *Spec) { s.OnMS = s.StartMS + 1 }, "must follow each other"},
		{func(s *Spec) { s.OnMS = s.StartMS - MaxMargin.Milliseconds() - 1 }, "within 7 days"},
		{func(s *Spec) { s.OffMS = s.EndMS - 1 }, "off_ms must follow"},
		{func(s *Spec) { s.OffMS = s.EndMS + MaxMargin.Milliseconds() + 1 }, "off_ms must follow"},
		{func(s *Spec) { s.OffMS, s.EndMS = s.EndMS, 0 }, "off_ms needs end_ms"},
	} {
		s := good
		tt.change(&s)
		if _, err := d.Plan(t.Context(), s); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %q", s, err, tt.want)
		}
	}
	if len(d.all()) != 0 {
		t.Errorf("kept %v", d.all())
	}
	longest := good
	longest.EndMS = longest.StartMS + MaxLength.Milliseconds()
	longest.OnMS, longest.OffMS = longest.StartMS-MaxMargin.Milliseconds(), longest.EndMS+MaxMargin.Milliseconds()
	d.must(d.Plan(t.Context(), longest))
	for name, call := range map[string]func(context.Context, string) (Event, error){"get": d.Get, "end": d.End, "begin": d.Begin, "cancel": d.Cancel} {
		if _, err := call(t.Context(), "x"); !errors.Is(err, ErrUnknown) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTooManyEventsAreRefused, and room is made by those that are over.
func TestTooManyEventsAreRefused(t *testing.T) {
	d := newDesk(t, nil)
	var many []Event
	for range MaxPlanned {
		many = append(many, Event{ID: newID(), Name: "Gig", Venues: []string{"soho"}, StartMS: in(time.Hour), EndMS: in(2 * time.Hour), DoorsMS: in(0), OnMS: in(0), OffMS: in(2 * time.Hour), Origin: API})
	}
	if err := d.commit(t.Context(), many...); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Create(t.Context(), "Gig", []string{"soho"}); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "too many") {
		t.Errorf("one more: %v", err)
	}
	d.at = evening.Add(3 * time.Hour)
	d.must(d.Create(t.Context(), "Gig", []string{"soho"}))
}

// TestWhatTheDiskRefusesDidNotHappen.
func TestWhatTheDiskRefusesDidNotHappen(t *testing.T) {
	d := newDesk(t, nil)
	e := d.must(d.Create(t.Context(), "Gig", []string{"soho"}))
	changed := d.Changed()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.End(over, e.ID); !errors.Is(err, context.Canceled) {
		t.Errorf("ended: %v", err)
	}
	if _, err := d.Create(over, "Other", []string{"soho"}); err == nil {
		t.Error("created")
	}
	if diff := cmp.Diff([]Event{e}, d.all()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	d.must(d.End(t.Context(), e.ID))
	select {
	case <-changed:
	default:
		t.Error("the change was not told")
	}
}

// TestTablesOfTheFirstVersionMigrate, once.
func TestTablesOfTheFirstVersionMigrate(t *testing.T) {
	d := newDesk(t, nil)
	err := d.st.Write(t.Context(), func(tx *sql.Tx) error {
		for _, stmt := range []string{
			`DROP TABLE events`, table,
			`INSERT INTO events VALUES ('over', 'Over', '["soho"]', 1790000000000, 1790003600000), ('open', 'Open', '["soho","camden-town"]', 1790000060000, 0)`,
		} {
			if _, err := tx.ExecContext(t.Context(), stmt); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	d.restart()
	want := []Event{
		{ID: "open", Name: "Open", Venues: []string{"soho", "camden-town"}, StartMS: 1790000060000, DoorsMS: 1790000060000, OnMS: 1789996460000, Origin: Hand},
		{ID: "over", Name: "Over", Venues: []string{"soho"}, StartMS: 1790000000000, EndMS: 1790003600000, DoorsMS: 1790000000000, OnMS: 1789996400000, OffMS: 1790005400000, Origin: Hand},
	}
	if diff := cmp.Diff(want, d.all()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	d.at = time.UnixMilli(1790000120000)
	ended := d.must(d.End(t.Context(), "open"))
	d.restart()
	if diff := cmp.Diff([]Event{ended, want[1]}, d.all()); diff != "" {
		t.Errorf("after the next start (-want +got):\n%s", diff)
	}
}

// TestCallersCannotChangeTheCalendar by what they were handed.
func TestCallersCannotChangeTheCalendar(t *testing.T) {
	d := newDesk(t, nil)
	venues := []string{"camden-town", "soho"}
	e := d.must(d.Create(t.Context(), "Gig", venues))
	venues[0], e.Venues[0], d.all()[0].Venues[0] = "x", "x", "x"
	if got := d.must(d.Get(t.Context(), e.ID)); !slices.Equal(got.Venues, []string{"camden-town", "soho"}) {
		t.Errorf("venues are %v", got.Venues)
	}
}

var ignoreIDs = cmpopts.IgnoreFields(Event{}, "ID", "Entry")
