// Package web is the fleet's face: pages for people, the JSON API with the same
// views, and live updates.
//
// It guarantees that a page works without scripts, that its figures are those of
// the JSON API, and that every answer carries a Content-Security-Policy without
// inline code. Only the API token may change anything, and only events change. It
// computes nothing: what it shows comes from status and report.
package web

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"time"

	"ghostlight/buffer"
	"ghostlight/fleet/events"
	"ghostlight/fleet/report"
	"ghostlight/fleet/status"
	"ghostlight/internal/webui"
)

//go:embed pages/*.html
var pageFiles embed.FS

// Views is what the pages show; [status.Views] is one. A venue, objective or
// event that does not exist is [status.ErrUnknown].
type Views interface {
	Fleet(ctx context.Context) (status.Fleet, error)
	Venue(ctx context.Context, venue string) (status.VenueDetail, error)
	Nodes(ctx context.Context) ([]status.Node, error)
	Objectives(ctx context.Context) (status.Objectives, error)
	Objective(ctx context.Context, name string, from, to time.Time) (status.ObjectiveDetail, error) // zero times: the last hour
	Events(ctx context.Context) (status.Events, error)
	Evidence(ctx context.Context, venue, traceID string) (status.EvidenceDetail, error) // empty venue: the latest claim
	EvidenceList(ctx context.Context, venue string, limit int) ([]status.EvidenceListed, error)
}

// Reports makes the report of one event, as known now; an event that does not
// exist is [status.ErrUnknown].
type Reports interface {
	Report(ctx context.Context, id string) (report.Report, error)
}

// Calendar starts and ends events. [events.ErrInvalid] and [events.ErrUnknown]
// are the caller's fault.
type Calendar interface {
	Create(ctx context.Context, name string, venues []string) (events.Event, error)
	End(ctx context.Context, id string) (events.Event, error)
}

// Accepted is what the centre durably took from one node in one lane.
type Accepted struct {
	Region  string      `json:"region"`
	Venue   string      `json:"venue"`
	Node    string      `json:"node"`
	Origin  string      `json:"origin"` // agent, or the door that it came through
	Lane    buffer.Lane `json:"lane"`
	Blocks  int64       `json:"blocks"`  // distinct
	Samples int64       `json:"samples"` // of these blocks
	Records int64       `json:"records"` // of these blocks
}

// OriginAgent is the origin of what a node's agent sent as blocks: these are the
// distinct blocks and samples that balance with what the node produced.
const OriginAgent = "agent"

// Journal counts what was accepted.
type Journal interface {
	Accepted(ctx context.Context) ([]Accepted, error)
}

// Options of [New]. All interfaces are needed.
type Options struct {
	Views    Views
	Reports  Reports
	Calendar Calendar
	Journal  Journal
	APIToken string        // for calls that change something; empty: none may
	Every    time.Duration // between looks for changes on live pages; 0: 1 s
	Readers  int           // live pages open at once; 0: 200
	Version  string        // shown at the foot of pages
	Log      *slog.Logger  // nil: slog.Default
}

type server struct {
	Options
	ui     *webui.UI
	stream *webui.Stream
}

// New makes the handler of the pages, /live, /static/ and /api/fleet/v1/.
func New(o Options) (http.Handler, error) {
	if o.Views == nil || o.Reports == nil || o.Calendar == nil || o.Journal == nil {
		return nil, errors.New("fleet web: Views, Reports, Calendar and Journal are all needed")
	}
	if o.Every == 0 {
		o.Every = time.Second
	}
	if o.Readers == 0 {
		o.Readers = 200
	}
	if o.Log == nil {
		o.Log = slog.Default()
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
	s := &server{Options: o, ui: ui, stream: stream}
	return s.routes(), nil
}

func (s *server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.page)
	mux.HandleFunc("GET /venues/{venue}", s.page)
	mux.HandleFunc("GET /venues/{venue}/evidence/{trace}", s.page)
	mux.HandleFunc("GET /objectives", s.page)
	mux.HandleFunc("GET /objectives/{name}", s.page)
	mux.HandleFunc("GET /events", s.page)
	mux.HandleFunc("GET /events/{id}/report", s.report)
	mux.HandleFunc("GET /live", s.live)
	mux.Handle("GET /static/", s.ui.Handler("/static/"))
	mux.HandleFunc("GET /", s.missing)

	const api = "/api/fleet/v1/"
	mux.HandleFunc("GET "+api+"fleet", s.apiFleet)
	mux.HandleFunc("GET "+api+"venues", s.apiVenues)
	mux.HandleFunc("GET "+api+"venues/{venue}", s.apiVenue)
	mux.HandleFunc("GET "+api+"nodes", s.apiNodes)
	mux.HandleFunc("GET "+api+"objectives", s.apiObjectives)
	mux.HandleFunc("GET "+api+"objectives/{name}", s.apiObjective)
	mux.HandleFunc("GET "+api+"events", s.apiEvents)
	mux.HandleFunc("POST "+api+"events", s.apiCreate)
	mux.HandleFunc("POST "+api+"events/{id}/end", s.apiEnd)
	mux.HandleFunc("GET "+api+"events/{id}/report", s.apiReport)
	mux.HandleFunc("GET "+api+"accepted", s.apiAccepted)
	mux.HandleFunc("GET "+api+"evidence", s.apiEvidence)
	mux.HandleFunc("GET "+api, s.apiMissing)
	return mux
}
