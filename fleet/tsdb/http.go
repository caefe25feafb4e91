package tsdb

import (
	"errors"
	"net/http"
	"time"

	"github.com/VictoriaMetrics/VictoriaMetrics/app/vmselect/prometheus"
	"github.com/VictoriaMetrics/VictoriaMetrics/lib/httpserver"
	"github.com/VictoriaMetrics/VictoriaMetrics/lib/querytracer"
)

// ServeQuery answers /api/v1/query of the Prometheus HTTP API.
func (d *DB) ServeQuery(w http.ResponseWriter, r *http.Request) {
	d.serve(w, r, prometheus.QueryHandler)
}

// ServeQueryRange answers /api/v1/query_range.
func (d *DB) ServeQueryRange(w http.ResponseWriter, r *http.Request) {
	d.serve(w, r, prometheus.QueryRangeHandler)
}

// ServeSeries answers /api/v1/series.
func (d *DB) ServeSeries(w http.ResponseWriter, r *http.Request) {
	d.serve(w, r, prometheus.SeriesHandler)
}

// ServeLabels answers /api/v1/labels.
func (d *DB) ServeLabels(w http.ResponseWriter, r *http.Request) {
	d.serve(w, r, prometheus.LabelsHandler)
}

// ServeLabelValues answers /api/v1/label/{name}/values.
func (d *DB) ServeLabelValues(w http.ResponseWriter, r *http.Request, name string) {
	d.serve(w, r, func(qt *querytracer.Tracer, start time.Time, w http.ResponseWriter, r *http.Request) error {
		return prometheus.LabelValuesHandler(qt, start, name, w, r)
	})
}

// ServeExport answers /api/v1/export: the raw samples of the series that match[]
// selects, one JSON object a line. It sees every row inserted before.
func (d *DB) ServeExport(w http.ResponseWriter, r *http.Request) {
	if err := d.Flush(); err != nil {
		refuseQuery(w, r, err)
		return
	}
	d.serve(w, r, func(_ *querytracer.Tracer, start time.Time, w http.ResponseWriter, r *http.Request) error {
		return prometheus.ExportHandler(start, w, r)
	})
}

type handler func(qt *querytracer.Tracer, start time.Time, w http.ResponseWriter, r *http.Request) error

func (d *DB) serve(w http.ResponseWriter, r *http.Request, h handler) {
	start := time.Now()
	done, err := d.turn(r.Context())
	if err != nil {
		refuseQuery(w, r, err)
		return
	}
	defer done()
	if err := h(querytracer.New(false, ""), start, w, r); err != nil {
		refuseQuery(w, r, err)
	}
}

func refuseQuery(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, ErrBusy) || errors.Is(err, ErrClosed) {
		w.Header().Set("Retry-After", "5")
		err = &httpserver.ErrorWithStatusCode{Err: err, StatusCode: http.StatusServiceUnavailable}
	}
	httpserver.SendPrometheusError(w, r, err)
}
