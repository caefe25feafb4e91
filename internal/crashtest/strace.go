package crashtest

import (
	"bufio"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A Fault is a system call that goes wrong.
type Fault struct {
	Call string // its name: pwrite64, fsync
	// Error is what it returns instead of being made, such as EIO; empty kills the
	// process as it enters the call.
	Error string
	// Lasting makes every later call fail as well.
	Lasting bool
	// Paths limits the fault to calls on these files; none means all.
	Paths []string
}

func (f Fault) String() string {
	switch {
	case f.Error == "":
		return "killed at " + f.Call
	case f.Lasting:
		return f.Error + " from " + f.Call
	}
	return f.Error + " at " + f.Call
}

// trace is strace's way to say which calls it watches.
func (f Fault) trace() []string {
	out := []string{"-f", "-qq", "-e", "trace=" + f.Call}
	for _, path := range f.Paths {
		out = append(out, "-P", path)
	}
	return out
}

// inject is strace's way to say that the n-th call of a thread goes wrong.
func (f Fault) inject(n int) string {
	how := "signal=SIGKILL"
	if f.Error != "" {
		how = "error=" + f.Error
	}
	when := fmt.Sprint(n)
	if f.Lasting {
		when += "+"
	}
	return fmt.Sprintf("inject=%s:%s:when=%s", f.Call, how, when)
}

// stuckAfter is when a traced process is taken to hang.
const stuckAfter = time.Minute

// Strace returns a command that runs program with the fault at the n-th such call
// of any of its threads; n is 0 for none. strace must be installed: a sweep that
// is passed over shows nothing. The traced process ends with the command, and the
// command with the test.
func Strace(t *testing.T, f Fault, n int, program string, args ...string) *exec.Cmd {
	t.Helper()
	options := append(f.trace(), "-o", "/dev/null")
	if n > 0 {
		options = append(options, "-e", f.inject(n))
	}
	return strace(t, options, program, args...)
}

func strace(t *testing.T, options []string, program string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath("strace")
	if err != nil {
		t.Fatalf("a sweep over system calls needs strace: install it (%v)", err)
	}
	cmd := exec.CommandContext(t.Context(), path, append(append(options, "--", program), args...)...)
	// A group of its own, so that strace never leaves the traced process behind.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = stuckAfter
	return cmd
}

// Killed reports whether err, of a command's end, says that it died of a signal.
func Killed(err error) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit) && !exit.Exited()
}

// Points are the calls at which to let a fault happen: all that one run makes on
// its busiest thread, or [Kills] of them, evenly spread. run starts the command
// and waits for it; without a fault it must succeed.
func Points(t *testing.T, f Fault, short int, program string, run func(*exec.Cmd) error) []int {
	t.Helper()
	log := filepath.Join(t.TempDir(), "calls")
	if err := run(strace(t, append(f.trace(), "-o", log), program)); err != nil {
		t.Fatalf("without any fault: %v", err)
	}
	total := busiest(t, log, f.Call)
	if total == 0 {
		t.Fatalf("%s is never called: the sweep would show nothing", f.Call)
	}
	points := min(total, Kills(t, short))
	out := make([]int, 0, points)
	for i := range points {
		out = append(out, 1+int(math.Round(float64(i)*float64(total-1)/float64(max(points-1, 1)))))
	}
	t.Logf("%s: %d of %d calls", f, len(out), total)
	return out
}

// busiest counts the calls of the thread that makes the most.
func busiest(t *testing.T, log, call string) (most int) {
	t.Helper()
	f, err := os.Open(log)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	counts := map[string]int{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		thread, rest, _ := strings.Cut(lines.Text(), " ")
		if strings.HasPrefix(strings.TrimLeft(rest, " "), call+"(") {
			counts[thread]++
			most = max(most, counts[thread])
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return most
}
