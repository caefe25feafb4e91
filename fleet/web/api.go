package web

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"ghostlight/fleet/events"
	"ghostlight/fleet/status"
)

const (
	// maxBody bounds the body of a changing call.
	maxBody = 64 << 10
	// maxListed bounds a list of evidence.
	maxListed = 500
)

// answer writes a view, or the error in its place.
func (s *server) answer(w http.ResponseWriter, r *http.Request, v any, err error) {
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, v)
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		code, body = http.StatusInternalServerError, []byte(`{"error":"the answer cannot be encoded"}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	w.Write(append(body, '\n'))
}

// refuse answers an error as JSON: the caller's fault with its reason, ours
// without.
func (s *server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	code, says := http.StatusInternalServerError, "the fleet cannot read its books; its log says why"
	switch {
	case errors.Is(err, status.ErrUnknown), errors.Is(err, events.ErrUnknown):
		code, says = http.StatusNotFound, err.Error()
	case errors.Is(err, events.ErrInvalid), errors.Is(err, errWindow):
		code, says = http.StatusBadRequest, err.Error()
	case r.Context().Err() != nil:
		return
	default:
		s.Log.Error("api call failed", "path", r.URL.Path, "error", err)
	}
	writeJSON(w, code, map[string]string{"error": says})
}

func (s *server) apiFleet(w http.ResponseWriter, r *http.Request) {
	v, err := s.Views.Fleet(r.Context())
	s.answer(w, r, v, err)
}

func (s *server) apiVenues(w http.ResponseWriter, r *http.Request) {
	v, err := s.Views.Fleet(r.Context())
	if v.Venues == nil {
		v.Venues = []status.Venue{}
	}
	s.answer(w, r, v.Venues, err)
}

func (s *server) apiVenue(w http.ResponseWriter, r *http.Request) {
	v, err := s.Views.Venue(r.Context(), r.PathValue("venue"))
	s.answer(w, r, v, err)
}

func (s *server) apiNodes(w http.ResponseWriter, r *http.Request) {
	v, err := s.Views.Nodes(r.Context())
	if v == nil {
		v = []status.Node{}
	}
	s.answer(w, r, v, err)
}

func (s *server) apiObjectives(w http.ResponseWriter, r *http.Request) {
	v, err := s.Views.Objectives(r.Context())
	if v.List == nil {
		v.List = []status.Objective{}
	}
	s.answer(w, r, v.List, err)
}

func (s *server) apiObjective(w http.ResponseWriter, r *http.Request) {
	from, to, err := window(r.URL.Query())
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	v, err := s.Views.Objective(r.Context(), r.PathValue("name"), from, to)
	s.answer(w, r, v, err)
}

func (s *server) apiEvents(w http.ResponseWriter, r *http.Request) {
	v, err := s.Views.Events(r.Context())
	if v.List == nil {
		v.List = []status.Event{}
	}
	s.answer(w, r, v.List, err)
}

func (s *server) apiReport(w http.ResponseWriter, r *http.Request) {
	v, err := s.Reports.Report(r.Context(), r.PathValue("id"))
	s.answer(w, r, v, err)
}

// apiAccepted lists what was accepted from agents by node and lane; ?node= and
// ?venue= pick. ?origin= asks for what came through another door, or for all; its
// repeats are counted, so it has no place in a node's books.
func (s *server) apiAccepted(w http.ResponseWriter, r *http.Request) {
	all, err := s.Journal.Accepted(r.Context())
	node, venue := r.URL.Query().Get("node"), r.URL.Query().Get("venue")
	origin := cmp.Or(r.URL.Query().Get("origin"), OriginAgent)
	out := []Accepted{}
	for _, a := range all {
		if (node == "" || a.Node == node) && (venue == "" || a.Venue == venue) && (origin == "all" || a.Origin == origin) {
			out = append(out, a)
		}
	}
	s.answer(w, r, out, err)
}

// apiEvidence answers one kept trace, or lists what is kept; ?venue= picks.
func (s *server) apiEvidence(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if id := q.Get("trace_id"); id != "" {
		v, err := s.Views.Evidence(r.Context(), q.Get("venue"), id)
		s.answer(w, r, v, err)
		return
	}
	v, err := s.Views.EvidenceList(r.Context(), q.Get("venue"), maxListed)
	s.answer(w, r, v, err)
}

func (s *server) apiMissing(w http.ResponseWriter, r *http.Request) {
	writeJSON(w, http.StatusNotFound, map[string]string{"error": "there is no such call; see /api/fleet/v1/{fleet,venues,nodes,objectives,events,accepted,evidence}"})
}

func (s *server) apiCreate(w http.ResponseWriter, r *http.Request) {
	if !s.allowed(w, r) {
		return
	}
	var ask struct {
		Name   string   `json:"name"`
		Venues []string `json:"venues"`
	}
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&ask); err != nil {
		s.refuse(w, r, fmt.Errorf("%w: %w; send {\"name\": ..., \"venues\": [...]}", events.ErrInvalid, err))
		return
	}
	e, err := s.Calendar.Create(r.Context(), ask.Name, ask.Venues)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	writeJSON(w, http.StatusCreated, e)
}

func (s *server) apiEnd(w http.ResponseWriter, r *http.Request) {
	if !s.allowed(w, r) {
		return
	}
	io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, maxBody))
	e, err := s.Calendar.End(r.Context(), r.PathValue("id"))
	s.answer(w, r, e, err)
}

// allowed checks the API token in constant time.
func (s *server) allowed(w http.ResponseWriter, r *http.Request) bool {
	got, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	a, b := sha256.Sum256([]byte(got)), sha256.Sum256([]byte(s.APIToken))
	if s.APIToken != "" && ok && subtle.ConstantTimeCompare(a[:], b[:]) == 1 {
		return true
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="fleet"`)
	writeJSON(w, http.StatusUnauthorized, map[string]string{"error": "this call needs the fleet's api_token: Authorization: Bearer TOKEN"})
	return false
}

var errWindow = errors.New("from and to must be Unix milliseconds or RFC 3339 times, from before to, at most 31 days apart")

// window reads ?from&to; both absent means the default window.
func window(q url.Values) (from, to time.Time, err error) {
	f, t := q.Get("from"), q.Get("to")
	if f == "" && t == "" {
		return from, to, nil
	}
	if from, err = moment(f); err != nil {
		return from, to, err
	}
	if to, err = moment(t); err != nil {
		return from, to, err
	}
	if !from.Before(to) || to.Sub(from) > 31*24*time.Hour {
		return from, to, errWindow
	}
	return from, to, nil
}

func moment(s string) (time.Time, error) {
	if ms, err := strconv.ParseInt(s, 10, 64); err == nil && ms > 0 {
		return time.UnixMilli(ms), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, errWindow
	}
	return t, nil
}
