package incident

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"ghostlight/buffer"
	"ghostlight/slo/incident"
)

// TestWhatIsFreshComesFirst: a node is heard again after hours and says first that it
// fails, and only then that the failure before ended long ago. Nobody is told that the
// first fails again, whatever is heard of the second.
func TestWhatIsFreshComesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, soho)
		w.pass(time.Minute, soho)
		first := fails(soho, "checkout-success")
		w.hear(soho, first)
		w.pass(10*time.Minute, soho)
		ended := recovers(first)
		w.pass(2*time.Hour, soho)
		second := fails(soho, "checkout-success")
		w.hear(soho, second)
		w.pass(time.Minute, soho)
		w.hear(soho, recovers(second))
		w.pass(time.Minute, soho)
		w.hear(soho, ended)
		w.pass(time.Minute, soho)
		w.toldOnce(first, second)
	})
}

// TestWhatSeemedOneIsToldUnderTwoKeys: somebody closes an incident of which no end is
// heard, and a few minutes later the same thing fails. That seems to be the same, and
// has its key, until the end of the first arrives: it was hours ago. From there on each
// has its own, after a restart too.
func TestWhatSeemedOneIsToldUnderTwoKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, soho)
		w.pass(time.Minute, soho)
		first := fails(soho, "checkout-success")
		w.hear(soho, first)
		w.pass(10*time.Minute, soho)
		ended := recovers(first)
		w.pass(2*time.Hour, soho)
		if err := w.book.Close(context.Background(), first.ID(), "kim", ""); err != nil {
			t.Fatal(err)
		}
		w.pass(2*time.Minute, soho)
		second := fails(soho, "checkout-success")
		w.hear(soho, second)
		w.pass(time.Minute, soho)
		if got := w.one(); got.Page != first.ID() || !got.Open() {
			t.Fatalf("key %s, goes on: %v; want it to be the first again", got.Page, got.Open())
		}
		w.hear(soho, ended)
		w.pass(time.Minute, soho)
		for range 3 { // whatever changes, nothing is told anew
			w.pass(11*time.Minute, soho)
			w.hear(soho, fails(soho, "token-validation"))
		}
		times := w.fired()
		if times[first.ID()] != 2 || times[second.ID()] != 1 {
			t.Errorf("fired %v, want the first again when it seemed to be, and the second once", times)
		}
		w.stop()
		w.start()
		w.pass(time.Minute, soho)
		pages := map[string]string{}
		for _, i := range w.list(Filter{}) {
			pages[i.ID] = i.Page
		}
		if pages[first.ID()] != first.ID() || pages[second.ID()] != second.ID() {
			t.Errorf("keys %v, want each incident under its own", pages)
		}
	})
}

// TestHeardForAMoment: a dark node is heard and is dark again before anybody judged that
// it was heard. Its first darkness is over all the same.
func TestHeardForAMoment(t *testing.T) {
	src := buffer.Source{Region: "uk", Venue: "soho", Node: "soho-1"}
	begin := time.UnixMilli(1_800_000_000_000)
	i := incident.New(darkOf(src), begin)
	i = incident.Fail(&i, i.Scope, begin.Add(time.Hour), time.Minute)
	sign := begin.Add(time.Hour)
	got := heardBetween(i, sign.UnixMilli(), sign).Spells()
	want := []incident.Spell{
		{StartMS: begin.UnixMilli(), FailedMS: begin.UnixMilli(), MitigatedMS: sign.UnixMilli()},
		{StartMS: sign.UnixMilli(), FailedMS: sign.UnixMilli()},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("spells (-want +got):\n%s", diff)
	}
}

// fired is how often each key was told to fail.
func (w *world) fired() map[string]int {
	out := map[string]int{}
	for _, key := range w.pager.fired() {
		out[key]++
	}
	return out
}

// toldOnce looks whether each incident was told to fail once, under its own key, and
// nothing else was.
func (w *world) toldOnce(list ...incident.Incident) {
	w.t.Helper()
	want := map[string]int{}
	for _, i := range list {
		want[i.ID()] = 1
	}
	if diff := cmp.Diff(want, w.fired()); diff != "" {
		w.t.Errorf("told to fail, by key (-want +got):\n%s", diff)
	}
}
