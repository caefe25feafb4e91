package cache

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// tb is what testing.T and rapid.T have in common here.
type tb interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// hubStub is an origin that can be cut off.
type hubStub struct {
	mu      sync.Mutex
	away    bool
	objects map[string]string
	fetches int
	block   chan struct{} // if set, fetches wait for it
}

func (h *hubStub) Fetch(ctx context.Context, key, etag string) (Object, error) {
	h.mu.Lock()
	block := h.block
	h.mu.Unlock()
	if block != nil {
		<-block
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fetches++
	body, ok := h.objects[key]
	switch {
	case h.away:
		return Object{}, errors.New("connection refused")
	case !ok:
		return Object{}, ErrNotFound
	case etag == tag(body):
		return Object{}, ErrNotModified
	}
	return Object{ETag: tag(body), ContentType: "application/json", Body: []byte(body)}, nil
}

func tag(body string) string { return fmt.Sprintf("%q", "v-"+body) }

func (h *hubStub) set(away bool, objects map[string]string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.away = away
	if objects != nil {
		h.objects = objects
	}
}

func (h *hubStub) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.fetches
}

// clock is a clock the test sets.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func open(t tb, dir string, hub Origin, now func() time.Time) *Cache {
	t.Helper()
	c, err := New(Options{Dir: dir, Origin: hub, TTL: 30 * time.Second, MaxStale: time.Hour, VerifyInterval: 10 * time.Second, Now: now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newClock() *clock { return &clock{now: time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC)} }

func file(dir, key string) string {
	return filepath.Join(dir, "objects", hex.EncodeToString([]byte(key)))
}

// flip inverts one bit of a stored object, as a failing disk does.
func flip(t tb, path string, at int) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	raw[at%len(raw)] ^= 1 << (at % 8)
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

func expect(t tb, c *Cache, key, body string, from Result) {
	t.Helper()
	obj, got, err := c.Get(context.Background(), key)
	if err != nil || string(obj.Body) != body || got != from {
		t.Fatalf("%s: %q, %s, %v; want %q, %s", key, obj.Body, got, err, body, from)
	}
}

func expectErr(t tb, c *Cache, key string, want error) {
	t.Helper()
	if obj, _, err := c.Get(context.Background(), key); !errors.Is(err, want) {
		t.Fatalf("%s: %q, %v; want %v", key, obj.Body, err, want)
	}
}

func TestReadThrough(t *testing.T) {
	hub, now, dir := &hubStub{objects: map[string]string{"catalog": "1"}}, newClock(), t.TempDir()
	c := open(t, dir, hub, now.Now)
	expect(t, c, "catalog", "1", Miss)
	expect(t, c, "catalog", "1", Hit)
	if hub.count() != 1 {
		t.Fatalf("%d fetches", hub.count())
	}
	now.add(31 * time.Second)
	expect(t, c, "catalog", "1", Hit) // confirmed by the hub
	expect(t, c, "catalog", "1", Hit) // and fresh again
	if hub.count() != 2 {
		t.Fatalf("%d fetches", hub.count())
	}
	hub.set(false, map[string]string{"catalog": "2"})
	now.add(31 * time.Second)
	expect(t, c, "catalog", "2", Miss)
	hub.set(false, map[string]string{})
	now.add(31 * time.Second)
	expectErr(t, c, "catalog", ErrNotFound)
	hub.set(true, nil)
	expectErr(t, c, "catalog", ErrUnavailable) // withdrawn, so not served stale
	expectErr(t, c, "../ledger.db", ErrNotFound)
}

func TestStaleWhileTheHubIsAwayEvenAfterARestart(t *testing.T) {
	hub, now, dir := &hubStub{objects: map[string]string{"catalog": "1"}}, newClock(), t.TempDir()
	c := open(t, dir, hub, now.Now)
	expect(t, c, "catalog", "1", Miss)
	hub.set(true, nil)
	now.add(31 * time.Second)
	expect(t, c, "catalog", "1", Stale)
	asked := hub.count()
	for range 20 {
		expect(t, c, "catalog", "1", Stale)
	}
	if hub.count() != asked {
		t.Fatalf("an absent hub was asked %d times at once", hub.count()-asked+1)
	}
	c = open(t, dir, hub, now.Now)
	expect(t, c, "catalog", "1", Stale)
	now.add(2 * time.Hour)
	expectErr(t, c, "catalog", ErrUnavailable)
	hub.set(false, nil)
	now.add(restTime)
	expect(t, c, "catalog", "1", Hit)
}

func TestCorruptObjectIsAMissAndNeverServed(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		hub, now := &hubStub{objects: map[string]string{"catalog": "price 100"}}, newClock()
		c := open(t, dir, hub, now.Now)
		expect(rt, c, "catalog", "price 100", Miss)
		switch rapid.IntRange(0, 2).Draw(rt, "damage") {
		case 0:
			flip(t, file(dir, "catalog"), rapid.IntRange(0, 1000).Draw(rt, "at"))
		case 1:
			if err := os.Truncate(file(dir, "catalog"), rapid.Int64Range(0, 60).Draw(rt, "size")); err != nil {
				rt.Fatal(err)
			}
		case 2: // a good object under another's name
			if err := c.store.write("other", Object{Body: []byte("price 1")}, now.Now()); err != nil {
				rt.Fatal(err)
			}
			if err := os.Rename(file(dir, "other"), file(dir, "catalog")); err != nil {
				rt.Fatal(err)
			}
		}
		if rapid.Bool().Draw(rt, "away") {
			hub.set(true, nil)
			expectErr(rt, c, "catalog", ErrUnavailable)
			hub.set(false, nil)
			now.add(restTime)
		}
		expect(rt, c, "catalog", "price 100", Miss)
		if _, n := c.counts(); n != 1 {
			rt.Fatalf("corrupt objects %d, want 1 until the repair", n)
		}
		report, err := c.Repair(context.Background())
		if err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(Report{Objects: 1, Corrupt: 1, Refetched: 1}, report); diff != "" {
			rt.Fatal(diff)
		}
		expect(rt, c, "catalog", "price 100", Hit)
		if _, n := c.counts(); n != 0 {
			rt.Fatalf("corrupt objects %d after the repair", n)
		}
	})
}

func TestVerifierFindsCorruptionWithinItsInterval(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		objects := map[string]string{}
		for i := range 25 {
			objects[fmt.Sprintf("catalog/%d", i)] = fmt.Sprint(i)
		}
		hub := &hubStub{objects: objects}
		c := open(t, dir, hub, time.Now)
		for key, body := range objects {
			expect(t, c, key, body, Miss)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		time.Sleep(3 * time.Second) // in the bubble's clock: somewhere within a round
		synctest.Wait()
		for i := range 5 {
			flip(t, file(dir, fmt.Sprintf("catalog/%d", i*5)), 40)
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if _, corrupt := c.counts(); corrupt != 5 {
			t.Errorf("found %d corrupt objects, want 5", corrupt)
		}
		hub.set(true, nil)
		if r, err := c.Repair(ctx); err != nil || r.Failed != 5 || r.Corrupt != 5 {
			t.Errorf("repair without a hub: %+v, %v", r, err)
		}
		hub.set(false, nil)
		if r, err := c.Repair(ctx); err != nil || r.Refetched != 5 || r.Failed != 0 {
			t.Errorf("repair: %+v, %v", r, err)
		}
		if _, corrupt := c.counts(); corrupt != 0 {
			t.Errorf("%d corrupt objects after the repair", corrupt)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestObjectsTooOldToServeAreRemoved(t *testing.T) {
	hub, now, dir := &hubStub{objects: map[string]string{"catalog": "1", "catalog/a": "2"}}, newClock(), t.TempDir()
	c := open(t, dir, hub, now.Now)
	expect(t, c, "catalog/a", "2", Miss)
	now.add(59 * time.Minute)
	expect(t, c, "catalog", "1", Miss)
	now.add(2 * time.Minute)
	r, err := c.Verify(t.Context())
	if diff := cmp.Diff(Report{Objects: 1}, r); diff != "" || err != nil {
		t.Fatal(diff, err)
	}
}

func TestManyReadersShareOneFetch(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		hub := &hubStub{objects: map[string]string{"catalog": "1"}, block: make(chan struct{})}
		c := open(t, dir, hub, time.Now)
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if obj, _, err := c.Get(t.Context(), "catalog"); err != nil || string(obj.Body) != "1" {
					t.Errorf("%q, %v", obj.Body, err)
				}
			})
		}
		synctest.Wait()
		close(hub.block)
		wg.Wait()
		if hub.count() != 1 {
			t.Errorf("%d fetches for one object", hub.count())
		}
	})
}

func TestHalfWrittenObjectsAreRemovedAtStart(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, &hubStub{}, time.Now)
	if err := os.WriteFile(filepath.Join(dir, "objects", "123.tmp"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, dir, &hubStub{}, time.Now)
	left, err := os.ReadDir(filepath.Join(dir, "objects"))
	if err != nil || len(left) != 0 {
		t.Fatalf("%v, %v", left, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("short"))
	f.Add(make([]byte, 64))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if _, err := parse("catalog", raw); err != nil && !errors.Is(err, errCorrupt) {
			t.Fatalf("unexpected error %v", err)
		}
	})
}
