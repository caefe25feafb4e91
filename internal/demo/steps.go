package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"ghostlight/internal/daemon"
)

// play does the scenario's steps at their times, counted from start, and says
// when a fault that lasts is over, until the last is done or ctx ends.
func (d *demo) play(ctx context.Context, start time.Time) {
	for _, c := range d.scenario.cues() {
		if !daemon.Sleep(ctx, time.Until(start.Add(c.at))) {
			return
		}
		if c.over {
			d.tell("%s", describeEnd(c.step))
			continue
		}
		if err := d.do(ctx, c.step); err != nil && ctx.Err() == nil {
			d.tell("The scenario's step %q at %v could not be done: %v.", c.step.Do, c.step.At, err)
		}
	}
}

// cue is a moment at which a step begins or is over.
type cue struct {
	at   time.Duration
	step Step
	over bool
}

// cues lists all moments of the scenario in their order.
func (s *Scenario) cues() []cue {
	var out []cue
	for _, p := range s.Steps {
		out = append(out, cue{at: p.At.D(), step: p})
		if p.For > 0 {
			out = append(out, cue{at: p.At.D() + p.For.D(), step: p, over: true})
		}
	}
	slices.SortStableFunc(out, func(a, b cue) int { return cmp.Compare(a.at, b.at) })
	return out
}

// do does one step and says so.
func (d *demo) do(ctx context.Context, p Step) error {
	v, _ := d.layout.venue(p.Venue)
	if f, ok := p.fault(); ok {
		if _, err := d.uplinks[p.Venue].Set(f); err != nil {
			return err
		}
		d.tell("%s", describeFault(p))
		return nil
	}
	switch p.Do {
	case doKill:
		d.expectEnd(v.edgecore())
		d.tell("Fault: %s's checkout (edgecore) is killed.", p.Venue)
		return d.units.Signal(v.edgecore(), syscall.SIGKILL)
	case doHang:
		d.expectEnd(v.edgecore())
		d.tell("Fault: %s's checkout (edgecore) hangs. It is there and does nothing.", p.Venue)
		return d.units.Signal(v.edgecore(), syscall.SIGSTOP)
	case doKillAgent:
		d.expectEnd(v.agent())
		d.tell("Fault: %s's agent is killed. What it had not sent yet is on its disk.", p.Venue)
		return d.units.Signal(v.agent(), syscall.SIGKILL)
	case doKillFleet:
		d.expectEnd("fleet")
		d.tell("Fault: the centre (fleet) is killed.")
		return d.units.Signal("fleet", syscall.SIGKILL)
	case doCorrupt:
		return d.corrupt(v, p.Objects)
	case doEndEvent:
		return d.endShow(ctx)
	}
	return fmt.Errorf("%q is not known", p.Do)
}

// describeFault is a fault of an uplink as a sentence.
func describeFault(p Step) string {
	what := map[string]string{
		"cut":       "is cut",
		"half-open": "swallows everything without breaking",
		"delay":     fmt.Sprintf("is slow by %v each way", p.Delay),
		"throttle":  fmt.Sprintf("carries no more than %v a second", p.Rate),
		"duplicate": "repeats requests",
		"reorder":   "lets requests overtake each other",
	}[p.Do]
	return fmt.Sprintf("Fault: %s %s for %s.", uplinkName(p), what, lasted(p.For.D()))
}

// describeEnd says that a fault of an uplink is over.
func describeEnd(p Step) string {
	if p.Do == "cut" {
		return fmt.Sprintf("%s is back.", uplinkName(p))
	}
	return fmt.Sprintf("%s: the fault %q is over.", uplinkName(p), p.Do)
}

func uplinkName(p Step) string {
	switch p.Route {
	case routeFleet:
		return p.Venue + "'s uplink to the centre"
	case routeHub:
		return p.Venue + "'s uplink to the hub"
	}
	return p.Venue + "'s uplink (to the centre and to the hub)"
}

// corrupt flips bytes in n objects of a venue's cache, on disk.
func (d *demo) corrupt(v venue, n int) error {
	if n == 0 {
		n = defaultObjects
	}
	done, err := corruptObjects(d.layout.cacheObjects(v), n)
	if err != nil {
		return err
	}
	if done == 0 {
		return errors.New("the venue has no cached object yet")
	}
	d.tell("Fault: %d objects in %s's cache are damaged on disk.", done, v.name)
	return nil
}

// corruptObjects flips one byte in the middle of up to n files of dir, in order
// of their names, and returns how many.
func corruptObjects(dir string, n int) (int, error) {
	var files []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("read the cache: %w", err)
	}
	slices.Sort(files)
	done := 0
	for _, path := range files {
		if done == n {
			break
		}
		switch err := flipByte(path); {
		case errors.Is(err, fs.ErrNotExist): // replaced meanwhile
		case err != nil:
			return done, err
		default:
			done++
		}
	}
	return done, nil
}

// flipByte inverts the byte in the middle of a file, in place.
func flipByte(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	var b [1]byte
	at := info.Size() / 2
	if _, err := f.ReadAt(b[:], at); err != nil {
		return fmt.Errorf("corrupt %s: %w", path, err)
	}
	b[0] = ^b[0]
	if _, err := f.WriteAt(b[:], at); err != nil {
		return fmt.Errorf("corrupt %s: %w", path, err)
	}
	return f.Close()
}
