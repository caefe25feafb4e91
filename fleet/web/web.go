// Package web is the fleet's face: pages for people, the JSON API with the same
// views (in api), and live updates.
//
// It guarantees that a page works without scripts, that its figures are those of
// the JSON API, and that every answer carries a Content-Security-Policy without
// inline code. Only the API token may change anything. It computes nothing: what it
// shows comes from status and report.
package web

import (
	"embed"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"time"

	"ghostlight/fleet/web/api"
	"ghostlight/internal/webui"
)

//go:embed pages/*.html
var pageFiles embed.FS

// Options of [New].
type Options struct {
	api.Options
	Every   time.Duration // between looks for changes on live pages; 0: 1 s
	Readers int           // live pages open at once; 0: 200
	Version string        // shown at the foot of pages
}

// shelfFor is how many looks for changes one view of an objective or of MTTR serves.
const shelfFor = 5

type server struct {
	Options
	api    *api.API
	ui     *webui.UI
	stream *webui.Stream
	shelf  shelf
}

// New makes the handler of the pages, /live, /static/ and [api.Prefix].
func New(o Options) (http.Handler, error) {
	if o.Every == 0 {
		o.Every = time.Second
	}
	if o.Readers == 0 {
		o.Readers = 200
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	calls, err := api.New(o.Options)
	if err != nil {
		return nil, fmt.Errorf("fleet web: %w", err)
	}
	pages, err := fs.Sub(pageFiles, "pages")
	if err != nil {
		return nil, fmt.Errorf("fleet web: %w", err)
	}
	ui, err := webui.New(webui.Options{Product: "Ghostlight", Funcs: funcs(), Pages: pages})
	if err != nil {
		return nil, fmt.Errorf("fleet web: %w", err)
	}
	stream, err := webui.NewStream(o.Every, o.Readers)
	if err != nil {
		return nil, fmt.Errorf("fleet web: %w", err)
	}
	s := &server{Options: o, api: calls, ui: ui, stream: stream, shelf: shelf{hold: shelfFor * o.Every}}
	return s.routes(), nil
}

func (s *server) routes() http.Handler {
	mux := http.NewServeMux()
	for _, path := range []string{
		"/{$}", "/venues/{venue}", "/venues/{venue}/evidence/{trace}", "/objectives", "/objectives/{name}",
		"/incidents", "/incidents/{id}", "/mttr", "/events",
	} {
		mux.HandleFunc("GET "+path, s.page)
	}
	mux.HandleFunc("POST /incidents/{id}/act", s.act)
	mux.HandleFunc("GET /events/{id}/report", s.report)
	mux.HandleFunc("GET /live", s.live)
	mux.Handle("GET /static/", s.ui.Handler("/static/"))
	mux.HandleFunc("GET /", s.missing)
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		mux.Handle(method+" "+api.Prefix, s.api)
	}
	return mux
}
