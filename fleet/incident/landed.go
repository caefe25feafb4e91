package incident

import (
	"context"
	"fmt"
	"slices"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/wire"
	"ghostlight/fleet/ledger"
	"ghostlight/fleet/sales"
	"ghostlight/slo/incident"
)

const (
	landEvery   = 5 * time.Second // between looks at the ledger for one incident
	landMost    = 50              // incidents looked at in one round
	reviewEvery = time.Minute     // between looks at a finding that was made
	reviewFor   = 48 * time.Hour  // how long late data may change it
)

// landed looks at the dark nodes that are heard again: once their backlog is here,
// the incident is at parity and what was sold meanwhile is found; what comes later
// may change the finding.
func (b *Book) landed(ctx context.Context) error {
	now := b.o.Now()
	var found []incident.Incident
	var defs []ledger.Definition
	looked := 0
	for _, id := range b.backAgain() {
		if looked == landMost {
			break
		}
		i := b.desk.list[id]
		every, ok := b.reviews(i, now)
		if !ok || now.Sub(b.desk.checked[id]) < every {
			continue
		}
		if defs == nil {
			var err error
			if defs, err = b.o.Ledger.Objectives(ctx); err != nil {
				return err
			}
		}
		looked++
		b.desk.checked[id] = now
		next, changed, err := b.find(ctx, i, defs, now)
		if err != nil {
			return fmt.Errorf("what %s sold: %w", i.ID(), err)
		}
		if changed {
			found = append(found, next)
		}
	}
	return b.store(ctx, found)
}

// backAgain lists the darkness on the desk that is over as such, those that were
// looked at longest ago first.
func (b *Book) backAgain() []string {
	var out []string
	for id, i := range b.desk.list {
		if i.Scope.Cause != incident.Darkness || i.Scope.Node == "" {
			continue
		}
		if _, ok := i.When(incident.Mitigated); ok {
			out = append(out, id)
		}
	}
	slices.SortFunc(out, func(x, y string) int { return b.desk.checked[x].Compare(b.desk.checked[y]) })
	return out
}

// reviews says how often the incident is looked at now, if it is.
func (b *Book) reviews(i incident.Incident, now time.Time) (time.Duration, bool) {
	if at, ok := i.When(incident.Parity); ok {
		return reviewEvery, now.Sub(time.UnixMilli(at)) < reviewFor
	}
	if !i.Open() {
		return 0, false
	}
	back, _ := i.When(incident.Mitigated)
	return landEvery, b.hasDrained(sourceOf(i.Scope), time.UnixMilli(back))
}

// hasDrained reports whether the node said, at or after a time, that no revenue waits
// there. One that never says anything of itself has nothing that waits.
func (b *Book) hasDrained(src buffer.Source, since time.Time) bool {
	if at, ok := b.desk.drained[src]; ok && !at.Before(since) {
		return true
	}
	v, err := b.o.Nodes.Node(src)
	if err != nil {
		return false // it is configured no more: nothing will come
	}
	if v.HeartbeatAt.IsZero() || (!v.HeartbeatAt.Before(since) && nothingWaits(v.Heartbeat)) {
		b.desk.drained[src] = since
		if !v.HeartbeatAt.IsZero() {
			b.desk.drained[src] = v.HeartbeatAt
		}
		return true
	}
	return false
}

func nothingWaits(hb wire.Heartbeat) bool {
	lane := hb.Lanes[buffer.Revenue]
	return lane.Waiting == 0 && lane.Records.Waiting == 0
}

// find says what the venue sold while the node was dark, and that the incident is at
// parity, once no minute of it is still to come.
func (b *Book) find(ctx context.Context, i incident.Incident, defs []ledger.Definition, now time.Time) (incident.Incident, bool, error) {
	f, err := b.sold(ctx, i, defs)
	if err != nil {
		return i, false, err
	}
	_, over := i.When(incident.Parity)
	if !over && f.Pending > 0 {
		return i, false, nil
	}
	old, known := i.Finding()
	f.AtMS, f.Revision = old.AtMS, old.Revision
	if over && (!known || f == old) {
		return i, false, nil
	}
	f.AtMS, f.Revision = now.UnixMilli(), old.Revision+1
	if !over {
		for _, s := range i.Spells() {
			if s.ParityMS == 0 {
				i = i.Mark(incident.Mark{Stage: incident.Parity, SpellMS: s.StartMS, AtMS: now.UnixMilli(), Source: incident.Centre})
			}
		}
	}
	return i.Find(f), true, nil
}

// sold counts, over the time that a node was dark, its sales and failed payments from
// the raw facts, and from the objective of its sales the minutes that are still to
// come and whether it was kept. Sales were lost where it was not, or where the journey
// to them failed; a node without such an objective lost sales where any failed.
func (b *Book) sold(ctx context.Context, i incident.Incident, defs []ledger.Definition) (incident.Finding, error) {
	src := sourceOf(i.Scope)
	def, ok := sellingObjective(defs, src)
	f := incident.Finding{Sales: incident.Unaffected}
	for _, s := range i.Spells() {
		from, to := time.UnixMilli(s.FailedMS), time.UnixMilli(s.MitigatedMS)
		raw, err := b.o.Sales.Nodes(ctx, sales.Filter{Node: src, From: from, To: to})
		if err != nil {
			return f, err
		}
		failed := raw[src].FailedPayments
		f.Good += raw[src].Sales
		if !ok {
			f.Bad += failed
			if failed > 0 {
				f.Sales = incident.Lost
			}
			continue
		}
		st, err := b.o.Ledger.Status(ctx, def.Name, ledger.Selection{Node: src}, from, to)
		if err != nil {
			return f, err
		}
		f.Pending += int64(st.Coverage.Pending)
		// Sliced objectives count slices: their failures are no sales.
		if !def.Budgeting.Sliced() {
			failed = max(failed, st.Total-st.Good)
		}
		f.Bad += failed
		if (st.Known && st.SLI < def.Target) || st.Coverage.Failing > 0 {
			f.Sales = incident.Lost
		}
	}
	return f, nil
}

// sellingObjective is the objective of a node's sales: payments if it keeps one, else
// other outcomes.
func sellingObjective(defs []ledger.Definition, src buffer.Source) (ledger.Definition, bool) {
	var best ledger.Definition
	ok := false
	for _, d := range defs {
		o := d.Indicator.Outcome
		if o == nil || (ok && o.Kind != "payment") {
			continue
		}
		if slices.ContainsFunc(d.Nodes, func(p ledger.Participant) bool { return p.Source == src }) {
			if ok && best.Indicator.Outcome.Kind == "payment" {
				continue // the first of several by name
			}
			best, ok = d, true
		}
	}
	return best, ok
}
