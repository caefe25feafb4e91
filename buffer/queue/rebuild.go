package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"ghostlight/buffer"
	"ghostlight/internal/sqlite"
)

// rebuildEvery bounds how often a rebuild that failed is tried again while the
// queue is open: it reads the whole file.
const rebuildEvery = 15 * time.Second

// rebuild replaces a damaged file by a new one with every intact block and what
// can be read of the rest; see [sqlite.Replace] for what a death in between leaves.
// The caller holds mu or is the only one to know f.
func (f *file) rebuild(ctx context.Context, cause error) error {
	if f.db != nil {
		// The file is damaged: that it does not close well adds nothing.
		_ = f.db.Close()
		f.db = nil
	}
	f.broken, f.triedAt = cause, f.now()
	var kept int64
	err := sqlite.Replace(f.path, func(next string) (err error) {
		kept, err = f.fillSuccessor(ctx, next)
		return err
	})
	if err != nil {
		return fmt.Errorf("salvage the damaged %s: %w", f.path, err)
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
		slog.String("file", f.path), slog.String("aside", sqlite.Damaged(f.path)), slog.Int64("blocks_kept", kept), slog.Any("error", cause))
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

// fillSuccessor salvages what is intact into a new file at path.
func (f *file) fillSuccessor(ctx context.Context, path string) (kept int64, err error) {
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
	return s.kept, errors.Join(err, next.close())
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
