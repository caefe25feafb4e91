package events

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ghostlight/buffer/wire"
	"ghostlight/slo"
)

func TestWhenAVenueIsExpected(t *testing.T) {
	d := newDesk(t, func(o *Options) {
		o.Hours = map[string]slo.Hours{"camden-town": "Mo-Su 18:00-02:00; Europe/London", "soho": ""}
	})
	plan := func(from, to time.Duration, venues ...string) Event {
		t.Helper()
		s := Spec{Name: "Gig", Venues: venues, StartMS: in(from)}
		if to != 0 {
			s.EndMS = in(to)
		}
		return d.must(d.Plan(t.Context(), s))
	}
	plan(2*time.Hour, 3*time.Hour, "soho")
	plan(2*time.Hour+30*time.Minute, 4*time.Hour, "soho", "camden-town") // overlaps
	off := plan(10*time.Hour, 11*time.Hour, "soho")
	d.must(d.Cancel(t.Context(), off.ID))
	open := plan(30*time.Hour, 0, "soho")

	spell := func(windows []Window) (out []string) {
		for _, w := range windows {
			out = append(out, w.From.UTC().Format("02 15:04")+" to "+w.To.UTC().Format("02 15:04"))
		}
		return out
	}
	to := evening.Add(48 * time.Hour)
	for venue, want := range map[string][]string{
		"soho":        {"29 19:00 to 29 22:30", "30 23:00 to 31 18:00"}, // the last has an open end
		"camden-town": {"29 18:00 to 30 01:00", "30 17:00 to 31 01:00", "31 17:00 to 31 18:00"},
		"elsewhere":   nil,
	} {
		if diff := cmp.Diff(want, spell(d.ExpectedWindows(venue, evening, to))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", venue, diff)
		}
	}
	d.at = evening.Add(31 * time.Hour)
	d.must(d.End(t.Context(), open.ID))
	if got := spell(d.ExpectedWindows("soho", evening.Add(24*time.Hour), to)); !cmp.Equal(got, []string{"30 23:00 to 31 01:30"}) {
		t.Errorf("after its end: %v", got)
	}
}

// TestOpeningHoursOverAChangeOfTheClocks: they open at the hour on the clock.
func TestOpeningHoursOverAChangeOfTheClocks(t *testing.T) {
	d := newDesk(t, func(o *Options) {
		o.Hours = map[string]slo.Hours{"soho": "Mo-Su 22:00-04:00; Europe/London"}
	})
	for day, want := range map[time.Time]time.Duration{
		time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC):  5 * time.Hour,
		time.Date(2026, 10, 24, 12, 0, 0, 0, time.UTC): 7 * time.Hour,
		time.Date(2028, 2, 28, 12, 0, 0, 0, time.UTC):  6 * time.Hour, // February 29 follows
		time.Date(2028, 2, 29, 12, 0, 0, 0, time.UTC):  6 * time.Hour,
	} {
		got := d.ExpectedWindows("soho", day, day.Add(24*time.Hour))
		if len(got) != 1 || got[0].To.Sub(got[0].From) != want {
			t.Errorf("%s: open %v, want %s", day.Format(time.DateOnly), got, want)
		}
	}
}

func TestHoursThatCannotBeRead(t *testing.T) {
	d := newDesk(t, nil)
	o := d.o
	o.Hours = map[string]slo.Hours{"soho": "evenings"}
	if _, err := New(t.Context(), o); err == nil {
		t.Error("they were taken")
	}
	if _, err := New(t.Context(), Options{}); err == nil {
		t.Error("a calendar without a store")
	}
}

// TestExpectedAgreesWithItsWindows at every moment, for any events and hours.
func TestExpectedAgreesWithItsWindows(t *testing.T) {
	hours := []slo.Hours{"", "Mo-Su 00:00-24:00; UTC", "Fr,Sa 18:00-02:30; Europe/London", "Mo 10:00-12:00; Tu 09:30-17:00; America/New_York"}
	rapid.Check(t, func(t *rapid.T) {
		open, err := newOpenings(map[string]slo.Hours{"soho": rapid.SampledFrom(hours).Draw(t, "hours")})
		if err != nil {
			t.Fatal(err)
		}
		minutes := rapid.IntRange(-3000, 3000)
		var events []Event
		for n := range rapid.IntRange(0, 6).Draw(t, "events") {
			on, length := minutes.Draw(t, "on"), rapid.IntRange(0, 500).Draw(t, "length")
			e := Event{ID: fmt.Sprint(n), Venues: []string{"soho"}, OnMS: in(time.Duration(on) * time.Minute)}
			if e.StartMS = e.OnMS; length > 0 {
				e.OffMS = e.OnMS + int64(length)*60_000
			}
			if rapid.IntRange(0, 4).Draw(t, "off") == 0 {
				e.CancelledMS = 1
			}
			events = append(events, e)
		}
		c := &Calendar{hours: open}
		c.events.Store((&book{}).with(events))
		from := evening.Add(time.Duration(minutes.Draw(t, "from"))*time.Minute + 17*time.Second)
		to := from.Add(time.Duration(rapid.IntRange(0, 4000).Draw(t, "long")) * time.Minute)
		windows := c.ExpectedWindows("soho", from, to)
		for n, w := range windows {
			if !w.From.Before(w.To) || w.From.Before(from) || w.To.After(to) || n > 0 && !w.From.After(windows[n-1].To) {
				t.Fatalf("windows %v of %s to %s", windows, from, to)
			}
		}
		for at := from; at.Before(to); at = at.Add(37 * time.Minute) {
			within := false
			for _, w := range windows {
				within = within || !at.Before(w.From) && at.Before(w.To)
			}
			if got := c.Expected("soho", at); got != within {
				t.Fatalf("expected at %s: %t; windows %v", at, got, windows)
			}
		}
	})
}

// TestWhatNodesAreTold: the shows around now, each as it is, and no other venue's.
func TestWhatNodesAreTold(t *testing.T) {
	d := newDesk(t, nil)
	day := 24 * time.Hour
	plan := func(name string, at time.Duration, venue string) Event {
		t.Helper()
		return d.must(d.Plan(t.Context(), Spec{Name: name, Venues: []string{venue}, StartMS: in(at), EndMS: in(at + time.Hour), DoorsMS: in(at - time.Hour)}))
	}
	plan("long over", -3*day, "soho")
	next := plan("next", 2*day, "soho")
	over := plan("over", -23*time.Hour, "soho")
	far := plan("far", 14*day-time.Hour, "soho")
	plan("too far", 17*day, "soho")
	plan("elsewhere", time.Hour, "camden-town")
	d.must(d.Cancel(t.Context(), plan("off", time.Hour, "soho").ID))
	going := d.must(d.Create(t.Context(), "going on", []string{"soho"}))
	want := wire.Calendar{}
	for _, e := range []Event{over, going, next, far} {
		want.Shows = append(want.Shows, wire.Show{ID: e.ID, Name: e.Name, StartMS: e.StartMS, EndMS: e.EndMS, DoorsMS: e.DoorsMS, OnMS: e.OnMS, OffMS: e.OffMS})
	}
	got := d.Shows("soho", d.at)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("shows (-want +got):\n%s", diff)
	}
	if err := got.Validate(); err != nil {
		t.Error(err)
	}
	if got := d.Shows("elsewhere", d.at); got.Shows == nil || len(got.Shows) != 0 || got.Validate() != nil {
		t.Errorf("shows of a venue without any: %+v", got)
	}
	// Within a day nothing changes by itself.
	if early, late := d.Shows("soho", evening.Add(-17*time.Hour)), d.Shows("soho", evening.Add(5*time.Hour)); early.Digest() != late.Digest() || early.Digest() != got.Digest() {
		t.Error("the calendar changes by the hour")
	}
}

func TestChangesAreTold(t *testing.T) {
	d := newDesk(t, nil)
	told := func(do func()) bool {
		c := d.Changed()
		do()
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
	var e Event
	if !told(func() { e = d.must(d.Create(t.Context(), "Gig", []string{"soho"})) }) || !told(func() { d.must(d.End(t.Context(), e.ID)) }) {
		t.Error("a change was not told")
	}
	if told(func() { d.must(d.End(t.Context(), e.ID)); d.all() }) {
		t.Error("what changed nothing was told")
	}
}
