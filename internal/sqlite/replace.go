package sqlite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// A damaged database is made anew beside itself and replaced only when its
// successor is complete and on disk, so that a death or a full disk in between
// loses nothing:
//
//	path.rebuilding  grows; of no use, deleted at the next opening
//	path.rebuilt     complete; FinishReplacing does what was begun
//	path.damaged     what was replaced, for a person to look at
const (
	rebuildingSuffix = ".rebuilding"
	rebuiltSuffix    = ".rebuilt"
	damagedSuffix    = ".damaged"
)

// Damaged is where Replace leaves the database that was at path.
func Damaged(path string) string { return path + damagedSuffix }

// Replace replaces the database at path, which nobody has open, by one that fill
// makes at the path it is given, and closes. The old one is renamed aside, to where
// [Damaged] says, with its log; an older one there makes room.
func Replace(path string, fill func(next string) error) error {
	next := path + rebuildingSuffix
	if err := errors.Join(removeDatabase(next), removeDatabase(Damaged(path))); err != nil {
		return err
	}
	if err := fill(next); err != nil {
		return err
	}
	// Closing moves the log into the file; where it could not, the file is not all.
	if info, err := os.Stat(next + "-wal"); err == nil && info.Size() > 0 {
		return fmt.Errorf("write-ahead log of %s could not be moved into it", next)
	}
	if err := os.Rename(next, path+rebuiltSuffix); err != nil {
		return err
	}
	if err := syncFolder(path); err != nil {
		return err
	}
	return replace(path)
}

// FinishReplacing completes or discards what a Replace left behind that was cut
// short. Call it before the database is opened.
func FinishReplacing(path string) error {
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

// replace puts the rebuilt file in the place of the damaged one. It may be repeated
// after a death at any point.
func replace(path string) error {
	switch _, err := os.Stat(path); {
	case err == nil:
		if err := removeDatabase(Damaged(path)); err != nil {
			return err
		}
		for _, suffix := range []string{"-wal", ""} {
			if err := os.Rename(path+suffix, Damaged(path)+suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
	case !errors.Is(err, os.ErrNotExist):
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
	for _, suffix := range []string{"", "-wal", "-shm"} {
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
