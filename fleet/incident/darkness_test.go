package incident

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"ghostlight/buffer"
	"ghostlight/fleet/events"
	"ghostlight/slo"
	"ghostlight/slo/incident"
)

func when(t *testing.T, i incident.Incident, st incident.Stage) time.Time {
	t.Helper()
	ms, ok := i.When(st)
	if !ok {
		t.Fatalf("%s is not reached: %+v", st, i)
	}
	return time.UnixMilli(ms)
}

func TestADarkVenueIsOneIncidentFromItsLastSignToItsBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, soho, camden)
		w.facts.set(func(f *facts) { f.defs, f.pending, f.status = selling(soho), 3, slo.Counts{Good: 40, Total: 40} })
		w.facts.set(func(f *facts) { f.totals.Sales = 40 })
		w.pass(time.Minute, soho, camden)
		w.pass(5*time.Minute, camden)
		i := w.one()
		if i.Scope != darkOf(soho) || !i.Open() || i.Urgency() != slo.Page {
			t.Fatalf("%+v", i)
		}
		if failed := when(t, i.Incident, incident.Failed); failed.Sub(w.pager.begun) != 59*time.Second {
			t.Errorf("dark since %s after the begin, want its last sign after 59 s", failed.Sub(w.pager.begun))
		}
		// It is back, but what it sold is not here yet.
		w.beat(soho, 7, false)
		back := time.Now()
		w.pass(10*time.Second, camden)
		if i = w.one(); !when(t, i.Incident, incident.Mitigated).Equal(back) || !i.Open() {
			t.Errorf("with a backlog it is %s", i.Stage())
		}
		w.pass(10*time.Second, soho, camden) // nothing waits there, but minutes are missing here
		if i = w.one(); !i.Open() {
			t.Errorf("with minutes to come it is %s", i.Stage())
		}
		w.facts.set(func(f *facts) { f.pending = 0 })
		w.pass(10*time.Second, soho, camden)
		i = w.one()
		f, ok := i.Finding()
		f.AtMS = 0
		if want := (incident.Finding{Sales: incident.Unaffected, Good: 40, Revision: 1}); i.Stage() != incident.Parity || !ok || f != want {
			t.Errorf("%s, found %+v", i.Stage(), f)
		}
		// Two nodes are no crowd: nobody waits for others.
		want := []string{"firing soho (soho-1): is dark since 00:00 UTC", "resolved soho (soho-1): contact is restored"}
		if diff := cmp.Diff(want, w.pager.taken()); diff != "" {
			t.Errorf("pages (-want +got):\n%s", diff)
		}
		if got := w.pager.last; got.Finding == nil || got.URL != "https://centre.test/incidents/"+i.ID {
			t.Errorf("what is told at its end: %+v", got.Notification)
		}

		// Data that comes later changes what is believed.
		w.facts.set(func(f *facts) { f.status, f.totals.FailedPayments = slo.Counts{Good: 40, Total: 45}, 5 })
		w.pass(2*time.Minute, soho, camden)
		f, _ = w.one().Finding()
		f.AtMS = 0
		if want := (incident.Finding{Sales: incident.Lost, Good: 40, Bad: 5, Revision: 2}); f != want {
			t.Errorf("found %+v, want %+v", f, want)
		}
		w.pass(2*time.Minute, soho, camden)
		if taken := w.pager.taken(); taken[len(taken)-1] != "revised soho (soho-1): contact was restored; sales turn out to have been lost" {
			t.Errorf("told %q", taken)
		}
		if f, _ = w.one().Finding(); f.Revision != 2 {
			t.Errorf("what does not change was found %d times", f.Revision)
		}
	})
}

func TestDarkIsOnlyWhatShouldBeOn(t *testing.T) {
	hour := func(n float64) time.Duration { return time.Duration(n * float64(10*time.Minute)) }
	for _, tt := range []struct {
		name     string
		from, to time.Duration // of the window, after the begin
		goodbye  bool
		since    time.Duration // of the incident; 0: none
	}{
		{"inside a window", 0, hour(3), false, hour(1)},
		{"outside", hour(1.5), hour(4), false, 0},
		{"the window opens while it is dark", hour(1.2), hour(3), false, hour(1.2)},
		{"silent just before the end", 0, hour(1) + 10*time.Second, false, 0},
		{"it said goodbye", 0, hour(3), true, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, soho)
				begun := time.Now()
				w.windows["soho"] = []events.Window{{From: begun.Add(tt.from), To: begun.Add(tt.to)}}
				w.beat(soho, 0, false)
				for time.Since(begun) < hour(1) {
					time.Sleep(10 * time.Second)
					w.beat(soho, 0, tt.goodbye && time.Since(begun) == hour(1))
				}
				time.Sleep(hour(0.3))
				list := w.list(Filter{})
				if tt.since == 0 {
					if len(list) > 0 || len(w.pager.taken()) > 0 {
						t.Errorf("incidents %+v, pages %q", list, w.pager.taken())
					}
					return
				}
				if failed := when(t, w.one().Incident, incident.Failed); failed.Sub(begun) != tt.since {
					t.Errorf("dark since %s, want %s", failed.Sub(begun), tt.since)
				}
				if got := w.pager.fired(); len(got) != 1 {
					t.Errorf("pages %q", w.pager.taken())
				}
			})
		})
	}
}

func TestTheTimeNobodyExpectedDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, soho)
		begun := time.Now()
		w.windows["soho"] = []events.Window{{From: begun, To: begun.Add(10 * time.Minute)}, {From: begun.Add(time.Hour), To: begun.Add(2 * time.Hour)}}
		w.beat(soho, 0, false)
		time.Sleep(80 * time.Minute)
		w.pass(10*time.Second, soho)
		i := w.one()
		counted, planned := i.Lasted(time.Now())
		if i.Open() || planned != 50*time.Minute || counted < 30*time.Minute || counted > 30*time.Minute+10*time.Second {
			t.Errorf("%s: it counts %s, and %s do not", i.Stage(), counted, planned)
		}
	})
}

func TestARestartWhileDarkChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, soho)
		w.beat(soho, 0, false)
		time.Sleep(time.Minute)
		before := w.one()
		w.stop()
		time.Sleep(10 * time.Minute) // the centre's own
		w.start()
		time.Sleep(time.Minute)
		if diff := cmp.Diff(before.Incident, w.one().Incident); diff != "" {
			t.Errorf("(-before +after):\n%s", diff)
		}
		if got := w.pager.fired(); len(got) != 1 || got[0] != before.ID {
			t.Errorf("pages %q", w.pager.taken())
		}

		// Silent while the centre does not listen is not dark: it counts from then on.
		w.pass(time.Minute, soho)
		w.stop()
		time.Sleep(time.Hour)
		w.start()
		up := time.Now()
		time.Sleep(time.Minute)
		list := w.list(Filter{Open: true})
		if len(list) != 1 || !when(t, list[0].Incident, incident.Failed).Equal(up) {
			t.Errorf("dark again: %+v", list)
		}
	})
}

func TestACarrierThatGoesDarkIsOnePage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all, lost, rest []buffer.Source
		carriers := map[buffer.Source]string{}
		for n := range 20 {
			src := node("uk", fmt.Sprintf("venue-%02d", n), "edge")
			all = append(all, src)
			if carriers[src] = "blue"; n%4 == 0 {
				carriers[src] = "red"
				lost = append(lost, src)
				continue
			}
			rest = append(rest, src)
		}
		w := newWorld(t, all...)
		w.carriers = carriers
		for n := range 30 { // each says something every five seconds, all at other times
			for k, src := range all {
				if (n+k)%5 == 0 {
					w.beat(src, 0, false)
				}
			}
			time.Sleep(time.Second)
		}
		w.pass(2*time.Minute, rest...)
		i := w.one()
		if want := (incident.Scope{Cause: incident.Darkness, Carrier: "red"}); i.Scope != want || len(i.Gathered) != len(lost) {
			t.Fatalf("%d of %+v, want %d of %+v", len(i.Gathered), i.Scope, len(lost), want)
		}
		if got := w.pager.fired(); len(got) != 1 || got[0] != i.ID {
			t.Errorf("pages %q", w.pager.taken())
		}
		if diff := cmp.Diff([]string{"the centre itself", "carrier red"}, w.pager.last.Suspects); diff != "" {
			t.Errorf("suspects (-want +got):\n%s", diff)
		}
		w.stop()
		w.start()
		w.pass(time.Minute, rest...)
		w.pass(time.Minute, all...)
		if i = w.one(); i.Open() || len(w.pager.fired()) != 1 {
			t.Errorf("after it is back: %s, pages %q", i.Stage(), w.pager.taken())
		}
		if got := w.pager.last; got.Key != i.ID || got.Finding == nil || got.Finding.Sales != incident.Unaffected {
			t.Errorf("what is told at its end: %+v", got.Notification)
		}
		// Whoever asks for a member learns of its group, and by venue too.
		d := w.get(i.Gathered[0].ID())
		if d.Group != i.ID || d.Page != i.ID {
			t.Errorf("a member is in group %q, told as %q; want %s", d.Group, d.Page, i.ID)
		}
		if list := w.list(Filter{Venues: []string{lost[1].Venue}}); len(list) != 1 || list[0].ID != i.ID {
			t.Errorf("by venue: %+v", list)
		}
	})
}

func TestSalesThatWereLostAreSaid(t *testing.T) {
	for _, tt := range []struct {
		name string
		set  func(*facts)
		want incident.Finding
	}{
		{
			"payments failed", func(f *facts) {
				f.defs, f.status, f.totals.Sales, f.totals.FailedPayments = selling(soho), slo.Counts{Good: 8, Total: 10}, 8, 2
			},
			incident.Finding{Sales: incident.Lost, Good: 8, Bad: 2},
		},
		{
			"fewer than the objective allows", func(f *facts) {
				f.defs, f.status, f.totals.Sales, f.totals.FailedPayments = selling(soho), slo.Counts{Good: 999, Total: 1000}, 999, 1
			},
			incident.Finding{Sales: incident.Unaffected, Good: 999, Bad: 1},
		},
		{
			"nobody could buy", func(f *facts) { f.defs, f.failing = selling(soho), 3 },
			incident.Finding{Sales: incident.Lost},
		},
		{
			"no objective", func(f *facts) { f.totals.Sales, f.totals.FailedPayments = 8, 1 },
			incident.Finding{Sales: incident.Lost, Good: 8, Bad: 1},
		},
		{
			"the raw facts know of more than the buckets", func(f *facts) {
				f.defs, f.status, f.totals.Sales, f.totals.FailedPayments = selling(soho), slo.Counts{Good: 1, Total: 2}, 1, 4
			},
			incident.Finding{Sales: incident.Lost, Good: 1, Bad: 4},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, soho)
				w.facts.set(tt.set)
				w.beat(soho, 0, false)
				time.Sleep(time.Minute)
				w.pass(10*time.Second, soho)
				f, ok := w.one().Finding()
				f.AtMS, f.Revision = 0, 0
				if !ok || f != tt.want {
					t.Errorf("found %+v (%v), want %+v", f, ok, tt.want)
				}
			})
		})
	}
}

func TestANodeThatIsDarkAgainWakesNobodyAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, soho)
		w.facts.set(func(f *facts) { f.defs, f.pending = selling(soho), 1 })
		w.beat(soho, 1, false)
		for range 5 {
			time.Sleep(time.Minute)
			w.beat(soho, 1, false)
		}
		time.Sleep(time.Minute)
		i := w.one()
		if n := len(i.Spells()); n != 6 {
			t.Errorf("%d spells, want 6", n)
		}
		if got := w.pager.fired(); len(got) != 1 {
			t.Errorf("pages %q", w.pager.taken())
		}
		sum, err := w.book.MTTR(context.Background(), Filter{})
		if err != nil || sum.Summary.N != 1 || sum.Summary.Open != 1 {
			t.Errorf("%+v (%v)", sum.Summary, err)
		}
	})
}
