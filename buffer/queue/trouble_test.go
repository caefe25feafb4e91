package queue_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"ghostlight/buffer"
	"ghostlight/buffer/queue"
)

// A node's clock may be set back a day or forward three: nothing is lost, nothing
// is sent twice, and merging goes on.
func TestClockThatJumpsLosesNothing(t *testing.T) {
	dir, c := t.TempDir(), newClock()
	q := open(t, dir, c)
	var want []string
	for i, jump := range []time.Duration{0, -24 * time.Hour, 72 * time.Hour, -48 * time.Hour} {
		c.add(jump)
		for j := range 8 {
			n := fmt.Sprintf("m%d_%d", i, j)
			want = append(want, n)
			add(t, q, entry(buffer.Detail, n, 1))
		}
		if i == 1 {
			q.Close()
			q = open(t, dir, c)
		}
	}
	fresh := func() (n int) {
		blocks, err := q.Next(t.Context(), 100, func(_ buffer.Lane, fresh bool) bool { return fresh })
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range blocks {
			q.Release(b)
		}
		return len(blocks)
	}
	if n := fresh(); n != 16 { // the first as well: by the clock they are of just now
		t.Errorf("%d blocks are fresh after the last jump, want 16", n)
	}
	q.Close()
	q = open(t, dir, c)
	if n := settle(t, q, c); n == 0 {
		t.Error("nothing was merged after the jumps")
	}
	got := []string{}
	for _, b := range next(t, q, 100) {
		got = append(got, names(t, []queue.Stored{b})...)
		ack(t, q, b)
	}
	slices.Sort(got)
	if d := cmp.Diff(want, got); d != "" || !q.Drained() {
		t.Errorf("blocks (-want +got):\n%s", d)
	}
}

// A data folder that was copied: both copies hold the old blocks under their old
// numbers, with the same content, and give new ones numbers of their own.
func TestClonedFolderSharesOldBlocksAndNoNewOnes(t *testing.T) {
	dir, c := t.TempDir(), newClock()
	q := open(t, dir, c)
	for i := range 12 {
		add(t, q, entry(buffer.Detail, fmt.Sprint("old", i), 2), entry(buffer.Revenue, fmt.Sprint("old", i), 1))
	}
	settle(t, q, c)
	q.Close()
	clone := thaw(t, dir)
	type id struct {
		lane       buffer.Lane
		session    buffer.Session
		first, seq buffer.Seq
	}
	read := func(dir, who string) (map[id][]string, buffer.Session) {
		q := open(t, dir, c)
		add(t, q, entry(buffer.Detail, "new_"+who, 1), entry(buffer.Revenue, "new_"+who, 1))
		out := map[id][]string{}
		for _, s := range next(t, q, 100) {
			out[id{s.Lane, s.Session, s.First, s.Seq}] = names(t, []queue.Stored{s})
		}
		return out, q.Session()
	}
	a, first := read(dir, "original")
	b, second := read(clone, "clone")
	if first == second {
		t.Error("both copies drew the same session")
	}
	old := 0
	for k, content := range a {
		if k.session == first {
			if _, ok := b[k]; ok {
				t.Errorf("both have a new block %+v", k)
			}
			continue
		}
		if old++; !cmp.Equal(content, b[k]) {
			t.Errorf("block %+v holds %v in one copy, %v in the other", k, content, b[k])
		}
	}
	if len(a) != old+2 || len(b) != old+2 || old == 0 {
		t.Errorf("%d and %d blocks, %d of them old", len(a), len(b), old)
	}
}

// A file system that becomes read-only refuses to open with a reason, and costs
// nothing once it can be written again.
func TestReadOnlyFileSystemLosesNothing(t *testing.T) {
	mount := t.TempDir()
	if err := unix.Mount("tmpfs", mount, "tmpfs", 0, "size=16m"); err != nil {
		if errors.Is(err, unix.EPERM) {
			t.Skip("mounting a file system needs root")
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(mount, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	dir, c := filepath.Join(mount, "buffer"), newClock()
	q := open(t, dir, c)
	var want []string
	for i := range 10 {
		want = append(want, fmt.Sprint("m", i))
		add(t, q, entry(buffer.Revenue, fmt.Sprint("m", i), 1))
	}
	q.Close()
	remount := func(flags uintptr) {
		t.Helper()
		if err := unix.Mount("tmpfs", mount, "tmpfs", unix.MS_REMOUNT|flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	remount(unix.MS_RDONLY)
	if q, err := queue.Open(t.Context(), queue.Options{Dir: dir, DiskBudget: 1 << 20, Now: c.now}); err == nil {
		q.Close()
		t.Error("a buffer opened that can store nothing")
	} else if _, statErr := os.Stat(filepath.Join(dir, "revenue.db.damaged")); statErr == nil {
		t.Errorf("a file that cannot be written was taken for damaged: %v", err)
	} else if !strings.Contains(err.Error(), "mount it for writing") {
		t.Errorf("the error does not say what to do: %v", err)
	}
	remount(0)
	q = open(t, dir, c)
	got := names(t, next(t, q, 100))
	slices.Sort(got)
	if d := cmp.Diff(want, got); d != "" || q.Quarantined() != 0 {
		t.Errorf("blocks (-want +got):\n%s", d)
	}
}
