package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A process is one that the bench started and measures.
type process struct {
	name string
	cmd  *exec.Cmd
	log  string
	done chan struct{}
}

// start runs a program with its output in a file.
func (b *bench) start(name string, command ...string) (*process, error) {
	p := &process{name: name, cmd: exec.Command(command[0], command[1:]...), log: filepath.Join(b.tmp, name+".log"), done: make(chan struct{})}
	out, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer out.Close() // the process has its own
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() { p.cmd.Wait(); close(p.done) }() //nolint:errcheck // how it ended shows in what it did
	return p, nil
}

// stop asks the process to end, and after twenty seconds makes it.
func (p *process) stop() {
	p.cmd.Process.Signal(syscall.SIGTERM) //nolint:errcheck // it may have ended
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		p.cmd.Process.Kill() //nolint:errcheck // as above
		<-p.done
	}
}

// ended is an error with the end of the log if the process is no more.
func (p *process) ended() error {
	select {
	case <-p.done:
		text, _ := os.ReadFile(p.log)
		return fmt.Errorf("%s ended: %s", p.name, bytes.TrimSpace(text[max(0, len(text)-2000):]))
	default:
		return nil
	}
}

// pid is the process that was asked for, which may have a wrapper such as ip
// netns exec: that replaces itself, so the number stays.
func (p *process) pid() int { return p.cmd.Process.Pid }

// tick is the unit of processor time in /proc.
const tick = 10 * time.Millisecond

// cpu is the processor time that the process has used.
func (p *process) cpu() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid()))
	if err != nil {
		return 0, errors.Join(err, p.ended())
	}
	// The name in brackets may hold spaces.
	f := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	user, err1 := strconv.ParseInt(f[11], 10, 64)
	system, err2 := strconv.ParseInt(f[12], 10, 64)
	return time.Duration(user+system) * tick, errors.Join(err1, err2)
}

// peak is the most memory the process has had resident.
func (p *process) peak() (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid()))
	if err != nil {
		return 0, errors.Join(err, p.ended())
	}
	kib, err := strconv.ParseInt(strings.TrimSuffix(field(string(text), "VmHWM"), " kB"), 10, 64)
	return kib << 10, err
}

// ready waits until a URL answers.
func (p *process) ready(ctx context.Context, url string) error {
	return until(ctx, time.Minute, p.name+" to answer", func() (bool, error) {
		resp, err := http.Get(url)
		if err != nil {
			return false, p.ended()
		}
		resp.Body.Close()
		return resp.StatusCode < 500, nil
	})
}

// until polls every fifty milliseconds.
func until(ctx context.Context, atMost time.Duration, what string, ok func() (bool, error)) error {
	end := time.Now().Add(atMost)
	for {
		done, err := ok()
		if done || err != nil {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("waited %s for %s", atMost, what)
		}
		if err := wait(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// free is an address on loopback that nobody listens at.
func free() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}

// folderBytes is the length of all files below a folder but those named.
func folderBytes(dir string, but ...string) (sum int64, err error) {
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		for _, name := range but {
			if d.Name() == name {
				return nil
			}
		}
		info, err := d.Info()
		if err == nil {
			sum += info.Size()
		}
		return err
	})
	return sum, err
}

// write makes a file in the bench's folder.
func (b *bench) write(name, text string) (string, error) {
	path := filepath.Join(b.tmp, name)
	return path, os.WriteFile(path, []byte(text), 0o600)
}
