package ingest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"ghostlight/buffer"
	"ghostlight/internal/sqlite"
)

// JournalFile is the name of the journal in its folder.
const JournalFile = "journal.db"

var journalTables = []string{
	// What is accepted and not yet known to be in the stores for good.
	`CREATE TABLE IF NOT EXISTS blocks (id INTEGER PRIMARY KEY AUTOINCREMENT, source TEXT NOT NULL, body BLOB NOT NULL)`,
	// What is accepted, as runs of sequences; samples and records are those of
	// the run.
	`CREATE TABLE IF NOT EXISTS ranges (source TEXT NOT NULL, session INTEGER NOT NULL, lane INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
		samples INTEGER NOT NULL, records INTEGER NOT NULL, PRIMARY KEY (source, session, lane, first)) WITHOUT ROWID`,
	// What was accepted through doors whose senders do not number their requests.
	`CREATE TABLE IF NOT EXISTS door_totals (source TEXT NOT NULL, door TEXT NOT NULL, lane INTEGER NOT NULL, blocks INTEGER NOT NULL, samples INTEGER NOT NULL,
		records INTEGER NOT NULL, PRIMARY KEY (source, door, lane)) WITHOUT ROWID`,
	// Contents of recent blocks, to tell a repeat from another block of that name.
	`CREATE TABLE IF NOT EXISTS digests (source TEXT NOT NULL, session INTEGER NOT NULL, lane INTEGER NOT NULL, seq INTEGER NOT NULL, block INTEGER NOT NULL,
		digest BLOB NOT NULL, PRIMARY KEY (source, session, lane, seq)) WITHOUT ROWID`,
	`CREATE INDEX IF NOT EXISTS digests_by_age ON digests (source, lane, block)`,
	// Sealed blocks of rows that are too new for now.
	`CREATE TABLE IF NOT EXISTS parked (block INTEGER PRIMARY KEY, source TEXT NOT NULL, due_ms INTEGER NOT NULL, samples INTEGER NOT NULL, body BLOB NOT NULL)`,
	`CREATE INDEX IF NOT EXISTS parked_by_due ON parked (due_ms)`,
	`CREATE INDEX IF NOT EXISTS parked_sizes ON parked (source, length(body), block)`,
	// Sealed blocks of records that their store did not take, to be tried again.
	`CREATE TABLE IF NOT EXISTS stuck (block INTEGER PRIMARY KEY, source TEXT NOT NULL, due_ms INTEGER NOT NULL, records INTEGER NOT NULL, detail TEXT NOT NULL, body BLOB NOT NULL)`,
	// Sealed blocks of what can never be stored; the oldest bodies are given up,
	// dead_totals keep counting them.
	`CREATE TABLE IF NOT EXISTS dead (block INTEGER NOT NULL, reason TEXT NOT NULL, source TEXT NOT NULL, at_ms INTEGER NOT NULL, samples INTEGER NOT NULL,
		records INTEGER NOT NULL, detail TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (block, reason))`,
	`CREATE TABLE IF NOT EXISTS dead_totals (source TEXT NOT NULL, reason TEXT NOT NULL, samples INTEGER NOT NULL, records INTEGER NOT NULL,
		PRIMARY KEY (source, reason)) WITHOUT ROWID`,
}

// errJournalFull means that blocks cannot be taken until some were applied.
var errJournalFull = errors.New("the journal is full until what it holds is stored")

// A journal is the durable queue between acknowledgement and the stores.
type journal struct {
	db    *sql.DB // one connection
	read  *sql.DB
	limit int64 // bytes of blocks

	opened int64 // highest id when the journal was opened

	mu       sync.Mutex
	bytes    int64                                      // guarded by mu; of all blocks held
	blocks   int64                                      // guarded by mu; how many
	last     int64                                      // guarded by mu; highest id committed
	trimmed  int64                                      // every block up to this id is gone; only housekeeping writes
	accepted map[buffer.Source]map[buffer.Lane]Accepted // guarded by mu; mirrors ranges
	fresh    map[buffer.Source]map[buffer.Lane]int      // guarded by mu; digests added since the last pruning
	doors    map[throughDoor]Accepted                   // guarded by mu; mirrors door_totals
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

func openJournal(ctx context.Context, dir string, limit int64) (*journal, error) {
	path := filepath.Join(dir, JournalFile)
	db, err := sqlite.Open(path)
	if err != nil {
		return nil, err
	}
	j := &journal{db: db, limit: limit, accepted: map[buffer.Source]map[buffer.Lane]Accepted{}, fresh: map[buffer.Source]map[buffer.Lane]int{}, doors: map[throughDoor]Accepted{}}
	for _, stmt := range journalTables {
		if _, err := db.ExecContext(ctx, stmt); err != nil {
			return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), j.close())
		}
	}
	if j.read, err = sqlite.ReadPool(path); err != nil {
		return nil, errors.Join(err, j.close())
	}
	if err := j.load(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), j.close())
	}
	return j, nil
}

func (j *journal) close() error {
	if j.read == nil {
		return j.db.Close()
	}
	return errors.Join(j.read.Close(), j.db.Close())
}

func (j *journal) load(ctx context.Context) error {
	err := j.read.QueryRowContext(ctx, `SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'blocks'`).Scan(&j.last)
	if err != nil {
		return err
	}
	j.opened = j.last
	var first int64
	err = j.read.QueryRowContext(ctx, `SELECT count(*), coalesce(sum(length(body)), 0), coalesce(min(id), ?) FROM blocks`, j.last+1).Scan(&j.blocks, &j.bytes, &first)
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
	return j.loadDoors(ctx)
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
}

// after reads blocks with ids above id, in order: at most count, and no more once
// they have the given bytes together.
func (j *journal) after(ctx context.Context, id int64, count int, bytes int) ([]journalled, error) {
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
