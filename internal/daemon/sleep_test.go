package daemon_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"ghostlight/internal/daemon"
)

func TestSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		if !daemon.Sleep(t.Context(), time.Minute) || time.Since(start) != time.Minute {
			t.Errorf("slept %s, want a minute", time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if daemon.Sleep(ctx, time.Minute) || time.Since(start) != time.Minute+time.Second {
			t.Errorf("a context's end was not heard: %s", time.Since(start))
		}
		if daemon.Sleep(ctx, -time.Minute) || !daemon.Sleep(t.Context(), -time.Minute) {
			t.Error("what is over already must say whether the context is")
		}
	})
}
