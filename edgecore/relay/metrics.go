package relay

import "github.com/prometheus/client_golang/prometheus"

// metrics are what the relay tells of itself.
type metrics struct {
	messages    *prometheus.CounterVec
	latency     prometheus.Histogram
	dropped     prometheus.Counter
	connections prometheus.GaugeFunc
}

func newMetrics(r *Relay) *metrics {
	m := &metrics{
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "edgecore_relay_messages_total", Help: "Messages published by clients (in) and frames sent to them (out).",
		}, []string{"direction"}),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "edgecore_relay_latency_seconds", Help: "Time from receiving a message to having written it to a subscriber.",
			Buckets: []float64{0.001, 0.005, 0.025, 0.1, 0.2, 0.5, 2.5}, // 0.2 is what the show promises
		}),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "edgecore_relay_dropped_total", Help: "Deliveries dropped because a client's queue was full.",
		}),
		connections: prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "edgecore_relay_connections", Help: "Clients connected.",
		}, func() float64 { return float64(r.Connections()) }),
	}
	for _, direction := range []string{"in", "out"} {
		m.messages.WithLabelValues(direction)
	}
	return m
}

// Collectors returns the relay's metrics.
func (r *Relay) Collectors() []prometheus.Collector {
	m := r.metrics
	return []prometheus.Collector{m.messages, m.latency, m.dropped, m.connections}
}
