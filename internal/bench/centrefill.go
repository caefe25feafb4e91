package main

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"ghostlight/buffer/delta"
	"ghostlight/fleet/burn"
	"ghostlight/fleet/ledger"
	"ghostlight/slo"
)

// filled is what a history takes on disk.
type filled struct {
	Rows       int64   `json:"rows"`      // hours of nodes
	Bytes      int64   `json:"bytes"`     // of the file
	NodeHour   float64 `json:"node_hour"` // bytes of the file for each
	RowBytes   float64 `json:"row_bytes"` // the rows alone
	Buckets    int64   `json:"buckets"`
	DiskBucket float64 `json:"disk_bucket"` // bytes of the file for each
}

// patternNodes are the nodes whose hour is taken through the ledger's door; the packed
// rows are then those of all nodes and hours.
const patternNodes = 48

// fillCentre writes a history. A row of the ledger says nothing of its node and hour,
// so that those of one real hour of some nodes serve for all.
func fillCentre(ctx context.Context, o centreOrder) (any, error) {
	r, err := openRooms(ctx, o, centreBegin.Add(-time.Hour))
	if err != nil {
		return nil, err
	}
	defer r.store.Close()
	if err := r.define(ctx); err != nil {
		return nil, err
	}
	if err := r.expect(ctx); err != nil {
		return nil, err
	}
	patterns, err := r.patterns(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.spread(ctx, patterns); err != nil {
		return nil, err
	}
	if err := r.watched(ctx); err != nil {
		return nil, err
	}
	return r.measure(ctx)
}

// define has the first node send the definitions.
func (r *rooms) define(ctx context.Context) error {
	return r.store.Write(ctx, func(tx *sql.Tx) error {
		for _, o := range r.promise {
			rec := delta.Record{Kind: ledger.KindObjective, Key: o.Name, Time: r.firstHour(0) * 3_600_000, Body: o.Document}
			if err := r.ledger.Apply(ctx, tx, r.sources[0], rec); err != nil {
				return err
			}
		}
		return nil
	})
}

// firstHour is since when node i has a history.
func (r *rooms) firstHour(i int) int64 {
	end, wide := centreBegin.Unix()/3600, cmp.Or(r.order.Wide, wideHours)
	if i < r.order.Sample {
		return end - int64(max(24*r.order.Days, wide))
	}
	return end - int64(wide)
}

// lastHour is the end of node i's history.
func (r *rooms) lastHour(i int) int64 {
	end := centreBegin.Unix() / 3600
	if i >= len(r.sources)-r.order.Away {
		return end - awayHours
	}
	return end
}

// expect notes since when each node answers for each objective.
func (r *rooms) expect(ctx context.Context) error {
	return r.store.Write(ctx, func(tx *sql.Tx) error {
		insert, err := tx.PrepareContext(ctx, `INSERT INTO objective_nodes SELECT ?, id, ? FROM objectives WHERE true ON CONFLICT DO UPDATE SET since = excluded.since`)
		if err != nil {
			return err
		}
		defer insert.Close()
		for i, s := range r.sources {
			id, _ := r.store.ID(s)
			if _, err := insert.ExecContext(ctx, id, r.firstHour(i)*60); err != nil {
				return err
			}
		}
		return nil
	})
}

// patterns are the packed rows of one hour of a few nodes.
func (r *rooms) patterns(ctx context.Context) (rows [][]byte, err error) {
	few := r.sources[:min(patternNodes, len(r.sources))]
	begin := slo.MinuteOf(centreBegin) - 60
	for m := begin; m < begin+60; m++ {
		r.set(slo.MinuteStart(m + 1).Add(time.Second + time.Duration(r.rng.IntN(8000))*time.Millisecond))
		if _, err := r.tell(ctx, few, m, uint32(5+m%3), false); err != nil {
			return nil, err
		}
	}
	for range 10 {
		r.set(r.now().Add(5 * time.Minute))
		if err := r.ledger.Tick(ctx); err != nil {
			return nil, err
		}
	}
	found, err := r.store.Read().QueryContext(ctx, `SELECT buckets FROM node_hours WHERE hour = ? ORDER BY source`, begin/60)
	if err != nil {
		return nil, err
	}
	defer found.Close()
	for found.Next() {
		var row []byte
		if err := found.Scan(&row); err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	if len(rows) != len(few) {
		return nil, errors.Join(fmt.Errorf("%d nodes were told of and %d hours are packed", len(few), len(rows)), found.Err())
	}
	return rows, found.Err()
}

// spread writes the rows of all nodes and hours, in order of time.
func (r *rooms) spread(ctx context.Context, patterns [][]byte) error {
	for hour := r.firstHour(0); hour < centreBegin.Unix()/3600; hour++ {
		err := r.store.Write(ctx, func(tx *sql.Tx) error {
			insert, err := tx.PrepareContext(ctx, `INSERT INTO node_hours VALUES (?, ?, ?) ON CONFLICT DO NOTHING`)
			if err != nil {
				return err
			}
			defer insert.Close()
			for i, s := range r.sources {
				if hour < r.firstHour(i) || hour >= r.lastHour(i) {
					continue
				}
				id, _ := r.store.ID(s)
				if _, err := insert.ExecContext(ctx, hour, id, patterns[(int64(i)*31+hour)%int64(len(patterns))]); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// watched has the places of many nodes known as watched while the history came: those
// that are watched for the first time are reviewed.
func (r *rooms) watched(ctx context.Context) error {
	l, err := ledger.New(ctx, r.store, ledger.Clock(r.now))
	if err != nil {
		return err
	}
	room, err := burn.New(ctx, burn.Options{Store: r.store, Ledger: l, Now: r.now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	if err := room.Step(ctx); err != nil {
		return err
	}
	return r.store.Write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM burn_reviews`)
		return err
	})
}

// measure says what is on disk.
func (r *rooms) measure(ctx context.Context) (f filled, err error) {
	if _, err := r.store.Read().ExecContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`); err != nil {
		return f, err
	}
	if f.Bytes, err = folderBytes(r.order.Dir); err != nil {
		return f, err
	}
	var length int64
	if err := r.store.Read().QueryRowContext(ctx, `SELECT count(*), sum(length(buckets)) FROM node_hours`).Scan(&f.Rows, &length); err != nil {
		return f, err
	}
	f.Buckets = f.Rows * 60 * int64(len(r.promise))
	f.NodeHour, f.RowBytes, f.DiskBucket = float64(f.Bytes)/float64(f.Rows), float64(length)/float64(f.Rows), float64(f.Bytes)/float64(f.Buckets)
	return f, nil
}
