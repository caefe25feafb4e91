package hub

import (
	"github.com/prometheus/client_golang/prometheus"

	"ghostlight/edgecore/settlement"
)

var (
	salesDesc = prometheus.NewDesc("edgecore_hub_settled_sales_total",
		"Sales settled, from the hub's ledger.", []string{"node"}, nil)
	amountDesc = prometheus.NewDesc("edgecore_hub_settled_amount_minor_total",
		"Money of settled sales in minor units, refunds not deducted, from the hub's ledger.", []string{"node", "currency"}, nil)
)

// Collectors returns the hub's metrics.
func (h *Hub) Collectors() []prometheus.Collector {
	return []prometheus.Collector{h.requests, ledgerCollector{h.store}}
}

// ledgerCollector reads the settled totals.
type ledgerCollector struct{ store *Store }

// Describe implements [prometheus.Collector].
func (c ledgerCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- salesDesc
	ch <- amountDesc
}

// Collect implements [prometheus.Collector].
func (c ledgerCollector) Collect(ch chan<- prometheus.Metric) {
	sales := map[string]int64{}
	for a, m := range c.store.snapshot() {
		if a.kind != settlement.Sale {
			continue
		}
		sales[a.node] += m.Count
		ch <- prometheus.MustNewConstMetric(amountDesc, prometheus.CounterValue, float64(m.AmountMinor), a.node, a.currency)
	}
	for node, n := range sales {
		ch <- prometheus.MustNewConstMetric(salesDesc, prometheus.CounterValue, float64(n), node)
	}
}
