// Package agent is the node's telemetry agent: an OpenTelemetry Collector
// distribution in code, together with the rooms that keep watch over a venue.
//
// It guarantees that it goes on, and heals, and serves its page, whatever the
// uplink does; that what it has acknowledged survives its death at any point; and
// that a stop leaves everything it was given in the buffer. See DESIGN.md beside
// the collector's rooms for the data flow and the crash points.
package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/otelcol"
	"golang.org/x/sync/errgroup"

	"ghostlight/buffer/queue"
	"ghostlight/collector/config"
	"ghostlight/collector/page"
	"ghostlight/internal/daemon"
)

const (
	// gcPercent trades processor time for memory: a node has little of either,
	// and the agent allocates in short bursts.
	gcPercent = 50
	// stopStore bounds how long a stop may take to write what is in memory, and
	// stopSend how long it may go on sending.
	stopStore = 5 * time.Second
	stopSend  = 2 * time.Second
)

// Options configure an [Agent].
type Options struct {
	Config *config.Config
	Render func(w io.Writer, s page.Status) error // the node's HTML page
	Log    *slog.Logger                           // nil: silent
}

// An Agent runs one node.
type Agent struct {
	cfg    *config.Config
	render func(w io.Writer, s page.Status) error
	log    *slog.Logger
}

// New checks that the collector understands the configuration, raw parts
// included.
func New(ctx context.Context, o Options) (*Agent, error) {
	if o.Config == nil || o.Render == nil {
		return nil, errors.New("agent: a configuration and a page are needed")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if err := Check(ctx, o.Config); err != nil {
		return nil, err
	}
	return &Agent{cfg: o.Config, render: o.Render, log: o.Log}, nil
}

// Run watches the node until ctx ends. It takes the data folder and the ports
// first: an error about them is a sentence that says what to do.
func (a *Agent) Run(ctx context.Context) error {
	debug.SetMemoryLimit(int64(a.cfg.MemoryLimit))
	debug.SetGCPercent(gcPercent)
	release, err := daemon.Lock(a.cfg.DataDir)
	if err != nil {
		return err
	}
	defer release()
	ln, err := a.listen(ctx)
	if err != nil {
		return err
	}
	defer ln.Close()
	q, err := queue.Open(ctx, queue.Options{
		Dir: filepath.Join(a.cfg.DataDir, "buffer"), DiskBudget: int64(a.cfg.Buffer.DiskBudget),
		RevenueReserve: int64(a.cfg.Buffer.RevenueReserve), Log: a.log,
	})
	if errors.Is(err, queue.ErrFull) {
		return fmt.Errorf("data folder %s: the disk is full; free some space and start again", a.cfg.DataDir)
	}
	if err != nil {
		return err
	}
	defer q.Close()
	n, err := a.build(ctx, q, ln.Addr().String())
	if err != nil {
		return err
	}
	a.log.Info("agent started", "version", daemon.Version, "node", a.cfg.Node.Source().String(), "page", "http://"+ln.Addr().String())
	err = n.run(ctx, ln)
	a.log.Info("agent stopped")
	return err
}

// listen opens the page's port and makes sure that those of OTLP are free: the
// collector's own message would not say what to do.
func (a *Agent) listen(ctx context.Context) (net.Listener, error) {
	for _, addr := range []string{a.cfg.OTLP.GRPC, a.cfg.OTLP.HTTP} {
		if addr == "" {
			continue
		}
		ln, err := daemon.Listen(ctx, addr)
		if err != nil {
			return nil, err
		}
		ln.Close()
	}
	return daemon.Listen(ctx, a.cfg.Page.Listen)
}

// run runs the node's rooms. Producers stop first, so that what they still hold
// is stored; the forwarder last, so that it may still be sent.
func (n *node) run(ctx context.Context, ln net.Listener) error {
	col, err := n.collector()
	if err != nil {
		return err
	}
	stopEnd := context.AfterFunc(ctx, n.sink.End)
	defer stopEnd()
	sendCtx, stopSending := context.WithCancel(context.WithoutCancel(ctx))
	defer stopSending()
	var sending sync.WaitGroup
	var sendErr error
	g, gctx := errgroup.WithContext(ctx)
	sending.Go(func() {
		if sendErr = n.forward.Run(sendCtx); sendErr != nil {
			n.log.Error("sending to the fleet has ended", "err", sendErr)
		}
	})
	g.Go(func() error { return n.cfgError(col.Run(gctx)) })
	g.Go(func() error { return n.book.Run(gctx) })
	g.Go(func() error { return n.tail.Run(gctx) })
	g.Go(func() error { return n.monitor.Run(gctx) })
	g.Go(func() error { return n.healer.Run(gctx) })
	g.Go(func() error { return n.incidents.Run(gctx) })
	g.Go(func() error { return n.watch(gctx) })
	g.Go(func() error { return n.tidy(gctx) })
	g.Go(func() error { return daemon.Serve(gctx, ln, n.page) })
	err = g.Wait()
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = nil
	}
	n.settle(context.WithoutCancel(ctx))
	n.sendRest(sendCtx)
	stopSending()
	sending.Wait()
	return errors.Join(err, sendErr)
}

// settle stores what the rooms still have in memory.
func (n *node) settle(ctx context.Context) {
	n.releaseHold()
	ctx, cancel := context.WithTimeout(ctx, stopStore)
	defer cancel()
	if err := n.tail.Flush(ctx); err != nil {
		n.log.Warn("the last spans and log lines could not be stored", "err", err)
	}
	if err := n.book.Settle(ctx); err != nil {
		n.log.Warn("the last SLI buckets could not be stored", "err", err)
	}
	n.incidents.Step(ctx) //nolint:errcheck // said by the room; what is not stored comes of the buckets again
}

// sendRest gives the forwarder a moment to empty the buffer.
func (n *node) sendRest(ctx context.Context) {
	if !n.forward.Status().Up {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, stopSend)
	defer cancel()
	n.waitDrained(ctx)
}

// collector builds the collector service around the rooms.
func (n *node) collector() (*otelcol.Collector, error) {
	p := producers{scrape: n.scraper.Run, journeys: n.journeys.Run, seed: n.seed()}
	if n.outcomes != nil {
		p.outcomes = n.outcomes.Run
	}
	return otelcol.NewCollector(otelcol.CollectorSettings{
		Factories: func() (otelcol.Factories, error) {
			return factories(p, n.sink.Exporter(time.Now), collectorTelemetry(n.log))
		},
		BuildInfo:               component.BuildInfo{Command: "ghostlight-agent", Description: "Ghostlight agent", Version: daemon.Version},
		ConfigProviderSettings:  providerSettings(n.cfg),
		DisableGracefulShutdown: true,
		SkipSettingGRPCLogger:   true,
	})
}
