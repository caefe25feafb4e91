//go:build crash

package queue_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ghostlight/buffer/queue"
	"ghostlight/internal/crashtest"
)

// sweepPoints are the calls of each kind at which a sweep without KILLS strikes.
const sweepPoints = 25

// A told is what a victim said before it ended.
type told struct {
	kept, refused, gone map[string]bool
	refusedSamples      int
	end                 bool
}

// victim runs a victim on the folder and returns what it said.
func victim(cmd *exec.Cmd, dir string, env ...string) (told, error) {
	said := told{kept: map[string]bool{}, refused: map[string]bool{}, gone: map[string]bool{}}
	cmd.Env = append(append(os.Environ(), sweepDir+"="+dir), env...)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	err := cmd.Run()
	for line := range strings.Lines(out.String()) {
		switch words := strings.Fields(line); {
		case !strings.HasSuffix(line, "\n"): // not all of it was said
		case len(words) == 1:
			said.end = words[0] == "end"
		case words[0] == "kept":
			said.kept[words[1]] = true
		case words[0] == "refused":
			said.refused[words[1]] = true
		case words[0] == "gone":
			said.gone[words[1]] = true
		case words[0] == "refused-samples":
			fmt.Sscan(words[1], &said.refusedSamples)
		}
	}
	if err != nil {
		err = fmt.Errorf("%w: %s", err, stderr.String())
	}
	return said, err
}

// check opens what a victim left behind: everything acknowledged is there, once.
func check(t *testing.T, dir string, said told, where string) {
	t.Helper()
	q := open(t, dir, newClock())
	defer q.Close()
	blocks := next(t, q, 1<<20)
	present := map[string]bool{}
	ids := map[string]bool{}
	for _, b := range blocks {
		id := fmt.Sprintf("%d %d %d", b.Session, b.Lane, b.Seq)
		for _, n := range names(t, []queue.Stored{b}) {
			if ids[id] || present[n] {
				t.Errorf("%s: block %s (%s) is there twice", where, n, id)
			}
			present[n] = true
		}
		ids[id] = true
		ack(t, q, b)
	}
	for n := range said.kept {
		if !present[n] && !said.gone[n] {
			t.Errorf("%s: block %s was acknowledged and is missing", where, n)
		}
	}
	for lane, s := range q.Stats() {
		if s.Waiting != 0 || s.LostTotal() != 0 {
			t.Errorf("%s: %s %+v after everything was taken", where, lane, s)
		}
	}
	if n := q.Quarantined(); n != 0 {
		t.Errorf("%s: %d files were taken for damaged", where, n)
	}
}

// TestSweepKillsAtEveryCall kills the buffer's process as it enters each of its
// writes, syncs and cuts in turn.
func TestSweepKillsAtEveryCall(t *testing.T) {
	for _, call := range []string{"pwrite64", "fsync", "ftruncate", "fallocate"} {
		t.Run(call, func(t *testing.T) {
			f := crashtest.Fault{Call: call}
			points := crashtest.Points(t, f, sweepPoints, os.Args[0], func(cmd *exec.Cmd) error {
				_, err := victim(cmd, t.TempDir())
				return err
			})
			kept := 0
			for _, n := range points {
				dir := t.TempDir()
				said, err := victim(crashtest.Strace(t, f, n, os.Args[0]), dir)
				where := fmt.Sprintf("%s %d", f, n)
				if !crashtest.Killed(err) {
					t.Fatalf("%s: the victim was not killed: %v", where, err)
				}
				kept += len(said.kept)
				check(t, dir, said, where)
			}
			t.Logf("%d kills, %d blocks acknowledged before them", len(points), kept)
		})
	}
}

// TestSweepFailsAtEveryCall lets each write and sync fail in turn, once or from
// then on: what fails is refused and counted, never acknowledged, never fatal.
func TestSweepFailsAtEveryCall(t *testing.T) {
	for _, f := range []crashtest.Fault{
		{Call: "fsync", Error: "EIO"},
		{Call: "fsync", Error: "EIO", Lasting: true},
		{Call: "pwrite64", Error: "EIO"},
		{Call: "pwrite64", Error: "EIO", Lasting: true},
		{Call: "pwrite64", Error: "ENOSPC"},
		{Call: "pwrite64", Error: "ENOSPC", Lasting: true},
		{Call: "pwrite64", Error: "EROFS", Lasting: true},
	} {
		t.Run(f.String(), func(t *testing.T) {
			points := crashtest.Points(t, f, sweepPoints, os.Args[0], func(cmd *exec.Cmd) error {
				_, err := victim(cmd, t.TempDir())
				return err
			})
			kept, refused, unopened := 0, 0, 0
			for _, n := range points {
				dir := t.TempDir()
				said, err := victim(crashtest.Strace(t, f, n, os.Args[0]), dir)
				where := fmt.Sprintf("%s %d", f, n)
				var exit *exec.ExitError
				switch {
				case errors.As(err, &exit) && exit.ExitCode() == exitUnopened:
					unopened++
					if f.Error == "ENOSPC" && !strings.Contains(err.Error(), "free some space") {
						t.Errorf("%s: the error does not say what to do: %v", where, err)
					}
				case err != nil || !said.end:
					t.Errorf("%s: the victim ended before its time: %v", where, err)
				case said.refusedSamples != len(said.refused):
					t.Errorf("%s: %d blocks of one sample were refused, %d samples counted", where, len(said.refused), said.refusedSamples)
				}
				kept, refused = kept+len(said.kept), refused+len(said.refused)
				check(t, dir, said, where)
			}
			t.Logf("%d faults: %d blocks acknowledged, %d refused, %d times it did not open", len(points), kept, refused, unopened)
		})
	}
}

// TestSweepFullDisk bounds the files' sizes, which fails writes as a full disk
// does, at many places.
func TestSweepFullDisk(t *testing.T) {
	kept, refused, unopened := 0, 0, 0
	points := crashtest.Kills(t, sweepPoints)
	for n := range points {
		limit := 70_000 + n*(300_000/points) // bytes; the reserve alone has 65,536
		dir := t.TempDir()
		said, err := victim(exec.CommandContext(t.Context(), os.Args[0]), dir, fmt.Sprintf("%s=%d", sweepLimit, limit))
		where := fmt.Sprintf("limit %d", limit)
		var exit *exec.ExitError
		switch {
		case errors.As(err, &exit) && exit.ExitCode() == exitUnopened:
			unopened++
		case err != nil || !said.end:
			t.Errorf("%s: the victim ended before its time: %v", where, err)
		case said.refusedSamples != len(said.refused):
			t.Errorf("%s: %d blocks of one sample were refused, %d samples counted", where, len(said.refused), said.refusedSamples)
		}
		kept, refused = kept+len(said.kept), refused+len(said.refused)
		check(t, dir, said, where)
	}
	t.Logf("%d limits: %d blocks acknowledged, %d refused, %d times it did not open", points, kept, refused, unopened)
	if kept == 0 || refused == 0 {
		t.Error("the limits met nothing: the sweep shows nothing")
	}
}

// TestSweepKillsTheSalvage kills the opening of a damaged folder at each of the
// calls that build the new file and put it in place.
func TestSweepKillsTheSalvage(t *testing.T) {
	all, whole := fill(t, 20)
	clear(whole["telemetry.db"][:100])
	damaged := func() string {
		dir := t.TempDir()
		for file, data := range whole {
			if err := os.WriteFile(filepath.Join(dir, file), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	for _, call := range []string{"pwrite64", "fsync", "renameat", "unlink", "unlinkat"} {
		t.Run(call, func(t *testing.T) {
			f := crashtest.Fault{Call: call}
			points := crashtest.Points(t, f, sweepPoints, os.Args[0], func(cmd *exec.Cmd) error {
				_, err := victim(cmd, damaged(), sweepOpen+"=yes")
				return err
			})
			for _, n := range points {
				dir := damaged()
				if _, err := victim(crashtest.Strace(t, f, n, os.Args[0]), dir, sweepOpen+"=yes"); !crashtest.Killed(err) {
					t.Fatalf("%s %d: the victim was not killed: %v", f, n, err)
				}
				got, q := found(t, dir)
				q.Close()
				if len(got) != len(all) {
					t.Errorf("%s %d: %d of %d blocks are left", f, n, len(got), len(all))
				}
			}
		})
	}
}
