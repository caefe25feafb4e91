package web

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"ghostlight/fleet/report"
	"ghostlight/fleet/status"
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
	switch {
	case kind == "" && name == "":
		f, err := s.Views.Fleet(ctx)
		return view{"fleet", "Fleet", f.NowMS, f}, err
	case kind == "venues" && strings.Contains(name, "/"):
		venue, trace, ok := strings.Cut(name, "/evidence/")
		if !ok {
			return view{}, status.ErrUnknown
		}
		e, err := s.Views.Evidence(ctx, venue, trace)
		return view{"evidence", e.Name + " failed", e.NowMS, e}, err
	case kind == "venues" && name != "":
		v, err := s.Views.Venue(ctx, name)
		return view{"venue", v.Name, v.NowMS, v}, err
	case kind == "objectives" && name == "":
		o, err := s.Views.Objectives(ctx)
		return view{"objectives", "Objectives", o.NowMS, o}, err
	case kind == "objectives":
		from, to, err := window(query)
		if err != nil {
			return view{}, err
		}
		o, err := s.Views.Objective(ctx, name, from, to)
		return view{"objective", o.DisplayName, o.NowMS, o}, err
	case kind == "events" && name == "":
		e, err := s.Views.Events(ctx)
		return view{"events", "Events", e.NowMS, e}, err
	}
	return view{}, status.ErrUnknown
}

func (s *server) page(w http.ResponseWriter, r *http.Request) {
	v, err := s.load(r.Context(), r.URL.EscapedPath(), r.URL.Query())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	live := url.Values{"page": {r.URL.EscapedPath()}}
	for _, key := range []string{"from", "to"} {
		if x := r.URL.Query().Get(key); x != "" {
			live.Set(key, x)
		}
	}
	s.render(w, r, http.StatusOK, v, "/live?"+live.Encode())
}

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

func navigation(path string) []webui.Link {
	return []webui.Link{
		{Text: "Fleet", Href: "/", Current: path == "/" || strings.HasPrefix(path, "/venues/")},
		{Text: "Objectives", Href: "/objectives", Current: strings.HasPrefix(path, "/objectives")},
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
	code, says := http.StatusInternalServerError, status.Headline{
		Tone: "bad", Says: "The fleet cannot read its books", Detail: "This page will work again when it can; the fleet's log says why.",
	}
	switch {
	case errors.Is(err, status.ErrUnknown):
		code, says = http.StatusNotFound, status.Headline{Tone: "unknown", Says: "There is no such page", Detail: "Nothing in this fleet has that name."}
	case errors.Is(err, errWindow):
		code, says = http.StatusBadRequest, status.Headline{Tone: "unknown", Says: "That is not a range of time", Detail: err.Error()}
	case r.Context().Err() != nil:
		return
	default:
		s.Log.Error("page has no data", "path", r.URL.Path, "error", err)
	}
	s.render(w, r, code, view{"error", says.Says, time.Now().UnixMilli(), says}, "")
}

func (s *server) missing(w http.ResponseWriter, r *http.Request) { s.fail(w, r, status.ErrUnknown) }

// live streams the changes of the page named by the query.
func (s *server) live(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Query().Get("page")
	if _, err := s.load(r.Context(), path, r.URL.Query()); errors.Is(err, status.ErrUnknown) || errors.Is(err, errWindow) {
		http.Error(w, "page: "+err.Error(), http.StatusNotFound)
		return
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
