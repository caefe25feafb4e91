package web_test

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"ghostlight/buffer"
	"ghostlight/fleet/events"
	book "ghostlight/fleet/incident"
	"ghostlight/fleet/notify"
	"ghostlight/fleet/report"
	"ghostlight/fleet/status"
	"ghostlight/fleet/status/incidents"
	"ghostlight/fleet/status/objectives"
	"ghostlight/fleet/status/statustest"
	"ghostlight/fleet/web"
	"ghostlight/fleet/web/api"
	"ghostlight/slo/incident"
)

// desk is a calendar, a journal, and where people work, for tests.
type desk struct{ fleet *statustest.Fleet }

func (d desk) Get(ctx context.Context, id string) (events.Event, error) { return d.fleet.Get(ctx, id) }

func (d desk) Create(ctx context.Context, name string, venues []string) (events.Event, error) {
	return d.Plan(ctx, events.Spec{Name: name, Venues: venues})
}

func (d desk) Plan(_ context.Context, s events.Spec) (events.Event, error) {
	if s.Name == "" || len(s.Venues) == 0 {
		return events.Event{}, events.ErrInvalid
	}
	e := events.Event{ID: "new", Name: s.Name, Venues: s.Venues, StartMS: cmp.Or(s.StartMS, d.fleet.Clock.UnixMilli()), EndMS: s.EndMS, Origin: events.Hand}
	d.fleet.Shows = append(d.fleet.Shows, e)
	return e, nil
}

func (d desk) change(id string, do func(*events.Event)) (events.Event, error) {
	for i := range d.fleet.Shows {
		if d.fleet.Shows[i].ID == id {
			do(&d.fleet.Shows[i])
			return d.fleet.Shows[i], nil
		}
	}
	return events.Event{}, events.ErrUnknown
}

func (d desk) Update(_ context.Context, id string, s events.Spec) (events.Event, error) {
	return d.change(id, func(e *events.Event) { e.Name, e.Venues, e.StartMS, e.EndMS = s.Name, s.Venues, s.StartMS, s.EndMS })
}

func (d desk) Begin(_ context.Context, id string) (events.Event, error) {
	return d.change(id, func(e *events.Event) { e.StartMS = d.fleet.Clock.UnixMilli() })
}

func (d desk) End(_ context.Context, id string) (events.Event, error) {
	return d.change(id, func(e *events.Event) { e.EndMS = d.fleet.Clock.UnixMilli() })
}

func (d desk) Cancel(_ context.Context, id string) (events.Event, error) {
	return d.change(id, func(e *events.Event) { e.CancelledMS = d.fleet.Clock.UnixMilli() })
}

func (d desk) ImportICS(_ context.Context, r io.Reader, o events.Import) (events.ImportResult, error) {
	body, err := io.ReadAll(r)
	if err != nil || !strings.HasPrefix(string(body), "BEGIN:VCALENDAR") {
		return events.ImportResult{}, events.ErrInvalid
	}
	return events.ImportResult{Source: o.Source, Created: len(o.Venues)}, nil
}

func (d desk) Accepted(context.Context) ([]api.Accepted, error) {
	return []api.Accepted{
		{Region: "london", Venue: "soho", Node: "soho-1", Origin: api.OriginAgent, Lane: buffer.Revenue, Blocks: 3, Samples: 90},
		{Region: "london", Venue: "soho", Node: "soho-1", Origin: "remote_write", Lane: buffer.Detail, Blocks: 2, Samples: 11},
		{Region: "london", Venue: "camden", Node: "camden-1", Origin: api.OriginAgent, Lane: buffer.Health, Blocks: 1, Samples: 7},
	}, nil
}

// write adds what a person says to an incident of the fleet.
func (d desk) write(id, by, text string, takesOn bool) error {
	if by == "" {
		return book.ErrInvalid
	}
	for i, x := range d.fleet.Troubles {
		if x.ID() == id {
			n := incident.Note{By: by, Text: text, Acknowledges: takesOn, AtMS: d.fleet.Clock.UnixMilli(), Source: incident.Centre}
			d.fleet.Troubles[i] = x.Note(n).Arrive(d.fleet.Clock)
			return nil
		}
	}
	return book.ErrUnknown
}

func (d desk) Acknowledge(_ context.Context, id, by, text string) error {
	return d.write(id, by, text, true)
}

func (d desk) Note(_ context.Context, id, by, text string) error { return d.write(id, by, text, false) }

func (d desk) Close(_ context.Context, id, by, text string) error {
	return d.write(id, by, text, false)
}

// plans is what planned time is asked for.
type plans struct {
	desk
	got *[]string
}

func (p plans) Plan(_ context.Context, what string, plan book.Plan) error {
	*p.got = append(*p.got, fmt.Sprintf("%s by %s for %s", what, plan.By, plan.To.Sub(plan.From)))
	return nil
}

// hush keeps silences for tests.
type hush struct{ list []notify.Silence }

func (h *hush) Silence(_ context.Context, s notify.Silence) (notify.Silence, error) {
	if len(s.Matchers) == 0 {
		return s, notify.ErrInvalid
	}
	s.ID = "s1"
	h.list = append(h.list, s)
	return s, nil
}

func (h *hush) Silences(context.Context) ([]notify.Silence, error) { return h.list, nil }

func (h *hush) Expire(_ context.Context, id string) error {
	if len(h.list) == 0 || h.list[0].ID != id {
		return notify.ErrUnknown
	}
	h.list = nil
	return nil
}

// options are the pages of a fleet; a test may change them.
func options(t *testing.T, f *statustest.Fleet) web.Options {
	t.Helper()
	views, err := status.New(f.Options())
	if err != nil {
		t.Fatal(err)
	}
	promises, err := objectives.New(f.Objectives())
	if err != nil {
		t.Fatal(err)
	}
	troubles, err := incidents.New(f.Incidents(views))
	if err != nil {
		t.Fatal(err)
	}
	o := f.Options()
	reports, err := report.New(report.Options{
		Nodes: o.Nodes, History: o.History, Sales: o.Sales, Ledger: o.Ledger, Calendar: o.Calendar, Incidents: f.Incidents(views).Book, Auditor: f, Now: f.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return web.Options{
		Options: api.Options{
			Views: views, Objectives: promises, Incidents: troubles, Reports: reports, Calendar: desk{f}, Journal: desk{f}, Silences: &hush{},
			Desk: plans{desk{f}, &[]string{}}, APIToken: "secret", Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		},
		Every: 50 * time.Millisecond, Readers: 2, Version: "0.1.0",
	}
}

func handler(t *testing.T, f *statustest.Fleet) http.Handler { return serve(t, options(t, f)) }

func serve(t *testing.T, o web.Options) http.Handler {
	t.Helper()
	h, err := web.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// counting counts the views of one objective that are made.
type counting struct {
	api.Objectives
	calls int
}

func (c *counting) Objective(ctx context.Context, name string, q objectives.Query) (objectives.Detail, error) {
	c.calls++
	return c.Objectives.Objective(ctx, name, q)
}
