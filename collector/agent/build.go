package agent

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/otel/trace"

	"ghostlight/buffer/delta"
	"ghostlight/buffer/forward"
	"ghostlight/buffer/queue"
	"ghostlight/buffer/wire"
	"ghostlight/collector/config"
	"ghostlight/collector/heal"
	"ghostlight/collector/health"
	"ghostlight/collector/incidents"
	"ghostlight/collector/journeys"
	"ghostlight/collector/lanes"
	"ghostlight/collector/outcomes"
	"ghostlight/collector/page"
	"ghostlight/collector/scrape"
	"ghostlight/collector/sli"
	"ghostlight/collector/store"
	"ghostlight/collector/tail"
	engine "ghostlight/healthscore/heal"
	"ghostlight/internal/daemon"
	"ghostlight/slo"
	"ghostlight/synthetics"
)

// node is the rooms of a running agent, wired.
type node struct {
	cfg       *config.Config
	log       *slog.Logger
	pageURL   string
	started   time.Time
	queue     *queue.Queue
	sink      *store.Sink
	tail      *tail.Tail
	scraper   *scrape.Scraper
	journeys  *journeys.Room
	outcomes  *outcomes.Reader // nil without edgecore
	book      *sli.Book
	monitor   *health.Monitor
	healer    *heal.Healer
	incidents *incidents.Room
	forward   *forward.Forwarder
	page      http.Handler
	merged    atomic.Int64 // blocks that became part of larger ones

	mu   sync.Mutex
	held func() // ends the hold of the last flush; guarded by mu
}

// build makes the rooms around an open buffer, each from the ones before.
func (a *Agent) build(ctx context.Context, q *queue.Queue, addr string) (*node, error) {
	n := &node{cfg: a.cfg, log: a.log, pageURL: "http://" + addr, started: time.Now(), queue: q}
	reading := context.WithoutCancel(ctx) // what a stop stores needs what was stored
	load := func(key string) ([]byte, error) {
		found, err := q.State(reading, key)
		return found[key], err
	}
	for _, step := range []func() error{
		n.buildSink,
		n.buildTail,
		n.buildScraper,
		func() error { return n.buildBook(load) },
		n.buildJourneys,
		n.buildMonitor,
		func() error { return n.buildOutcomes(load) },
		func() error { return n.buildHealer(load) },
		func() error { return n.buildIncidents(ctx) },
		n.buildForwarder,
		func() error { return n.buildPage(a) },
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return n, nil
}

func (n *node) buildSink() error {
	chooser, err := lanes.New(n.cfg.Lanes.Revenue, n.cfg.Lanes.Health)
	if err != nil {
		return err
	}
	n.sink, err = store.New(store.Options{
		Queue: n.queue, Lanes: chooser, Log: n.log,
		Beside: func(ctx context.Context, series []delta.Series, put func(queue.Commit) error) error {
			return n.book.Series(ctx, series, put)
		},
		Tap:    func(b delta.Batch) { n.monitor.Tap(b) },
		Traces: func(td ptrace.Traces) { n.tail.Traces(td) },
		Logs:   func(ld plog.Logs) { n.tail.Logs(ld) },
	})
	return err
}

func (n *node) buildTail() error {
	c := n.cfg.Tail
	severity, err := tail.ParseSeverity(c.Logs.Severity)
	if err != nil {
		return err
	}
	n.tail, err = tail.New(tail.Options{
		Sink: n.sink, Wait: c.Wait.D(), Deadline: c.Deadline.D(), Batch: c.Batch.D(), Memory: int64(c.Memory), Allow: c.Attributes, Log: n.log,
		Traces: tail.Traces{
			Budget: int64(c.Traces.Budget), Slow: c.Traces.Slow.D(), LongRoutes: c.Traces.LongRoutes,
			RevenueRoutes: c.Traces.RevenueRoutes, RevenueAttributes: c.Traces.RevenueAttributes,
		},
		Logs: tail.Logs{Budget: int64(c.Logs.Budget), Severity: severity, Fold: c.Logs.Fold.D()},
	})
	return err
}

func (n *node) buildScraper() error {
	targets := make([]scrape.Target, 0, len(n.cfg.Scrape.Targets))
	for _, t := range n.cfg.Scrape.Targets {
		targets = append(targets, scrape.Target{
			Job: t.Job, URL: t.URL, Interval: t.Interval.D(), Timeout: t.Timeout.D(), Labels: t.Labels,
			HonorLabels: t.HonorLabels, SampleLimit: t.SampleLimit, BodyLimit: int64(t.BodyLimit),
		})
	}
	var err error
	n.scraper, err = scrape.New(scrape.Options{Targets: targets, Sink: n.sink, Seed: n.seed(), Log: n.log})
	return err
}

func (n *node) buildBook(load func(string) ([]byte, error)) error {
	var err error
	n.book, err = sli.New(sli.Options{
		Objectives: n.cfg.AllObjectives(), Commit: n.sink, Load: load, Log: n.log,
		OutcomesSeen: n.outcomesSeen,
		Evidence:     func(name string) slo.Evidence { return n.journeys.Evidence(name) },
		Told:         func(o slo.Objective, buckets []slo.Bucket) { n.incidents.Told(o, buckets) },
	})
	return err
}

// outcomesSeen says how long ago edgecore's ledger was read to its end; false: it is
// not.
func (n *node) outcomesSeen() (time.Duration, bool) {
	if n.outcomes == nil {
		return 0, false
	}
	return n.outcomes.CaughtUp()
}

func (n *node) buildJourneys() error {
	o := journeys.Options{Journeys: n.cfg.AllJourneys(), Vars: n.cfg.Vars(), Book: n.book, Log: n.log}
	if e := n.cfg.Edgecore; e != nil {
		issuer := n.cfg.Node.Source().String()
		o.Claim = func(journey string) (string, error) {
			return synthetics.Claim([]byte(e.SyntheticKey), issuer, journey, time.Now())
		}
	}
	// A journey's trace is kept from its beginning: what edgecore tells of it comes
	// before the journey's own spans, which come when it has ended.
	o.Tracer = journeys.NewTracer(tail.JourneyService, func(id trace.TraceID) { n.tail.Expect(pcommon.TraceID(id)) }, n.tail.Traces)
	var err error
	n.journeys, err = journeys.New(o)
	return err
}

func (n *node) buildMonitor() error {
	o := health.Options{
		Edgecore: n.cfg.Edgecore != nil, DataDir: n.cfg.DataDir, Commit: n.sink, Views: n.journeys.Views,
		OutcomesSeen: func() bool { _, ok := n.outcomesSeen(); return ok }, PowerSupplies: n.cfg.Host.PowerSupplies, Seed: n.seed(), Log: n.log,
		ClockOffset: func() (time.Duration, bool) {
			st := n.forward.Status()
			return st.ClockOffset, st.ClockKnown && st.Up
		},
	}
	if e := n.cfg.Edgecore; e != nil {
		instance, err := scrape.Instance(e.AdminURL)
		if err != nil {
			return err
		}
		o.EdgecoreInstance = instance
		o.Answers = func() (bool, time.Time) {
			st := n.outcomes.Status()
			return st.Up, st.At
		}
	}
	var err error
	n.monitor, err = health.New(o)
	return err
}

func (n *node) buildOutcomes(load func(string) ([]byte, error)) error {
	e := n.cfg.Edgecore
	if e == nil {
		return nil
	}
	var err error
	n.outcomes, err = outcomes.New(outcomes.Options{
		AdminURL: e.AdminURL, Token: e.AdminToken, Book: n.book, Load: load, Seen: n.monitor.Outcomes, Log: n.log,
	})
	return err
}

func (n *node) buildHealer(load func(string) ([]byte, error)) error {
	c := n.cfg.Heal
	o := heal.Options{
		DryRun: c.DryRun, Readings: n.monitor.Readings, Views: n.journeys.Views, EdgecoreFailures: n.monitor.EdgecoreFailures,
		Verify: n.verify, Commit: n.sink, Load: load, Log: n.log,
	}
	if r := c.Restart; r != nil {
		o.RestartLimits, o.Failures = heal.Limits{CoolDown: r.CoolDown.D(), PerHour: r.PerHour}, r.Failures
		if c.Systemd {
			o.Restart = heal.NewSystemdRestart(r.Unit)
		} else {
			o.Restart = heal.NewSupervisorRestart(c.Supervisor.Socket, r.Unit)
		}
	}
	if r := c.CacheRepair; r != nil {
		o.RepairLimits = heal.Limits{CoolDown: r.CoolDown.D(), PerHour: r.PerHour}
		o.Repair = heal.NewRepair(n.cfg.Edgecore.AdminURL, n.cfg.Edgecore.AdminToken)
	}
	var err error
	n.healer, err = heal.New(o)
	return err
}

func (n *node) buildIncidents(ctx context.Context) error {
	o := incidents.Options{
		Source: n.cfg.Node.Source(), Book: n.book, Views: n.journeys.Views, Commit: n.sink, Log: n.log,
		Load: func(prefix string) (map[string][]byte, error) { return n.queue.State(ctx, prefix) },
		Heals: func() []engine.Audit {
			records, _ := n.healer.Recent()
			return records
		},
	}
	if r := n.cfg.Heal.Restart; r != nil {
		o.Failures = r.Failures
	}
	if n.cfg.Edgecore != nil {
		o.Edgecore, o.Backlog = n.monitor.EdgecoreUp, n.monitor.Unsettled
	}
	var err error
	n.incidents, err = incidents.New(o)
	return err
}

// verify proves a heal: the failing journey passes or, without journeys, edgecore
// answers its scrape again.
func (n *node) verify(ctx context.Context) error {
	if len(n.cfg.Journeys) == 0 && n.monitor.EdgecoreFailures() > 0 {
		return errEdgecoreSilent
	}
	return n.journeys.Verify(ctx)
}

func (n *node) buildForwarder() error {
	var err error
	n.forward, err = forward.New(forward.Options{
		URL: n.cfg.Fleet.URL, Token: n.cfg.Fleet.Token, Queue: n.queue, Memory: n.queue, Info: n.heartbeat, Calendar: n.incidents.Calendar, Log: n.log,
		Bandwidth: forward.Bandwidth{PerSecond: int64(n.cfg.Fleet.Bandwidth.BytesPerSecond), PerDay: int64(n.cfg.Fleet.Bandwidth.BytesPerDay)},
	})
	return err
}

func (n *node) heartbeat() wire.Heartbeat {
	return wire.Heartbeat{
		Session: n.queue.Session(), Lanes: n.queue.Stats(), Version: daemon.Version, PageURL: n.pageURL,
		StartMS: n.started.UnixMilli(), Restarts: n.queue.Restarts(), Battery: n.monitor.Battery(),
	}
}

func (n *node) buildPage(a *Agent) error {
	var err error
	n.page, err = page.NewHandler(page.Options{
		Status: n.status, Render: a.render, Flush: n.flush, Token: n.cfg.Fleet.Token, Log: n.log,
	})
	return err
}
