package ingest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/internal/sqlite"
)

// JournalFile is the name of the journal in its folder.
const JournalFile = "journal.db"

// errJournalFull means that blocks cannot be taken until some were applied.
var errJournalFull = errors.New("the journal is full until what it holds is stored")

// A journal is the durable queue between acknowledgement and the stores.
type journal struct {
	db       *sql.DB // one connection
	read     *sql.DB
	codec    *delta.Codec // of names
	limit    int64        // bytes of blocks
	handover handover

	opened int64 // highest id when the journal was opened

	mu       sync.Mutex
	bytes    int64                                      // guarded by mu; of all blocks and names held
	blocks   int64                                      // guarded by mu; how many
	last     int64                                      // guarded by mu; highest id committed
	trimmed  int64                                      // every block up to this id is gone; only housekeeping writes
	accepted map[buffer.Source]map[buffer.Lane]Accepted // guarded by mu; mirrors ranges
	fresh    map[buffer.Source]map[buffer.Lane]int      // guarded by mu; digests added since the last pruning
	doors    map[throughDoor]Accepted                   // guarded by mu; mirrors door_totals
	named    map[namesKey]list                          // guarded by mu; mirrors names
}

type throughDoor struct {
	source buffer.Source
	door   string
	lane   buffer.Lane
}

// Accepted counts the distinct blocks of one lane that the centre has taken.
type Accepted struct {
	Blocks  int64 `json:"blocks"`
	Samples int64 `json:"samples"`
	Records int64 `json:"records"`
}

// openJournal opens the journal in dir. One that is damaged is salvaged first, which
// is tried once.
func openJournal(ctx context.Context, dir string, codec *delta.Codec, limit int64, now time.Time, log *slog.Logger) (*journal, error) {
	path := filepath.Join(dir, JournalFile)
	if err := sqlite.FinishReplacing(path); err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	j, err := connectJournal(ctx, path, codec, limit)
	if !sqlite.IsCorrupt(err) && !sqlite.IsForeign(err) {
		return j, err
	}
	if err := salvageJournal(ctx, path, codec, now, log, err); err != nil {
		return nil, err
	}
	return connectJournal(ctx, path, codec, limit)
}

func connectJournal(ctx context.Context, path string, codec *delta.Codec, limit int64) (*journal, error) {
	db, err := sqlite.Open(path)
	if err != nil {
		return nil, err
	}
	j := &journal{
		db: db, codec: codec, limit: limit, accepted: map[buffer.Source]map[buffer.Lane]Accepted{}, fresh: map[buffer.Source]map[buffer.Lane]int{},
		doors: map[throughDoor]Accepted{}, named: map[namesKey]list{},
	}
	err = j.check(ctx)
	if err == nil {
		err = migrate(ctx, db)
	}
	if err == nil {
		j.read, err = sqlite.ReadPool(path)
	}
	if err == nil {
		err = j.load(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), j.close())
	}
	return j, nil
}

// check looks for damage in the whole file, also where it is not read before a
// block is applied.
func (j *journal) check(ctx context.Context) error {
	var found string
	if err := j.db.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&found); err != nil {
		return err
	}
	if found != "ok" {
		return sqlite.Corrupt(found)
	}
	if err := j.checkTables(ctx); err != nil {
		return err
	}
	// The check passes over a last page that is cut short.
	for _, table := range []string{"blocks", "names", "parked", "stuck", "dead"} {
		var empty int64
		err := j.db.QueryRowContext(ctx, `SELECT count(*) FROM `+table+` WHERE substr(body, -1) IS NULL`).Scan(&empty)
		if err != nil && !sqlite.IsForeign(err) { // it is not made yet
			return err
		}
	}
	return nil
}

// checkTables reports a table whose name was damaged: it would be missed, and made
// anew, empty.
func (j *journal) checkTables(ctx context.Context) error {
	rows, err := j.db.QueryContext(ctx, `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\'`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return err
		}
		if !slices.ContainsFunc(journalRows, func(t journalTable) bool { return t.name == name }) {
			return sqlite.Corrupt("there is no table " + name)
		}
	}
	return rows.Err()
}

func (j *journal) close() error {
	if j.read == nil {
		return j.db.Close()
	}
	return errors.Join(j.read.Close(), j.db.Close())
}

func (j *journal) load(ctx context.Context) error {
	err := j.read.QueryRowContext(ctx, `SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'blocks'`).Scan(&j.opened)
	if err != nil {
		return err
	}
	// The last blocks may have been lost with a damaged file.
	var first int64
	err = j.read.QueryRowContext(ctx, `SELECT count(*), coalesce(sum(length(body)), 0), coalesce(min(id), ?1 + 1), coalesce(max(id), ?1) FROM blocks`, j.opened).
		Scan(&j.blocks, &j.bytes, &first, &j.last)
	if err != nil {
		return err
	}
	j.trimmed = first - 1
	rows, err := j.read.QueryContext(ctx, `SELECT source, lane, sum(last - first + 1), sum(samples), sum(records) FROM ranges GROUP BY source, lane`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var source string
		var lane buffer.Lane
		var a Accepted
		if err := rows.Scan(&source, &lane, &a.Blocks, &a.Samples, &a.Records); err != nil {
			return err
		}
		j.count(parseSource(source), lane, a)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return errors.Join(j.loadDoors(ctx), j.loadNames(ctx))
}

func (j *journal) loadDoors(ctx context.Context) error {
	rows, err := j.read.QueryContext(ctx, `SELECT source, door, lane, blocks, samples, records FROM door_totals`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var source string
		var key throughDoor
		var a Accepted
		if err := rows.Scan(&source, &key.door, &key.lane, &a.Blocks, &a.Samples, &a.Records); err != nil {
			return err
		}
		key.source = parseSource(source)
		j.doors[key] = a
	}
	return rows.Err()
}

// count adds to what is accepted. j.mu is held, or nobody else has j yet.
func (j *journal) count(src buffer.Source, lane buffer.Lane, a Accepted) {
	if j.accepted[src] == nil {
		j.accepted[src], j.fresh[src] = map[buffer.Lane]Accepted{}, map[buffer.Lane]int{}
	}
	old := j.accepted[src][lane]
	j.accepted[src][lane] = Accepted{old.Blocks + a.Blocks, old.Samples + a.Samples, old.Records + a.Records}
	j.fresh[src][lane] += int(a.Blocks)
}

// countDoor adds to what is accepted through a door. j.mu is held.
func (j *journal) countDoor(key throughDoor, a Accepted) {
	old := j.doors[key]
	j.doors[key] = Accepted{old.Blocks + a.Blocks, old.Samples + a.Samples, old.Records + a.Records}
}

// room reports errJournalFull when size more bytes are too many.
func (j *journal) room(size int) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.bytes+int64(size) > j.limit {
		return errJournalFull
	}
	return nil
}

// lastID is the highest id that was ever committed since the journal was opened,
// or held then.
func (j *journal) lastID() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.last
}

// A journalled block waits to be applied.
type journalled struct {
	id     int64
	source buffer.Source
	body   []byte
	ready  *content // the block as it was accepted; nil: body is to be read
}

// next returns blocks to apply after id, in order: at most count, and no more once
// they have the given bytes together. They come from memory as far as they are
// there without a gap.
func (j *journal) next(ctx context.Context, id int64, count, bytes int) ([]journalled, error) {
	j.handover.forget(id)
	ready := j.handover.run(id+1, count, int64(bytes))
	if len(ready) == 0 {
		return j.after(ctx, id, count, bytes)
	}
	out := make([]journalled, len(ready))
	for n := range ready {
		out[n] = journalled{id: id + 1 + int64(n), source: ready[n].source, ready: &ready[n].content}
	}
	return out, nil
}

// after reads blocks with ids above id, in order: at most count, and no more once
// they have the given bytes together.
func (j *journal) after(ctx context.Context, id int64, count, bytes int) ([]journalled, error) {
	rows, err := j.read.QueryContext(ctx, `SELECT id, source, body FROM blocks WHERE id > ? ORDER BY id LIMIT ?`, id, count)
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	defer rows.Close()
	var out []journalled
	size := 0
	for size < bytes && rows.Next() {
		var b journalled
		var source string
		if err := rows.Scan(&b.id, &source, &b.body); err != nil {
			return nil, fmt.Errorf("read journal: %w", err)
		}
		b.source = parseSource(source)
		size += len(b.body)
		out = append(out, b)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	return out, nil
}
