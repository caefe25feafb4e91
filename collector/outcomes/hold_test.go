package outcomes

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"ghostlight/buffer/queue"
	"ghostlight/collector/sli"
)

// diary notes how many outcomes each commit has, and when it was.
type diary struct {
	began time.Time
	state map[string][]byte

	mu      sync.Mutex
	commits []commit // guarded by mu
}

type commit struct {
	After    time.Duration
	Outcomes int
}

func (d *diary) Outcomes(_ context.Context, o []sli.Outcome, extra queue.Commit) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.commits = append(d.commits, commit{time.Since(d.began).Round(500 * time.Millisecond), len(o)})
	for k, v := range extra.State {
		d.state[k] = v
	}
	return nil
}

// follow lets a reader follow l while f runs, and returns what was committed, the stop
// included. It begins with a minute.
func follow(t *testing.T, l http.RoundTripper, f func(*Reader)) []commit {
	t.Helper()
	time.Sleep(time.Until(time.Now().Truncate(time.Minute).Add(time.Minute)))
	d := &diary{began: time.Now(), state: map[string][]byte{}}
	r, err := New(Options{
		AdminURL: "http://edge", Token: "secret", Book: d, Client: &http.Client{Transport: l},
		Load: func(key string) ([]byte, error) { return d.state[key], nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	f(r)
	synctest.Wait()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	return d.commits
}

// What went well waits for others, to the end of its ten seconds; what went wrong
// takes along what waits.
func TestWhatWentWellWaitsForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &till{ledger: ledger{id: "one"}}
		got := follow(t, l, func(r *Reader) {
			for range 8 { // from 1.5 s to 22.5 s
				time.Sleep(1500 * time.Millisecond)
				l.sell(time.Now())
				time.Sleep(1500 * time.Millisecond)
				synctest.Wait()
				if ago, ok := r.CaughtUp(); !ok || ago > holdFor+time.Second {
					t.Errorf("caught up: %v, %v ago; the ledger is read to its end", ok, ago)
				}
			}
			l.fail(time.Now())
			time.Sleep(time.Second)
			l.sell(time.Now())
			time.Sleep(time.Second) // and it is stopped
		})
		// What is read first after a start waits for nothing: it says where the reader
		// stands. The till looks every 50 ms.
		want := []commit{{1500 * time.Millisecond, 1}, {10 * time.Second, 2}, {20 * time.Second, 4}, {24 * time.Second, 2}, {26 * time.Second, 1}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

// What journeys leave in the ledger waits for the end of the minute, or for a customer.
func TestWhatJourneysDidWaitsForTheMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &till{ledger: ledger{id: "one"}}
		journey := func(d time.Duration) {
			time.Sleep(d)
			l.mu.Lock()
			defer l.mu.Unlock()
			l.add(time.Now(), "payment", false, true)
		}
		got := follow(t, l, func(*Reader) {
			for range 5 {
				journey(15 * time.Second) // the fourth comes with the minute's end
			}
			l.sell(time.Now())
			time.Sleep(10 * time.Second)
		})
		// Only what customers do is handed to the book.
		want := []commit{{60 * time.Second, 0}, {80 * time.Second, 1}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

// An edgecore that dies takes nothing along that was read.
func TestWhatIsHeldIsStoredWhenEdgecoreIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &till{ledger: ledger{id: "one"}}
		got := follow(t, l, func(r *Reader) {
			time.Sleep(time.Second)
			l.sell(time.Now())
			time.Sleep(time.Second)
			l.sell(time.Now())
			time.Sleep(time.Second)
			l.hang(true)
			time.Sleep(15 * time.Second)
			synctest.Wait()
			if st := r.Status(); st.Up || st.Cursor != 2 || !strings.Contains(st.Err, "deadline") {
				t.Errorf("status is %+v", st)
			}
			l.hang(false)
		})
		if len(got) != 2 || got[1].Outcomes != 1 {
			t.Errorf("commits %v, want the second outcome by itself", got)
		}
	})
}
