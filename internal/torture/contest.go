package torture

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"ghostlight/fleet/ledger"
	"ghostlight/internal/torture/peer"
	"ghostlight/slo"
)

// A Side is who judges.
type Side string

// The sides: Ghostlight, the rules that a generator writes for Prometheus, and one
// query that asks Prometheus for the whole time at once.
const (
	Ghostlight Side = "Ghostlight"
	Generated  Side = "Prometheus, Sloth-style rules"
	Straight   Side = "Prometheus, one query"
)

// Sides lists them.
func Sides() []Side { return []Side{Ghostlight, Generated, Straight} }

// A Score is how far from the truth a side's word on objectives was.
type Score struct {
	Judged  int // objectives of venues
	Silent  int // no verdict was given
	Wrong   int // the other verdict was given
	Outside int // the truth was outside of bounds that were given
	Again   int // likewise, where a clock was set back over minutes that had been told
	// Errors are absolute, of the SLI and of the share of the budget that is spent.
	SLI, SLIWorst       float64 // SLI is the sum over those that said something
	Budget, BudgetWorst float64
	Said                int
}

// PageScore is how a side's pages compare with those of somebody who knew at once
// what happened, and in true time. ByClock counts those of Missed and False that the
// venue's own clock accounts for, which was set wrong: by the stamps that it gave to
// what happened the rule did not hold, or did. A page for each outage is no double, if
// the rule holds over two of them.
type PageScore struct {
	Due, Missed, False, Double  int
	MissedByClock, FalseByClock int
}

// A Contest is what came of some feeds.
type Contest struct {
	Feeds, Objectives int
	Offered, Refused  int // samples, to and by Prometheus
	Closing, End      map[Side]*Score
	Pages             map[Side]*PageScore
}

// NewContest is one of no feeds.
func NewContest() Contest {
	c := Contest{Closing: map[Side]*Score{}, End: map[Side]*Score{}, Pages: map[Side]*PageScore{}}
	for _, s := range Sides() {
		c.Closing[s], c.End[s], c.Pages[s] = &Score{}, &Score{}, &PageScore{}
	}
	return c
}

// Check reports where Ghostlight failed its own promises: a wrong verdict, the truth
// outside of bounds, anything but the truth once all is delivered, a page for which
// neither what happened nor the venue's clock accounts, or two for one outage.
func (c Contest) Check() error {
	var errs []error
	for when, scores := range map[string]map[Side]*Score{"as the venues close": c.Closing, "all delivered": c.End} {
		if s := scores[Ghostlight]; s.Wrong+s.Outside > 0 {
			errs = append(errs, fmt.Errorf("%s: %d wrong verdicts of Ghostlight, %d truths outside its bounds", when, s.Wrong, s.Outside))
		}
	}
	if s := c.End[Ghostlight]; s.SLIWorst > 0 || s.Silent > 0 {
		errs = append(errs, fmt.Errorf("all delivered: Ghostlight is off by %v and silent on %d", s.SLIWorst, s.Silent))
	}
	if p := c.Pages[Ghostlight]; p.False > p.FalseByClock || p.Double > 0 {
		errs = append(errs, fmt.Errorf("%d pages for nothing, %d twice for one outage", p.False-p.FalseByClock, p.Double))
	}
	return errors.Join(errs...)
}

// A promise is one objective at one venue, as both sides have it.
type promise struct {
	number int // of the objective
	node   *node
	peer.Objective
}

// Compare lives through one feed and adds to c what each side made of it. dir is an
// empty folder. A missing prometheus or promtool is an error that says what to
// install.
func (c *Contest) Compare(ctx context.Context, seed uint64, only []Fault, dir string) (err error) {
	centre, data := filepath.Join(dir, "centre"), filepath.Join(dir, "prometheus")
	if err := errors.Join(os.Mkdir(centre, 0o755), os.Mkdir(data, 0o755)); err != nil {
		return err
	}
	f, err := newFeed(ctx, Options{Seed: seed, Dir: centre, Only: only, contest: true})
	if err != nil {
		return fmt.Errorf("feed %d: %w", seed, err)
	}
	defer func() { err = errors.Join(err, f.centre.store.Close()) }()
	if err := f.live(ctx); err != nil {
		return fmt.Errorf("feed %d: %w", seed, err)
	}
	promises := f.promises()
	closing, err := f.beliefs(ctx, promises)
	if err != nil {
		return err
	}
	if err := f.drain(ctx); err != nil {
		return fmt.Errorf("feed %d: %w", seed, err)
	}
	end, err := f.beliefs(ctx, promises)
	if err != nil {
		return err
	}
	server, err := peer.Start(ctx, data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	p := &rival{f: f, server: server, promises: promises}
	if err := p.live(ctx, data); err != nil {
		return fmt.Errorf("feed %d through Prometheus: %w", seed, err)
	}
	c.Feeds++
	c.Objectives += len(promises)
	c.Offered, c.Refused = c.Offered+f.seen.offered, c.Refused+p.refused
	for i, pr := range promises {
		truth := f.truth.sum(f.sheets[pr.number], []int{pr.node.number}, f.start/60_000, f.end/60_000)
		again := f.truth.cameAgain(f.sheets[pr.number], []int{pr.node.number}, f.start/60_000, f.end/60_000, f.end)
		c.Closing[Ghostlight].judge(truth, pr.Target, closing[i], again)
		c.End[Ghostlight].judge(truth, pr.Target, end[i], false)
		for _, s := range []Side{Generated, Straight} {
			c.Closing[s].judge(truth, pr.Target, p.closing[s][i], false)
			c.End[s].judge(truth, pr.Target, p.end[s][i], false)
		}
		due, err := f.due(pr)
		if err != nil {
			return err
		}
		c.Pages[Ghostlight].judge(due, f.pagesOf(pr))
		c.Pages[Generated].judge(due, paged(p.evaluator.Fired(pr.ID, slo.Page)))
	}
	return nil
}

// promises are the objectives that count events: what rules can express.
func (f *feed) promises() (out []promise) {
	for i, o := range f.objectives {
		if !watched(o) || o.Name == counted {
			continue
		}
		for _, n := range f.nodes {
			labels := []slo.Matcher{{Label: "venue", Op: "=", Value: n.source.Venue}}
			s := slo.Selector{Metric: "edgecore_outcomes_total", Matchers: append(labels, slo.Matcher{Label: "kind", Op: "=", Value: string(f.sheets[i].thing)})}
			if f.sheets[i].thing == visit {
				s = slo.Selector{Metric: "journey_runs_total", Matchers: append(labels, slo.Matcher{Label: "journey", Op: "=", Value: string(visit)})}
			}
			bad := slo.Selector{Metric: s.Metric, Matchers: append([]slo.Matcher{{Label: "good", Op: "=", Value: "false"}}, s.Matchers...)}
			out = append(out, promise{i, n, peer.Objective{
				ID: o.Name + "-" + n.source.Venue, Service: o.Service, Target: o.Target, Days: int(o.Window.Period() / (24 * time.Hour)), Bad: bad, Total: s, Tiers: o.BurnTiers(),
			}})
		}
	}
	return out
}

// beliefs are what the ledger says now of the time that venues are open for.
func (f *feed) beliefs(ctx context.Context, promises []promise) ([]slo.Status, error) {
	var out []slo.Status
	for _, p := range promises {
		st, err := f.ask(ctx, question{objective: p.number, selection: ledger.Selection{Node: p.node.source}, from: f.start / 60_000, to: f.end / 60_000})
		if errors.Is(err, ledger.ErrUnknown) {
			st, err = slo.Status{Upper: 1, Verdict: slo.Undetermined}, nil
		}
		if err != nil {
			return nil, err
		}
		out = append(out, st)
	}
	return out, nil
}

// judge adds one word on an objective; again says that a clock was set back over
// minutes that may have been told by then.
func (s *Score) judge(truth slo.Counts, target float64, said slo.Status, again bool) {
	if truth.Total == 0 {
		return // there is nothing to be right about
	}
	s.Judged++
	sli := float64(truth.Good) / float64(truth.Total)
	right := slo.Missed
	if sli >= target {
		right = slo.Met
	}
	switch {
	case said.Verdict == slo.Undetermined || said.Verdict == "":
		s.Silent++
	case said.Verdict != right:
		s.Wrong++
	}
	switch within := said.Lower <= sli && sli <= said.Upper; {
	case !within && again:
		s.Again++
	case !within:
		s.Outside++
	}
	if !said.Known {
		return
	}
	s.Said++
	off := said.SLI - sli
	if off < 0 {
		off = -off
	}
	s.SLI, s.SLIWorst = s.SLI+off, max(s.SLIWorst, off)
	spent := off / (1 - target)
	s.Budget, s.BudgetWorst = s.Budget+spent, max(s.BudgetWorst, spent)
}
