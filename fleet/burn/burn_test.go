package burn

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"ghostlight/buffer"
	"ghostlight/buffer/wire"
	"ghostlight/fleet/ledger"
	"ghostlight/slo"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestVenueBurns: a venue of two nodes burns, a restart in the middle changes nothing,
// and each alert has one key.
func TestVenueBurns(t *testing.T) {
	r := newRig(t)
	o := define(t, 0.99, false)
	r.promise(o, bar, door)
	sell := func(good int64) func(time.Time) {
		return func(at time.Time) {
			r.sells(bar, o, at, 1, 1, good, 10)
			r.sells(door, o, at, 1, 1, good, 10)
		}
	}
	r.steps(90, sell(10))
	if len(r.told) != 0 {
		t.Fatalf("all went well and it fired: %v", r.fired())
	}
	r.steps(12, sell(0))
	want := []string{"uk/soho page/3600/300 firing"}
	if got := r.fired(); !slices.Contains(got, want[0]) {
		t.Fatalf("told %v, want %v", got, want)
	}
	before := r.room.Active()
	r.restart()
	r.load()
	if diff := cmp.Diff(ids(before), ids(r.room.Active())); diff != "" {
		t.Errorf("alerts over a restart (-before +after):\n%s", diff)
	}
	r.steps(400, sell(10))
	for _, a := range r.room.Active() {
		if a.Urgency == slo.Page {
			t.Errorf("%s still fires", a.Rule)
		}
	}
	seen := map[string][]slo.Phase{}
	for _, a := range r.told {
		seen[a.ID] = append(seen[a.ID], a.Phase)
		if a.Venue != "soho" || a.Region != "uk" {
			t.Errorf("alert of %s/%s", a.Region, a.Venue)
		}
	}
	for id, phases := range seen {
		if diff := cmp.Diff([]slo.Phase{slo.Firing, slo.Resolved}[:len(phases)], phases); diff != "" {
			t.Errorf("alert %s (-want +told):\n%s", id, diff)
		}
	}
}

func ids(alerts []Alert) []string {
	out := []string{}
	for _, a := range alerts {
		out = append(out, a.ID)
	}
	slices.Sort(out)
	return out
}

// TestToldAtLeastOnce: what nobody took is told again, also after a restart.
func TestToldAtLeastOnce(t *testing.T) {
	r := newRig(t)
	o := define(t, 0.99, false)
	r.promise(o, bar, door)
	r.steps(30, func(at time.Time) { r.sells(bar, o, at, 1, 1, 10, 10) })
	r.deaf = true
	for range 20 {
		at := r.now()
		r.ms.Add(60_000)
		r.sells(door, o, at, 1, 1, 0, 10)
		r.load()
		if err := r.room.Step(t.Context()); err != nil && !errors.Is(err, errDeaf) {
			t.Fatal(err)
		}
	}
	fires := r.room.Active()
	if len(fires) == 0 || len(r.told) != 0 {
		t.Fatalf("%d alerts fire and %d were told, want some and none", len(fires), len(r.told))
	}
	r.restart()
	r.deaf = false
	r.steps(1, nil)
	told := map[string]int{}
	for _, a := range r.told {
		told[a.ID]++
	}
	for _, a := range fires {
		if told[a.ID] != 1 {
			t.Errorf("%s was told %d times, want once", a.Rule, told[a.ID])
		}
	}
}

// TestScopes: a venue of one node watches itself, and so does a region of one venue.
func TestScopes(t *testing.T) {
	r := newRig(t)
	o := define(t, 0.99, false)
	r.promise(o, kiosk, tent)
	scopes := func() (out []string) {
		for scope := range r.room.promises["checkout"].watches {
			out = append(out, scope)
		}
		slices.Sort(out)
		return out
	}
	r.steps(1, nil)
	if diff := cmp.Diff([]string{"fleet"}, scopes()); diff != "" {
		t.Errorf("two regions of one node each (-want +got):\n%s", diff)
	}
	r.steps(5, func(at time.Time) { r.sells(kiosk, o, at, 1, 1, 10, 10) })
	r.promise(o, bar)
	r.promise(o, door)
	r.steps(5, func(at time.Time) { r.sells(door, o, at, 1, 1, 10, 10) })
	if diff := cmp.Diff([]string{"fleet", "uk", "uk/soho"}, scopes()); diff != "" {
		t.Errorf("more nodes (-want +got):\n%s", diff)
	}
	for _, s := range r.room.Current(t.Context()) {
		want := map[string]int64{"": 100, "uk": 100}[s.Region]
		if s.Venue == "soho" {
			want = 50
		}
		// The own window ends with the last whole hour.
		if s.Window.To%60 != 0 || s.Status.Total > want {
			t.Errorf("standing of %q %q: %+v", s.Region, s.Venue, s)
		}
	}
	for scope, want := range map[string]int64{"fleet": 100, "uk": 100, "uk/soho": 50} {
		if got := r.room.promises["checkout"].watches[scope].burn.Track.Counts(0).Total; got != want {
			t.Errorf("%s counts %d in the last hour, want %d", scope, got, want)
		}
	}
}

// TestWindowsAreTheLedgers: with late, revised and repeated buckets, restarts and a
// loading in any moment, the running windows equal the ledger's judgement from scratch.
func TestWindowsAreTheLedgers(t *testing.T) {
	r := newRig(t)
	rng := rand.New(rand.NewPCG(7, 1))
	o := define(t, 0.99, false)
	nodes := []buffer.Source{bar, door, kiosk, tent}
	r.promise(o, nodes...)
	revision := uint32(1)
	for range 60 {
		r.ms.Add(int64(rng.IntN(40 * 60_000)))
		for range rng.IntN(6) {
			revision++
			at := begin.Add(time.Duration(rng.Int64N(max(1, r.ms.Load()-begin.UnixMilli()))) * time.Millisecond)
			total := rng.Int64N(50)
			r.sells(nodes[rng.IntN(4)], o, at, 1+rng.IntN(5), revision, rng.Int64N(total+1), total)
		}
		switch rng.IntN(8) {
		case 0:
			r.restart()
		case 1:
			if _, err := r.room.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
			continue
		}
		for range 2 {
			if err := r.room.Step(t.Context()); err != nil {
				t.Fatal(err)
			}
			r.load()
		}
		standing := r.room.Current(t.Context())
		if len(standing) != 3 {
			t.Fatalf("%d windows stand, want venue, region and fleet", len(standing))
		}
		for _, s := range standing {
			sel := selection(buffer.Source{Region: s.Region, Venue: s.Venue})
			want, err := r.ledger.Status(t.Context(), "checkout", sel, slo.MinuteStart(s.Window.From), slo.MinuteStart(s.Window.To))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, s.Status); diff != "" {
				t.Fatalf("%s/%s (-ledger +running):\n%s", s.Region, s.Venue, diff)
			}
		}
	}
}

// TestDefinitionChanges: a new target counts at once, and what its rules no longer ask
// for resolves as withdrawn or well.
func TestDefinitionChanges(t *testing.T) {
	r := newRig(t)
	o := define(t, 0.99, false)
	r.promise(o, bar, door)
	sell := func(at time.Time) {
		r.sells(bar, o, at, 1, 1, 8, 10)
		r.sells(door, o, at, 1, 1, 8, 10)
	}
	r.steps(70, sell)
	if len(r.room.Active()) == 0 {
		t.Fatal("a fifth fails, and nothing fires")
	}
	r.promise(define(t, 0.5, false), bar)
	r.steps(3, sell)
	if active := r.room.Active(); len(active) != 0 {
		t.Errorf("half may fail, and %v fires", active)
	}
}

// TestShowBurns: a show at a venue of two nodes has an alert of its own, which goes on
// over a restart and is forgotten some time after the show.
func TestShowBurns(t *testing.T) {
	r := newRig(t)
	o := define(t, 0.99, true)
	r.promise(o, bar, door)
	r.shows = []wire.Show{{ID: "gig", StartMS: begin.Add(30 * time.Minute).UnixMilli(), EndMS: begin.Add(2 * time.Hour).UnixMilli()}}
	r.steps(40, func(at time.Time) { r.sells(bar, o, at, 1, 1, 20, 20) })
	r.restart()
	r.steps(10, func(at time.Time) { r.sells(door, o, at, 1, 1, 0, 20) })
	i := slices.IndexFunc(r.told, func(a Alert) bool { return a.Event == "gig" })
	if i < 0 || r.told[i].Scope != "uk/soho#gig" || r.told[i].Rule != slo.EventRule().Key {
		t.Fatalf("told %v, want the show's alert", r.fired())
	}
	r.restart()
	r.steps(200, func(at time.Time) { r.sells(door, o, at, 1, 1, 20, 20) })
	phases := []slo.Phase{}
	for _, a := range r.told {
		if a.Event == "gig" {
			phases = append(phases, a.Phase)
		}
	}
	if diff := cmp.Diff([]slo.Phase{slo.Firing, slo.Resolved}, phases); diff != "" {
		t.Errorf("the show's alert (-want +told):\n%s", diff)
	}
	for scope := range r.room.promises["checkout"].watches {
		if strings.Contains(scope, "#") {
			t.Errorf("%s is still watched", scope)
		}
	}
}

// TestClockSetBack: windows are made anew, and what fires goes on under its key.
func TestClockSetBack(t *testing.T) {
	r := newRig(t)
	o := define(t, 0.99, false)
	r.promise(o, bar, door)
	sell := func(at time.Time) { r.sells(bar, o, at, 1, 1, 0, 10) }
	r.steps(90, sell)
	before := r.room.Active()
	r.ms.Add(-5 * 60_000)
	if err := r.room.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.load()
	r.steps(3, nil)
	if diff := cmp.Diff(ids(before), ids(r.room.Active())); diff != "" || len(before) == 0 {
		t.Errorf("alerts (-before +after):\n%s", diff)
	}
}

// TestRun steps by itself until it is told to end.
func TestRun(t *testing.T) {
	r := newRig(t)
	o := define(t, 0.99, false)
	r.promise(o, bar, door)
	r.sells(bar, o, begin.Add(-10*time.Minute), 10, 1, 0, 10)
	told := make(chan []Alert, 1)
	r.room.o.Every = time.Millisecond
	r.room.o.Alerts = func(_ context.Context, alerts []Alert) error {
		select {
		case told <- alerts:
		default:
		}
		return nil
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.room.Run(ctx) }()
	if alerts := <-told; alerts[0].Scope != "uk/soho" {
		t.Errorf("told of %s", alerts[0].Scope)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

var _ Ledger = (*ledger.Ledger)(nil)
