package incident

import (
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ghostlight/slo"
)

// week is the unit of the published data.
const week = 7 * 24 * time.Hour

// observe reads times in weeks; those with a + are censored.
func observe(t *testing.T, list string) []Observation {
	t.Helper()
	var out []Observation
	for f := range strings.FieldsSeq(list) {
		n, err := strconv.Atoi(strings.TrimSuffix(f, "+"))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, Observation{time.Duration(n) * week, strings.HasSuffix(f, "+")})
	}
	return out
}

const (
	// Weeks in remission of leukaemia, E. J. Freireich et al., Blood 21 (1963).
	mercaptopurine = "6 6 6 6+ 7 9+ 10 10+ 11+ 13 16 17+ 19+ 20+ 22 23 25+ 32+ 32+ 34+ 35+"
	placebo        = "1 1 2 2 3 4 4 5 5 8 8 8 8 11 11 12 12 15 17 22 23"
	// Weeks in remission of acute myelogenous leukaemia, R. G. Miller, Survival
	// Analysis (1981); the data set aml of R.
	maintained    = "9 13 13+ 18 23 28+ 31 34 45+ 48 161+"
	notMaintained = "5 5 8 8 12 16+ 23 27 30 33 43 45"
)

// line is a step as the tables print it.
type line struct {
	Week, AtRisk, Ended     int
	Open, StdErr, Low, High float64
}

func lines(c Curve, digits int, interval bool) []line {
	scale := math.Pow10(digits)
	round := func(v float64) float64 { return math.Round(v*scale) / scale }
	var out []line
	for _, s := range c.Steps {
		l := line{Week: int(s.At / week), AtRisk: s.AtRisk, Ended: s.Ended, Open: round(s.Open), StdErr: round(s.StdErr)}
		if interval {
			l.Low, l.High = round(s.Low), round(s.High)
		}
		out = append(out, l)
	}
	return out
}

func TestCurveAgainstPublishedTables(t *testing.T) {
	// J. P. Klein and M. L. Moeschberger, Survival Analysis, 2nd edition, table 4.1A.
	want := []line{
		{Week: 6, AtRisk: 21, Ended: 3, Open: 0.857, StdErr: 0.076},
		{Week: 7, AtRisk: 17, Ended: 1, Open: 0.807, StdErr: 0.087},
		{Week: 10, AtRisk: 15, Ended: 1, Open: 0.753, StdErr: 0.096},
		{Week: 13, AtRisk: 12, Ended: 1, Open: 0.690, StdErr: 0.107},
		{Week: 16, AtRisk: 11, Ended: 1, Open: 0.627, StdErr: 0.114},
		{Week: 22, AtRisk: 7, Ended: 1, Open: 0.538, StdErr: 0.128},
		{Week: 23, AtRisk: 6, Ended: 1, Open: 0.448, StdErr: 0.135},
	}
	if diff := cmp.Diff(want, lines(Survive(observe(t, mercaptopurine)), 3, false)); diff != "" {
		t.Errorf("6-MP (-want +got):\n%s", diff)
	}
	// What R's survfit prints for aml, with its logarithmic interval.
	want = []line{
		{Week: 9, AtRisk: 11, Ended: 1, Open: 0.909, StdErr: 0.087, Low: 0.754, High: 1},
		{Week: 13, AtRisk: 10, Ended: 1, Open: 0.818, StdErr: 0.116, Low: 0.619, High: 1},
		{Week: 18, AtRisk: 8, Ended: 1, Open: 0.716, StdErr: 0.140, Low: 0.488, High: 1},
		{Week: 23, AtRisk: 7, Ended: 1, Open: 0.614, StdErr: 0.153, Low: 0.377, High: 0.999},
		{Week: 31, AtRisk: 5, Ended: 1, Open: 0.491, StdErr: 0.164, Low: 0.255, High: 0.946},
		{Week: 34, AtRisk: 4, Ended: 1, Open: 0.368, StdErr: 0.163, Low: 0.155, High: 0.875},
		{Week: 48, AtRisk: 2, Ended: 1, Open: 0.184, StdErr: 0.153, Low: 0.036, High: 0.944},
	}
	if diff := cmp.Diff(want, lines(Survive(observe(t, maintained)), 3, true)); diff != "" {
		t.Errorf("aml (-want +got):\n%s", diff)
	}
}

func TestSummaryAgainstPublishedFigures(t *testing.T) {
	weeks := func(d time.Duration) string { return strconv.FormatFloat(d.Hours()/168, 'f', -1, 64) }
	for _, tt := range []struct {
		name, data       string
		n, open          int
		median, interval string
	}{
		// The medians and intervals that R's survfit prints; it writes NA where the
		// curve's upper bound does not come down to one half.
		{"6-MP", mercaptopurine, 21, 12, "23", "16 to >35"},
		{"placebo", placebo, 21, 0, "8", "4 to 12"},
		{"maintained", maintained, 11, 4, "31", "18 to >161"},
		{"not maintained", notMaintained, 12, 1, "23", "8 to >45"},
		{"nothing ended", "4+ 9+", 2, 2, ">9", "9 to >9"},
	} {
		s := Summarise(observe(t, tt.data), 0)
		got := []string{strconv.Itoa(s.N), strconv.Itoa(s.Open), s.Median.Show(weeks), s.Median.ShowInterval(weeks)}
		if diff := cmp.Diff([]string{strconv.Itoa(tt.n), strconv.Itoa(tt.open), tt.median, tt.interval}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
	// Klein and Moeschberger, example 4.2: mean 23.29 weeks within 35, standard error 2.83.
	mean, horizon := Survive(observe(t, mercaptopurine)).Mean(35 * week)
	near := func(d time.Duration, weeks float64) bool { return math.Abs(d.Hours()/168-weeks) < 0.005 }
	if !near(mean.Value, 23.29) || horizon != 35*week || !near(time.Duration(float64(mean.Value-mean.Low)/z), 2.83) {
		t.Errorf("mean %v within %v, low %v", weeks(mean.Value), weeks(horizon), weeks(mean.Low))
	}
	if mean, _ := Survive(observe(t, placebo)).Mean(0); !near(mean.Value, 182.0/21) {
		t.Errorf("placebo's mean is %v weeks, and without censoring it is the plain one, %v", weeks(mean.Value), 182.0/21)
	}
	// A share that is reached exactly is reached, whatever rounding does to it.
	for n := 2; n <= 50; n++ {
		var list []Observation
		for k := 1; k <= n; k++ {
			list = append(list, Observation{Lasted: time.Duration(k) * week})
		}
		for k := 1; k < n; k++ {
			if got := Survive(list).Quantile(float64(k) / float64(n)).Value; got != time.Duration(k)*week {
				t.Errorf("%d of %d have ended after %v weeks", k, n, weeks(got))
			}
		}
	}
	// All have ended by the longest, so a longer horizon adds nothing but is kept.
	if mean, h := Survive(observe(t, placebo)).Mean(99 * week); !near(mean.Value, 182.0/21) || h != 99*week {
		t.Errorf("within 99 weeks the mean is %v within %v", weeks(mean.Value), weeks(h))
	}
	if _, h := Survive(observe(t, mercaptopurine)).Mean(99 * week); h != 35*week {
		t.Errorf("the horizon is %v weeks, beyond what anybody has seen", weeks(h))
	}
	if got := Summarise(nil, time.Hour); got != (Summary{}) {
		t.Errorf("of nothing: %+v", got)
	}
	if e := Survive(observe(t, mercaptopurine)).Quantile(0.9); e.Show(weeks) != ">35" {
		t.Errorf("p90 is %s, which nobody has seen", e.Show(weeks))
	}
}

func TestCurveProperties(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		list := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) Observation {
			return Observation{time.Duration(rapid.IntRange(0, 20).Draw(rt, "h")) * time.Hour, rapid.Bool().Draw(rt, "censored")}
		}), 1, 30).Draw(rt, "list")
		c := Survive(list)
		if diff := cmp.Diff(c, Survive(rapid.Permutation(list).Draw(rt, "order"))); diff != "" {
			rt.Fatalf("the order matters:\n%s", diff)
		}
		last := 1.0
		for _, s := range c.Steps {
			if !(s.Open < last && s.Low <= s.Open && s.Open <= s.High && s.Low >= 0 && s.High <= 1) {
				rt.Fatalf("step %+v after %v", s, last)
			}
			last = s.Open
		}
		if m := c.Quantile(0.5); m.Low > m.Value || m.Value > m.High {
			rt.Fatalf("median %+v", m)
		}
		mean, horizon := c.Mean(0)
		if mean.Low > mean.Value || mean.Value > mean.High || mean.Value > horizon {
			rt.Fatalf("mean %+v within %v", mean, horizon)
		}
		// Waiting longer for one that is open never shortens what it will have taken.
		for n, o := range list {
			if o.Censored {
				longer := append([]Observation{}, list...)
				longer[n].Lasted += 5 * time.Hour
				h := min(horizon, 10*time.Hour)
				a, _ := c.Mean(h)
				if b, _ := Survive(longer).Mean(h); h > 0 && b.Value < a.Value-1 {
					rt.Fatalf("the mean within %v fell from %v to %v", h, a.Value, b.Value)
				}
			}
		}
	})
}

func TestObserve(t *testing.T) {
	now := t0.Add(2 * time.Hour)
	dark := checkout
	dark.Node = "edge-dark"
	silence := Scope{Region: "north", Venue: "soho", Node: "edge-dark", Cause: Darkness}
	contact := func(s Scope) (time.Time, bool) { return t0.Add(15 * time.Minute), s.Node == "edge-dark" }
	list := []Incident{
		lasting(checkout, 0, 40),
		lasting(checkout, 60, 0),
		lasting(dark, 5, 0),
		lasting(dark, 5, 95), // its backlog has landed
		lasting(silence, 15, 0),
		lasting(checkout, 30, 0).Mark(mark(Closed, 30, 50)), // a false alarm
		lasting(checkout, 0, 40).Plan(Plan{FromMS: at(10), ToMS: at(30)}),
	}
	want := []Observation{
		{40 * time.Minute, false},
		{time.Hour, true},
		{10 * time.Minute, true},
		{90 * time.Minute, false},
		{105 * time.Minute, true},
		{20 * time.Minute, true},
		{20 * time.Minute, false},
	}
	if diff := cmp.Diff(want, Observe(list, now, contact)); diff != "" {
		t.Errorf("observations (-want +got):\n%s", diff)
	}
	// Within 30 minutes: good is only the clipped one; late are 40, 60, 90 and 105
	// minutes; the dark node's is pending, the false alarm neither.
	got := Restored(list, 30*time.Minute, now, contact)
	if diff := cmp.Diff(Promise{Counts: slo.Counts{Good: 1, Total: 5}, Pending: 1}, got); diff != "" {
		t.Errorf("promise (-want +got):\n%s", diff)
	}
	if low, high := got.Bounds(); low != 1.0/6 || high != 2.0/6 {
		t.Errorf("bounds %v to %v", low, high)
	}
	if low, high := Restored(nil, time.Hour, now, Always).Bounds(); low != 0 || high != 1 {
		t.Errorf("bounds of nothing: %v to %v", low, high)
	}
}
