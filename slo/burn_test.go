package slo_test

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ghostlight/slo"
)

const (
	day    = 24 * time.Hour
	period = 30 * day
)

// SRE Workbook, chapter 5, table "Burn rates and time to complete budget
// exhaustion" for a 99.9 % objective over 30 days.
func TestBurnRateAndExhaustion(t *testing.T) {
	for _, c := range []struct {
		bad, total int64
		rate       float64
		exhaustion time.Duration
	}{
		{1, 1000, 1, 30 * day},
		{2, 1000, 2, 15 * day},
		{10, 1000, 10, 3 * day},
		{1000, 1000, 1000, 43*time.Minute + 12*time.Second},
		{36, 1000, 36, 20 * time.Hour}, // spends 5 % of the budget in one hour
		{0, 1000, 0, 0},
		{0, 0, 0, 0}, // a window without events burns nothing
	} {
		t.Run(fmt.Sprintf("%d of %d", c.bad, c.total), func(t *testing.T) {
			got, err := slo.BurnRate(0.999, slo.Counts{Good: c.total - c.bad, Total: c.total})
			if err != nil || math.Abs(got-c.rate) > 1e-9*max(1, c.rate) {
				t.Errorf("BurnRate = %v, %v; want %v", got, err, c.rate)
			}
			if got := slo.Exhaustion(period, c.rate); got != c.exhaustion {
				t.Errorf("Exhaustion = %v, want %v", got, c.exhaustion)
			}
		})
	}
}

func TestBurnRateRefusesTargets(t *testing.T) {
	for _, target := range []float64{0, 1, -0.5, 1.5, math.NaN(), math.Inf(1)} {
		if _, err := slo.BurnRate(target, slo.Counts{Good: 1, Total: 2}); !errors.Is(err, slo.ErrTarget) {
			t.Errorf("BurnRate(%v): error %v, want ErrTarget", target, err)
		}
		if err := (slo.Tier{Rate: 1}).CanFire(target); !errors.Is(err, slo.ErrTarget) {
			t.Errorf("CanFire(%v): error %v, want ErrTarget", target, err)
		}
		if _, err := (slo.Tier{Rate: 1}).Fires(target, slo.Counts{}, slo.Counts{}); !errors.Is(err, slo.ErrTarget) {
			t.Errorf("Fires(%v): error %v, want ErrTarget", target, err)
		}
	}
}

// SRE Workbook, chapter 5: what the approaches there say of a total outage of a
// service with a 99.9 % objective.
func TestDetectionAndReset(t *testing.T) {
	for _, c := range []struct {
		name      string
		ratio     float64
		window    time.Duration
		rate      float64
		detection time.Duration
		reset     time.Duration
	}{
		{"1: error rate over 10 min, total outage", 1, 10 * time.Minute, 1, 600 * time.Millisecond, 10*time.Minute - 600*time.Millisecond},
		{"2: 36 h window, total outage: 2 min 10 s", 1, 36 * time.Hour, 1, 129600 * time.Millisecond, 36*time.Hour - 129600*time.Millisecond},
		{"4: burn rate 36 over 1 h, total outage: reset 58 min", 1, time.Hour, 36, 129600 * time.Millisecond, time.Hour - 129600*time.Millisecond},
		{"just at the rate: never above it", 0.036, time.Hour, 36, time.Hour, 0},
		{"no errors", 0, time.Hour, 36, time.Hour, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			near := func(a, b time.Duration) bool { return (a - b).Abs() <= time.Microsecond }
			if got := slo.DetectionTime(0.999, c.ratio, c.window, c.rate); !near(got, c.detection) {
				t.Errorf("DetectionTime = %v, want %v", got, c.detection)
			}
			if got := slo.ResetTime(0.999, c.ratio, c.window, c.rate); !near(got, c.reset) {
				t.Errorf("ResetTime = %v, want %v", got, c.reset)
			}
		})
	}
}

// SRE Workbook, chapter 5, "Recommended parameters for an SLO-based alerting
// configuration", with the 1 d tier of "Multiwindow, Multi-Burn-Rate Alerts".
func TestTiers(t *testing.T) {
	want := []slo.Tier{
		{Long: time.Hour, Short: 5 * time.Minute, Share: 0.02, Rate: 14.4, Urgency: slo.Page},
		{Long: 6 * time.Hour, Short: 30 * time.Minute, Share: 0.05, Rate: 6, Urgency: slo.Page},
		{Long: day, Short: 2 * time.Hour, Share: 0.10, Rate: 3, Urgency: slo.Ticket},
		{Long: 3 * day, Short: 6 * time.Hour, Share: 0.10, Rate: 1, Urgency: slo.Ticket},
	}
	near := cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) < 1e-9 })
	if diff := cmp.Diff(want, slo.Tiers(period), near); diff != "" {
		t.Errorf("Tiers(30 d) (-want +got):\n%s", diff)
	}
}

// For every period a window can have, no tier's window rounds to nothing, none
// looks back further than the period, and the published arithmetic holds.
func TestTiersOfAnyPeriod(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		period := time.Duration(rapid.OneOf(rapid.IntRange(1, 5000), rapid.IntRange(1, 366*1440)).Draw(t, "minutes")) * time.Minute
		tiers := slo.Tiers(period)
		if len(tiers) < 2 || tiers[0].Urgency != slo.Page || tiers[len(tiers)-1].Urgency != slo.Ticket {
			t.Fatalf("tiers of %v: %+v, want a page and a ticket at least", period, tiers)
		}
		for i, tier := range tiers {
			switch {
			case tier.Long < time.Minute || tier.Long > period || tier.Long%time.Minute != 0:
				t.Fatalf("long window of %+v for %v", tier, period)
			case tier.Short < time.Minute || tier.Short%time.Minute != 0 || (tier.Long >= 12*time.Minute && tier.Short != tier.Long/12):
				t.Fatalf("short window of %+v for %v", tier, period)
			case math.Abs(tier.Rate-tier.Share*float64(period)/float64(tier.Long)) > 1e-9*tier.Rate:
				t.Fatalf("rate of %+v for %v is not share * period / long", tier, period)
			case period < 28*day && tier.Rate < 1:
				t.Fatalf("%+v for %v would fire although the budget lasts", tier, period)
			case i > 0 && tier.Urgency == tiers[i-1].Urgency && tier.Long <= tiers[i-1].Long:
				t.Fatalf("tiers of %v are not in order: %+v", period, tiers)
			}
		}
	})
}

// What shorter periods get.
func TestTiersShrink(t *testing.T) {
	for period, want := range map[time.Duration][]string{
		28 * day:      {"page 1h0m0s/5m0s 13.44", "page 6h0m0s/30m0s 5.6", "ticket 24h0m0s/2h0m0s 2.8", "ticket 72h0m0s/6h0m0s 0.9333"},
		7 * day:       {"page 12m0s/1m0s 16.8", "page 1h36m0s/8m0s 5.25", "ticket 6h0m0s/30m0s 2.8", "ticket 18h0m0s/1h30m0s 1"},
		day:           {"page 2m0s/1m0s 14.4", "page 12m0s/1m0s 6", "ticket 48m0s/4m0s 3", "ticket 2h36m0s/13m0s 1"},
		4 * time.Hour: {"page 1m0s/1m0s 4.8", "page 2m0s/1m0s 6", "ticket 12m0s/1m0s 2", "ticket 24m0s/2m0s 1"},
		time.Minute:   {"page 1m0s/1m0s 1", "ticket 1m0s/1m0s 1"},
	} {
		var got []string
		for _, tier := range slo.Tiers(period) {
			got = append(got, fmt.Sprintf("%s %v/%v %.4g", tier.Urgency, tier.Long, tier.Short, tier.Rate))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Tiers(%v) (-want +got):\n%s", period, diff)
		}
	}
}

func TestTierFiresOnBothWindowsOnly(t *testing.T) {
	tier := slo.Tiers(period)[0]
	burning, calm := slo.Counts{Good: 800, Total: 1000}, slo.Counts{Good: 999, Total: 1000}
	atRate := slo.Counts{Good: 9856, Total: 10000} // burns at 14.4 with target 0.999
	for _, c := range []struct {
		long, short slo.Counts
		want        bool
	}{
		{burning, burning, true},
		{burning, calm, false}, // over: the short window has reset
		{calm, burning, false}, // just begun: too little of the budget is gone
		{slo.Counts{}, slo.Counts{}, false},
	} {
		if got, err := tier.Fires(0.99, c.long, c.short); err != nil || got != c.want {
			t.Errorf("Fires(%v, %v) = %v, %v; want %v", c.long, c.short, got, err, c.want)
		}
	}
	tier.Rate = atRate.ErrorRatio() / (1 - 0.999)
	if got, _ := tier.Fires(0.999, atRate, atRate); got {
		t.Error("a burn rate of exactly the tier's fires; it must be above")
	}
}

func TestTierThatCanNeverFire(t *testing.T) {
	page := slo.Tiers(period)[0]
	if err := page.CanFire(0.99); err != nil {
		t.Errorf("target 0.99: %v", err)
	}
	if err := page.CanFire(0.9); err == nil { // total failure burns at 10, below 14.4
		t.Error("target 0.9: rate 14.4 is accepted although total failure burns at 10")
	}
}

// A tier can fire exactly when a total failure fires it.
func TestCanFireMeansTotalFailureFires(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		target := rapid.Float64Range(0.01, 0.9999).Draw(t, "target")
		tier := slo.Tier{Long: time.Hour, Rate: rapid.Float64Range(0.5, 2000).Draw(t, "rate")}
		outage := slo.Counts{Total: rapid.Int64Range(1, 1e6).Draw(t, "total")}
		fires, err := tier.Fires(target, outage, outage)
		if err != nil {
			t.Fatal(err)
		}
		if can := tier.CanFire(target) == nil; can != fires {
			t.Fatalf("target %v rate %v: can fire %v, fires in total failure %v", target, tier.Rate, can, fires)
		}
	})
}
