// Package metrics is the list of metric names that Ghostlight's programs expose
// and its dashboards may ask for. A dashboard that uses a name or a label outside
// this list does not pass its test. The package never talks to anything.
package metrics

import "slices"

// Kind is a metric's Prometheus type.
type Kind string

// The kinds of metrics.
const (
	Counter   Kind = "counter"
	Gauge     Kind = "gauge"
	Histogram Kind = "histogram"
)

// A Metric is one metric family.
type Metric struct {
	Name   string
	Kind   Kind
	Labels []string // beside those that every series has, see [CommonLabels]
}

// CommonLabels are on every series at the centre: where it comes from, and the
// scrape that brought it.
func CommonLabels() []string { return []string{"region", "venue", "node", "job", "instance"} }

// All lists every metric, edgecore's first.
func All() []Metric {
	return slices.Concat(edgecore(), hub(), scrape(), agent(), host(), process())
}

// Find gives the family that a series name belongs to: for a histogram its
// _bucket, _sum and _count as well.
func Find(series string) (Metric, bool) {
	for _, m := range All() {
		if m.Name == series && m.Kind != Histogram {
			return m, true
		}
		if m.Kind == Histogram {
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				if m.Name+suffix == series {
					return m, true
				}
			}
		}
	}
	return Metric{}, false
}

func edgecore() []Metric {
	return []Metric{
		{"edgecore_checkins_total", Counter, []string{"result"}},
		{"edgecore_orders_total", Counter, []string{"result"}},
		{"edgecore_payments_total", Counter, []string{"method", "result"}},
		{"edgecore_payment_amount_minor_total", Counter, []string{"currency"}},
		{"edgecore_refunds_total", Counter, nil},
		{"edgecore_refund_amount_minor_total", Counter, []string{"currency"}},
		{"edgecore_outcomes_total", Counter, []string{"kind", "good"}},
		{"edgecore_outcomes_waiting", Gauge, nil},
		{"edgecore_outcomes_dropped_total", Counter, nil},
		{"edgecore_synthetic_payments_total", Counter, []string{"result"}},
		{"edgecore_payment_duration_seconds", Histogram, nil},
		{"edgecore_tokens_validated_total", Counter, []string{"result"}},
		{"edgecore_cache_requests_total", Counter, []string{"result"}},
		{"edgecore_cache_objects", Gauge, nil},
		{"edgecore_cache_corrupt_objects", Gauge, nil},
		{"edgecore_cache_repairs_total", Counter, nil},
		{"edgecore_settlement_pending", Gauge, nil},
		{"edgecore_settlement_oldest_seconds", Gauge, nil},
		{"edgecore_hub_reachable", Gauge, nil},
		{"edgecore_ledger_writable", Gauge, nil},
		{"edgecore_relay_connections", Gauge, nil},
		{"edgecore_relay_messages_total", Counter, []string{"direction"}},
		{"edgecore_relay_latency_seconds", Histogram, nil},
		{"edgecore_relay_dropped_total", Counter, nil},
		{"edgecore_http_requests_total", Counter, []string{"route", "method", "code"}},
		{"edgecore_http_request_duration_seconds", Histogram, []string{"route"}},
		{"edgecore_build_info", Gauge, []string{"version"}},
	}
}

func hub() []Metric {
	return []Metric{
		{"edgecore_hub_settled_sales_total", Counter, []string{"exported_node"}},
		{"edgecore_hub_settled_amount_minor_total", Counter, []string{"exported_node", "currency"}},
		{"edgecore_hub_catalog_requests_total", Counter, []string{"result"}},
	}
}

func scrape() []Metric {
	return []Metric{
		{"up", Gauge, nil},
		{"scrape_duration_seconds", Gauge, nil},
		{"scrape_samples_scraped", Gauge, nil},
		{"scrape_samples_post_metric_relabeling", Gauge, nil},
		{"scrape_series_added", Gauge, nil},
	}
}

func agent() []Metric {
	return []Metric{
		{"ghostlight_journey_runs_total", Counter, []string{"journey", "result"}},
		{"ghostlight_journey_success", Gauge, []string{"journey"}},
		{"ghostlight_journey_duration_seconds", Histogram, []string{"journey"}},
		{"ghostlight_journey_step_duration_seconds", Gauge, []string{"journey", "step"}},
		{"ghostlight_health_score", Gauge, nil},
		{"ghostlight_health_penalty", Gauge, []string{"signal"}},
		{"ghostlight_heal_actions_total", Counter, []string{"action", "result"}},
		{"ghostlight_alerts_firing", Gauge, []string{"urgency"}},
		{"ghostlight_incidents_open", Gauge, nil},
		{"ghostlight_battery_charge_ratio", Gauge, nil},
		{"ghostlight_sli_readings_refused_total", Counter, []string{"reason"}},
		{"ghostlight_buffer_samples_produced_total", Counter, []string{"lane"}},
		{"ghostlight_buffer_samples_lost_total", Counter, []string{"lane", "reason"}},
		{"ghostlight_buffer_samples_refused_total", Counter, []string{"lane"}},
		{"ghostlight_buffer_blocks", Gauge, []string{"lane"}},
		{"ghostlight_buffer_bytes", Gauge, []string{"lane"}},
		{"ghostlight_uplink_up", Gauge, nil},
		{"ghostlight_forward_blocks_total", Counter, []string{"lane", "result"}},
		{"ghostlight_forward_bytes_total", Counter, []string{"kind"}},
		{"ghostlight_forward_mode", Gauge, []string{"mode"}},
		{"ghostlight_forward_streams_total", Counter, nil},
		{"ghostlight_agent_info", Gauge, []string{"version"}},
	}
}

// host is what the dashboards use of OpenTelemetry's host metrics, by the names
// that its specification gives them in Prometheus.
func host() []Metric {
	return []Metric{
		{"system_cpu_time_seconds_total", Counter, []string{"cpu", "state"}},
		{"system_cpu_load_average_1m", Gauge, nil},
		{"system_memory_usage_bytes", Gauge, []string{"state"}},
		{"system_filesystem_usage_bytes", Gauge, []string{"device", "mode", "mountpoint", "state", "type"}},
	}
}

func process() []Metric {
	return []Metric{
		{"process_resident_memory_bytes", Gauge, nil},
		{"process_cpu_seconds_total", Counter, nil},
		{"process_start_time_seconds", Gauge, nil},
		{"go_goroutines", Gauge, nil},
	}
}
