package torture

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"ghostlight/buffer"
	"ghostlight/fleet/burn"
	"ghostlight/fleet/ledger"
	"ghostlight/slo"
	"ghostlight/slo/incident"
)

const (
	// auditOdds steps one audits what is due, on average; more than it needs be costs
	// more than it shows.
	auditOdds = 200
	// auditsAfter is how often after the end of a feed pages are audited yet, and
	// auditEvery how far apart: until all that is to be reviewed was, also of scopes that
	// wait the longest.
	auditsAfter = 3
	auditEvery  = 65 * time.Minute
)

// audit lets who audits pages hear what is new, and now and then audit.
func (c *centre) audit(ctx context.Context) error {
	list, last, err := c.book.book.Changes(ctx, c.book.seen, time.Time{})
	if err != nil {
		return err
	}
	pages := burn.PagesOf(list)
	switch c.f.bug {
	case bugUnheard:
		pages = nil
	case bugRule:
		for i := range pages {
			pages[i].Rule = c.f.otherRule(pages[i])
		}
	}
	if len(pages) > 0 {
		if err := c.scopes.room.Heard(ctx, pages...); err != nil {
			return err
		}
	}
	c.book.seen = last
	if c.rng.IntN(auditOdds) > 0 {
		return nil
	}
	return c.scopes.review(ctx)
}

// otherRule is another rule that pages.
func (f *feed) otherRule(p burn.Page) string {
	for _, o := range f.objectives {
		for _, t := range o.BurnTiers() {
			if o.Name == p.Objective && t.Urgency == slo.Page && t.Rule().Key != p.Rule {
				return t.Rule().Key
			}
		}
	}
	return p.Rule
}

// review audits all that is due.
func (s *scopes) review(ctx context.Context) error {
	for more := true; more; {
		var err error
		if more, err = s.room.Review(ctx); err != nil {
			return fmt.Errorf("the audit of pages: %w", err)
		}
	}
	return nil
}

// judgeAudit looks whether what the audit says in the end of each page is what the
// truth says of its rule, and whether every page is there. All else is judged before:
// time goes on.
func (f *feed) judgeAudit(ctx context.Context) error {
	closed := f.now
	for range auditsAfter {
		f.now += auditEvery.Milliseconds()
		for _, n := range f.nodes {
			n.presence.last, n.presence.waiting = f.now, 0 // they are heard all the time
		}
		if err := errors.Join(f.centre.scopes.step(ctx), f.centre.book.step(ctx), f.centre.scopes.review(ctx)); err != nil {
			return err
		}
	}
	list, err := f.centre.scopes.room.Audit(ctx, burn.AuditFilter{})
	if err != nil {
		return err
	}
	if len(list) == burn.MaxAudited {
		return fmt.Errorf("%d pages are more than the audit tells at once", len(list))
	}
	o := &oracle{f: f, lines: map[string]line{}, shows: map[string][]bool{}}
	for _, a := range list {
		if err := f.judgeMark(ctx, o, a, closed); err != nil {
			return err
		}
	}
	f.allAudited(list)
	return f.noneMissed(ctx, o, list, closed)
}

// judgeMark holds one mark against the truth.
func (f *feed) judgeMark(ctx context.Context, o *oracle, a burn.Audited, closed int64) error {
	i := f.sheetOf(a.Objective)
	if i < 0 {
		return nil // nobody knows the minutes of what counters grew by
	}
	minute := slo.MinuteOf(time.UnixMilli(a.FiredMS))
	if a.Mark == burn.Open {
		f.Unaudited++
		if a.FiredMS > closed-5*60_000 {
			return nil // by a clock that was ahead, or as the nodes were switched off
		}
		waits, err := f.waits(ctx, i, a.Source, minute)
		if !waits {
			f.problem("%s of %s, %s, at %s is still open, %s; nothing is pending", a.Objective, a.Scope, a.Rule, utc(a.FiredMS), a.Why)
		}
		return err
	}
	if f.objectives[i].Budgeting.Sliced() && minute-longestPage(f.objectives[i]) < f.start/60_000+10 {
		return nil // before, not all nodes answered, and slices are cut where the first began to
	}
	f.Audited++
	if a.Event != "" {
		f.ShowPages++
	}
	if a.Mark == burn.Missed {
		f.MissedPages++
	}
	held, sure := o.heldAbout(i, a.Page, minute)
	if right := a.Mark != burn.Wrong; sure && held != right {
		f.problem("%s of %s, %s, at %s (%s) is marked %s, %s; by the truth its rule held: %v", a.Objective, a.Scope, a.Rule, utc(a.FiredMS), f.clock(a.FiredMS), a.Mark, a.Why, held)
	}
	return nil
}

// waits reports whether the windows of rules that page hold, about a minute, any of
// which the ledger waits to hear: then the audit waits, too.
func (f *feed) waits(ctx context.Context, objective int, at buffer.Source, minute int64) (bool, error) {
	o := f.objectives[objective]
	st, err := f.ask(ctx, question{objective: objective, selection: selected(at), from: minute - longestPage(o) - 62, to: minute + 2})
	return st.Coverage.Pending > 0, err
}

// longestPage is how far back rules that page look, in minutes.
func longestPage(o slo.Objective) int64 {
	longest := int64(60) // shows
	for _, t := range o.BurnTiers() {
		if t.Urgency == slo.Page {
			longest = max(longest, int64(t.Long/time.Minute))
		}
	}
	return longest + o.Slice.Minutes
}

// allAudited looks whether the audit has every page that somebody was woken by.
func (f *feed) allAudited(list []burn.Audited) {
	held := map[string]bool{}
	for _, a := range list {
		if a.Mark != burn.Missed {
			held[a.AlertID+" "+a.IncidentID] = true
		}
	}
	var want []burn.Page
	for _, is := range f.paged {
		want = append(want, burn.PagesOf([]incident.Incident{is})...)
	}
	for _, a := range f.centre.scopes.told {
		if a.Urgency == slo.Page {
			want = append(want, burn.Page{Source: buffer.Source{Region: a.Region, Venue: a.Venue}, AlertID: a.ID, Objective: a.Objective, Rule: a.Rule})
		}
	}
	for _, p := range want {
		if !held[p.AlertID+" "+p.IncidentID] {
			f.problem("page %s %s of %s of %s, %s, is not audited", p.AlertID, p.IncidentID, p.Objective, p.Source, p.Rule)
		}
	}
}

// soonOver is for how many minutes a rule may hold that was over before it was known:
// what arrives within two minutes is not late, and its minutes are not audited again.
const soonOver = 3

// noneMissed looks whether each time that a rule held, by all data, somebody was paged
// or the audit says that nobody was. Slices are compared by their pages alone.
func (f *feed) noneMissed(ctx context.Context, o *oracle, list []burn.Audited, closed int64) error {
	var errs []error
	for i, obj := range f.objectives {
		if f.sheetOf(obj.Name) < 0 || obj.Budgeting.Sliced() {
			continue
		}
		for at, nodes := range f.scopesOf() {
			of := slices.DeleteFunc(slices.Clone(list), func(a burn.Audited) bool { return a.Source != at || a.Objective != obj.Name })
			for _, t := range obj.BurnTiers() {
				if t.Urgency == slo.Page {
					held := o.stretches(i, nodes, t, f.start/60_000+10, f.now/60_000)
					held = slices.DeleteFunc(held, func(x span) bool { return x.from >= closed/60_000-5 }) // nobody looked any more
					errs = append(errs, f.noneUnsaid(ctx, i, at, t, held, of))
				}
			}
		}
	}
	return errors.Join(errs...)
}

// noneUnsaid holds the stretches in which a rule held in a scope against its pages.
func (f *feed) noneUnsaid(ctx context.Context, objective int, at buffer.Source, t slo.Tier, held []span, pages []burn.Audited) error {
	for _, x := range held {
		if x.to-x.from < soonOver {
			continue
		}
		f.Held++
		if slices.ContainsFunc(pages, func(a burn.Audited) bool { return about(a, x) }) {
			continue
		}
		waits, err := f.waits(ctx, objective, at, x.from)
		if err != nil {
			return err
		}
		if !waits {
			f.problem("%s of %v: %s held from %s (%s) to %s, and no page is audited, nor any missed",
				f.objectives[objective].Name, at, t.Rule().Key, utc(x.from*60_000), f.clock(x.from*60_000), utc(x.to*60_000))
		}
	}
	return nil
}

// about reports whether a page was while a stretch of minutes lasted, or next to it.
func about(a burn.Audited, x span) bool {
	const by = 3
	first, last := slo.MinuteOf(time.UnixMilli(a.FiredMS)), slo.MinuteOf(time.UnixMilli(a.ResolvedMS))
	return first <= x.to+by && (a.ResolvedMS == 0 || last >= x.from-by)
}

// sheetOf is the place of an objective among those that the oracle knows, -1 of others.
func (f *feed) sheetOf(name string) int {
	return slices.IndexFunc(f.sheets, func(s sheet) bool { return s.name == name })
}

// selected is the scope of a page as the ledger is asked for it.
func selected(at buffer.Source) (sel ledger.Selection) {
	switch {
	case at.Node != "":
		sel.Node = at
	case at.Venue != "":
		sel.Venues = []string{at.Venue}
	case at.Region != "":
		sel.Regions = []string{at.Region}
	}
	return sel
}

// nodesOf are those of a scope.
func (f *feed) nodesOf(at buffer.Source) (out []int) {
	for _, n := range f.nodes {
		if (at.Region == "" || at.Region == n.source.Region) && (at.Venue == "" || at.Venue == n.source.Venue) && (at.Node == "" || at.Node == n.source.Node) {
			out = append(out, n.number)
		}
	}
	return out
}

// scopesOf are the scopes that somebody watches, a node its own and the centre those of
// many.
func (f *feed) scopesOf() map[buffer.Source][]int {
	out := map[buffer.Source][]int{}
	for _, n := range f.nodes {
		out[n.source] = []int{n.number}
		venue, region := buffer.Source{Region: n.source.Region, Venue: n.source.Venue}, buffer.Source{Region: n.source.Region}
		if in := f.nodesOf(venue); len(in) > 1 {
			out[venue] = in
		}
		in := f.nodesOf(region)
		if slices.ContainsFunc(in, func(k int) bool { return f.nodes[k].source.Venue != n.source.Venue }) {
			out[region] = in
		}
		if len(in) < len(f.nodes) {
			out[buffer.Source{}] = f.nodesOf(buffer.Source{})
		}
	}
	return out
}
