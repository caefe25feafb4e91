package demo

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// revenueMetrics are the names of edgecore's counters in the revenue lane.
func revenueMetrics() []string {
	return []string{
		"edgecore_checkins_total", "edgecore_orders_total", "edgecore_payments_total", "edgecore_payment_amount_minor_total",
		"edgecore_refunds_total", "edgecore_refund_amount_minor_total", "edgecore_outcomes_total",
	}
}

// isIdentity reports whether a label says where a series comes from rather than
// what it counts.
func isIdentity(label string) bool {
	switch label {
	case "region", "venue", "node", "job", "instance":
		return true
	}
	return false
}

// seriesText writes a series as name{label="value",...}, labels sorted, without
// its identity labels.
func seriesText(labels map[string]string) string {
	var b strings.Builder
	b.WriteString(labels["__name__"])
	open := "{"
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		if name == "__name__" || isIdentity(name) {
			continue
		}
		b.WriteString(open + name + "=" + strconv.Quote(labels[name]))
		open = ","
	}
	if open == "," {
		b.WriteString("}")
	}
	return b.String()
}

// scraped reads the revenue counters from an exposition.
func scraped(text []byte) (map[string]float64, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("the metrics cannot be read: %w", err)
	}
	out := map[string]float64{}
	for _, name := range revenueMetrics() {
		for _, row := range families[name].GetMetric() {
			labels := map[string]string{"__name__": name}
			for _, l := range row.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			out[seriesText(labels)] = counter(row)
		}
	}
	return out, nil
}

func counter(row *dto.Metric) float64 {
	if row.Counter != nil {
		return row.GetCounter().GetValue()
	}
	return row.GetUntyped().GetValue()
}

// edgeAPI is an edgecore's admin listener.
type edgeAPI struct{ api }

// ledger is what the demo reads of a venue's ledger.
type ledger struct {
	Sales   int64 `json:"sales"`
	Pending int64 `json:"pending"` // not settled at the hub yet
}

func (e edgeAPI) ledger(ctx context.Context) (ledger, error) {
	var out ledger
	return out, e.call(ctx, http.MethodGet, "/admin/ledger", nil, &out)
}

func (e edgeAPI) revenue(ctx context.Context) (map[string]float64, error) {
	text, err := e.raw(ctx, http.MethodGet, "/metrics", nil)
	if err != nil {
		return nil, err
	}
	return scraped(text)
}

// hubAPI is the regional hub.
type hubAPI struct{ api }

func (h hubAPI) sales(ctx context.Context) (int64, error) {
	var out struct {
		Sales int64 `json:"sales"`
	}
	return out.Sales, h.call(ctx, http.MethodGet, "/hub/v1/ledger", nil, &out)
}

// agentAPI is an agent's page listener.
type agentAPI struct{ api }

// flushed is an agent's answer to a flush: samples by lane.
type flushed struct {
	Drained  bool             `json:"drained"`
	Produced map[string]int64 `json:"produced"`
	Lost     map[string]int64 `json:"lost"`
}

// flush has the agent read everything once more and waits until all of it is
// acknowledged by the fleet. For hold from then on the agent takes in nothing
// new, so that its counts can be compared.
func (a agentAPI) flush(ctx context.Context, hold time.Duration) (flushed, error) {
	var out flushed
	return out, a.call(ctx, http.MethodPost, "/api/flush?timeout=20s&hold="+hold.String(), nil, &out)
}
