// Package witness counts, for the objectives that nodes keep, what only the centre can
// see: the minutes in which a node should have been on and was heard or not, and which
// of its incidents were over in time. It puts the counts into the ledger as the nodes'
// own buckets are: for each minute, revised where more becomes known.
//
// What the centre itself was down for it never counts against a node. A minute counts
// as heard unless all of it lies in a dark episode, which begins with a node's last
// sign and ends with its first: a node that speaks several times a minute is silent
// for a whole one only if it was dark.
package witness

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"ghostlight/buffer"
	"ghostlight/fleet/events"
	"ghostlight/fleet/incident"
	"ghostlight/fleet/ledger"
	"ghostlight/fleet/registry"
	"ghostlight/fleet/store"
	"ghostlight/slo"
)

// Ledger takes the counts; the fleet's ledger does.
type Ledger interface {
	Objectives(ctx context.Context) ([]ledger.Definition, error)
	// Put stores a bucket of src as part of tx. Of one minute the highest revision
	// counts.
	Put(ctx context.Context, tx *sql.Tx, src buffer.Source, b slo.Bucket) error
}

// Nodes tells when each node was silent, and the centre down; the registry does.
type Nodes interface {
	Nodes() []registry.View
	Silences(ctx context.Context, from, to time.Time) (map[buffer.Source]registry.Silence, error)
	Down() []registry.Episode
}

// Calendar tells when a venue's nodes should be on; the fleet's calendar does.
type Calendar interface {
	ExpectedWindows(venue string, from, to time.Time) []events.Window
}

// Incidents tells of the incidents of nodes; the fleet's book of incidents does.
type Incidents interface {
	Touched(ctx context.Context, after int64, open bool) ([]incident.Place, int64, error)
	Outages(ctx context.Context, src buffer.Source, from, to time.Time) ([]slo.Outage, error)
}

// Options make a Witness. All but Now and Log are needed.
type Options struct {
	Store     *store.Store
	Ledger    Ledger
	Nodes     Nodes
	Calendar  Calendar
	Incidents Incidents
	DarkAfter time.Duration    // the silence after which the registry calls a node dark
	Now       func() time.Time // nil: time.Now
	Log       *slog.Logger     // nil: slog.Default
}

// A Witness counts while Run runs. What it has counted, and how far, it commits
// together, so that a restart counts nothing twice.
type Witness struct {
	o      Options
	landed map[buffer.Source]int64 // the minute before which all of a node is here
	opened time.Time               // when open incidents were last looked at
}

// How far each objective of each node is counted, and what was put for the minutes in
// which incidents failed: a minute that is not there was put once, with none.
var tables = []string{
	`CREATE TABLE IF NOT EXISTS witness_minutes (source INTEGER NOT NULL REFERENCES sources (id), objective TEXT NOT NULL, next BIGINT NOT NULL, PRIMARY KEY (source, objective))`,
	`CREATE TABLE IF NOT EXISTS witness_outages (source INTEGER NOT NULL REFERENCES sources (id), objective TEXT NOT NULL, minute BIGINT NOT NULL,
		revision BIGINT NOT NULL, good BIGINT NOT NULL, total BIGINT NOT NULL, PRIMARY KEY (source, objective, minute))`,
	`CREATE TABLE IF NOT EXISTS witness_changes (id INTEGER PRIMARY KEY CHECK (id = 1), seen BIGINT NOT NULL)`,
	`INSERT INTO witness_changes VALUES (1, 0) ON CONFLICT DO NOTHING`,
}

// New opens the witness; Run counts.
func New(ctx context.Context, o Options) (*Witness, error) {
	if o.Store == nil || o.Ledger == nil || o.Nodes == nil || o.Calendar == nil || o.Incidents == nil || o.DarkAfter <= 0 {
		return nil, errors.New("open witness: Store, Ledger, Nodes, Calendar, Incidents and DarkAfter are all needed")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if err := o.Store.Migrate(ctx, tables...); err != nil {
		return nil, fmt.Errorf("open witness: %w", err)
	}
	return &Witness{o: o, landed: map[buffer.Source]int64{}}, nil
}

const (
	countEvery = 5 * time.Second
	lag        = 5 * time.Second // after a minute could be judged, until it is
	mostPuts   = 20_000          // buckets of one transaction
)

// Run counts until ctx ends. After the centre was down it catches up.
func (w *Witness) Run(ctx context.Context) error {
	beat := time.NewTicker(countEvery)
	defer beat.Stop()
	failed := false
	for {
		err := w.round(ctx)
		if err != nil && !failed && ctx.Err() == nil {
			w.o.Log.Error("contact and recovery cannot be counted, will retry", "error", err)
		}
		failed = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-beat.C:
		}
	}
}

// A task is one objective of one node, of which minutes are to be counted.
type task struct {
	src      buffer.Source
	source   int64
	def      ledger.Definition
	from, to int64 // minutes; next is from
}

func (w *Witness) round(ctx context.Context) error {
	defs, err := w.o.Ledger.Objectives(ctx)
	if err != nil {
		return err
	}
	w.note(w.o.Nodes.Nodes())
	tasks, err := w.tasks(ctx, defs)
	if err != nil {
		return err
	}
	for len(tasks) > 0 && ctx.Err() == nil {
		var some []task
		some, tasks = cut(tasks)
		if err := w.count(ctx, some); err != nil {
			return err
		}
	}
	return w.revise(ctx, defs)
}

// tasks lists what can be counted now.
func (w *Witness) tasks(ctx context.Context, defs []ledger.Definition) ([]task, error) {
	next, err := w.counted(ctx)
	if err != nil {
		return nil, err
	}
	known := slo.MinuteOf(w.o.Now().Add(-w.o.DarkAfter - lag))
	var out []task
	for _, def := range defs {
		if !def.Indicator.Central() {
			continue
		}
		for _, p := range def.Nodes {
			id, ok := w.o.Store.ID(p.Source)
			if !ok {
				continue
			}
			t := task{src: p.Source, source: id, def: def, from: p.Since, to: known}
			if at, ok := next[counter{id, def.Name}]; ok {
				t.from = at
			}
			if def.Indicator.Recovery != nil {
				t.to = min(t.to, w.landed[p.Source])
			}
			if t.from < t.to {
				out = append(out, t)
			}
		}
	}
	return out, nil
}

type counter struct {
	source    int64
	objective string
}

// counted reads up to which minute each objective of each node is counted.
func (w *Witness) counted(ctx context.Context) (map[counter]int64, error) {
	rows, err := w.o.Store.Read().QueryContext(ctx, `SELECT source, objective, next FROM witness_minutes`)
	if err != nil {
		return nil, fmt.Errorf("read what was counted: %w", err)
	}
	defer rows.Close()
	out := map[counter]int64{}
	for rows.Next() {
		var c counter
		var next int64
		if err := rows.Scan(&c.source, &c.objective, &next); err != nil {
			return nil, fmt.Errorf("read what was counted: %w", err)
		}
		out[c] = next
	}
	return out, rows.Err()
}

// cut takes from the front what one transaction may hold.
func cut(tasks []task) (some, rest []task) {
	left := int64(mostPuts)
	for n, t := range tasks {
		if t.to-t.from > left {
			first := t
			first.to = t.from + left
			if left > 0 {
				some = append(some, first)
			}
			t.from = first.to
			return some, append([]task{t}, tasks[n+1:]...)
		}
		left -= t.to - t.from
		some = append(some, t)
	}
	return some, nil
}

// count counts the minutes of some tasks, and commits with them how far it came.
func (w *Witness) count(ctx context.Context, tasks []task) error {
	from, to := tasks[0].from, tasks[0].to
	for _, t := range tasks {
		from, to = min(from, t.from), max(to, t.to)
	}
	silences, err := w.o.Nodes.Silences(ctx, slo.MinuteStart(from), slo.MinuteStart(to))
	if err != nil {
		return err
	}
	down := w.o.Nodes.Down()
	buckets := make([][]slo.Bucket, len(tasks))
	for n, t := range tasks {
		if t.def.Indicator.Contact != nil {
			buckets[n] = w.contact(t, silences[t.src], down)
			continue
		}
		if buckets[n], err = w.recovery(ctx, t); err != nil {
			return err
		}
	}
	err = w.o.Store.Write(ctx, func(tx *sql.Tx) error {
		for n, t := range tasks {
			for _, b := range buckets[n] {
				if err := w.put(ctx, tx, t, b); err != nil {
					return err
				}
			}
			_, err := tx.ExecContext(ctx, `INSERT INTO witness_minutes VALUES (?, ?, ?) ON CONFLICT (source, objective) DO UPDATE SET next = excluded.next`, t.source, t.def.Name, t.to)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("count minutes: %w", err)
	}
	return nil
}

// bucket is the first word on a minute.
func (t task) bucket(minute int64, state slo.State, c slo.Counts) slo.Bucket {
	b := slo.Bucket{
		Objective: t.def.Name, Hash: t.def.Hash, Minute: minute, Revision: 1, Good: c.Good, Total: c.Total, State: state,
	}
	if state == slo.Measured {
		b.Observed, b.Passing = 60, true // without an event it was quiet, not blind
	}
	return b
}
