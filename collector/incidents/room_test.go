package incidents_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ghostlight/buffer/wire"
	"ghostlight/collector/incidents"
	"ghostlight/collector/journeys"
	engine "ghostlight/healthscore/heal"
	"ghostlight/slo"
	"ghostlight/slo/incident"
	"ghostlight/synthetics"
)

// outage is an hour of selling with a quarter of an hour in which nothing can be
// bought, and a backlog that takes two minutes more.
func outage(w *world) {
	w.run(5 * time.Minute)
	w.down, w.oldest = true, w.now
	w.run(15 * time.Minute)
	w.down = false
	w.run(2 * time.Minute)
	w.oldest = time.Time{}
	w.run(38 * time.Minute)
}

var wantOutage = []string{
	"journey revenue-path page: failed 20:05:00, detected 20:05:10, mitigated 20:20:00, parity 20:22:00",
	"objective checkout-success page: failed 20:05:00, detected 20:05:12, mitigated 20:20:00, parity 20:22:00",
}

func TestOutageOfAShow(t *testing.T) {
	w := newWorld(t)
	w.fired = map[string]int{}
	w.room.Calendar(wire.Calendar{Shows: []wire.Show{w.show("ev1", evening, evening.Add(2*time.Hour))}})
	outage(w)
	if diff := cmp.Diff(wantOutage, w.story()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for of, n := range w.fired {
		if n != 1 {
			t.Errorf("%s fired %d times", of, n)
		}
	}
	if len(w.fired) < 3 {
		t.Errorf("only %v fired", w.fired)
	}
	if v := w.room.View(); len(v.Alerts) == 0 || !v.Alerts[0].Over {
		t.Errorf("the alerts that look back on an incident that is over are %+v", v.Alerts)
	}
	if diff := cmp.Diff([]string{"revenue-path  ", "checkout-success page/21600/1800 "}, w.woken()); diff != "" {
		t.Errorf("woken by (-want +got):\n%s", diff)
	}
	for _, i := range w.heard() {
		if len(i.Links) == 0 || i.Links[0].Fact.TraceID != traceID {
			t.Errorf("%s has no trace of the journey: %+v", i.Scope.Name, i.Links)
		}
	}
}

// At the first minute of a show, whose budget is unspent and whose rate is unknown,
// an outage is seen within two minutes, at two sales a minute too.
func TestOutageAtTheStart(t *testing.T) {
	for _, every := range []int64{2, 8, 30} {
		w := newWorld(t)
		for m := range int64(60 * 24) { // it sold all day: no burn alert sees so little
			w.put(slo.MinuteOf(evening)-1-m, 60, 0)
		}
		w.room.Calendar(wire.Calendar{Shows: []wire.Show{w.show("ev1", evening, evening.Add(4*time.Hour))}})
		fired := time.Duration(0)
		for s := range 3 * 60 {
			w.now = w.now.Add(time.Second)
			if w.now.Unix()%every == 0 {
				w.sell(0, 1)
			}
			w.step()
			if len(w.room.View().Alerts) > 0 {
				fired = time.Duration(s+1) * time.Second
				break
			}
		}
		if fired == 0 || fired > 2*time.Minute {
			t.Errorf("a sale every %d s: fired after %v", every, fired)
		}
		if a := w.room.View().Alerts; len(a) > 0 && (a[0].Scope != "uk/soho/soho-1#ev1" || a[0].Show != "ev1") {
			t.Errorf("the alert is of %q, show %q", a[0].Scope, a[0].Show)
		}
		if diff := cmp.Diff([]string{"checkout-success event/page ev1"}, w.woken()); diff != "" {
			t.Errorf("woken by (-want +got):\n%s", diff)
		}
	}
}

func TestRestartAtEveryCommitChangesNothing(t *testing.T) {
	short := func(w *world) {
		w.run(time.Minute)
		w.down, w.oldest = true, w.now
		w.run(3 * time.Minute)
		w.down = false
		w.run(2 * time.Minute)
		w.oldest = time.Time{}
		w.run(6 * time.Minute)
	}
	undisturbed := newWorld(t)
	short(undisturbed)
	if undisturbed.commits < 6 {
		t.Fatalf("%d commits, want some to die at", undisturbed.commits)
	}
	for n := range undisturbed.commits {
		for _, after := range []bool{false, true} {
			w := newWorld(t)
			w.dies, w.after = n+1, after
			short(w)
			if diff := cmp.Diff(undisturbed.heard(), w.heard()); diff != "" {
				t.Fatalf("died at commit %d, after it %v (-undisturbed +got):\n%s", n+1, after, diff)
			}
		}
	}
}

// What cannot be stored waits in memory, is shown, and is told once there is room.
func TestFullBuffer(t *testing.T) {
	w := newWorld(t)
	w.run(5 * time.Minute)
	w.down, w.full = true, true
	w.run(5 * time.Minute)
	if len(w.records) > 0 {
		t.Fatalf("a full buffer took %d records", len(w.records))
	}
	if v := w.room.View(); len(v.Incidents) != 2 || len(v.Alerts) == 0 {
		t.Errorf("%d incidents and %d alerts are shown, want 2 and some", len(v.Incidents), len(v.Alerts))
	}
	w.full = false
	w.run(10 * time.Minute)
	w.down = false
	w.run(40 * time.Minute)
	if diff := cmp.Diff([]string{
		"journey revenue-path page: failed 20:05:00, detected 20:05:10, mitigated 20:20:00, parity 20:20:00",
		"objective checkout-success page: failed 20:05:00, detected 20:05:12, mitigated 20:20:00, parity 20:20:00",
	}, w.story()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFlapsAreOneIncident(t *testing.T) {
	w := newWorld(t)
	w.run(5 * time.Minute)
	for _, wait := range []time.Duration{8 * time.Minute, 30 * time.Minute, 0} {
		w.down = true
		w.run(3 * time.Minute)
		w.down = false
		w.run(wait)
	}
	w.run(10 * time.Minute)
	want := []string{
		"journey revenue-path page: failed 20:05:00, detected 20:05:10, mitigated 20:08:00, parity 20:08:00",
		"again: failed 20:16:00, detected 20:16:10, mitigated 20:19:00, parity 20:19:00",
		"journey revenue-path page: failed 20:49:00, detected 20:49:10, mitigated 20:52:00, parity 20:52:00",
	}
	got := w.story()
	if diff := cmp.Diff(want, got[:min(3, len(got))]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestClockSetBack(t *testing.T) {
	w := newWorld(t)
	w.run(30 * time.Minute)
	w.down = true
	w.run(2 * time.Minute)
	if len(w.room.View().Alerts) == 0 {
		t.Fatal("nothing fires")
	}
	w.now, w.epoch = w.now.Add(-3*time.Hour), 1
	w.run(2 * time.Minute)
	if n := len(w.heard()); n != 2 {
		t.Errorf("%d incidents, want those of journey and objective", n)
	}
	if v := w.room.View(); len(v.Alerts) == 0 {
		t.Error("an outage is not seen after the clock was set back")
	}
	w.down = false
	w.run(20 * time.Minute)
	for _, i := range w.heard() {
		if i.Open() {
			t.Errorf("%s goes on", i.Scope.Name)
		}
	}
}

func TestHealsAreOnTheTimeline(t *testing.T) {
	w := newWorld(t)
	w.run(5 * time.Minute)
	w.down = true
	w.run(time.Minute)
	at := w.now.UnixMilli()
	w.audit = []engine.Audit{{Seq: 4, AtMS: at, Action: "unit_restart", Result: engine.Started}, {Seq: 3, AtMS: evening.UnixMilli(), Action: "cache_repair", Result: engine.Succeeded}}
	w.run(10 * time.Second)
	w.down = false
	w.run(30 * time.Second)
	w.audit = append([]engine.Audit{{Seq: 5, AtMS: w.now.UnixMilli(), Action: "unit_restart", Result: engine.Succeeded, Detail: "2 s"}}, w.audit...)
	w.run(10 * time.Second)
	for _, i := range w.heard() {
		want := []incident.Heal{{ID: "4", Title: "unit restart", Result: "succeeded: 2 s", AtMS: at, Revision: 1}}
		if diff := cmp.Diff(want, i.Tried()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", i.Scope.Name, diff)
		}
	}
}

func TestHostileCalendars(t *testing.T) {
	w := newWorld(t)
	shows := []wire.Show{
		w.show("", evening.Add(-time.Minute), evening.Add(time.Hour)),
		w.show("backwards", evening, evening.Add(-time.Hour)),
		w.show("moment", evening, evening.Add(time.Second)),
		w.show("open", evening, time.Time{}),
		w.show("open", evening, time.Time{}),
	}
	w.room.Calendar(wire.Calendar{Shows: shows})
	outage(w)
	if diff := cmp.Diff(wantOutage, w.story()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	w.room.Calendar(wire.Calendar{})
	w.run(time.Second)
	if s := w.room.View().Promises[0].Show; s != nil {
		t.Errorf("a show that was taken off is still watched: %+v", s)
	}
	w.stored["calendar"] = []byte(`{"shows":[{"id":"x"}]}`)
	w.start()
	if n := len(w.room.View().Shows); n != 0 {
		t.Errorf("%d shows of a calendar that cannot be", n)
	}
}

func TestCalendarOutlivesARestart(t *testing.T) {
	w := newWorld(t)
	c := wire.Calendar{Shows: []wire.Show{w.show("ev1", evening, evening.Add(2*time.Hour))}}
	w.room.Calendar(c)
	w.run(10 * time.Minute)
	w.start()
	w.run(time.Second)
	v := w.room.View()
	if diff := cmp.Diff(c.Shows, v.Shows); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	s := v.Promises[0].Show
	if s == nil || s.Show.ID != "ev1" || s.Total != 76 {
		t.Fatalf("the show's budget is %+v, want 76 sales so far", s)
	}
	// 76 sales in 10 min, and 110 min to come.
	if s.Forecast != 836 {
		t.Errorf("%d sales are forecast, want 836", s.Forecast)
	}
}

// A heal that is quicker than a look leaves no incident out, nor tells one twice.
func TestJourneyHealedBetweenTwoLooks(t *testing.T) {
	w := newWorld(t)
	w.run(time.Minute)
	w.past = journeys.Stretch{
		Failures: 2, SinceMS: w.now.Add(-900 * time.Millisecond).UnixMilli(), End: w.now.Add(-200 * time.Millisecond),
		Last: synthetics.Result{Journey: "revenue-path", FailedStep: "pay", TraceID: traceID, StartMS: w.now.UnixMilli()},
	}
	w.run(15 * time.Minute)
	want := []string{"journey revenue-path page: failed 20:00:59, detected 20:00:59, mitigated 20:01:00, parity 20:01:00"}
	if diff := cmp.Diff(want, w.story()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if links := w.heard()[0].Links; len(links) != 1 {
		t.Errorf("%d traces, want that of the failed run", len(links))
	}
}

// A journey or objective that is taken out of the configuration leaves nothing open.
func TestObjectiveThatIsNoMore(t *testing.T) {
	w := newWorld(t)
	w.run(5 * time.Minute)
	w.down = true
	w.run(2 * time.Minute)
	w.o.Name, w.o.Hash, w.buckets = "another", 8, map[int64]slo.Bucket{}
	w.down = false
	w.start()
	w.run(time.Minute)
	for _, i := range w.heard() {
		if i.Open() {
			t.Errorf("%s goes on", i.Scope.Name)
		}
	}
	for key := range w.stored {
		if key == "incidents/watch/checkout-success" {
			t.Error("the alerts of an objective that is no more are kept")
		}
	}
}

func TestStoredNonsenseIsLeftOut(t *testing.T) {
	w := newWorld(t)
	for _, key := range []string{"incidents/incident/inc-x", "incidents/watch/checkout-success", fmt.Sprintf("incidents/hours/%016x/3", 7)} {
		w.stored[key] = []byte("{")
	}
	w.start()
	outage(w)
	if diff := cmp.Diff(wantOutage, w.story()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for key, raw := range w.stored {
		if !json.Valid(raw) {
			t.Errorf("%s is still %q", key, raw)
		}
	}
}

func TestOptions(t *testing.T) {
	if _, err := incidents.New(incidents.Options{}); err == nil {
		t.Error("a room without a book was made")
	}
}
