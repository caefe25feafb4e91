package sli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/queue"
	"ghostlight/collector/store"
	"ghostlight/slo"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a buffer: state, and the best bucket of each minute.
type memory struct {
	mu      sync.Mutex // guards all but fail, which changes while nobody runs
	state   map[string][]byte
	buckets map[string]slo.Bucket
	kinds   map[string]int
	fail    error
	before  func() error // asked before and after storing, if set
	after   func() error
	ledger  []Outcome // of edgecore
	t       rapid.TB
}

func newMemory(t rapid.TB) *memory {
	return &memory{state: map[string][]byte{}, buckets: map[string]slo.Bucket{}, kinds: map[string]int{}, t: t}
}

func (m *memory) Commit(_ context.Context, c queue.Commit) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	if m.before != nil {
		if err := m.before(); err != nil {
			return err
		}
	}
	for k, v := range c.State {
		if v == nil {
			delete(m.state, k)
		} else {
			m.state[k] = v
		}
	}
	for _, e := range c.Entries {
		for _, r := range e.Batch.Records {
			m.kinds[r.Kind+" in "+e.Lane.String()]++
			if r.Kind != "slo.bucket" {
				continue
			}
			b, err := slo.DecodeBucket(r.Body)
			if err != nil || r.Key != b.Key() {
				m.t.Errorf("bucket %s: %v", r.Key, err)
			}
			if old, ok := m.buckets[b.Key()]; !ok || b.Supersedes(old) {
				m.buckets[b.Key()] = b
			}
		}
	}
	if m.after != nil {
		return m.after()
	}
	return nil
}

func (m *memory) load(key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state[key], nil
}

// sum adds up the minutes of an objective by state.
func (m *memory) sum(name string) (good, total int64, gaps int) {
	for _, b := range m.buckets {
		if b.Objective != name {
			continue
		}
		good, total = good+b.Good, total+b.Total
		if b.State == slo.Gap {
			gaps++
		}
	}
	return good, total, gaps
}

func objective(name string, i slo.Indicator) slo.Objective {
	return slo.Objective{
		Name: name, Target: 0.9, Budgeting: slo.Occurrences, Indicator: i, Hash: slo.IndicatorHash(name, i),
		Window: slo.Window{Count: 28, Unit: 'd', Rolling: true}, Document: []byte(`{"name":"` + name + `"}`),
	}
}

var (
	payments = objective("payments", slo.Indicator{Outcome: &slo.OutcomeIndicator{Kind: "payment"}})
	walks    = objective("visits", slo.Indicator{Journey: &slo.JourneyIndicator{Name: "visit"}})
)

func newBook(t *testing.T, m *memory) *Book {
	t.Helper()
	b, err := New(Options{
		Objectives: []slo.Objective{payments, walks}, Commit: m, Load: m.load,
		OutcomesSeen: func() (time.Duration, bool) { return 0, true }, Evidence: func(string) slo.Evidence { return slo.JourneyPassing },
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func journeyRun() queue.Commit {
	return queue.Commit{Entries: []queue.Entry{{Lane: buffer.Health, Batch: delta.Batch{Records: []delta.Record{{Kind: "journey.run"}}}}}}
}

func TestRunTellsMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(t)
		b := newBook(t, m)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- b.Run(ctx) }()
		for i := range 12 {
			if err := b.Outcomes(ctx, []Outcome{{At: time.Now(), Kind: "payment", Good: i > 0}, {At: time.Now(), Kind: "order"}}, queue.Commit{State: map[string][]byte{"cursor": {byte(i)}}}); err != nil {
				t.Fatal(err)
			}
			if err := b.Journey(ctx, "visit", time.Now(), true, journeyRun()); err != nil {
				t.Fatal(err)
			}
			if err := b.Journey(ctx, "another", time.Now(), false, journeyRun()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Second)
		}
		synctest.Wait()
		if good, total, _ := m.sum("payments"); good != 11 || total != 12 {
			t.Errorf("payments are %d of %d", good, total)
		}
		if good, total, gaps := m.sum("visits"); good != 12 || total != 12 || gaps != 0 {
			t.Errorf("visits are %d of %d with %d gaps", good, total, gaps)
		}
		if diff := cmp.Diff([]byte{11}, m.state["cursor"]); diff != "" {
			t.Error(diff)
		}
		if m.kinds["slo.objective in revenue"] != 2 || m.kinds["journey.run in health"] != 24 || m.kinds["slo.bucket in health"] != 0 {
			t.Errorf("stored %v", m.kinds)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// While nobody runs, journeys leave declared gaps; outcomes read afterwards are
// counted into the minutes they happened in.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(t)
		live := func(d time.Duration) {
			ctx, cancel := context.WithCancel(t.Context())
			b, done := newBook(t, m), make(chan error)
			go func() { done <- b.Run(ctx) }()
			time.Sleep(d)
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			if err := b.Settle(t.Context()); err != nil {
				t.Error(err)
			}
		}
		live(3 * time.Minute)
		died := time.Now()
		time.Sleep(10 * time.Minute)
		late := newBook(t, m)
		if err := late.Outcomes(t.Context(), []Outcome{{At: died.Add(5 * time.Minute), Kind: "payment", Good: true}}, queue.Commit{}); err != nil {
			t.Fatal(err)
		}
		live(2 * time.Minute)
		if _, _, gaps := m.sum("visits"); gaps != 9 {
			t.Errorf("%d gaps after ten minutes away, want the 9 whole ones", gaps)
		}
		if _, total, gaps := m.sum("payments"); total != 1 || gaps != 0 {
			t.Errorf("payments have %d events and %d gaps", total, gaps)
		}
		b := m.buckets[slo.Bucket{Objective: "payments", Minute: slo.MinuteOf(died.Add(5 * time.Minute))}.Key()]
		if b.Total != 1 || b.State != slo.Measured {
			t.Errorf("the minute of the late outcome is %+v", b)
		}
	})
}

// The centre waits for an objective from its announcement on. An agent that dies right
// after it owes an answer for the time until it comes back.
func TestDeathBehindTheAnnouncement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(t)
		ended, end := context.WithCancel(t.Context())
		end()
		if err := newBook(t, m).Run(ended); err != nil {
			t.Fatal(err)
		}
		died := slo.MinuteOf(time.Now())
		time.Sleep(10 * time.Minute)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- newBook(t, m).Run(ctx) }()
		time.Sleep(2 * time.Minute)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		for minute := died + 1; minute < died+10; minute++ {
			if b, ok := m.buckets[slo.Bucket{Objective: "visits", Minute: minute}.Key()]; !ok || b.State != slo.Gap {
				t.Errorf("minute %d is told as %+v, want a gap", minute-died, b)
			}
		}
	})
}

// Outcomes that could not be stored are not counted, for they come again; runs
// are, for they do not.
func TestFullBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(t)
		b := newBook(t, m)
		m.fail = queue.ErrFull
		batch := []Outcome{{At: time.Now(), Kind: "payment", Good: true}}
		for range 3 {
			if err := b.Outcomes(t.Context(), batch, queue.Commit{}); !errors.Is(err, queue.ErrFull) {
				t.Fatalf("outcomes returned %v", err)
			}
		}
		if err := b.Journey(t.Context(), "visit", time.Now(), false, journeyRun()); !errors.Is(err, queue.ErrFull) {
			t.Fatalf("journey returned %v", err)
		}
		m.fail = nil
		if err := b.Outcomes(t.Context(), batch, queue.Commit{}); err != nil {
			t.Fatal(err)
		}
		if err := b.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, total, _ := m.sum("payments"); total != 1 {
			t.Errorf("payments count %d, want 1", total)
		}
		if _, total, _ := m.sum("visits"); total != 1 {
			t.Errorf("visits count %d, want 1", total)
		}
	})
}

// Settle tells the open minute even if it was told a moment ago.
func TestSettleTellsTheOpenMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(t)
		b := newBook(t, m)
		for i := range 3 {
			if err := b.Outcomes(t.Context(), []Outcome{{At: time.Now(), Kind: "payment", Good: true}}, queue.Commit{}); err != nil {
				t.Fatal(err)
			}
			if err := b.Settle(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, total, _ := m.sum("payments"); total != int64(i+1) {
				t.Fatalf("after %d outcomes the centre would know %d", i+1, total)
			}
		}
	})
}

// A planned stop after a flush refuses what comes behind it. That is no trouble
// and says nothing; a full disk is and does.
func TestAnOrderlyStopIsQuiet(t *testing.T) {
	for err, want := range map[error]bool{store.ErrStopping: false, queue.ErrFull: true} {
		m := newMemory(t)
		b := newBook(t, m)
		var log bytes.Buffer
		b.log = slog.New(slog.NewTextHandler(&log, nil))
		m.fail = fmt.Errorf("commit: %w", err)
		if got := b.Journey(t.Context(), "visit", time.Now(), true, journeyRun()); !errors.Is(got, err) {
			t.Fatalf("journey: %v", got)
		}
		if said := log.Len() > 0; said != want {
			t.Errorf("%v: the log is %q", err, log.String())
		}
	}
}
