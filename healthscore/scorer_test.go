package healthscore_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ghostlight/healthscore"
)

var start = time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC)

type readings map[string]healthscore.Reading

// well is every signal of an edgecore node in order, measured at now.
func well(now time.Time) readings {
	out := readings{}
	for name, v := range map[string]float64{
		healthscore.JourneySuccess: 1, healthscore.EdgecoreUp: 1, healthscore.PaymentErrorRatio: 0, healthscore.SettlementOldest: 12,
		healthscore.RelayUp: 1, healthscore.CacheCorrupt: 0, healthscore.LedgerWritable: 1, healthscore.DiskUsedRatio: 0.4,
		healthscore.MemoryUsedRatio: 0.5, healthscore.CPUBusyRatio: 0.2, healthscore.ClockSkewSeconds: 0.1, healthscore.BatteryRatio: 0.9,
	} {
		out[name] = healthscore.Reading{Value: v, Known: true, At: now}
	}
	return out
}

func (r readings) with(name string, v float64) readings {
	x := r[name]
	x.Value, x.Known = v, true
	r[name] = x
	return r
}

func (r readings) without(names ...string) readings {
	for _, n := range names {
		delete(r, n)
	}
	return r
}

func scorer(t interface{ Fatal(...any) }, m healthscore.Model) *healthscore.Scorer {
	s, err := healthscore.NewScorer(m)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestScore(t *testing.T) {
	for _, c := range []struct {
		name  string
		with  func(readings) readings
		value float64
		known bool
		state string
		texts []string
		caps  []string
	}{
		{"all is well", func(r readings) readings { return r }, 100, true, "healthy", nil, nil},
		{
			"a failing journey", func(r readings) readings { return r.with(healthscore.JourneySuccess, 0) },
			55, true, "degraded",
			[]string{"a revenue journey fails (-45)"},
			nil,
		},
		{
			"edgecore is gone", func(r readings) readings {
				return r.with(healthscore.JourneySuccess, 0).with(healthscore.EdgecoreUp, 0).with(healthscore.RelayUp, 0)
			},
			35, true, "degraded",
			[]string{"a revenue journey fails (-45)", "edgecore does not answer (-15)", "the relay takes no connections (-5)"},
			nil,
		},
		{
			"between two points of a curve", func(r readings) readings { return r.with(healthscore.PaymentErrorRatio, 0.03) },
			95.5, true, "healthy",
			[]string{"3 % of payments fail (-4.5)"},
			nil,
		},
		{
			"ledger not writable", func(r readings) readings { return r.with(healthscore.LedgerWritable, 0) },
			20, true, "degraded", nil,
			[]string{"the ledger is not writable (at most 20)"},
		},
		{
			"disk full", func(r readings) readings { return r.with(healthscore.DiskUsedRatio, 0.96) },
			40, true, "degraded",
			[]string{"the disk is 96 % full (-4)"},
			[]string{"the disk is more than 95 % full (at most 40)"},
		},
		{
			"disk at the bound is not past it", func(r readings) readings { return r.with(healthscore.DiskUsedRatio, 0.95) },
			96, true, "healthy",
			[]string{"the disk is 95 % full (-4)"},
			nil,
		},
		{
			"battery low", func(r readings) readings { return r.with(healthscore.BatteryRatio, 0.09) },
			50, true, "degraded", nil,
			[]string{"the battery is below 10 % (at most 50)"},
		},
		{
			"clock off", func(r readings) readings { return r.with(healthscore.ClockSkewSeconds, 31) },
			60, true, "degraded",
			[]string{"the clock is 31 s off (-2)"},
			[]string{"the clock is further off than tokens allow (at most 60)"},
		},
		{
			"the lowest cap holds", func(r readings) readings {
				return r.with(healthscore.LedgerWritable, 0).with(healthscore.BatteryRatio, 0.01)
			},
			20, true, "degraded", nil,
			[]string{"the ledger is not writable (at most 20)", "the battery is below 10 % (at most 50)"},
		},
		{
			"a cap above the score changes nothing", func(r readings) readings {
				return r.with(healthscore.JourneySuccess, 0).with(healthscore.ClockSkewSeconds, 60)
			},
			53, true, "degraded",
			[]string{"a revenue journey fails (-45)", "the clock is 1 min off (-2)"},
			[]string{"the clock is further off than tokens allow (at most 60)"},
		},
		{
			"the journey is unknown", func(r readings) readings { return r.without(healthscore.JourneySuccess) },
			0, false, "unknown", nil, nil,
		},
		{
			"edgecore's state is too old to tell", func(r readings) readings {
				x := r[healthscore.EdgecoreUp]
				x.At = x.At.Add(-61 * time.Second)
				r[healthscore.EdgecoreUp] = x
				return r
			},
			0, false, "unknown", nil, nil,
		},
		{
			"a value that is no number is unknown", func(r readings) readings { return r.with(healthscore.JourneySuccess, math.NaN()) },
			0, false, "unknown", nil, nil,
		},
		{"nothing is known", func(readings) readings { return nil }, 0, false, "unknown", nil, nil},
		{
			"what is not essential may be missing", func(r readings) readings { return r.without(healthscore.BatteryRatio) },
			100, true, "healthy", nil, nil,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := scorer(t, healthscore.DefaultModel(true))
			got := s.Update(start, c.with(well(start)))
			var texts []string
			for _, x := range got.Contributors {
				texts = append(texts, x.Text)
			}
			if math.Abs(got.Value-c.value) > 1e-9 || got.Known != c.known || got.State != c.state {
				t.Errorf("score %v known %v %s, want %v %v %s", got.Value, got.Known, got.State, c.value, c.known, c.state)
			}
			if diff := cmp.Diff(c.texts, texts); diff != "" {
				t.Errorf("contributors (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.caps, got.Caps); diff != "" {
				t.Errorf("caps (-want +got):\n%s", diff)
			}
			if _, err := json.Marshal(got); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestUnknownSignalsAreNamed(t *testing.T) {
	s := scorer(t, healthscore.DefaultModel(true))
	got := s.Update(start, well(start).without(healthscore.BatteryRatio, healthscore.CPUBusyRatio))
	if diff := cmp.Diff([]string{healthscore.CPUBusyRatio, healthscore.BatteryRatio}, got.Unknown); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTextsSayWhatAndSinceWhen(t *testing.T) {
	s := scorer(t, healthscore.DefaultModel(true))
	text := func(after time.Duration) string {
		now := start.Add(after)
		r := well(now).with(healthscore.JourneySuccess, 0)
		x := r[healthscore.JourneySuccess]
		x.Detail = "journey revenue-path fails at step pay"
		r[healthscore.JourneySuccess] = x
		return s.Update(now, r).Contributors[0].Text
	}
	for _, c := range []struct {
		after time.Duration
		want  string
	}{
		{0, "journey revenue-path fails at step pay (-45)"},
		{12 * time.Second, "journey revenue-path fails at step pay for 12 s (-45)"},
		{time.Minute, "journey revenue-path fails at step pay for 1 min (-45)"},
		{3*time.Minute + 20*time.Second, "journey revenue-path fails at step pay for 3 min 20 s (-45)"},
		{2 * time.Hour, "journey revenue-path fails at step pay for 2 h (-45)"},
		{50 * time.Hour, "journey revenue-path fails at step pay for 2 d 2 h (-45)"},
	} {
		if got := text(c.after); got != c.want {
			t.Errorf("after %v: %q, want %q", c.after, got, c.want)
		}
	}
	s.Update(start.Add(51*time.Hour), well(start.Add(51*time.Hour)))
	if got := text(52 * time.Hour); got != "journey revenue-path fails at step pay (-45)" {
		t.Errorf("after a recovery the time starts anew, but %q", got)
	}
}

func TestHysteresis(t *testing.T) {
	m := healthscore.Model{
		Enter: 60, Leave: 75, Dwell: 10 * time.Second,
		Signals: []healthscore.Signal{{
			Name: "x", Weight: 100, Text: "x", MaxAge: time.Minute, Curve: []healthscore.Point{{At: 0, Share: 1}, {At: 100, Share: 0}},
		}},
	}
	s := scorer(t, m)
	for i, c := range []struct {
		after time.Duration
		score float64 // -1 unknown
		want  string
	}{
		{0, 70, "degraded"}, // out of unknown only Leave is healthy
		{1, 80, "degraded"},
		{5, 74, "degraded"}, // the dwell begins anew
		{6, 75, "degraded"},
		{15, 75, "degraded"},
		{16, 75, "healthy"},
		{20, 61, "healthy"}, // between the two nothing changes
		{90, 61, "healthy"},
		{91, 60, "healthy"},
		{95, 70, "healthy"}, // a short dip
		{96, 60, "healthy"},
		{106, 60, "degraded"},
		{107, -1, "unknown"},
		{108, 75, "healthy"},
	} {
		now := start.Add(c.after * time.Second)
		got := s.Update(now, readings{"x": {Value: c.score, Known: c.score >= 0, At: now}})
		if got.State != c.want {
			t.Errorf("step %d, %d s, score %v: %s, want %s", i, c.after, c.score, got.State, c.want)
		}
	}
}

// A step from 0 to 1 has come (1-1/e) of the way after one time constant, however
// often it was read meanwhile.
func TestSmoothing(t *testing.T) {
	for _, every := range []time.Duration{time.Second, 5 * time.Second, 30 * time.Second} {
		m := healthscore.Model{Enter: 60, Leave: 75, Signals: []healthscore.Signal{{
			Name: "x", Weight: 100, Text: "x", MaxAge: time.Minute, Smooth: 30 * time.Second,
			Curve: []healthscore.Point{{At: 0, Share: 0}, {At: 1, Share: 1}},
		}}}
		s := scorer(t, m)
		s.Update(start, readings{"x": {Value: 0, Known: true, At: start}})
		var got healthscore.Score
		for d := every; d <= 30*time.Second; d += every {
			at := start.Add(d)
			for range 3 { // the same reading again is no news
				got = s.Update(at, readings{"x": {Value: 1, Known: true, At: at}})
			}
		}
		if want := 100 / math.E; math.Abs(got.Value-want) > 1e-9 {
			t.Errorf("read every %v: %v, want %v", every, got.Value, want)
		}
	}
}

func TestPlainModel(t *testing.T) {
	host := func() readings {
		return well(start).without(
			healthscore.JourneySuccess, healthscore.EdgecoreUp, healthscore.PaymentErrorRatio, healthscore.SettlementOldest,
			healthscore.RelayUp, healthscore.CacheCorrupt, healthscore.LedgerWritable,
		)
	}
	if got := scorer(t, healthscore.DefaultModel(false)).Update(start, host()); !got.Known || got.Value != 100 {
		t.Errorf("a host without journeys: %+v, want 100", got)
	}
	withJourneys := healthscore.DefaultModel(false).Require(healthscore.JourneySuccess)
	if got := scorer(t, withJourneys).Update(start, host()); got.Known {
		t.Errorf("its journey has not run, but the score is known: %+v", got)
	}
	if got := scorer(t, healthscore.DefaultModel(false)).Update(start, nil); got.Known {
		t.Errorf("nothing is known but the score: %+v", got)
	}
}

// Whatever the readings, 100 less the contributors' penalties is the score before
// caps, the value is within 0 to 100, never above a cap, and there is JSON.
func TestScoresExplainThemselves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := scorer(t, healthscore.DefaultModel(rapid.Bool().Draw(t, "edgecore")))
		now := start
		for range rapid.IntRange(1, 8).Draw(t, "updates") {
			now = now.Add(time.Duration(rapid.IntRange(0, 120).Draw(t, "seconds")) * time.Second)
			r := readings{}
			for name := range well(now) {
				if rapid.IntRange(0, 9).Draw(t, name+" missing") == 0 {
					continue
				}
				r[name] = healthscore.Reading{
					Value: rapid.OneOf(rapid.Float64Range(0, 1), rapid.Float64()).Draw(t, name), Known: true,
					At: now.Add(-time.Duration(rapid.IntRange(0, 400).Draw(t, "age")) * time.Second),
				}
			}
			got := s.Update(now, r)
			sum := 100.0
			for _, c := range got.Contributors {
				sum -= c.Penalty
				if c.Penalty <= 0 || strings.Contains(c.Text, "{}") {
					t.Fatalf("contributor %+v", c)
				}
			}
			if math.Abs(sum-got.Uncapped) > 1e-9 {
				t.Fatalf("100 less the penalties is %v, uncapped %v", sum, got.Uncapped)
			}
			switch {
			case got.Value < 0 || got.Value > got.Uncapped:
				t.Fatalf("value %v of %v uncapped", got.Value, got.Uncapped)
			case len(got.Caps) == 0 && got.Known && got.Value != got.Uncapped:
				t.Fatalf("value %v of %v, but no cap is named", got.Value, got.Uncapped)
			case got.Known == (got.State == healthscore.Unknown):
				t.Fatalf("known %v, state %s", got.Known, got.State)
			}
			if _, err := json.Marshal(got); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestModelValidate(t *testing.T) {
	for name, change := range map[string]func(*healthscore.Model){
		"no signals":         func(m *healthscore.Model) { m.Signals, m.Caps = nil, nil },
		"weights above 100":  func(m *healthscore.Model) { m.Signals[0].Weight = 90 },
		"negative weight":    func(m *healthscore.Model) { m.Signals[0].Weight = -1 },
		"signal twice":       func(m *healthscore.Model) { m.Signals[1].Name = m.Signals[0].Name },
		"no age":             func(m *healthscore.Model) { m.Signals[0].MaxAge = 0 },
		"no text":            func(m *healthscore.Model) { m.Signals[0].Text = "" },
		"no curve":           func(m *healthscore.Model) { m.Signals[0].Curve = nil },
		"curve falls back":   func(m *healthscore.Model) { m.Signals[0].Curve[1].At = -1 },
		"share above 1":      func(m *healthscore.Model) { m.Signals[0].Curve[0].Share = 1.1 },
		"cap on nothing":     func(m *healthscore.Model) { m.Caps[0].Signal = "luck" },
		"cap above 100":      func(m *healthscore.Model) { m.Caps[0].Max = 101 },
		"leave below enter":  func(m *healthscore.Model) { m.Leave = 50 },
		"negative dwell":     func(m *healthscore.Model) { m.Dwell = -1 },
		"enter is no number": func(m *healthscore.Model) { m.Enter = math.NaN() },
	} {
		m := healthscore.DefaultModel(true)
		if err := m.Validate(); err != nil {
			t.Fatal(err)
		}
		change(&m)
		if _, err := healthscore.NewScorer(m); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
