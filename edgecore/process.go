package edgecore

import (
	"runtime"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"ghostlight/internal/daemon"
)

// registerProcess adds what the process tells of itself.
func registerProcess(reg prometheus.Registerer, role string) {
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "edgecore_build_info", Help: "Always 1; the labels say what runs.",
		ConstLabels: prometheus.Labels{"version": daemon.Version, "commit": daemon.Commit, "goversion": runtime.Version(), "role": role},
	})
	info.Set(1)
	reg.MustRegister(info, trimmed{collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})}, prometheus.NewGaugeFunc(
		prometheus.GaugeOpts{Name: "go_goroutines", Help: "Number of goroutines that currently exist."},
		func() float64 { return float64(runtime.NumGoroutine()) }))
}

// trimmed passes on only those of the process's metrics that a venue's uplink
// should carry.
type trimmed struct{ prometheus.Collector }

// Collect implements [prometheus.Collector].
func (t trimmed) Collect(ch chan<- prometheus.Metric) {
	all := make(chan prometheus.Metric)
	go func() {
		defer close(all)
		t.Collector.Collect(all)
	}()
	for m := range all {
		for _, name := range []string{"process_resident_memory_bytes", "process_cpu_seconds_total", "process_start_time_seconds"} {
			if strings.Contains(m.Desc().String(), `"`+name+`"`) {
				ch <- m
			}
		}
	}
}
