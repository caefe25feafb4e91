package witness

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"ghostlight/buffer"
	"ghostlight/fleet/ledger"
	"ghostlight/fleet/registry"
	"ghostlight/slo"
)

// note learns up to when all that a node knew is here: until it said that no revenue
// waits there. One that was packed up like this has nothing more to tell.
func (w *Witness) note(nodes []registry.View) {
	for _, v := range nodes {
		lane := v.Heartbeat.Lanes[buffer.Revenue]
		if v.HeartbeatAt.IsZero() || lane.Waiting > 0 || lane.Records.Waiting > 0 {
			continue
		}
		at := v.HeartbeatAt
		if v.Presence == registry.Away {
			at = w.o.Now()
		}
		w.landed[v.Source] = max(w.landed[v.Source], slo.MinuteOf(at))
	}
}

// recovery counts the incidents that failed in each minute of a task.
func (w *Witness) recovery(ctx context.Context, t task) ([]slo.Bucket, error) {
	list, err := w.o.Incidents.Outages(ctx, t.src, slo.MinuteStart(t.from), slo.MinuteStart(t.to))
	if err != nil {
		return nil, err
	}
	failed := map[int64][]slo.Outage{}
	for _, o := range list {
		m := slo.MinuteOf(o.Failed)
		failed[m] = append(failed[m], o)
	}
	out := make([]slo.Bucket, 0, t.to-t.from)
	for m := t.from; m < t.to; m++ {
		out = append(out, t.bucket(m, slo.Measured, slo.Recovery(*t.def.Indicator.Recovery, failed[m])))
	}
	return out, nil
}

// put stores a bucket, and of one that counts incidents what it said, so that the next
// has a higher revision.
func (w *Witness) put(ctx context.Context, tx *sql.Tx, t task, b slo.Bucket) error {
	if err := w.o.Ledger.Put(ctx, tx, t.src, b); err != nil {
		return err
	}
	if t.def.Indicator.Recovery == nil || (b.Revision == 1 && b.Total == 0) {
		return nil
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO witness_outages VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (source, objective, minute) DO UPDATE SET revision = excluded.revision, good = excluded.good, total = excluded.total`,
		t.source, b.Objective, b.Minute, b.Revision, b.Good, b.Total)
	return err
}

const openEvery = time.Minute // between looks at incidents that go on, which may become late

// revise counts anew the minutes of incidents that changed, or go on.
func (w *Witness) revise(ctx context.Context, defs []ledger.Definition) error {
	var seen int64
	if err := w.o.Store.Read().QueryRowContext(ctx, `SELECT seen FROM witness_changes`).Scan(&seen); err != nil {
		return fmt.Errorf("read what was seen of incidents: %w", err)
	}
	now := w.o.Now()
	open := now.Sub(w.opened) >= openEvery
	places, last, err := w.o.Incidents.Touched(ctx, seen, open)
	if err != nil {
		return err
	}
	var fresh []placed
	for _, p := range places {
		source, ok := w.o.Store.ID(p.Source)
		if !ok {
			continue
		}
		list, err := w.o.Incidents.Outages(ctx, p.Source, slo.MinuteStart(p.Minute), slo.MinuteStart(p.Minute+1))
		if err != nil {
			return err
		}
		for _, def := range keptBy(defs, p.Source, p.Minute) {
			t := task{src: p.Source, source: source, def: def}
			fresh = append(fresh, placed{t, t.bucket(p.Minute, slo.Measured, slo.Recovery(*def.Indicator.Recovery, list))})
		}
	}
	if len(fresh) > 0 || last > seen {
		if err := w.replace(ctx, fresh, last); err != nil {
			return fmt.Errorf("revise recoveries: %w", err)
		}
	}
	if open {
		w.opened = now
	}
	return nil
}

// placed is what a minute counts now.
type placed struct {
	task
	now slo.Bucket
}

// keptBy lists the objectives of recovery that a node answers for in a minute.
func keptBy(defs []ledger.Definition, src buffer.Source, minute int64) []ledger.Definition {
	var out []ledger.Definition
	for _, d := range defs {
		if d.Indicator.Recovery == nil {
			continue
		}
		for _, p := range d.Nodes {
			if p.Source == src && minute >= p.Since {
				out = append(out, d)
			}
		}
	}
	return out
}

// replace puts what differs from what was put before. A minute that is not counted yet
// is left to its turn.
func (w *Witness) replace(ctx context.Context, fresh []placed, last int64) error {
	return w.o.Store.Write(ctx, func(tx *sql.Tx) error {
		for _, p := range fresh {
			var next int64
			err := tx.QueryRowContext(ctx, `SELECT next FROM witness_minutes WHERE source = ? AND objective = ?`, p.source, p.now.Objective).Scan(&next)
			if errors.Is(err, sql.ErrNoRows) || (err == nil && p.now.Minute >= next) {
				continue
			}
			old := slo.Bucket{Revision: 1}
			if err == nil {
				err = tx.QueryRowContext(ctx, `SELECT revision, good, total FROM witness_outages WHERE source = ? AND objective = ? AND minute = ?`,
					p.source, p.now.Objective, p.now.Minute).Scan(&old.Revision, &old.Good, &old.Total)
			}
			if err != nil && !errors.Is(err, sql.ErrNoRows) {
				return err
			}
			if old.Good == p.now.Good && old.Total == p.now.Total {
				continue
			}
			p.now.Revision = old.Revision + 1
			if err := w.put(ctx, tx, p.task, p.now); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, `UPDATE witness_changes SET seen = ?`, last)
		return err
	})
}
