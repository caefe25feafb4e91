package doors

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"ghostlight/buffer"
)

// What became of items: taken, refused for good, or left out by design.
const (
	taken   = "taken"
	refused = "refused"
	leftOut = "left_out"
)

type metrics struct {
	requests     *prometheus.CounterVec // region, venue, node, door, result
	items        *prometheus.CounterVec // door, kind, result
	unauthorized *prometheus.CounterVec // door
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ghostlight_fleet_door_requests_total",
			Help: "Requests of nodes to the doors, by node, door and result: accepted, partial (some of it can never be stored), malformed, unsupported, too_large, over_limit or unavailable.",
		}, []string{"region", "venue", "node", "door", "result"}),
		items: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ghostlight_fleet_door_items_total",
			Help: "What requests held, by door, kind and what became of it: taken, refused (can never be stored) or left_out (exemplars). Repeats count again.",
		}, []string{"door", "kind", "result"}),
		unauthorized: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ghostlight_fleet_door_unauthorized_total", Help: "Requests to the doors without the credential of a node.",
		}, []string{"door"}),
	}
	for _, c := range []prometheus.Collector{m.requests, m.items, m.unauthorized} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) request(src buffer.Source, door, result string) {
	m.requests.WithLabelValues(src.Region, src.Venue, src.Node, door, result).Inc()
}

// count adds items; those of which there are none get no label.
func (m *metrics) count(door, kind, result string, n int) {
	if n > 0 {
		m.items.WithLabelValues(door, kind, result).Add(float64(n))
	}
}
