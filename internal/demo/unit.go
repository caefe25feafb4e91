package demo

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"ghostlight/internal/daemon"
)

// Policy says when a unit that ended is started again.
type Policy int

// The restart policies.
const (
	OnRequest Policy = iota // only when the supervisor is asked to
	Always                  // by itself, after a growing pause
)

// A Spec is how to run one unit.
type Spec struct {
	Name    string
	Path    string // the program
	Args    []string
	Env     []string // added to the demo's own
	Restart Policy
}

// UnitState says whether a unit's process runs.
type UnitState string

// The states of a unit.
const (
	Running UnitState = "running"
	Stopped UnitState = "stopped" // ended well
	Failed  UnitState = "failed"  // ended with an error, was killed, or could not start
)

// A UnitStatus is one unit as the supervisor's API shows it.
type UnitStatus struct {
	Name     string    `json:"name"`
	State    UnitState `json:"state"`
	PID      int       `json:"pid"`      // 0 unless running
	Restarts int       `json:"restarts"` // starts so far, less the first
	SinceMS  int64     `json:"since_ms"` // when the state began, Unix milliseconds
}

// An Event is something that happened to a unit.
type Event struct {
	Unit  string
	State UnitState
	How   string // how it ended, such as "signal: killed"; empty when running
	Again bool   // running: not the first start
	Asked bool   // running again because the supervisor was asked to
}

// Pauses before a unit that ended by itself is started again: doubling from
// first to last, back to first once it ran for healthyAfter.
const (
	firstBackoff = 250 * time.Millisecond
	lastBackoff  = 5 * time.Second
	healthyAfter = 10 * time.Second
)

// process is one incarnation of a unit.
type process struct {
	cmd    *exec.Cmd
	begun  time.Time
	exited chan struct{} // closed when Wait returned
	err    error         // of Wait; read only after exited
}

// unit keeps one process. Its goroutine, keep, owns the process; all others ask.
type unit struct {
	spec     Spec
	grace    time.Duration
	lifeline *os.File // the reading end, inherited by the process
	out      *os.File // the unit's log
	notify   func(Event)
	restarts chan chan error
	stop     context.CancelFunc
	done     chan struct{} // closed when keep has ended

	mu      sync.Mutex // guards what follows
	current *process   // nil unless running
	status  UnitStatus
	usage   usage
}

// keep starts the process and minds it until ctx ends, then stops it. The
// outcome of the first start is sent on started. It keeps its thread, because to
// the kernel a child's parent is the thread that started it.
func (u *unit) keep(ctx context.Context, started chan error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(u.done)
	defer u.out.Close()
	backoff := firstBackoff
	reply, asked := started, false
	for {
		p, err := u.start(asked)
		if reply != nil {
			reply <- err
		}
		var again bool
		if reply, again = u.mind(ctx, p, &backoff); !again {
			return
		}
		asked = reply != nil
	}
}

// mind waits until the process should be started anew. A reply channel means
// that somebody asked for it; again is false when ctx ended.
func (u *unit) mind(ctx context.Context, p *process, backoff *time.Duration) (reply chan error, again bool) {
	var exited <-chan struct{}
	var later <-chan time.Time
	if p != nil {
		exited = p.exited
	} else {
		later = u.later(backoff)
	}
	for {
		select {
		case <-exited:
			exited = nil
			u.ended(p)
			if time.Since(p.begun) >= healthyAfter {
				*backoff = firstBackoff
			}
			later = u.later(backoff)
		case <-later:
			return nil, true
		case reply := <-u.restarts:
			u.end(p)
			return reply, true
		case <-ctx.Done():
			u.end(p)
			return nil, false
		}
	}
}

// later is when a unit that ended by itself is started again; never, unless its
// policy is Always.
func (u *unit) later(backoff *time.Duration) <-chan time.Time {
	if u.spec.Restart != Always {
		return nil
	}
	d := *backoff
	*backoff = min(2*d, lastBackoff)
	return time.After(d)
}

// start runs the program in a process group of its own, with the lifeline as
// its first extra file. Should this process die, the kernel wakes the child, which
// may be suspended, so that it sees the lifeline close.
func (u *unit) start(asked bool) (*process, error) {
	cmd := exec.Command(u.spec.Path, u.spec.Args...)
	cmd.Stdout, cmd.Stderr = u.out, u.out
	cmd.Env = append(append(os.Environ(), u.spec.Env...), daemon.LifelineEnv+"=3")
	cmd.ExtraFiles = []*os.File{u.lifeline}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGCONT}
	p := &process{cmd: cmd, begun: time.Now(), exited: make(chan struct{})}
	err := cmd.Start()

	u.mu.Lock()
	again := u.status.State != ""
	if again {
		u.status.Restarts++
	}
	u.status.SinceMS = p.begun.UnixMilli()
	if err != nil {
		u.status.State, u.status.PID, u.current = Failed, 0, nil
		u.mu.Unlock()
		u.notify(Event{Unit: u.spec.Name, State: Failed, How: err.Error()})
		return nil, fmt.Errorf("start %s: %w", u.spec.Name, err)
	}
	u.status.State, u.status.PID, u.current = Running, cmd.Process.Pid, p
	u.mu.Unlock()
	go func() {
		p.err = cmd.Wait()
		close(p.exited)
	}()
	u.notify(Event{Unit: u.spec.Name, State: Running, Again: again, Asked: asked})
	return p, nil
}

// ended books a process that is gone. Calling it again for the same one does
// nothing.
func (u *unit) ended(p *process) {
	u.mu.Lock()
	if u.current != p {
		u.mu.Unlock()
		return
	}
	u.current = nil
	u.usage.close(p.cmd.ProcessState)
	u.status.PID, u.status.SinceMS = 0, time.Now().UnixMilli()
	u.status.State = Stopped
	if p.err != nil {
		u.status.State = Failed
	}
	e := Event{Unit: u.spec.Name, State: u.status.State, How: "ended"}
	u.mu.Unlock()
	if p.err != nil {
		e.How = p.err.Error()
	}
	u.notify(e)
}

// end stops the process: SIGTERM, then SIGKILL after the grace. A process that
// does not run its own code any more, because it was stopped by a signal, is
// killed at once.
func (u *unit) end(p *process) {
	if p == nil {
		return
	}
	u.sample()
	if !isSuspended(p.cmd.Process.Pid) {
		signalGroup(p, syscall.SIGTERM)
		timer := time.NewTimer(u.grace)
		select {
		case <-p.exited:
		case <-timer.C:
		}
		timer.Stop()
	}
	signalGroup(p, syscall.SIGKILL)
	<-p.exited
	u.ended(p)
}

// signalGroup sends sig to the process and whatever it started. A process that
// was waited for is not signalled: its number may be another's by now.
func signalGroup(p *process, sig syscall.Signal) {
	select {
	case <-p.exited:
		return
	default:
	}
	syscall.Kill(-p.cmd.Process.Pid, sig) //nolint:errcheck // it may be gone, which is what a signal is for
}

// signal sends sig to the running process.
func (u *unit) signal(sig syscall.Signal) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.current == nil {
		return fmt.Errorf("%s is not running", u.spec.Name)
	}
	signalGroup(u.current, sig)
	return nil
}

// sample reads what the running process uses.
func (u *unit) sample() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.current != nil {
		u.usage.sample(u.current.cmd.Process.Pid)
	}
}

func (u *unit) report() (UnitStatus, usage) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.status, u.usage
}
