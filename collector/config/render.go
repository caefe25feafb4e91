package config

import (
	"context"
	"maps"

	"go.opentelemetry.io/collector/confmap"
)

// Scheme is the URI scheme of the provider that hands the rendered configuration
// to the collector.
const Scheme = "ghostlight"

// Render is the collector configuration that this configuration stands for.
func (c *Config) Render() map[string]any {
	receivers := map[string]any{"scrape": nil, "journeys": nil, "outcomes": nil}
	processors := map[string]any{"memory_limiter": map[string]any{
		"check_interval": "1s", "limit_mib": int64(c.MemoryLimit >> 20), "spike_limit_mib": int64(c.MemoryLimit>>20) / 5,
	}}
	exporters := map[string]any{
		"ghostlight":      nil,
		"ghostlight/host": map[string]any{"job": "host", "instance": c.Node.Name},
	}
	// The node's own producers write to the buffer themselves and never pass the
	// memory limiter; the pipeline gives them the collector's life cycle.
	pipelines := map[string]any{"metrics/node": map[string]any{
		"receivers": []any{"scrape", "journeys", "outcomes"}, "exporters": []any{"ghostlight"},
	}}
	if otlp := c.otlp(); otlp != nil {
		receivers["otlp"] = otlp
		for _, signal := range []string{"metrics", "traces", "logs"} {
			pipelines[signal] = map[string]any{
				"receivers": []any{"otlp"}, "processors": []any{"memory_limiter"}, "exporters": []any{"ghostlight"},
			}
		}
	}
	if c.Host.Enabled {
		receivers["hostmetrics"] = c.hostmetrics()
		pipelines["metrics/host"] = map[string]any{"receivers": []any{"hostmetrics"}, "exporters": []any{"ghostlight/host"}}
	}
	maps.Copy(receivers, c.Extra.Receivers)
	for id, p := range c.Extra.Pipelines {
		pipelines[id] = map[string]any{"receivers": list(p.Receivers), "processors": list(p.Processors), "exporters": []any{"ghostlight"}}
	}
	return map[string]any{
		"receivers": receivers, "processors": processors, "exporters": exporters,
		"service": map[string]any{"pipelines": pipelines},
	}
}

func (c *Config) otlp() map[string]any {
	protocols := map[string]any{}
	if c.OTLP.GRPC != "" {
		protocols["grpc"] = map[string]any{"endpoint": c.OTLP.GRPC, "max_recv_msg_size_mib": 4}
	}
	if c.OTLP.HTTP != "" {
		protocols["http"] = map[string]any{"endpoint": c.OTLP.HTTP, "max_request_body_size": 4 << 20}
	}
	if len(protocols) == 0 {
		return nil
	}
	return map[string]any{"protocols": protocols}
}

// hostmetrics reads what health and capacity planning need and leaves out what
// only repeats it or changes with every reading and serves neither: the loopback
// interface, virtual file systems, loop devices, longer averages of the load,
// merged and weighted disk operations, and how many connections are in which state.
func (c *Config) hostmetrics() map[string]any {
	return map[string]any{
		"collection_interval": c.Host.Interval.String(),
		"root_path":           "/",
		"scrapers": map[string]any{
			"cpu": nil, "memory": nil,
			"load": map[string]any{"metrics": without("system.cpu.load_average.5m", "system.cpu.load_average.15m")},
			"disk": map[string]any{
				"exclude": map[string]any{"devices": []any{`^(loop|ram|sr)\d+$`}, "match_type": "regexp"},
				"metrics": without("system.disk.merged", "system.disk.weighted_io_time"),
			},
			"network": map[string]any{
				"exclude": map[string]any{"interfaces": []any{"lo"}, "match_type": "strict"},
				"metrics": without("system.network.connections"),
			},
			"filesystem": map[string]any{"exclude_fs_types": map[string]any{
				"fs_types": []any{
					"autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs", "fusectl", "hugetlbfs",
					"mqueue", "nsfs", "overlay", "proc", "pstore", "rpc_pipefs", "securityfs", "squashfs", "sysfs", "tmpfs", "tracefs",
				},
				"match_type": "strict",
			}},
		},
	}
}

// without switches metrics of a scraper off.
func without(names ...string) map[string]any {
	out := map[string]any{}
	for _, n := range names {
		out[n] = map[string]any{"enabled": false}
	}
	return out
}

func list(names []string) []any {
	out := make([]any, len(names))
	for i, n := range names {
		out[i] = n
	}
	return out
}

// Provider makes the collector read the rendered configuration.
func (c *Config) Provider() confmap.ProviderFactory {
	return confmap.NewProviderFactory(func(confmap.ProviderSettings) confmap.Provider { return provider{c.Render()} })
}

type provider struct{ conf map[string]any }

func (p provider) Retrieve(context.Context, string, confmap.WatcherFunc) (*confmap.Retrieved, error) {
	return confmap.NewRetrieved(p.conf)
}

func (provider) Scheme() string                 { return Scheme }
func (provider) Shutdown(context.Context) error { return nil }
