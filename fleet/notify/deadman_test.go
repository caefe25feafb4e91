package notify

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestDeadManIsToldWhileTheCentreWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		var told []string
		var broken, refuses atomic.Bool
		d := &DeadMan{
			URL: "http://watcher.test/ping", Method: http.MethodGet, Every: 30 * time.Second,
			Working: func(context.Context) error {
				if broken.Load() {
					return errors.New("the state cannot be read")
				}
				return nil
			},
			Client: &http.Client{Transport: overNet{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				told = append(told, r.Method+" "+r.URL.Path+" "+time.Since(begun).String())
				if refuses.Load() {
					w.WriteHeader(http.StatusBadGateway)
				}
			})}},
			Log: slog.New(slog.DiscardHandler),
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- d.Run(ctx) }()
		pass := func(d time.Duration) {
			time.Sleep(d)
			synctest.Wait()
		}
		pass(40 * time.Second)
		broken.Store(true)
		pass(time.Minute)
		broken.Store(false)
		refuses.Store(true) // it goes on trying
		pass(70 * time.Second)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
		if diff := cmp.Diff([]string{"GET /ping 0s", "GET /ping 30s", "GET /ping 2m0s", "GET /ping 2m30s"}, told); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
	})
}

func TestDeadManIsRefused(t *testing.T) {
	works := func(context.Context) error { return nil }
	for name, d := range map[string]DeadMan{
		"no address":   {Working: works},
		"a bad method": {URL: "http://x/", Method: "PUT", Working: works},
		"too often":    {URL: "http://x/", Every: time.Millisecond, Working: works},
		"no check":     {URL: "http://x/"},
	} {
		if err := d.Run(t.Context()); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
