package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/fleet/burn"
	"ghostlight/fleet/ledger"
	"ghostlight/fleet/store"
	"ghostlight/slo"
)

// The centre's rooms are measured in a process of their own, on one core, in virtual
// time: the bench starts itself as "bench centre ACTION ORDER" and reads what that
// prints.

// centreBegin is the hour at which the rooms begin to be measured; their history ends
// with it.
var centreBegin = time.Date(2026, time.September, 14, 12, 0, 0, 0, time.UTC)

// A centreOrder is what one such process is to do.
type centreOrder struct {
	Dir    string `json:"dir"`
	Nodes  int    `json:"nodes"`
	Sample int    `json:"sample"` // nodes with the whole history; the others have that of Wide
	Days   int    `json:"days"`   // of history
	Wide   int    `json:"wide"`   // hours of history of every node; 0: wideHours

	Minutes   int   `json:"minutes"`   // to measure
	Revisions []int `json:"revisions"` // of each minute: one measurement for each
	Watches   bool  `json:"watches"`   // single nodes' alerts are watched, too

	Away int `json:"away"` // nodes that nobody heard of for awayHours
}

const (
	wideHours = 1 // history of every node, where the order names none
	awayHours = 24
)

// centre is the child's main.
func centre(ctx context.Context, action, order string) error {
	var o centreOrder
	if err := json.Unmarshal([]byte(order), &o); err != nil {
		return fmt.Errorf("read the order: %w", err)
	}
	do, ok := map[string]func(context.Context, centreOrder) (any, error){"fill": fillCentre, "live": liveCentre, "late": lateCentre, "start": startCentre}[action]
	if !ok {
		return fmt.Errorf("centre cannot %q", action)
	}
	done, err := do(ctx, o)
	if err != nil {
		return fmt.Errorf("%s: %w", action, err)
	}
	return json.NewEncoder(os.Stdout).Encode(done)
}

// rooms are the centre's, on disk, with a clock of their own.
type rooms struct {
	order   centreOrder
	nowMS   atomic.Int64
	store   *store.Store
	ledger  *ledger.Ledger
	burn    *burn.Room // nil while a history is written
	nodes   *nodeWatches
	sources []buffer.Source
	promise []slo.Objective
	rng     *rand.Rand
	bodies  [][]byte // of the records of one transaction, used again
}

func (r *rooms) now() time.Time   { return time.UnixMilli(r.nowMS.Load()) }
func (r *rooms) set(at time.Time) { r.nowMS.Store(at.UnixMilli()) }

func openRooms(ctx context.Context, o centreOrder, at time.Time) (r *rooms, err error) {
	r = &rooms{order: o, rng: rand.New(rand.NewPCG(1, uint64(o.Days)))}
	r.set(at)
	if r.promise, err = objectives(); err != nil {
		return nil, err
	}
	if r.store, err = store.Open(ctx, o.Dir); err != nil {
		return nil, err
	}
	for i := range o.Nodes {
		r.sources = append(r.sources, source(i))
	}
	if err := r.register(ctx); err != nil {
		return nil, firstOf(err, r.store.Close())
	}
	if r.ledger, err = ledger.New(ctx, r.store, ledger.Clock(r.now)); err != nil {
		return nil, firstOf(err, r.store.Close())
	}
	return r, nil
}

// source is one node of a fleet: three at a venue, of twenty regions.
func source(i int) buffer.Source {
	return buffer.Source{Region: fmt.Sprintf("region-%02d", i/3%20), Venue: fmt.Sprintf("venue-%04d", i/3), Node: fmt.Sprintf("edge-%d", i%3+1)}
}

func (r *rooms) register(ctx context.Context) error {
	if _, ok := r.store.ID(r.sources[len(r.sources)-1]); ok {
		return nil
	}
	for _, s := range r.sources {
		if _, err := r.store.Register(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// bucket draws one node's minute.
func (r *rooms) bucket(o slo.Objective, minute int64, revision uint32, open bool) slo.Bucket {
	b := slo.Bucket{Objective: o.Name, Hash: o.Hash, Minute: minute, Epoch: 1, Revision: revision, Observed: 60, Open: open, Passing: true, State: slo.Measured}
	switch i := o.Indicator; {
	case i.Contact != nil:
		b.Total = 1
	case i.Gauge != nil:
		b.Total = 12
	case i.Recovery == nil || r.rng.IntN(500) == 0:
		b.Total = r.rng.Int64N(30)
	}
	if b.Good = b.Total; b.Total > 0 && r.rng.IntN(100) == 0 {
		b.Good--
	}
	return b
}

// groupBlocks is how many blocks the centre applies in a transaction at most; each has
// one node's buckets of a minute.
const groupBlocks = 64

// arrivalGap bounds the time between two transactions: those of ten thousand nodes come
// within some seconds.
const arrivalGap = 80 * time.Millisecond

// tell takes one minute of some nodes through the ledger's door, as ingest does. It
// returns the processor time that took, what it takes to draw the buckets left out.
func (r *rooms) tell(ctx context.Context, nodes []buffer.Source, minute int64, revision uint32, open bool) (used time.Duration, err error) {
	for group := range slices.Chunk(nodes, groupBlocks) {
		r.set(r.now().Add(time.Duration(r.rng.Int64N(int64(arrivalGap)))))
		drawn, err := r.draw(nil, group, minute, revision, open)
		if err != nil {
			return 0, err
		}
		begin := processTime()
		if err := r.apply(ctx, drawn); err != nil {
			return 0, err
		}
		used += processTime() - begin
	}
	return used, nil
}

// told is one record, or a bucket that the centre itself counted.
type told struct {
	source buffer.Source
	record delta.Record
	own    *slo.Bucket
}

// draw appends one minute of some nodes to what a transaction is to apply. What an
// earlier transaction was given is overwritten.
func (r *rooms) draw(to []told, nodes []buffer.Source, minute int64, revision uint32, open bool) ([]told, error) {
	for _, s := range nodes {
		for _, o := range r.promise {
			b := r.bucket(o, minute, revision, open)
			if o.Indicator.Central() {
				to = append(to, told{source: s, own: &b})
				continue
			}
			for len(r.bodies) <= len(to) {
				r.bodies = append(r.bodies, nil)
			}
			body, err := b.AppendBinary(r.bodies[len(to)][:0])
			if err != nil {
				return nil, err
			}
			r.bodies[len(to)] = body
			to = append(to, told{source: s, record: delta.Record{Kind: ledger.KindBucket, Key: b.Key(), Time: minute * 60_000, Body: body}})
		}
	}
	return to, nil
}

// apply is one transaction.
func (r *rooms) apply(ctx context.Context, list []told) error {
	return r.store.Write(ctx, func(tx *sql.Tx) error {
		for _, t := range list {
			var err error
			if t.own != nil {
				err = r.ledger.Put(ctx, tx, t.source, *t.own)
			} else {
				err = r.ledger.Apply(ctx, tx, t.source, t.record)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// processTime is the processor time of this process so far.
func processTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// processPeak is the most memory that this process had resident, in bytes.
func processPeak() int64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return u.Maxrss << 10
}
