package queue

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// reserveStep is how much of the reserve is given up or taken back at a time.
	reserveStep = 1 << 20
	// leaveFloor bounds what of it is kept for blocks that leave: twice a log of
	// the usual length.
	leaveFloor = 8 << 20
	// refillEvery bounds how often a spent reserve asks the disk for its room back.
	refillEvery = 15 * time.Second
)

// A reserve is a file that holds disk space for revenue, so that neither other
// programs nor other lanes can take it. When the disk is full it shrinks and the
// revenue file grows into what it gave up. The queue's writer is its only user.
type reserve struct {
	f       *os.File
	want    int64
	have    int64
	refused time.Time // when the disk last had no room to refill it
}

// openReserve sets want bytes aside in the file at path.
func openReserve(path string, want int64) (*reserve, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("set aside room for revenue: %w", err)
	}
	r := &reserve{f: f, want: want}
	if info, statErr := f.Stat(); statErr != nil {
		err = statErr
	} else if info.Size() > want {
		err = f.Truncate(want)
	}
	if err == nil {
		err = allocate(f, want)
	}
	if err != nil {
		f.Close()
		if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
			return nil, fmt.Errorf("%w: the disk has no room for the %d bytes to be set aside for revenue in %s; free some space or set a smaller reserve, then start again: %w", ErrFull, want, path, err)
		}
		return nil, fmt.Errorf("set aside room for revenue: %w", err)
	}
	r.have = want
	return r, nil
}

// allocate makes sure that the first size bytes of f have blocks on disk.
func allocate(f *os.File, size int64) error {
	if size == 0 {
		return nil
	}
	err := unix.Fallocate(int(f.Fd()), 0, 0, size)
	if !errors.Is(err, unix.EOPNOTSUPP) {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	zeros := make([]byte, 64<<10)
	for at := info.Size(); at < size; at += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), size-at)], at); err != nil {
			return err
		}
	}
	return nil
}

// floor is how much of the reserve blocks that come leave to blocks that go:
// without it a full disk could not even take an acknowledgement.
func (r *reserve) floor() int64 { return min(r.want/4, leaveFloor) }

// spend gives up to most bytes of the reserve back to the disk, down to floor, and
// says how many; 0 when nothing is left to give.
func (r *reserve) spend(most, floor int64, now time.Time) (int64, error) {
	most = min(most, r.have-floor)
	if most <= 0 {
		return 0, nil
	}
	if err := r.f.Truncate(r.have - most); err != nil {
		return 0, fmt.Errorf("give up room set aside for revenue: %w", err)
	}
	r.have -= most
	r.refused = now
	return most, nil
}

// refill takes room back, step by step, as far as the disk has it. It asks the
// disk rarely, and not right after it was full.
func (r *reserve) refill(now time.Time) {
	if since := now.Sub(r.refused); !r.short() || since >= 0 && since < refillEvery {
		return
	}
	for r.short() {
		size := min(r.have+reserveStep, r.want)
		if err := allocate(r.f, size); err != nil {
			// What was allocated of the step would take from revenue: give it back.
			_ = r.f.Truncate(r.have)
			r.refused = now
			return
		}
		r.have = size
	}
}

// short reports whether some of the reserve is spent.
func (r *reserve) short() bool { return r.have < r.want }

func (r *reserve) size() int64 { return r.have }

func (r *reserve) close() error { return r.f.Close() }
