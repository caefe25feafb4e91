package queue

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"ghostlight/buffer"
	"ghostlight/internal/sqlite"
)

// salvageBatch blocks are written to the new file by one transaction.
const salvageBatch = 128

// longestRow bounds the rows that are looked for: a block and what stands beside it.
const longestRow = buffer.MaxBlockBytes + 64

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
	header  buffer.Header
	created int64
	data    []byte
}

// run reads the damaged file by SQL from both ends, as far as that goes, then page
// by page, and sets the counters right.
func (s *salvage) run(damaged string, lanes []buffer.Lane) error {
	if err := s.bySQL(damaged, lanes); err != nil {
		return err
	}
	if err := sqlite.Carve(damaged, longestRow, s.carved); err != nil {
		return err
	}
	if err := s.flush(); err != nil {
		return err
	}
	return inTx(s.ctx, s.into, func(tx *sql.Tx) error {
		for _, lane := range lanes {
			if err := s.settle(tx, lane); err != nil {
				return err
			}
		}
		return nil
	})
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
		if err := s.copyPages(old, order); err != nil {
			return err
		}
	}
	return nil
}

// copyPages copies pages of dictionaries; a file of version 1 has none.
func (s *salvage) copyPages(old *sql.DB, order string) error {
	rows, err := old.QueryContext(s.ctx, "SELECT id, data FROM pages ORDER BY id "+order)
	if err != nil {
		return nil // not readable
	}
	defer rows.Close()
	for rows.Next() {
		var p page
		if rows.Scan(&p.id, &p.data) != nil {
			continue
		}
		if err := s.addPage(p); err != nil {
			return err
		}
	}
	return nil
}

// addPage keeps a page that is intact. Those of a dictionary that was dropped come
// back and are dropped again.
func (s *salvage) addPage(p page) error {
	if id, ok := pageOf(p.data); !ok || id != p.id {
		return nil
	}
	_, err := s.into.ExecContext(s.ctx, "INSERT OR IGNORE INTO pages (id, data) VALUES (?, ?)", p.id, p.data)
	return err
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

// carved takes a row that was found outside of any table that SQLite reads. Which
// table it is of, its columns tell.
func (s *salvage) carved(id int64, columns []sqlite.Value) error {
	const null, integer, text, blob = sqlite.Null, sqlite.Integer, sqlite.Text, sqlite.Blob
	switch {
	case shaped(columns, null, integer, integer, integer, blob):
		return s.add(key(id), columns[3].Int, columns[4].Bytes)
	case shaped(columns, null, blob):
		return s.addPage(page{id: pageID(id), data: columns[1].Bytes})
	case shaped(columns, null, text):
		lane := buffer.Lane(id)
		if c, err := parseCounts(columns[1].Bytes); lane.Valid() && err == nil && c.later(s.counts[lane]) {
			s.counts[lane] = c
		}
	}
	return nil
}

// shaped reports whether a row has just columns of these kinds.
func shaped(columns []sqlite.Value, kinds ...sqlite.Kind) bool {
	return slices.EqualFunc(columns, kinds, func(v sqlite.Value, k sqlite.Kind) bool { return v.Kind == k })
}

// add keeps a block if it is intact and was not found before.
func (s *salvage) add(id key, created int64, data []byte) error {
	h, _, err := buffer.Open(data)
	if err != nil || h.Lane != id.lane() || h.Seq != id.seq() {
		return nil
	}
	s.batch = append(s.batch, salvaged{id: id, header: h, created: created, data: data})
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
			n, err := s.insert(tx, b)
			if err != nil {
				return err
			}
			s.kept += n
		}
		return nil
	})
}

// insert keeps a block unless another version of it is there already that came
// later: one that stands for more sequences, or is of the same and was thinned.
func (s *salvage) insert(tx *sql.Tx, b salvaged) (added int64, err error) {
	var there []byte
	err = tx.QueryRowContext(s.ctx, "SELECT data FROM blocks WHERE id = ?", b.id).Scan(&there)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		added = 1
	case err != nil:
		return 0, err
	default:
		h, _, err := buffer.Open(there)
		if err == nil && (h.Start() < b.header.Start() || h.Start() == b.header.Start() && h.Samples+h.Records <= b.header.Samples+b.header.Records) {
			return 0, nil
		}
	}
	_, err = tx.ExecContext(s.ctx, "INSERT OR REPLACE INTO blocks (id, session, samples, created, data) VALUES (?, ?, ?, ?, ?)",
		b.id, int64(b.header.Session), b.header.Samples, b.created, b.data)
	return added, err
}

// settle drops the blocks of a lane that were merged into others, which free pages
// still hold, and makes its counters agree with what was found.
func (s *salvage) settle(tx *sql.Tx, lane buffer.Lane) error {
	first, last := laneBounds(lane)
	rows, err := readRows(s.ctx, tx, first, last, -1)
	if err != nil {
		return err
	}
	var all row
	blocks := int64(0)
	covered := last + 1 // from here on sequences are those of later blocks
	for _, r := range slices.Backward(rows) {
		if r.id >= covered {
			if _, err := tx.ExecContext(s.ctx, "DELETE FROM blocks WHERE id = ?", r.id); err != nil {
				return err
			}
			s.kept--
			continue
		}
		covered = r.start()
		blocks++
		all.samples, all.records, all.bytes = all.samples+r.samples, all.records+r.records, all.bytes+r.bytes
	}
	c := s.counts[lane].clone()
	c.found(all, blocks)
	return writeCounts(s.ctx, tx, lane, c)
}
