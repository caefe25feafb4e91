package cache

import "github.com/prometheus/client_golang/prometheus"

// metrics are what the cache tells of itself.
type metrics struct {
	requests *prometheus.CounterVec
	repairs  prometheus.Counter
	objects  prometheus.GaugeFunc
	corrupt  prometheus.GaugeFunc
}

func newMetrics(c *Cache) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "edgecore_cache_requests_total", Help: "Reads of the cache by result; corrupt: a damaged copy was replaced from the hub.",
		}, []string{"result"}),
		repairs: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "edgecore_cache_repairs_total", Help: "Corrupt objects fetched anew by a repair.",
		}),
		objects: prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "edgecore_cache_objects", Help: "Objects held on disk.",
		}, func() float64 { held, _ := c.counts(); return float64(held) }),
		corrupt: prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "edgecore_cache_corrupt_objects", Help: "Objects found corrupt by a read or the verifier and not repaired since.",
		}, func() float64 { _, corrupt := c.counts(); return float64(corrupt) }),
	}
	for _, result := range []string{"hit", "miss", "stale", "corrupt", "error"} {
		m.requests.WithLabelValues(result)
	}
	return m
}

func (m *metrics) count(result string) { m.requests.WithLabelValues(result).Inc() }

// Collectors returns the cache's metrics.
func (c *Cache) Collectors() []prometheus.Collector {
	return []prometheus.Collector{c.metrics.requests, c.metrics.repairs, c.metrics.objects, c.metrics.corrupt}
}
