// Package promapi is the fleet's Prometheus HTTP API, at /api/v1/: what Grafana's
// Prometheus data source, promtool and vmalert need to query the fleet unchanged.
// Every path takes GET and, as Prometheus does, POST with a form.
//
// It never writes. Its answers are those of the time series database, but for
// metadata, which the fleet keeps itself. A row is visible at most a few seconds
// after its block was acknowledged; a query with nocache=1, and every export, first
// waits until all that was acknowledged before is stored and flushes it, which
// leaves some milliseconds of uncertainty.
package promapi

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"ghostlight/buffer/delta"
	"ghostlight/internal/daemon"
)

// A Database answers the queries.
type Database interface {
	ServeQuery(w http.ResponseWriter, r *http.Request)
	ServeQueryRange(w http.ResponseWriter, r *http.Request)
	ServeSeries(w http.ResponseWriter, r *http.Request)
	ServeLabels(w http.ResponseWriter, r *http.Request)
	ServeLabelValues(w http.ResponseWriter, r *http.Request, name string)
	ServeExport(w http.ResponseWriter, r *http.Request)
	// Flush makes all rows visible that were inserted before.
	Flush() error
}

// APILevel is the version of Prometheus whose query API this is. Grafana chooses
// its requests by it.
const APILevel = "2.24.0"

const (
	formBytes  = 1 << 20
	settleTime = 10 * time.Second
)

type api struct {
	db     Database
	meta   *Metadata
	settle func(ctx context.Context) error
}

// New makes the handler of /api/v1/. settle returns when everything acknowledged
// before is in the database.
func New(db Database, meta *Metadata, settle func(ctx context.Context) error) (http.Handler, error) {
	if db == nil || meta == nil || settle == nil {
		return nil, errors.New("prometheus API: database, metadata and settle are all needed")
	}
	a := &api{db, meta, settle}
	mux := http.NewServeMux()
	handle := func(path string, h http.HandlerFunc) {
		mux.HandleFunc("GET /api/v1/"+path, h)
		mux.HandleFunc("POST /api/v1/"+path, h)
	}
	handle("query", a.fresh(db.ServeQuery))
	handle("query_range", a.fresh(db.ServeQueryRange))
	handle("series", db.ServeSeries)
	handle("labels", db.ServeLabels)
	handle("label/{name}/values", func(w http.ResponseWriter, r *http.Request) { db.ServeLabelValues(w, r, r.PathValue("name")) })
	handle("export", a.settled(db.ServeExport))
	handle("metadata", a.metadata)
	handle("status/buildinfo", buildInfo)
	mux.HandleFunc("/", missing)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, formBytes)
		mux.ServeHTTP(w, r)
	}), nil
}

// fresh settles before a query that asks for it by nocache=1.
func (a *api) fresh(next http.HandlerFunc) http.HandlerFunc {
	settled := a.settled(next)
	return func(w http.ResponseWriter, r *http.Request) {
		if on, err := strconv.ParseBool(r.FormValue("nocache")); err == nil && on {
			settled(w, r)
			return
		}
		next(w, r)
	}
}

// settled answers once everything acknowledged before is visible.
func (a *api) settled(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), settleTime)
		defer cancel()
		err := a.settle(ctx)
		if err == nil {
			err = a.db.Flush()
		}
		if err != nil {
			w.Header().Set("Retry-After", "5")
			fail(w, http.StatusServiceUnavailable, "unavailable", err.Error())
			return
		}
		next(w, r)
	}
}

// An entry is one metadata of a family, as Prometheus spells it.
type entry struct {
	Type string `json:"type"`
	Help string `json:"help"`
	Unit string `json:"unit"`
}

var typeNames = map[delta.Type]string{
	delta.Unknown: "unknown", delta.Counter: "counter", delta.Gauge: "gauge", delta.Histogram: "histogram",
	delta.Summary: "summary", delta.Info: "info", delta.StateSet: "stateset",
}

func (a *api) metadata(w http.ResponseWriter, r *http.Request) {
	limit := -1
	for _, param := range []string{"limit", "limit_per_metric"} {
		text := r.FormValue(param)
		if text == "" {
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil {
			fail(w, http.StatusBadRequest, "bad_data", param+" must be a whole number")
			return
		}
		if param == "limit" {
			limit = n
		}
	}
	names := []string{r.FormValue("metric")}
	if names[0] == "" {
		names = a.meta.names()
		slices.SortFunc(names, cmp.Compare[string])
	}
	if limit >= 0 && len(names) > limit {
		names = names[:limit]
	}
	data := make(map[string][]entry, len(names))
	for _, name := range names {
		if meta, ok := a.meta.Family(name); ok {
			data[name] = []entry{{Type: cmp.Or(typeNames[meta.Type], "unknown"), Help: meta.Help, Unit: meta.Unit}}
		}
	}
	succeed(w, data)
}

func buildInfo(w http.ResponseWriter, _ *http.Request) {
	succeed(w, map[string]string{
		"application": "Ghostlight " + daemon.Version, "version": APILevel, "revision": daemon.Commit,
		"branch": "", "buildUser": "", "buildDate": "", "goVersion": "",
	})
}

func missing(w http.ResponseWriter, r *http.Request) {
	fail(w, http.StatusNotFound, "not_found", "the fleet has no "+strings.ToUpper(r.Method)+" "+r.URL.Path)
}

func succeed(w http.ResponseWriter, data any) {
	write(w, http.StatusOK, map[string]any{"status": "success", "data": data})
}

func fail(w http.ResponseWriter, status int, kind, message string) {
	write(w, status, map[string]string{"status": "error", "errorType": kind, "error": message})
}

func write(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body) //nolint:errcheck // the client has gone: nobody is left to tell
}
