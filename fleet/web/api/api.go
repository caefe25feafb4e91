// Package api is the centre's JSON API, below [Prefix]: the views that the pages
// show, and the calls that change something.
//
// It guarantees that openapi.json, which it serves, describes every call and that
// every answer is as described there; that only the API token may change anything;
// and that an error says what the caller can do. It computes nothing.
package api

import (
	"context"
	_ "embed"
	"errors"
	"io"
	"log/slog"
	"net/http"

	"ghostlight/buffer"
	"ghostlight/fleet/events"
	book "ghostlight/fleet/incident"
	"ghostlight/fleet/notify"
	"ghostlight/fleet/report"
	"ghostlight/fleet/status"
	"ghostlight/fleet/status/incidents"
	"ghostlight/fleet/status/objectives"
)

// Prefix is where the API is.
const Prefix = "/api/fleet/v1/"

//go:embed openapi.json
var description []byte

// Views is what is shown of venues and events; [status.Views] is one. What does not
// exist is [status.ErrUnknown], here and in what follows.
type Views interface {
	Fleet(ctx context.Context) (status.Fleet, error)
	Venue(ctx context.Context, venue string) (status.VenueDetail, error)
	Nodes(ctx context.Context) ([]status.Node, error)
	Events(ctx context.Context) (status.Events, error)
	Evidence(ctx context.Context, venue, traceID string) (status.EvidenceDetail, error) // empty venue: the latest claim
	EvidenceList(ctx context.Context, venue string, limit int) ([]status.EvidenceListed, error)
}

// Objectives is what is shown of objectives; [objectives.Views] is one.
type Objectives interface {
	List(ctx context.Context, q objectives.Query) (objectives.List, error)
	Objective(ctx context.Context, name string, q objectives.Query) (objectives.Detail, error)
	History(ctx context.Context, name string, q objectives.Query) (objectives.History, error)
	Revisions(ctx context.Context, name string, q objectives.Query) (objectives.Revisions, error)
	Audit(ctx context.Context, name string, q objectives.Query) (objectives.Audit, error)
}

// Incidents is what is shown of incidents; [incidents.Views] is one.
type Incidents interface {
	List(ctx context.Context, q incidents.Query) (incidents.List, error)
	Incident(ctx context.Context, id string) (incidents.Detail, error)
	MTTR(ctx context.Context, q incidents.Query) (incidents.MTTR, error)
}

// Reports makes the report of one event, as known now.
type Reports interface {
	Report(ctx context.Context, id string) (report.Report, error)
}

// Calendar plans, starts and ends events. [events.ErrInvalid] and
// [events.ErrUnknown] are the caller's fault.
type Calendar interface {
	Get(ctx context.Context, id string) (events.Event, error)
	Create(ctx context.Context, name string, venues []string) (events.Event, error)
	Plan(ctx context.Context, s events.Spec) (events.Event, error)
	Update(ctx context.Context, id string, s events.Spec) (events.Event, error)
	Begin(ctx context.Context, id string) (events.Event, error)
	End(ctx context.Context, id string) (events.Event, error)
	Cancel(ctx context.Context, id string) (events.Event, error)
	ImportICS(ctx context.Context, r io.Reader, o events.Import) (events.ImportResult, error)
}

// Desk is where people work on incidents; [book.Book] is one. [book.ErrInvalid] and
// [book.ErrUnknown] are the caller's fault.
type Desk interface {
	Acknowledge(ctx context.Context, id, by, text string) error
	Note(ctx context.Context, id, by, text string) error
	Close(ctx context.Context, id, by, text string) error
	Plan(ctx context.Context, what string, p book.Plan) error
}

// Silences hold back pages; [notify.Notifier] keeps them. [notify.ErrInvalid] and
// [notify.ErrUnknown] are the caller's fault.
type Silences interface {
	Silence(ctx context.Context, s notify.Silence) (notify.Silence, error)
	Silences(ctx context.Context) ([]notify.Silence, error)
	Expire(ctx context.Context, id string) error
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

// Options of [New]. All but Desk, Silences and Log are needed.
type Options struct {
	Views      Views
	Objectives Objectives
	Incidents  Incidents
	Reports    Reports
	Calendar   Calendar
	Journal    Journal
	Desk       Desk         // nil: nobody works on incidents here
	Silences   Silences     // nil: nothing is silenced here
	APIToken   string       // for calls that change something; empty: none may
	Log        *slog.Logger // nil: slog.Default
}

// An API answers calls below [Prefix].
type API struct {
	Options
	mux *http.ServeMux
}

// New makes the API.
func New(o Options) (*API, error) {
	if o.Views == nil || o.Objectives == nil || o.Incidents == nil || o.Reports == nil || o.Calendar == nil || o.Journal == nil {
		return nil, errors.New("fleet API: Views, Objectives, Incidents, Reports, Calendar and Journal are all needed")
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	a := &API{Options: o, mux: http.NewServeMux()}
	for _, r := range a.routes() {
		handler := r.handler
		if r.token {
			handler = a.guarded(handler)
		}
		a.mux.HandleFunc(r.method+" "+Prefix+r.path, handler)
	}
	a.mux.HandleFunc("GET "+Prefix, a.missing)
	return a, nil
}

// ServeHTTP implements [http.Handler].
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.mux.ServeHTTP(w, r) }
