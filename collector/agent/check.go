package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/xconfmap"
	"go.opentelemetry.io/collector/otelcol"

	"ghostlight/buffer"
	"ghostlight/buffer/queue"
	"ghostlight/collector/config"
	"ghostlight/collector/store"
)

// Check has the collector read the configuration without starting anything. Its
// complaints come back with the line of the file that they are about.
func Check(ctx context.Context, cfg *config.Config) error {
	sink, err := store.New(store.Options{Queue: nowhere{}, Lanes: nowhere{}})
	if err != nil {
		return err
	}
	f, err := factories(producers{}, sink.Exporter(time.Now), collectorTelemetry(slog.New(slog.DiscardHandler)))
	if err != nil {
		return err
	}
	provider, err := otelcol.NewConfigProvider(providerSettings(cfg))
	if err != nil {
		return err
	}
	defer provider.Shutdown(ctx) //nolint:errcheck // it holds nothing
	parsed, err := provider.Get(ctx, f)
	if err == nil {
		err = xconfmap.Validate(parsed)
	}
	if err != nil {
		return place(cfg, err)
	}
	return nil
}

// nowhere stands in for the buffer where only a configuration is read.
type nowhere struct{}

func (nowhere) Append(context.Context, queue.Commit) error { return errors.New("nothing is stored") }
func (nowhere) Lane(string) buffer.Lane                    { return buffer.Detail }

func providerSettings(cfg *config.Config) otelcol.ConfigProviderSettings {
	return otelcol.ConfigProviderSettings{ResolverSettings: confmap.ResolverSettings{
		URIs: []string{config.Scheme + ":agent"}, ProviderFactories: []confmap.ProviderFactory{cfg.Provider()},
	}}
}

// place finds the line that an error of the collector is about.
func place(cfg *config.Config, err error) error {
	text, readErr := os.ReadFile(cfg.File())
	if readErr != nil {
		return err
	}
	return cfg.Place(err, text)
}

// cfgError says where the configuration is wrong if that is why the collector
// did not start.
func (n *node) cfgError(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return nil
	}
	return fmt.Errorf("collector: %w", err)
}
