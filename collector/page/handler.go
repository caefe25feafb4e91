package page

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"ghostlight/buffer"
)

// Bounds of what a flush may ask for.
const (
	defaultFlush = 20 * time.Second
	maxFlush     = 2 * time.Minute
	defaultHold  = 10 * time.Second
	maxHold      = time.Minute
)

// maxLive bounds the live streams open at a time.
const maxLive = 32

// Flushed is the answer to a flush.
type Flushed struct {
	Drained  bool                  `json:"drained"`          // the fleet holds everything
	Produced map[buffer.Lane]int64 `json:"produced"`         // samples, over the life of the data folder
	Lost     map[buffer.Lane]int64 `json:"lost"`             // of these, given up as declared
	Errors   []string              `json:"errors,omitempty"` // what could not be read one last time
}

// Options configure a [Handler].
type Options struct {
	Status func() Status
	// Render writes the HTML page.
	Render func(w io.Writer, s Status) error
	// Flush reads everything once more and waits until the buffer is empty or
	// ctx ends, then keeps producers waiting for hold, so that the counts in the
	// answer stay true.
	Flush func(ctx context.Context, hold time.Duration) (Flushed, error)
	Token string        // opens POST /api/flush
	Every time.Duration // between events of /live; 0 means 1 s
	Log   *slog.Logger
}

// A Handler serves the node's page.
type Handler struct {
	o    Options
	mux  *http.ServeMux
	live chan struct{} // a token for each open stream
}

// NewHandler checks the options.
func NewHandler(o Options) (*Handler, error) {
	if o.Status == nil || o.Render == nil || o.Flush == nil || o.Token == "" {
		return nil, errors.New("page: status, render, flush and token are needed")
	}
	if o.Every == 0 {
		o.Every = time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	h := &Handler{o: o, mux: http.NewServeMux(), live: make(chan struct{}, maxLive)}
	h.mux.HandleFunc("GET /{$}", h.page)
	h.mux.HandleFunc("GET /api/status", h.status)
	h.mux.HandleFunc("GET /live", h.stream)
	h.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	h.mux.HandleFunc("POST /api/flush", h.flush)
	return h, nil
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Referrer-Policy", "no-referrer")
	h.mux.ServeHTTP(w, r)
}

func (h *Handler) page(w http.ResponseWriter, _ *http.Request) {
	var body bytes.Buffer
	if err := h.o.Render(&body, h.o.Status()); err != nil {
		h.o.Log.Error("the page cannot be rendered", "err", err)
		http.Error(w, "the page cannot be rendered; /api/status has the same facts", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Write(body.Bytes()) //nolint:errcheck // the reader is gone
}

func (h *Handler) status(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, h.o.Status())
}

// stream sends the status as server-sent events until the reader goes.
func (h *Handler) stream(w http.ResponseWriter, r *http.Request) {
	select {
	case h.live <- struct{}{}:
		defer func() { <-h.live }()
	default:
		refuse(w, http.StatusServiceUnavailable, "too many live streams are open; try again later")
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	out := http.NewResponseController(w)
	tick := time.NewTicker(h.o.Every)
	defer tick.Stop()
	for {
		body, err := json.Marshal(h.o.Status())
		if err != nil {
			h.o.Log.Error("the status cannot be encoded", "err", err)
			return
		}
		if _, err := fmt.Fprintf(w, "event: status\ndata: %s\n\n", body); err != nil || out.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
	}
}

func (h *Handler) flush(w http.ResponseWriter, r *http.Request) {
	given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || subtle.ConstantTimeCompare([]byte(given), []byte(h.o.Token)) != 1 {
		refuse(w, http.StatusUnauthorized, "send this node's fleet token as a bearer token")
		return
	}
	wait, err := span(r, "timeout", defaultFlush, maxFlush)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	hold, err := span(r, "hold", defaultHold, maxHold)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	defer cancel()
	res, err := h.o.Flush(ctx, hold)
	if err != nil {
		refuse(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	answer(w, http.StatusOK, res)
}

// span reads a duration from the query, from 0 to most.
func span(r *http.Request, name string, otherwise, most time.Duration) (time.Duration, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return otherwise, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > most {
		return 0, fmt.Errorf("%s=%q is not a duration from 0s to %s", name, text, most)
	}
	return d, nil
}

func refuse(w http.ResponseWriter, code int, sentence string) {
	answer(w, code, map[string]string{"error": sentence})
}

func answer(w http.ResponseWriter, code int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, `{"error":"the answer cannot be encoded"}`, http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	w.Write(append(body, '\n')) //nolint:errcheck // the reader is gone
}
