package queue

import (
	"context"
	"database/sql"

	"ghostlight/buffer"
	"ghostlight/internal/sqlite"
)

// salvageBatch blocks are written to the new file by one transaction.
const salvageBatch = 128

// A salvage carries what is intact from a damaged file into its successor.
type salvage struct {
	ctx    context.Context
	into   *sql.DB
	batch  []salvaged
	kept   int64
	counts map[buffer.Lane]counts // as the damaged file had them, if it told
}

// A salvaged block passed buffer.Open and stood under the key of its header.
type salvaged struct {
	id      key
	session buffer.Session
	samples int64
	created int64
	data    []byte
}

// run reads the damaged file by SQL from both ends, as far as that goes, then page
// by page, and sets the counters right.
func (s *salvage) run(damaged string, lanes []buffer.Lane) error {
	if err := s.bySQL(damaged, lanes); err != nil {
		return err
	}
	if err := carve(damaged, s.carved); err != nil {
		return err
	}
	if err := s.flush(); err != nil {
		return err
	}
	return s.recount(lanes)
}

// bySQL copies what SQLite still reads. What it cannot read ends a pass, not the
// salvage; only a new file that cannot be written does.
func (s *salvage) bySQL(damaged string, lanes []buffer.Lane) error {
	old, err := sqlite.Open(damaged, sqlite.CacheKiB(cacheKiB))
	if err != nil {
		return nil // not readable as a database: its pages may be
	}
	defer old.Close()
	for _, lane := range lanes {
		if c, err := readCounts(s.ctx, old, lane); err == nil {
			s.counts[lane] = c
		}
	}
	var gen int64
	if err := old.QueryRowContext(s.ctx, "SELECT generation FROM openings").Scan(&gen); err == nil {
		if _, err := s.into.ExecContext(s.ctx, "INSERT OR REPLACE INTO openings (only, generation) VALUES (1, ?)", gen); err != nil {
			return err
		}
	}
	for _, order := range []string{"ASC", "DESC"} {
		if err := s.copyState(old, order); err != nil {
			return err
		}
		if err := s.copyBlocks(old, order); err != nil {
			return err
		}
	}
	return nil
}

func (s *salvage) copyState(old *sql.DB, order string) error {
	rows, err := old.QueryContext(s.ctx, "SELECT key, value FROM state ORDER BY key "+order)
	if err != nil {
		return nil // not readable
	}
	defer rows.Close()
	for rows.Next() {
		var k string
		var v []byte
		if rows.Scan(&k, &v) != nil {
			return nil
		}
		if _, err := s.into.ExecContext(s.ctx, "INSERT OR IGNORE INTO state (key, value) VALUES (?, ?)", k, v); err != nil {
			return err
		}
	}
	return nil
}

func (s *salvage) copyBlocks(old *sql.DB, order string) error {
	rows, err := old.QueryContext(s.ctx, "SELECT id, created, data FROM blocks ORDER BY id "+order)
	if err != nil {
		return nil // not readable
	}
	defer rows.Close()
	for rows.Next() {
		var id key
		var created int64
		var data []byte
		if rows.Scan(&id, &created, &data) != nil {
			continue
		}
		if err := s.add(id, created, data); err != nil {
			return err
		}
	}
	return nil
}

// carved takes a record that was found outside of any table that SQLite reads.
func (s *salvage) carved(id key, r record) error {
	if created, data, ok := r.block(); ok {
		return s.add(id, created, data)
	}
	text, ok := r.counts()
	if lane := buffer.Lane(id); ok && lane.Valid() {
		// Of several versions of a lane's counts the last has produced the most.
		if c, err := parseCounts(text); err == nil && c.Produced > s.counts[lane].Produced {
			s.counts[lane] = c
		}
	}
	return nil
}

// add keeps a block if it is intact and was not found before.
func (s *salvage) add(id key, created int64, data []byte) error {
	h, _, err := buffer.Open(data)
	if err != nil || h.Lane != id.lane() || h.Seq != id.seq() {
		return nil
	}
	s.batch = append(s.batch, salvaged{id: id, session: h.Session, samples: int64(h.Samples), created: created, data: data})
	if len(s.batch) < salvageBatch {
		return nil
	}
	return s.flush()
}

func (s *salvage) flush() error {
	batch := s.batch
	s.batch = nil
	return inTx(s.ctx, s.into, func(tx *sql.Tx) error {
		for _, b := range batch {
			r, err := tx.ExecContext(s.ctx, "INSERT OR IGNORE INTO blocks (id, session, samples, created, data) VALUES (?, ?, ?, ?, ?)",
				b.id, int64(b.session), b.samples, b.created, b.data)
			if err != nil {
				return err
			}
			n, err := r.RowsAffected()
			if err != nil {
				return err
			}
			s.kept += n
		}
		return nil
	})
}

// recount makes the counters agree with what was found.
func (s *salvage) recount(lanes []buffer.Lane) error {
	return inTx(s.ctx, s.into, func(tx *sql.Tx) error {
		for _, lane := range lanes {
			lo, hi := laneBounds(lane)
			var waiting, blocks, bytes int64
			err := tx.QueryRowContext(s.ctx, "SELECT coalesce(sum(samples), 0), count(*), coalesce(sum(length(data)), 0) FROM blocks WHERE id BETWEEN ? AND ?", lo, hi).Scan(&waiting, &blocks, &bytes)
			if err != nil {
				return err
			}
			c := s.counts[lane].clone()
			c.found(waiting, blocks, bytes)
			if err := writeCounts(s.ctx, tx, lane, c); err != nil {
				return err
			}
		}
		return nil
	})
}
