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
	if st := r.Status(); st.Cursor != 6 || st.Head != 6 || !r.CaughtUp() {
		t.Errorf("status is %+v", st)
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
		if st := r.Status(); st.Cursor != 0 || st.Up || r.CaughtUp() {
			t.Errorf("while full the status is %+v", st)
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
