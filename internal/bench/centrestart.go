package main

import (
	"context"
	"log/slog"
	"time"

	"ghostlight/fleet/burn"
	"ghostlight/fleet/events"
	"ghostlight/fleet/registry"
	views "ghostlight/fleet/status/objectives"
)

// started is what a start of the centre takes, in processor time, and what the views of
// the whole fleet take from then on.
type started struct {
	Pages   time.Duration `json:"pages"` // until rules that page are judged
	All     time.Duration `json:"all"`   // until all rules are
	Hour    time.Duration `json:"hour"`  // the longest that records waited for an hour to be read
	List    time.Duration `json:"list"`  // all objectives
	Detail  time.Duration `json:"detail"`
	History time.Duration `json:"history"`
	Venues  int           `json:"venues"`
	Peak    int64         `json:"peak"`
}

// How many hours are loaded until the rules that page, and all of them, can be judged:
// one hour is still to come and one goes on.
const (
	pageHours = 2 + 6
	ruleHours = 2 + 72
)

// startCentre starts the alerts over a history of every node, then makes views.
func startCentre(ctx context.Context, o centreOrder) (any, error) {
	r, err := openRooms(ctx, o, centreBegin)
	if err != nil {
		return nil, err
	}
	defer r.store.Close()
	var s started
	begin := processTime()
	r.burn, err = burn.New(ctx, burn.Options{Store: r.store, Ledger: r.ledger, Now: r.now, Every: stepEvery, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	if err := r.burn.Step(ctx); err != nil {
		return nil, err
	}
	more := true
	for hours := 1; more; hours++ {
		one := processTime()
		if more, err = r.burn.Load(ctx); err != nil {
			return nil, err
		}
		s.Hour = max(s.Hour, processTime()-one)
		if hours != pageHours && hours != ruleHours && more {
			continue
		}
		if err := r.burn.Step(ctx); err != nil {
			return nil, err
		}
		if s.Pages == 0 {
			s.Pages = processTime() - begin
		}
		if hours == ruleHours || s.All == 0 {
			s.All = processTime() - begin
		}
	}
	s.Peak = processPeak()
	return s, r.views(ctx, &s)
}

// views makes those of all objectives and of each, over the whole fleet.
func (r *rooms) views(ctx context.Context, s *started) error {
	v, err := views.New(views.Options{Nodes: nodesOf{r}, Ledger: burn.Standings{Ledger: r.ledger, Room: r.burn}, Calendar: noShows{}, Now: r.now})
	if err != nil {
		return err
	}
	timed := func(longest *time.Duration, view func() error) error {
		begin := processTime()
		err := view()
		*longest = max(*longest, processTime()-begin)
		return err
	}
	err = timed(&s.List, func() error { _, err := v.List(ctx, views.Query{}); return err })
	for _, o := range r.promise {
		if err == nil {
			err = timed(&s.Detail, func() error {
				d, err := v.Objective(ctx, o.Name, views.Query{})
				s.Venues = len(d.Venues)
				return err
			})
		}
		if err == nil {
			err = timed(&s.History, func() error { _, err := v.History(ctx, o.Name, views.Query{}); return err })
		}
	}
	return err
}

// nodesOf are the nodes as a registry has them.
type nodesOf struct{ *rooms }

func (n nodesOf) Nodes() (out []registry.View) {
	for _, s := range n.sources {
		out = append(out, registry.View{Source: s})
	}
	return out
}

// noShows is a calendar with nothing on.
type noShows struct{}

func (noShows) List(context.Context) ([]events.Event, error) { return nil, nil }
func (noShows) Get(context.Context, string) (events.Event, error) {
	return events.Event{}, events.ErrUnknown
}

func (s started) table() string {
	t := table{rows: [][]string{{"after a restart", ""}}}
	t.row("until the rules that page are judged", "**"+seconds(s.Pages)+"**")
	t.row("until all rules are", seconds(s.All))
	t.row("records wait meanwhile, at most", seconds(s.Hour))
	t.row("peak memory", mib(s.Peak)+" MiB")
	t.row("all objectives of the fleet, each over its own window and the last hour", "**"+seconds(s.List)+"**")
	t.row("one objective and every venue's part in it, its last hour minute by minute: the slowest", seconds(s.Detail))
	t.row("how the budget of one went for a week: the slowest", seconds(s.History))
	return t.String()
}
