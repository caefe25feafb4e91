package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"time"
)

// Listen opens a TCP listener. Errors say which address and what to do.
func Listen(ctx context.Context, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", addr)
	switch {
	case err == nil:
		return ln, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("address %s is taken by another process: stop that one or configure another port", addr)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("address %s may not be opened by this user: configure a port above 1023", addr)
	}
	return nil, fmt.Errorf("listen on %s: %w", addr, err)
}

// Limits of every server: a client that dribbles its request is cut off.
const (
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 2 * time.Minute
	stopGrace         = 3 * time.Second
)

// Serve answers HTTP on ln until ctx ends, then lets running requests finish for
// up to three seconds. Requests see a context that ends with ctx, so streams stop
// at once. Tune changes the server before it begins.
func Serve(ctx context.Context, ln net.Listener, h http.Handler, tune ...func(*http.Server)) error {
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	for _, change := range tune {
		change(srv)
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
		defer cancel()
		if srv.Shutdown(grace) != nil {
			srv.Close()
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
