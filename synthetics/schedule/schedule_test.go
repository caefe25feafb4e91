package schedule_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"ghostlight/synthetics"
	"ghostlight/synthetics/schedule"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// journey is one that the tests never run for real.
func journey(t *testing.T, name, times, jitter string) synthetics.Journey {
	t.Helper()
	j, err := synthetics.Decode("j.yaml", []byte("name: "+name+"\nschedule: \""+times+"\"\njitter: "+jitter+"\nsteps: [{name: a, request: {url: \"http://127.0.0.1:1\"}}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// log notes when runs start, relative to the first moment, and takes as long over
// them as it is told.
type log struct {
	mu     sync.Mutex
	zero   time.Time
	starts map[string][]time.Duration
	takes  time.Duration
}

func newLog(takes time.Duration) *log {
	return &log{zero: time.Now(), starts: map[string][]time.Duration{}, takes: takes}
}

func (l *log) run(ctx context.Context, j synthetics.Journey) synthetics.Result {
	l.mu.Lock()
	l.starts[j.Name] = append(l.starts[j.Name], time.Since(l.zero))
	n := len(l.starts[j.Name])
	l.mu.Unlock()
	select {
	case <-time.After(l.takes):
	case <-ctx.Done():
	}
	return synthetics.Result{Journey: j.Name, Pass: true, StartMS: int64(n)}
}

func (l *log) times(name string) []time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.starts[name])
}

func start(t *testing.T, o schedule.Options) (*schedule.Scheduler, func()) {
	t.Helper()
	s, err := schedule.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return s, func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

const second = time.Second

func TestRunsAtTheirTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(time.Second)
		var results atomic.Int64
		s, stop := start(t, schedule.Options{
			Journeys: []synthetics.Journey{
				journey(t, "every", "@every 15s", "0s"), journey(t, "cron", "*/20 * * * * *", "0s"), journey(t, "asked", "", "0s"),
			},
			Run: l.run, OnResult: func(synthetics.Result) { results.Add(1) },
		})
		time.Sleep(61 * second) // the bubble's clock: no time passes
		stop()
		want := map[string][]time.Duration{"every": {15 * second, 30 * second, 45 * second, 60 * second}, "cron": {20 * second, 40 * second, 60 * second}}
		for name, at := range want {
			if diff := cmp.Diff(at, l.times(name)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
		if n := len(l.times("asked")); n != 0 {
			t.Errorf("the journey without a schedule ran %d times", n)
		}
		if diff := cmp.Diff(map[string]int64{"every": 0, "cron": 0, "asked": 0}, s.Skipped()); diff != "" {
			t.Errorf("skipped (-want +got):\n%s", diff)
		}
	})
}

func TestJitterPutsOffButDoesNotAddUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(0)
		_, stop := start(t, schedule.Options{
			Journeys: []synthetics.Journey{journey(t, "j", "@every 10s", "4s")},
			Run:      l.run, Rand: func(n int64) int64 { return n - 1 },
		})
		time.Sleep(35 * second)
		stop()
		almost := 4*second - 1
		if diff := cmp.Diff([]time.Duration{10*second + almost, 20*second + almost, 30*second + almost}, l.times("j")); diff != "" {
			t.Errorf("starts (-want +got):\n%s", diff)
		}
	})
}

func TestSlowRunsDoNotOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(25 * second)
		s, stop := start(t, schedule.Options{Journeys: []synthetics.Journey{journey(t, "j", "@every 10s", "0s")}, Run: l.run})
		time.Sleep(75 * second)
		stop()
		if diff := cmp.Diff([]time.Duration{10 * second, 40 * second, 70 * second}, l.times("j")); diff != "" {
			t.Errorf("starts (-want +got):\n%s", diff)
		}
		if got := s.Skipped()["j"]; got != 4 { // at 20, 30, 50 and 60 s
			t.Errorf("%d runs skipped, want 4", got)
		}
	})
}

func TestRunNowStartsAfterTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(5 * second)
		var told []int64
		s, stop := start(t, schedule.Options{
			Journeys: []synthetics.Journey{journey(t, "j", "@every 10s", "0s")}, Run: l.run,
			OnResult: func(r synthetics.Result) { told = append(told, r.StartMS) },
		})
		time.Sleep(11 * second) // a run is in progress since 10 s
		var wg sync.WaitGroup
		got := make([]synthetics.Result, 3)
		for i := range got {
			wg.Go(func() {
				r, err := s.RunNow(t.Context(), "j")
				if err != nil {
					t.Error(err)
				}
				got[i] = r
			})
		}
		wg.Wait()
		if at := time.Since(l.zero); at != 20*second {
			t.Errorf("answered after %v, want 20 s: the end of the run begun at 15 s", at)
		}
		for _, r := range got {
			if r.StartMS != 2 {
				t.Errorf("answered by run %d, want the second, which all share", r.StartMS)
			}
		}
		stop()
		if diff := cmp.Diff([]time.Duration{10 * second, 15 * second}, l.times("j")[:2]); diff != "" {
			t.Errorf("starts (-want +got):\n%s", diff)
		}
		if !slices.Equal(told[:2], []int64{1, 2}) {
			t.Errorf("results told: %v", told)
		}
	})
}

func TestRunNowFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(time.Hour)
		told := 0
		s, err := schedule.New(schedule.Options{
			Journeys: []synthetics.Journey{journey(t, "j", "", "0s")}, Run: l.run, OnResult: func(synthetics.Result) { told++ },
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.RunNow(t.Context(), "k"); err == nil || !strings.Contains(err.Error(), `no journey "k"`) {
			t.Errorf("an unknown journey: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var wg sync.WaitGroup
		for range 2 { // one runs, one waits; both give up
			wg.Go(func() {
				if _, err := s.RunNow(ctx, "j"); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("RunNow: %v", err)
				}
			})
		}
		wg.Wait()
		if n := len(l.times("j")); n != 1 || told != 0 {
			t.Errorf("%d runs, %d results told; want one run, cut short, that nobody hears of", n, told)
		}
	})
}

// TestWallClockThatIsSet moves the clock that the scheduler reads; its timers go
// on by elapsed time.
func TestWallClockThatIsSet(t *testing.T) {
	for _, tc := range []struct {
		name    string
		jump    time.Duration
		want    []time.Duration
		skipped int64
	}{
		{"back a day", -24 * time.Hour, []time.Duration{10 * second, 30 * second, 40 * second}, 0},
		{"ahead by 35 s", 35 * second, []time.Duration{10 * second, 20 * second, 25 * second, 35 * second, 45 * second}, 3},
		{"ahead a year", 365 * 24 * time.Hour, []time.Duration{10 * second, 20 * second, 30 * second, 40 * second}, 1000},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLog(0)
				var offset atomic.Int64
				s, stop := start(t, schedule.Options{
					Journeys: []synthetics.Journey{journey(t, "j", "@every 10s", "0s")}, Run: l.run,
					Now: func() time.Time { return time.Now().Add(time.Duration(offset.Load())) },
				})
				time.Sleep(12 * second)
				offset.Store(int64(tc.jump))
				time.Sleep(33*second + 500*time.Millisecond)
				stop()
				if diff := cmp.Diff(tc.want, l.times("j")); diff != "" {
					t.Errorf("starts (-want +got):\n%s", diff)
				}
				if got := s.Skipped()["j"]; got != tc.skipped {
					t.Errorf("%d skipped, want %d", got, tc.skipped)
				}
			})
		})
	}
}

func TestNewRefuses(t *testing.T) {
	run := newLog(0).run
	a := journey(t, "a", "@every 10s", "0s")
	for want, o := range map[string]schedule.Options{
		"Run is missing": {},
		"two journeys":   {Run: run, Journeys: []synthetics.Journey{a, a}},
		`journey "hand"`: {Run: run, Journeys: []synthetics.Journey{{Name: "hand"}}},
	} {
		if _, err := schedule.New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New: %v, want %q", err, want)
		}
	}
}
