package incident

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	openDesc   = prometheus.NewDesc("ghostlight_fleet_incidents_open", "Incidents that go on, those in groups each, by cause.", []string{"cause"}, nil)
	alertsDesc = prometheus.NewDesc("ghostlight_fleet_alerts_firing", "Burn alerts of many nodes that fire.", nil, nil)
)

// Describe implements [prometheus.Collector].
func (b *Book) Describe(ch chan<- *prometheus.Desc) {
	ch <- openDesc
	ch <- alertsDesc
}

// Collect implements [prometheus.Collector].
func (b *Book) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	open := map[string]int64{"objective": 0, "journey": 0, "darkness": 0}
	if err := b.countOpen(ctx, open); err != nil {
		ch <- prometheus.NewInvalidMetric(openDesc, err)
		return
	}
	for cause, n := range open {
		ch <- prometheus.MustNewConstMetric(openDesc, prometheus.GaugeValue, float64(n), cause)
	}
	var firing float64
	if err := b.o.Store.Read().QueryRowContext(ctx, `SELECT count(*) FROM incident_alerts WHERE resolved_ms = 0`).Scan(&firing); err != nil {
		ch <- prometheus.NewInvalidMetric(alertsDesc, err)
		return
	}
	ch <- prometheus.MustNewConstMetric(alertsDesc, prometheus.GaugeValue, firing)
}

func (b *Book) countOpen(ctx context.Context, into map[string]int64) error {
	found, err := b.o.Store.Read().QueryContext(ctx, `SELECT cause, count(*) FROM incidents WHERE ended_ms = 0 AND gathers = 0 GROUP BY cause`)
	if err != nil {
		return err
	}
	defer found.Close()
	for found.Next() {
		var cause string
		var n int64
		if err := found.Scan(&cause, &n); err != nil {
			return err
		}
		into[cause] = n
	}
	return found.Err()
}
