package slo_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ghostlight/slo"
)

func TestVelocity(t *testing.T) {
	doors := time.Date(2026, 11, 25, 19, 0, 0, 0, time.UTC)
	at := func(minutes int) time.Time { return doors.Add(time.Duration(minutes) * time.Minute) }
	disk := map[string][]byte{}
	load := func(key string) ([]byte, error) { return disk[key], nil }
	v, err := slo.NewVelocity(slo.VelocityIndicator{Seconds: 1200}, 100, load)
	if err != nil {
		t.Fatal(err)
	}
	for i, guest := range []string{"ada", "ben", "cleo", "dan"} {
		if _, known := v.CheckIn(guest, at(i)); known {
			t.Errorf("%s: known at the door", guest)
		}
	}
	if got := v.Pass(at(19)); got != nil {
		t.Errorf("young check-ins count: %+v", got)
	}
	if got, known := v.Bought("ben", at(21)); !known || got != (slo.Visit{At: at(1), Good: true}) {
		t.Errorf("ben, bought after 20 min: %+v, %v", got, known)
	}
	if got, known := v.Bought("dan", at(24)); !known || got.Good {
		t.Errorf("dan, bought after 21 min: %+v, %v", got, known)
	}
	v.Bought("eve", at(2)) // her check-in is read late
	keep(disk, v)
	after, err := slo.NewVelocity(slo.VelocityIndicator{Seconds: 1200}, 100, load)
	if err != nil {
		t.Fatal(err)
	}
	if got, known := after.CheckIn("eve", at(1)); !known || !got.Good {
		t.Errorf("eve: %+v, %v", got, known)
	}
	if diff := cmp.Diff([]slo.Visit{{At: at(0)}, {At: at(2)}}, after.Pass(at(23))); diff != "" {
		t.Errorf("who did not buy in time (-want +got):\n%s", diff)
	}
	if after.Waiting() != 0 {
		t.Errorf("%d still waited for", after.Waiting())
	}
	if keep(disk, after); len(disk) != 1 {
		t.Errorf("nobody waits, but %d keys are stored", len(disk))
	}
}

// keep stores what v asks for.
func keep(disk map[string][]byte, v *slo.Velocity) {
	for key, value := range v.State() {
		if value == nil {
			delete(disk, key)
			continue
		}
		disk[key] = value
	}
	v.Commit()
}

func TestVelocityRefusesDamagedState(t *testing.T) {
	disk := map[string][]byte{}
	v, err := slo.NewVelocity(slo.VelocityIndicator{Seconds: 600}, 10, nil)
	if err != nil {
		t.Fatal(err)
	}
	v.CheckIn("ada", time.Unix(60, 0))
	v.Bought("ben", time.Unix(90, 0))
	keep(disk, v)
	for key, whole := range disk {
		for n := range whole {
			load := func(k string) ([]byte, error) {
				if k == key {
					return whole[:n], nil
				}
				return disk[k], nil
			}
			if cut, err := slo.NewVelocity(slo.VelocityIndicator{Seconds: 600}, 10, load); err == nil && cut.Waiting() > 0 {
				t.Errorf("%s of %d bytes, cut to %d, is accepted", key, len(whole), n)
			}
		}
	}
}

// Whatever the order and the restarts, every check-in becomes known exactly once,
// and a purchase is never early enough to be missed.
func TestVelocityKnowsEachCheckInOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		disk := map[string][]byte{}
		load := func(key string) ([]byte, error) { return disk[key], nil }
		restart := func() *slo.Velocity {
			v, err := slo.NewVelocity(slo.VelocityIndicator{Seconds: 600}, 1000, load)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		v := restart()
		start := time.Unix(1e9, 0)
		guests := rapid.IntRange(1, 20).Draw(t, "guests")
		var want, got slo.Counts
		note := func(visit slo.Visit, known bool) {
			if known {
				got.Total++
				if visit.Good {
					got.Good++
				}
			}
		}
		for g := range guests {
			name := string(rune('a' + g))
			in := start.Add(time.Duration(g) * time.Second)
			buys := time.Duration(rapid.IntRange(-1, 1200).Draw(t, "buys")) * time.Second
			want.Total++
			if buys >= 0 && buys <= 10*time.Minute {
				want.Good++
			}
			steps := []func(){func() { note(v.CheckIn(name, in)) }}
			if buys >= 0 {
				steps = append(steps, func() { note(v.Bought(name, in.Add(buys))) })
			}
			for _, step := range rapid.Permutation(steps).Draw(t, "order") {
				step()
				if rapid.Bool().Draw(t, "restart") {
					keep(disk, v)
					v = restart()
				}
			}
		}
		for _, visit := range v.Pass(start.Add(time.Hour)) {
			note(visit, true)
		}
		if got != want {
			t.Fatalf("got %+v, want %+v", got, want)
		}
	})
}

func TestVelocityIsBounded(t *testing.T) {
	v, err := slo.NewVelocity(slo.VelocityIndicator{Seconds: 600}, 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, guest := range []string{"a", "b", "c"} {
		v.CheckIn(guest, time.Unix(int64(i), 0))
	}
	if v.Waiting() != 2 || v.Dropped() != 1 {
		t.Errorf("waits for %d, dropped %d; want 2 and 1", v.Waiting(), v.Dropped())
	}
	if _, known := v.Bought("a", time.Unix(5, 0)); known {
		t.Error("the oldest is waited for still")
	}
	if _, err := slo.NewVelocity(slo.VelocityIndicator{Seconds: 1}, 2, nil); err == nil {
		t.Error("a second to buy is accepted")
	}
}

func TestBaseline(t *testing.T) {
	usual := slo.Counts{Good: 300, Total: 900} // one in three buys here
	for _, c := range []struct {
		now, before, want slo.Counts
		known             bool
	}{
		{slo.Counts{Good: 10, Total: 30}, usual, slo.Counts{Good: 30, Total: 30}, true},
		{slo.Counts{Good: 5, Total: 30}, usual, slo.Counts{Good: 15, Total: 30}, true},
		{slo.Counts{Good: 25, Total: 30}, usual, slo.Counts{Good: 30, Total: 30}, true}, // better is not more than good
		{slo.Counts{Total: 30}, usual, slo.Counts{Total: 30}, true},
		{slo.Counts{}, usual, slo.Counts{}, true},
		{slo.Counts{Good: 1, Total: 3}, slo.Counts{Good: 29, Total: 87}, slo.Counts{}, false},
		{slo.Counts{Good: 1 << 39, Total: 1 << 40}, slo.Counts{Good: 1 << 39, Total: 1 << 40}, slo.Counts{Good: 1 << 40, Total: 1 << 40}, true},
		{slo.Counts{Good: 1 << 40, Total: 1 << 40}, slo.Counts{Good: 30, Total: 1 << 62}, slo.Counts{Good: 1 << 40, Total: 1 << 40}, true},
		{slo.Counts{Good: 1, Total: 1<<40 + 1}, usual, slo.Counts{}, false},
		{slo.Counts{Good: 2, Total: 1}, usual, slo.Counts{}, false},
	} {
		if got, known := slo.NewBaseline(0).Measure(c.now, c.before); got != c.want || known != c.known {
			t.Errorf("Baseline(%+v, %+v) = %+v, %v; want %+v, %v", c.now, c.before, got, known, c.want, c.known)
		}
	}
}

// However few check in each minute, a venue that sells as it used to keeps its
// promise, one that sells half as much is half as good, and one that stops selling
// is seen to.
func TestBaselineMinuteByMinute(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 5))
	usual := slo.Counts{Good: 300, Total: 900}
	for _, c := range []struct{ sells, least, most float64 }{{1.0 / 3, 0.96, 1}, {1.0 / 6, 0.47, 0.53}, {0, 0, 0}} {
		b := slo.NewBaseline(0)
		var all slo.Counts
		for range 20_000 {
			var now slo.Counts
			for range rng.IntN(4) {
				now.Total++
				if rng.Float64() < c.sells {
					now.Good++
				}
			}
			got, known := b.Measure(now, usual)
			if !known || got.Good > got.Total || got.Total != now.Total {
				t.Fatalf("%+v counts as %+v, %v", now, got, known)
			}
			all = all.Add(got)
			b = slo.NewBaseline(b.Spare()) // a restart after each
		}
		if share := float64(all.Good) / float64(all.Total); share < c.least || share > c.most {
			t.Errorf("where %.2f buy of a usual third, %.3f is good; want %.2f to %.2f", c.sells, share, c.least, c.most)
		}
	}
	b := slo.NewBaseline(1 << 60) // sold like mad
	var ended slo.Counts
	for range 80 {
		c, _ := b.Measure(slo.Counts{Total: 1}, usual)
		ended = ended.Add(c)
	}
	if ended.Bad() < 19 {
		t.Errorf("of 80 guests of whom nobody bought only %d are bad", ended.Bad())
	}
}

func TestRecovery(t *testing.T) {
	failed := time.Date(2026, 11, 25, 20, 0, 0, 0, time.UTC)
	after := func(m int) time.Time { return failed.Add(time.Duration(m) * time.Minute) }
	got := slo.Recovery(slo.RecoveryIndicator{Seconds: 900}, []slo.Outage{
		{Failed: failed, Parity: after(15), SeenTil: after(15)}, // in time
		{Failed: failed, Parity: after(16), SeenTil: after(16)}, // too late
		{Failed: failed, SeenTil: after(14)},                    // open, or dark since: not known yet
		{Failed: failed, SeenTil: after(16)},                    // open for too long already
	})
	if want := (slo.Counts{Good: 1, Total: 3}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if slo.Contact(true).Bad() != 0 || slo.Contact(false).Bad() != 1 {
		t.Error("a minute in contact is good, one without is bad")
	}
}

func TestGrowth(t *testing.T) {
	g := slo.NewGrowth(nil, 0)
	for i, c := range []struct {
		readings map[string]float64
		forget   []string
		want     int64
	}{
		{map[string]float64{"a": 100, "b": 7}, nil, 0},                // where they start from
		{map[string]float64{"a": 103, "b": 7}, nil, 3},                //
		{map[string]float64{"a": 4, "b": 8}, nil, 5},                  // a began again
		{map[string]float64{"b": 8}, nil, 0},                          // a is missing
		{map[string]float64{"a": 5.5}, nil, 1},                        // half an event waits
		{map[string]float64{"a": 6}, nil, 1},                          // and is counted
		{map[string]float64{"a": math.NaN(), "b": -1}, nil, 0},        // no counter
		{map[string]float64{"b": 10}, []string{"a"}, 2},               // a is gone
		{map[string]float64{"a": 1000, "c": math.Inf(1)}, nil, 0},     // and is new when it comes back
		{map[string]float64{"a": math.MaxFloat64}, nil, slo.MaxCount}, // never more than a minute can hold
	} {
		if got := g.Read(c.readings, c.forget...); got != c.want {
			t.Errorf("step %d: %d events, want %d", i, got, c.want)
		}
		g = slo.NewGrowth(g.State()) // a restart after each
	}
}
