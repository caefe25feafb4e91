package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Limits of every server: a client that dribbles its request or does not read
// its answer is cut off.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	writeTimeout      = 60 * time.Second // longer than the longest long poll
	idleTimeout       = 90 * time.Second
	maxHeaderBytes    = 32 << 10
	stopGrace         = 1500 * time.Millisecond
)

// MaxWait bounds a long poll.
const MaxWait = 30 * time.Second

// Serve answers HTTP on ln until ctx ends. Requests then running keep an intact
// context and have stopGrace to finish, so that a sale in progress is answered;
// streams and long polls must watch ctx themselves.
func Serve(ctx context.Context, ln net.Listener, h http.Handler, log *slog.Logger) error {
	requests, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		BaseContext:       func(net.Listener) context.Context { return requests },
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		grace, cancelGrace := context.WithTimeout(requests, stopGrace)
		defer cancelGrace()
		if srv.Shutdown(grace) != nil {
			cancel()
			srv.Close() //nolint:errcheck // the process is ending
		}
	})
	err := srv.Serve(ln)
	if !stop() {
		<-stopped
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve %s: %w", ln.Addr(), err)
}
