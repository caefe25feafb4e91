package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"ghostlight/fleet/events"
	book "ghostlight/fleet/incident"
	"ghostlight/fleet/notify"
)

const (
	maxBody     = 64 << 10 // of a changing call
	maxCalendar = 8 << 20  // of a calendar file
)

var (
	errBody   = errors.New("the body is not as described in openapi.json")
	errAbsent = errors.New("this centre does not do that: its configuration names no receiver of pages, or keeps no incidents")
)

// body decodes the JSON that a call carries, and nothing beside it.
func body(w http.ResponseWriter, r *http.Request, into any) error {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("%w: %w", errBody, err)
	}
	if dec.More() {
		return fmt.Errorf("%w: it goes on after its end", errBody)
	}
	return nil
}

// said is what somebody says of an incident.
type said struct {
	By   string `json:"by"` // who says it
	Text string `json:"text,omitempty"`
}

// plan is planned time, of a venue or of one incident.
type plan struct {
	Venue    string `json:"venue,omitempty"`    // of all its incidents, those to come included
	Incident string `json:"incident,omitempty"` // or of this one
	FromMS   int64  `json:"from_ms"`
	ToMS     int64  `json:"to_ms"`
	By       string `json:"by"`
	Text     string `json:"text,omitempty"`
}

// Act does on an incident what a person asks: "ack", "notes" or "close".
func (a *API) Act(ctx context.Context, what, id, by, text string) error {
	if a.Desk == nil {
		return errAbsent
	}
	switch what {
	case "ack":
		return a.Desk.Acknowledge(ctx, id, by, text)
	case "notes":
		return a.Desk.Note(ctx, id, by, text)
	case "close":
		return a.Desk.Close(ctx, id, by, text)
	}
	return fmt.Errorf("%w: one can ack, notes or close, not %q", errBody, what)
}

func (a *API) act(w http.ResponseWriter, r *http.Request, what string) {
	var s said
	err := body(w, r, &s)
	if err == nil {
		err = a.Act(r.Context(), what, r.PathValue("id"), s.By, s.Text)
	}
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	a.incident(w, r)
}

func (a *API) acknowledge(w http.ResponseWriter, r *http.Request) { a.act(w, r, "ack") }
func (a *API) note(w http.ResponseWriter, r *http.Request)        { a.act(w, r, "notes") }
func (a *API) close(w http.ResponseWriter, r *http.Request)       { a.act(w, r, "close") }

func (a *API) plan(w http.ResponseWriter, r *http.Request) {
	var p plan
	err := body(w, r, &p)
	switch {
	case err != nil:
	case a.Desk == nil:
		err = errAbsent
	case (p.Venue == "") == (p.Incident == ""):
		err = fmt.Errorf("%w: it names a venue or an incident, one of them", errBody)
	default:
		err = a.Desk.Plan(r.Context(), p.Venue+p.Incident, book.Plan{From: time.UnixMilli(p.FromMS), To: time.UnixMilli(p.ToMS), By: p.By, Text: p.Text})
	}
	a.done(w, r, err)
}

// done answers a call that has nothing to say.
func (a *API) done(w http.ResponseWriter, r *http.Request, err error) {
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// createEvent starts an event by hand where no time is said, and plans it else.
func (a *API) createEvent(w http.ResponseWriter, r *http.Request) {
	var s events.Spec
	if err := body(w, r, &s); err != nil {
		a.refuse(w, r, fmt.Errorf("%w; send {\"name\": ..., \"venues\": [...]}", err))
		return
	}
	var e events.Event
	var err error
	if s.StartMS|s.EndMS|s.DoorsMS|s.OnMS|s.OffMS == 0 {
		e, err = a.Calendar.Create(r.Context(), s.Name, s.Venues)
	} else {
		e, err = a.Calendar.Plan(r.Context(), s)
	}
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	writeJSON(w, http.StatusCreated, e)
}

func (a *API) replaceEvent(w http.ResponseWriter, r *http.Request) {
	var s events.Spec
	err := body(w, r, &s)
	a.update(w, r, s, err)
}

// changeEvent lays what is sent over what the event is.
func (a *API) changeEvent(w http.ResponseWriter, r *http.Request) {
	e, err := a.Calendar.Get(r.Context(), r.PathValue("id"))
	s := events.Spec{Name: e.Name, Venues: e.Venues, StartMS: e.StartMS, EndMS: e.EndMS, DoorsMS: e.DoorsMS, OnMS: e.OnMS, OffMS: e.OffMS}
	if err == nil {
		err = body(w, r, &s)
	}
	a.update(w, r, s, err)
}

func (a *API) update(w http.ResponseWriter, r *http.Request, s events.Spec, err error) {
	var e events.Event
	if err == nil {
		e, err = a.Calendar.Update(r.Context(), r.PathValue("id"), s)
	}
	a.answer(w, r, e, err)
}

func (a *API) cancelEvent(w http.ResponseWriter, r *http.Request) {
	e, err := a.Calendar.Cancel(r.Context(), r.PathValue("id"))
	a.answer(w, r, e, err)
}

func (a *API) beginEvent(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, maxBody))
	e, err := a.Calendar.Begin(r.Context(), r.PathValue("id"))
	a.answer(w, r, e, err)
}

func (a *API) endEvent(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, maxBody))
	e, err := a.Calendar.End(r.Context(), r.PathValue("id"))
	a.answer(w, r, e, err)
}

func (a *API) importEvents(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	o := events.Import{Source: q.Get("source"), Venues: q["venue"]}
	var err error
	if whole := q.Get("whole"); whole != "" {
		if o.Whole, err = strconv.ParseBool(whole); err != nil {
			err = fmt.Errorf("%w: whole is true or false", errBody)
		}
	}
	if zone := q.Get("zone"); zone != "" && err == nil {
		if o.Zone, err = time.LoadLocation(zone); err != nil {
			err = fmt.Errorf("%w: zone: %w", errBody, err)
		}
	}
	var done events.ImportResult
	if err == nil {
		done, err = a.Calendar.ImportICS(r.Context(), http.MaxBytesReader(w, r.Body, maxCalendar), o)
	}
	done.Problems = list(done.Problems)
	a.answer(w, r, done, err)
}

func (a *API) silence(w http.ResponseWriter, r *http.Request) {
	var s notify.Silence
	err := body(w, r, &s)
	switch {
	case err != nil:
	case a.Silences == nil:
		err = errAbsent
	default:
		s, err = a.Silences.Silence(r.Context(), s)
	}
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	writeJSON(w, http.StatusCreated, s)
}

func (a *API) unsilence(w http.ResponseWriter, r *http.Request) {
	err := errAbsent
	if a.Silences != nil {
		err = a.Silences.Expire(r.Context(), r.PathValue("id"))
	}
	a.done(w, r, err)
}
