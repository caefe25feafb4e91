package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"ghostlight/buffer"
	"ghostlight/internal/sqlite"
)

// A damaged file is rebuilt beside itself and replaced only when its successor is
// complete and on disk, so that a death or a full disk in between loses nothing:
//
//	path.rebuilding  grows; of no use, deleted at the next opening
//	path.rebuilt     complete; the next opening finishes what was begun
//	path.damaged     what was replaced, for a person to look at
const (
	rebuildingSuffix = ".rebuilding"
	rebuiltSuffix    = ".rebuilt"
	damagedSuffix    = ".damaged"
)

// rebuildEvery bounds how often a rebuild that failed is tried again while the
// queue is open: it reads the whole file.
const rebuildEvery = 15 * time.Second

// sqliteFiles are the endings of the files that belong to one database.
func sqliteFiles() []string { return []string{"", "-wal", "-shm"} }

// rebuild replaces a damaged file by a new one with every intact block and what
// can be read of the rest. The caller holds mu or is the only one to know f.
func (f *file) rebuild(ctx context.Context, cause error) error {
	if f.db != nil {
		// The file is damaged: that it does not close well adds nothing.
		_ = f.db.Close()
		f.db = nil
	}
	f.broken, f.triedAt = cause, f.now()
	kept, err := f.makeSuccessor(ctx)
	if err != nil {
		return fmt.Errorf("salvage %s: %w", f.path, err)
	}
	if err := replace(f.path); err != nil {
		return fmt.Errorf("replace the damaged %s: %w", f.path, err)
	}
	f.quarantined.Add(1)
	newest, lastGen, lastSeq := f.sessions, f.lastGen, f.lastSeq
	if err := f.connect(ctx); err != nil {
		return err
	}
	// Of a rebuild while the queue is open: its session goes on where it was.
	f.lastGen, f.lastSeq = max(f.lastGen, lastGen), lastSeq
	for session, gen := range newest {
		f.sessions[session] = gen
	}
	f.broken, f.rebuilt = nil, true
	f.log.Error("buffer file was damaged: renamed aside, intact blocks kept",
		slog.String("file", f.path), slog.String("aside", f.path+damagedSuffix), slog.Int64("blocks_kept", kept), slog.Any("error", cause))
	return nil
}

// usable makes sure that there is a database to work on: a rebuild that failed,
// on a full disk for one, is tried again now and then. The caller holds mu.
func (f *file) usable(ctx context.Context) error {
	switch {
	case f.db != nil:
		return nil
	case f.broken == nil:
		return ErrClosed
	}
	if since := f.now().Sub(f.triedAt); since >= 0 && since < rebuildEvery {
		return fmt.Errorf("%s is damaged and could not be rebuilt yet: %w", f.path, f.broken)
	}
	return f.rebuildOpen(ctx, f.broken)
}

// rebuildOpen rebuilds the file of an open queue. That there is no room for it is
// not that of a commit, so such an error does not say [ErrFull].
func (f *file) rebuildOpen(ctx context.Context, cause error) error {
	if err := f.rebuild(ctx, cause); err != nil {
		if f.db != nil {
			_ = f.db.Close() // opened, but not to be trusted
			f.db = nil
		}
		return fmt.Errorf("%w; rebuilding it failed: %v", cause, err) //nolint:errorlint // see above
	}
	return nil
}

// makeSuccessor salvages what is intact into a new file that is complete, on disk
// and called rebuilt when it returns nil.
func (f *file) makeSuccessor(ctx context.Context) (kept int64, err error) {
	path := f.path + rebuildingSuffix
	// The copy of an earlier damage makes room: its blocks live on in its successor.
	if err := errors.Join(removeDatabase(path), removeDatabase(f.path+damagedSuffix)); err != nil {
		return 0, err
	}
	next := &file{path: path, lanes: f.lanes, now: f.now, log: f.log}
	if err := next.connect(ctx); err != nil {
		return 0, errors.Join(err, next.close())
	}
	s := &salvage{ctx: ctx, into: next.db, counts: map[buffer.Lane]counts{}}
	err = s.run(f.path, f.lanes)
	if err == nil {
		err = next.load(ctx)
	}
	if err == nil {
		err = setGeneration(ctx, next.db, max(next.lastGen, f.lastGen))
	}
	if err == nil { // what could not be read may have said so
		err = inTx(ctx, next.db, func(tx *sql.Tx) error { return writeSent(ctx, tx, sent{All: true}) })
	}
	if err = errors.Join(err, next.close()); err != nil {
		return 0, err
	}
	// Closing moves the log into the file; where it could not, the file is not all.
	if info, err := os.Stat(path + "-wal"); err == nil && info.Size() > 0 {
		return 0, errors.New("its write-ahead log could not be moved into the new file")
	}
	if err := os.Rename(path, f.path+rebuiltSuffix); err != nil {
		return 0, err
	}
	return s.kept, syncFolder(f.path)
}

// finishRebuild completes or discards what a rebuild left behind that was cut
// short.
func finishRebuild(path string) error {
	if err := removeDatabase(path + rebuildingSuffix); err != nil {
		return err
	}
	switch _, err := os.Stat(path + rebuiltSuffix); {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	}
	return replace(path)
}

// replace puts the rebuilt file in the place of the damaged one, which is renamed
// aside with its log. It may be repeated after a death at any point.
func replace(path string) error {
	if _, err := os.Stat(path); err == nil {
		if err := removeDatabase(path + damagedSuffix); err != nil {
			return err
		}
		for _, suffix := range []string{"-wal", ""} {
			if err := os.Rename(path+suffix, path+damagedSuffix+suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, suffix := range []string{"-wal", "-shm"} { // of the file that is gone
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if err := os.Rename(path+rebuiltSuffix, path); err != nil {
		return err
	}
	return syncFolder(path)
}

func removeDatabase(path string) error {
	for _, suffix := range sqliteFiles() {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// syncFolder makes what was renamed in the folder of path durable.
func syncFolder(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

func setGeneration(ctx context.Context, db *sql.DB, gen generation) error {
	_, err := db.ExecContext(ctx, "INSERT INTO openings (only, generation) VALUES (1, ?) ON CONFLICT DO UPDATE SET generation = excluded.generation", gen)
	return err
}

// recover rebuilds the file if err says that it is damaged, and returns err. The
// caller holds mu.
func (f *file) recover(ctx context.Context, err error) error {
	if !sqlite.IsCorrupt(err) {
		return err
	}
	if failed := f.rebuildOpen(ctx, err); failed != nil {
		return failed
	}
	return fmt.Errorf("%w; it was rebuilt from its intact blocks: try again", err)
}
