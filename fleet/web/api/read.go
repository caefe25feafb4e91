package api

import (
	"cmp"
	"net/http"

	"ghostlight/fleet/notify"
	"ghostlight/fleet/status"
	"ghostlight/fleet/status/objectives"
)

// maxListed bounds a list of evidence.
const maxListed = 500

func (a *API) fleet(w http.ResponseWriter, r *http.Request) {
	v, err := a.Views.Fleet(r.Context())
	a.answer(w, r, v, err)
}

func (a *API) venues(w http.ResponseWriter, r *http.Request) {
	v, err := a.Views.Fleet(r.Context())
	a.answer(w, r, list(v.Venues), err)
}

func (a *API) venue(w http.ResponseWriter, r *http.Request) {
	v, err := a.Views.Venue(r.Context(), r.PathValue("venue"))
	a.answer(w, r, v, err)
}

func (a *API) nodes(w http.ResponseWriter, r *http.Request) {
	v, err := a.Views.Nodes(r.Context())
	a.answer(w, r, list(v), err)
}

// list is never null in JSON.
func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// accepted lists what was accepted from agents by node and lane. What came through
// another door has its repeats counted, so it has no place in a node's books and is
// listed only when asked for.
func (a *API) accepted(w http.ResponseWriter, r *http.Request) {
	all, err := a.Journal.Accepted(r.Context())
	node, venue := r.URL.Query().Get("node"), r.URL.Query().Get("venue")
	origin := cmp.Or(r.URL.Query().Get("origin"), OriginAgent)
	out := []Accepted{}
	for _, x := range all {
		if (node == "" || x.Node == node) && (venue == "" || x.Venue == venue) && (origin == "all" || x.Origin == origin) {
			out = append(out, x)
		}
	}
	a.answer(w, r, out, err)
}

func (a *API) evidence(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if id := q.Get("trace_id"); id != "" {
		v, err := a.Views.Evidence(r.Context(), q.Get("venue"), id)
		a.answer(w, r, v, err)
		return
	}
	v, err := a.Views.EvidenceList(r.Context(), q.Get("venue"), maxListed)
	a.answer(w, r, list(v), err)
}

func (a *API) objectives(w http.ResponseWriter, r *http.Request) {
	q, err := ObjectiveQuery(r.URL.Query(), Hour)
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	v, err := a.Objectives.List(r.Context(), q)
	a.answer(w, r, list(v.List), err)
}

// ofObjective answers what one view says of the objective that the path names.
func ofObjective[T any](a *API, w http.ResponseWriter, r *http.Request, longest Longest, view func(string, objectives.Query) (T, error)) {
	q, err := ObjectiveQuery(r.URL.Query(), longest)
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	v, err := view(r.PathValue("name"), q)
	a.answer(w, r, v, err)
}

func (a *API) objective(w http.ResponseWriter, r *http.Request) {
	ofObjective(a, w, r, Hour, func(name string, q objectives.Query) (objectives.Detail, error) {
		return a.Objectives.Objective(r.Context(), name, q)
	})
}

func (a *API) history(w http.ResponseWriter, r *http.Request) {
	ofObjective(a, w, r, Past, func(name string, q objectives.Query) (objectives.History, error) {
		return a.Objectives.History(r.Context(), name, q)
	})
}

func (a *API) revisions(w http.ResponseWriter, r *http.Request) {
	ofObjective(a, w, r, Past, func(name string, q objectives.Query) (objectives.Revisions, error) {
		return a.Objectives.Revisions(r.Context(), name, q)
	})
}

func (a *API) audit(w http.ResponseWriter, r *http.Request) {
	ofObjective(a, w, r, Past, func(name string, q objectives.Query) (objectives.Audit, error) {
		return a.Objectives.Audit(r.Context(), name, q)
	})
}

func (a *API) incidents(w http.ResponseWriter, r *http.Request) {
	q, err := IncidentQuery(r.URL.Query())
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	v, err := a.Incidents.List(r.Context(), q)
	a.answer(w, r, v, err)
}

func (a *API) incident(w http.ResponseWriter, r *http.Request) {
	v, err := a.Incidents.Incident(r.Context(), r.PathValue("id"))
	a.answer(w, r, v, err)
}

func (a *API) mttr(w http.ResponseWriter, r *http.Request) {
	q, err := IncidentQuery(r.URL.Query())
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	v, err := a.Incidents.MTTR(r.Context(), q)
	a.answer(w, r, v, err)
}

func (a *API) events(w http.ResponseWriter, r *http.Request) {
	v, err := a.Views.Events(r.Context())
	a.answer(w, r, list[status.Event](v.List), err)
}

func (a *API) report(w http.ResponseWriter, r *http.Request) {
	v, err := a.Reports.Report(r.Context(), r.PathValue("id"))
	a.answer(w, r, v, err)
}

func (a *API) silences(w http.ResponseWriter, r *http.Request) {
	if a.Silences == nil {
		a.answer(w, r, []notify.Silence{}, nil)
		return
	}
	v, err := a.Silences.Silences(r.Context())
	a.answer(w, r, list(v), err)
}

func (a *API) openapi(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	w.Write(description)
}

func (a *API) missing(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusNotFound, map[string]string{"error": "there is no such call; " + Prefix + "openapi.json lists all"})
}
