package incident

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/fleet/ledger"
	"ghostlight/fleet/notify"
	"ghostlight/fleet/store"
	"ghostlight/slo"
	"ghostlight/slo/incident"
)

// hear applies what a node says of its incident, as ingest does.
func (w *world) hear(src buffer.Source, i incident.Incident) {
	w.t.Helper()
	if err := w.apply(src, i); err != nil {
		w.t.Fatal(err)
	}
	time.Sleep(judgeEvery)
	synctest.Wait()
}

func (w *world) apply(src buffer.Source, i incident.Incident) error {
	w.t.Helper()
	body, err := i.Encode()
	if err != nil {
		w.t.Fatal(err)
	}
	return w.store.Write(context.Background(), func(tx *sql.Tx) error {
		return w.book.Apply(context.Background(), tx, src, delta.Record{Kind: incident.Kind, Key: i.ID(), Body: body})
	})
}

// fails is an incident that a node begins now.
func fails(src buffer.Source, name string) incident.Incident {
	now := time.Now()
	return incident.New(scope(src, incident.Objective, name), now).
		Mark(incident.Mark{Stage: incident.Detected, SpellMS: now.UnixMilli(), AtMS: now.UnixMilli() + 1, Source: incident.Node}).
		Rate(incident.Severity{Urgency: slo.Page, AtMS: now.UnixMilli(), Source: incident.Node})
}

func recovers(i incident.Incident) incident.Incident {
	spells, at := i.Spells(), time.Now().UnixMilli()
	for _, st := range []incident.Stage{incident.Mitigated, incident.Parity} {
		i = i.Mark(incident.Mark{Stage: st, SpellMS: spells[len(spells)-1].StartMS, AtMS: at, Source: incident.Node})
	}
	return i
}

// TestOrderAndRepeatsChangeNothing tells a book the facts of some incidents in any
// order, some of them twice, and compares it with one that was told each whole.
func TestOrderAndRepeatsChangeNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		now := time.UnixMilli(1_800_000_000_000)
		open := func() (*Book, *store.Store) {
			st, err := store.Open(t.Context(), t.TempDir())
			if err != nil {
				rt.Fatal(err)
			}
			o := Options{Store: st, Now: func() time.Time { return now }}
			o.defaults()
			if err := st.Migrate(t.Context(), tables...); err != nil {
				rt.Fatal(err)
			}
			return &Book{o: o}, st
		}
		whole := incident.New(scope(soho, incident.Objective, "checkout-success"), now)
		parts := []incident.Incident{whole}
		for k := range rapid.IntRange(1, 6).Draw(rt, "facts") {
			st := rapid.SampledFrom(incident.Stages()).Draw(rt, "stage")
			one := incident.Incident{Scope: whole.Scope, StartMS: whole.StartMS}.Mark(incident.Mark{
				Stage: st, SpellMS: whole.StartMS, AtMS: whole.StartMS + int64(k), Source: incident.Node, Revision: uint32(rapid.IntRange(0, 2).Draw(rt, "revision")),
			}).Try(incident.Heal{ID: "h", Title: "restart", AtMS: now.UnixMilli(), Revision: uint32(k)})
			parts = append(parts, one)
			var err error
			if whole, err = incident.Merge(whole, one); err != nil {
				rt.Fatal(err)
			}
		}
		told := append(rapid.Permutation(parts).Draw(rt, "order"), rapid.SliceOf(rapid.SampledFrom(parts)).Draw(rt, "repeats")...)
		b, st := open()
		defer st.Close()
		if _, err := st.Register(t.Context(), soho); err != nil {
			rt.Fatal(err)
		}
		for _, i := range told {
			body, err := i.Encode()
			if err != nil {
				rt.Fatal(err)
			}
			err = st.Write(t.Context(), func(tx *sql.Tx) error {
				return b.Apply(t.Context(), tx, soho, delta.Record{Kind: incident.Kind, Key: i.ID(), Body: body})
			})
			if err != nil {
				rt.Fatal(err)
			}
		}
		got, err := rows(t.Context(), st.Read(), ``)
		if err != nil || len(got) != 1 {
			rt.Fatalf("%d rows (%v)", len(got), err)
		}
		if diff := cmp.Diff(whole.Arrive(now), got[0].Incident); diff != "" {
			rt.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestWhatANodeMayNotTellIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, soho, camden)
		ours := fails(soho, "checkout-success")
		for name, err := range map[string]error{
			"another node's":  w.apply(camden, ours),
			"darkness":        w.apply(soho, incident.New(darkOf(soho), time.Now())),
			"the whole venue": w.apply(soho, incident.New(incident.Scope{Region: "uk", Venue: "soho", Cause: incident.Several}, time.Now())),
		} {
			if !errors.Is(err, store.ErrMalformed) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if list := w.list(Filter{}); len(list) > 0 {
			t.Errorf("kept all the same: %+v", list)
		}
	})
}

func TestOneCauseIsOnePageOverRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, soho, camden)
		first := fails(soho, "checkout-success")
		w.hear(soho, first)
		time.Sleep(time.Minute)
		w.hear(soho, fails(soho, "relay-latency"))
		other := fails(camden, "checkout-success")
		w.hear(camden, other)
		w.stop()
		w.start()
		time.Sleep(time.Minute)
		// One that failed earlier than all others is heard last.
		early := incident.New(scope(soho, incident.Journey, "buy-ticket"), time.UnixMilli(first.StartMS-1000)).
			Rate(incident.Severity{Urgency: slo.Page, AtMS: first.StartMS, Source: incident.Node})
		w.hear(soho, early)
		w.stop()
		w.start()
		time.Sleep(time.Minute)
		if diff := cmp.Diff([]string{first.ID(), other.ID()}, w.pager.fired()); diff != "" {
			t.Errorf("keys that fired (-want +got):\n%s", diff)
		}
		list := w.list(Filter{Venues: []string{"soho"}})
		if len(list) != 1 || len(list[0].Gathered) != 3 || list[0].Page != first.ID() || list[0].Scope.Cause != incident.Several {
			t.Fatalf("%+v", list)
		}
		w.facts.set(func(f *facts) {
			f.defs = []ledger.Definition{{Objective: slo.Objective{Name: "relay-latency", DisplayName: "Interaction latency"}}}
		})
		for _, m := range list[0].Gathered {
			w.hear(soho, recovers(m))
		}
		time.Sleep(time.Minute)
		taken := w.pager.taken()
		want := "resolved soho (soho-1): checkout-success (with Interaction latency, journey buy-ticket) is restored"
		if len(taken) != 3 || taken[2] != want {
			t.Errorf("told %q, want at last %q", taken, want)
		}
		if got := w.pager.last; got.Key != first.ID() || got.Scope != first.Scope {
			t.Errorf("a receiver knows it as %s of %+v", got.Key, got.Scope)
		}
	})
}

// What is restored is not told as failing because something else of its cause is not.
func TestOfACauseWhatGoesOnIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, soho)
		hear := func(i incident.Incident) { w.hear(soho, i); time.Sleep(time.Second) }
		journey := incident.New(scope(soho, incident.Journey, "buy-ticket"), time.Now()).
			Rate(incident.Severity{Urgency: slo.Page, AtMS: time.Now().UnixMilli(), Source: incident.Node})
		hear(journey)
		time.Sleep(time.Minute)
		hear(recovers(journey))
		burning, slow := fails(soho, "checkout-success"), fails(soho, "relay-latency")
		hear(burning)
		want := &notify.Failure{Cause: incident.Objective, What: "checkout-success", Since: time.UnixMilli(burning.StartMS).UTC()}
		if got := w.pager.last; got.Phase != notify.Fire || got.What != "journey buy-ticket" || !cmp.Equal(want, got.Still) {
			t.Errorf("told %s of %q, still %+v, want %+v", got.Phase, got.What, got.Still, want)
		}
		hear(recovers(burning))
		hear(slow)
		if got := w.pager.last; got.Phase != notify.Fire || got.Still == nil || got.Still.What != "relay-latency" {
			t.Errorf("told %s, still %+v, want what fails now", got.Phase, got.Still)
		}
		hear(recovers(slow))
		if got := w.pager.last; got.Phase != notify.Resolve || got.Still != nil || got.What != "journey buy-ticket (with checkout-success, relay-latency)" {
			t.Errorf("at the end told %s of %q, still %+v", got.Phase, got.What, got.Still)
		}
	})
}

func TestAMemberThatCannotWaitWakesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, soho)
		ticket := fails(soho, "relay-latency")
		ticket.Severities = nil
		w.hear(soho, ticket)
		w.hear(soho, fails(soho, "checkout-success"))
		w.hear(soho, fails(soho, "settlement-age"))
		if diff := cmp.Diff([]string{ticket.ID(), ticket.ID()}, w.pager.fired()); diff != "" {
			t.Errorf("keys that fired (-want +got):\n%s", diff)
		}
	})
}

func TestTwoPagesThatTurnOutToBeOneBothEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, soho)
		a := fails(soho, "checkout-success")
		w.hear(soho, a)
		time.Sleep(15 * time.Minute)
		c := fails(soho, "relay-latency")
		w.hear(soho, c)
		between := incident.New(scope(soho, incident.Journey, "buy-ticket"), time.UnixMilli(a.StartMS).Add(8*time.Minute))
		w.hear(soho, between)
		for _, i := range []incident.Incident{a, c, between} {
			w.hear(soho, recovers(i))
		}
		want := map[string]int{"firing": 2, "resolved": 2}
		got := map[string]int{}
		for _, line := range w.pager.taken() {
			phase, _, _ := strings.Cut(line, " ")
			got[phase]++
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("told (-want +got):\n%s\n%q", diff, w.pager.taken())
		}
	})
}

func TestWhatWasOverBeforeItWasKnownWakesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, soho)
		i := fails(soho, "checkout-success")
		time.Sleep(time.Hour)
		w.hear(soho, recovers(i))
		want := []string{"late soho (soho-1): checkout-success burnt its error budget for 1 h, found afterwards; it is over"}
		if diff := cmp.Diff(want, w.pager.taken()); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
		d := w.get(i.ID())
		var stages []string
		for _, s := range d.Stages {
			stages = append(stages, string(s.Stage)+" "+time.Duration(s.ArrivedMS-s.AtMS).String())
		}
		if len(d.Stages) != 4 || d.Stages[0].ArrivedMS-d.Stages[0].AtMS != time.Hour.Milliseconds() || d.Stages[0].Source != incident.Node {
			t.Errorf("stages by both clocks: %q", stages)
		}
		if last := d.Timeline[len(d.Timeline)-1]; last.Kind != MomentPage || last.Page.Receiver != "phone" {
			t.Errorf("the timeline ends with %+v", last)
		}
	})
}

func TestPeople(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		w := newWorld(t, soho)
		w.hear(soho, fails(soho, "checkout-success"))
		w.hear(soho, fails(soho, "relay-latency"))
		id := w.one().ID
		changed := w.book.Changed()
		ok := func(err error) {
			t.Helper()
			if err != nil {
				t.Error(err)
			}
		}
		ok(w.book.Acknowledge(ctx, id, " Ann ", "on it"))
		time.Sleep(time.Minute)
		select {
		case <-changed:
		default:
			t.Error("the change was not announced")
		}
		ok(w.book.Note(ctx, id, "Ann", "the router was unplugged"))
		time.Sleep(time.Second)
		for name, err := range map[string]error{
			"nobody":        w.book.Acknowledge(ctx, id, " ", ""),
			"nothing":       w.book.Note(ctx, id, "Ann", " "),
			"too much":      w.book.Note(ctx, id, "Ann", strings.Repeat("x", incident.MaxText+1)),
			"a long name":   w.book.Note(ctx, id, strings.Repeat("x", incident.MaxName+1), "x"),
			"no UTF-8":      w.book.Note(ctx, id, "Ann", "\xff"),
			"backwards":     w.book.Plan(ctx, id, Plan{From: time.Now(), To: time.Now(), By: "Ann"}),
			"a long plan":   w.book.Plan(ctx, id, Plan{From: time.Now(), To: time.Now().Add(32 * 24 * time.Hour), By: "Ann"}),
			"nowhere":       w.book.Plan(ctx, "nowhere", Plan{From: time.Now(), To: time.Now().Add(time.Hour), By: "Ann"}),
			"nobody's plan": w.book.Plan(ctx, id, Plan{From: time.Now(), To: time.Now().Add(time.Hour)}),
		} {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
		for name, err := range map[string]error{"ack": w.book.Acknowledge(ctx, "inc-x", "Ann", ""), "plan": w.book.Plan(ctx, "inc-x", Plan{From: time.Now(), To: time.Now().Add(time.Hour), By: "Ann"})} {
			if !errors.Is(err, ErrUnknown) {
				t.Errorf("%s of an unknown one: %v", name, err)
			}
		}
		ok(w.book.Plan(ctx, "soho", Plan{From: time.Now().Add(-30 * time.Second), To: time.Now(), By: "Ann", Text: "router swap"}))
		ok(w.book.Close(ctx, id, "Ann", ""))
		time.Sleep(time.Minute)
		w.stop()
		w.start()
		i := w.one()
		if i.Open() || i.Stage() != incident.Closed {
			t.Errorf("it is %s", i.Stage())
		}
		for _, m := range i.Gathered {
			if _, planned := m.Lasted(time.Now()); m.Open() || planned != 30*time.Second {
				t.Errorf("%s is %s, %s of it planned", m.Scope.Name, m.Stage(), planned)
			}
		}
		d := w.get(id)
		var notes []string
		for _, m := range d.Timeline {
			if m.Kind == MomentNote {
				notes = append(notes, m.By+": "+m.Text)
			}
		}
		if diff := cmp.Diff([]string{"Ann: on it", "Ann: the router was unplugged", "Ann: closed"}, notes); diff != "" {
			t.Errorf("notes (-want +got):\n%s", diff)
		}
		if last := w.pager.taken(); !strings.HasPrefix(last[len(last)-1], "resolved ") {
			t.Errorf("told %q", last)
		}
		// What fails within a planned window is born with it.
		late := incident.New(scope(soho, incident.Objective, "checkout-success"), time.Now().Add(-70*time.Second))
		w.hear(soho, late)
		if d := w.get(late.ID()); d.Planned == 0 {
			t.Error("a planned window of the venue does not count for what came later")
		}
	})
}

func TestAlertsOfManyNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, soho)
		alert := func(id string, u slo.Urgency, start time.Time, resolved time.Time) Alert {
			a := Alert{Alert: slo.Alert{ID: id, Objective: "checkout-success", Rule: id, Urgency: u, Phase: slo.Firing, Start: start, Fired: start}, Region: "uk"}
			if !resolved.IsZero() {
				a.Phase, a.Resolved = slo.Resolved, resolved
			}
			return a
		}
		take := func(list ...Alert) {
			t.Helper()
			for range 2 { // at least once
				if err := w.book.Alerts(context.Background(), list); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Minute)
		}
		start := time.Now()
		none := time.Time{}
		take(alert("ticket", slo.Ticket, start, none))
		take(alert("page", slo.Page, time.Now(), none))
		i := w.one()
		if want := (incident.Scope{Region: "uk", Cause: incident.Objective, Name: "checkout-success"}); i.Scope != want || len(i.Spells()) != 1 || i.Urgency() != slo.Page {
			t.Errorf("%+v", i)
		}
		over := time.Now()
		take(alert("page", slo.Page, start, over))
		if !w.one().Open() {
			t.Error("it is over while an alert of it fires")
		}
		take(alert("ticket", slo.Ticket, start, over.Add(time.Second)))
		if at := when(t, w.one().Incident, incident.Parity); !at.Equal(over.Add(time.Second)) {
			t.Errorf("over at %s, want %s", at, over)
		}
		take(alert("page", slo.Page, start, none)) // told again, late
		if w.one().Open() {
			t.Error("an alert that resolved fires again")
		}
		if diff := cmp.Diff([]string{i.ID, i.ID}, w.pager.fired()); diff != "" { // as a ticket, then as a page
			t.Errorf("keys that fired (-want +got):\n%s", diff)
		}
		take(alert("page-2", slo.Page, time.Now(), none))
		if i = w.one(); len(i.Spells()) != 2 || !i.Open() {
			t.Errorf("a flap: %+v", i.Spells())
		}
	})
}

// The burning of a region wakes nobody while it is that of a venue that people were
// woken for; it does where no venue accounts for it, or not any more.
func TestBurningOfManyVenuesIsToldWhereNoVenueAccountsForIt(t *testing.T) {
	for _, c := range []struct {
		name  string
		venue func(w *world) // what people were told of before
		want  []string
	}{
		{"alone", func(w *world) {
			w.facts.set(func(f *facts) {
				f.defs = []ledger.Definition{{Objective: slo.Objective{Name: "checkout-success", DisplayName: "Checkout success"}}}
			})
		}, []string{"firing region uk: Checkout success burns its error budget since 00:00 UTC"}},
		{"another objective", func(w *world) { w.hear(soho, fails(soho, "relay")) }, []string{
			"firing soho (soho-1): relay burns its error budget since 00:00 UTC",
			"firing region uk: checkout-success burns its error budget since 00:00 UTC",
		}},
		{"of a venue", func(w *world) { w.hear(soho, fails(soho, "checkout-success")) }, []string{
			"firing soho (soho-1): checkout-success burns its error budget since 00:00 UTC",
		}},
		{"of a venue's journey", func(w *world) {
			w.facts.set(func(f *facts) {
				f.defs = []ledger.Definition{{Objective: slo.Objective{Name: "checkout-success", Indicator: slo.Indicator{Journey: &slo.JourneyIndicator{Name: "buy"}}}}}
			})
			i := incident.New(scope(soho, incident.Journey, "buy"), time.Now()).
				Rate(incident.Severity{Urgency: slo.Page, AtMS: time.Now().UnixMilli(), Source: incident.Node})
			w.hear(soho, i)
		}, []string{"firing soho (soho-1): journey buy does not pass since 00:00 UTC"}},
		{"of a venue that recovered", func(w *world) {
			i := fails(soho, "checkout-success")
			w.hear(soho, i)
			w.hear(soho, recovers(i))
		}, []string{
			"firing soho (soho-1): checkout-success burns its error budget since 00:00 UTC",
			"resolved soho (soho-1): checkout-success is restored",
			"firing region uk: checkout-success burns its error budget since 00:00 UTC",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, soho, camden)
				start := time.Now()
				c.venue(w)
				fired := Alert{Alert: slo.Alert{ID: "a", Objective: "checkout-success", Rule: "page", Urgency: slo.Page, Phase: slo.Firing, Start: start, Fired: start}, Region: "uk"}
				if err := w.book.Alerts(context.Background(), []Alert{fired}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(20 * time.Minute)
				synctest.Wait()
				if diff := cmp.Diff(c.want, w.pager.taken()); diff != "" {
					t.Errorf("told (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// One outage that several objectives feel is one, and what only asked for a ticket is
// none, and does not make it longer.
func TestMTTRCountsCauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, soho)
		a, b := fails(soho, "checkout-success"), fails(soho, "checkout-journey")
		ticket := incident.New(scope(soho, incident.Objective, "cache-hits"), time.Now().Add(-time.Hour)).
			Rate(incident.Severity{Urgency: slo.Ticket, AtMS: time.Now().UnixMilli(), Source: incident.Node})
		felt := incident.New(scope(soho, incident.Objective, "conversion"), time.Now()).
			Rate(incident.Severity{Urgency: slo.Ticket, AtMS: time.Now().UnixMilli(), Source: incident.Node})
		for _, i := range []incident.Incident{a, b, ticket, felt} {
			w.hear(soho, i)
		}
		minute := time.Now().Truncate(time.Minute)
		w.pass(4*time.Minute, soho)
		w.hear(soho, recovers(a))
		w.pass(2*time.Minute, soho)
		w.hear(soho, recovers(b))
		got, err := w.book.MTTR(context.Background(), Filter{})
		if err != nil || got.Summary.N != 1 || got.Summary.Open != 0 || got.Curve.Longest < 6*time.Minute {
			t.Errorf("%+v (%v)", got.Summary, err)
		}
		list, err := w.book.Outages(context.Background(), soho, minute, minute.Add(time.Minute))
		if err != nil || len(list) != 1 || list[0].Parity.Sub(list[0].Failed) < 6*time.Minute {
			t.Errorf("outages %+v (%v)", list, err)
		}
	})
}

func TestMTTRCountsWhatGoesOnAsLongerThanItHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, soho, camden)
		for _, d := range []time.Duration{5 * time.Minute, 20 * time.Minute} {
			i := fails(soho, "checkout-success")
			w.hear(soho, i)
			w.pass(d, soho)
			w.hear(soho, recovers(i))
			w.pass(10*time.Minute, soho)
		}
		w.beat(camden, 0, false)
		w.hear(camden, fails(camden, "checkout-success"))
		w.pass(10*time.Minute, soho)
		got, err := w.book.MTTR(context.Background(), Filter{Within: 15 * time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		// Camden is dark a moment later: its own incident lasts for longer than a
		// second, its darkness for longer than ten minutes.
		if got.Summary.N != 4 || got.Summary.Open != 2 || got.Promise.Good != 1 || got.Promise.Total != 2 || got.Promise.Pending != 2 {
			t.Errorf("%+v %+v", got.Summary, got.Promise)
		}
		if len(got.Venues) != 2 || got.Venues[1].Venue != "soho" || got.Venues[1].Summary.N != 2 || got.Venues[1].Summary.Open != 0 {
			t.Errorf("by venue %+v", got.Venues)
		}
		if sum := w.list(Filter{Open: true, Venues: []string{"soho"}}); len(sum) != 0 {
			t.Errorf("open at soho: %+v", sum)
		}
	})
}
