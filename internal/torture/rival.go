package torture

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"time"

	"ghostlight/internal/torture/peer"
	"ghostlight/slo"
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
