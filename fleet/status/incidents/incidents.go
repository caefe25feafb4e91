// Package incidents composes the book of incidents into the views that pages and the
// JSON API show: the list, one incident with its timeline on both clocks, and how
// long operations take to be restored.
//
// It guarantees that a time says whose clock it is on, that what the centre learnt
// late says so, and that a duration which is not known to have ended is shown as
// "more than". It stores nothing and decides nothing.
package incidents

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	book "ghostlight/fleet/incident"
	"ghostlight/fleet/ledger"
	"ghostlight/fleet/status"
	"ghostlight/internal/webui"
	"ghostlight/slo/incident"
)

// Book is the book of incidents; [book.Book] is one. Get answers [book.ErrUnknown].
type Book interface {
	List(ctx context.Context, f book.Filter) ([]book.Item, error)
	Get(ctx context.Context, id string) (book.Detail, error)
	MTTR(ctx context.Context, f book.Filter) (book.MTTR, error)
}

// Costs estimates what was not sold; [status.Views] does. Nil: it sold as usual.
type Costs interface {
	Risk(ctx context.Context, venue string, since time.Time) (*status.AtRisk, error)
	Cost(ctx context.Context, venue string, from, to time.Time) (*status.AtRisk, error)
}

// Options of [New]. All but Book and Now are needed.
type Options struct {
	Book   Book // nil: no incident is known
	Nodes  status.Nodes
	Ledger status.Ledger
	Costs  Costs
	Now    func() time.Time // nil: time.Now
}

// Views composes the views. Its methods may be called concurrently.
type Views struct{ opt Options }

// New makes the views over the book.
func New(o Options) (*Views, error) {
	if o.Nodes == nil || o.Ledger == nil || o.Costs == nil {
		return nil, errors.New("status of incidents: Nodes, Ledger and Costs are all needed")
	}
	if o.Book == nil {
		o.Book = empty{}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Views{opt: o}, nil
}

// empty is the book of a fleet that keeps none.
type empty struct{}

func (empty) List(context.Context, book.Filter) ([]book.Item, error) { return nil, nil }

func (empty) Get(context.Context, string) (book.Detail, error) { return book.Detail{}, book.ErrUnknown }

func (empty) MTTR(context.Context, book.Filter) (book.MTTR, error) { return book.MTTR{}, nil }

// What the list shows unless asked otherwise.
const (
	back     = 30 * 24 * time.Hour
	mostOver = 100
	mostCost = 50 // incidents whose cost is estimated
)

// Query picks incidents. What is empty picks all.
type Query struct {
	Venue string
	Open  bool      // only what goes on
	From  time.Time // only what was not over before; zero: 30 days ago
}

// List is the view of all incidents.
func (v *Views) List(ctx context.Context, q Query) (List, error) {
	now := v.opt.Now()
	if q.From.IsZero() {
		q.From = now.Add(-back)
	}
	out := List{NowMS: now.UnixMilli(), FromMS: q.From.UnixMilli(), Open: []status.Incident{}, Over: []status.Incident{}}
	f := book.Filter{Open: q.Open, From: q.From}
	if q.Venue != "" {
		f.Venues = []string{q.Venue}
	}
	items, defs, err := v.read(ctx, f)
	if err != nil {
		return out, fmt.Errorf("incidents view: %w", err)
	}
	names := status.Names(defs)
	for _, item := range items {
		row := status.ToIncident(item, now, names)
		if row.Open {
			out.Open = append(out.Open, row)
		} else {
			out.Over = append(out.Over, row)
		}
	}
	out.More, out.Over = len(out.Over) > mostOver, out.Over[:min(len(out.Over), mostOver)]
	for i := range out.Open[:min(len(out.Open), mostCost)] {
		if out.Open[i].AtRisk, err = v.cost(ctx, out.Open[i], defs); err != nil {
			return out, fmt.Errorf("incidents view: %w", err)
		}
	}
	slices.SortFunc(out.Open, status.UrgentFirst)
	out.Headline = listHeadline(out)
	return out, nil
}

func (v *Views) read(ctx context.Context, f book.Filter) ([]book.Item, []ledger.Definition, error) {
	items, err := v.opt.Book.List(ctx, f)
	if err != nil {
		return nil, nil, err
	}
	defs, err := v.opt.Ledger.Objectives(ctx)
	return items, defs, err
}

// cost is what an incident costs, or did: only of one that stops sales, at a venue.
// What a dark venue sold is known once it lands, as a fact.
func (v *Views) cost(ctx context.Context, i status.Incident, defs []ledger.Definition) (*status.AtRisk, error) {
	from := time.UnixMilli(i.FailedMS)
	switch {
	case i.Venue == "" || !stopsSales(i, defs):
		return nil, nil
	case i.MitigatedMS == 0 && i.Open:
		return v.opt.Costs.Risk(ctx, i.Venue, from)
	case i.MitigatedMS > i.FailedMS && i.Cause != string(incident.Darkness):
		return v.opt.Costs.Cost(ctx, i.Venue, from, time.UnixMilli(i.MitigatedMS))
	}
	return nil, nil
}

// stopsSales tells what keeps guests from buying from what does not: an objective
// does that counts outcomes.
func stopsSales(i status.Incident, defs []ledger.Definition) bool {
	if i.Cause != string(incident.Objective) {
		return true
	}
	return slices.ContainsFunc(defs, func(d ledger.Definition) bool { return d.Name == i.Name && d.Indicator.Outcome != nil })
}

func listHeadline(l List) status.Headline {
	paging, taken := 0, 0
	for _, i := range l.Open {
		if i.Wakes() {
			paging++
		}
		if i.AcknowledgedMS > 0 {
			taken++
		}
	}
	if len(l.Open) == 0 {
		h := status.Headline{Tone: "ok", Says: "No incident goes on"}
		if len(l.Over) > 0 {
			i := l.Over[0]
			h.Detail = fmt.Sprintf("The last was at %s and lasted %s.", i.Place(), span(i.LastedMS))
		}
		return h
	}
	worst := l.Open[0]
	h := status.Headline{Tone: worst.Tone(), Says: webui.Plural(len(l.Open), "incident goes on", "incidents go on")}
	if paging < len(l.Open) {
		h.Says += fmt.Sprintf(", %d worth waking somebody", paging)
	}
	switch free := len(l.Open) - taken; {
	case free == 0:
		h.Detail = "Somebody has taken each of them on."
	case taken == 0:
		h.Detail = "Nobody has taken any of them on yet."
	default:
		h.Detail = webui.Plural(free, "of them is", "of them are") + " not taken on by anybody yet."
	}
	if len(l.Open) == 1 {
		h.Says = fmt.Sprintf("%s: %s", worst.Place(), lower(worst.Title))
		h.Detail = upper(worst.Says()) + "."
	}
	return h
}

// Incident is the view of one incident, or of a group as one, by any of its ids;
// [status.ErrUnknown] when there is none.
func (v *Views) Incident(ctx context.Context, id string) (Detail, error) {
	now := v.opt.Now()
	d, err := v.opt.Book.Get(ctx, id)
	if errors.Is(err, book.ErrUnknown) {
		return Detail{}, fmt.Errorf("incident %q: %w", id, status.ErrUnknown)
	}
	if err != nil {
		return Detail{}, fmt.Errorf("incident view: %w", err)
	}
	defs, err := v.opt.Ledger.Objectives(ctx)
	if err != nil {
		return Detail{}, fmt.Errorf("incident view: %w", err)
	}
	out := v.detail(d, defs, now)
	if out.AtRisk, err = v.cost(ctx, out.Incident, defs); err != nil {
		return Detail{}, fmt.Errorf("incident view: %w", err)
	}
	out.Headline = headline(out)
	return out, nil
}

func (v *Views) detail(d book.Detail, defs []ledger.Definition, now time.Time) Detail {
	names := status.Names(defs)
	row := status.ToIncident(d.Item, now, names)
	out := Detail{
		NowMS: now.UnixMilli(), Incident: row, Stages: stagesOf(d, row), Timeline: timeline(d, names),
		Evidence: []Evidence{}, Notes: []Note{}, Told: []Told{}, Suspects: []string{}, Gatherer: d.Group, AlsoIDs: d.AlsoIDs(),
	}
	out.Suspects = append(out.Suspects, d.Scope.Suspects()...)
	for n, m := range d.Timeline {
		out.LatestArr = max(out.LatestArr, m.ArrivedMS)
		switch m.Kind {
		case book.MomentLink:
			out.Evidence = append(out.Evidence, Evidence{AtMS: m.AtMS, Venue: out.Timeline[n].Venue, TraceID: m.TraceID, Text: m.Text})
		case book.MomentNote:
			out.Notes = append(out.Notes, Note{AtMS: m.AtMS, By: m.By, Text: m.Text, Acknowledges: m.Stage == incident.Acknowledged, At: string(m.Source)})
		case book.MomentPage:
			out.Told = append(out.Told, toTold(*m.Page))
		}
	}
	slices.Reverse(out.Evidence)
	for _, n := range v.opt.Nodes.Nodes() {
		if n.Venue == out.Venue && out.Venue != "" && out.Contact == "" {
			out.Contact = n.Contact
		}
	}
	return out
}

// headline says what happened, how long, and what it costs or came to.
func headline(d Detail) status.Headline {
	h := status.Headline{Tone: d.Tone()}
	what := d.Place() + ": " + lower(d.Title)
	var detail []string
	switch {
	case d.Open && d.AtRisk != nil && d.AtRisk.Losing && d.AtRisk.Known:
		h.Says = fmt.Sprintf("%s, for %s now: about %s a minute not sold", what, span(d.LastedMS), webui.Money(d.AtRisk.PerMinuteMinor, d.AtRisk.Currency))
	case d.Open:
		h.Says = fmt.Sprintf("%s, for %s now", what, span(d.LastedMS))
	default:
		h.Says = fmt.Sprintf("Over: %s, for %s", what, span(d.LastedMS))
	}
	if d.Open {
		detail = append(detail, upper(d.Says())+".")
	}
	switch n := len(d.Tried); {
	case n > 0:
		last := d.Tried[n-1]
		detail = append(detail, fmt.Sprintf("Last tried by itself: %s, %s.", last.Title, last.Result))
	case d.Open && d.Cause != string(incident.Darkness):
		detail = append(detail, "Nothing was tried by itself.")
	}
	if d.Finding != nil {
		detail = append(detail, upper(d.Finding.Says())+".")
	}
	if late := d.ArrivedMS - d.FailedMS; d.ArrivedMS > 0 && late >= lateAfter.Milliseconds() && d.Cause != string(incident.Darkness) {
		detail = append(detail, "The centre learnt of it "+span(late)+" after it failed.")
	}
	h.Detail = strings.Join(detail, " ")
	return h
}

func span(ms int64) string {
	d := time.Duration(ms) * time.Millisecond
	if d >= time.Minute {
		d = d.Truncate(time.Minute)
	}
	return webui.Span(d)
}

func upper(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// lower begins a title within a sentence; an objective's name stays a name.
func lower(title string) string {
	for _, word := range []string{"Journey ", "Nothing ", "Node ", "Several "} {
		if strings.HasPrefix(title, word) {
			return strings.ToLower(title[:1]) + title[1:]
		}
	}
	return title
}
