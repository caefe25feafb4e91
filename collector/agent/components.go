package agent

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/memorylimiterprocessor"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/service/telemetry"

	"github.com/open-telemetry/opentelemetry-collector-contrib/receiver/hostmetricsreceiver"
	"go.opentelemetry.io/collector/exporter"

	"ghostlight/collector/scrape"
)

// A producer is a room of this node that writes to the buffer by itself.
type producer func(ctx context.Context) error

// producers are the rooms hosted as receivers, by their type.
type producers struct {
	scrape, journeys, outcomes producer
	seed                       string // of the node's moments
}

// factories are all components of this distribution. Nil rooms stand still,
// which is enough to check a configuration.
func factories(p producers, end exporter.Factory, log telemetry.Factory) (otelcol.Factories, error) {
	var f otelcol.Factories
	var err error
	f.Receivers, err = otelcol.MakeFactoryMap(
		otlpreceiver.NewFactory(),
		timed(hostmetricsreceiver.NewFactory(), p.seed),
		hosted("scrape", p.scrape),
		hosted("journeys", p.journeys),
		hosted("outcomes", p.outcomes),
	)
	if err != nil {
		return f, err
	}
	if f.Processors, err = otelcol.MakeFactoryMap[processor.Factory](memorylimiterprocessor.NewFactory()); err != nil {
		return f, err
	}
	f.Exporters, err = otelcol.MakeFactoryMap(end)
	f.Telemetry = log
	return f, err
}

// hosted gives a room the life cycle of a collector receiver. What it produces
// goes to the buffer directly: the collector's data model would lose which
// samples arrived together and cost a copy of each.
func hosted(kind string, run producer) receiver.Factory {
	return receiver.NewFactory(
		component.MustNewType(kind),
		func() component.Config { return &struct{}{} },
		receiver.WithMetrics(func(context.Context, receiver.Settings, component.Config, consumer.Metrics) (receiver.Metrics, error) {
			return &host{run: run}, nil
		}, component.StabilityLevelStable),
	)
}

// host runs a producer from Start to Shutdown.
type host struct {
	run    producer
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// Start begins the producer; its context outlives that of the call.
func (h *host) Start(_ context.Context, to component.Host) error {
	if h.run == nil {
		return nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	h.cancel = cancel
	h.done.Go(func() {
		if err := h.run(ctx); err != nil && !errors.Is(err, context.Canceled) {
			componentstatus.ReportStatus(to, componentstatus.NewFatalErrorEvent(err))
		}
	})
	return nil
}

// Shutdown stops the producer and waits for it.
func (h *host) Shutdown(ctx context.Context) error {
	if h.cancel == nil {
		return nil
	}
	h.cancel()
	done := make(chan struct{})
	go func() { h.done.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// timed makes a host metrics receiver read when the node's targets have been read,
// so that what it finds travels with them, unless it is configured otherwise.
func timed(f receiver.Factory, seed string) receiver.Factory {
	plain := f.CreateDefaultConfig().(*hostmetricsreceiver.Config).InitialDelay
	return receiver.NewFactory(f.Type(), f.CreateDefaultConfig,
		receiver.WithMetrics(func(ctx context.Context, set receiver.Settings, cfg component.Config, next consumer.Metrics) (receiver.Metrics, error) {
			if c := cfg.(*hostmetricsreceiver.Config); c.InitialDelay == plain && c.CollectionInterval > 0 {
				now := time.Now()
				s := scrape.After(seed, c.CollectionInterval, now)
				c.InitialDelay = s.Wait(now)
			}
			return f.CreateMetrics(ctx, set, cfg, next)
		}, f.MetricsStability()),
		receiver.WithLogs(f.CreateLogs, f.LogsStability()))
}
