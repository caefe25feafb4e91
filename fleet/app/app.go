// Package app is the fleet as one process: it opens the rooms, joins them, serves
// them on one address and closes them in order. It decides nothing else.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/fleet/burn"
	"ghostlight/fleet/config"
	"ghostlight/fleet/doors"
	"ghostlight/fleet/events"
	"ghostlight/fleet/evidence"
	"ghostlight/fleet/incident"
	"ghostlight/fleet/ingest"
	"ghostlight/fleet/ledger"
	"ghostlight/fleet/notify"
	"ghostlight/fleet/promapi"
	"ghostlight/fleet/registry"
	"ghostlight/fleet/sales"
	"ghostlight/fleet/store"
	"ghostlight/fleet/tsdb"
	"ghostlight/fleet/witness"
	"ghostlight/internal/daemon"
)

// seriesFolder is where the time series are, within the data folder.
const seriesFolder = "series"

// cacheShare is the part of the memory limit that time series may cache with.
const cacheShare = 8

// Options say how a fleet runs in its process. The zero value will do.
type Options struct {
	Log        *slog.Logger   // nil: slog.Default
	Ready      func(net.Addr) // called once the fleet answers at the address
	TrimEvery  time.Duration  // between barriers; 0: what ingest takes
	BarrierAge time.Duration  // 0: tsdb.BarrierAge
}

// An App is a configured fleet. Make it with New.
type App struct {
	cfg config.Config
	o   Options
	log *slog.Logger
}

// New checks the configuration.
func New(cfg config.Config, o Options) (*App, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.BarrierAge == 0 {
		o.BarrierAge = tsdb.BarrierAge
	}
	return &App{cfg, o, o.Log}, nil
}

// rooms are what an App joins.
type rooms struct {
	store    *store.Store
	series   *tsdb.DB
	nodes    *registry.Registry
	evidence *evidence.Store
	sales    *sales.Book
	ledger   *ledger.Ledger
	events   *events.Calendar
	metadata *promapi.Metadata
	metrics  *prometheus.Registry

	notifier  *notify.Notifier // nil where nobody is told
	incidents *incident.Book
	burn      *burn.Room
	witness   *witness.Witness

	ingest *ingest.Ingest
	doors  *doors.Doors
}

// Run serves the fleet until ctx ends. Its data folder is locked meanwhile.
func (a *App) Run(ctx context.Context) (err error) {
	release, err := daemon.Lock(a.cfg.DataDir)
	if err != nil {
		return err
	}
	defer release()
	debug.SetMemoryLimit(int64(a.cfg.MemoryLimit))
	ln, err := daemon.Listen(ctx, a.cfg.Listen)
	if err != nil {
		return err
	}
	defer ln.Close()
	otlp, err := a.listenOTLP(ctx)
	if err != nil {
		return err
	}
	if otlp != nil {
		defer otlp.Close()
	}
	r := &rooms{}
	defer func() { err = errors.Join(err, r.close()) }()
	if err := a.open(ctx, r); err != nil {
		return err
	}
	handler, err := a.handler(r)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return r.series.Run(ctx) })
	group.Go(func() error { return r.nodes.Run(ctx) })
	group.Go(func() error { return r.evidence.Run(ctx) })
	group.Go(func() error { return r.ledger.Run(ctx) })
	group.Go(func() error { return r.incidents.Run(ctx) })
	group.Go(func() error { return r.burn.Run(ctx) })
	group.Go(func() error { return audit(ctx, r.incidents, r.burn, a.log) })
	group.Go(func() error { return r.witness.Run(ctx) })
	if r.notifier != nil {
		group.Go(func() error { return r.notifier.Run(ctx) })
	}
	if d := a.deadMan(r); d != nil {
		group.Go(func() error { return d.Run(ctx) })
	}
	group.Go(func() error { return r.ingest.Run(ctx) })
	group.Go(func() error { return daemon.Serve(ctx, ln, handler, ingest.Tune) })
	if otlp != nil {
		group.Go(func() error { return r.doors.ServeGRPC(ctx, otlp) })
		a.log.Info("fleet takes OTLP over gRPC", "address", otlp.Addr().String())
	}
	a.log.Info("fleet is open", "url", "http://"+ln.Addr().String(), "nodes", len(a.cfg.Nodes))
	if a.o.Ready != nil {
		a.o.Ready(ln.Addr())
	}
	return group.Wait()
}

// open opens the rooms into r, which close closes however far it came.
func (a *App) open(ctx context.Context, r *rooms) (err error) {
	if r.store, err = store.Open(ctx, a.cfg.DataDir); err != nil {
		return err
	}
	dir := filepath.Join(a.cfg.DataDir, seriesFolder)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	r.series, err = tsdb.Open(tsdb.Options{Dir: dir, Retention: a.cfg.Retention.D(), MemoryBytes: int64(a.cfg.MemoryLimit) / cacheShare})
	if err != nil {
		return err
	}
	if r.evidence, err = openEvidence(ctx, a.cfg.Evidence, r.store, a.log); err != nil {
		return err
	}
	r.nodes, err = registry.New(ctx, registry.Options{
		Store: r.store, Members: members(a.cfg), DarkAfter: a.cfg.DarkAfter.D(), Claim: claimTrace(r.evidence), Log: a.log,
	})
	if err != nil {
		return err
	}
	if r.sales, err = sales.New(ctx, r.store); err != nil {
		return err
	}
	if r.ledger, err = ledger.New(ctx, r.store, ledger.Log(a.log)); err != nil {
		return err
	}
	if r.events, err = events.New(ctx, events.Options{Store: r.store, Venues: r.nodes.Venues(), Hours: a.cfg.Hours()}); err != nil {
		return err
	}
	if r.metadata, err = promapi.NewMetadata(ctx, r.store); err != nil {
		return err
	}
	if r.metrics, err = newMetrics(r.nodes, r.evidence); err != nil {
		return err
	}
	if err = a.openIncidents(ctx, r); err != nil {
		return err
	}
	return a.openIngest(ctx, r)
}

func (a *App) openIngest(ctx context.Context, r *rooms) (err error) {
	tokens := make(map[buffer.Source]string, len(a.cfg.Nodes))
	for _, n := range a.cfg.Nodes {
		tokens[n.Source()] = n.Token
	}
	identify, err := ingest.NewTokens(tokens)
	if err != nil {
		return err
	}
	limits := delta.DefaultLimits()
	limits.Series = a.cfg.Limits.SeriesPerBlock
	r.ingest, err = ingest.New(ctx, ingest.Options{
		Dir: a.cfg.DataDir, Store: r.store, Series: r.series, Nodes: r.nodes, Learner: r.metadata, Identify: identify,
		Appliers: []ingest.Applier{r.nodes, r.evidence, r.sales, r.ledger, r.incidents}, Calendar: r.events,
		Silence: a.cfg.DarkAfter.D(), BlockBytes: int64(a.cfg.Limits.BlockBytes), Decode: limits, JournalBytes: int64(a.cfg.Limits.JournalBytes), Limits: nodeLimits(a.cfg),
		TrimEvery: a.o.TrimEvery, BarrierAge: a.o.BarrierAge, Metrics: r.metrics, Log: a.log,
	})
	if err != nil {
		return err
	}
	return a.openDoors(r, identify)
}

// close closes what is open, the last opened first.
func (r *rooms) close() error {
	var errs []error
	if r.ingest != nil {
		errs = append(errs, r.ingest.Close())
	}
	if r.series != nil {
		errs = append(errs, r.series.Close())
	}
	if r.store != nil {
		errs = append(errs, r.store.Close())
	}
	return errors.Join(errs...)
}

func members(cfg config.Config) []registry.Member {
	out := make([]registry.Member, 0, len(cfg.Nodes))
	for _, n := range cfg.Nodes {
		out = append(out, registry.Member{Source: n.Source(), Contact: cfg.Contact(n)})
	}
	return out
}

// handler joins the doors of the rooms.
func (a *App) handler(r *rooms) (http.Handler, error) {
	prom, err := promapi.New(r.series, r.metadata, r.ingest.Settle)
	if err != nil {
		return nil, err
	}
	pages, err := a.pages(r)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/", pages)
	mux.Handle("/v1/", r.ingest.Handler())
	mux.Handle("/api/v1/", prom)
	r.doors.Register(mux)
	mux.Handle("GET /metrics", promhttp.HandlerFor(r.metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintln(w, "ok")
	})
	return mux, nil
}
