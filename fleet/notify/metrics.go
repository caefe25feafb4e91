package notify

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	sent     *prometheus.CounterVec // receiver, phase
	failures *prometheus.CounterVec // receiver, reason
	silenced *prometheus.CounterVec // receiver
	unrouted *prometheus.CounterVec // phase
	givenUp  prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, n *Notifier) (*metrics, error) {
	m := &metrics{
		sent: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ghostlight_fleet_pages_sent_total", Help: "Pages that a receiver took, by receiver and by what they told: firing, resolved, late or revised.",
		}, []string{"receiver", "phase"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ghostlight_fleet_page_failures_total", Help: "Tries to tell a receiver that failed, by receiver and by whether it did not work (failed) or did not take the page (rejected).",
		}, []string{"receiver", "reason"}),
		silenced: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ghostlight_fleet_pages_silenced_total", Help: "Pages that were over before the silence that held them back ended, by receiver.",
		}, []string{"receiver"}),
		unrouted: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ghostlight_fleet_pages_unrouted_total", Help: "Pages that no receiver takes, by what they told.",
		}, []string{"phase"}),
		givenUp: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ghostlight_fleet_pages_given_up_total", Help: "Pages that their receiver did not take for as long as they are tried.",
		}),
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.sent, m.failures, m.silenced, m.unrouted, m.givenUp, &backlog{n}} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

var owedDesc = prometheus.NewDesc("ghostlight_fleet_pages_owed", "Pages that a receiver is still to be told, silenced and grouped ones included.", []string{"receiver"}, nil)

// backlog counts what is owed when it is asked.
type backlog struct{ n *Notifier }

func (b *backlog) Describe(ch chan<- *prometheus.Desc) { ch <- owedDesc }

func (b *backlog) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, c := range b.n.couriers {
		var owed float64
		err := b.n.o.Store.Read().QueryRowContext(ctx, `SELECT count(*) FROM notify_owed WHERE receiver = ?`, c.route.Name).Scan(&owed)
		if err != nil {
			ch <- prometheus.NewInvalidMetric(owedDesc, err)
			continue
		}
		ch <- prometheus.MustNewConstMetric(owedDesc, prometheus.GaugeValue, owed, c.route.Name)
	}
}
