package status

import (
	"context"
	"fmt"
	"slices"
	"time"

	"ghostlight/fleet/ledger"
	"ghostlight/slo"
)

// Describe is what an objective's definition says.
func Describe(def ledger.Definition) Objective {
	return Objective{
		Description: def.Description, Owner: def.Owner, Source: def.Indicator.String(), Window: def.Window.String(), Method: string(def.Budgeting),
		Capacity: def.Capacity,
	}
}

// Venues lists the venues that count an objective, sorted.
func Venues(def ledger.Definition) []string {
	var out []string
	for _, p := range def.Nodes {
		out = append(out, p.Venue)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Primary picks the objective the fleet page shows: payments if there are, else
// other outcomes, else the first.
func Primary(defs []ledger.Definition) (ledger.Definition, bool) {
	rank := func(d ledger.Definition) int {
		switch {
		case d.Indicator.Outcome != nil && d.Indicator.Outcome.Kind == "payment":
			return 0
		case d.Indicator.Outcome != nil:
			return 1
		}
		return 2
	}
	if len(defs) == 0 {
		return ledger.Definition{}, false
	}
	return slices.MinFunc(defs, func(a, b ledger.Definition) int { return rank(a) - rank(b) }), true
}

// counts reports whether any node of the venue answers for def.
func counts(def ledger.Definition, venue string) bool {
	return slices.ContainsFunc(def.Nodes, func(p ledger.Participant) bool { return p.Venue == venue })
}

// Settle is how long after a minute's end its last bucket may be on the way; until
// then the minute is not judged.
const Settle = 20 * time.Second

// Hour is the last hour of minutes whose buckets can all have come: the minute that
// goes on is not in it.
func Hour(now time.Time) (from, to time.Time) {
	to = slo.MinuteStart(slo.MinuteOf(now.Add(-Settle)))
	return to.Add(-hourWindow), to
}

// OwnWindow is the window an objective is judged over at a time, as far as its
// minutes can have been told of: one that follows the calendar ends there too.
func OwnWindow(def ledger.Definition, now time.Time) (from, to time.Time) {
	first, end := def.Window.Hourly(now)
	return slo.MinuteStart(first), slo.MinuteStart(min(end, slo.MinuteOf(now.Add(-Settle))))
}

// JudgeHour judges the last hour. Where nobody had to answer for any minute of it
// yet, the minute that goes on is judged instead, as far as it has come.
func JudgeHour(ctx context.Context, l Ledger, def ledger.Definition, sel ledger.Selection, now time.Time) (SLI, error) {
	from, to := Hour(now)
	sli, err := JudgeSelection(ctx, l, def, sel, from, to)
	if err == nil && sli.Minutes.Expected == 0 {
		return JudgeSelection(ctx, l, def, sel, from, slo.MinuteStart(slo.MinuteOf(now)+1))
	}
	return sli, err
}

func (v *Views) judgeHour(ctx context.Context, def ledger.Definition, venues []string, now time.Time) (SLI, error) {
	return JudgeHour(ctx, v.opt.Ledger, def, ledger.Selection{Venues: venues}, now)
}

// Judge judges one objective at some venues over a window.
func Judge(ctx context.Context, l Ledger, def ledger.Definition, venues []string, from, to time.Time) (SLI, error) {
	return JudgeSelection(ctx, l, def, ledger.Selection{Venues: venues}, from, to)
}

// JudgeSelection judges one objective over a window.
func JudgeSelection(ctx context.Context, l Ledger, def ledger.Definition, sel ledger.Selection, from, to time.Time) (SLI, error) {
	st, err := l.Status(ctx, def.Name, sel, from, to)
	if err != nil {
		return SLI{}, fmt.Errorf("judge objective %s: %w", def.Name, err)
	}
	return ToSLI(def, st, from, to), nil
}

// settledBy is how long after a window's end it is taken for what was believed then.
const settledBy = 5 * time.Minute

// Restate says of the status of a window that is over whether late data changed a
// verdict that was final soon after it ended.
func Restate(ctx context.Context, l Ledger, name string, sel ledger.Selection, from, to time.Time, st slo.Status) (slo.Status, error) {
	then, err := l.StatusAsOf(ctx, name, sel, from, to, to.Add(settledBy))
	if err != nil {
		return st, fmt.Errorf("objective %s as it was known then: %w", name, err)
	}
	return st.After(then), nil
}

// ToSLI turns a judged window into what is shown.
func ToSLI(def ledger.Definition, st slo.Status, from, to time.Time) SLI {
	name := def.DisplayName
	if name == "" {
		name = def.Name
	}
	c := st.Coverage
	return SLI{
		Objective: def.Name, DisplayName: name, Target: def.Target, FromMS: from.UnixMilli(), ToMS: to.UnixMilli(),
		Good: st.Good, Total: st.Total, Known: st.Known, Value: st.SLI, Lower: st.Lower, Upper: st.Upper,
		Bounded: st.Total > 0 && (st.Final || def.Capacity > 0 || def.Budgeting.Sliced()), Verdict: string(st.Verdict), Final: st.Final, Restated: st.Restated,
		BudgetLeft: st.BudgetLeft, Unit: def.Budgeting.Unit(),
		Minutes: Minutes{
			Expected: c.Measured + c.Gap + c.Pending + c.Excluded, Known: c.Measured - c.Blind - c.Open, Open: c.Open,
			Gap: c.Gap, Pending: c.Pending, Excluded: c.Excluded, Quiet: c.Quiet, Failing: c.Failing, Blind: c.Blind,
		},
	}
}

// fewestCells is what a strip of minutes keeps at least.
const fewestCells = 15

// Cells is the coverage of one objective at some venues by minute.
func Cells(ctx context.Context, l Ledger, def ledger.Definition, venues []string, from, to time.Time) ([]Cell, error) {
	minutes, err := l.Minutes(ctx, def.Name, ledger.Selection{Venues: venues}, from, to)
	if err != nil {
		return nil, fmt.Errorf("minutes of objective %s: %w", def.Name, err)
	}
	// What lies before anybody had to answer says nothing; a few such minutes are
	// left so that a new objective's first minutes are not as wide as the page.
	for len(minutes) > fewestCells && cellKind(minutes[0]) == "none" {
		minutes = minutes[1:]
	}
	out := make([]Cell, len(minutes))
	for i, m := range minutes {
		out[i] = Cell{StartMS: slo.MinuteStart(m.Minute).UnixMilli(), Kind: cellKind(m), Good: m.Good, Total: m.Total}
	}
	return out, nil
}

// cellKind picks the one fact a minute of several nodes shows: what is bad or
// not known is never hidden behind what is good.
func cellKind(m ledger.Minute) string {
	switch {
	case m.Measured+m.Gap+m.Pending+m.Excluded == 0:
		return "none" // nobody had to answer for it
	case m.Good < m.Total:
		return "bad"
	case m.Failing > 0:
		return "failing"
	case m.Pending > 0:
		return "pending"
	case m.Blind > 0:
		return "blind"
	case m.Gap > 0:
		return "gap"
	case m.Total > 0:
		return "ok"
	case m.Excluded > 0:
		return "excluded"
	case m.Quiet > 0:
		return "quiet"
	}
	return "blind" // still open and without events: nobody can tell yet
}
