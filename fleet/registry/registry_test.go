package registry

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/wire"
	"ghostlight/fleet/store"
	"ghostlight/healthscore"
	"ghostlight/healthscore/heal"
	"ghostlight/synthetics"
)

var (
	soho   = buffer.Source{Region: "uk", Venue: "soho", Node: "soho-1"}
	camden = buffer.Source{Region: "uk", Venue: "camden", Node: "camden-1"}
)

// open opens a registry in dir; end stops it as a fleet's stop does, or abruptly.
func open(t *testing.T, dir string, running bool) (r *Registry, st *store.Store, end func()) {
	t.Helper()
	st, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	r, err = New(t.Context(), Options{
		Store: st, Members: []Member{{Source: soho, Contact: "Ann"}, {Source: camden}}, DarkAfter: 15 * time.Second, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	if running {
		go func() { done <- r.Run(ctx) }()
	} else {
		done <- nil
	}
	return r, st, func() {
		cancel()
		if err := errors.Join(<-done, st.Close()); err != nil {
			t.Error(err)
		}
	}
}

func presence(t *testing.T, r *Registry, src buffer.Source) View {
	t.Helper()
	v, err := r.Node(src)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestDarknessInVirtualTime(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r, _, end := open(t, dir, true)
		begin := time.Now()
		if err := r.Heard(soho); err != nil {
			t.Fatal(err)
		}
		changed := r.Changed()
		time.Sleep(15 * time.Second)
		synctest.Wait()
		if v := presence(t, r, soho); !v.Live {
			t.Errorf("after 15 s of silence it is %s", v.Presence)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if v := presence(t, r, soho); v.Presence != Dark || !v.DarkSince.Equal(begin) {
			t.Errorf("after 17 s of silence it is %s since %s, want dark since %s", v.Presence, v.DarkSince, begin)
		}
		select {
		case <-changed:
		default:
			t.Error("the change was not announced")
		}
		if v := presence(t, r, camden); v.Presence != Never {
			t.Errorf("a node never heard is %s", v.Presence)
		}
		time.Sleep(43 * time.Second) // one minute dark
		end()

		// The fleet is down for ten minutes: they are its own.
		time.Sleep(10 * time.Minute)
		r, _, end = open(t, dir, true)
		if v := presence(t, r, soho); v.Presence != Dark || !v.DarkSince.Equal(begin) {
			t.Errorf("after a restart it is %s since %s, want dark since %s", v.Presence, v.DarkSince, begin)
		}
		time.Sleep(30 * time.Second)
		if err := r.Heard(soho); err != nil {
			t.Fatal(err)
		}
		back := time.Now()
		dark, err := r.Dark(t.Context(), Filter{})
		if err != nil {
			t.Fatal(err)
		}
		want := []Darkness{{soho, Episode{begin, back}, 90 * time.Second}}
		if diff := cmp.Diff(want, dark); diff != "" {
			t.Errorf("dark (-want +got):\n%s", diff)
		}
		// The same from the store, and within a window.
		time.Sleep(5 * time.Second)
		if sum := darkTime(t, r, Filter{Venues: []string{"soho"}, From: begin.Add(20 * time.Second), To: begin.Add(40 * time.Second)}); sum != 20*time.Second {
			t.Errorf("dark for %s in a window of 20 s", sum)
		}
		end()
	})
}

func TestRestartOfTheFleetDarkensNobody(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r, _, end := open(t, dir, true)
		if err := r.Heard(soho); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		end()
		time.Sleep(time.Hour)
		r, _, end = open(t, dir, true)
		defer end()
		time.Sleep(14 * time.Second)
		synctest.Wait()
		if v := presence(t, r, soho); v.Presence != Live {
			t.Errorf("before the fleet has listened for 15 s the node is %s", v.Presence)
		}
		if err := r.Heard(soho); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		dark, err := r.Dark(t.Context(), Filter{})
		if err != nil || len(dark) != 0 {
			t.Errorf("a node was dark while the fleet was down: %v (%v)", dark, err)
		}
	})
}

func TestHeartbeatSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r, _, end := open(t, dir, true)
		hb := wire.Heartbeat{
			Session: 1 << 63, SentMS: time.Now().Add(3 * time.Second).UnixMilli(), Version: "1", PageURL: "http://x", StartMS: 5, Restarts: 2,
			Lanes: map[buffer.Lane]wire.LaneStats{buffer.Revenue: {Produced: 10, Lost: map[string]int64{"thinned": 2}}},
		}
		received, err := r.Heartbeat(soho, hb)
		if err != nil || !received.Equal(time.Now()) {
			t.Errorf("received at %s (%v)", received, err)
		}
		for _, fn := range []func(buffer.Source) error{r.Conflict, r.Malformed} {
			if err := fn(soho); err != nil {
				t.Fatal(err)
			}
		}
		before := presence(t, r, soho)
		if before.ClockOffset != 3*time.Second || before.Contact != "Ann" || before.Conflicts != 1 || before.Malformed != 1 {
			t.Errorf("view %+v", before)
		}
		end()
		r, _, end = open(t, dir, true)
		defer end()
		if diff := cmp.Diff(before, presence(t, r, soho)); diff != "" {
			t.Errorf("view (-before +after):\n%s", diff)
		}
	})
}

func TestGoodbye(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r, _, end := open(t, dir, true)
		defer end()
		if _, err := r.Heartbeat(soho, wire.Heartbeat{Goodbye: true}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if err := r.Heard(soho); err != nil { // a block that was on its way
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if v := presence(t, r, soho); v.Presence != Away {
			t.Errorf("after a goodbye it is %s", v.Presence)
		}
		if err := r.Heard(soho); err != nil {
			t.Fatal(err)
		}
		if v := presence(t, r, soho); v.Presence != Live {
			t.Errorf("after it is back it is %s", v.Presence)
		}
	})
}

func TestStrangersAreUnknown(t *testing.T) {
	r, _, end := open(t, t.TempDir(), false)
	defer end()
	stranger := buffer.Source{Region: "r", Venue: "v", Node: "n"}
	if err := r.Heard(stranger); !errors.Is(err, ErrUnknown) {
		t.Errorf("a stranger was noted: %v", err)
	}
	if _, err := r.Node(stranger); !errors.Is(err, ErrUnknown) {
		t.Errorf("a stranger is shown: %v", err)
	}
	if got := r.Venues(); !cmp.Equal(got, []string{"camden", "soho"}) {
		t.Errorf("venues %v", got)
	}
}

// apply applies records of soho, and returns the first error.
func apply(t *testing.T, r *Registry, st *store.Store, records ...delta.Record) error {
	t.Helper()
	return st.Write(t.Context(), func(tx *sql.Tx) error {
		for _, rec := range records {
			if err := r.Apply(t.Context(), tx, soho, rec); err != nil {
				return err
			}
		}
		return nil
	})
}

func record(t *testing.T, kind, key string, at int64, body any) delta.Record {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return delta.Record{Kind: kind, Key: key, Time: at, Body: text}
}

func TestRunsHealsAndScores(t *testing.T) {
	dir := t.TempDir()
	r, st, end := open(t, dir, false)
	if err := r.Heard(soho); err != nil {
		t.Fatal(err)
	}
	var records []delta.Record
	runs := map[int64]synthetics.Result{}
	for i := int64(1); i <= 4; i++ {
		runs[i] = synthetics.Result{Journey: "buy", StartMS: 1000 * i, DurationMS: 5, Pass: i%2 == 0, Steps: []synthetics.StepResult{{Name: "pay", Pass: i%2 == 0}}}
		records = append(records, record(t, KindRun, fmt.Sprint(i), 1000*i, runs[i]))
	}
	audit := heal.Audit{Seq: 1, AtMS: 2500, Action: "restart", Result: "succeeded", Hash: "h1"}
	records = append(records, record(t, KindHeal, "1", 2500, audit),
		record(t, KindScore, "2", 2000, healthscore.Score{Value: 90, Known: true, AtMS: 2000}),
		record(t, KindScore, "1", 1000, healthscore.Score{Value: 10, Known: true, AtMS: 1000}))
	for range 2 { // a repeat changes nothing
		if err := apply(t, r, st, records...); err != nil {
			t.Fatal(err)
		}
	}
	check := func() {
		t.Helper()
		v := presence(t, r, soho)
		if v.Score == nil || v.Score.Value != 90 {
			t.Errorf("the latest score is %+v", v.Score)
		}
		if diff := cmp.Diff([]synthetics.Result{runs[4]}, v.Journeys); diff != "" {
			t.Errorf("last runs (-want +got):\n%s", diff)
		}
	}
	check()
	window := Filter{Venues: []string{"soho", "camden"}, From: time.UnixMilli(2000), To: time.UnixMilli(4000)}
	list, err := r.Runs(t.Context(), window)
	if diff := cmp.Diff([]Run{{soho, runs[3]}, {soho, runs[2]}}, list); diff != "" || err != nil {
		t.Errorf("runs (-want +got):\n%s %v", diff, err)
	}
	heals, err := r.Heals(t.Context(), window)
	if diff := cmp.Diff([]Heal{{soho, audit}}, heals); diff != "" || err != nil {
		t.Errorf("heals (-want +got):\n%s %v", diff, err)
	}
	if elsewhere, err := r.Heals(t.Context(), Filter{Venues: []string{"camden"}}); len(elsewhere) != 0 || err != nil {
		t.Errorf("heals elsewhere: %v %v", elsewhere, err)
	}
	if err := r.save(t.Context()); err != nil {
		t.Fatal(err)
	}
	end()
	r, _, end = open(t, dir, false)
	defer end()
	check()
}

func TestMalformedRecords(t *testing.T) {
	r, st, end := open(t, t.TempDir(), false)
	defer end()
	for _, rec := range []delta.Record{
		{Kind: KindRun, Body: []byte("{")},
		{Kind: KindRun, Body: []byte(`{"journey":"","start_ms":1}`)},
		{Kind: KindRun, Body: []byte(`{"journey":"x"}`)},
		{Kind: KindScore, Body: []byte("[]")},
		{Kind: KindHeal, Body: []byte("{}")},
		{Kind: "other"},
	} {
		if err := apply(t, r, st, rec); !errors.Is(err, store.ErrMalformed) {
			t.Errorf("%s %q: %v", rec.Kind, rec.Body, err)
		}
	}
}

// The trace of each failed run is claimed as evidence, and no other.
func TestFailedRunsClaimTheirTrace(t *testing.T) {
	r, st, end := open(t, t.TempDir(), false)
	defer end()
	var claimed []string
	r.claim = func(_ context.Context, _ *sql.Tx, src buffer.Source, res synthetics.Result) error {
		claimed = append(claimed, src.Node+" "+res.Journey+" "+res.TraceID)
		return nil
	}
	now := time.Now().UnixMilli()
	err := apply(t, r, st,
		record(t, KindRun, "1", 1, synthetics.Result{Journey: "buy", StartMS: now, TraceID: "aa"}),
		record(t, KindRun, "2", 2, synthetics.Result{Journey: "buy", StartMS: now + 1, TraceID: "bb", Pass: true}),
		record(t, KindRun, "3", 3, synthetics.Result{Journey: "buy", StartMS: now + 2}))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{soho.Node + " buy aa"}, claimed); diff != "" {
		t.Error(diff)
	}
}
