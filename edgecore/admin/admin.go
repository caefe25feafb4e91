// Package admin is edgecore's door for operators and their software: metrics,
// outcomes by cursor, the ledger in numbers, cache repair. All but metrics and
// health ask for a bearer token. It never changes a revenue fact.
package admin

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"ghostlight/edgecore/cache"
	"ghostlight/edgecore/httpapi"
	"ghostlight/edgecore/payments"
)

// A Ledger tells what was committed.
type Ledger interface {
	Summary() payments.Summary
	Outcomes(ctx context.Context, after int64, limit int) (payments.Page, error)
	// Changed returns a channel that is closed at the next commit.
	Changed() <-chan struct{}
}

// A Cache can be verified and repaired.
type Cache interface {
	Verify(ctx context.Context) (cache.Report, error)
	Repair(ctx context.Context) (cache.Report, error)
}

// Options configure the admin API.
type Options struct {
	Token   string
	Ledger  Ledger
	Cache   Cache
	Status  func() any      // the answer of /admin/status
	Metrics http.Handler    // serves /metrics
	Stop    context.Context // when it ends, long polls answer at once
	Log     *slog.Logger
}

// API is the admin door.
type API struct{ o Options }

// New checks o.
func New(o Options) (*API, error) {
	if o.Token == "" || o.Ledger == nil || o.Cache == nil || o.Status == nil || o.Metrics == nil || o.Stop == nil || o.Log == nil {
		return nil, errors.New("admin API needs a token, a ledger, a cache, a status, metrics, an end and a log")
	}
	return &API{o: o}, nil
}

// Routes adds the admin doors to rt.
func (a *API) Routes(rt *httpapi.Router) {
	rt.Handle("GET /metrics", a.o.Metrics)
	rt.HandleFunc("GET /healthz", Healthy)
	guard := func(h http.HandlerFunc) http.Handler { return httpapi.Bearer(a.o.Token, h) }
	rt.HandleStream("GET /admin/outcomes", guard(a.outcomes))
	rt.Handle("GET /admin/ledger", guard(func(w http.ResponseWriter, _ *http.Request) {
		httpapi.WriteJSON(w, http.StatusOK, a.o.Ledger.Summary())
	}))
	rt.Handle("GET /admin/status", guard(func(w http.ResponseWriter, _ *http.Request) {
		httpapi.WriteJSON(w, http.StatusOK, a.o.Status())
	}))
	rt.Handle("POST /admin/cache/verify", guard(a.cacheCall(a.o.Cache.Verify)))
	rt.Handle("POST /admin/cache/repair", guard(a.cacheCall(a.o.Cache.Repair)))
}

// Healthy answers that the process is alive.
func Healthy(w http.ResponseWriter, _ *http.Request) {
	httpapi.WriteJSON(w, http.StatusOK, map[string]string{"status": "alive"})
}

func (a *API) cacheCall(call func(context.Context) (cache.Report, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		report, err := call(r.Context())
		if err != nil {
			a.o.Log.Warn("cache call failed", "path", r.URL.Path, "error", err)
			httpapi.WriteError(w, httpapi.Errorf(http.StatusServiceUnavailable, "The cache could not be read through: %v.", err))
			return
		}
		httpapi.WriteJSON(w, http.StatusOK, report)
	}
}

// Bounds of a page of outcomes.
const (
	defaultLimit = 1000
	maxLimit     = 5000
)

// cursor is what a reader of outcomes asks for.
type cursor struct {
	after int64
	limit int
	wait  time.Duration
}

func parseCursor(r *http.Request) (cursor, error) {
	c := cursor{limit: defaultLimit}
	values := r.URL.Query()
	var err error
	if s := values.Get("after"); s != "" {
		if c.after, err = strconv.ParseInt(s, 10, 64); err != nil || c.after < 0 {
			return c, httpapi.Errorf(http.StatusBadRequest, "after=%q is not a sequence; use the seq of the last outcome read, or 0.", s)
		}
	}
	if s := values.Get("limit"); s != "" {
		if c.limit, err = strconv.Atoi(s); err != nil || c.limit < 1 || c.limit > maxLimit {
			return c, httpapi.Errorf(http.StatusBadRequest, "limit=%q is not a number from 1 to %d.", s, maxLimit)
		}
	}
	if s := values.Get("wait"); s != "" {
		if c.wait, err = time.ParseDuration(s); err != nil || c.wait < 0 || c.wait > httpapi.MaxWait {
			return c, httpapi.Errorf(http.StatusBadRequest, "wait=%q is not a duration up to %v, such as 5s.", s, httpapi.MaxWait)
		}
	}
	return c, nil
}

// outcomes answers with what follows the cursor; if nothing does, it waits for
// the next outcome up to the time the caller gave.
func (a *API) outcomes(w http.ResponseWriter, r *http.Request) {
	c, err := parseCursor(r)
	if err != nil {
		httpapi.WriteError(w, err)
		return
	}
	timer := time.NewTimer(c.wait)
	defer timer.Stop()
	for waited := c.wait == 0; ; {
		changed := a.o.Ledger.Changed()
		page, err := a.o.Ledger.Outcomes(r.Context(), c.after, c.limit)
		if err != nil {
			httpapi.WriteError(w, httpapi.Errorf(http.StatusServiceUnavailable, "The ledger could not be read: %v.", err))
			return
		}
		if len(page.Outcomes) > 0 || waited {
			httpapi.WriteJSON(w, http.StatusOK, page)
			return
		}
		select {
		case <-changed:
		case <-timer.C:
			waited = true
		case <-a.o.Stop.Done():
			waited = true
		case <-r.Context().Done():
			return
		}
	}
}
