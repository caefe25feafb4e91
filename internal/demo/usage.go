package demo

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// usage adds up what all incarnations of one unit used.
type usage struct {
	peakRSS int64         // bytes: the highest of any incarnation
	past    time.Duration // processor time of incarnations that ended
	now     time.Duration // of the running one, at its last sample
	sampled bool          // the running one was sampled
}

// clockTick is the unit of processor time in /proc, which Linux fixes at 1/100 s
// for user space.
const clockTick = 10 * time.Millisecond

// sample reads the peak resident size and processor time of a live process.
// What cannot be read, because the process just ended, is left as it was.
func (u *usage) sample(pid int) {
	if status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)); err == nil {
		if kb, ok := statusKB(status, "VmHWM:"); ok {
			u.peakRSS, u.sampled = max(u.peakRSS, kb<<10), true
		}
	}
	if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil {
		if fields := statFields(stat); len(fields) > 12 {
			user, err1 := strconv.ParseInt(fields[11], 10, 64)
			system, err2 := strconv.ParseInt(fields[12], 10, 64)
			if err1 == nil && err2 == nil {
				u.now = time.Duration(user+system) * clockTick
			}
		}
	}
}

// close books an incarnation that was waited for. The kernel's own peak of a
// dead child is taken only when it was never sampled alive: it counts the memory
// of the parent that forked it too.
func (u *usage) close(state *os.ProcessState) {
	if state != nil {
		u.past += state.UserTime() + state.SystemTime()
		if r, ok := maxRSS(state); ok && !u.sampled {
			u.peakRSS = max(u.peakRSS, r)
		}
	}
	u.now, u.sampled = 0, false
}

func (u usage) cpu() time.Duration { return u.past + u.now }

// statusKB finds a field such as "VmHWM:     1234 kB".
func statusKB(status []byte, name string) (int64, bool) {
	for line := range bytes.Lines(status) {
		fields := bytes.Fields(line)
		if len(fields) >= 2 && string(fields[0]) == name {
			n, err := strconv.ParseInt(string(fields[1]), 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}

// statFields are the fields of /proc/PID/stat from the process state on, which
// follows the name in parentheses.
func statFields(stat []byte) []string {
	i := bytes.LastIndex(stat, []byte(") "))
	if i < 0 {
		return nil
	}
	return strings.Fields(string(stat[i+2:]))
}

// isSuspended reports whether a process was stopped by a signal (state T).
func isSuspended(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	fields := statFields(stat)
	return len(fields) > 0 && fields[0] == "T"
}

// maxRSS is the kernel's peak of a process that was waited for, in bytes.
func maxRSS(state *os.ProcessState) (int64, bool) {
	r, ok := state.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0, false
	}
	return r.Maxrss << 10, true
}
