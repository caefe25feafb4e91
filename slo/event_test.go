package slo_test

import (
	"flag"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"ghostlight/slo"
)

var shows = flag.Int("shows", 300, "nights to simulate of each kind")

// show is a simulated night: sales come at random, each fails at random.
type show struct {
	minutes int64
	rate    float64 // sales a minute
	errors  func(minute int64) float64
}

// result is what the event rule made of a night.
type result struct {
	pages    int
	detected time.Duration // from the start of the trouble to the first page after it; negative when none
}

// poisson draws how many sales a minute holds.
func poisson(r *rand.Rand, mean float64) int64 {
	n, p, limit := int64(0), r.Float64(), math.Exp(-mean)
	for ; p > limit; n++ {
		p *= r.Float64()
	}
	return n
}

// play runs the watch over a night, looking six times a minute as a node does.
func play(t testing.TB, r *rand.Rand, s show, trouble int64) result {
	o := checkout(0)
	start := slo.MinuteStart(30_000_000)
	w, err := slo.NewEventWatch("soho/show", o, nil, start, start.Add(time.Duration(s.minutes)*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	out := result{detected: -1}
	for m := range s.minutes {
		var was slo.Sum
		for look := range 6 {
			is := was
			for range poisson(r, s.rate/6) {
				is.Total++
				if r.Float64() >= s.errors(m) {
					is.Good++
				}
			}
			minute := slo.MinuteOf(start) + m
			w.Replace(minute, was, is)
			was = is
			now := start.Add(time.Duration(m)*time.Minute + time.Duration(look+1)*10*time.Second - time.Nanosecond)
			forecast := int64(s.rate * float64(s.minutes-m-1))
			for _, a := range w.Step(now, forecast) {
				if a.Phase != slo.Firing {
					continue
				}
				out.pages++
				if m >= trouble && out.detected < 0 {
					out.detected = now.Sub(start) - time.Duration(trouble)*time.Minute
				}
			}
		}
	}
	return out
}

// The event rule, by simulation: four hours at 99 %, of which half the budget is
// really spent, must hardly ever page; an outage must be seen within two minutes
// and a fifth of all sales failing within eleven, on average at two sales a minute,
// and one trouble must be one page.
func TestEventRule(t *testing.T) {
	nights := *shows
	if testing.Short() {
		nights /= 6
	}
	r := rand.New(rand.NewPCG(2026, 11))
	for _, c := range []struct {
		rate          float64 // sales a minute
		paged         float64 // share of healthy nights that may page
		outage, fifth time.Duration
	}{
		{2, 0.008, 150 * time.Second, 11 * time.Minute},
		{8, 0.005, 45 * time.Second, 3 * time.Minute},
		{30, 0.003, 20 * time.Second, time.Minute},
	} {
		paged := 0
		for range nights {
			if play(t, r, show{240, c.rate, func(int64) float64 { return 0.005 }}, 240).pages > 0 {
				paged++
			}
		}
		share := float64(paged) / float64(nights)
		outage, pages := detect(t, r, c.rate, 1)
		fifth, _ := detect(t, r, c.rate, 0.2)
		t.Logf("%v sales a minute: %.2f %% of %d healthy nights page; an outage is seen after %v, a fifth failing after %v", c.rate, 100*share, nights, outage, fifth)
		if share > c.paged || outage > c.outage || fifth > c.fifth {
			t.Errorf("%v sales a minute: %.4f of healthy nights page, detection after %v and %v; allowed: %v, %v, %v", c.rate, share, outage, fifth, c.paged, c.outage, c.fifth)
		}
		if pages > 1.1 {
			t.Errorf("%v sales a minute: %.2f pages an outage, want one", c.rate, pages)
		}
	}
}

// detect plays nights whose second hour goes wrong, and returns the mean time to
// the first page and how many there were.
func detect(t *testing.T, r *rand.Rand, rate, bad float64) (mean time.Duration, pages float64) {
	t.Helper()
	nights := max(20, *shows/10)
	var sum time.Duration
	for range nights {
		res := play(t, r, show{120, rate, func(m int64) float64 {
			if m >= 60 {
				return bad
			}
			return 0.005
		}}, 60)
		pages += float64(res.pages)
		if res.detected < 0 {
			res.detected = time.Hour
		}
		sum += res.detected
	}
	return (sum / time.Duration(nights)).Round(time.Second), pages / float64(nights)
}

func TestWilsonLower(t *testing.T) {
	// Published intervals at 95 % (z = 1.96): Newcombe 1998, 81 of 263 and 15 of 148.
	for _, c := range []struct {
		hits, n int64
		want    float64
	}{{81, 263, 0.2553}, {15, 148, 0.0624}, {0, 20, 0}, {0, 0, 0}} {
		if got := slo.WilsonLower(c.hits, c.n, 1.96); math.Abs(got-c.want) > 5e-5 {
			t.Errorf("WilsonLower(%d, %d) = %.4f, want %.4f", c.hits, c.n, got, c.want)
		}
	}
}

func TestEventBudget(t *testing.T) {
	if got := slo.EventBudget(0.99, 300, 100); math.Abs(got-4) > 1e-9 {
		t.Errorf("budget of 300 seen and 100 expected at 99 %%: %v, want 4", got)
	}
	if got := slo.EventBudget(0.99, 300, -5); math.Abs(got-3) > 1e-9 {
		t.Errorf("a negative forecast takes budget away: %v", got)
	}
	if _, err := slo.NewEventWatch("soho", checkout(0), nil, evening, evening); err == nil {
		t.Error("a show without length is watched")
	}
}

// What happened before the doors opened is not the show's.
func TestEventWatchTakesTheShowOnly(t *testing.T) {
	o := checkout(0)
	w, err := slo.NewEventWatch("soho", o, nil, evening, evening.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	first := slo.MinuteOf(evening)
	if w.Replace(first-1, slo.Sum{}, o.Sum(bucket(first-1, 0, 50))) || w.Replace(first+60, slo.Sum{}, o.Sum(bucket(first+60, 0, 50))) {
		t.Error("a minute outside the show is taken")
	}
	if got := w.Step(evening, 100); got != nil {
		t.Errorf("it pages for what was before: %+v", got)
	}
	w.Replace(first, slo.Sum{}, o.Sum(bucket(first, 0, 50)))
	if got := w.Step(evening.Add(10*time.Second), 100); len(got) != 1 || got[0].Urgency != slo.Page {
		t.Errorf("got %+v, want one page", got)
	}
}
