package status_test

import (
	"encoding/json"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ghostlight/buffer"
	"ghostlight/fleet/registry"
	"ghostlight/fleet/sales"
	"ghostlight/fleet/status"
	"ghostlight/fleet/status/statustest"
	"ghostlight/healthscore"
	"ghostlight/synthetics"
)

func views(t *testing.T, f *statustest.Fleet) *status.Views {
	t.Helper()
	v, err := status.New(f.Options())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func fleet(t *testing.T, f *statustest.Fleet) status.Fleet {
	t.Helper()
	got, err := views(t, f).Fleet(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestFleetOfTheNight(t *testing.T) {
	f := fleet(t, statustest.Night())
	var got []string
	for _, v := range f.Venues {
		got = append(got, v.Name+" "+string(v.State))
	}
	want := []string{"brixton failing", "camden dark", "peckham blind", "hoxton degraded", "leeds never", "dalston quiet", "soho healthy", "shoreditch away"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if want := (status.Counts{Venues: 8, Live: 5, Failing: 1, Dark: 1, Blind: 1, Degraded: 1, Quiet: 1, Healthy: 1, Away: 1, Never: 1}); f.Counts != want {
		t.Errorf("counts %+v, want %+v", f.Counts, want)
	}
	if len(f.Alarms) != 4 || f.Alarms[0].Name != "brixton" {
		t.Errorf("alarms %v", f.Alarms)
	}
	brixton := f.Venues[0]
	if r := brixton.AtRisk; r == nil || !r.Losing || !r.Known || r.PerMinuteMinor <= 0 || r.FailedPayments == 0 || r.Currency != "EUR" {
		t.Errorf("brixton at risk: %+v", r)
	}
	if at := time.UnixMilli(brixton.SinceMS).UTC().Format("15:04:05"); at != "14:04:20" {
		t.Errorf("brixton fails since %s, want the first failed run at 14:04:20", at)
	}
	camden := f.Venues[1]
	if r := camden.AtRisk; r == nil || r.Losing || r.SoFarMinor != 0 {
		t.Errorf("camden is dark, so nothing is known to be lost: %+v", r)
	}
	if camden.DarkSinceMS == 0 || camden.Live || camden.Checkout == nil || camden.Checkout.Minutes.Pending == 0 || camden.Checkout.Verdict != "undetermined" {
		t.Errorf("camden: %+v", camden)
	}
	if f.Rate.Unseen != 1 || f.Healed.Succeeded != 2 || f.Healed.Failed != 1 {
		t.Errorf("rate %+v, healed %+v", f.Rate, f.Healed)
	}
}

// A started record is told once: by its result when that is known.
func TestHealsAreToldOnce(t *testing.T) {
	f := statustest.Night()
	v, err := views(t, f).Venue(t.Context(), "soho")
	if err != nil {
		t.Fatal(err)
	}
	if len(v.Heals) != 1 || v.Heals[0].Result != "succeeded" {
		t.Errorf("heals %+v", v.Heals)
	}
	f.HealList = f.HealList[:1] // its result has not arrived
	v, err = views(t, f).Venue(t.Context(), "soho")
	if err != nil {
		t.Fatal(err)
	}
	if len(v.Heals) != 1 || v.Heals[0].Result != "started" {
		t.Errorf("heals %+v", v.Heals)
	}
}

// one makes a fleet of one venue.
func one(change func(*statustest.Fleet, *registry.View)) *statustest.Fleet {
	now := time.Date(2026, 11, 22, 14, 0, 30, 0, time.UTC)
	src := buffer.Source{Region: "r", Venue: "v", Node: "n"}
	view := registry.View{Source: src, Presence: registry.Live, Live: true, FirstSeen: now.Add(-time.Hour), LastSeen: now}
	f := &statustest.Fleet{Clock: now, Sold: map[string]map[int64]sales.Totals{}}
	change(f, &view)
	f.Views = []registry.View{view}
	return f
}

func TestStates(t *testing.T) {
	run := func(pass bool, ago time.Duration) func(*statustest.Fleet, *registry.View) {
		return func(f *statustest.Fleet, v *registry.View) {
			v.Journeys = []synthetics.Result{{Journey: "j", StartMS: f.Clock.Add(-ago).UnixMilli(), Pass: pass, FailedStep: "pay"}}
		}
	}
	score := func(value float64, state string) func(*statustest.Fleet, *registry.View) {
		return func(_ *statustest.Fleet, v *registry.View) {
			v.Score = &healthscore.Score{Value: value, Known: state != "unknown", State: state}
		}
	}
	sold := func(ago int64, t sales.Totals) func(*statustest.Fleet, *registry.View) {
		return func(f *statustest.Fleet, _ *registry.View) {
			f.Sold["v"] = map[int64]sales.Totals{f.Clock.Unix()/60 - ago: t}
		}
	}
	presence := func(p registry.Presence) func(*statustest.Fleet, *registry.View) {
		return func(f *statustest.Fleet, v *registry.View) {
			v.Presence, v.Live = p, p == registry.Live
			if p == registry.Dark {
				v.DarkSince = f.Clock.Add(-time.Minute)
			}
		}
	}
	for _, c := range []struct {
		name string
		want status.State
		has  []func(*statustest.Fleet, *registry.View)
	}{
		{"nothing but heartbeats", status.Blind, nil},
		{"an old pass vouches for nothing", status.Blind, []func(*statustest.Fleet, *registry.View){run(true, time.Hour)}},
		{"an old pass and a good score", status.Blind, []func(*statustest.Fleet, *registry.View){run(true, time.Hour), score(99, "healthy")}},
		{"a pass", status.Healthy, []func(*statustest.Fleet, *registry.View){run(true, time.Second)}},
		{"an unknown score does not undo a pass", status.Healthy, []func(*statustest.Fleet, *registry.View){run(true, time.Second), score(0, "unknown")}},
		{"a good score without journeys", status.Healthy, []func(*statustest.Fleet, *registry.View){score(99, "healthy")}},
		{"a failure", status.Failing, []func(*statustest.Fleet, *registry.View){run(false, time.Second), score(99, "healthy")}},
		{"failed payments while the journey passes", status.Failing, []func(*statustest.Fleet, *registry.View){run(true, time.Second), sold(1, sales.Totals{Sales: 1, FailedPayments: 4})}},
		{"a few failed payments", status.Degraded, []func(*statustest.Fleet, *registry.View){run(true, time.Second), sold(1, sales.Totals{Sales: 9, FailedPayments: 1})}},
		{"a low score", status.Degraded, []func(*statustest.Fleet, *registry.View){run(true, time.Second), score(40, "degraded")}},
		{"sold once, long ago", status.Quiet, []func(*statustest.Fleet, *registry.View){run(true, time.Second), sold(20, sales.Totals{Sales: 1})}},
		{"sold just now", status.Healthy, []func(*statustest.Fleet, *registry.View){run(true, time.Second), sold(1, sales.Totals{Sales: 1})}},
		{"dark with a pass and a sale", status.Dark, []func(*statustest.Fleet, *registry.View){run(true, time.Second), sold(1, sales.Totals{Sales: 1}), presence(registry.Dark)}},
		{"dark with a failure", status.Dark, []func(*statustest.Fleet, *registry.View){run(false, time.Second), presence(registry.Dark)}},
		{"packed up", status.Away, []func(*statustest.Fleet, *registry.View){run(true, time.Second), presence(registry.Away)}},
		{"never heard", status.Never, []func(*statustest.Fleet, *registry.View){presence(registry.Never)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := fleet(t, one(func(f *statustest.Fleet, v *registry.View) {
				for _, change := range c.has {
					change(f, v)
				}
			}))
			if got.Venues[0].State != c.want {
				t.Errorf("%s (%s), want %s", got.Venues[0].State, got.Venues[0].Why, c.want)
			}
			if c.want != status.Healthy && got.Headline.Tone == "ok" && c.want != status.Quiet {
				t.Errorf("the headline is good: %+v", got.Headline)
			}
		})
	}
}

// Silence is zero only where somebody listened.
func TestRateDoesNotTakeDarknessForSilence(t *testing.T) {
	f := one(func(f *statustest.Fleet, v *registry.View) {
		f.Darks = []registry.Darkness{{Source: v.Source, Episode: registry.Episode{Start: f.Clock.Add(-4 * time.Minute), End: f.Clock.Add(-2 * time.Minute)}}}
		v.Journeys = []synthetics.Result{{Journey: "j", StartMS: f.Clock.UnixMilli(), Pass: true}}
		v.FirstSeen = f.Clock.Add(-10 * time.Minute)
	})
	points := fleet(t, f).Venues[0].Rate.Points
	var unknown []string
	for _, p := range points {
		if math.IsNaN(float64(p.V)) {
			unknown = append(unknown, time.UnixMilli(p.MS).UTC().Format("15:04"))
		}
	}
	if n := len(unknown); n < 3 || !cmp.Equal(unknown[n-3:], []string{"13:56", "13:57", "13:58"}) {
		t.Errorf("unknown minutes %v, want the dark ones 13:56 to 13:58 at the end", unknown)
	}
	if len(points) != 20 || len(unknown) != 3+10 {
		t.Errorf("%d points, %d unknown: %v", len(points), len(unknown), unknown)
	}
}

func TestUnknownNames(t *testing.T) {
	v := views(t, statustest.Night())
	if _, err := v.Venue(t.Context(), "none"); !errors.Is(err, status.ErrUnknown) {
		t.Errorf("venue: %v", err)
	}
}

func TestViewsAreJSON(t *testing.T) {
	v := views(t, statustest.Night())
	venue, err := v.Venue(t.Context(), "camden")
	if err != nil {
		t.Fatal(err)
	}
	nodes, err := v.Nodes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []any{fleet(t, statustest.Night()), venue, nodes} {
		body, err := json.Marshal(x)
		if err != nil || !json.Valid(body) {
			t.Errorf("%T: %v", x, err)
		}
	}
	for _, n := range nodes {
		for lane, produced := range n.Produced {
			if n.Samples[lane]+n.Lost[lane]+n.Waiting[lane] != produced {
				t.Errorf("%s %s: %d at the centre + %d lost + %d waiting, produced %d", n.Node, lane, n.Samples[lane], n.Lost[lane], n.Waiting[lane], produced)
			}
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	o := statustest.Night().Options()
	o.Ledger = nil
	if _, err := status.New(o); err == nil {
		t.Error("views without a ledger were made")
	}
}

func TestFleetViewIsSharedForAWhile(t *testing.T) {
	f := statustest.Night()
	o := f.Options()
	o.Hold = time.Second
	v, err := status.New(o)
	if err != nil {
		t.Fatal(err)
	}
	first, err := v.Fleet(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f.Clock = f.Clock.Add(900 * time.Millisecond)
	again, err := v.Fleet(t.Context())
	if err != nil || again.NowMS != first.NowMS {
		t.Errorf("within the hold: %d, %v; want the view of %d", again.NowMS, err, first.NowMS)
	}
	f.Clock = f.Clock.Add(200 * time.Millisecond)
	if fresh, err := v.Fleet(t.Context()); err != nil || fresh.NowMS == first.NowMS {
		t.Errorf("after the hold: %d, %v; want a new view", fresh.NowMS, err)
	}
}
