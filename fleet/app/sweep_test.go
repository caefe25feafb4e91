//go:build crash

package app

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ghostlight/fleet/ingest"
	"ghostlight/fleet/store"
	"ghostlight/internal/crashtest"
)

const (
	// sweepPoints are the calls of each kind at which a sweep without KILLS strikes.
	sweepPoints = 12
	// sweepBlocks are sent to each victim at least.
	sweepBlocks = 6
	// sweepStay is how long a victim that holds what it was sent lives on, to apply
	// and to trim.
	sweepStay = 800 * time.Millisecond
)

// A sweep is a node that sends to one fleet after the other, each on the data
// that the one before left.
type sweep struct {
	*sender
	file string
	data string
	told map[int]bool // sequences acknowledged
}

func newSweep(t *testing.T) *sweep {
	t.Helper()
	dir := t.TempDir()
	w := &sweep{file: filepath.Join(dir, "fleet.yaml"), data: filepath.Join(dir, "data"), told: map[int]bool{}}
	w.sender = &sender{venue: "soho", start: time.Now().Add(-time.Hour).UnixMilli(), fleet: &atomic.Pointer[child]{}}
	if err := os.WriteFile(w.file, fmt.Appendf(nil, fleetYAML, w.data), 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

// run starts a victim, sends what the fleet does not hold yet and sweepBlocks
// more, and ends it unless it has ended by itself. started is false if it never
// answered; err is how it ended.
func (w *sweep) run(t *testing.T, cmd *exec.Cmd) (started bool, refused int, err error) {
	t.Helper()
	c := &child{cmd: cmd}
	cmd.Env = append(os.Environ(), childEnv+"="+w.file, "GOMAXPROCS=1")
	cmd.Stderr = &c.stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err == nil {
		started = true
		c.url = "http://" + strings.TrimSpace(line)
		w.fleet.Store(c)
		w.blocks += sweepBlocks
		refused = w.sendRest(t)
		stay(c)
		if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Fatal(err)
		}
	}
	if err = cmd.Wait(); err != nil {
		err = fmt.Errorf("%w: %s", err, &c.stderr)
	}
	return started, refused, err
}

// stay returns when the victim is gone or has had its time.
func stay(c *child) {
	for deadline := time.Now().Add(sweepStay); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		res, err := http.Get(c.url + "/healthz")
		if err != nil {
			return
		}
		res.Body.Close()
	}
}

// sendRest sends each block once that is not acknowledged and counts those that
// were refused.
func (w *sweep) sendRest(t *testing.T) (refused int) {
	for seq := 1; seq <= w.blocks; seq++ {
		if w.told[seq] {
			continue
		}
		w.streams = seq%2 == 0 // by either door
		if len(w.deliver(t, []int{seq})) == 1 {
			w.told[seq] = true
		} else {
			refused++
		}
	}
	return refused
}

// finish sends the rest to a sound fleet and expects every block and every sample
// there, once.
func (w *sweep) finish(t *testing.T) {
	t.Helper()
	acked := len(w.told)
	c := start(t, w.file)
	w.fleet.Store(c)
	if n := w.sendRest(t); n > 0 {
		t.Errorf("a sound fleet refuses %d blocks", n)
	}
	t.Logf("%d of %d blocks had been acknowledged", acked, w.blocks)
	check(t, c, []*sender{w.sender})
	c.end(t, syscall.SIGTERM)
	checkSales(t, w.data, 1, w.blocks)
}

// TestSweepKillsAtEveryCall kills the fleet as it enters each of its writes and
// syncs in turn; nothing it acknowledged is lost or counted twice.
func TestSweepKillsAtEveryCall(t *testing.T) {
	for _, call := range []string{"pwrite64", "fsync"} {
		t.Run(call, func(t *testing.T) {
			f := crashtest.Fault{Call: call}
			w := newSweep(t)
			points := crashtest.Points(t, f, sweepPoints, os.Args[0], func(cmd *exec.Cmd) error {
				_, _, err := w.run(t, cmd)
				return err
			})
			struck, starts := 0, 0
			for _, n := range points {
				started, _, err := w.run(t, crashtest.Strace(t, f, n, os.Args[0]))
				if crashtest.Killed(err) {
					struck++
				} else if err != nil {
					t.Errorf("%s %d: %v", f, n, err)
				}
				if started {
					starts++
				}
			}
			t.Logf("%d of %d fleets were killed, %d of them before they answered", struck, len(points), len(points)-starts)
			if struck < len(points)/2 {
				t.Error("too few were killed: the sweep shows little")
			}
			w.finish(t)
		})
	}
}

// TestSweepFailsAtEveryCall lets calls on the journal and on the state fail in
// turn. The fleet may refuse to start and may refuse blocks; it never acknowledges
// what it does not hold and never ends.
func TestSweepFailsAtEveryCall(t *testing.T) {
	for _, tt := range []struct {
		file string
		crashtest.Fault
	}{
		{ingest.JournalFile, crashtest.Fault{Call: "fsync", Error: "EIO"}},
		{ingest.JournalFile, crashtest.Fault{Call: "pwrite64", Error: "EIO"}},
		{ingest.JournalFile, crashtest.Fault{Call: "pwrite64", Error: "ENOSPC", Lasting: true}},
		{store.File, crashtest.Fault{Call: "fsync", Error: "EIO"}},
		{store.File, crashtest.Fault{Call: "pwrite64", Error: "ENOSPC", Lasting: true}},
	} {
		t.Run(tt.file+" "+tt.String(), func(t *testing.T) {
			w := newSweep(t)
			w.runSound(t) // so that the files are there to be named
			tt.Paths = []string{filepath.Join(w.data, tt.file), filepath.Join(w.data, tt.file+"-wal")}
			points := crashtest.Points(t, tt.Fault, sweepPoints, os.Args[0], func(cmd *exec.Cmd) error {
				_, _, err := w.run(t, cmd)
				return err
			})
			unopened, refused := 0, 0
			for _, n := range points {
				started, no, err := w.run(t, crashtest.Strace(t, tt.Fault, n, os.Args[0]))
				refused += no
				switch {
				case !started:
					unopened++
				case err != nil && !ownGoodbye(err):
					t.Errorf("%s %d: the fleet ended: %v", tt.Fault, n, err)
				}
			}
			t.Logf("%d faults: %d times the fleet did not start, %d blocks were refused", len(points), unopened, refused)
			w.finish(t)
		})
	}
}

func (w *sweep) runSound(t *testing.T) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if _, _, err := w.run(t, cmd); err != nil {
		t.Fatal(err)
	}
}

// ownGoodbye reports whether a fleet ended as asked but could not save its last
// state on the disk that fails.
func ownGoodbye(err error) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit) && exit.ExitCode() == 1 && bytes.Contains([]byte(err.Error()), []byte("save registry"))
}
