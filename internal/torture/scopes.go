package torture

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"ghostlight/fleet/burn"
	"ghostlight/fleet/ledger"
	"ghostlight/slo"
)

// Scopes are the centre's own alerts, of scopes of many nodes, and what was told of
// them, by key.
type scopes struct {
	f    *feed
	rng  *rand.Rand
	room *burn.Room
	told map[string]burn.Alert
}

// errUnheard is the answer of a receiver that heard, and died before it said so.
var errUnheard = errors.New("the receiver died")

// open continues what the life before has stored.
func (s *scopes) open(ctx context.Context, c *centre) (err error) {
	s.room, err = burn.New(ctx, burn.Options{Store: c.store, Ledger: c.ledger, Shows: s.f, Alerts: s.hear, Now: s.f.time, Log: slog.New(slog.DiscardHandler)})
	return err
}

// load loads what windows lack.
func (s *scopes) load(ctx context.Context) error {
	for more := true; more; {
		var err error
		if more, err = s.room.Load(ctx); err != nil {
			return fmt.Errorf("the centre's windows: %w", err)
		}
	}
	return nil
}

// hear takes what is told, which may come again.
func (s *scopes) hear(ctx context.Context, alerts []burn.Alert) error {
	if err := s.f.centre.book.alerts(ctx, alerts); err != nil {
		return err
	}
	for _, a := range alerts {
		if old, ok := s.told[a.ID]; !ok || a.Start.After(old.Start) || a.Phase == slo.Resolved {
			s.told[a.ID] = a
		}
	}
	if !s.f.healed && s.rng.IntN(4) == 0 {
		return errUnheard
	}
	return nil
}

// step lets time pass for the alerts, on windows that are loaded.
func (s *scopes) step(ctx context.Context) error {
	if err := s.load(ctx); err != nil {
		return err
	}
	if err := s.room.Step(ctx); err != nil && !errors.Is(err, errUnheard) {
		return fmt.Errorf("the centre's alerts: %w", err)
	}
	return nil
}

// compare looks whether the running windows are, as of a step, what the ledger sums up
// anew.
func (s *scopes) compare(ctx context.Context, l *ledger.Ledger) error {
	if err := errors.Join(s.step(ctx), s.step(ctx)); err != nil {
		return err // the second loads what the first found to be lacking
	}
	for _, st := range s.room.Current(ctx) {
		if s.rng.IntN(5) > 0 {
			continue
		}
		sel := ledger.Selection{}
		if st.Region != "" {
			sel.Regions = []string{st.Region}
		}
		if st.Venue != "" {
			sel.Venues = []string{st.Venue}
		}
		want, err := l.Status(ctx, st.Objective, sel, slo.MinuteStart(st.Window.From), slo.MinuteStart(st.Window.To))
		if err != nil {
			return err
		}
		s.f.Standings++
		if want.Counts != st.Status.Counts {
			s.f.problem("%s of %s/%s in [%d, %d): the running window has %+v, the ledger %+v", st.Objective, st.Region, st.Venue, st.Window.From, st.Window.To, st.Status, want)
		}
	}
	return nil
}

// judge looks whether each alert has the key that follows from what it is of, and
// whether none began while another of its rule went on.
func (s *scopes) judge() {
	s.f.ScopePages += len(s.told)
	of := map[[3]string][]burn.Alert{}
	for id, a := range s.told {
		if id != slo.AlertID(a.Scope, a.Objective, a.Rule, a.Start) {
			s.f.problem("alert %s does not follow from %s of %s, %s, at %s", id, a.Objective, a.Scope, a.Rule, a.Start)
		}
		k := [3]string{a.Scope, a.Objective, a.Rule}
		of[k] = append(of[k], a)
	}
	for k, list := range of {
		slices.SortFunc(list, func(a, b burn.Alert) int { return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.ID, b.ID)) })
		var last time.Time
		for i, a := range list {
			if i > 0 && (last.IsZero() || a.Start.Before(last)) {
				s.f.problem("%v: alert %s began at %s, while alert %s went on until %s", k, a.ID, a.Start, list[i-1].ID, last)
			}
			last = a.Resolved
		}
	}
}
