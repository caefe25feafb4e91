package torture

import (
	"context"

	"ghostlight/buffer/delta"
	"ghostlight/buffer/queue"
	"ghostlight/fleet/ledger"
	"ghostlight/slo"
)

// counted is the objective that counts what counters of edgecore grow by.
const counted = "requests"

// A reading is what edgecore's counters showed, the first and the last time that it
// was stored.
type reading struct {
	known       bool
	first, last slo.Counts
}

// scrape reads edgecore's counters and stores them with what they count.
func (a *agent) scrape() {
	shown := a.grown[payment]
	series := []delta.Series{a.series("up", "", 1)}
	if a.answers() {
		series = append(series, a.series("requests_total", "true", shown.Good), a.series("requests_total", "false", shown.Bad()))
		a.showing = &shown
	} else {
		series[0] = a.series("up", "", 0)
	}
	//nolint:errcheck // the next reading counts what this one did not
	a.book.Series(context.Background(), series, func(c queue.Commit) error { return a.disk.Commit(context.Background(), c) })
	a.showing = nil
}

// series is one sample of edgecore's.
func (a *agent) series(name, good string, value int64) delta.Series {
	labels := []delta.Label{{Name: "__name__", Value: name}, {Name: "instance", Value: a.source.Node}, {Name: "job", Value: "edgecore"}}
	if good != "" {
		labels = []delta.Label{labels[0], {Name: "good", Value: good}, labels[1], labels[2]}
	}
	return delta.Series{Labels: labels, Meta: delta.Meta{Type: delta.Counter}, Samples: []delta.Sample{{Time: a.wall(), Value: float64(value)}}}
}

// show notes a reading that is durable.
func (n *node) show(c slo.Counts) {
	if !n.counters.known {
		n.counters = reading{known: true, first: c}
	}
	n.counters.last = c
}

// judgeCounters holds what counters grew by against what edgecore's ledger did: all
// of it is counted once, also what passed while nobody read. Its minutes are not
// known, so only the whole is compared, and of nodes whose clock was never set.
func (f *feed) judgeCounters(ctx context.Context) error {
	for i, o := range f.objectives {
		if o.Name != counted {
			continue
		}
		for _, n := range f.nodes {
			if len(n.plan.clock) > 1 {
				continue
			}
			q := question{objective: i, nodes: []int{n.number}, selection: ledger.Selection{Node: n.source}, from: f.start/60_000 - 60, to: f.now/60_000 + 1}
			st, err := f.ask(ctx, q)
			if err != nil {
				return err
			}
			r := n.counters
			if want := (slo.Counts{Good: r.last.Good - r.first.Good, Total: r.last.Total - r.first.Total}); st.Counts != want {
				f.problem("%s: %d good of %d, edgecore's counters grew by %d of %d", f.String(q), st.Good, st.Total, want.Good, want.Total)
			}
			f.Growths++
		}
	}
	return nil
}
