// Package edgecore is the reference venue node: it sells tickets and drinks, takes
// payments and relays the show, with or without its uplink; and in its other role
// it is the regional hub those nodes settle with. This package holds the
// configuration and wires the rooms below it.
//
// What the rooms guarantee together is written in DESIGN.md. It knows nothing of
// whoever observes it.
package edgecore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"ghostlight/edgecore/httpapi"
	"ghostlight/edgecore/tracing"
	"ghostlight/internal/daemon"
)

// An App is one edgecore process in one of its roles.
type App struct {
	cfg   Config
	log   *slog.Logger
	now   func() time.Time
	start time.Time

	registry *prometheus.Registry
	requests *httpapi.Metrics
	tracing  *tracing.Provider
	public   net.Listener
	admin    net.Listener // nil for a hub
	release  []func() error
}

// A role is what an App does once it has its folder and its addresses.
type role interface {
	// run serves until ctx ends and everything it started has ended.
	run(ctx context.Context) error
}

// New takes the data folder and the addresses that cfg names. Errors are
// sentences for the person who starts the program.
func New(ctx context.Context, cfg Config, log *slog.Logger) (_ *App, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	a := &App{cfg: cfg, log: log, now: time.Now, start: time.Now(), registry: prometheus.NewRegistry()}
	defer func() {
		if err != nil {
			a.Close() //nolint:errcheck // the cause is what matters
		}
	}()
	unlock, err := daemon.Lock(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	a.release = append(a.release, func() error { unlock(); return nil })
	if a.public, err = daemon.Listen(ctx, cfg.Listen); err != nil {
		return nil, err
	}
	a.release = append(a.release, closeListener(a.public))
	if cfg.Role == RoleNode {
		if a.admin, err = daemon.Listen(ctx, cfg.Admin.Listen); err != nil {
			return nil, err
		}
		a.release = append(a.release, closeListener(a.admin))
	}
	a.tracing, err = tracing.New(ctx, tracing.Options{
		Endpoint: cfg.OTLP.Endpoint, Ratio: cfg.OTLP.SampleRatio, Name: cfg.Name, Version: daemon.Version, Log: log,
	})
	if err != nil {
		return nil, err
	}
	a.requests = httpapi.NewMetrics(a.registry)
	registerProcess(a.registry, cfg.Role)
	return a, nil
}

// closeListener closes one that no server has closed before.
func closeListener(ln net.Listener) func() error {
	return func() error {
		if err := ln.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("close listener: %w", err)
		}
		return nil
	}
}

// Addr is the address of the public API.
func (a *App) Addr() string { return a.public.Addr().String() }

// AdminAddr is the address of the admin API; empty for a hub.
func (a *App) AdminAddr() string {
	if a.admin == nil {
		return ""
	}
	return a.admin.Addr().String()
}

// Close gives back what [New] took; [App.Run] does so by itself.
func (a *App) Close() error {
	var errs []error
	for i := len(a.release) - 1; i >= 0; i-- {
		errs = append(errs, a.release[i]())
	}
	a.release = nil
	return errors.Join(errs...)
}

// traceGrace is how long the last spans have to leave at the end.
const traceGrace = 500 * time.Millisecond

// Run plays the role until ctx ends, within about two seconds from then.
func (a *App) Run(ctx context.Context) (err error) {
	defer func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), traceGrace)
		defer cancel()
		err = errors.Join(err, a.tracing.Shutdown(grace), a.Close())
	}()
	open := a.openNode
	if a.cfg.Role == RoleHub {
		open = a.openHub
	}
	r, err := open(context.WithoutCancel(ctx)) // being asked to stop is no error
	if err != nil {
		return err
	}
	a.log.Info("edgecore runs", "role", a.cfg.Role, "name", a.cfg.Name, "addr", a.Addr(), "admin_addr", a.AdminAddr(), "version", daemon.Version)
	err = r.run(ctx)
	a.log.Info("edgecore stopped", "role", a.cfg.Role, "name", a.cfg.Name)
	return err
}

// router returns a router for one listener.
func (a *App) router() *httpapi.Router {
	return httpapi.NewRouter(a.requests, a.tracing.Tracer(), a.log)
}

// metricsHandler serves the registry.
func (a *App) metricsHandler() http.Handler {
	return promhttp.HandlerFor(a.registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
}

// together runs all of runs until ctx ends or one of them fails, then waits for
// the rest.
func together(ctx context.Context, runs ...func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, len(runs))
	var wg sync.WaitGroup
	for i, run := range runs {
		wg.Go(func() {
			if errs[i] = run(ctx); errs[i] != nil {
				cancel()
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
