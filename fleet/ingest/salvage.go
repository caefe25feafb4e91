package ingest

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/internal/sqlite"
)

// errDamaged means that the journal's file is not what was written. It is salvaged
// when it is opened.
var errDamaged = errors.New("the journal is damaged: start the fleet again, which keeps all of it that is intact")

// damaged makes errDamaged of errors that say so.
func damaged(err error) error {
	if sqlite.IsCorrupt(err) {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	return err
}

// salvageLongest bounds the rows that are looked for.
const salvageLongest = 64 << 20

type journalTable struct{ name, columns string }

// journalRows are the tables of a journal and their columns.
var journalRows = []journalTable{
	{"names", "id, source, hash, body"},
	{"blocks", "id, source, names, body"},
	{"ranges", "source, session, lane, first, last, samples, records"},
	{"door_totals", "source, door, lane, blocks, samples, records"},
	{"digests", "source, session, lane, seq, block, digest, first"},
	{"parked", "block, source, due_ms, samples, body"},
	{"stuck", "block, source, due_ms, records, detail, body"},
	{"dead", "block, reason, source, at_ms, samples, records, detail, body"},
	{"dead_totals", "source, reason, samples, records"},
	{"damage", "at_ms, kept, lost"},
	{"trimmed", "only, id"},
}

// A salvage carries what is intact of a damaged journal into its successor.
type salvage struct {
	ctx   context.Context
	codec *delta.Codec
	tx    *sql.Tx
	now   time.Time

	last    int64 // highest id of a block that the damaged file tells of
	trimmed int64 // up to which they are stored for good
}

// salvageJournal replaces a damaged journal by one that holds all of it that is
// intact. The damaged file stays beside it.
func salvageJournal(ctx context.Context, path string, codec *delta.Codec, now time.Time, log *slog.Logger, cause error) error {
	var kept, lost int64
	err := sqlite.Replace(path, func(next string) error {
		db, err := sqlite.Open(next)
		if err != nil {
			return err
		}
		if err = migrate(ctx, db); err == nil {
			kept, lost, err = salvageInto(ctx, db, path, codec, now)
		}
		return errors.Join(err, db.Close())
	})
	if err != nil {
		return fmt.Errorf("salvage the damaged %s: %w", path, err)
	}
	log.Error("journal was damaged: renamed aside, intact blocks kept", "file", path, "aside", sqlite.Damaged(path),
		"blocks_kept", kept, "blocks_lost", lost, "error", cause)
	return nil
}

func salvageInto(ctx context.Context, db *sql.DB, path string, codec *delta.Codec, now time.Time) (kept, lost int64, err error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return 0, 0, err
	}
	s := &salvage{ctx: ctx, codec: codec, tx: tx, now: now}
	if err = s.bySQL(path); err == nil {
		err = sqlite.Carve(path, salvageLongest, s.carved)
	}
	if err == nil {
		kept, lost, err = s.finish()
	}
	if err != nil {
		return 0, 0, errors.Join(err, ignoreDone(tx.Rollback()))
	}
	return kept, lost, tx.Commit()
}

// bySQL copies what SQLite still reads, of each table from both ends. What it
// cannot read ends a pass, not the salvage.
func (s *salvage) bySQL(path string) error {
	old, err := sqlite.ReadPool(path)
	if err != nil {
		return nil //nolint:nilerr // not readable as a database: its pages may be
	}
	defer old.Close()
	if err := old.QueryRowContext(s.ctx, `SELECT seq FROM sqlite_sequence WHERE name = 'blocks'`).Scan(&s.last); err != nil {
		s.last = 0
	}
	if err := old.QueryRowContext(s.ctx, `SELECT id FROM trimmed`).Scan(&s.trimmed); err != nil {
		s.trimmed = 0
	}
	for _, t := range journalRows {
		for _, order := range []string{"ASC", "DESC"} {
			if err := s.copy(old, t.name, t.columns, order); err != nil {
				return err
			}
		}
	}
	return nil
}

// copy copies a table as far as it can be read. An error is that of the new file.
func (s *salvage) copy(old *sql.DB, table, columns, order string) error {
	key, _, _ := strings.Cut(columns, ",")
	rows, err := old.QueryContext(s.ctx, fmt.Sprintf(`SELECT %s FROM %s ORDER BY %s %s`, columns, table, key, order))
	if err != nil {
		// An earlier version's table lacks a column; its rows are found page by page.
		return nil //nolint:nilerr // as is one that cannot be read
	}
	defer rows.Close()
	width := strings.Count(columns, ",") + 1
	for rows.Next() {
		row, into := make([]any, width), make([]any, width)
		for i := range row {
			into[i] = &row[i]
		}
		if rows.Scan(into...) != nil {
			continue
		}
		if err := s.add(table, row); err != nil {
			return err
		}
	}
	return nil
}

// carved takes a row that was found in a page and finds out which table it is of,
// by its columns.
func (s *salvage) carved(rowid int64, values []sqlite.Value) error {
	const kinds = "niftb" // of sqlite.Kind
	shape, row := "", make([]any, len(values))
	for i, v := range values {
		shape += kinds[v.Kind : v.Kind+1]
		switch v.Kind {
		case sqlite.Integer:
			row[i] = v.Int
		case sqlite.Text:
			row[i] = string(v.Bytes)
		case sqlite.Blob:
			row[i] = v.Bytes
		}
	}
	switch shape {
	case "ni":
		if rowid == 1 { // of trimmed, and maybe an old version of it
			s.trimmed = max(s.trimmed, values[1].Int)
		}
	case "ntib", "ntnb":
		row[0] = rowid
		if bytes.HasPrefix(values[3].Bytes, []byte(namesMagic)) {
			return s.add("names", row)
		}
		return s.add("blocks", row)
	case "ntb", "ntbi", "ntbn": // of an earlier version
		var names any
		if len(row) == 4 {
			names = row[3]
		}
		return s.add("blocks", []any{rowid, row[1], names, row[2]})
	case "tiiiiii":
		return s.add("ranges", row)
	case "ttiiii":
		return s.add("door_totals", row)
	case "tiiiib":
		return s.add("digests", append(row, nil))
	case "tiiiibi", "tiiiibn":
		return s.add("digests", row)
	case "ntiib":
		row[0] = rowid
		return s.add("parked", row)
	case "ntiitb":
		row[0] = rowid
		return s.add("stuck", row)
	case "ittiiitb":
		return s.add("dead", row)
	case "ttii":
		return s.add("dead_totals", row)
	}
	return nil
}

// add keeps a row if it is intact and was not found before.
func (s *salvage) add(table string, row []any) error {
	switch table {
	case "names":
		return s.addNames(row)
	case "blocks":
		return s.addBlock(row)
	case "parked", "stuck", "dead":
		body, _ := row[len(row)-1].([]byte)
		if !intact(body) {
			return nil
		}
	}
	return s.insert(table, row)
}

// grow says what becomes of a row whose key is there already. Pages that are free
// still hold rows as they once were: of those that only grow the largest counts.
var grow = map[string]string{
	"ranges":      `DO UPDATE SET last = excluded.last, samples = excluded.samples, records = excluded.records WHERE excluded.last > last`,
	"door_totals": `DO UPDATE SET blocks = excluded.blocks, samples = excluded.samples, records = excluded.records WHERE excluded.blocks > blocks`,
	"dead_totals": `DO UPDATE SET samples = max(samples, excluded.samples), records = max(records, excluded.records)`,
}

func (s *salvage) insert(table string, row []any) error {
	marks := strings.TrimSuffix(strings.Repeat("?, ", len(row)), ", ")
	columns := ""
	for _, t := range journalRows {
		if t.name == table {
			columns = t.columns
		}
	}
	repeat := grow[table]
	if repeat == "" {
		repeat = "DO NOTHING"
	}
	_, err := s.tx.ExecContext(s.ctx, fmt.Sprintf(`INSERT INTO %s (%s) VALUES (%s) ON CONFLICT %s`, table, columns, marks, repeat), row...)
	return err
}

// addNames keeps names whose record is whole; its node and hash follow from it.
func (s *salvage) addNames(row []any) error {
	body, _ := row[3].([]byte)
	src, r, err := openRecord(body, namesMagic)
	if err != nil {
		return nil //nolint:nilerr // damaged
	}
	series, err := s.codec.DecodeNames(r.src)
	if err != nil {
		return nil //nolint:nilerr // damaged
	}
	_, err = s.tx.ExecContext(s.ctx, `INSERT OR IGNORE INTO names (source, hash, body) VALUES (?, ?, ?)`, src.String(), int64(delta.NamesHash(series)), body)
	return err
}

// addBlock keeps a block that is whole. One whose id another block has gets
// another: the page that told its id was damaged.
func (s *salvage) addBlock(row []any) error {
	id, _ := row[0].(int64)
	source, _ := row[1].(string)
	body, _ := row[3].([]byte)
	var names any
	if h, err := parseHead(body); err == nil {
		source = h.source.String()
		if h.series > 0 {
			names = int64(h.names)
		}
	} else if !intact(body) || parseSource(source).Validate() != nil {
		return nil
	}
	var held []byte
	err := s.tx.QueryRowContext(s.ctx, `SELECT body FROM blocks WHERE id = ?`, id).Scan(&held)
	switch {
	case errors.Is(err, sql.ErrNoRows) && id > 0:
		_, err = s.tx.ExecContext(s.ctx, `INSERT INTO blocks (id, source, names, body) VALUES (?, ?, ?, ?)`, id, source, names, body)
	case err == nil && bytes.Equal(held, body):
	case err == nil || errors.Is(err, sql.ErrNoRows):
		_, err = s.tx.ExecContext(s.ctx, `INSERT INTO blocks (source, names, body) SELECT ?1, ?2, ?3
			WHERE NOT EXISTS (SELECT 1 FROM blocks WHERE source = ?1 AND body = ?3)`, source, names, body)
	}
	return err
}

// intact reports whether body is a block of any kind, or names.
func intact(body []byte) bool {
	if _, err := parseHead(body); err == nil {
		return true
	}
	_, _, err := buffer.Open(body)
	return err == nil
}

// finish puts in order what rows that were once true have confused, makes sure
// that no id is used twice, and notes the damage. Ids of blocks have no gaps, so
// those that are missing after the trimmed ones are lost.
func (s *salvage) finish() (kept, lost int64, err error) {
	for _, stmt := range []string{
		// A run that lies in another was it before it grew.
		`DELETE FROM ranges WHERE EXISTS (SELECT 1 FROM ranges o WHERE o.source = ranges.source AND o.session = ranges.session AND o.lane = ranges.lane
			AND o.first < ranges.first AND o.last >= ranges.first)`,
		fmt.Sprintf(`DELETE FROM blocks WHERE id <= %d`, s.trimmed),
		fmt.Sprintf(`INSERT OR REPLACE INTO trimmed VALUES (1, %d)`, s.trimmed),
		`DELETE FROM sqlite_sequence WHERE name = 'blocks'`,
	} {
		if _, err := s.tx.ExecContext(s.ctx, stmt); err != nil {
			return 0, 0, err
		}
	}
	var used int64
	err = s.tx.QueryRowContext(s.ctx, `SELECT (SELECT count(*) FROM blocks), max((SELECT coalesce(max(id), 0) FROM blocks),
		(SELECT coalesce(max(block), 0) FROM digests), (SELECT coalesce(max(block), 0) FROM parked),
		(SELECT coalesce(max(block), 0) FROM stuck), (SELECT coalesce(max(block), 0) FROM dead))`).Scan(&kept, &used)
	if err != nil {
		return 0, 0, err
	}
	s.last = max(s.last, used, s.trimmed)
	lost = max(s.last-s.trimmed-kept, 0)
	if _, err = s.tx.ExecContext(s.ctx, `INSERT INTO sqlite_sequence (name, seq) VALUES ('blocks', ?)`, s.last); err != nil {
		return 0, 0, err
	}
	_, err = s.tx.ExecContext(s.ctx, `INSERT INTO damage (at_ms, kept, lost) VALUES (?, ?, ?)`, s.now.UnixMilli(), kept, lost)
	return kept, lost, err
}
