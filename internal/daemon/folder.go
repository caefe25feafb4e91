package daemon

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/gofrs/flock"
)

// lockName is the file inside a data folder whose lock says that it is in use.
const lockName = "lock"

// Lock makes the data folder if need be and takes it for this process; release
// gives it back, as does the process's death. The error is a sentence that says
// what to do.
func Lock(dir string) (release func(), err error) {
	if dir == "" {
		return nil, errors.New("data_dir is empty: name a folder to keep data in")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, folderError(dir, err)
	}
	lock := flock.New(filepath.Join(dir, lockName))
	held, err := lock.TryLock()
	if err != nil {
		return nil, folderError(dir, err)
	}
	if !held {
		return nil, fmt.Errorf("data folder %s is in use by another process: stop that one, or give this one a folder of its own", dir)
	}
	return func() { lock.Close() }, nil
}

func folderError(dir string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("data folder %s: the disk is full; free some space and start again", dir)
	case errors.Is(err, os.ErrPermission), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("data folder %s cannot be written: %w", dir, err)
	}
	return fmt.Errorf("data folder %s: %w", dir, err)
}
