package api

import (
	"net/http"

	"ghostlight/fleet/events"
	"ghostlight/fleet/notify"
	"ghostlight/fleet/report"
	"ghostlight/fleet/status"
	"ghostlight/fleet/status/incidents"
	"ghostlight/fleet/status/objectives"
)

// A route is one call. What it says and takes and answers is written into
// openapi.json by the test that checks it.
type route struct {
	method, path string // below Prefix
	says         string
	params       []param // of the query
	takes        any     // a value of the body's type; nil: none
	takesType    string  // media type of the body; empty: JSON
	answers      any     // a value of the answer's type; nil: none
	code         int     // of success; 0: 200
	token        bool    // it changes something
	handler      http.HandlerFunc
}

// A param is a value of the query.
type param struct{ name, says string }

var (
	venueParam  = param{"venue", "One venue; all without it."}
	regionParam = param{"region", "One region; all without it."}
	eventParam  = param{"event", "The id of an event: its time and its venues."}
	knownParam  = param{"known", "As it was known at this time: Unix milliseconds or RFC 3339; as known now without it."}
	fromParam   = param{"from", "From this time: Unix milliseconds or RFC 3339."}
	toParam     = param{"to", "To this time, not included."}
)

// routes are all calls.
func (a *API) routes() []route {
	var out []route
	for _, some := range [][]route{a.ofVenues(), a.ofObjectives(), a.ofIncidents(), a.ofEvents(), a.ofSilences()} {
		out = append(out, some...)
	}
	return append(out, route{method: "GET", path: "openapi.json", says: "This description.", answers: map[string]any{}, handler: a.openapi})
}

func (a *API) ofVenues() []route {
	return []route{
		{method: "GET", path: "fleet", says: "Which venue needs somebody now, and how all are.", answers: status.Fleet{}, handler: a.fleet},
		{method: "GET", path: "venues", says: "All venues, the most urgent first.", answers: []status.Venue{}, handler: a.venues},
		{method: "GET", path: "venues/{venue}", says: "One venue with its nodes, objectives and heals.", answers: status.VenueDetail{}, handler: a.venue},
		{method: "GET", path: "nodes", says: "All nodes: what they produced, what is here, what waits and what was lost.", answers: []status.Node{}, handler: a.nodes},
		{method: "GET", path: "accepted", says: "What was accepted by node and lane.", answers: []Accepted{}, handler: a.accepted, params: []param{
			{"node", "One node; all without it."}, venueParam, {"origin", "The door it came through, or all; what agents sent without it."},
		}},
		{method: "GET", path: "evidence", says: "What is kept of failures, the latest first; with trace_id one of them, with its spans and log lines.", answers: oneOf{[]status.EvidenceListed{}, status.EvidenceDetail{}}, handler: a.evidence, params: []param{
			venueParam, {"trace_id", "The trace of one."},
		}},
	}
}

func (a *API) ofObjectives() []route {
	scope := []param{venueParam, regionParam, eventParam, knownParam}
	ranged := append(scope[:len(scope):len(scope)], fromParam, toParam)
	return []route{
		{method: "GET", path: "objectives", says: "Every objective over its own window and over the last hour.", answers: []objectives.Row{}, handler: a.objectives, params: scope},
		{method: "GET", path: "objectives/{name}", says: "One objective together, at each venue, in each region and over each show; from and to instead of the last hour, at most 31 days.", answers: objectives.Detail{}, handler: a.objective, params: ranged},
		{method: "GET", path: "objectives/{name}/history", says: "How its error budget went, at most 400 days.", answers: objectives.History{}, handler: a.history, params: ranged},
		{method: "GET", path: "objectives/{name}/revisions", says: "Minutes that became known, or others, after they had settled, with the cause and the arrival.", answers: objectives.Revisions{}, handler: a.revisions, params: ranged},
		{method: "GET", path: "objectives/{name}/audit", says: "Whether the pages it sent were right.", answers: objectives.Audit{}, handler: a.audit, params: []param{venueParam, regionParam, fromParam, toParam}},
	}
}

func (a *API) ofIncidents() []route {
	return []route{
		{method: "GET", path: "incidents", says: "What goes on, the most urgent first, and what is over; what has one cause is one.", answers: incidents.List{}, handler: a.incidents, params: []param{
			venueParam, {"open", "true: only what goes on."}, fromParam,
		}},
		{method: "GET", path: "incidents/{id}", says: "One incident by any of its ids, with its timeline on the node's clock and by arrival at the centre.", answers: incidents.Detail{}, handler: a.incident},
		{method: "POST", path: "incidents/{id}/ack", says: "Take it on.", takes: said{}, answers: incidents.Detail{}, token: true, handler: a.acknowledge},
		{method: "POST", path: "incidents/{id}/notes", says: "Write something about it.", takes: said{}, answers: incidents.Detail{}, token: true, handler: a.note},
		{method: "POST", path: "incidents/{id}/close", says: "Close it without parity; one that fails again is open again.", takes: said{}, answers: incidents.Detail{}, token: true, handler: a.close},
		{method: "POST", path: "plans", says: "Plan time that does not count as lost, of one incident or of a venue.", takes: plan{}, code: http.StatusNoContent, token: true, handler: a.plan},
		{method: "GET", path: "mttr", says: "How long operations take to be restored; of what is not over it is known only that it lasts longer.", answers: incidents.MTTR{}, handler: a.mttr, params: []param{venueParam, fromParam}},
	}
}

func (a *API) ofEvents() []route {
	return []route{
		{method: "GET", path: "events", says: "All events, the latest start first.", answers: []status.Event{}, handler: a.events},
		{method: "POST", path: "events", says: "Plan an event; without times it starts now and its end is open.", takes: events.Spec{}, answers: events.Event{}, code: http.StatusCreated, token: true, handler: a.createEvent},
		{method: "POST", path: "events/import", says: "Import an iCalendar file; the same again changes nothing.", takes: "", takesType: "text/calendar", answers: events.ImportResult{}, token: true, handler: a.importEvents, params: []param{
			{"source", "Name of the calendar; without it as the file calls itself."},
			{"venue", "Venue of all its events, may be repeated; without it each says its own by LOCATION."},
			{"zone", "Time zone of times that name none, such as Europe/London; UTC without it."},
			{"whole", "true: what this calendar held before and holds no more is called off."},
		}},
		{method: "PUT", path: "events/{id}", says: "Make of an event that is not over what is sent, all of it.", takes: events.Spec{}, answers: events.Event{}, token: true, handler: a.replaceEvent},
		{method: "PATCH", path: "events/{id}", says: "Change of an event that is not over what is sent, and nothing else.", takes: events.Spec{}, answers: events.Event{}, token: true, handler: a.changeEvent},
		{method: "DELETE", path: "events/{id}", says: "Call off an event that has not begun.", answers: events.Event{}, token: true, handler: a.cancelEvent},
		{method: "POST", path: "events/{id}/begin", says: "Begin a planned event now.", answers: events.Event{}, token: true, handler: a.beginEvent},
		{method: "POST", path: "events/{id}/end", says: "End an event now.", answers: events.Event{}, token: true, handler: a.endEvent},
		{method: "GET", path: "events/{id}/report", says: "What an event came to, as known now.", answers: report.Report{}, handler: a.report},
	}
}

func (a *API) ofSilences() []route {
	return []route{
		{method: "GET", path: "silences", says: "Silences in force, to come or ended of late.", answers: []notify.Silence{}, handler: a.silences},
		{method: "POST", path: "silences", says: "Hold back the pages that match.", takes: notify.Silence{}, answers: notify.Silence{}, code: http.StatusCreated, token: true, handler: a.silence},
		{method: "DELETE", path: "silences/{id}", says: "End a silence now.", code: http.StatusNoContent, token: true, handler: a.unsilence},
	}
}

// oneOf is an answer of one type or another.
type oneOf []any
