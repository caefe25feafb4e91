package app

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"ghostlight/fleet/evidence"
	"ghostlight/fleet/registry"
	"ghostlight/internal/daemon"
)

// newMetrics makes the registry of the fleet's own metrics.
func newMetrics(nodes *registry.Registry, kept *evidence.Store) (*prometheus.Registry, error) {
	reg := prometheus.NewRegistry()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "ghostlight_fleet_info", Help: "Always 1; the labels tell the version.",
		ConstLabels: prometheus.Labels{"version": daemon.Version, "commit": daemon.Commit},
	})
	info.Set(1)
	for _, c := range []prometheus.Collector{
		info, &presence{nodes}, kept, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return reg, nil
}

// presence tells for each node whether it is live and when it was last heard.
type presence struct{ nodes *registry.Registry }

var (
	nodeLabels = []string{"region", "venue", "node"}
	liveDesc   = prometheus.NewDesc("ghostlight_fleet_node_live", "1 while the node is heard, 0 while it is dark, packed up or was never heard.", nodeLabels, nil)
	seenDesc   = prometheus.NewDesc("ghostlight_fleet_node_last_seen_seconds", "When the node was last heard, Unix time.", nodeLabels, nil)
	offsetDesc = prometheus.NewDesc("ghostlight_fleet_node_clock_offset_seconds", "The node's clock less the centre's by its last words, the least transit of them included.", nodeLabels, nil)
)

// Describe implements [prometheus.Collector].
func (p *presence) Describe(ch chan<- *prometheus.Desc) {
	ch <- liveDesc
	ch <- seenDesc
	ch <- offsetDesc
}

// Collect implements [prometheus.Collector].
func (p *presence) Collect(ch chan<- prometheus.Metric) {
	for _, n := range p.nodes.Nodes() {
		labels := []string{n.Region, n.Venue, n.Node}
		live := 0.0
		if n.Live {
			live = 1
		}
		ch <- prometheus.MustNewConstMetric(liveDesc, prometheus.GaugeValue, live, labels...)
		if !n.LastSeen.IsZero() {
			ch <- prometheus.MustNewConstMetric(seenDesc, prometheus.GaugeValue, float64(n.LastSeen.UnixMilli())/1000, labels...)
		}
		if !n.HeartbeatAt.IsZero() {
			ch <- prometheus.MustNewConstMetric(offsetDesc, prometheus.GaugeValue, n.ClockOffset.Seconds(), labels...)
		}
	}
}
