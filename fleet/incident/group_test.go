package incident

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"ghostlight/fleet/notify"
	"ghostlight/fleet/store"
	"ghostlight/slo"
	"ghostlight/slo/incident"
)

func TestGroupsThatTurnOutToBeOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, soho)
		begun := time.Now()
		at := func(name string, minutes float64) incident.Incident {
			return incident.New(scope(soho, incident.Objective, name), begun.Add(time.Duration(minutes*float64(time.Minute))))
		}
		a, b, c, d := at("a", 0), at("b", 1), at("c", 20), at("d", 21)
		for _, i := range []incident.Incident{a, b} {
			w.hear(soho, i)
		}
		time.Sleep(20 * time.Minute)
		for _, i := range []incident.Incident{c, d} {
			w.hear(soho, i)
		}
		list := w.list(Filter{})
		if len(list) != 2 || list[0].Page != c.ID() || list[1].Page != a.ID() {
			t.Fatalf("before: %+v", list)
		}
		if err := w.book.Note(context.Background(), list[0].ID, "Ann", "the second"); err != nil {
			t.Fatal(err)
		}
		between := at("e", 10.5)
		w.hear(soho, between)
		for range 2 {
			i := w.one()
			if i.ID != list[1].ID || len(i.Gathered) != 5 || i.Page != a.ID() {
				t.Errorf("as one: %s of %d, told as %s", i.ID, len(i.Gathered), i.Page)
			}
			if got := w.get(list[0].ID); got.ID != i.ID || len(got.Notes) != 1 {
				t.Errorf("by the id of what it was: %s with the notes %+v", got.ID, got.Notes)
			}
			w.stop()
			w.start()
			time.Sleep(time.Minute)
		}
		for _, i := range []incident.Incident{a, b, c, d, between} {
			w.hear(soho, recovers(i))
		}
		want := []string{
			"firing soho (soho-1): a burns its error budget since 00:00 UTC",
			"firing soho (soho-1): c burns its error budget since 00:20 UTC",
			"resolved soho (soho-1): a (with b, c, d, e) is restored",
			"resolved soho (soho-1): c (with a, b, d, e) is restored",
		}
		taken := w.pager.taken()
		if len(taken) == len(want) {
			slices.Sort(taken[2:]) // both end at once, in any order
		}
		if diff := cmp.Diff(want, taken); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
	})
}

// What failed at a venue a day ago, and is heard of only now, is of the cause that it
// had then, though the desk has that no more: a chain of failures is found from end to
// end, and nothing that failed long before or behind it.
func TestWhatIsHeardOfADayLaterJoinsItsCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, soho, camden)
		minutes := []time.Duration{0, 8, 30}
		var heard []incident.Incident
		for _, m := range minutes {
			i := incident.New(scope(soho, incident.Objective, fmt.Sprintf("o%d", m)), time.Now().Add(m*time.Minute)).
				Rate(incident.Severity{Urgency: slo.Page, AtMS: time.Now().UnixMilli(), Source: incident.Node})
			heard = append(heard, i)
		}
		late := incident.New(scope(soho, incident.Journey, "buy-ticket"), time.Now().Add(12*time.Minute)).
			Rate(incident.Severity{Urgency: slo.Page, AtMS: time.Now().UnixMilli(), Source: incident.Node})
		time.Sleep(40 * time.Minute)
		for _, i := range heard {
			w.hear(soho, i)
			w.hear(soho, recovers(i))
		}
		time.Sleep(26 * time.Hour)
		w.stop()
		w.start() // with nothing of a day ago on the desk
		w.hear(soho, late)
		w.hear(soho, recovers(late))
		time.Sleep(time.Minute)
		var got []int
		for _, i := range w.list(Filter{}) {
			got = append(got, len(i.Gathered))
		}
		slices.Sort(got)
		if diff := cmp.Diff([]int{0, 3}, got); diff != "" {
			t.Errorf("causes, by how many they gather (-want +got):\n%s", diff)
		}
	})
}

func TestTheDeskIsClearedOfWhatIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, soho, camden)
		w.recent = 10 * time.Minute
		w.stop()
		w.start()
		held := func() (incidents, groups int) {
			t.Helper()
			w.stop()
			defer w.start()
			d := w.book.desk
			return len(d.list), len(d.groups)
		}
		a, b, c := fails(soho, "checkout-success"), fails(soho, "relay-latency"), fails(camden, "checkout-success")
		w.hear(soho, a)
		w.hear(soho, b)
		w.hear(camden, c)
		w.hear(soho, recovers(a))
		w.hear(camden, recovers(c))
		time.Sleep(w.recent + 2*time.Minute)
		if n, g := held(); n != 2 || g != 1 { // a is over, but its group is not
			t.Errorf("%d incidents and %d groups are on the desk, want 2 and 1", n, g)
		}
		w.hear(soho, recovers(b))
		time.Sleep(w.recent + 2*time.Minute)
		if n, g := held(); n != 0 || g != 0 {
			t.Errorf("%d incidents and %d groups are on the desk, want none", n, g)
		}
		if list := w.list(Filter{}); len(list) != 2 {
			t.Errorf("%d incidents are listed, want 2", len(list))
		}
		// One that comes late finds the group that it belongs to.
		late := incident.New(scope(soho, incident.Journey, "buy-ticket"), time.UnixMilli(a.StartMS+1))
		w.hear(soho, recovers(late))
		w.hear(soho, recovers(a).Try(incident.Heal{ID: "h", Title: "restart", AtMS: a.StartMS}))
		if list := w.list(Filter{Venues: []string{"soho"}}); len(list) != 1 || len(list[0].Gathered) != 3 {
			t.Errorf("what came late is not with its group: %+v", list)
		}
		if n := len(w.pager.fired()); n != 2 {
			t.Errorf("told %q", w.pager.taken())
		}
	})
}

// A flaky pager cannot take pages for a while.
type flaky struct {
	Pager
	broken atomic.Bool
}

func (f *flaky) Notify(ctx context.Context, n notify.Notification) error {
	if f.broken.Load() {
		return errors.New("the disk is full")
	}
	return f.Pager.Notify(ctx, n)
}

func TestWhatCannotBeToldIsToldLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, soho)
		f := &flaky{}
		f.broken.Store(true)
		w.wrap = func(p Pager) Pager { f.Pager = p; return f }
		w.stop()
		w.start()
		i := fails(soho, "checkout-success")
		w.hear(soho, i)
		time.Sleep(time.Minute)
		if err := w.book.Working(); err == nil {
			t.Error("a book that cannot tell anybody works")
		}
		f.broken.Store(false)
		time.Sleep(time.Minute)
		if err := w.book.Working(); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]string{i.ID()}, w.pager.fired()); diff != "" {
			t.Errorf("keys that fired (-want +got):\n%s", diff)
		}
	})
}

// A counter counts what it is asked to tell, by key.
type counter map[string]int

func (c counter) Notify(_ context.Context, n notify.Notification) error { c[n.Key]++; return nil }

func (c counter) Log(context.Context, string) ([]notify.Entry, error) { return nil, nil }

func TestAFleetThatGoesDarkIsOnePageHoweverLarge(t *testing.T) {
	const nodes = 5000 // more than one incident's encoding could list
	dir, c, told := t.TempDir(), newCrowd(nodes, nodes, time.Now()), counter{}
	for range 2 { // over a restart
		st, err := store.Open(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		book, err := New(t.Context(), Options{
			Store: st, Nodes: c, Calendar: c, Ledger: &facts{}, Sales: &facts{}, DarkAfter: darkAfter, Pager: told, Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := book.round(t.Context()); err != nil {
			t.Fatal(err)
		}
		list, err := book.List(t.Context(), Filter{Open: true})
		if err != nil || len(list) != 1 || len(list[0].Gathered) != nodes || list[0].Scope != (incident.Scope{Cause: incident.Darkness}) {
			t.Fatalf("%d causes (%v)", len(list), err)
		}
		if len(told) != 1 || told[list[0].ID] == 0 {
			t.Errorf("told %v of %s", told, list[0].ID)
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
