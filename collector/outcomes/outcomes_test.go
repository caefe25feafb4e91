package outcomes

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"ghostlight/buffer/queue"
	"ghostlight/collector/sli"
	"ghostlight/collector/store"
	"ghostlight/slo"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a book that keeps what it counts, with the state beside it.
type memory struct {
	state   map[string][]byte
	counted []sli.Outcome

	mu   sync.Mutex
	fail error // guarded by mu
}

func (m *memory) failWith(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = err
}

func (m *memory) Outcomes(_ context.Context, o []sli.Outcome, extra queue.Commit) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	m.counted = append(m.counted, o...)
	for k, v := range extra.State {
		m.state[k] = v
	}
	return nil
}

func newReader(t *testing.T, l http.RoundTripper, m *memory) *Reader {
	t.Helper()
	r, err := New(Options{
		AdminURL: "http://edge/", Token: "secret", Book: m, Client: &http.Client{Transport: l},
		Load: func(key string) ([]byte, error) { return m.state[key], nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestFollowsTheLedgerItWasGiven(t *testing.T) {
	m := &memory{state: map[string][]byte{}}
	l := &ledger{id: "one"}
	for range 5 {
		l.add(time.Unix(100, 0), "payment", true, false)
	}
	r := newReader(t, l, m)
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Another ledger begins at its own beginning, the first goes on where it was.
	other := &ledger{id: "two"}
	other.add(time.Unix(100, 0), "order", true, false)
	r = newReader(t, other, m)
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.add(time.Unix(100, 0), "refund", true, false)
	r = newReader(t, l, m)
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, o := range m.counted {
		kinds = append(kinds, o.Kind)
	}
	if diff := cmp.Diff([]string{"payment", "payment", "payment", "payment", "payment", "order", "refund"}, kinds); diff != "" {
		t.Error(diff)
	}
	if _, ok := r.CaughtUp(); r.Status().Cursor != 6 || r.Status().Head != 6 || !ok {
		t.Errorf("status is %+v", r.Status())
	}
	l.rows = l.rows[:4]
	if err := r.Flush(t.Context()); err == nil || !strings.Contains(err.Error(), "restored from a copy") {
		t.Errorf("a ledger that lost its end gave %v", err)
	}
}

func TestRefusesWhatNoLedgerServes(t *testing.T) {
	for name, body := range map[string]string{
		"not JSON":     `<html>`,
		"no ledger":    `{"outcomes":[],"head":0}`,
		"out of order": `{"ledger":"x","outcomes":[{"seq":2},{"seq":1}],"head":2}`,
		"beyond head":  `{"ledger":"x","outcomes":[{"seq":2}],"head":1}`,
		"too long":     strings.Repeat(" ", bodyLimit+1),
	} {
		m := &memory{state: map[string][]byte{}}
		r := newReader(t, answer(body), m)
		if err := r.Flush(t.Context()); err == nil || len(m.counted) > 0 || r.Status().Up {
			t.Errorf("%s: error %v, counted %d, status %+v", name, err, len(m.counted), r.Status())
		}
	}
}

type answer string

func (a answer) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(string(a)))}, nil
}

// A refused commit leaves the cursor where it was, and Run tries again.
func TestRunRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{state: map[string][]byte{}, fail: errors.New("full")}
		l := &ledger{id: "one"}
		l.add(time.Unix(100, 0), "payment", false, false)
		r := newReader(t, l, m)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if _, ok := r.CaughtUp(); r.Status().Cursor != 0 || r.Status().Up || ok {
			t.Errorf("while full the status is %+v", r.Status())
		}
		m.failWith(nil)
		time.Sleep(maxRetry + minRetry)
		synctest.Wait()
		if st := r.Status(); st.Cursor != 1 || len(m.counted) != 1 || m.counted[0].Good {
			t.Errorf("status is %+v, counted %v", st, m.counted)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// A planned stop after a flush refuses what is read behind it. That is no trouble
// and says nothing; a full disk is and does.
func TestAnOrderlyStopIsQuiet(t *testing.T) {
	for err, want := range map[error]bool{store.ErrStopping: false, queue.ErrFull: true} {
		m := &memory{state: map[string][]byte{}, fail: fmt.Errorf("commit: %w", err)}
		l := &ledger{id: "one"}
		l.add(time.Unix(100, 0), "payment", true, false)
		r := newReader(t, l, m)
		var log bytes.Buffer
		r.log = slog.New(slog.NewTextHandler(&log, nil))
		if got := r.Flush(t.Context()); !errors.Is(got, err) {
			t.Fatalf("flush: %v", got)
		}
		if said := strings.Contains(log.String(), "WARN"); said != want {
			t.Errorf("%v: the log is %q", err, log.String())
		}
	}
}

// till is edgecore's side with a clock: it holds an empty answer back, and may hang.
type till struct {
	ledger
	mu   sync.Mutex
	hung bool // guarded by mu
}

func (l *till) hang(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hung = on
}

func (l *till) sell(at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.add(at, "payment", true, false)
}

func (l *till) fail(at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.add(at, "payment", false, false)
}

func (l *till) RoundTrip(r *http.Request) (*http.Response, error) {
	wait, err := time.ParseDuration(r.URL.Query().Get("wait"))
	if err != nil {
		return nil, err
	}
	for end := time.Now().Add(wait); ; time.Sleep(50 * time.Millisecond) {
		if err := r.Context().Err(); err != nil {
			return nil, err
		}
		l.mu.Lock()
		if after := fmt.Sprint(len(l.rows)); !l.hung && (after != r.URL.Query().Get("after") || !time.Now().Before(end)) {
			defer l.mu.Unlock()
			return l.ledger.RoundTrip(r)
		}
		l.mu.Unlock()
	}
}

// A minute closes only once the ledger was read to its end at a later moment: an
// edgecore that hangs keeps open the minute in which it sold unread, and closes it
// when it answers again.
func TestAMinuteClosesOnceItIsReadToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, disk := &till{ledger: ledger{id: "one"}}, &kept{state: map[string][]byte{}, buckets: map[int64]slo.Bucket{}}
		load := func(key string) ([]byte, error) {
			disk.mu.Lock()
			defer disk.mu.Unlock()
			return disk.state[key], nil
		}
		var r *Reader
		book, err := sli.New(sli.Options{
			Objectives: []slo.Objective{checkout}, Commit: disk, Load: load,
			OutcomesSeen: func() (time.Duration, bool) { return r.CaughtUp() },
		})
		if err != nil {
			t.Fatal(err)
		}
		if r, err = New(Options{AdminURL: "http://edge", Token: "secret", Book: book, Load: load, Client: &http.Client{Transport: l}}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		pass := func(d time.Duration) {
			t.Helper()
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(time.Second) {
				synctest.Wait()
				if err := book.Tick(ctx); err != nil {
					t.Fatal(err)
				}
			}
		}
		want := func(minute int64, total int64, open bool) {
			t.Helper()
			disk.mu.Lock()
			defer disk.mu.Unlock()
			if b, ok := disk.buckets[minute]; !ok || b.Total != total || b.Open != open || b.State != slo.Measured {
				t.Errorf("minute %d is %+v, want %d events, open %v", minute, b, total, open)
			}
		}
		first := slo.MinuteOf(time.Now())
		pass(30 * time.Second)
		l.sell(time.Now())
		pass(33 * time.Second)
		want(first, 1, false) // the answer behind the minute's end closes it
		pass(53 * time.Second)
		l.hang(true)
		l.sell(time.Now())
		pass(8 * time.Second) // the last answer is not 10 s old
		if _, ok := r.CaughtUp(); !ok {
			t.Error("the reader gave up early, so the minute is kept open by that alone")
		}
		want(first+1, 0, true)
		pass(3 * time.Minute)
		want(first+1, 0, true)
		l.hang(false)
		pass(12 * time.Second)
		want(first+1, 1, false)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// kept is a disk and the newest bucket of each minute on it.
type kept struct {
	state   map[string][]byte
	buckets map[int64]slo.Bucket
	mu      sync.Mutex
}

func (k *kept) Commit(_ context.Context, c queue.Commit) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for key, value := range c.State {
		k.state[key] = value
	}
	for _, e := range c.Entries {
		for _, record := range e.Batch.Records {
			if record.Kind != "slo.bucket" {
				continue
			}
			b, err := slo.DecodeBucket(record.Body)
			if err != nil {
				return err
			}
			if old, ok := k.buckets[b.Minute]; !ok || b.Supersedes(old) {
				k.buckets[b.Minute] = b
			}
		}
	}
	return nil
}
