package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"ghostlight/buffer"
	"ghostlight/internal/sqlite"
)

const (
	applicationID = 0x474c4200 // "GLB", then the schema version
	schemaVersion = 2
	cacheKiB      = 512
)

// schemaV1 is what the first version had; its blocks are self-contained.
const schemaV1 = `
CREATE TABLE blocks (
	id      INTEGER PRIMARY KEY, -- lane << 60 | generation << 40 | sequence
	session INTEGER NOT NULL,    -- the block's session, two's complement
	samples INTEGER NOT NULL,
	created INTEGER NOT NULL,    -- node's clock at the commit, Unix milliseconds
	data    BLOB NOT NULL        -- the sealed block
);
CREATE TABLE lanes (
	lane   INTEGER PRIMARY KEY,
	counts TEXT NOT NULL -- JSON, over the life of the folder
);
CREATE TABLE state (
	key   TEXT PRIMARY KEY,
	value BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE openings ( -- one row: the last generation
	only       INTEGER PRIMARY KEY CHECK (only = 1),
	generation INTEGER NOT NULL
);`

const schema = schemaV1 + `
CREATE TABLE pages ( -- of the dictionaries of blocks at rest; both files have all
	id   INTEGER PRIMARY KEY, -- dictionary << 32 | number of its first series
	data BLOB NOT NULL
);
CREATE TABLE marks ( -- what the queue must know of its blocks after a restart
	name  TEXT PRIMARY KEY,
	value TEXT NOT NULL -- JSON
) WITHOUT ROWID;`

// A file is one of the queue's two databases. Its methods are safe for
// concurrent use.
type file struct {
	path  string
	lanes []buffer.Lane
	now   func() time.Time
	log   *slog.Logger

	quarantined atomic.Int64

	mu       sync.Mutex // guards the database and what follows
	db       *sql.DB    // nil once closed, and while broken
	broken   error      // why the file must be rebuilt, when the last attempt failed
	triedAt  time.Time
	lastGen  generation
	sessions map[buffer.Session]generation // of blocks that may be in the file
	counts   map[buffer.Lane]counts
	lastSeq  map[buffer.Lane]buffer.Seq // of the newest session
	rebuilt  bool                       // since the pages of dictionaries were last restored
	sent     sent                       // as stored
	newest   map[buffer.Lane]key        // block of each lane when the file was opened

	statsMu sync.Mutex
	stats   map[buffer.Lane]counts // a copy of counts for readers who must not wait for an fsync
}

// openFile opens or makes the database at path. What is damaged is renamed aside
// and its intact blocks are kept.
func openFile(ctx context.Context, path string, lanes []buffer.Lane, now func() time.Time, log *slog.Logger) (*file, error) {
	f := &file{path: path, lanes: lanes, now: now, log: log}
	err := sqlite.FinishReplacing(path)
	if err == nil {
		err = f.connect(ctx)
	}
	if sqlite.IsCorrupt(err) || errors.Is(err, errDamaged) {
		err = f.rebuild(ctx, err)
	}
	if err != nil {
		f.close()
		return nil, describe(path, err)
	}
	return f, nil
}

// errDamaged means that a database opens but its structure is broken.
var errDamaged = errors.New("file is damaged")

// connect opens the database, checks its structure and loads what is kept in
// memory. The caller holds mu or is the only one to know f.
func (f *file) connect(ctx context.Context) error {
	db, err := sqlite.Open(f.path, sqlite.CacheKiB(cacheKiB))
	if err != nil {
		return err
	}
	f.db = db
	if err := f.check(ctx); err != nil {
		return err
	}
	return f.load(ctx)
}

// describe says what a person can do about err.
func describe(path string, err error) error {
	if sqlite.IsFull(err) {
		return fmt.Errorf("%s: %w: the disk has no room; free some space and start again: %w", path, ErrFull, err)
	}
	if errors.Is(err, unix.EROFS) {
		return fmt.Errorf("%s: the file system can only be read; mount it for writing and start again: %w", path, err)
	}
	return fmt.Errorf("%s: %w", path, err)
}

// check makes the schema in a new database and verifies the structure of an old
// one.
func (f *file) check(ctx context.Context) error {
	var verdict string
	if err := f.db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
		return err
	}
	if verdict != "ok" {
		return fmt.Errorf("%w: %s", errDamaged, verdict)
	}
	var application, version int
	if err := f.db.QueryRowContext(ctx, "PRAGMA application_id").Scan(&application); err != nil {
		return err
	}
	if err := f.db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	var tables string
	if err := f.db.QueryRowContext(ctx, "SELECT coalesce(group_concat(sql, ';' || char(10)), '') FROM sqlite_schema WHERE sql IS NOT NULL").Scan(&tables); err != nil {
		return err
	}
	switch {
	case version == schemaVersion && tables == statements(schema):
		return nil
	case version == 1 && tables == statements(schemaV1):
		return f.upgrade(ctx)
	case version > schemaVersion && application == applicationID+version: // said twice: not a flipped bit
		return fmt.Errorf("is of version %d, this build reads %d: install a newer build", version, schemaVersion)
	case version != 0 || tables != "":
		return fmt.Errorf("%w: its tables are not a buffer's", errDamaged)
	}
	return inTx(ctx, f.db, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, schema); err != nil {
			return err
		}
		return setVersion(ctx, tx)
	})
}

// statements is a schema as SQLite repeats it.
func statements(schema string) string {
	return strings.TrimSuffix(strings.TrimSpace(schema), ";")
}

func setVersion(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d", applicationID+schemaVersion, schemaVersion))
	return err
}

// load reads counters and the sessions that blocks belong to.
func (f *file) load(ctx context.Context) error {
	err := f.db.QueryRowContext(ctx, "SELECT generation FROM openings").Scan(&f.lastGen)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if f.sent, err = readSent(ctx, f.db); err != nil {
		return err
	}
	f.counts, f.sessions, f.newest = map[buffer.Lane]counts{}, map[buffer.Session]generation{}, map[buffer.Lane]key{}
	for _, lane := range f.lanes {
		var newest key
		if f.counts[lane], err = readCounts(ctx, f.db, lane); err != nil {
			return err
		}
		if err := f.loadSessions(ctx, lane); err != nil {
			return err
		}
		lo, hi := laneBounds(lane)
		err := f.db.QueryRowContext(ctx, "SELECT coalesce(max(id), 0) FROM blocks WHERE id BETWEEN ? AND ?", lo, hi).Scan(&newest)
		if err != nil {
			return err
		}
		f.newest[lane] = newest
	}
	f.publish()
	return nil
}

// loadSessions skips from generation to generation, one row each.
func (f *file) loadSessions(ctx context.Context, lane buffer.Lane) error {
	from, hi := laneBounds(lane)
	for {
		var id key
		var session int64
		err := f.db.QueryRowContext(ctx, "SELECT id, session FROM blocks WHERE id >= ? AND id <= ? ORDER BY id LIMIT 1", from, hi).Scan(&id, &session)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		f.sessions[buffer.Session(session)] = id.gen()
		f.lastGen = max(f.lastGen, id.gen())
		if id.gen() == maxGeneration {
			return nil
		}
		from = makeKey(lane, id.gen()+1, 0)
	}
}

// begin makes session the file's newest.
func (f *file) begin(ctx context.Context, gen generation, session buffer.Session) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := setGeneration(ctx, f.db, gen); err != nil {
		return describe(f.path, err)
	}
	f.lastGen, f.sessions[session], f.lastSeq = gen, gen, map[buffer.Lane]buffer.Seq{}
	return nil
}

// snapshot returns the lanes' counts as of the last commit.
func (f *file) snapshot() map[buffer.Lane]counts {
	f.statsMu.Lock()
	defer f.statsMu.Unlock()
	return f.stats
}

// publish shows the counts to readers. They are never changed once shown: every
// commit replaces what it changes.
func (f *file) publish() {
	stats := make(map[buffer.Lane]counts, len(f.counts))
	for lane, c := range f.counts {
		stats[lane] = c.clone()
	}
	f.statsMu.Lock()
	defer f.statsMu.Unlock()
	f.stats = stats
}

// state returns the durable keys that begin with prefix.
func (f *file) state(ctx context.Context, prefix string) (map[string][]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.usable(ctx); err != nil {
		return nil, err
	}
	rows, err := f.db.QueryContext(ctx, "SELECT key, value FROM state WHERE substr(key, 1, length(?1)) = ?1", prefix)
	if err != nil {
		return nil, fmt.Errorf("read state %q: %w", prefix, err)
	}
	defer rows.Close()
	out := map[string][]byte{}
	for rows.Next() {
		var k string
		var v []byte
		if err := rows.Scan(&k, &v); err != nil {
			return nil, fmt.Errorf("read state %q: %w", prefix, err)
		}
		out[k] = v
	}
	return out, rows.Err()
}

func (f *file) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.broken = nil
	if f.db == nil {
		return nil
	}
	db := f.db
	f.db = nil
	return db.Close()
}

// inTx runs do in a transaction that is committed if do returns nil.
func inTx(ctx context.Context, db *sql.DB, do func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := do(tx); err != nil {
		// The cause is what the caller must know; SQLite may have rolled back by
		// itself already.
		_ = tx.Rollback()
		return err
	}
	return tx.Commit()
}
