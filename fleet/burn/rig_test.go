package burn

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/wire"
	"ghostlight/fleet/ledger"
	"ghostlight/fleet/store"
	"ghostlight/slo"
	"ghostlight/slo/openslo"
)

var (
	bar   = buffer.Source{Region: "uk", Venue: "soho", Node: "bar"}
	door  = buffer.Source{Region: "uk", Venue: "soho", Node: "door"}
	kiosk = buffer.Source{Region: "uk", Venue: "camden", Node: "kiosk"}
	tent  = buffer.Source{Region: "fr", Venue: "lyon", Node: "tent"}
)

var begin = time.Date(2025, 2, 28, 18, 0, 0, 0, time.UTC)

const document = `{"apiVersion":"openslo/v1","kind":"SLO","metadata":{"name":"checkout","annotations":{"ghostlight.dev/event-window":"%v"}},"spec":{"service":"checkout",
"indicator":{"metadata":{"name":"payments"},"spec":{"ratioMetric":{
"good":{"metricSource":{"type":"ghostlight","spec":{"count":"good","outcomes":"payment"}}},
"total":{"metricSource":{"type":"ghostlight","spec":{"count":"total","outcomes":"payment"}}}}}},
"timeWindow":[{"duration":"28d","isRolling":true}],"budgetingMethod":"Occurrences","objectives":[{"target":%v}]}}`

func define(t *testing.T, target float64, perEvent bool) slo.Objective {
	t.Helper()
	objectives, err := openslo.Decode("checkout", fmt.Appendf(nil, document, perEvent, target))
	if err != nil {
		t.Fatal(err)
	}
	return objectives[0]
}

// A rig is a ledger, a room and a clock.
type rig struct {
	*testing.T
	ms     atomic.Int64
	store  *store.Store
	ledger *ledger.Ledger
	room   *Room
	shows  []wire.Show
	told   []Alert
	deaf   bool // nobody takes alerts
}

func (r *rig) now() time.Time { return time.UnixMilli(r.ms.Load()) }

// Shows makes the rig its own calendar: all shows are at every venue.
func (r *rig) Shows(string, time.Time) wire.Calendar { return wire.Calendar{Shows: r.shows} }

var errDeaf = errors.New("nobody takes alerts")

func (r *rig) take(_ context.Context, alerts []Alert) error {
	if r.deaf {
		return errDeaf
	}
	r.told = append(r.told, alerts...)
	return nil
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{T: t}
	r.ms.Store(begin.UnixMilli())
	var err error
	if r.store, err = store.Open(t.Context(), t.TempDir()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.store.Close() })
	for _, src := range []buffer.Source{bar, door, kiosk, tent} {
		if _, err := r.store.Register(t.Context(), src); err != nil {
			t.Fatal(err)
		}
	}
	r.restart()
	return r
}

// restart is a new life of the centre.
func (r *rig) restart() {
	r.Helper()
	var err error
	if r.ledger, err = ledger.New(r.Context(), r.store, ledger.Clock(r.now)); err != nil {
		r.Fatal(err)
	}
	r.room, err = New(r.Context(), Options{Store: r.store, Ledger: r.ledger, Shows: r, Alerts: r.take, Now: r.now})
	if err != nil {
		r.Fatal(err)
	}
}

func (r *rig) apply(src buffer.Source, records ...delta.Record) {
	r.Helper()
	err := r.store.Write(r.Context(), func(tx *sql.Tx) error {
		for _, rec := range records {
			if err := r.ledger.Apply(r.Context(), tx, src, rec); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		r.Fatal(err)
	}
}

// promise has nodes answer for an objective from now on.
func (r *rig) promise(o slo.Objective, nodes ...buffer.Source) {
	r.Helper()
	for _, src := range nodes {
		r.apply(src, delta.Record{Kind: ledger.KindObjective, Key: o.Name, Time: r.ms.Load(), Body: o.Document})
	}
}

// sells has a node tell of minutes from the one given, all alike.
func (r *rig) sells(src buffer.Source, o slo.Objective, from time.Time, minutes int, revision uint32, good, total int64) {
	r.Helper()
	var records []delta.Record
	for i := range minutes {
		b := slo.Bucket{
			Objective: o.Name, Hash: o.Hash, Minute: slo.MinuteOf(from) + int64(i), Revision: revision, Good: good, Total: total, Observed: 60, Passing: true, State: slo.Measured,
		}
		body, err := b.AppendBinary(nil)
		if err != nil {
			r.Fatal(err)
		}
		records = append(records, delta.Record{Kind: ledger.KindBucket, Key: b.Key(), Body: body})
	}
	r.apply(src, records...)
}

// load loads all windows.
func (r *rig) load() {
	r.Helper()
	for more := true; more; {
		var err error
		if more, err = r.room.Load(r.Context()); err != nil {
			r.Fatal(err)
		}
	}
}

// steps moves on minute by minute, with what sell does in each.
func (r *rig) steps(minutes int, sell func(at time.Time)) {
	r.Helper()
	for range minutes {
		at := r.now()
		r.ms.Add(time.Minute.Milliseconds())
		if sell != nil {
			sell(at)
		}
		r.load()
		if err := r.room.Step(r.Context()); err != nil {
			r.Fatal(err)
		}
	}
}

// review reviews all that is due.
func (r *rig) review() {
	r.Helper()
	for more := true; more; {
		var err error
		if more, err = r.room.Review(r.Context()); err != nil {
			r.Fatal(err)
		}
	}
}

// fired lists what was told, as scope, rule and phase.
func (r *rig) fired() (out []string) {
	for _, a := range r.told {
		out = append(out, a.Scope+" "+a.Rule+" "+string(a.Phase))
	}
	return out
}

func (r *rig) audit(f AuditFilter) []Audited {
	r.Helper()
	out, err := r.room.Audit(r.Context(), f)
	if err != nil {
		r.Fatal(err)
	}
	return out
}
