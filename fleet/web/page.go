package web

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"ghostlight/fleet/report"
	"ghostlight/fleet/status"
	"ghostlight/fleet/status/objectives"
	"ghostlight/fleet/web/api"
	"ghostlight/internal/webui"
)

// view is one page's template, title and data.
type view struct {
	template, title string
	nowMS           int64
	data            any
}

// load reads the data of the page at path, such as "/venues/soho".
func (s *server) load(ctx context.Context, path string, query url.Values) (view, error) {
	kind, name, _ := strings.Cut(strings.Trim(path, "/"), "/")
	name, err := url.PathUnescape(name)
	if err != nil {
		return view{}, status.ErrUnknown
	}
	switch kind {
	case "":
		f, err := s.Views.Fleet(ctx)
		return view{"fleet", "Fleet", f.NowMS, f}, err
	case "venues":
		return s.ofVenue(ctx, name)
	case "objectives":
		return s.shelf.get(ctx, address(path, query), func(ctx context.Context) (view, error) { return s.ofObjectives(ctx, name, query) })
	case "mttr":
		return s.shelf.get(ctx, address(path, query), func(ctx context.Context) (view, error) { return s.ofIncidents(ctx, kind, name, query) })
	case "incidents":
		return s.ofIncidents(ctx, kind, name, query)
	case "events":
		if name == "" {
			e, err := s.Views.Events(ctx)
			return view{"events", "Events", e.NowMS, e}, err
		}
	}
	return view{}, status.ErrUnknown
}

func (s *server) ofVenue(ctx context.Context, name string) (view, error) {
	venue, trace, evidence := strings.Cut(name, "/evidence/")
	if evidence {
		e, err := s.Views.Evidence(ctx, venue, trace)
		return view{"evidence", e.Name + " failed", e.NowMS, e}, err
	}
	if name == "" || strings.Contains(name, "/") {
		return view{}, status.ErrUnknown
	}
	v, err := s.Views.Venue(ctx, name)
	return view{"venue", v.Name, v.NowMS, v}, err
}

func (s *server) ofObjectives(ctx context.Context, name string, query url.Values) (view, error) {
	q, err := api.ObjectiveQuery(query, api.Hour)
	if err != nil {
		return view{}, err
	}
	if name == "" {
		l, err := s.Objectives.List(ctx, q)
		return view{"objectives", "Objectives", l.NowMS, l}, err
	}
	d, err := s.Objectives.Objective(ctx, name, q)
	if err != nil {
		return view{}, err
	}
	// How the budget went is told of longer than the minutes above it.
	wide := objectives.Query{Region: q.Region, Venue: q.Venue, Event: q.Event, Known: q.Known}
	budget, err := s.Objectives.History(ctx, name, wide)
	if err != nil {
		return view{}, err
	}
	late, err := s.Objectives.Revisions(ctx, name, wide)
	if err != nil {
		return view{}, err
	}
	audit, err := s.Objectives.Audit(ctx, name, wide)
	d.Budget, d.Late, d.Pages = &budget, &late, &audit
	return view{"objective", d.DisplayName, d.NowMS, d}, err
}

func (s *server) ofIncidents(ctx context.Context, kind, name string, query url.Values) (view, error) {
	q, err := api.IncidentQuery(query)
	switch {
	case err != nil:
		return view{}, err
	case kind == "mttr" && name == "":
		m, err := s.Incidents.MTTR(ctx, q)
		return view{"mttr", "Time to restore", m.NowMS, m}, err
	case kind == "mttr":
		return view{}, status.ErrUnknown
	case name == "":
		l, err := s.Incidents.List(ctx, q)
		return view{"incidents", "Incidents", l.NowMS, l}, err
	}
	i, err := s.Incidents.Incident(ctx, name)
	return view{"incident", i.Place() + ": " + i.Title, i.NowMS, i}, err
}

// asked are the values of a query that a page depends on.
var asked = [...]string{"from", "to", "known", "venue", "region", "event", "open"}

func (s *server) page(w http.ResponseWriter, r *http.Request) {
	v, err := s.load(r.Context(), r.URL.EscapedPath(), r.URL.Query())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	live := asks(r.URL.Query())
	live.Set("page", r.URL.EscapedPath())
	s.render(w, r, http.StatusOK, v, "/live?"+live.Encode())
}

// asks is the part of a query that pages depend on.
func asks(query url.Values) url.Values {
	out := url.Values{}
	for _, key := range asked {
		if x := query.Get(key); x != "" {
			out.Set(key, x)
		}
	}
	return out
}

// address names a page and what is asked of it.
func address(path string, query url.Values) string { return path + "?" + asks(query).Encode() }

func (s *server) render(w http.ResponseWriter, r *http.Request, code int, v view, live string) {
	var out bytes.Buffer
	err := s.ui.Render(&out, v.template, webui.Page{
		Title: v.title, Description: "Live venues: what sells, what fails, what is dark", Theme: theme(r), Live: live,
		Nav: navigation(r.URL.Path), Foot: s.foot(), NowMS: v.nowMS, Data: v.data,
	})
	if err != nil {
		s.Log.Error("page cannot be rendered", "path", r.URL.Path, "error", err)
		http.Error(w, "this page cannot be rendered; the fleet's log says why", http.StatusInternalServerError)
		return
	}
	webui.Headers(w.Header())
	w.WriteHeader(code)
	w.Write(out.Bytes())
}

func (s *server) foot() string {
	return strings.TrimSpace("Ghostlight " + s.Version)
}

func now() int64 { return time.Now().UnixMilli() }

func navigation(path string) []webui.Link {
	return []webui.Link{
		{Text: "Fleet", Href: "/", Current: path == "/" || strings.HasPrefix(path, "/venues/")},
		{Text: "Incidents", Href: "/incidents", Current: strings.HasPrefix(path, "/incidents")},
		{Text: "Objectives", Href: "/objectives", Current: strings.HasPrefix(path, "/objectives")},
		{Text: "MTTR", Href: "/mttr", Current: path == "/mttr"},
		{Text: "Events", Href: "/events", Current: strings.HasPrefix(path, "/events")},
	}
}

// theme is the reader's choice by the address, for links and screenshots.
func theme(r *http.Request) string {
	if t := r.URL.Query().Get("theme"); t == "light" || t == "dark" {
		return t
	}
	return ""
}

// fail answers a page that has no data, in words and with a page around them.
func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	code, says := api.Fault(err)
	h := status.Headline{Tone: "bad", Says: "The fleet cannot read its books", Detail: "This page will work again when it can; the fleet's log says why."}
	switch {
	case code == http.StatusNotFound:
		h = status.Headline{Tone: "unknown", Says: "There is no such page", Detail: "Nothing in this fleet has that name."}
	case code == http.StatusBadRequest:
		h = status.Headline{Tone: "unknown", Says: "That is not a range of time", Detail: says}
	case r.Context().Err() != nil:
		return
	default:
		s.Log.Error("page has no data", "path", r.URL.Path, "error", err)
	}
	s.render(w, r, code, view{"error", h.Says, now(), h}, "")
}

func (s *server) missing(w http.ResponseWriter, r *http.Request) { s.fail(w, r, status.ErrUnknown) }

// live streams the changes of the page named by the query.
func (s *server) live(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Query().Get("page")
	if _, err := s.load(r.Context(), path, r.URL.Query()); err != nil {
		if code, says := api.Fault(err); code != http.StatusInternalServerError {
			http.Error(w, "page: "+says, http.StatusNotFound)
			return
		}
	}
	s.stream.Serve(w, r, func(ctx context.Context) ([]webui.Fragment, error) {
		v, err := s.load(ctx, path, r.URL.Query())
		if err != nil {
			return nil, err
		}
		return s.ui.Fragments(v.template, v.data)
	})
}

// report serves the self-contained report of an event.
func (s *server) report(w http.ResponseWriter, r *http.Request) {
	rep, err := s.Reports.Report(r.Context(), r.PathValue("id"))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	var out bytes.Buffer
	if err := report.Render(&out, rep, theme(r)); err != nil {
		s.Log.Error("report cannot be rendered", "event", rep.Event.ID, "error", err)
		http.Error(w, "this report cannot be rendered; the fleet's log says why", http.StatusInternalServerError)
		return
	}
	s.ui.StandaloneHeaders(w.Header())
	w.Write(out.Bytes())
}
