package health

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"ghostlight/buffer/delta"
	"ghostlight/buffer/queue"
	"ghostlight/collector/journeys"
	"ghostlight/collector/outcomes"
	"ghostlight/collector/scrape"
	"ghostlight/collector/self"
	"ghostlight/healthscore"
	"ghostlight/synthetics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type memory struct{ scores []healthscore.Score }

func (m *memory) Commit(_ context.Context, c queue.Commit) error {
	for _, e := range c.Entries {
		for _, r := range e.Batch.Records {
			var s healthscore.Score
			if err := json.Unmarshal(r.Body, &s); err != nil {
				return err
			}
			m.scores = append(m.scores, s)
		}
	}
	return nil
}

func newMonitor(t *testing.T, m *memory, views func() []journeys.View) *Monitor {
	t.Helper()
	mon, err := New(Options{
		Edgecore: true, EdgecoreInstance: "edge:1", DataDir: t.TempDir(), Commit: m, Views: views,
		OutcomesSeen: func() bool { return true }, PowerSupplies: t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return mon
}

func sample(name string, at int64, v float64, labels ...string) delta.Series {
	s := delta.Series{Labels: []delta.Label{{Name: "__name__", Value: name}}, Samples: []delta.Sample{{Time: at, Value: v}}}
	for i := 0; i+1 < len(labels); i += 2 {
		s.Labels = append(s.Labels, delta.Label{Name: labels[i], Value: labels[i+1]})
	}
	return s
}

func passing() []journeys.View {
	return []journeys.View{{Runs: 1, Last: synthetics.Result{Pass: true}, End: time.Now(), RelayKnown: true, Relay: true}}
}

func TestTap(t *testing.T) {
	m := newMonitor(t, &memory{}, passing)
	now := time.Now().UnixMilli()
	host := func(at int64, idle, user float64) delta.Batch {
		return delta.Batch{Series: []delta.Series{
			sample("system_cpu_time_seconds_total", at, idle, "cpu", "0", "state", "idle"),
			sample("system_cpu_time_seconds_total", at, idle, "cpu", "1", "state", "idle"),
			sample("system_cpu_time_seconds_total", at, user, "cpu", "0", "state", "user"),
			sample("system_memory_usage_bytes", at, 30, "state", "used"),
			sample("system_memory_usage_bytes", at, 50, "state", "free"),
			sample("system_memory_usage_bytes", at, 20, "state", "cached"),
			sample("system_memory_usage_bytes", at, 9, "state", "slab_unreclaimable"),
		}}
	}
	m.Tap(host(now-1000, 100, 10))
	if r := m.Readings()[healthscore.CPUBusyRatio]; r.Known {
		t.Errorf("one reading of the processors gave %+v", r)
	}
	m.Tap(host(now, 103, 14))
	m.Tap(delta.Batch{Series: []delta.Series{
		sample("up", now, 1, "instance", "edge:1"), sample("up", now, 0, "instance", "other:1"),
		sample("edgecore_cache_corrupt_objects", now, 2, "instance", "edge:1"),
		sample("edgecore_ledger_writable", now, 0, "instance", "other:1"),
		sample("edgecore_hub_reachable", now, 1, "instance", "edge:1"),
	}})
	got := m.Readings()
	for name, want := range map[string]float64{
		healthscore.CPUBusyRatio: 0.4, healthscore.MemoryUsedRatio: 0.3, healthscore.EdgecoreUp: 1,
		healthscore.CacheCorrupt: 2, healthscore.JourneySuccess: 1, healthscore.RelayUp: 1, healthscore.PaymentErrorRatio: 0,
	} {
		if r := got[name]; !r.Known || math.Abs(r.Value-want) > 1e-9 {
			t.Errorf("%s is %+v, want %v", name, r, want)
		}
	}
	for _, name := range []string{healthscore.LedgerWritable, healthscore.BatteryRatio, healthscore.ClockSkewSeconds} {
		if got[name].Known {
			t.Errorf("%s is known: %+v", name, got[name])
		}
	}
	if v := m.Gauge("edgecore_hub_reachable"); v == nil || *v != 1 {
		t.Errorf("gauge is %v", v)
	}
	// A scrape that fails leaves stale markers: unknown, not the last value.
	stale := math.Float64frombits(0x7ff0000000000002)
	for range 2 {
		m.Tap(delta.Batch{Series: []delta.Series{
			sample("up", now, 0, "instance", "edge:1"), sample("edgecore_cache_corrupt_objects", now, stale, "instance", "edge:1"),
			sample("edgecore_hub_reachable", now, stale, "instance", "edge:1"),
		}})
	}
	if r := m.Readings()[healthscore.CacheCorrupt]; r.Known || m.Gauge("edgecore_hub_reachable") != nil {
		t.Errorf("after a stale marker the reading is %+v", r)
	}
	if n := m.EdgecoreFailures(); n != 2 {
		t.Errorf("%d failures in a row, want 2", n)
	}
}

func TestEdgecoreUpAndUnsettled(t *testing.T) {
	m := newMonitor(t, &memory{}, passing)
	now := time.Date(2026, 11, 25, 20, 0, 0, 0, time.UTC)
	m.o.Now = func() time.Time { return now }
	if _, known := m.EdgecoreUp(); known {
		t.Error("edgecore is known before anybody asked it")
	}
	if _, known := m.Unsettled(); known {
		t.Error("a backlog is known before anybody asked for it")
	}
	m.o.Answers = func() (bool, time.Time) { return true, now }
	if up, known := m.EdgecoreUp(); !up || !known {
		t.Error("where edgecore is not scraped its answers count")
	}
	at := now.UnixMilli()
	m.Tap(delta.Batch{Series: []delta.Series{
		sample("up", at, 0, "instance", "edge:1"), sample("edgecore_settlement_oldest_seconds", at, 90, "instance", "edge:1"),
	}})
	if up, known := m.EdgecoreUp(); up || !known {
		t.Errorf("a scrape that failed says up %v, known %v", up, known)
	}
	if oldest, known := m.Unsettled(); !known || !oldest.Equal(now.Add(-90*time.Second)) {
		t.Errorf("the oldest sale waits since %v, known %v", oldest, known)
	}
	now = now.Add(2 * time.Minute)
	if _, known := m.EdgecoreUp(); known {
		t.Error("a scrape of two minutes ago says something about now")
	}
	if _, known := m.Unsettled(); known {
		t.Error("a backlog of two minutes ago says something about now")
	}
}

func TestPaymentErrorRatio(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMonitor(t, &memory{}, passing)
		ratio := func() float64 { return m.Readings()[healthscore.PaymentErrorRatio].Value }
		now := time.Now().UnixMilli()
		m.Outcomes([]outcomes.Outcome{
			{Kind: "payment", Good: true, TimeMS: now}, {Kind: "payment", TimeMS: now}, {Kind: "order", TimeMS: now},
		})
		if got := ratio(); got != 0.5 {
			t.Errorf("ratio is %v, want 0.5", got)
		}
		time.Sleep(errorWindow + time.Minute)
		if got := ratio(); got != 0 {
			t.Errorf("long after the failure the ratio is %v", got)
		}
	})
}

func TestJourneys(t *testing.T) {
	at := time.Unix(1000, 0)
	view := func(pass bool, end time.Time) journeys.View {
		return journeys.View{Runs: 1, End: end, Last: synthetics.Result{Journey: "j", FailedStep: "pay", Pass: pass}}
	}
	for name, tc := range map[string]struct {
		views []journeys.View
		want  healthscore.Reading
	}{
		"none ran":             {[]journeys.View{{}}, healthscore.Reading{}},
		"the older pass dates": {[]journeys.View{view(true, at), view(true, at.Add(time.Hour))}, healthscore.Reading{Value: 1, Known: true, At: at}},
		"one fails":            {[]journeys.View{view(true, at), view(false, at.Add(time.Hour)), view(true, at)}, healthscore.Reading{Known: true, At: at.Add(time.Hour), Detail: "journey j fails at step pay"}},
	} {
		out := map[string]healthscore.Reading{}
		addJourneys(out, tc.views)
		if diff := cmp.Diff(tc.want, out[healthscore.JourneySuccess]); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

func TestBattery(t *testing.T) {
	dir := t.TempDir()
	for name, files := range map[string][2]string{"AC": {"Mains", "0"}, "BAT0": {"Battery", "80"}, "BAT1": {"Battery", "35"}, "BAT2": {"Battery", "x"}} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		for i, file := range []string{"type", "capacity"} {
			if err := os.WriteFile(filepath.Join(dir, name, file), []byte(files[i]+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for where, want := range map[string][]float64{dir: {0.35}, t.TempDir(): nil, "": nil} {
		m, err := New(Options{DataDir: t.TempDir(), Commit: &memory{}, Views: func() []journeys.View { return nil }, PowerSupplies: where})
		if err != nil {
			t.Fatal(err)
		}
		var said, exposed []float64
		if charge := m.Battery(); charge != nil {
			said = append(said, *charge)
		}
		g := self.NewGatherer(1, "n")
		m.Gather(g)
		for _, s := range g.Batch().Series {
			if label(s.Labels, "__name__") == "ghostlight_battery_charge_ratio" {
				exposed = append(exposed, s.Samples[0].Value)
			}
		}
		if diff := cmp.Diff([][]float64{want, want}, [][]float64{said, exposed}); diff != "" {
			t.Errorf("batteries in %q (-want +got):\n%s", where, diff)
		}
	}
}

func TestRunRecordsScores(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := &memory{}
		fails := false
		m := newMonitor(t, mem, func() []journeys.View {
			v := passing()
			v[0].Last.Pass = !fails
			return v
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.Run(ctx) }()
		run := func(d time.Duration) {
			for range int(d / time.Second) {
				m.Tap(delta.Batch{Series: []delta.Series{sample("up", time.Now().UnixMilli(), 1, "instance", "edge:1")}})
				time.Sleep(time.Second)
			}
			synctest.Wait()
		}
		run(5 * time.Minute)
		n := len(mem.scores)
		if n < 5 {
			t.Errorf("%d records of an unchanged score in five minutes, want 5", n)
		}
		rounds := scrape.After("", tellDrift, time.Now())
		for i := 1; i < n; i++ {
			at := time.UnixMilli(mem.scores[i].AtMS)
			if gap := at.Sub(time.UnixMilli(mem.scores[i-1].AtMS)); gap < tellAnyway-scoreEvery || gap > tellAnyway+tellDrift {
				t.Errorf("an unchanged score was recorded again after %v", gap)
			}
			if off := rounds.Wait(at) % tellDrift; off > scoreEvery/10 && off < tellDrift-scoreEvery/10 {
				t.Errorf("a score was recorded %v before the node's moment", off)
			}
		}
		fails = true
		run(6 * time.Second)
		last := mem.scores[len(mem.scores)-1]
		if len(mem.scores) != n+1 || !last.Known || last.Value > 60 || last.Contributors[0].Signal != healthscore.JourneySuccess {
			t.Errorf("%d records, last %+v", len(mem.scores), last)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestARecordedScoreIsRounded(t *testing.T) {
	in := healthscore.Score{Value: 60, Uncapped: 100 - 4.0/3, Contributors: []healthscore.Contributor{
		{Signal: "a", Value: 1.0 / 3000, Penalty: 2.0 / 3}, {Signal: "b", Value: 1234567, Penalty: 2.0 / 3},
	}}
	want := healthscore.Score{Value: 60, Uncapped: 98.66, Contributors: []healthscore.Contributor{
		{Signal: "a", Value: 0.0003333, Penalty: 0.67}, {Signal: "b", Value: 1235000, Penalty: 0.67},
	}}
	if diff := cmp.Diff(want, rounded(in)); diff != "" {
		t.Errorf("rounded (-want +got):\n%s", diff)
	}
	in.Value = in.Uncapped
	if got := rounded(in); got.Value != want.Uncapped {
		t.Errorf("uncapped it is %v, and says that its parts leave %v", got.Value, want.Uncapped)
	}
	if in.Contributors[0].Penalty != 2.0/3 {
		t.Error("the score itself was rounded")
	}
}

func TestWhenAScoreIsRecorded(t *testing.T) {
	at := time.Unix(1000, 0)
	told := healthscore.Score{Known: true, Value: 90, State: healthscore.Healthy, Contributors: []healthscore.Contributor{{}}}
	moved, worse := told, told
	moved.Value = 89
	worse.Contributors = []healthscore.Contributor{{}, {}}
	for _, tt := range []struct {
		name  string
		score healthscore.Score
		since time.Duration
		round bool
		want  bool
	}{
		{"unchanged, in a round", told, tellDrift, true, false},
		{"unchanged for long, in a round", told, tellAnyway, true, true},
		{"unchanged for long, between rounds", told, tellAnyway, false, false},
		{"moved, between rounds", moved, tellDrift, false, false},
		{"moved, in a round", moved, time.Second, true, true},
		{"worse, soon", worse, tellChange, false, true},
		{"worse, at once", worse, time.Second, false, false},
		{"the clock was set back", told, -time.Second, false, true},
		{"no round came", told, tellAnyway + tellDrift, false, true},
	} {
		last := telling{score: told, tried: at}
		if got := last.due(tt.score, at.Add(tt.since), tt.round); got != tt.want {
			t.Errorf("%s: due is %v", tt.name, got)
		}
	}
	if first := (&telling{}); !first.due(told, at, false) {
		t.Error("the first score is not recorded")
	}
}

// Failures counted while the clock was three days ahead must not count as the
// present's for three days once it is set right, nor take in what comes then.
func TestPaymentErrorRatioAfterTheClockWasSetBack(t *testing.T) {
	m := newMonitor(t, &memory{}, passing)
	now := time.Now()
	m.o.Now = func() time.Time { return now.Add(72 * time.Hour) }
	m.Outcomes([]outcomes.Outcome{{Kind: "payment", TimeMS: m.o.Now().UnixMilli()}})
	ratio := func() float64 { return m.Readings()[healthscore.PaymentErrorRatio].Value }
	if got := ratio(); got != 1 {
		t.Fatalf("ratio is %v, want 1", got)
	}
	m.o.Now = func() time.Time { return now }
	if got := ratio(); got != 0 {
		t.Errorf("failures of the future give a ratio of %v", got)
	}
	m.Outcomes([]outcomes.Outcome{{Kind: "payment", Good: true, TimeMS: now.UnixMilli()}, {Kind: "payment", TimeMS: now.UnixMilli()}})
	if got := ratio(); got != 0.5 {
		t.Errorf("ratio is %v, want 0.5", got)
	}
	if n := len(m.payments); n != 1 {
		t.Errorf("%d minutes are kept, want 1", n)
	}
}

func TestANodeWhoseJourneysNeverRanIsUnknown(t *testing.T) {
	for _, tt := range []struct {
		name  string
		views []journeys.View
		known bool
	}{
		{"no journeys", nil, true},
		{"a journey that did not run yet", []journeys.View{{}}, false},
		{"a journey that passed", passing(), true},
	} {
		synctest.Test(t, func(t *testing.T) {
			m, err := New(Options{DataDir: t.TempDir(), Commit: &memory{}, Views: func() []journeys.View { return tt.views }, PowerSupplies: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			tt.views = append([]journeys.View(nil), tt.views...)
			for i := range tt.views {
				if tt.views[i].Runs > 0 {
					tt.views[i].End = time.Now()
				}
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- m.Run(ctx) }()
			time.Sleep(2 * time.Second)
			synctest.Wait()
			if s := m.Score(); s.Known != tt.known {
				t.Errorf("%s: score is %+v, want known %v", tt.name, s, tt.known)
			}
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}
