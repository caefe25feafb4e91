package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"
)

// stopGrace is how long a unit may take to stop before it is killed.
const stopGrace = 3 * time.Second

// sampleEvery is how often what the units use is read.
const sampleEvery = 500 * time.Millisecond

// errUnknownUnit means that no unit has the name that was asked for.
var errUnknownUnit = errors.New("no unit has this name")

// A Supervisor is the init of the demo's processes.
//
// Its children cannot outlive it: they hold the reading end of a pipe whose
// writing end only the supervisor has, so they see it close even when the
// supervisor is killed. A child suspended at that moment is woken by the kernel.
type Supervisor struct {
	logDir   string
	notify   func(Event)
	grace    time.Duration
	lifeline struct{ read, write *os.File }

	mu     sync.Mutex // guards what follows
	units  map[string]*unit
	order  []string
	closed bool
}

// NewSupervisor makes a supervisor whose units log to dir. notify, which may be
// nil, is told what happens to units; it must not call back.
func NewSupervisor(dir string, notify func(Event)) (*Supervisor, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the folder for the units' logs: %w", err)
	}
	if notify == nil {
		notify = func(Event) {}
	}
	s := &Supervisor{logDir: dir, notify: notify, grace: stopGrace, units: map[string]*unit{}}
	var err error
	if s.lifeline.read, s.lifeline.write, err = os.Pipe(); err != nil {
		return nil, fmt.Errorf("make the lifeline: %w", err)
	}
	return s, nil
}

// Run samples what the units use until ctx ends, then stops every unit that
// still runs and returns nil.
func (s *Supervisor) Run(ctx context.Context) error {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			for _, u := range s.all() {
				u.sample()
			}
		case <-ctx.Done():
			s.close()
			return nil
		}
	}
}

// close stops all units and lets go of the lifeline.
func (s *Supervisor) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.Stop()
	s.lifeline.read.Close()
	s.lifeline.write.Close()
}

// Start runs a new unit and returns once its process exists.
func (s *Supervisor) Start(spec Spec) error {
	out, err := os.OpenFile(filepath.Join(s.logDir, spec.Name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("open the log of unit %s: %w", spec.Name, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	u := &unit{
		spec: spec, grace: s.grace, lifeline: s.lifeline.read, out: out, notify: s.notify,
		restarts: make(chan chan error), stop: cancel, done: make(chan struct{}),
		status: UnitStatus{Name: spec.Name},
	}
	s.mu.Lock()
	if s.closed || s.units[spec.Name] != nil {
		s.mu.Unlock()
		cancel()
		out.Close()
		return fmt.Errorf("start %s: the name is taken or the supervisor has stopped", spec.Name)
	}
	s.units[spec.Name] = u
	s.order = append(s.order, spec.Name)
	s.mu.Unlock()
	started := make(chan error, 1)
	go u.keep(ctx, started)
	return <-started
}

// Restart ends the unit's process, if it runs, and starts it anew; it returns
// once the new process exists. The error may be that no unit has the name.
func (s *Supervisor) Restart(ctx context.Context, name string) error {
	u, err := s.unit(name)
	if err != nil {
		return err
	}
	reply := make(chan error, 1)
	select {
	case u.restarts <- reply:
	case <-u.done:
		return fmt.Errorf("unit %s is being stopped", name)
	case <-ctx.Done():
		return fmt.Errorf("restart %s: %w", name, ctx.Err())
	}
	select {
	case err := <-reply:
		return err
	case <-u.done:
		return fmt.Errorf("unit %s is being stopped", name)
	case <-ctx.Done():
		return fmt.Errorf("restart %s: %w", name, ctx.Err())
	}
}

// Signal sends sig to a running unit's process group.
func (s *Supervisor) Signal(name string, sig syscall.Signal) error {
	u, err := s.unit(name)
	if err != nil {
		return err
	}
	return u.signal(sig)
}

// Stop ends the named units, all if none is named, side by side, and returns
// when they are gone. They are not started again.
func (s *Supervisor) Stop(names ...string) {
	var wg sync.WaitGroup
	for _, u := range s.all() {
		if len(names) == 0 || slices.Contains(names, u.spec.Name) {
			wg.Go(func() {
				u.stop()
				<-u.done
			})
		}
	}
	wg.Wait()
}

// Units lists all units in the order of their start.
func (s *Supervisor) Units() []UnitStatus {
	out := []UnitStatus{}
	for _, u := range s.all() {
		status, _ := u.report()
		out = append(out, status)
	}
	return out
}

// Processes is what each unit used over all its incarnations, in the order of
// their start.
func (s *Supervisor) Processes() []Process {
	out := []Process{}
	for _, u := range s.all() {
		status, used := u.report()
		out = append(out, Process{Name: status.Name, PeakRSSBytes: used.peakRSS, CPUSeconds: used.cpu().Seconds(), Restarts: status.Restarts})
	}
	return out
}

func (s *Supervisor) unit(name string) (*unit, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.units[name]; u != nil {
		return u, nil
	}
	return nil, fmt.Errorf("%w: %s", errUnknownUnit, name)
}

func (s *Supervisor) all() []*unit {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*unit, 0, len(s.order))
	for _, name := range s.order {
		out = append(out, s.units[name])
	}
	return out
}
