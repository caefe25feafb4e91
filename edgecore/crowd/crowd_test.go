package crowd

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func run(t *testing.T, o Options) (*Crowd, <-chan error) {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- c.Run(t.Context()) }()
	return c, done
}

// until polls for at most twenty seconds.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not happen within 20 s", what)
		}
	}
}

func stop(t *testing.T, c *Crowd, done <-chan error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := c.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// What the crowd counts is what the ledger holds, although a third of all
// answers are lost and the venue dies once with payments open.
func TestSalesAreExactWhenAnswersAreLost(t *testing.T) {
	v := newFakeVenue(t, 0.3)
	c, done := run(t, Options{Venues: []Venue{{"soho", v.srv.URL}}, Seed: 7, Rate: 150, Curve: Curve{Period: time.Hour, Low: 1}})
	until(t, "20 sales", func() bool { return c.Totals().Sales >= 20 })
	v.setDown(true)
	until(t, "failures while down", func() bool { return c.Totals().Failures >= 50 })
	v.setDown(false)
	until(t, "every kind of fact", func() bool {
		n := c.Totals()
		return n.Sales >= 120 && n.Declined > 0 && n.Refunds > 0 && n.Verified > 0 && n.Relayed > 0 && n.Recovered > 0
	})
	stop(t, c, done)

	n := c.Totals()
	v.mu.Lock()
	defer v.mu.Unlock()
	if got, want := []int64{n.Sales, n.SalesMinor, n.Declined, n.Refunds}, []int64{v.sales, v.minor, v.declined, v.refunds}; !slices.Equal(got, want) {
		t.Errorf("crowd says sales, minor, declined, refunds %v; the ledger %v", got, want)
	}
	if v.payTries <= v.sales+v.declined {
		t.Errorf("%d payment requests for %d payments: no answer was lost, the test proves nothing", v.payTries, v.sales+v.declined)
	}
	if n.Undetermined != 0 || n.Refused != 0 || n.Forged != 0 {
		t.Errorf("undetermined, refused, forged: %+v", n)
	}
	if n.Payment.Count < n.Sales || n.Payment.P50 <= 0 || n.Payment.P99 < n.Payment.P50 || n.Request.Count < n.Payment.Count {
		t.Errorf("latency %+v of payments, %+v of requests", n.Payment, n.Request)
	}
	if d := cmp.Diff(c.ByVenue(), map[string]Totals{"soho": n}); d != "" {
		t.Errorf("totals by venue (-got +want):\n%s", d)
	}
}

// A payment that is never answered is neither a sale nor none.
func TestUnansweredPaymentIsUndetermined(t *testing.T) {
	v := newFakeVenue(t, 0)
	c, done := run(t, Options{Venues: []Venue{{"soho", v.srv.URL}}, Seed: 1, Rate: 200, Curve: Curve{Period: time.Hour, Low: 1}, MaxPresent: 4})
	until(t, "sales", func() bool { return c.Totals().Sales >= 10 })
	v.mu.Lock()
	v.lose = 2 // every request is lost, but only after it was acted on or before
	v.mu.Unlock()
	until(t, "failures", func() bool { return c.Totals().Failures >= 8 })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := c.Stop(ctx)
	<-done
	n := c.Totals()
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.sales > n.Sales && n.Undetermined == 0 {
		t.Errorf("ledger has %d sales, crowd %d and none undetermined", v.sales, n.Sales)
	}
	if (err != nil) != (n.Undetermined > 0) {
		t.Errorf("Stop says %v with %d undetermined", err, n.Undetermined)
	}
	if n.Sales+n.Undetermined < v.sales || n.Sales > v.sales {
		t.Errorf("ledger %d, crowd %d sales and %d undetermined", v.sales, n.Sales, n.Undetermined)
	}
}

func TestFullVenueTurnsAway(t *testing.T) {
	v := newFakeVenue(t, 0)
	v.setDown(true)
	c, done := run(t, Options{Venues: []Venue{{"soho", v.srv.URL}}, Seed: 1, Rate: 300, MaxPresent: 3, Patience: 20 * time.Millisecond})
	until(t, "somebody turned away and somebody fed up", func() bool { n := c.Totals(); return n.TurnedAway > 0 && n.GaveUp > 0 })
	stop(t, c, done)
	if n := c.Totals(); n.Sales != 0 || n.Arrived < n.TurnedAway+n.GaveUp {
		t.Errorf("totals %+v", n)
	}
}

func TestPlansFollowSeedAndCurve(t *testing.T) {
	take := func(seed uint64, venue string, n int) []Plan {
		var out []Plan
		for p := range Plans(seed, venue, 50, DefaultCurve()) {
			if out = append(out, p); len(out) == n {
				break
			}
		}
		return out
	}
	if d := cmp.Diff(take(1, "soho", 500), take(1, "soho", 500)); d != "" {
		t.Errorf("same seed, other wishes:\n%s", d)
	}
	if cmp.Equal(take(1, "soho", 20), take(2, "soho", 20)) || cmp.Equal(take(1, "soho", 20), take(1, "hackney", 20)) {
		t.Error("another seed or venue gives the same crowd")
	}
	// Over whole periods the load averages halfway between low and 1.
	curve := Curve{Period: 10 * time.Second, Low: 0.5}
	n := 0
	for p := range Plans(3, "soho", 50, curve) {
		if p.Arrive > 200*time.Second {
			break
		}
		n++
	}
	if mean, want := float64(n), 200*50*0.75; math.Abs(mean-want) > 5*math.Sqrt(want) {
		t.Errorf("%v arrivals, want about %v", mean, want)
	}
}

func TestCurveStaysInRange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := Curve{
			Ramp:   time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "ramp")),
			Period: time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "period")),
			Low:    rapid.Float64Range(0.01, 1).Draw(t, "low"),
		}
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		if y := c.At(time.Duration(rapid.Int64Range(0, int64(9*time.Hour)).Draw(t, "at"))); y < c.Low-1e-9 || y > 1+1e-9 {
			t.Fatalf("load %v outside [%v, 1]", y, c.Low)
		}
	})
}

func TestQuantilesAreWithinFivePercent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		times := rapid.SliceOfN(rapid.Int64Range(int64(histogramBase), int64(20*time.Second)), 1, 200).Draw(t, "times")
		var h histogram
		for _, d := range times {
			h.observe(time.Duration(d))
		}
		slices.Sort(times)
		for q, got := range map[float64]time.Duration{0.5: h.latency().P50, 0.99: h.latency().P99} {
			want := float64(times[int(math.Ceil(q*float64(len(times))))-1])
			if float64(got) < want*0.999 || float64(got) > want*1.051 {
				t.Fatalf("quantile %v is %v, want %v", q, got, time.Duration(want))
			}
		}
	})
}

func TestNewRefuses(t *testing.T) {
	ok := Venue{"soho", "http://127.0.0.1:1"}
	for name, tc := range map[string]struct {
		o    Options
		want string
	}{
		"no venue":    {Options{Rate: 1}, "no venue"},
		"twice":       {Options{Rate: 1, Venues: []Venue{ok, ok}}, "twice"},
		"no URL":      {Options{Rate: 1, Venues: []Venue{{"soho", "127.0.0.1:1"}}}, "not the URL"},
		"rate":        {Options{Rate: math.NaN(), Venues: []Venue{ok}}, "rate"},
		"pace":        {Options{Rate: 1, Pace: -1, Venues: []Venue{ok}}, "pace"},
		"curve":       {Options{Rate: 1, Curve: Curve{Low: 2, Period: 1}, Venues: []Venue{ok}}, "curve"},
		"max present": {Options{Rate: 1, MaxPresent: -1, Venues: []Venue{ok}}, "negative"},
	} {
		if _, err := New(tc.o); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}
