package torture

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"ghostlight/buffer"
	"ghostlight/fleet/ledger"
	"ghostlight/slo"
)

// looksPerFeed is how often, on average, somebody looks at an objective.
const looksPerFeed = 60

// A question asks for one objective, some nodes and a window of minutes.
type question struct {
	objective int
	nodes     []int
	selection ledger.Selection
	from, to  int64
}

func (f *feed) String(q question) string {
	who := "the fleet"
	switch {
	case q.selection.Node != (buffer.Source{}):
		who = q.selection.Node.String()
	case len(q.selection.Venues) > 0:
		who = fmt.Sprint(q.selection.Venues)
	}
	return fmt.Sprintf("%s of %s in [%d, %d)", f.objectives[q.objective].Name, who, q.from, q.to)
}

// A probe is what the ledger answered on the way.
type probe struct {
	question
	at     int64
	answer slo.Status
	since  []int64 // of the nodes asked for, as known then
}

// ask asks the ledger.
func (f *feed) ask(ctx context.Context, q question) (slo.Status, error) {
	return f.centre.ledger.Status(ctx, f.objectives[q.objective].Name, q.selection, time.Unix(q.from*60, 0), time.Unix(q.to*60, 0))
}

// whose draws some nodes.
func (f *feed) whose(draw func(int) int) (ledger.Selection, []int) {
	all := make([]int, len(f.nodes))
	for i := range all {
		all[i] = i
	}
	n := f.nodes[draw(len(f.nodes))]
	switch draw(3) {
	case 0:
		return ledger.Selection{Node: n.source}, []int{n.number}
	case 1:
		in := slices.DeleteFunc(all, func(i int) bool { return f.nodes[i].source.Venue != n.source.Venue })
		return ledger.Selection{Venues: []string{n.source.Venue}}, in
	}
	return ledger.Selection{}, all
}

// look asks now and then and notes the answer.
func (f *feed) look(ctx context.Context) error {
	rng := f.rng(streamProbe, int(f.now/1000))
	if rng.Int64N((f.end-f.start)/f.step) >= looksPerFeed {
		return nil
	}
	defined, err := f.centre.ledger.Objectives(ctx)
	if err != nil || len(defined) < len(f.objectives) {
		return err // the definitions are under way
	}
	q := question{objective: rng.IntN(len(f.sheets))}
	q.selection, q.nodes = f.whose(rng.IntN)
	// Windows that go on, up to now, and of the past.
	first, now, last := f.start/60_000, f.now/60_000, f.end/60_000
	q.from = first + rng.Int64N(last-first)
	q.to = min(last, q.from+1+rng.Int64N(last-first))
	switch rng.IntN(4) {
	case 0:
		q.from, q.to = max(first, now-60), now
	case 1:
		q.from, q.to = first, last
	case 2:
		q.to = min(q.to, now-1-rng.Int64N(10))
	}
	if q.from >= q.to {
		return nil
	}
	st, err := f.ask(ctx, q)
	if err != nil {
		return err
	}
	if f.bug == bugGuess && st.Known {
		st.Lower, st.Upper = st.SLI, st.SLI
	}
	since := f.since(defined, q)
	f.addsUp(since, q, st)
	f.probes = append(f.probes, probe{q, f.now, st, since})
	if err := f.centre.scopes.compare(ctx, f.centre.ledger); err != nil {
		return err
	}
	return f.lookBack(ctx, defined, f.probes[rng.IntN(len(f.probes))])
}

// since is from when on each of the nodes asked for answers.
func (f *feed) since(defined []ledger.Definition, q question) (out []int64) {
	i := slices.IndexFunc(defined, func(d ledger.Definition) bool { return d.Name == f.objectives[q.objective].Name })
	for _, p := range defined[i].Nodes {
		if slices.ContainsFunc(q.nodes, func(k int) bool { return f.nodes[k].source == p.Source }) {
			out = append(out, p.Since)
		}
	}
	return out
}

// lookBack asks again what was known when a probe was made. If all its minutes had
// settled the answer is what was answered then. Of others some may be pending again.
func (f *feed) lookBack(ctx context.Context, defined []ledger.Definition, p probe) error {
	if !slices.Equal(p.since, f.since(defined, p.question)) {
		return nil // who answers is known as of today
	}
	st, err := f.centre.ledger.StatusAsOf(ctx, f.objectives[p.objective].Name, p.selection, time.Unix(p.from*60, 0), time.Unix(p.to*60, 0), time.UnixMilli(p.at))
	if err != nil {
		return err
	}
	f.AsOf++
	if p.to*60_000+ledger.Settle.Milliseconds() <= p.at {
		if f.Exactly++; st != p.answer {
			f.problem("%s: at %s the answer was %+v, as of then it is now %+v", f.String(p.question), f.clock(p.at), p.answer, st)
		}
		return nil
	}
	if st.Lower > p.answer.Lower || st.Upper < p.answer.Upper || st.Coverage.Pending < p.answer.Coverage.Pending {
		f.problem("%s: at %s less was known, %+v, than as of then now, %+v", f.String(p.question), f.clock(p.at), p.answer, st)
	}
	return nil
}

// addsUp looks whether coverage adds up to the minutes expected.
func (f *feed) addsUp(since []int64, q question, st slo.Status) {
	o := f.objectives[q.objective]
	from, to := q.from, q.to
	if o.Budgeting.Sliced() && len(since) > 0 { // whole slices, since the first node answers
		n := o.Slice.Minutes
		from = max(from, slices.Min(since))
		from, to = from+(n-from%n)%n, to-to%n
	}
	var want int64
	for _, s := range since {
		want += max(0, to-max(from, s))
	}
	c := st.Coverage
	if got := c.Measured + c.Gap + c.Pending + c.Excluded; int64(got) != want {
		f.problem("%s: coverage %+v adds up to %d minutes, %d are expected", f.String(q), c, got, want)
	}
	if c.Quiet+c.Blind+c.Failing > c.Measured || c.Open > c.Measured {
		f.problem("%s: coverage %+v: more is quiet, blind, failing or open than was measured", f.String(q), c)
	}
}

// judge holds everything against the truth.
func (f *feed) judge(ctx context.Context) error {
	f.Blocks = 0
	for _, n := range f.nodes {
		f.Events, f.Blocks = f.Events+len(n.rows), f.Blocks+n.disk.blocks
	}
	for i := range f.sheets {
		if err := f.judgeObjective(ctx, i); err != nil {
			return err
		}
	}
	if err := f.judgeCounters(ctx); err != nil {
		return err
	}
	defined, err := f.centre.ledger.Objectives(ctx)
	if err != nil {
		return err
	}
	for _, p := range f.probes {
		if err := errors.Join(f.judgeProbe(ctx, p), f.lookBack(ctx, defined, p)); err != nil {
			return err
		}
	}
	f.centre.scopes.judge()
	if err := f.judgePages(); err != nil {
		return err
	}
	return errors.Join(f.judgeAudit(ctx), f.centre.book.judge(ctx))
}

// judgeObjective compares the whole feed, for the fleet, each venue and each node.
func (f *feed) judgeObjective(ctx context.Context, objective int) error {
	// All nodes answer for the feed from its tenth minute: by then each clock has
	// been read, however wrong.
	q := question{objective: objective, from: f.start/60_000 + 10, to: f.end / 60_000}
	seen := map[string]bool{}
	for _, n := range f.nodes {
		for draw := range 3 {
			q.selection, q.nodes = f.whose(func(k int) int {
				if k == 3 {
					return draw
				}
				return n.number
			})
			if key := f.String(q); seen[key] {
				continue
			} else {
				seen[key] = true
			}
			st, err := f.ask(ctx, q)
			if err != nil {
				return err
			}
			if !f.compare(q, st) {
				if err := f.differ(ctx, q); err != nil {
					return err
				}
			}
			if !st.Final || st.Coverage.Pending > 0 || st.Coverage.Open > 0 {
				f.problem("%s is not final in the end: %+v", f.String(q), st)
			}
		}
	}
	return nil
}

// differ tells the first minutes of a node in which the ledger and the truth differ.
func (f *feed) differ(ctx context.Context, q question) error {
	if len(q.nodes) > 1 {
		return nil
	}
	minutes, err := f.centre.ledger.Minutes(ctx, f.objectives[q.objective].Name, q.selection, time.Unix(q.from*60, 0), time.Unix(q.to*60, 0))
	if err != nil {
		return err
	}
	told := 0
	for _, m := range minutes {
		c := f.truth.events[account{q.nodes[0], f.sheets[q.objective].thing}][m.Minute]
		if c == m.Counts || m.Coverage.Excluded > 0 || told == 5 {
			continue
		}
		told++
		f.logf("%s: minute %d (%s) is %d of %d, the oracle has %d of %d; %+v", f.String(q), m.Minute, f.clock(m.Minute*60_000), m.Good, m.Total, c.Good, c.Total, m.Coverage)
	}
	return nil
}

// compare holds a final answer against the truth, and reports whether they are one.
func (f *feed) compare(q question, st slo.Status) bool {
	s := f.sheets[q.objective]
	c := f.truth.sum(s, q.nodes, q.from, q.to)
	want := slo.Status{Counts: c, Verdict: slo.Undetermined}
	if c.Total > 0 {
		want.SLI = float64(c.Good) / float64(c.Total)
		want.BudgetLeft = 1 - float64(c.Total-c.Good)/float64(c.Total)/(1-s.target)
		want.Verdict = slo.Missed
		if want.SLI >= s.target {
			want.Verdict = slo.Met
		}
	}
	if st.Counts != want.Counts || st.SLI != want.SLI || st.BudgetLeft != want.BudgetLeft || st.Verdict != want.Verdict {
		f.problem("%s: %d good of %d, SLI %v, budget left %v, %s; the oracle has %d of %d, %v, %v, %s", f.String(q),
			st.Good, st.Total, st.SLI, st.BudgetLeft, st.Verdict, want.Good, want.Total, want.SLI, want.BudgetLeft, want.Verdict)
		return false
	}
	return true
}

// judgeProbe holds what was answered on the way against the truth.
func (f *feed) judgeProbe(ctx context.Context, p probe) error {
	last, err := f.ask(ctx, p.question)
	if err != nil {
		return err
	}
	f.Probes++
	s := f.sheets[p.objective]
	c := f.truth.sum(s, p.nodes, p.from, p.to)
	if p.answer.Coverage.Pending+p.answer.Coverage.Open > 0 {
		f.Open++
		if p.answer.Lower > 0 || p.answer.Upper < 1 {
			f.Bounded++
		}
	}
	if p.answer.Final {
		f.Settled++
		if last.After(p.answer).Restated {
			f.Restated++
		}
	}
	if o := f.objectives[p.objective]; p.from < o.FinalMinute(time.UnixMilli(p.at)) && p.answer.Coverage.Gap > 0 {
		f.GivenUp++ // what was waited for long enough may come after all: then it is restated
		return nil
	}
	// Nobody can bound what a node sells of which nothing was ever heard.
	if len(p.since) < len(p.nodes) || f.truth.cameAgain(s, p.nodes, p.from, p.to, p.at) {
		f.Exempted++
		return nil
	}
	if c.Total > 0 {
		if sli := float64(c.Good) / float64(c.Total); sli < p.answer.Lower || sli > p.answer.Upper {
			f.problem("%s: at %s the SLI was within [%v, %v], in the end it is %v; then %+v", f.String(p.question), f.clock(p.at), p.answer.Lower, p.answer.Upper, sli, p.answer)
		}
	}
	if p.answer.Final && p.answer.Verdict != last.Verdict && p.answer.Coverage != (slo.Coverage{}) { // of no minute at all nothing is said
		f.problem("%s: at %s the verdict was final, %s, in the end it is %s; then %+v, now %+v", f.String(p.question), f.clock(p.at), p.answer.Verdict, last.Verdict, p.answer, last)
	}
	if !p.answer.Final && p.answer.Verdict != slo.Undetermined && c.Total > 0 && p.answer.Verdict != last.Verdict && last.Final {
		f.problem("%s: at %s the verdict was %s whatever may come, in the end it is %s; then %+v, now %+v", f.String(p.question), f.clock(p.at), p.answer.Verdict, last.Verdict, p.answer, last)
	}
	return nil
}
