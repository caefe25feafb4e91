package torture

import (
	"cmp"
	"context"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"ghostlight/internal/torture/peer"
	"ghostlight/slo"
	"ghostlight/slo/incident"
)

// A rival is a Prometheus that a feed is replayed to.
type rival struct {
	f         *feed
	server    *peer.Server
	evaluator *peer.Evaluator
	promises  []promise
	refused   int
	closing   map[Side][]slo.Status // what was said as the venues closed
	end       map[Side][]slo.Status // and when all had been delivered
}

// evaluateEvery is the longest that rules wait for their evaluation: what they
// record must not come too late itself.
const evaluateEvery = 30 * 60_000

// live replays the feed. Rules see what had arrived by the time that they are
// evaluated for.
func (r *rival) live(ctx context.Context, dir string) error {
	groups, err := r.rules(ctx, filepath.Join(dir, "rules.yml"))
	if err != nil {
		return err
	}
	r.evaluator = peer.NewEvaluator(r.server, groups, r.f.start)
	evaluated := r.f.start
	for _, a := range r.f.seen.arrivals {
		if r.closing == nil && a.at > r.f.end {
			if r.closing, err = r.say(ctx); err != nil {
				return err
			}
		}
		if a.late || a.at-evaluated > evaluateEvery {
			if err := r.evaluator.Until(ctx, a.at-1); err != nil {
				return err
			}
			evaluated = a.at
		}
		refused, err := r.server.Write(ctx, a.samples)
		if err != nil {
			return err
		}
		r.refused += refused
	}
	if err := r.evaluator.Until(ctx, r.f.now); err != nil {
		return err
	}
	r.end, err = r.say(ctx)
	return err
}

// rules writes the rule file and has it checked.
func (r *rival) rules(ctx context.Context, path string) ([]peer.Group, error) {
	var file peer.File
	for _, p := range r.promises {
		file.Groups = append(file.Groups, peer.Rules(p.Objective)...)
	}
	text, err := file.YAML()
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		return nil, err
	}
	return file.Groups, peer.Check(ctx, path)
}

// say is what Prometheus has to say, on what it holds now, of the time that venues
// were open for.
func (r *rival) say(ctx context.Context) (map[Side][]slo.Status, error) {
	if err := r.evaluator.Until(ctx, r.f.end); err != nil {
		return nil, err
	}
	open := time.Duration(r.f.end-r.f.start) * time.Millisecond
	out := map[Side][]slo.Status{}
	for _, p := range r.promises {
		for side, query := range map[Side]string{Generated: p.Period(), Straight: p.Straight(open)} {
			ratio, ok, err := r.server.Instant(ctx, query, r.f.end)
			if err != nil {
				return nil, err
			}
			out[side] = append(out[side], believed(ratio, ok, p.Target))
		}
	}
	return out, nil
}

// believed is an error ratio as a status. Prometheus gives no bounds.
func believed(ratio float64, ok bool, target float64) slo.Status {
	st := slo.Status{Known: ok && !math.IsNaN(ratio), Upper: 1, Verdict: slo.Undetermined}
	if !st.Known {
		return st
	}
	st.SLI, st.Verdict = 1-ratio, slo.Missed
	if st.SLI >= target {
		st.Verdict = slo.Met
	}
	return st
}

const (
	// flap is how far apart the parts of one page may be.
	flap = 10 * 60_000
	// pageEarly and pageLate are how much before and after a page is due it may come.
	pageEarly, pageLate = 5 * 60_000, 15 * 60_000
)

// due is when somebody who knew at once what happens would be paged for a promise.
func (f *feed) due(p promise) ([]peer.Firing, error) {
	burn, err := slo.NewBurnWatch(p.node.source.String(), f.objectives[p.number], nil)
	if err != nil {
		return nil, err
	}
	events := f.seen.happened.events[account{p.node.number, f.sheets[p.number].thing}]
	var out []peer.Firing
	for m := f.start / 60_000; m < f.end/60_000; m++ {
		c := events[m]
		burn.Track.Advance(m)
		burn.Track.Replace(m, slo.Sum{}, slo.Sum{Counts: c, Coverage: slo.Coverage{Measured: 1}})
		burn.Step(slo.MinuteStart(m).Add(59 * time.Second))
		for _, a := range burn.Watch.Active() {
			if a.Urgency == slo.Page && a.Phase == slo.Firing {
				out = append(out, peer.Firing{From: m * 60_000, To: (m + 1) * 60_000})
				break
			}
		}
	}
	return merge(out), nil
}

// pagesOf is when a promise's node paged.
func (f *feed) pagesOf(p promise) (out []peer.Firing) {
	for id, at := range f.seen.pages {
		is := f.paged[id]
		if s := is.Scope; s.Venue != p.node.source.Venue || s.Cause != incident.Objective || s.Name != f.objectives[p.number].Name {
			continue
		}
		if is.Open() {
			at.To = f.now
		}
		out = append(out, at)
	}
	return out
}

// merge puts what overlaps, or is no further apart than flap, together.
func merge(list []peer.Firing) (out []peer.Firing) {
	slices.SortFunc(list, func(a, b peer.Firing) int { return cmp.Compare(a.From, b.From) })
	for _, x := range list {
		if n := len(out); n > 0 && x.From-out[n-1].To <= flap {
			out[n-1].To = max(out[n-1].To, x.To)
		} else {
			out = append(out, x)
		}
	}
	return out
}

// judge compares pages that were due with those that came.
func (s *PageScore) judge(due, came []peer.Firing) {
	due, came = merge(due), merge(came)
	answers := func(d, c peer.Firing) bool { return c.From <= d.To+pageLate && c.To >= d.From-pageEarly }
	s.Due += len(due)
	for _, d := range due {
		n := 0
		for _, c := range came {
			if answers(d, c) {
				n++
			}
		}
		if n == 0 {
			s.Missed++
		}
		s.Double += max(0, n-1)
	}
	for _, c := range came {
		if !slices.ContainsFunc(due, func(d peer.Firing) bool { return answers(d, c) }) {
			s.False++
		}
	}
}
