package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"ghostlight/fleet/events"
	book "ghostlight/fleet/incident"
	"ghostlight/fleet/notify"
	"ghostlight/fleet/status"
	"ghostlight/fleet/status/incidents"
	"ghostlight/fleet/status/objectives"
)

// answer writes a view, or the error in its place.
func (a *API) answer(w http.ResponseWriter, r *http.Request, v any, err error) {
	if err != nil {
		a.refuse(w, r, err)
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
func (a *API) refuse(w http.ResponseWriter, r *http.Request, err error) {
	code, says := Fault(err)
	if code == http.StatusInternalServerError {
		if r.Context().Err() != nil {
			return
		}
		a.Log.Error("api call failed", "path", r.URL.Path, "error", err)
	}
	writeJSON(w, code, map[string]string{"error": says})
}

// Fault is the status code of an error and what its caller is told.
func Fault(err error) (code int, says string) {
	is := func(some ...error) bool {
		for _, e := range some {
			if errors.Is(err, e) {
				return true
			}
		}
		return false
	}
	switch {
	case is(status.ErrUnknown, events.ErrUnknown, book.ErrUnknown, notify.ErrUnknown):
		return http.StatusNotFound, err.Error()
	case is(events.ErrInvalid, book.ErrInvalid, notify.ErrInvalid, ErrQuery, errBody):
		return http.StatusBadRequest, err.Error()
	case is(errAbsent):
		return http.StatusNotImplemented, err.Error()
	}
	return http.StatusInternalServerError, "the fleet cannot read its books; its log says why"
}

// guarded lets a call through only with the API token.
func (a *API) guarded(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok || !a.Allowed(token) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="fleet"`)
			writeJSON(w, http.StatusUnauthorized, map[string]string{"error": "this call needs the fleet's api_token: Authorization: Bearer TOKEN"})
			return
		}
		next(w, r)
	}
}

// Allowed checks the API token in constant time.
func (a *API) Allowed(token string) bool {
	got, want := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(a.APIToken))
	return a.APIToken != "" && subtle.ConstantTimeCompare(got[:], want[:]) == 1
}

// ErrQuery means that a query does not say what it should.
var ErrQuery = errors.New("times must be Unix milliseconds or RFC 3339, from before to, and not too far apart")

// Longest is how far from and to may be apart.
type Longest time.Duration

// What may be asked for at once.
const (
	Hour Longest = Longest(31 * 24 * time.Hour)  // instead of the last hour, by the minute
	Past Longest = Longest(400 * 24 * time.Hour) // of a history
)

// ObjectiveQuery reads what a query asks of objectives.
func ObjectiveQuery(q url.Values, longest Longest) (objectives.Query, error) {
	out := objectives.Query{Region: q.Get("region"), Venue: q.Get("venue"), Event: q.Get("event")}
	var err error
	if known := q.Get("known"); known != "" {
		if out.Known, err = moment(known); err != nil {
			return out, err
		}
	}
	out.From, out.To, err = window(q, longest)
	return out, err
}

// IncidentQuery reads what a query asks of incidents.
func IncidentQuery(q url.Values) (incidents.Query, error) {
	out := incidents.Query{Venue: q.Get("venue")}
	var err error
	if open := q.Get("open"); open != "" {
		if out.Open, err = strconv.ParseBool(open); err != nil {
			return out, ErrQuery
		}
	}
	if from := q.Get("from"); from != "" {
		out.From, err = moment(from)
	}
	return out, err
}

// window reads from and to; both absent means the latest.
func window(q url.Values, longest Longest) (from, to time.Time, err error) {
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
	if !from.Before(to) || to.Sub(from) > time.Duration(longest) {
		return from, to, ErrQuery
	}
	return from, to, nil
}

// moment reads a time; what a date field of a browser sends is UTC.
func moment(s string) (time.Time, error) {
	if ms, err := strconv.ParseInt(s, 10, 64); err == nil && ms > 0 {
		return time.UnixMilli(ms), nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04", "2006-01-02T15:04:05"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, ErrQuery
}
