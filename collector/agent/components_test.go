package agent

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/receiver/hostmetricsreceiver"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver"
	metric "go.opentelemetry.io/otel/metric/noop"
	trace "go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/zap"

	"ghostlight/collector/scrape"
)

// delayed is how long a host metrics receiver waits before it first reads.
func delayed(t *testing.T, configure func(*hostmetricsreceiver.Config)) time.Duration {
	t.Helper()
	f := timed(hostmetricsreceiver.NewFactory(), "seed")
	cfg := f.CreateDefaultConfig().(*hostmetricsreceiver.Config)
	cfg.CollectionInterval = 15 * time.Second
	configure(cfg)
	next, err := consumer.NewMetrics(func(context.Context, pmetric.Metrics) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	set := receiver.Settings{ID: component.NewID(f.Type()), TelemetrySettings: component.TelemetrySettings{
		Logger: zap.NewNop(), MeterProvider: metric.NewMeterProvider(), TracerProvider: trace.NewTracerProvider(),
	}}
	if _, err := f.CreateMetrics(t.Context(), set, cfg, next); err != nil {
		t.Fatal(err)
	}
	return cfg.InitialDelay
}

func TestTheHostIsReadAfterTheTargets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := scrape.After("seed", 15*time.Second, time.Now())
		if got, want := delayed(t, func(*hostmetricsreceiver.Config) {}), s.Wait(time.Now()); got != want {
			t.Errorf("it begins after %v, want %v", got, want)
		}
		configured := func(c *hostmetricsreceiver.Config) { c.InitialDelay = 3 * time.Second }
		if got := delayed(t, configured); got != 3*time.Second {
			t.Errorf("it begins after %v, and was configured to after 3 s", got)
		}
	})
}
